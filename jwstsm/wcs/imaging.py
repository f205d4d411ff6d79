"""World coordinates of the imaging modes: detector -> v2v3 -> v2v3vacorr -> world.

detector to v2v3 is the distortion reference, behind the offset of a subarray and the offset of the filter; v2v3vacorr
takes out the differential aberration of light by the telescope's velocity, a scaling about the reference point; the
last link is the rotation given by the pointing. What differs between the instruments is in the table ``CAMERAS``.

Source: frames and conventions of the official ``assign_wcs``; JWST-STScI-001550 for the rotation from V2, V3.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jwstsm.errors import InputError, ReferenceError_
from jwstsm.wcs import asdftext, codec
from jwstsm.wcs.model import Wcs, detector_frame, plane_frame, sky_frame
from jwstsm.wcs.sphere import CartesianToSpherical, RotationSequence, SphericalToCartesian
from jwstsm.wcs.transforms import Identity, Scale, Shift, Transform, chain, parallel

__all__ = [
    "CAMERAS",
    "Camera",
    "Pointing",
    "aberration",
    "filter_offset",
    "imaging_wcs",
    "read_distortion",
    "telescope_to_sky",
]

log = logging.getLogger(__name__)


class Camera(NamedTuple):
    """What sets one instrument's imaging apart."""

    offset_keys: tuple[str, ...]
    """Keywords that pick the row of the filter-offset reference; none where there is no such reference."""


CAMERAS = {
    "NIRCAM": Camera(("FILTER", "PUPIL")),
    "NIRISS": Camera(("FILTER", "PUPIL")),
    "MIRI": Camera(("FILTER",)),
    "FGS": Camera(()),
}


@dataclass(frozen=True)
class Pointing:
    """Where the reference point of an aperture looks.

    Attributes
    ----------
    v2_ref, v3_ref : float
        The reference point [arcsec].
    ra_ref, dec_ref : float
        Its ICRS position [deg].
    roll_ref : float
        Position angle of V3 there, North over East [deg].
    va_scale : float
        Ratio of the apparent to the true plate scale (velocity aberration).
    """

    v2_ref: float
    v3_ref: float
    ra_ref: float
    dec_ref: float
    roll_ref: float
    va_scale: float = 1.0

    @classmethod
    def from_product(cls, product) -> Pointing:
        """Read the keywords of a product.

        Raises
        ------
        InputError
            If one is missing or is not a number.
        """
        words = ("V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF")
        values: list[Any] = [product.require(w) for w in words]
        # exposures without a computed velocity have no VA_SCALE and get no correction
        values.append(product.key("VA_SCALE", 1.0))
        for word, value in zip((*words, "VA_SCALE"), values, strict=True):
            if isinstance(value, (bool, str)) or value != value:
                raise InputError(f"{product.name}: keyword {word} is {value!r}, not a number; correct the header")
        if values[-1] <= 0:
            raise InputError(f"{product.name}: keyword VA_SCALE is {values[-1]}, not positive; correct the header")
        return cls(*map(float, values))


def telescope_to_sky(pointing: Pointing) -> Transform:
    """Return the rotation from V2, V3 [arcsec] to right ascension, declination [deg]."""
    p = pointing
    angles = [p.v2_ref / 3600, -p.v3_ref / 3600, p.roll_ref, p.dec_ref, -p.ra_ref]
    return chain(
        parallel(Scale(1 / 3600), Scale(1 / 3600)),
        SphericalToCartesian(180),
        RotationSequence(angles, "zyxyz"),
        CartesianToSpherical(360),
    ).named("v23tosky")


def aberration(pointing: Pointing) -> Transform:
    """Return the scaling of V2, V3 [arcsec] about the reference point that undoes the differential aberration."""
    scale = pointing.va_scale
    if scale == 1:
        return Identity(2)
    zoom = parallel(Scale(scale).named("dva_scale_v2"), Scale(scale).named("dva_scale_v3"))
    v2, v3 = (1 - scale) * pointing.v2_ref, (1 - scale) * pointing.v3_ref
    if v2 == 0 and v3 == 0:
        return zoom
    back = parallel(Shift(v2).named("dva_v2_shift"), Shift(v3).named("dva_v3_shift"))
    return chain(zoom, back).named("DVA_Correction")


