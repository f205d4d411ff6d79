"""Sources as connected regions of a smoothed image: smoothing, detection, and the measures of each region.

The definitions are those of photutils' ``SourceFinder`` and ``SourceCatalog`` as the official pipeline uses
them; the tests hold the two against each other. Smoothing, and the sums over regions, are compiled loops.
"""

from __future__ import annotations

import math

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.starfind import FWHM_TO_SIGMA

__all__ = ["detect_segments", "gaussian_smooth", "label_boxes", "measure_segments", "segment_shapes"]

_ROWS = 32
_THIN = 1.0 / 12.0  # variance of one pixel, added to regions thinner than that


def gaussian_smooth(data: np.ndarray, mask: np.ndarray | None, fwhm: float) -> np.ndarray:
    """Convolve an image with a Gaussian, filling pixels without data from their neighbours.

    Parameters
    ----------
    data : ndarray, (ny, nx) float32
        The image [any unit].
    mask : ndarray, (ny, nx) bool, or None
        Pixels without data (True); NaN pixels have none either.
    fwhm : float
        Full width at half maximum of the Gaussian [pixel].

    Returns
    -------
    ndarray, (ny, nx) float32
        The smoothed image; NaN where no pixel under the kernel has data.

    Notes
    -----
    The kernel has the odd width next above 8 sigma and is normalised over the pixels with data. Outside the
    image counts as zeros, as in ``astropy.convolution.convolve``.
    """
    sigma = fwhm * FWHM_TO_SIGMA
    width = math.ceil(8 * sigma)
    half = (width + (width % 2 == 0)) // 2
    profile = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return _interpolating_smooth(data, np.zeros((1, 1), np.bool_) if mask is None else mask, profile / profile.sum())


