"""Which pixels of an exposure see only background: a draft count rate, the regions that modes light, and the clipping.

Used by ``picture_frame`` and ``clean_flicker_noise``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.core.dq import DO_NOT_USE, MSA_FAILED_OPEN, NO_FLAT_FIELD, NON_SCIENCE
from jwstsm.core.scene import clip_signal_inplace, drop_empty_inplace
from jwstsm.errors import InputError
from jwstsm.products import Ramp, SideProduct, Slope
from jwstsm.products.names import split_name
from jwstsm.products.readout import Readout
from jwstsm.references import References

log = logging.getLogger(__name__)

_TRACE_HALF_WIDTH = 16
_STRIP_ROWS = 256

__all__ = [
    "draft_rate",
    "mask_background",
    "own_mask",
    "read_user_mask",
    "regions_rule",
    "science_regions",
    "side_product",
    "trace_rows",
]


def draft_rate(ramp: Ramp, refs: References) -> tuple[Slope, Slope] | None:
    """Fit the ramp as it is, with default options, to see where the sources are.

    Parameters
    ----------
    ramp : Ramp
        Not changed.
    refs : References
        ``gain`` and ``readnoise``.

    Returns
    -------
    rate, rateints : Slope
        Count rates [DN/s]; None if no pixel has a usable ramp.
    """
    from jwstsm.stage1.ramp_fit import ramp_fit  # only needed where no mask is given

    copy = dataclasses.replace(ramp, primary=ramp.primary.copy(), history=[])
    result = ramp_fit(copy, refs)
    if not isinstance(result, dict) or result.get("rate") is None:
        return None
    return result["rate"], result["rateints"]


def mask_background(
    image: np.ndarray, regions: np.ndarray | None = None, *, n_sigma: float = 2.0, fit_histogram: bool = False
) -> np.ndarray:
    """Return the mask of pixels that see only background.

    Parameters
    ----------
    image : (ny, nx) float32
        Draft count rate [DN/s].
    regions : (ny, nx) bool, optional
        Pixels that the mode lights, or that are of no use (True).
    n_sigma : float
        Limit above the background, in standard deviations (3 below it); 0 leaves sources in.
    fit_histogram : bool
        Take level and width from a Gaussian fitted to the histogram.

    Returns
    -------
    (ny, nx) bool
        True where there is only background. NaN and zeros never count.
    """
    keep = np.ones(image.shape, np.bool_) if regions is None else ~regions
    drop_empty_inplace(keep, image)
    if n_sigma > 0:
        clip_signal_inplace(image, keep, above=n_sigma, fit_histogram=fit_histogram)
    return keep


def own_mask(pattern: str | None, name: str) -> str | None:
    """Return the mask file of an exposure; None if the pattern names one per exposure and this has none."""
    path = pattern and pattern.replace("{exposure}", split_name(name)[0])
    if path != pattern and not Path(path).exists():
        log.warning("%s: there is no mask %s; one is made from the exposure", name, path)
        return None
    return path


def read_user_mask(path: str, readout: Readout) -> np.ndarray:
    """Read a mask from the ``SCI`` extension (or the first image) of a FITS file.

    Returns
    -------
    (ny, nx) or (nints, ny, nx) bool
        True (not 0) where there is only background.

    Raises
    ------
    InputError
        If the file is missing, holds no image, or does not fit the exposure.
    """
    if not Path(path).exists():
        raise InputError(f"user_mask: {path} does not exist")
    with fits.open(path) as hdus:
        image = (
            hdus["SCI"].data if "SCI" in hdus else next((h.data for h in hdus if h.is_image and h.data is not None), None)
        )
        mask = None if image is None else np.ascontiguousarray(image != 0)
    if mask is None or mask.ndim not in (2, 3):
        raise InputError(f"user_mask: {path} holds no image; give a FITS file with 1 for background pixels in SCI")
    fits_image = mask.shape[-2:] == (readout.ny, readout.nx)
    if not fits_image or (mask.ndim == 3 and mask.shape[0] != readout.nints):
        raise InputError(
            f"user_mask: {path} has shape {mask.shape}, the exposure has {readout.nints} integrations of "
            f"{readout.ny} x {readout.nx} pixels; give a mask of one image or of one image per integration"
        )
    return mask


def _flat_regions(rate: Slope, refs: References) -> np.ndarray:
    """Pixels that are not part of the science area: flagged in the draft rate or in the flat."""
    outside = (rate.dq & np.uint32(DO_NOT_USE | NON_SCIENCE)) != 0
    reference = refs["flat"]
    if reference is not None:
        flat = reference.array("SCI")
        outside |= np.isnan(flat) | (flat == 0)
        flags = reference.dq("DQ")
        if flags is not None:
            outside |= (flags & np.uint32(DO_NOT_USE | NON_SCIENCE | NO_FLAT_FIELD)) != 0
    return outside


def _soss_regions(rate: Slope, refs: References) -> np.ndarray:
    """Pixels near the traces of the cross-dispersed grism, which turn with the pupil wheel."""
    reference = refs["pastasoss"]
    if reference is None:
        raise InputError(
            f"{rate.name}: mask_science_regions needs a PASTASOSS reference for the traces; name one with "
            "override_pastasoss, set mask_science_regions: false, or give a user_mask"
        )
    tree = reference.asdf()
    meta, angle = tree["meta"], float(rate.require("PWCPOS"))
    low, high = meta["pwcpos_bounds"]
    if not low <= angle <= high:
        raise InputError(f"{rate.name}: keyword PWCPOS is {angle}, the PASTASOSS reference covers {low} to {high}")
    ny, nx = rate.data.shape[-2:]
    # traces are given in the window of SUBSTRIP256
    offset = rate.readout.ystart - 1 - int(meta["subarray_ymin"])
    lit = np.zeros((ny, nx), np.bool_)
    for entry in tree["traces"]:
        turn = angle - float(meta["pwcpos_cmd"])
        centre = trace_rows(np.asarray(entry["trace"]), turn, (entry["pivot_x"], entry["pivot_y"]), nx) - offset
        rows = np.arange(ny)[:, None]
        lit |= (rows >= np.floor(centre - _TRACE_HALF_WIDTH)) & (rows <= np.ceil(centre + _TRACE_HALF_WIDTH))
    return lit


def trace_rows(trace: np.ndarray, angle_deg: float, pivot: tuple[float, float], nx: int) -> np.ndarray:
    """Return the row of a trace in each column, after a turn about a point.

    Parameters
    ----------
    trace : (npoints, 2) float
        x and y of the trace [pixel].
    angle_deg : float
        Turn, counter-clockwise [deg].
    pivot : (float, float)
        x and y of the point [pixel].
    nx : int
        Columns.

    Returns
    -------
    (nx,) float64
        Rows [pixel]; the trace is prolonged straight at both ends of the part below row 255.
    """
    order = np.argsort(trace[:, 0])
    x, y = trace[order, 0] - pivot[0], trace[order, 1] - pivot[1]
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    turned_x, turned_y = cosine * x - sine * y + pivot[0], sine * x + cosine * y + pivot[1]
    columns = trace[order, 0]
    rows = _interpolate(columns, turned_x, turned_y)
    inside = rows <= _STRIP_ROWS - 1
    return _interpolate(np.arange(nx), columns[inside], rows[inside])


def _interpolate(x: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate linearly, and along the first and last stretch outside."""
    k = np.clip(np.searchsorted(places, x) - 1, 0, places.size - 2)
    slope = (values[k + 1] - values[k]) / (places[k + 1] - places[k])
    return values[k] + slope * (x - places[k])