def filter_offset(rows: Sequence[dict], keys: dict[str, Any], where: str) -> tuple[float, float] | None:
    """Find the offset of the image by a filter.

    Parameters
    ----------
    rows : list of dict
        Rows of the filter-offset reference: ``filter``, ``pupil``, ``column_offset``, ``row_offset`` [pixel].
    keys : dict
        What the row must match, by lower-case name.
    where : str
        Name of the reference, for messages.

    Returns
    -------
    (float, float) or None
        Offsets in x and y [pixel]; None if the reference has no row for the filter.

    Raises
    ------
    ReferenceError_
        If several rows match.
    """
    found = [r for r in rows if all(r.get(k) == v for k, v in keys.items())]
    if len(found) > 1:
        raise ReferenceError_(f"reference filteroffset {where} has {len(found)} rows for {keys}; it must have one")
    offsets = [found[0].get(k) for k in ("column_offset", "row_offset")] if found else [None]
    if any(not isinstance(v, (int, float)) for v in offsets):
        log.info("no filter offset for %s in %s", ", ".join(map(str, keys.values())), where)
        return None
    return float(offsets[0]), float(offsets[1])


def read_tree(reference) -> dict:
    """Return the tree of an ASDF reference, transforms as tagged nodes."""
    path = Path(reference.path)
    return asdftext.load(path) if path.exists() else reference.tree


def read_distortion(reference) -> Transform:
    """Return the transform of a distortion reference, pixel -> V2, V3 [arcsec].

    Raises
    ------
    ReferenceError_
        If the file holds no transform.
    """
    model = read_tree(reference).get("model")
    if not isinstance(model, asdftext.Tagged):
        raise ReferenceError_(
            f"reference distortion {reference.name} has no transform 'model'; give another with override_distortion"
        )
    return codec.from_tree(model)


def imaging_wcs(product, references) -> Wcs:
    """Build the world coordinates of an image.

    Parameters
    ----------
    product : Slope
        Its header gives the pointing, the window on the detector and the filter.
    references : References
        ``distortion`` and, where the instrument has one, ``filteroffset``.

    Returns
    -------
    Wcs
        Frames ``detector``, ``v2v3``, ``v2v3vacorr``, ``world``. The bounding box is that of the distortion reference
        (a full frame's, cut to the array) or, without one and for subarrays, the whole array.

    Raises
    ------
    InputError, ReferenceError_
        If a keyword or a reference is missing.
    """
    pointing = Pointing.from_product(product)
    readout = product.readout
    reference = references["distortion"]
    if reference is None:
        raise ReferenceError_(f"{product.name}: no distortion reference (it is N/A); give one with override_distortion")
    distortion = read_distortion(reference)
    ny, nx = product.data.shape[-2:]
    box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    corner = (readout.xstart - 1, readout.ystart - 1)
    if corner == (0, 0) and distortion.box is not None:
        # a window in the detector's corner would otherwise get the full frame's box
        box = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(distortion.box, box, strict=True))
    offset = _offset_of(product, references)
    if offset is not None:
        distortion = chain(parallel(Shift(offset[0]), Shift(offset[1])), distortion)
    if corner != (0, 0):
        distortion = chain(parallel(*[Shift(c) if c else Identity(1) for c in corner]), distortion)
    wcs = Wcs(
        [
            (detector_frame(), distortion),
            (plane_frame("v2v3"), aberration(pointing)),
            (plane_frame("v2v3vacorr"), telescope_to_sky(pointing)),
            (sky_frame(), None),
        ],
        pixel_shape=(nx, ny),
    )
    wcs.bounding_box = box
    return wcs


def _offset_of(product, references) -> tuple[float, float] | None:
    """Return the filter offset of an exposure in pixels, or None."""
    keywords = CAMERAS[str(product.require("INSTRUME"))].offset_keys
    reference = references["filteroffset"] if keywords else None
    if reference is None:
        return None
    keys = {k.lower(): product.require(k) for k in keywords}
    rows = read_tree(reference).get("filters") or []
    return filter_offset(rows, keys, reference.name)
