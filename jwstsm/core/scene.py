"""Which pixels of an image see only background, and how bright that background is.

Masks are boolean, True for background pixels that may be used. Sources: the scene masks of the official
``clean_flicker_noise`` step (jwst 3.0.0), which follow C. Willott's ``image1overf``, and photutils' ``Background2D`` for
the background in boxes.
"""

from __future__ import annotations

import logging

import numpy as np

from jwstsm.core.background import Background, _repair
from jwstsm.core.compiled import njit, prange
from jwstsm.core.sample import Sample
from jwstsm.core.selection import clip_inplace, median64_inplace

__all__ = [
    "background_level",
    "clip_mask_inplace",
    "clip_signal_inplace",
    "clip_to_lower_half_inplace",
    "default_box",
    "drop_empty_inplace",
]

log = logging.getLogger(__name__)

_SIGMA = 3.0
_ROUNDS = 5
_HISTOGRAM_BINS = 2000
_BOX_SHARE = 0.9
_LARGEST_BOX = 32


@njit(parallel=True)
def clip_mask_inplace(keep, image, low, high):
    """Drop pixels below ``low`` or above ``high`` from a mask; NaN pixels keep what they have."""
    ny, nx = image.shape
    for y in prange(ny):
        for x in range(nx):
            v = np.float64(image[y, x])
            if v < low or v > high:
                keep[y, x] = False


@njit(parallel=True)
def drop_empty_inplace(keep, image):
    """Drop pixels that are NaN or exactly 0 from a mask."""
    ny, nx = image.shape
    for y in prange(ny):
        for x in range(nx):
            v = image[y, x]
            if v != v or v == 0:
                keep[y, x] = False


def clip_signal_inplace(
    image: np.ndarray, keep: np.ndarray, *, above: float = 2.0, below: float = 3.0, fit_histogram: bool = False
) -> None:
    """Drop sources and bad pixels from a mask: what lies far from the clipped centre of all pixels.

    Parameters
    ----------
    image : (ny, nx) float32
        Image [any unit].
    keep : (ny, nx) bool
        Changed in place.
    above, below : float
        Limits above and below the centre, in standard deviations.
    fit_histogram : bool
        Take centre and deviation from a Gaussian fitted to the histogram instead of from the clipped sample.
    """
    sample = Sample(image, keep)
    if sample.size == 0:
        return
    mean, median, spread, _ = sample.clipped(_SIGMA, _ROUNDS)
    centre = median
    if fit_histogram:
        centre, spread = _histogram_peak(sample, mean, spread)
    clip_mask_inplace(keep, image, centre - below * spread, centre + above * spread)


def clip_to_lower_half_inplace(
    image: np.ndarray, keep: np.ndarray, sigma: float, sample: Sample | None = None
) -> tuple[float, float]:
    """Drop pixels far from the centre, with the width taken from the half below it, where sources do not reach.

    Parameters
    ----------
    image : (ny, nx) float32
        Image [any unit].
    keep : (ny, nx) bool
        Changed in place.
    sigma : float
        Limit on both sides, in standard deviations.
    sample : Sample, optional
        The kept pixels, if they are in order already.

    Returns
    -------
    low, high : float
        The limits; infinite if the mask is empty.
    """
    sample = Sample(image, keep) if sample is None else sample
    if sample.size == 0:
        return -np.inf, np.inf
    low, high = lower_half_limits(sample, sigma)
    clip_mask_inplace(keep, image, low, high)
    return low, high


def lower_half_limits(sample: Sample, sigma: float, first: int = 0, stop: int | None = None) -> tuple[float, float]:
    """Return the limits of :func:`clip_to_lower_half_inplace` for part of a sample."""
    centre = sample.clipped(_SIGMA, _ROUNDS, first, stop).median
    spread = sample.clipped_lower_half(centre, _SIGMA, _ROUNDS, first).std
    return centre - sigma * spread, centre + sigma * spread


