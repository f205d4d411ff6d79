"""Jumps of long time series: sigma clipping of the same difference over many integrations."""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.stage1._columns import sort_columns
from jwstsm.stage1._jump_twopoint import fill_differences

__all__ = ["clip_bounds", "clip_differences", "clipped_moments", "strip_moments"]

_BAD = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)


@njit
def _median(ordered, x, start, stop):
    """Median of the sorted ``ordered[start:stop, x]``."""
    half = start + (stop - start) // 2
    median = np.float64(ordered[half, x])
    return median if (stop - start) % 2 == 1 else (np.float64(ordered[half - 1, x]) + median) / 2.0


@njit
def strip_moments(ordered, width, mean, square):
    """Mean of the finite values of each column, and the sum of squares about it, into ``mean``, ``square`` (width,)."""
    inf = np.float32(np.inf)
    n = ordered.shape[0]
    count = np.zeros(width)
    for x in range(width):
        mean[x] = 0.0
        square[x] = 0.0
    for k in range(n):
        row = ordered[k]
        for x in range(width):
            mean[x] += np.float64(row[x]) if row[x] < inf else 0.0
        for x in range(width):
            count[x] += 1.0 if row[x] < inf else 0.0
    for x in range(width):
        mean[x] = mean[x] / count[x] if count[x] > 0.0 else 0.0
    for k in range(n):
        row = ordered[k]
        for x in range(width):
            away = np.float64(row[x]) - mean[x] if row[x] < inf else 0.0
            square[x] += away * away


@njit
def clip_bounds(ordered, x, count, mean, square, sigma, rounds):
    """Clip the sorted ``ordered[:count, x]`` about their median.

    Parameters
    ----------
    ordered : (n, width) float32
    x, count : int
        Column, and number of values in it.
    mean, square : float
        Their mean and sum of squares about it. What is clipped is taken out of them, not summed anew.
    sigma : float
        Limit in standard deviations.
    rounds : int

    Returns
    -------
    lower, upper : float
        Limits of the last round (NaN if ``count`` is 0).
    start, stop : int
        What lies inside them.
    """
    lower = np.nan
    upper = np.nan
    start = 0
    stop = count
    for _ in range(rounds):
        if stop <= start:
            break
        median = _median(ordered, x, start, stop)
        deviation = np.sqrt(max(square, 0.0) / (stop - start))
        lower = median - sigma * deviation
        upper = median + sigma * deviation
        first = start
        last = stop
        while first < last and ordered[first, x] < lower:
            first += 1
        while last > first and ordered[last - 1, x] > upper:
            last -= 1
        if first == start and last == stop:
            break
        left = stop - start
        for k in range(start, stop):
            if first <= k < last:
                continue
            left -= 1
            away = np.float64(ordered[k, x]) - mean
            mean -= away / max(left, 1)
            square -= away * (np.float64(ordered[k, x]) - mean)
        start = first
        stop = last
    return lower, upper, start, stop


@njit
def _sort_strip(diffs, first, stride, count, width, network, ordered, usable):
    """Sort every ``stride``-th difference from ``first`` on of each column; unusable ones go last (as inf)."""
    inf = np.float32(np.inf)
    for x in range(width):
        usable[x] = 0
    for k in range(count):
        for x in range(width):
            value = diffs[first + k * stride, x]
            good = np.abs(value) < inf
            ordered[k, x] = value if good else inf
            usable[x] += 1 if good else 0
    if network.shape[0] > 0:
        sort_columns(ordered, network, width)
    else:
        for x in range(width):
            ordered[:count, x] = np.sort(ordered[:count, x])


@njit(parallel=True)
def clip_differences(data, groupdq, gain, threshold, per_group, network, width):
    """Flag the differences that sigma clipping rejects.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32
        Ramps [DN].
    groupdq : same shape, uint8
        Read: DO_NOT_USE, SATURATED. Set: JUMP_DET.
    gain : (ny, nx) float32
        Gain [e-/DN].
    threshold : float
        Clipping limit in standard deviations about the median; five rounds.
    per_group : bool
        Clip each group over the integrations; otherwise all differences of the pixel together.
    network : (ncomparators, 2) int64
        For as many values as are clipped together.
    width : int
        Pixels per strip.
    """
    nints, ngroups, ny, nx = data.shape
    steps = ngroups - 1
    n = nints * steps
    sets = steps if per_group else 1
    count = n // sets
    for y in prange(ny):
        diffs = np.empty((n, width), np.float32)
        ordered = np.empty((count, width), np.float32)
        mean = np.empty(width, np.float64)
        square = np.empty(width, np.float64)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            for g in range(sets):
                _sort_strip(diffs, g, sets, count, w, network, ordered, usable)
                strip_moments(ordered, w, mean, square)
                for x in range(w):
                    lower, upper, start, stop = clip_bounds(ordered, x, usable[x], mean[x], square[x], threshold, 5)
                    if start == 0 and stop == usable[x]:
                        continue
                    for k in range(count):
                        at = g + k * sets
                        value = np.float64(diffs[at, x])
                        if value < lower or value > upper:
                            groupdq[at // steps, at % steps + 1, y, x0 + x] |= _JUMP


@njit(parallel=True)
def clipped_moments(data, groupdq, gain, threshold, median, deviation):
    """Clipped median and standard deviation over the integrations of each difference.

    ``median`` and ``deviation`` are (ngroups - 1, ny, nx) float32 [e-] and are filled; NaN where nothing is usable.
    Differences that are jumps already are left out.
    """
    nints, ngroups, ny, nx = data.shape
    steps = ngroups - 1
    for y in prange(ny):
        column = np.empty((nints, 1), np.float32)
        mean = np.empty(1, np.float64)
        square = np.empty(1, np.float64)
        for x in range(nx):
            for g in range(steps):
                kept = 0
                for i in range(nints):
                    a = groupdq[i, g, y, x]
                    b = groupdq[i, g + 1, y, x]
                    if (a | b) & _BAD == 0 and a != _JUMP and b != _JUMP:
                        value = data[i, g + 1, y, x] * gain[y, x] - data[i, g, y, x] * gain[y, x]
                        if np.isfinite(value):
                            column[kept, 0] = value
                            kept += 1
                column[:kept, 0] = np.sort(column[:kept, 0])
                strip_moments(column[:kept], 1, mean, square)
                _, _, start, stop = clip_bounds(column, 0, kept, mean[0], square[0], threshold, 5)
                median[g, y, x] = _median(column, 0, start, stop) if stop > start else np.nan
                strip_moments(column[start:stop], 1, mean, square)
                deviation[g, y, x] = np.sqrt(square[0] / (stop - start)) if stop > start else np.nan
