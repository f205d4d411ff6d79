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
def _one_row(values, keep, scratch, channels):
    """Subtract the median of each part of a row."""
    size = values.size // channels
    for c in range(channels):
        n = 0
        for x in range(c * size, (c + 1) * size):
            scratch[n] = values[x]
            n += keep[x]
        level = median_inplace(scratch, n)
        for x in range(c * size, (c + 1) * size):
            values[x] -= level


@njit(parallel=True)
def _subtract_from_rows(image, keep, channels):
    ny, nx = image.shape
    for y in prange(ny):
        _one_row(image[y], keep[y], np.empty(nx, np.float32), channels)


@njit
def _one_block(image, keep, scratch, count, x0, channels):
    """Subtract the median of each part of some neighbouring columns from column ``x0`` on."""
    size = image.shape[0] // channels
    width = min(scratch.shape[0], image.shape[1] - x0)
    for c in range(channels):
        for x in range(width):
            count[x] = 0
        for y in range(c * size, (c + 1) * size):
            for x in range(width):
                scratch[x, count[x]] = image[y, x0 + x]
                count[x] += keep[y, x0 + x]
        for x in range(width):
            # the first place of a column's scratch hands its level on
            scratch[x, 0] = median_inplace(scratch[x], count[x])
        for y in range(c * size, (c + 1) * size):
            for x in range(width):
                image[y, x0 + x] -= scratch[x, 0]


@njit(parallel=True)
def _subtract_from_columns(image, keep, channels, width):
    ny, nx = image.shape
    for b in prange((nx + width - 1) // width):
        scratch = np.empty((width, ny), np.float32)
        _one_block(image, keep, scratch, np.empty(width, np.int64), b * width, channels)


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
