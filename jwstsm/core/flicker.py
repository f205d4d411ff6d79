"""Removal of flicker (1/f) noise from one image: background off, correlated noise fitted and subtracted, background on.

The image is a difference of two groups, or a count rate. Source: the official ``clean_flicker_noise`` step (jwst 3.0.0),
which combines C. Willott's ``image1overf`` (medians of lines) and B. Rauscher's NSClean (Fourier series).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.nsclean import clean_full_frame_inplace
from jwstsm.core.nsclean_subarray import PASS_BANDS, clean_subarray_inplace
from jwstsm.core.sample import Sample
from jwstsm.core.scene import background_level, clip_to_lower_half_inplace, lower_half_limits
from jwstsm.core.stripes import subtract_stripes_inplace

__all__ = ["FlickerFit", "clean_image_inplace", "fill_flat"]

_FULL_FRAME = (2048, 2048)
_SIGMA = 3.0


@dataclass(frozen=True)
class FlickerFit:
    """How the noise of an image is fitted.

    Attributes
    ----------
    method : {"median", "fft"}
        Medians of lines, or Fourier series along readout lines (images whose readout lines are columns).
    axis : int
        For ``median``: 1 if a line is a row, 0 if it is a column.
    channels : int
        For ``median``: amplifiers along a line that are fitted on their own.
    background : {"median", "model", None}
        What is taken off before the fit and put back after it.
    box : list of int, optional
        (height, width) of the boxes of ``model`` [pixel].
    n_sigma : float
        Limit for pixels that still stand out from the background; 0 keeps them all.
    flip : bool
        For ``fft``: whether the lines are read from right to left.
    band : tuple of int
        For ``fft`` of subarrays: corners of the filter [Hz].
    """

    method: str = "median"
    axis: int = 1
    channels: int = 1
    background: str | None = "median"
    box: list[int] | None = None
    n_sigma: float = 2.0
    flip: bool = False
    band: tuple[int, int, int, int] = PASS_BANDS[None]


def clean_image_inplace(image: np.ndarray, keep: np.ndarray, fit: FlickerFit) -> np.float32 | np.ndarray | None:
    """Subtract the flicker noise from an image.

    Parameters
    ----------
    image : (ny, nx) float32
        Image [any unit] with 0 in place of NaN; changed in place.
    keep : (ny, nx) bool
        Pixels that see only background and noise (True), none of them NaN; changed in place: more are dropped.
    fit : FlickerFit

    Returns
    -------
    float32, (ny, nx) float32 or None
        The background that was taken off and put back; None if no pixel could be used and the image is as it was.
    """
    if not keep.any():
        return None
    background = _take_background(image, keep, fit)
    cleaned = True
    if fit.method == "fft" and image.shape == _FULL_FRAME:
        clean_full_frame_inplace(image, keep, fit.flip)
    elif fit.method == "fft":
        cleaned = clean_subarray_inplace(image, keep, fit.flip, fit.band)
    else:
        subtract_stripes_inplace(image, keep, fit.axis, fit.channels)
    if fit.background is not None:
        image += background
    return background if cleaned else None


def _take_background(image: np.ndarray, keep: np.ndarray, fit: FlickerFit):
    """Subtract the background and drop what stands out then; return the background."""
    if fit.background != "median":
        background = background_level(image, keep, fit.background, fit.box)
        if fit.background is not None:
            image -= background
            if fit.n_sigma > 0:
                clip_to_lower_half_inplace(image, keep, fit.n_sigma)
        return background
    # one ordered sample serves both rounds of clipping: dropping pixels by value only shortens it
    sample = Sample(image, keep)
    low, high = lower_half_limits(sample, _SIGMA)
    first, stop = sample.part(low, high)
    background = np.float32(sample.median(first, stop))
    near = (-np.inf, np.inf)
    if fit.n_sigma > 0:
        sample.shift_inplace(background)
        near = lower_half_limits(sample, fit.n_sigma, first, stop)
    _subtract_and_clip(image, keep, background, low, high, *near)
    return background


@njit(parallel=True)
def _subtract_and_clip(image, keep, background, low, high, near_low, near_high):
    """Subtract a number; keep pixels that were in [low, high] before and are in [near_low, near_high] after."""
    ny, nx = image.shape
    for y in prange(ny):
        for x in range(nx):
            before = image[y, x]
            after = before - background
            image[y, x] = after
            keep[y, x] &= before >= low and before <= high and after >= near_low and after <= near_high


def fill_flat(flat: np.ndarray) -> np.ndarray:
    """Return a flat with its zeros and NaN replaced by a smooth local level (a copy, float32)."""
    out = np.array(flat, np.float32)
    bad = (out == 0) | ~np.isfinite(out)
    if bad.any() and not bad.all():
        level = background_level(out, ~bad, "model")
        out[bad] = level if np.isscalar(level) else level[bad]
    return out
