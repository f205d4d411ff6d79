"""Clipped means and running medians of reference pixels, compiled."""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["clipped_mean", "clipped_means", "running_medians"]


@njit
def clipped_mean(values, limit):
    """Return the mean of values within ``limit`` standard deviations, repeated until nothing more is cut.

    Parameters
    ----------
    values : (n,) float64
        Overwritten: the values that are kept are moved to the front.
    limit : float

    Returns
    -------
    float
        NaN if there are no values.
    """
    count = values.size
    while True:
        if count == 0:
            return np.nan
        mean = 0.0
        for k in range(count):
            mean += values[k]
        mean /= count
        spread = 0.0
        for k in range(count):
            spread += (values[k] - mean) ** 2
        spread = np.sqrt(spread / count)
        low, high = mean - limit * spread, mean + limit * spread
        kept = 0
        for k in range(count):
            if low <= values[k] <= high:
                values[kept] = values[k]
                kept += 1
        # rounding may put equal values outside a spread of zero
        if kept == count or kept == 0:
            return mean
        count = kept


@njit(parallel=True)
def clipped_means(pixels, groups, ngroups, limit):
    """Return the clipped mean of each set of pixels in each plane.

    Parameters
    ----------
    pixels : (nplanes, npixels) float32 [DN]
    groups : (npixels,) int64
        Set that each pixel belongs to, 0 .. ``ngroups - 1``; -1 for pixels that are not used.
    ngroups : int
    limit : float
        Clipping limit [standard deviations].

    Returns
    -------
    (nplanes, ngroups) float64 [DN]
        NaN where a set has no pixels. NaN pixels are not used.
    """
    nplanes, npixels = pixels.shape
    out = np.empty((nplanes, ngroups), np.float64)
    for p in prange(nplanes):
        buffer = np.empty(npixels, np.float64)
        for s in range(ngroups):
            count = 0
            for k in range(npixels):
                if groups[k] == s and pixels[p, k] == pixels[p, k]:
                    buffer[count] = pixels[p, k]
                    count += 1
            out[p, s] = clipped_mean(buffer[:count], limit)
    return out


@njit
def _insert(window, count, value):
    """Put a value into a sorted window; return the new count."""
    k = count
    while k > 0 and window[k - 1] > value:
        window[k] = window[k - 1]
        k -= 1
    window[k] = value
    return count + 1


@njit
def _remove(window, count, value):
    """Take a value that is there out of a sorted window; return the new count."""
    k = 0
    while window[k] != value:
        k += 1
    while k < count - 1:
        window[k] = window[k + 1]
        k += 1
    return count - 1


@njit
def _mirrored(row, size):
    """Reflect a row number at the ends of the detector, the end rows not doubled."""
    if row < 0:
        return -row
    return 2 * (size - 1) - row if row >= size else row


@njit(parallel=True)
def running_medians(strips, usable, row0, size, length):
    """Return, per row, the median of the usable pixels in a window of rows.

    Parameters
    ----------
    strips : (nplanes, nrows, ncols) float64 [DN]
        Reference columns of one side.
    usable : (nrows, ncols) bool
    row0, size : int
        First row of the strip on the full detector, and the detector's rows. Windows reach from ``row - length // 2``
        on and are mirrored at the ends of the detector; rows outside the strip have no usable pixels.
    length : int
        Rows in the window.

    Returns
    -------
    (nplanes, nrows) float64 [DN]
        NaN where the window holds no usable pixel. NaN pixels are not used.
    """
    nplanes, nrows, ncols = strips.shape
    half = length // 2
    out = np.empty((nplanes, nrows), np.float64)
    for p in prange(nplanes):
        window = np.empty(length * ncols, np.float64)
        count = 0
        # the window slides: one row of pixels leaves the sorted list before one enters it
        for step in range(row0 - half, row0 + nrows + length - half - 1):
            leaving = step - length
            if leaving >= row0 - half:
                gone = _mirrored(leaving, size) - row0
                if 0 <= gone < nrows:
                    for c in range(ncols):
                        if usable[gone, c] and strips[p, gone, c] == strips[p, gone, c]:
                            count = _remove(window, count, strips[p, gone, c])
            entering = _mirrored(step, size) - row0
            if 0 <= entering < nrows:
                for c in range(ncols):
                    if usable[entering, c] and strips[p, entering, c] == strips[p, entering, c]:
                        count = _insert(window, count, strips[p, entering, c])
            row = step - length + 1 + half - row0
            if row >= 0:
                if count == 0:
                    out[p, row] = np.nan
                else:
                    out[p, row] = 0.5 * (window[(count - 1) // 2] + window[count // 2])
    return out