def background_level(
    image: np.ndarray, keep: np.ndarray, method: str | None = "median", box: list[int] | None = None
) -> np.float32 | np.ndarray:
    """Measure the background, after dropping what is left of sources from the mask.

    Parameters
    ----------
    image : (ny, nx) float32
        Image [any unit].
    keep : (ny, nx) bool
        Changed in place: pixels beyond 3 standard deviations of the lower half are dropped.
    method : {"median", "model", None}
        One number, an image interpolated between boxes, or 0 (and the mask is left alone).
    box : list of int, optional
        (height, width) of a box [pixel]; default the largest sizes up to 32 that divide the image.

    Returns
    -------
    float32 or (ny, nx) float32
        The level [unit of ``image``]. ``model`` falls back to the median when no box has enough pixels.
    """
    if method is None:
        return np.float32(0)
    sample = Sample(image, keep)
    low, high = clip_to_lower_half_inplace(image, keep, _SIGMA, sample)
    if method == "model":
        model = _box_model(image, keep, box or default_box(image.shape))
        if model is not None:
            return model
        log.warning("too few background pixels in every box; the background is their median")
    return np.float32(sample.median(*sample.part(low, high)))


def default_box(shape: tuple[int, int]) -> list[int]:
    """Return, for each axis, the largest size up to 32 that divides it."""
    return [next(size for size in range(_LARGEST_BOX, 0, -1) if n % size == 0) for n in shape]


def _box_model(image: np.ndarray, keep: np.ndarray, box: list[int]) -> np.ndarray | None:
    """Interpolate the clipped medians of boxes; None if no box has enough pixels."""
    ny, nx = image.shape
    height, width = min(box[0], ny), min(box[1], nx)
    if ny % height or nx % width:
        log.warning("background boxes of %d x %d pixels do not divide an image of %d x %d", height, width, ny, nx)
    mesh, count = _box_medians(image, keep, height, width, _SIGMA, _ROUNDS)
    mesh[count <= _BOX_SHARE * height * width] = np.nan
    if np.isnan(mesh).all():
        return None
    return Background(_median_filter(_repair(mesh), 5), mesh, (ny, nx), (height, width)).level()


@njit
def _one_box(image, keep, y0, y1, x0, x1, values, sigma, rounds):
    """Median of the clipped pixels of a box (NaN if there are none) and their number."""
    n = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            if keep[y, x] and np.isfinite(image[y, x]):
                values[n] = image[y, x]
                n += 1
    n, _ = clip_inplace(values, n, sigma, rounds)
    return np.float32(median64_inplace(values, n)), n


@njit(parallel=True)
def _box_medians(image, keep, height, width, sigma, rounds):
    """Median of each box after clipping, and how many pixels survive, both (nboxy, nboxx)."""
    ny, nx = image.shape
    rows = (ny + height - 1) // height
    cols = (nx + width - 1) // width
    mesh = np.empty((rows, cols), np.float32)
    count = np.empty((rows, cols), np.int64)
    for j in prange(rows):
        values = np.empty(height * width, np.float32)
        for i in range(cols):
            y1, x1 = min(ny, (j + 1) * height), min(nx, (i + 1) * width)
            mesh[j, i], count[j, i] = _one_box(image, keep, j * height, y1, i * width, x1, values, sigma, rounds)
    return mesh, count


def _median_filter(mesh: np.ndarray, size: int) -> np.ndarray:
    """Median of each box and its neighbours inside the mesh (``size`` odd)."""
    padded = np.pad(mesh, size // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(*mesh.shape, size * size)
    return np.nanmedian(windows, axis=2).astype(np.float32)


def _histogram_peak(sample: Sample, centre: float, spread: float) -> tuple[float, float]:
    """Return mean and width of a Gaussian fitted to the histogram; what was given if that fails."""
    from scipy.optimize import curve_fit

    reach = 4.0 * spread
    if not reach > 0.0:
        return centre, spread
    counts, edges = np.histogram(
        sample.values.astype(np.float64), bins=_HISTOGRAM_BINS, range=(centre - reach, centre + reach)
    )
    places = (edges[1:] + edges[:-1]) / 2.0

    def gaussian(x, height, mean, width):
        return height * np.exp(-0.5 * ((x - mean) / width) ** 2)

    start = (counts.max(), places[np.argmax(counts)], spread)
    bounds = [(0, places[0], 0), (np.inf, places[-1], places[-1] - places[0])]
    try:
        best, _ = curve_fit(gaussian, places, counts, p0=start, bounds=bounds)
    except RuntimeError:
        log.warning("no Gaussian fits the histogram of pixel values; the clipped centre and width are used")
        return centre, spread
    return float(best[1]), float(best[2])