@njit(parallel=True)
def _interpolating_smooth(data, mask, profile):
    ny, nx = data.shape
    half = profile.size // 2
    masked = mask.size == data.size
    out = np.empty((ny, nx), np.float32)
    for block in prange((ny + _ROWS - 1) // _ROWS):
        y0, y1 = block * _ROWS, min(ny, (block + 1) * _ROWS)
        total = np.zeros((y1 - y0 + 2 * half, nx))
        weight = np.ones((y1 - y0 + 2 * half, nx))
        value = np.zeros(nx + 2 * half)
        there = np.ones(nx + 2 * half)
        for row in range(total.shape[0]):
            y = y0 - half + row
            if y < 0 or y >= ny:
                continue
            for x in range(nx):
                missing = np.isnan(data[y, x]) or (masked and mask[y, x])
                value[x + half] = 0.0 if missing else data[y, x]
                there[x + half] = 0.0 if missing else 1.0
            for x in range(nx):
                top, bottom = 0.0, 0.0
                for k in range(2 * half + 1):
                    top += profile[k] * value[x + k]
                    bottom += profile[k] * there[x + k]
                total[row, x] = top
                weight[row, x] = bottom
        for y in range(y0, y1):
            for x in range(nx):
                top, bottom = 0.0, 0.0
                for k in range(2 * half + 1):
                    top += profile[k] * total[y - y0 + k, x]
                    bottom += profile[k] * weight[y - y0 + k, x]
                out[y, x] = top / bottom if bottom > 0 else np.nan
    return out


def detect_segments(
    smoothed: np.ndarray, threshold: np.ndarray | float, mask: np.ndarray | None, n_pixels: int, connectivity: int
) -> tuple[np.ndarray, int]:
    """Label the connected regions above a threshold.

    Parameters
    ----------
    smoothed : ndarray, (ny, nx) float32
        The smoothed image.
    threshold : ndarray, (ny, nx) float32, or float
        A pixel must be larger than this.
    mask : ndarray, (ny, nx) bool, or None
        Pixels that belong to no region.
    n_pixels : int
        Smallest region kept [pixel].
    connectivity : {4, 8}
        Whether corners connect.

    Returns
    -------
    segments : ndarray, (ny, nx) int32
        0 outside, 1... in reading order of the regions' first pixels.
    count : int
        Number of regions.
    """
    from scipy.ndimage import label

    with np.errstate(invalid="ignore"):
        above = smoothed > threshold
    if mask is not None:
        above &= ~mask
    segments, count = label(above, structure=np.ones((3, 3)) if connectivity == 8 else None)
    keep = _sizes(segments, count) >= n_pixels
    keep[0] = False
    numbers = np.cumsum(keep, dtype=np.int32) * keep.astype(np.int32)
    _rename_inplace(segments, numbers)
    return segments, int(keep.sum())


# NumPy would turn the labels into 64-bit numbers on the way, a gigabyte in a mosaic of a hundred exposures
@njit
def _sizes(segments, count):
    """Return the number of pixels of each label 0 to ``count``."""
    out = np.zeros(count + 1, np.int64)
    for y in range(segments.shape[0]):
        for x in range(segments.shape[1]):
            out[segments[y, x]] += 1
    return out


@njit(parallel=True)
def _rename_inplace(segments, numbers):
    """Replace each label by its number."""
    for y in prange(segments.shape[0]):
        for x in range(segments.shape[1]):
            segments[y, x] = numbers[segments[y, x]]


@njit
def label_boxes(segments, count):
    """Return (count, 4) int64: y0, y1, x0, x1 (exclusive ends) of the box around labels 1 to ``count``."""
    ny, nx = segments.shape
    box = np.empty((count, 4), np.int64)
    box[:, 0], box[:, 1], box[:, 2], box[:, 3] = ny, 0, nx, 0
    for y in range(ny):
        for x in range(nx):
            k = segments[y, x] - 1
            if k >= 0:
                box[k, 0] = min(box[k, 0], y)
                box[k, 1] = max(box[k, 1], y + 1)
                box[k, 2] = min(box[k, 2], x)
                box[k, 3] = max(box[k, 3], x + 1)
    return box


def measure_segments(
    data: np.ndarray, error: np.ndarray | None, smoothed: np.ndarray, segments: np.ndarray, boxes: np.ndarray
) -> dict[str, np.ndarray]:
    """Sum the image over each region and take the moments of its light.

    Parameters
    ----------
    data, error : ndarray, (ny, nx) float32
        The image with its background taken off and its total error [unit of flux per pixel]; the error may be
        None.
    smoothed : ndarray, (ny, nx) float32
        The smoothed image; its positive values in the region weigh the moments.
    segments : ndarray, (ny, nx) int32
        Labels 1 to n.
    boxes : ndarray, (n, 4) int64
        Boxes around the labels, from :func:`label_boxes`.

    Returns
    -------
    dict of ndarray
        ``id flux segment_flux_err area xcentroid ycentroid semimajor_axis semiminor_axis orientation
        ellipticity`` (flux in the unit of ``data``, lengths in pixels, angles in degrees).
    """
    sums = _segment_sums(data, smoothed if error is None else error, smoothed, segments, boxes)
    none = sums[:, 2] == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        flux_error = np.full(len(boxes), np.nan) if error is None else np.where(none, np.nan, np.sqrt(sums[:, 1]))
        shape = segment_shapes(sums[:, 6] / sums[:, 3], sums[:, 7] / sums[:, 3], sums[:, 8] / sums[:, 3])
        return {
            "id": np.arange(1, len(boxes) + 1, dtype=np.int32),
            "xcentroid": sums[:, 4] / sums[:, 3] + boxes[:, 2],
            "ycentroid": sums[:, 5] / sums[:, 3] + boxes[:, 0],
            "flux": np.where(none, np.nan, sums[:, 0]),
            "segment_flux_err": flux_error,
            "area": np.where(none, np.nan, sums[:, 2]),
        } | shape


@njit(parallel=True)
def _segment_sums(data, error, smoothed, segments, boxes):
    """Per region: flux, variance, pixels, then the zeroth, first (x, y) and central second (xx, yy, xy) moments."""
    out = np.zeros((boxes.shape[0], 9))
    for k in prange(boxes.shape[0]):
        y0, y1, x0, x1 = boxes[k]
        s = np.zeros(9)
        for y in range(y0, y1):
            for x in range(x0, x1):
                if segments[y, x] != k + 1:
                    continue
                if np.isfinite(data[y, x]):
                    s[0] += data[y, x]
                    s[1] += float(error[y, x]) ** 2
                    s[2] += 1
                light = float(smoothed[y, x])
                if np.isfinite(light) and light > 0:
                    s[3] += light
                    s[4] += light * (x - x0)
                    s[5] += light * (y - y0)
        xc, yc = s[4] / s[3], s[5] / s[3]
        for y in range(y0, y1):
            for x in range(x0, x1):
                light = float(smoothed[y, x])
                if segments[y, x] == k + 1 and np.isfinite(light) and light > 0:
                    dx, dy = x - x0 - xc, y - y0 - yc
                    s[6] += light * dx * dx
                    s[7] += light * dy * dy
                    s[8] += light * dx * dy
        out[k] = s
    return out


def segment_shapes(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> dict[str, np.ndarray]:
    """Turn second central moments [pixel^2] into axes [pixel], ellipticity and position angle from the x axis [deg].

    Regions thinner than a pixel get the variance of a pixel added, as SExtractor does.
    """
    xx, yy = xx.copy(), yy.copy()
    det = xx * yy - xy * xy
    bad = ~(det >= 0)
    thin = ~bad & (det < _THIN**2)
    while thin.any():
        xx[thin] += _THIN
        yy[thin] += _THIN
        thin = thin & (xx * yy - xy * xy < _THIN**2)
    xx[bad] = np.nan
    half_sum, half_difference = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    major, minor = half_sum + half_difference, half_sum - half_difference
    minor[minor < 0] = np.nan
    major[np.isnan(minor)] = np.nan
    axis_a, axis_b = np.sqrt(major), np.sqrt(minor)
    return {
        "semimajor_axis": axis_a,
        "semiminor_axis": axis_b,
        "orientation": np.where(bad, np.nan, np.rad2deg(0.5 * np.arctan2(2.0 * xy, xx - yy)) % 360),
        "ellipticity": 1.0 - axis_b / axis_a,
    }
