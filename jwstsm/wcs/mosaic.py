"""The pixel grid of a mosaic: a tangent-plane WCS that covers a set of images.

Source: conventions of the official ``resample`` (centre, orientation, scale and size of its output).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from jwstsm.errors import ConfigError, InputError
from jwstsm.wcs import asdftext, sphere
from jwstsm.wcs.footprint import parse_s_region
from jwstsm.wcs.model import Wcs, as_wcs, sky_frame
from jwstsm.wcs.sip import fit_sip
from jwstsm.wcs.sky import mean_pixel_area_sr, pixel_scale_deg

__all__ = ["Grid", "grid_from_inputs", "linear_cards", "load_grid", "pointing_of", "save_grid", "update_header"]

log = logging.getLogger(__name__)

_REMOVED = re.compile(
    r"(CD[12]_[12]|[AB]P?_(ORDER|DMAX|\d_\d)|SIPMXERR|SIPIVERR|V[23]_REF|RA_REF|DEC_REF|ROLL_REF|V3I_YANG|VPARITY)$"
)


_POINTING = {
    "ra_ref": "RA_REF",
    "dec_ref": "DEC_REF",
    "roll_ref": "ROLL_REF",
    "v3yangle": "V3I_YANG",
    "vparity": "VPARITY",
}


@dataclass(frozen=True)
class Grid:
    """The pixels of a mosaic.

    Attributes
    ----------
    wcs : Wcs
    shape : (int, int)
        (ny, nx).
    pixel_scale : float
        [arcsec]
    pixel_scale_ratio : float
        Output to input pixel scale.
    """

    wcs: Wcs
    shape: tuple[int, int]
    pixel_scale: float
    pixel_scale_ratio: float = 1.0

    @property
    def pixel_area_sr(self) -> float:
        """Solid angle of a pixel at the reference point [sr]."""
        return self.pixel_area_arcsec2 * (np.pi / 648000) ** 2

    @property
    def pixel_area_arcsec2(self) -> float:
        """Area of a pixel at the reference point [arcsec^2]."""
        return self.pixel_scale**2


def _centre(polygons: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the middle of the box, in Cartesian coordinates, around all corners [deg]."""
    ra, dec = np.deg2rad(np.vstack(polygons)).T
    xyz = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    x, y, z = 0.5 * (xyz.max(axis=1) + xyz.min(axis=1))
    return float(np.rad2deg(np.arctan2(y, x)) % 360.0), float(np.rad2deg(np.arctan2(z, np.hypot(x, y))))


def _orientation(pointing: dict[str, float], rotation: float | None) -> np.ndarray:
    """Return the PC matrix: axes as the detector's ideal frame, or the y axis at position angle ``rotation`` [deg]."""
    parity = int(pointing["vparity"])
    ideal = np.deg2rad(pointing["v3yangle"])
    if rotation is None:
        angle = np.deg2rad(pointing["roll_ref"]) - parity * ideal
    else:
        angle = np.deg2rad(rotation)
    return np.array([[parity * np.cos(angle), np.sin(angle)], [-parity * np.sin(angle), np.cos(angle)]])


