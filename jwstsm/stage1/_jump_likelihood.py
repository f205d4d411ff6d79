"""Jumps by likelihood: differences of groups whose omission makes the ramps of a pixel much more probable.

The two-point difference compares each difference with the median of a few, as if that median were exact and the
differences independent. Here a line is fitted to all differences of a pixel with their full covariance, and a difference
is a jump if chi^2 drops by more than ``threshold**2`` without it; the drop is distributed as the square of a Gaussian
however few differences there are. A hit within a group that averages frames spoils two differences, which are left
out together. All integrations of a pixel share one slope.

Source: Brandt 2024, PASP 136, 045005.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import JUMP_DET
from jwstsm.core.selection import order
from jwstsm.stage1._columns import sort_columns
from jwstsm.stage1._jump_planes import MARK
from jwstsm.stage1._jump_twopoint import fill_differences
from jwstsm.stage1._likely_jumps import drop_jumps
from jwstsm.stage1._likely_strip import fit_strip

__all__ = ["flag_unlikely"]

_JUMP = np.uint8(JUMP_DET)


@njit
def _scale(diffs, table, gain, width, scaled, keep):
    """Differences [e-/s] of a strip with 0 in place of NaN, and which count (1 or 0); ``diffs`` gets inf for NaN."""
    inf = np.float32(np.inf)
    for k in range(diffs.shape[0]):
        row = diffs[k]
        for x in range(width):
            value = row[x]
            known = value == value and gain[x] > 0.0
            row[x] = value / np.float32(table[0, k]) if known else inf
            scaled[k, x] = np.float64(value) / table[0, k] if known else 0.0
            keep[k, x] = 1.0 if known else 0.0


@njit
def _photon_noise(ordered, keep, network, width, counts, spare, photon):
    """Photon noise of a strip from its median differences.

    Of an even number it is the lower middle one, as hits raise the upper one; but that of 2 would be too low.

    ``counts`` (width) gets the number of differences that count.
    """
    n = ordered.shape[0]
    for x in range(width):
        counts[x] = 0.0
    for k in range(n):
        for x in range(width):
            counts[x] += keep[k, x]
    sorts = network.shape[0] > 0 or n == 1
    if sorts:
        sort_columns(ordered, network, width)
    for x in range(width):
        rank = (int(counts[x]) - 1) // 2
        middle = np.float32(0.0)
        if rank >= 0 and sorts:
            middle = ordered[rank, x] if counts[x] != 2 else (ordered[0, x] + ordered[1, x]) / np.float32(2)
        elif rank >= 0:
            for k in range(n):
                spare[k] = ordered[k, x]
            middle = order(spare, n, rank)
        photon[x] = max(np.float64(middle), 0.0)


@njit
def _largest_drops(space, n, width, sums, pairs, slope, spare, best_one, best_two):
    """Largest drops of chi^2 without one and without two neighbouring differences, for each pixel of a strip.

    ``space`` is as :func:`fit_strip` left it; see :mod:`jwstsm.stage1._likely_jumps` for the formulas. What is not used
    gives 0 / 0, which is larger than nothing. ``slope`` (width) and ``spare`` (2, 4, width) are scratch: ``x``, ``q``,
    ``S_kk`` and ``P`` of a difference and of the one after it. The loops are over few arrays so that they become vector
    instructions.
    """
    inverse, couple, u, v = space[0], space[1], space[2], space[3]
    c_sum = sums[2]
    for x in range(width):
        slope[x] = sums[1, x] / c_sum[x]
    best_one[:] = 0.0
    best_two[:] = 0.0
    spare[:] = 0.0
    for k in range(n - 1, -1, -1):
        own, low, high = inverse[k], u[k], v[k]
        tie = couple[k + 1] if k + 1 < n else couple[0]  # that of the first difference is 0
        weight, q, s, p = spare[k % 2, 0], spare[k % 2, 1], spare[k % 2, 2], spare[k % 2, 3]
        last = spare[1 - k % 2]
        for x in range(width):
            weight[x] = low[x] * own[x] - tie[x] * last[0, x]
        for x in range(width):
            q[x] = (high[x] - slope[x] * low[x]) * own[x] - tie[x] * last[1, x]
        for x in range(width):
            s[x] = own[x] + tie[x] * tie[x] * last[2, x]
        for x in range(width):
            p[x] = s[x] - weight[x] * weight[x] / c_sum[x]
        for x in range(width):
            drop = q[x] * q[x] / p[x]
            best_one[x] = drop if drop > best_one[x] else best_one[x]
        if k + 1 < n and pairs[k + 1]:
            _largest_of_pairs(weight, q, p, last, tie, c_sum, width, best_two)


@njit
def _largest_of_pairs(weight, q, p, last, tie, c_sum, width, best):
    """Renew ``best``, the largest drop without a difference and the one after it; they are coupled."""
    for x in range(width):
        off = -tie[x] * last[2, x] - weight[x] * last[0, x] / c_sum[x]
        top = q[x] * q[x] * last[3, x] - 2.0 * q[x] * last[1, x] * off + last[1, x] * last[1, x] * p[x]
        drop = top / (p[x] * last[3, x] - off * off)
        best[x] = drop if drop > best[x] else best[x]


@njit
def _flag_pixel(groupdq, y, xx, scaled, x, use, slope, photon, read, table, low, high, keep):
    """Flag the differences that were left out; mark those between ``low`` and ``high`` sigma; return how many."""
    ngroups = groupdq.shape[1]
    found = 0
    for k in range(scaled.shape[0]):
        if keep[k, x] > 0.0 and not use[k]:
            ratio = np.abs(scaled[k, x] - slope) / np.sqrt(photon * table[1, k] + read * table[2, k])
            flags = _JUMP | MARK if low < ratio < high else _JUMP
            groupdq[k // (ngroups - 1), k % (ngroups - 1) + 1, y, xx] |= flags
            found += 1
    return found


@njit(parallel=True)
def flag_unlikely(data, groupdq, gain, noise2, table, pairs, limits, low, high, network, width):
    """Flag jumps in ``groupdq``, and mark those whose neighbours are to be flagged.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32
        Ramps [DN].
    groupdq : same shape, uint8
        Read: DO_NOT_USE, SATURATED. Set: JUMP_DET and MARK, in the group that a difference leads to.
    gain : (ny, nx) float32
        Gain [e-/DN].
    noise2 : (ny, nx) float32
        Variance of the difference of two frames from read noise alone [e-^2].
    table : (5, nints * (ngroups - 1)) float64
        Times and covariances of the differences (:class:`jwstsm.stage1._likely.Sampling`), once per integration.
    pairs : (nints * (ngroups - 1),) bool
        Whether a hit within a group spoils this difference and the one before it.
    limits : (3,) float64
        Drops of chi^2 that make a jump: one difference, two, one of only two.
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
    ny, nx = data.shape[2:]
    n = table.shape[1]
    found = np.zeros(ny, np.int64)
    one, two, last = limits[0], limits[1], limits[2]
    for j in prange(ny):
        y = np.int64(j)  # j is unsigned, which does not mix with other integers
        diffs = np.empty((n, width), np.float32)
        scaled = np.empty((n, width), np.float64)
        keep = np.empty((n, width), np.float64)
        space = np.empty((5, n, width), np.float64)
        pixel = np.empty((6, width), np.float64)  # counts, photon noise, read noise^2, two drops of chi^2, slope
        sums = np.empty((3, width), np.float64)
        beside = np.empty((2, 4, width), np.float64)
        column = np.empty((5, n), np.float64)
        spare = np.empty(n, np.float32)
        use = np.empty(n, np.bool_)
        usable = np.empty(width, np.int64)
        seen = np.empty(width, np.uint8)
        counts, photon, read, best_one, best_two = pixel[0], pixel[1], pixel[2], pixel[3], pixel[4]
        total = 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            fill_differences(data, groupdq, gain, y, x0, w, diffs, usable, seen)
            _scale(diffs, table, gain[y, x0 : x0 + w], w, scaled, keep)
            _photon_noise(diffs, keep, network, w, counts, spare, photon)
            for x in range(w):
                read[x] = np.float64(noise2[y, x0 + x]) / 2.0
            fit_strip(scaled, keep, n, w, photon, read, table, space, sums[0], sums[1], sums[2])
            _largest_drops(space, n, w, sums, pairs, pixel[5], beside, best_one, best_two)
            for x in range(w):
                if counts[x] < 2 or not (best_one[x] > (one if counts[x] > 2 else last) or best_two[x] > two):
                    continue
                for k in range(n):
                    column[0, k] = scaled[k, x]
                    use[k] = keep[k, x] > 0.0
                slope = drop_jumps(
                    column[0], use, n, 0.0, photon[x], read[x], table, pairs, one, two, last, 1,
                    column[1], column[2], column[3], column[4],
                )  # fmt: skip
                total += _flag_pixel(groupdq, y, x0 + x, scaled, x, use, slope, photon[x], read[x], table, low, high, keep)
        found[y] = total
    return found
