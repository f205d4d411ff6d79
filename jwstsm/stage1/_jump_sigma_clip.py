"""Jumps of long time series: sigma clipping of the same difference over many integrations."""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.stage1._columns import sort_columns
from jwstsm.stage1._jump_twopoint import fill_differences

__all__ = ["clip_bounds", "clip_differences", "clipped_moments"]

_BAD = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)


@njit
def _moments(values, start, stop):
    """Mean, median and standard deviation of the sorted ``values[start:stop]`` (float64)."""
    count = stop - start
    mean = 0.0
    for k in range(start, stop):
        mean += values[k]
    mean /= count
    square = 0.0
    for k in range(start, stop):
        square += (values[k] - mean) ** 2
    half = start + count // 2
    median = np.float64(values[half])
    if count % 2 == 0:
        median = (np.float64(values[half - 1]) + median) / 2.0
    return mean, median, np.sqrt(square / count)


@njit
def clip_bounds(values, count, sigma, rounds):
    """Clip the sorted ``values[:count]`` about their median.

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
        _, median, deviation = _moments(values, start, stop)
        lower = median - sigma * deviation
        upper = median + sigma * deviation
        first = start
        last = stop
        while first < last and values[first] < lower:
            first += 1
        while last > first and values[last - 1] > upper:
            last -= 1
        if first == start and last == stop:
            break
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
def clip_differences(data, groupdq, gain, threshold, per_group, network, width, y0, y1):
    """Flag the differences of rows ``y0`` to ``y1`` that sigma clipping rejects.

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
    width, y0, y1 : int
        Pixels per strip, rows.
    """
    nints, ngroups, _, nx = data.shape
    steps = ngroups - 1
    n = nints * steps
    sets = steps if per_group else 1
    count = n // sets
    for j in prange(y1 - y0):
        y = y0 + j
        diffs = np.empty((n, width), np.float32)
        ordered = np.empty((count, width), np.float32)
        column = np.empty(count, np.float32)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            for g in range(sets):
                _sort_strip(diffs, g, sets, count, w, network, ordered, usable)
                for x in range(w):
                    for k in range(usable[x]):
                        column[k] = ordered[k, x]
                    lower, upper, _, _ = clip_bounds(column, usable[x], threshold, 5)
                    for k in range(count):
                        at = g + k * sets
                        value = np.float64(diffs[at, x])
                        if value < lower or value > upper:
                            groupdq[at // steps, at % steps + 1, y, x0 + x] |= _JUMP


@njit(parallel=True)
def clipped_moments(data, groupdq, gain, threshold, width, y0, y1, median, deviation):
    """Clipped median and standard deviation over the integrations of each difference, for rows ``y0`` to ``y1``.

    ``median`` and ``deviation`` are (ngroups - 1, ny, nx) float32 [e-] and are filled; NaN where nothing is usable.
    Differences that are jumps already are left out.
    """
    nints, ngroups, _, nx = data.shape
    steps = ngroups - 1
    for j in prange(y1 - y0):
        y = y0 + j
        column = np.empty(nints, np.float32)
        for x in range(nx):
            for g in range(steps):
                kept = 0
                for i in range(nints):
                    a = groupdq[i, g, y, x]
                    b = groupdq[i, g + 1, y, x]
                    if (a | b) & _BAD == 0 and a != _JUMP and b != _JUMP:
                        value = data[i, g + 1, y, x] * gain[y, x] - data[i, g, y, x] * gain[y, x]
                        if np.isfinite(value):
                            column[kept] = value
                            kept += 1
                column[:kept].sort()
                _, _, start, stop = clip_bounds(column, kept, threshold, 5)
                if stop > start:
                    _, middle, spread = _moments(column, start, stop)
                    median[g, y, x] = middle
                    deviation[g, y, x] = spread
                else:
                    median[g, y, x] = np.nan
                    deviation[g, y, x] = np.nan