def grid_from_inputs(
    footprints: Sequence[str | np.ndarray],
    reference: Any,
    pointing: dict[str, float],
    *,
    reference_shape: tuple[int, int] | None = None,
    pixel_scale_ratio: float = 1.0,
    pixel_scale: float | None = None,
    rotation: float | None = None,
    crpix: Sequence[float] | None = None,
    crval: Sequence[float] | None = None,
    output_shape: Sequence[int] | None = None,
) -> Grid:
    """Make the grid that covers a set of images.

    Parameters
    ----------
    footprints : list of str or (n, 2) ndarray
        ``S_REGION`` of each image, or its corners [deg].
    reference : Wcs or gwcs.wcs.WCS
        World coordinates of the first image: it gives the scale and the orientation.
    pointing : dict
        Of the first image: ``ra_ref``, ``dec_ref``, ``roll_ref``, ``v3yangle`` [deg] and ``vparity``; see
        :func:`pointing_of`.
    reference_shape : (int, int), optional
        Shape (ny, nx) of the first image; needed with ``pixel_scale``.
    pixel_scale_ratio : float
        Output to input pixel scale.
    pixel_scale : float, optional
        Output pixel scale [arcsec]; overrides the ratio.
    rotation : float, optional
        Position angle of the y axis [deg]; None keeps the detector's orientation.
    crpix : (float, float), optional
        Reference pixel (x, y) [0-based]; None puts the lower left of the union at the corner of the array.
    crval : (float, float), optional
        Its position [deg]; None takes the centre of the union.
    output_shape : (int, int), optional
        (nx, ny); None fits the union.

    Returns
    -------
    Grid

    Raises
    ------
    InputError
        If there is no image, or the grid would be smaller than two pixels.
    """
    polygons = [p for f in footprints for p in (parse_s_region(f) if isinstance(f, str) else [np.asarray(f)])]
    if not polygons:
        raise InputError("there is no image with a footprint (S_REGION) to make a mosaic of; run assign_wcs first")
    reference = as_wcs(reference)
    if pixel_scale is None:
        scale = pixel_scale_deg(reference, pointing["ra_ref"], pointing["dec_ref"]) * pixel_scale_ratio
    else:
        scale = pixel_scale / 3600.0
        shape = reference_shape or reference.array_shape
        pixel_scale_ratio = float(scale / np.rad2deg(np.sqrt(mean_pixel_area_sr(reference, shape))))
    centre = _centre(polygons) if crval is None else (float(crval[0]), float(crval[1]))
    pc = _orientation(pointing, rotation)
    plane = sphere.FitsImaging((0.0, 0.0), centre, (scale, scale), pc)
    corners = np.hstack([plane.inverse(*p.T) for p in polygons])
    low, high = corners.min(axis=1), corners.max(axis=1)
    native = np.array(plane.inverse(*centre))
    offset = native - low if crpix is None else np.asarray(crpix, dtype=np.float64) - native
    low, high = low + offset, high + offset
    if output_shape is None:
        size = [int(h + 0.5) for h in high]
        box = tuple((-0.5, n - 0.5) for n in size)
    else:
        size = [int(n) for n in output_shape]
        box = tuple(
            (max(0, int(a + 0.5)) - 0.5, min(int(b + 0.5), n) - 0.5) for a, b, n in zip(low, high, size, strict=True)
        )
    if min(size) < 2:
        raise InputError(f"the mosaic would have {size[0]} x {size[1]} pixels; change crpix, crval or output_shape")
    wcs = Wcs(
        [(reference.steps[0].frame, sphere.FitsImaging(offset, centre, (scale, scale), pc)), (sky_frame(), None)],
        pixel_shape=size,
    )
    wcs.bounding_box = box
    return Grid(wcs, (size[1], size[0]), scale * 3600.0, pixel_scale_ratio)


def pointing_of(product) -> dict[str, float]:
    """Return what :func:`grid_from_inputs` needs of the first image's header."""
    return {name: float(product.require(word)) for name, word in _POINTING.items()}


def linear_cards(wcs: Wcs) -> list[tuple]:
    """Return the header cards ``(keyword, value, comment)`` of a linear tangent-plane WCS.

    A WCS of another form is approximated by one (log warning).
    """
    first = wcs.steps[0].transform
    if isinstance(first, sphere.FitsImaging) and len(wcs.steps) == 2:
        crpix, crval, cdelt, pc = first.crpix + 1, first.crval, first.cdelt, first.pc
    else:
        log.warning("the output WCS is not a linear tangent-plane one; the header gets a linear fit to it")
        fit = fit_sip(wcs, degree=1, max_inv_pix_error=None)
        crpix, crval, cdelt, pc = fit.crpix, fit.crval, (1.0, 1.0), fit.cd
    axes = (1, 2)
    cards: list[tuple] = [("WCSAXES", 2, "number of world coordinate axes")]
    cards += [(f"CRPIX{i}", float(crpix[i - 1]), f"[pixel] axis {i} of the reference pixel") for i in axes]
    cards += [(f"CRVAL{i}", float(crval[i - 1]), f"[deg] axis {i} at the reference pixel") for i in axes]
    cards += [
        (f"CTYPE{i}", kind, f"axis {i} coordinate type") for i, kind in zip(axes, ("RA---TAN", "DEC--TAN"), strict=True)
    ]
    cards += [(f"CUNIT{i}", "deg", f"axis {i} units") for i in axes]
    cards += [(f"CDELT{i}", float(cdelt[i - 1]), f"[deg] axis {i} increment per pixel") for i in axes]
    cards += [(f"PC{i}_{j}", float(pc[i - 1][j - 1]), "linear transformation matrix element") for i in axes for j in axes]
    return [*cards, ("RADESYS", "ICRS", "reference frame of the coordinates")]