def _spectral_regions(rate: Slope, refs: References) -> np.ndarray:
    """Pixels of slits or slices; only where a world coordinate system with its slits is there already."""
    raise InputError(
        f"{rate.name}: mask_science_regions needs the footprints of the slits or slices of {rate.require('EXP_TYPE')}, "
        "which the spectroscopic world coordinates give; set mask_science_regions: false, or give a user_mask"
    )


#: EXP_TYPE pattern -> the function that finds what the mode lights; the first that matches counts.
_REGIONS: tuple[tuple[str, Callable | None], ...] = (
    ("MIR_IMAGE", _flat_regions),
    ("NRS_IFU", _spectral_regions),
    ("NRS_MSASPEC", _spectral_regions),
    ("NRS_FIXEDSLIT", _spectral_regions),
    ("NRS_BRIGHTOBJ", _spectral_regions),
    ("NIS_SOSS", _soss_regions),
    ("*", None),
)


def regions_rule(exp_type: str) -> Callable | None:
    """Return the function that finds what a mode lights; None if it lights the whole detector."""
    return next(rule for pattern, rule in _REGIONS if fnmatchcase(exp_type, pattern))


def science_regions(rate: Slope, refs: References) -> np.ndarray | None:
    """Return the pixels that are not background by the nature of the mode.

    Parameters
    ----------
    rate : Slope
        Draft count rate.
    refs : References

    Returns
    -------
    (ny, nx) bool or None
        True where the mode puts light or the detector has no science pixels.

    Raises
    ------
    InputError
        If they cannot be found for this mode.
    """
    rule = regions_rule(rate.readout.exp_type)
    found = None if rule is None else rule(rate, refs)
    opened = (rate.dq & np.uint32(MSA_FAILED_OPEN)) != 0
    if opened.any():
        found = opened if found is None else found | opened
    return found


def side_product(ramp: Ramp, data: np.ndarray, suffix: str) -> SideProduct:
    """Return an array with the headers of a ramp."""
    return SideProduct(**{**ramp.headers_copy(), "wcs": None}, suffix=suffix, data=data)
