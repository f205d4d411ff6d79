"""Kernels of the two-point difference method: outlying differences of neighbouring groups are jumps.

Everything about one pixel happens in one visit: its differences are formed in electrons, their median is taken, and the
flags are set, for a strip of pixels at a time. ``data``, ``groupdq`` are ``(nints, ngroups, ny, nx)`` arrays, or
some rows of them with all integrations; rows are independent of each other.

Jumps that reach their neighbours are marked with a bit that GROUPDQ never uses, see :mod:`jwstsm.stage1._jump_planes`.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.stage1._columns import median_of_sorted, select_median, sort_columns
from jwstsm.stage1._jump_planes import MARK

__all__ = ["column_median", "count_and_mark", "fill_differences", "flag_after_jumps", "flag_differences"]

_BAD = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)


@njit
def fill_differences(data, groupdq, gain, y, x0, width, diffs, usable, seen):
    """Differences of neighbouring groups [e-] of a strip; NaN where either group is unusable.

    ``diffs`` (nints * (ngroups - 1), width) float32, ``usable`` (width) the number that are not NaN, ``seen`` (width)
    the union of the GROUPDQ flags.
    """
    nints, ngroups = data.shape[:2]
    nan = np.float32(np.nan)
    for x in range(width):
        usable[x] = 0
        seen[x] = 0
    k = 0
    for i in range(nints):
        for x in range(width):
            seen[x] |= groupdq[i, 0, y, x0 + x]
        for g in range(1, ngroups):
            row = diffs[k]
            for x in range(width):
                factor = gain[y, x0 + x]
                step = data[i, g, y, x0 + x] * factor - data[i, g - 1, y, x0 + x] * factor
                flags = groupdq[i, g, y, x0 + x]
                bad = (flags | groupdq[i, g - 1, y, x0 + x]) & _BAD
                step = nan if bad != 0 else step
                row[x] = step
                usable[x] += 1 if step == step else 0
                seen[x] |= flags
            k += 1


@njit
def _median_and_largest(diffs, network, width, usable, ordered, spare, median, largest):
    """Median of the usable differences of each column, and the largest distance from it (float64)."""
    n = diffs.shape[0]
    inf = np.float32(np.inf)
    if network.shape[0] > 0 or n == 1:
        for k in range(n):
            for x in range(width):
                value = diffs[k, x]
                ordered[k, x] = value if value == value else inf
        sort_columns(ordered, network, width)
        for x in range(width):
            median[x] = median_of_sorted(ordered, x, usable[x])
    else:
        for x in range(width):
            median[x] = column_median(diffs, x, spare)
    for x in range(width):
        largest[x] = -1.0
    for k in range(n):
        for x in range(width):
            away = np.abs(np.float64(diffs[k, x]) - median[x])
            largest[x] = away if away > largest[x] else largest[x]


@njit
def _clipped_and_largest(diffs, network, width, usable, ordered, spare, median, largest):
    """As :func:`_median_and_largest` for the sizes of the differences, the largest one left out of the median."""
    n = diffs.shape[0]
    inf = np.float32(np.inf)
    if network.shape[0] > 0 or n == 1:
        for k in range(n):
            for x in range(width):
                value = np.abs(diffs[k, x])
                ordered[k, x] = value if value == value else inf
        sort_columns(ordered, network, width)
        for x in range(width):
            count = usable[x]
            if count >= 4:
                top = ordered[count - 1, x]
                while count > 0 and ordered[count - 1, x] == top:
                    count -= 1
                median[x] = median_of_sorted(ordered, x, count)
            elif count == 2:
                median[x] = ordered[0, x]
            else:
                median[x] = median_of_sorted(ordered, x, count) if count == 3 else np.nan
    else:
        for x in range(width):
            count = _gather(diffs, x, spare, True)
            median[x] = clipped_median(spare, count)
    for x in range(width):
        largest[x] = -1.0
    for k in range(n):
        for x in range(width):
            away = np.float64(np.float32(np.abs(np.abs(np.float64(diffs[k, x])) - median[x])))
            largest[x] = away if away > largest[x] else largest[x]


@njit
def _gather(diffs, x, spare, sizes):
    """Collect the usable differences of a column (their sizes if ``sizes``); return how many."""
    count = 0
    for k in range(diffs.shape[0]):
        value = diffs[k, x]
        if value == value:
            spare[count] = np.abs(value) if sizes else value
            count += 1
    return count


@njit
def column_median(diffs, x, spare):
    """Median (float64) of the usable differences of a column."""
    return select_median(spare, _gather(diffs, x, spare, False))


@njit
def clipped_median(values, count):
    """Centre of a few differences: the smaller of 2, the median of 3, the median of 4 or more without the largest.

    ``values[:count]`` is reordered. Equal largest values are all left out. NaN for fewer than 2.
    """
    if count < 2:
        return np.nan
    if count == 2:
        return np.float64(min(values[0], values[1]))
    if count == 3:
        return select_median(values, 3)
    top = values[0]
    for k in range(1, count):
        top = max(top, values[k])
    kept = 0
    for k in range(count):
        if values[k] < top:
            values[kept] = values[k]
            kept += 1
    return select_median(values, kept)


@njit
def _noise(median, noise2):
    """Noise of one difference [e-]; NaN where it is zero, so that a pixel without read noise has no jumps."""
    sigma = np.sqrt(np.abs(median) + noise2)
    return sigma if sigma > 0.0 else np.nan


@njit
def _flag_one_by_one(diffs, x, noise2, thresholds, spare, rejected):
    """Reject the most outlying difference of a column, renew the median, and go on until none stands out."""
    n = diffs.shape[0]
    for k in range(n):
        rejected[k] = False
    for turn in range(n):
        count = 0
        for k in range(n):
            value = np.abs(diffs[k, x])
            if value == value and not rejected[k]:
                spare[count] = value
                count += 1
        centre = clipped_median(spare, count)
        if turn > 0:
            centre = np.float64(np.float32(centre))
        sigma = _noise(centre, noise2)
        best = -1.0
        for k in range(n):
            if not rejected[k]:
                ratio = np.float64(np.float32(np.abs(np.abs(np.float64(diffs[k, x])) - centre))) / sigma
                best = ratio if ratio > best else best
        if not best > thresholds[min(count, 4)]:
            break
        for k in range(n):
            if not rejected[k]:
                ratio = np.float64(np.float32(np.abs(np.abs(np.float64(diffs[k, x])) - centre))) / sigma
                rejected[k] = ratio == best


@njit
def _finish_pixel(groupdq, y, xx, diffs, x, noise2, low, high, spare):
    """Count the jumps of a pixel and mark those between ``low`` and ``high`` sigma; return the count."""
    nints, ngroups = groupdq.shape[:2]
    median = column_median(diffs, x, spare)
    sigma = _noise(median, noise2)
    found = 0
    k = 0
    for i in range(nints):
        if groupdq[i, 0, y, xx] & _JUMP:
            found += 1
        for g in range(1, ngroups):
            if groupdq[i, g, y, xx] & _JUMP:
                found += 1
                ratio = np.abs(np.float64(diffs[k, x]) - median) / sigma
                if low < ratio < high:
                    groupdq[i, g, y, xx] |= MARK
            k += 1
    return found


@njit(parallel=True)
def flag_differences(data, groupdq, gain, noise2, nframes, thresholds, one_pass, low, high, network, width):
    """Flag jumps in ``groupdq``, and mark those whose neighbours are to be flagged.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32
        Ramps [DN].
    groupdq : same shape, uint8
        Read: DO_NOT_USE, SATURATED. Set: JUMP_DET and MARK.
    gain : (ny, nx) float32
        Gain [e-/DN].
    noise2 : (ny, nx) float32
        Variance of the difference of two frames from read noise alone [e-^2].
    nframes : float
        Frames averaged in a group.
    thresholds : (5,) float64
        Threshold [sigma] by the number of usable differences; the last for 4 and more.
    one_pass : bool
        Test every difference once against ``thresholds[4]`` instead of one by one.
    low, high : float
        Jumps between these [sigma] are marked.
    network : (ncomparators, 2) int64
        From :func:`jwstsm.stage1._columns.merge_exchange` for ``nints * (ngroups - 1)``.
    width : int
        Pixels per strip.

    Returns
    -------
    (ny,) int64 ndarray
        Jumps in each row.
    """
    nints, ngroups, ny, nx = data.shape
    n = nints * (ngroups - 1)
    found = np.zeros(ny, np.int64)
    for y in prange(ny):
        diffs = np.empty((n, width), np.float32)
        ordered = np.empty((n, width), np.float32)
        spare = np.empty(n, np.float32)
        rejected = np.empty(n, np.bool_)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        median = np.empty(width, np.float64)
        largest = np.empty(width, np.float64)
        total = 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            if one_pass:
                _median_and_largest(diffs, network, w, usable, ordered, spare, median, largest)
            else:
                _clipped_and_largest(diffs, network, w, usable, ordered, spare, median, largest)
            for x in range(w):
                variance = np.float64(noise2[y, x0 + x]) / nframes
                sigma = _noise(median[x], variance)
                limit = thresholds[4] if one_pass else thresholds[min(usable[x], 4)]
                hit = largest[x] / sigma > limit
                if hit and not one_pass:
                    _flag_one_by_one(diffs, x, variance, thresholds, spare, rejected)
                if hit:
                    for k in range(n):
                        if one_pass:
                            rejected[k] = np.abs(np.float64(diffs[k, x]) - median[x]) / sigma > limit
                        if rejected[k]:
                            groupdq[k // (ngroups - 1), k % (ngroups - 1) + 1, y, x0 + x] |= _JUMP
                if hit or seen[x] & _JUMP:
                    total += _finish_pixel(groupdq, y, x0 + x, diffs, x, variance, low, high, spare)
        found[y] = total
    return found


@njit(parallel=True)
def count_and_mark(data, groupdq, gain, noise2, nframes, low, high, width):
    """Count the jumps of each row and mark those between ``low`` and ``high`` sigma (see :func:`flag_differences`)."""
    nints, ngroups, ny, nx = data.shape
    n = nints * (ngroups - 1)
    found = np.zeros(ny, np.int64)
    for y in prange(ny):
        diffs = np.empty((n, width), np.float32)
        spare = np.empty(n, np.float32)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        total = 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            for x in range(w):
                if seen[x] & _JUMP:
                    variance = np.float64(noise2[y, x0 + x]) / nframes
                    total += _finish_pixel(groupdq, y, x0 + x, diffs, x, variance, low, high, spare)
        found[y] = total
    return found


@njit(parallel=True)
def flag_after_jumps(data, groupdq, gain, sizes, spans, width):
    """Flag the groups that follow a jump of at least ``sizes[s]`` electrons, ``spans[s]`` of them, for s = 0 and 1.

    A jump's size is its difference less the pixel's median difference. Groups with SATURATED or DO_NOT_USE are left.
    """
    nints, ngroups, ny, nx = data.shape
    n = nints * (ngroups - 1)
    for y in prange(ny):
        diffs = np.empty((n, width), np.float32)
        spare = np.empty(n, np.float32)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            for x in range(w):
                if seen[x] & _JUMP:
                    median = column_median(diffs, x, spare)
                    for i in range(nints):
                        until = -1
                        for g in range(1, ngroups):
                            flags = groupdq[i, g, y, x0 + x]
                            if flags & _JUMP:
                                size = np.float64(diffs[i * (ngroups - 1) + g - 1, x]) - median
                                for s in range(2):
                                    if size >= sizes[s] and g + spans[s] > until:
                                        until = g + spans[s]
                            if g <= until and not flags & _BAD:
                                # a group flagged here is no jump of its own: it must not start another span
                                groupdq[i, g, y, x0 + x] = flags | _JUMP