def update_header(header, wcs: Wcs) -> None:
    """Replace the WCS keywords of an exposure by those of a mosaic; the exposure's pointing keywords go."""
    for keyword in [k for k in header if _REMOVED.match(k)]:
        header.remove(keyword, remove_all=True, ignore_missing=True)
    for keyword, value, comment in linear_cards(wcs):
        header[keyword] = (value, comment)


def save_grid(path: str | Path, grid: Grid) -> None:
    """Write a grid as an ASDF file that the parameter ``output_wcs`` of ``resample`` accepts."""
    ny, nx = grid.shape
    asdftext.write(
        path,
        {
            "wcs": grid.wcs.to_tree(),
            "pixel_scale": grid.pixel_scale,
            "pixel_area": grid.pixel_area_arcsec2,
            "pixel_scale_ratio": grid.pixel_scale_ratio,
            "pixel_shape": [nx, ny],
            "array_shape": [ny, nx],
        },
    )


def load_grid(path: str | Path, output_shape: Sequence[int] | None = None) -> Grid:
    """Read a grid given by a user (parameter ``output_wcs``).

    Parameters
    ----------
    path : str or Path
        ASDF file with a gwcs object under ``wcs`` and, if they are known, ``pixel_scale`` [arcsec] or ``pixel_area``
        [arcsec^2], ``array_shape`` (ny, nx) or ``pixel_shape`` (nx, ny); or a mosaic (``i2d``) whose grid is wanted.
    output_shape : (int, int), optional
        (nx, ny); overrides the file.

    Raises
    ------
    ConfigError
        If the file is missing or holds no WCS, or the shape cannot be known.
    """
    if not Path(path).exists():
        raise ConfigError(f"output_wcs: {path}: no such file")
    tree = _mosaic_tree(path) if Path(path).suffix == ".fits" else asdftext.load(Path(path))
    if asdftext.tag_name(tree.get("wcs")) != "gwcs/wcs":
        raise ConfigError(f"output_wcs: {path} has no WCS under 'wcs'")
    wcs = Wcs.from_tree(tree["wcs"])
    shape = _given_shape(tree, wcs, output_shape)
    if shape is None:
        raise ConfigError(f"output_wcs: {path} says nothing about the size of the image; give output_shape")
    wcs.pixel_shape = shape[::-1]
    scale = tree.get("pixel_scale")
    if scale is None and tree.get("pixel_area") is not None:
        scale = np.sqrt(float(tree["pixel_area"]))
    if scale is None:
        scale = 3600 * np.rad2deg(np.sqrt(mean_pixel_area_sr(wcs, shape)))
    return Grid(wcs, shape, float(scale), float(tree.get("pixel_scale_ratio", 1.0)))


def _mosaic_tree(path: str | Path) -> dict:
    """Return the grid of a mosaic product as :func:`save_grid` would have written it."""
    with fits.open(path) as hdus:
        if "SCI" not in hdus or "ASDF" not in hdus:
            raise ConfigError(f"output_wcs: {path} is no mosaic with world coordinates (extensions SCI and ASDF)")
        raw = np.asarray(hdus["ASDF"].data[0]["ASDF_METADATA"]).astype(np.uint8).tobytes()
        ratio, area = hdus[0].header.get("PXSCLRT", 1.0), hdus["SCI"].header.get("PIXAR_A2")
        shape = hdus["SCI"].shape
    meta = asdftext.load(raw).get("meta") or {}
    wcs = getattr(meta, "value", meta).get("wcs")
    return {"wcs": wcs, "array_shape": shape, "pixel_area": area, "pixel_scale_ratio": ratio}


def _given_shape(tree: dict, wcs: Wcs, output_shape) -> tuple[int, int] | None:
    if output_shape is not None:
        return int(output_shape[1]), int(output_shape[0])
    if wcs.array_shape is not None:
        return wcs.array_shape
    if tree.get("array_shape") is not None:
        return tuple(int(n) for n in tree["array_shape"])
    if tree.get("pixel_shape") is not None:
        return tuple(int(n) for n in tree["pixel_shape"])[::-1]
    if wcs.bounding_box is not None:
        (_, x1), (_, y1) = wcs.bounding_box
        return int(y1 + 0.5), int(x1 + 0.5)
    return None
