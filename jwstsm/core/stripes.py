"""Stripes of 1/f noise: the median of each readout line, subtracted.

Source: C. Willott's ``image1overf``, as the official ``clean_flicker_noise`` step uses it (``fit_method = median``).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["subtract_stripes_inplace"]

_COLUMNS = 16


@njit
def _order(values, count, rank):
    """Return the ``rank``-th smallest of ``values[:count]`` (Hoare's quickselect); smaller ones end up before it."""
    low = 0
    high = count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                swap = values[i]
                values[i] = values[j]
                values[j] = swap
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]


@njit
def median_inplace(values, count):
    """Median (float32 arithmetic) of ``values[:count]``, which is reordered; 0 if there are none. NaN is not allowed."""
    if count == 0:
        return np.float32(0)
    half = count // 2
    upper = _order(values, count, half)
    if count % 2 == 1:
        return upper
    lower = values[0]
    for k in range(1, half):
        lower = max(lower, values[k])
    return (lower + upper) / np.float32(2)


@njit(parallel=True)
def _subtract_from_rows(image, keep, channels):
    ny, nx = image.shape
    size = nx // channels
    for y in prange(ny):
        values = np.empty(size, np.float32)
        for c in range(channels):
            n = 0
            for x in range(c * size, (c + 1) * size):
                values[n] = image[y, x]
                n += keep[y, x]
            level = median_inplace(values, n)
            for x in range(c * size, (c + 1) * size):
                image[y, x] -= level


@njit(parallel=True)
def _subtract_from_columns(image, keep, channels, width):
    ny, nx = image.shape
    size = ny // channels
    blocks = (nx + width - 1) // width
    for b in prange(blocks):
        x0 = b * width
        w = min(width, nx - x0)
        values = np.empty((w, size), np.float32)
        count = np.empty(w, np.int64)
        for c in range(channels):
            count[:] = 0
            for y in range(c * size, (c + 1) * size):
                for x in range(w):
                    values[x, count[x]] = image[y, x0 + x]
                    count[x] += keep[y, x0 + x]
            level = np.empty(w, np.float32)
            for x in range(w):
                level[x] = median_inplace(values[x], count[x])
            for y in range(c * size, (c + 1) * size):
                for x in range(w):
                    image[y, x0 + x] -= level[x]


def subtract_stripes_inplace(image: np.ndarray, keep: np.ndarray, axis: int, channels: int = 1) -> None:
    """Subtract from each line of an image the median of its usable pixels.

    Parameters
    ----------
    image : (ny, nx) float32
        Image without its background [any unit], without NaN where ``keep`` is True; changed in place.
    keep : (ny, nx) bool
        Pixels that the median is taken of (True).
    axis : int
        1: a line is a row; 0: a line is a column.
    channels : int
        Parts of equal length that each line is cut into, each with its own median.

    Notes
    -----
    A line (or part) without a usable pixel stays as it is.
    """
    if axis == 1:
        _subtract_from_rows(image, keep, channels)
    else:
        _subtract_from_columns(image, keep, channels, _COLUMNS)
