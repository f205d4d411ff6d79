"""subtract_wisps: take off stray light whose shape is known, scaled to the image.

Wisps are light of bright stars outside the field that reaches some detectors of NIRCam past the mirrors; NIRISS has its
"light saber". Their shape is the same in all exposures of a detector and filter, their brightness is not. A step of ours:
the official pipeline leaves it to users, who have templates made of many exposures.

Source: descriptions of wisps and of their templates in the JWST user documentation (NIRCam claws and wisps).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from astropy.io import fits

from jwstsm.core import dq as dqbits
from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Slope
from jwstsm.references import References
from jwstsm.step import Range, Skipped, step

__all__ = ["WispFit", "fit_wisps", "subtract_wisps"]

log = logging.getLogger(__name__)

_FAINT = 0.05  # of the template's brightest part: where there is less, an image says nothing about the scale
_SURROUNDINGS = 16  # pixels about the wisps that fix the level without them
_ITERATIONS = 10
_GROW = 2  # pixels about a source that its light still reaches
_FEWEST = 100


class WispFit(NamedTuple):
    """Factor on the template, its standard deviation, and the level of the image besides it."""

    scale: float
    error: float
    background: float


def fit_wisps(data: np.ndarray, template: np.ndarray, usable: np.ndarray, n_sigma: float = 2.5) -> WispFit | None:
    """Fit ``scale * template + background`` to an image in which there are sources.

    Parameters
    ----------
    data, template : (ny, nx) ndarray
    usable : (ny, nx) bool
    n_sigma : float
        Pixels further from the fit than this, in robust standard deviations, and their neighbours are left out: sources,
        and what the jump step left.

    Returns
    -------
    WispFit or None
        None if too few pixels are left.
    """
    from scipy import ndimage  # here, because most runs of image2 do without it

    bright = template > _FAINT * np.nanmax(np.where(usable, template, 0.0))
    usable = usable & np.isfinite(template)
    usable &= ndimage.maximum_filter(bright, 2 * _SURROUNDINGS + 1)
    kept, fit = usable, None
    for _ in range(_ITERATIONS):
        if np.count_nonzero(kept) < _FEWEST:
            return None
        before, fit = fit, _least_squares(data[kept], template[kept])
        if before is not None and abs(fit.scale - before.scale) < 0.05 * fit.error:
            break
        residual = np.where(usable, data - fit.scale * template - fit.background, 0.0)
        inside = residual[kept]
        middle = np.median(inside)
        sigma = 1.4826 * np.median(np.abs(inside - middle))
        high = ndimage.binary_dilation(residual > middle + n_sigma * sigma, iterations=1)
        # light of a source ends slowly: cores that stand out of a smoothed image too are grown further
        smooth = ndimage.uniform_filter(residual, 3)
        high |= ndimage.binary_dilation(smooth > n_sigma * sigma, iterations=_GROW)
        kept = usable & ~high & (residual > middle - n_sigma * sigma)
    return fit


def _least_squares(values: np.ndarray, shape: np.ndarray) -> WispFit:
    """Fit a straight line ``values = scale * shape + background``."""
    values, shape = values.astype(np.float64), shape.astype(np.float64)
    x0, y0 = shape.mean(), values.mean()
    x, y = shape - x0, values - y0
    spread = float(x @ x)
    if spread == 0.0:
        return WispFit(0.0, np.inf, y0)
    scale = float(x @ y) / spread
    rest = y - scale * x
    return WispFit(scale, float(np.sqrt(rest @ rest / len(rest) / spread)), float(y0 - scale * x0))


def read_template(pattern: str, slope: Slope) -> np.ndarray | None:
    """Read the template of an exposure's detector and filter, cut to its subarray; None if there is none.

    Raises
    ------
    ConfigError
        If the pattern has a name in braces that is none of a template's.
    InputError
        If the file holds no image of the detector's or the exposure's size.
    """
    words = {name: str(slope.key(name.upper(), "")).lower() for name in ("detector", "filter", "pupil", "module")}
    try:
        path = Path(pattern.format(**words))
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            f"subtract_wisps: template {pattern!r}: {error}; names in braces are detector, filter, pupil, module"
        ) from None
    if not path.exists():
        log.info("no wisp template %s", path)
        return None
    with fits.open(path) as hdus:
        found = (
            hdus["SCI"].data if "SCI" in hdus else next((h.data for h in hdus if h.is_image and h.data is not None), None)
        )
        image = None if found is None or found.ndim != 2 else np.array(found, np.float32)
    readout, shape = slope.readout, slope.data.shape[-2:]
    if image is not None and image.shape != shape:
        y, x = readout.ystart - 1, readout.xstart - 1
        image = image[y : y + shape[0], x : x + shape[1]]
    if image is None or image.shape != shape:
        raise InputError(f"subtract_wisps: {path} holds no image of the full detector or of {shape[1]} x {shape[0]} pixels")
    return image


@step("S_WISPS", references=[])
def subtract_wisps(
    slope: Slope,
    refs: References,
    *,
    template: str = "",
    scale: float | None = None,
    n_sigma: Annotated[float, Range(min=1)] = 2.5,
    min_snr: Annotated[float, Range(min=0)] = 5.0,
    skip: bool = True,
) -> Slope:
    """Subtract a template of stray light, scaled to the image.

    Removes wisps (NIRCam) and similar features whose shape is known from many exposures; a step of ours.

    Parameters
    ----------
    slope : Slope
        ``data`` is changed in place.
    refs : References
        Not used.
    template : str
        FITS file of the template (flat-fielded, any unit), with names in braces to choose it: ``{detector}``,
        ``{filter}``, ``{pupil}``, ``{module}`` in lower case, such as ``wisps/{detector}_{filter}.fits``. Exposures
        without a file are left alone.
    scale : float, optional
        Factor on the template [DN/s per unit of it]; default: fitted to each image.
    n_sigma : float
        Pixels further from the fit than this, in standard deviations, are taken for sources.
    min_snr : float
        A fitted factor below this many standard deviations is not applied.
    skip : bool
        Do not run this step.

    Returns
    -------
    Slope

    Notes
    -----
    ``data - scale * template``; variances and errors stay: the noise of a template of many exposures is small. The factor
    is kept in the keyword WISPSCAL. DQ bits read: DO_NOT_USE. None set.
    """
    if not template:
        return Skipped(slope, "no template is given (parameter 'template')")
    if slope.data.ndim != 2:
        return Skipped(slope, "wisps are taken off images, not off stacks of integrations")
    image = read_template(template, slope)
    if image is None:
        return Skipped(slope, "there is no template for this detector and filter")
    if scale is None:
        usable = np.isfinite(slope.data)
        if slope.dq is not None:
            usable &= (slope.dq & np.uint32(dqbits.DO_NOT_USE)) == 0
        fit = fit_wisps(slope.data, image, usable, n_sigma)
        if fit is None:
            return Skipped(slope, "too few pixels without sources to fit the template to")
        log.info("%s: wisps %.4g +- %.2g of the template", slope.name, fit.scale, fit.error)
        if fit.scale < min_snr * fit.error:
            return Skipped(slope, f"no wisps: factor {fit.scale:.3g} +- {fit.error:.2g} on the template")
        scale = fit.scale
    slope.data -= np.float32(scale) * np.nan_to_num(image)
    slope.primary["WISPSCAL"] = (float(scale), "factor on the wisp template subtracted")
    return slope
