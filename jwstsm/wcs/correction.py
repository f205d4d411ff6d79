"""Alignment corrections: a matrix and a shift in the plane tangent to the telescope's field.

A correction is applied in the plane that touches the V2, V3 sphere at the reference point of the aperture and is turned
by the roll angle, so that its axes are close to east and north. It becomes a link ``v2v3vacorr -> v2v3corr`` of the
chain; a second correction is merged into the first. Numbers go from file to file as a few lines of JSON.

Source: the tangent-plane correction of JWST world coordinates in ``tweakwcs`` (frame and submodel names are its own, so
that it can read and refine a WCS that was corrected here).
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jwstsm.errors import InputError
from jwstsm.wcs.model import Wcs, as_wcs
from jwstsm.wcs.sphere import CartesianToSpherical, RotationSequence, SphericalToCartesian
from jwstsm.wcs.transforms import (
    Affine,
    Arithmetic,
    Compose,
    Concatenate,
    Const1D,
    Identity,
    Mapping,
    Scale,
    Transform,
    chain,
    parallel,
)

__all__ = ["Correction", "TangentPlane", "correct_wcs"]

FRAME = "v2v3corr"
NAME = "JWST tangent-plane linear correction. v1"

_ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True)
class Correction:
    """``(x, y) -> matrix (x, y) + shift`` in the tangent plane of a reference point.

    Attributes
    ----------
    v2_ref, v3_ref : float
        The reference point [arcsec].
    roll_ref : float
        Position angle of V3 there [deg].
    matrix : ((float, float), (float, float))
    shift : (float, float)
        [arcsec]
    name : str
        Name that the corrected WCS gets; "" keeps the old one.
    """

    v2_ref: float
    v3_ref: float
    roll_ref: float
    matrix: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    shift: tuple[float, float] = (0.0, 0.0)
    name: str = ""

    @classmethod
    def of(cls, product, matrix=((1, 0), (0, 1)), shift=(0, 0), name: str = "") -> Correction:
        """Make a correction in the plane of a product's reference point (``V2_REF``, ``V3_REF``, ``ROLL_REF``)."""
        where = [float(product.require(k)) for k in ("V2_REF", "V3_REF", "ROLL_REF")]
        return cls(*where, _matrix(matrix), tuple(float(v) for v in shift), name)

    def then(self, later: Correction) -> Correction:
        """Return this correction followed by another one in the same plane."""
        first, second = np.array(self.matrix), np.array(later.matrix)
        shift = second @ np.array(self.shift) + np.array(later.shift)
        plane = (self.v2_ref, self.v3_ref, self.roll_ref)
        return Correction(*plane, _matrix(second @ first), tuple(map(float, shift)), later.name or self.name)

    def carried(self, source: TangentPlane, target: TangentPlane) -> Correction:
        """Return the correction of another detector that moves along with this one.

        Parameters
        ----------
        source : TangentPlane
            Plane in which this correction is written.
        target : TangentPlane
            Plane of the other image.
        """
        # the planes are related by a map that is linear near the origin of the first
        x, y = target.from_sky(*source.to_sky(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])))
        origin = np.array([x[0], y[0]])
        turn = np.array([[x[1] - x[0], x[2] - x[0]], [y[1] - y[0], y[2] - y[0]]])
        matrix = turn @ np.array(self.matrix) @ np.linalg.inv(turn)
        shift = turn @ np.array(self.shift) - matrix @ origin + origin
        return Correction(*target.reference, _matrix(matrix), tuple(map(float, shift)), self.name)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: MappingType[str, Any]) -> Correction:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        InputError
            If an entry is missing or not a number.
        """
        try:
            plane = [float(record[k]) for k in ("v2_ref", "v3_ref", "roll_ref")]
            x, y = record["shift"]
            return cls(*plane, _matrix(record["matrix"]), (float(x), float(y)), str(record.get("name", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the alignment record is damaged ({error!r}); run tweakreg again") from error


def _matrix(matrix) -> tuple:
    (a, b), (c, d) = np.asarray(matrix, dtype=np.float64).tolist()
    return ((a, b), (c, d))


def _to_plane(v2_ref: float, v3_ref: float, roll_ref: float) -> Transform:
    """V2, V3 [arcsec] -> tangent plane [rad]."""
    degrees = Scale(1 / 3600).named("arcsec_to_deg_1D")
    ratio = Arithmetic("divide", Mapping((0, 1, 2)).named("xyz"), Mapping((0, 0, 0), 3).named("xxx"))
    return chain(
        parallel(degrees, degrees).named("arcsec_to_deg_2D"),
        SphericalToCartesian(180).named("s2c"),
        RotationSequence([v2_ref / 3600, -v3_ref / 3600, roll_ref], "zyx").named("det_to_optic_axis"),
        Compose(ratio, Mapping((1, 2)).named("xtyt")).named("Cartesian 3D to TAN"),
    )


def _from_plane(v2_ref: float, v3_ref: float, roll_ref: float) -> Transform:
    """Tangent plane [rad] -> V2, V3 [arcsec]."""
    arcsec = Scale(3600.0).named("deg_to_arcsec_1D")
    back = RotationSequence([v2_ref / 3600, -v3_ref / 3600, roll_ref], "zyx").inverse.named("optic_axis_to_det")
    raised = Compose(
        Mapping((0, 0, 1), 2).named("xtyt2xyz"), Concatenate(Const1D(1).named("one"), Identity(2).named("I(2D)"))
    )
    return chain(
        raised.named("TAN to cartesian 3D"),
        back,
        CartesianToSpherical(180).named("c2s"),
        parallel(arcsec, arcsec).named("deg_to_arcsec_2D"),
    )


def _link(correction: Correction) -> Transform:
    """The link of the chain, with its inverse."""
    plane = (correction.v2_ref, correction.v3_ref, correction.roll_ref)
    affine = Affine(correction.matrix, np.array(correction.shift) * _ARCSEC)

    def whole(middle: Transform) -> Transform:
        return chain(*_flat(_to_plane(*plane)), middle, *_flat(_from_plane(*plane)))

    forward = whole(affine.named("tp_affine")).named(NAME)
    return forward.with_inverse(whole(affine.inverse.named("tp_affine_inv")).named(f"Inverse {NAME}"))


def _flat(transform: Transform) -> list[Transform]:
    """Unfold a chain into its links (named links stay whole)."""
    if isinstance(transform, Compose) and transform.name is None:
        return _flat(transform.left) + _flat(transform.right)
    return [transform]


def correct_wcs(wcs, correction: Correction) -> Wcs:
    """Return world coordinates with a correction applied.

    Parameters
    ----------
    wcs : Wcs or gwcs.wcs.WCS
        With a frame ``v2v3vacorr`` or ``v2v3``. If it was corrected before, the new correction is merged into the old.
    correction : Correction

    Returns
    -------
    Wcs
        With the frame ``v2v3corr``.

    Raises
    ------
    InputError
        If the WCS has no such frame, or an earlier correction in another plane.
    """
    wcs = as_wcs(wcs)
    frames = wcs.available_frames
    if FRAME in frames:
        before = frames[frames.index(FRAME) - 1]
        out = wcs.replaced(before, _link(_read_link(wcs.get_transform(before, FRAME), correction).then(correction)))
    else:
        before = next((f for f in ("v2v3vacorr", "v2v3") if f in frames), None)
        if before is None:
            raise InputError(f"the WCS has no frame v2v3 to correct; it has {', '.join(frames)}; run assign_wcs first")
        frame = wcs.steps[frames.index(before)].frame.renamed(FRAME)
        out = wcs.inserted(before, _link(correction), frame)
    out.name = correction.name or wcs.name
    return out


def _read_link(link: Transform, later: Correction) -> Correction:
    """Return the correction that a link of the chain holds."""
    parts = {p.name: p for p in _flat_all(link)}
    affine, turn = parts.get("tp_affine"), parts.get("det_to_optic_axis")
    if not isinstance(affine, Affine) or not isinstance(turn, RotationSequence):
        raise InputError("the WCS holds a correction of a kind that is not known; run assign_wcs again")
    v2, v3, roll = turn.angles
    plane = (v2 * 3600, -v3 * 3600, roll)
    if not np.allclose(plane, (later.v2_ref, later.v3_ref, later.roll_ref), rtol=1e-9, atol=1e-9):
        raise InputError("the WCS was corrected about another reference point; run assign_wcs again")
    shift = affine.translation / _ARCSEC
    return Correction(later.v2_ref, later.v3_ref, later.roll_ref, _matrix(affine.matrix), tuple(map(float, shift)))


def _flat_all(transform: Transform) -> list[Transform]:
    if isinstance(transform, (Compose, Concatenate)):
        return [*_flat_all(transform.left), *_flat_all(transform.right)]
    return [transform]


class TangentPlane:
    """Coordinates of an image in the tangent plane of its reference point [arcsec].

    A correction that was applied before is part of the coordinates: what is fitted here comes on top of it.

    Parameters
    ----------
    wcs : Wcs or gwcs.wcs.WCS
    v2_ref, v3_ref : float
        [arcsec]
    roll_ref : float
        [deg]
    """

    def __init__(self, wcs, v2_ref: float, v3_ref: float, roll_ref: float):
        self.wcs = as_wcs(wcs)
        self.reference = (float(v2_ref), float(v3_ref), float(roll_ref))
        frames = self.wcs.available_frames
        self._frame = next((f for f in (FRAME, "v2v3vacorr", "v2v3") if f in frames), None)
        if self._frame is None:
            raise InputError(f"the WCS has no frame v2v3; it has {', '.join(frames)}; run assign_wcs first")
        self._first, self._last = frames[0], frames[-1]

    @classmethod
    def of(cls, product) -> TangentPlane:
        """Return the plane of a product."""
        return cls(product.wcs, *[float(product.require(k)) for k in ("V2_REF", "V3_REF", "ROLL_REF")])

    def _plane(self, x, y):
        return tuple(v / _ARCSEC for v in _to_plane(*self.reference)(x, y))

    def _field(self, x, y):
        return _from_plane(*self.reference)(np.asarray(x) * _ARCSEC, np.asarray(y) * _ARCSEC)

    def from_pixel(self, x, y):
        """Pixel -> plane [arcsec]."""
        return self._plane(*self.wcs.get_transform(self._first, self._frame)(x, y))

    def from_sky(self, ra, dec):
        """Sky [deg] -> plane [arcsec]."""
        return self._plane(*self.wcs.get_transform(self._last, self._frame)(ra, dec))

    def to_sky(self, x, y):
        """Plane [arcsec] -> sky [deg]."""
        return self.wcs.get_transform(self._frame, self._last)(*self._field(x, y))
