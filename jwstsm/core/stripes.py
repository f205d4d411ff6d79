"""Stripes of 1/f noise: the median of each readout line, subtracted.

Source: C. Willott's ``image1overf``, as the official ``clean_flicker_noise`` step uses it (``fit_method = median``).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.selection import median_inplace

__all__ = ["subtract_stripes_inplace"]

_COLUMNS = 16


@njit
def _one_part(values, keep, scratch):
    """Subtract the median of (part of) a row."""
    n = 0
    for x in range(values.size):
        scratch[n] = values[x]
        n += keep[x]
    level = median_inplace(scratch, n)
    for x in range(values.size):
        values[x] -= level


@njit(parallel=True)
def _subtract_from_rows(image, keep, channels):
    ny, nx = image.shape
    size = nx // channels
    for y in prange(ny):
        scratch = np.empty(size, np.float32)
        for c in range(channels):
            _one_part(image[y, c * size : (c + 1) * size], keep[y, c * size : (c + 1) * size], scratch)


@njit
def _one_block(image, keep, scratch, x0, x1):
    """Subtract the medians of (parts of) the neighbouring columns ``x0`` to ``x1 - 1``."""
    count = np.zeros(x1 - x0, np.int64)
    level = np.empty(x1 - x0, np.float32)
    for y in range(image.shape[0]):
        row, usable = image[y, x0:x1], keep[y, x0:x1]
        for x in range(row.size):
            scratch[x, count[x]] = row[x]
            count[x] += usable[x]
    for x in range(count.size):
        level[x] = median_inplace(scratch[x], count[x])
    for y in range(image.shape[0]):
        row = image[y, x0:x1]
        for x in range(row.size):
            row[x] -= level[x]


@njit(parallel=True)
def _subtract_from_columns(image, keep, channels, width):
    ny, nx = image.shape
    size = ny // channels
    for b in prange((nx + width - 1) // width):
        x0, x1 = b * width, min(nx, (b + 1) * width)
        scratch = np.empty((width, size), np.float32)
        for c in range(channels):
            _one_block(image[c * size : (c + 1) * size], keep[c * size : (c + 1) * size], scratch, x0, x1)


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
