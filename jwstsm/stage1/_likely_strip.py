"""A strip of pixels of one integration for the likelihood fit: differences, slopes and variances, many at a time.

The loops are short and over few arrays, so that the compiler turns them into vector instructions.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.stage1._columns import median_of_sorted, sort_columns

__all__ = ["fit_strip", "guess_line", "guess_median", "load_strip", "strip_differences", "variance_strip"]

_NONE = np.uint8(0)
_ALL = np.uint8(0xFF)
_NOT_JUMP = np.uint8(0xFF ^ JUMP_DET)
_DNU = np.uint8(DO_NOT_USE)
_BAD = np.uint8(DO_NOT_USE | SATURATED)


@njit
def load_strip(data, groupdq, zeroframe, i, y, x0, width, nframes, values, flags, seen, bad):
    """Copy an integration of a strip; the zero frame, if there is one, becomes a group before the first.

    ``values`` and ``flags`` (ngroups, width) are filled; NaN is flagged DO_NOT_USE. ``seen`` (width) is the union of
    the flags, ``bad`` (width) the number of saturated or unusable groups.
    """
    ngroups = data.shape[1]
    shift = 1 if zeroframe.shape[0] > 0 else 0
    for x in range(width):
        seen[x] = 0
        bad[x] = 0
    for g in range(ngroups):
        row = values[g + shift]
        marks = flags[g + shift]
        source = data[i, g, y, x0 : x0 + width]
        known = groupdq[i, g, y, x0 : x0 + width]
        for x in range(width):
            row[x] = source[x]
        for x in range(width):
            marks[x] = known[x] | (_DNU if source[x] != source[x] else _NONE)
        for x in range(width):
            seen[x] |= marks[x]
    for x in range(width):
        if seen[x] != 0:
            for g in range(ngroups):
                bad[x] += 1 if flags[g + shift, x] & _BAD != 0 else 0
    if shift == 1:
        frames = np.float32(nframes)
        for x in range(width):
            zero = zeroframe[i, y, x0 + x]
            values[0, x] = zero
            flags[0, x] = flags[1, x] if zero == zero else flags[1, x] | _DNU
            values[1, x] = (values[1, x] * frames - zero) / (frames - np.float32(1))


@njit
def strip_differences(values, flags, n, width, table, robust, gain, diffs, keep, ranked, ordered):
    """Scaled differences [DN/s] of a strip, and which of them count (1 or 0).

    If ``ranked``, ``ordered`` gets the differences of which :func:`guess_median` takes the median: all, or with
    ``robust`` those that count. Where the gain is not positive nothing counts.
    """
    inf = np.float32(np.inf)
    for k in range(n):
        before = values[k]
        after = values[k + 1]
        out = diffs[k]
        scale = 1.0 / table[0, k]
        for x in range(width):
            out[x] = np.float64(after[x] - before[x]) * scale
        # a jump lies before its group: it spoils the difference that leads to the group, not the next
        earlier = _NOT_JUMP if robust else _ALL
        marks = flags[k]
        later = flags[k + 1]
        counts = keep[k]
        for x in range(width):
            spoilt = (marks[x] & earlier) | later[x]
            counts[x] = 1.0 if spoilt == 0 and out[x] == out[x] else 0.0
        for x in range(width):
            counts[x] = counts[x] if gain[x] > 0.0 else 0.0
        if ranked:
            rank = ordered[k]
            for x in range(width):
                known = counts[x] > 0.0 if robust else out[x] == out[x]
                rank[x] = np.float32(out[x]) if known else inf
        for x in range(width):
            out[x] = out[x] if out[x] == out[x] else 0.0


@njit
def guess_median(ordered, network, n, width, guess):
    """Take the median difference as a first guess of the slope, which single hits hardly change; at least 0."""
    inf = np.float32(np.inf)
    if network.shape[0] > 0:
        sort_columns(ordered, network, width)
    else:
        for x in range(width):
            ordered[:n, x] = np.sort(ordered[:n, x])
    for x in range(width):
        count = n
        while count > 0 and ordered[count - 1, x] == inf:
            count -= 1
        middle = median_of_sorted(ordered, x, count)
        guess[x] = middle if middle > 0.0 else 0.0


@njit
def guess_line(diffs, keep, n, width, table, total, guess):
    """Take the slope of an unweighted line as a first guess, which needs no jumps left; at least 0.

    It is the likelihood slope where read noise rules. ``total`` (width) is scratch.
    """
    for x in range(width):
        guess[x] = 0.0
        total[x] = 0.0
    for k in range(n):
        weight = table[5, k]
        step, now = diffs[k], keep[k]
        for x in range(width):
            guess[x] += step[x] * (now[x] * weight)
        for x in range(width):
            total[x] += now[x] * weight
    for x in range(width):
        guess[x] = guess[x] / total[x] if guess[x] > 0.0 else 0.0


@njit
def fit_strip(diffs, keep, n, width, photon, read, table, space, a_sum, b_sum, c_sum):
    """Do :func:`_factor` for a strip; ``keep`` (n, width) is 1 for differences that count and 0 otherwise.

    ``space`` (5, n, width) float64 holds 1/D, the couplings, u, v, and scratch. The loops are short and over few arrays
    so that they become vector instructions.
    """
    inverse, couple, u, v = space[0], space[1], space[2], space[3]
    beside = space[4, 0]
    for x in range(width):
        a_sum[x] = 0.0
        b_sum[x] = 0.0
        c_sum[x] = 0.0
    for k in range(n):
        now = keep[k]
        tie = couple[k]
        photon_alone, read_alone, photon_beside, read_beside = table[1, k], table[2, k], table[3, k], table[4, k]
        if k == 0:
            for x in range(width):
                tie[x] = 0.0
                beside[x] = 0.0
        else:
            before = keep[k - 1]
            last = inverse[k - 1]
            for x in range(width):
                beside[x] = (photon[x] * photon_beside + read[x] * read_beside) * now[x] * before[x]
            for x in range(width):
                tie[x] = beside[x] * last[x]
        one_over = inverse[k]
        for x in range(width):
            one_over[x] = now[x] / (photon[x] * photon_alone + read[x] * read_alone - tie[x] * beside[x])
        low = u[k]
        high = v[k]
        step = diffs[k]
        if k == 0:
            for x in range(width):
                low[x] = 1.0
                high[x] = step[x]
        else:
            for x in range(width):
                low[x] = 1.0 - tie[x] * u[k - 1, x]
            for x in range(width):
                high[x] = step[x] - tie[x] * v[k - 1, x]
        for x in range(width):
            a_sum[x] += high[x] * high[x] * one_over[x]
        for x in range(width):
            b_sum[x] += low[x] * high[x] * one_over[x]
        for x in range(width):
            c_sum[x] += low[x] * low[x] * one_over[x]


@njit
def variance_strip(n, width, photon, c_sum, table, space, var_p, var_r):
    """Variances of the slopes of a strip from photon and read noise; ``space`` is as :func:`fit_strip` left it.

    Read noise is what the photon noise leaves of the whole, ``1 / C``.
    """
    inverse, couple, u = space[0], space[1], space[2]
    weight = space[4, 0]
    after = space[3, 0]
    for x in range(width):
        var_p[x] = 0.0
        after[x] = 0.0
    for k in range(n - 1, -1, -1):
        own, low = inverse[k], u[k]
        tie = couple[k + 1] if k + 1 < n else couple[0]  # that of the first difference is 0
        alone = table[1, k]
        beside = 2.0 * table[3, k + 1] if k + 1 < n else 0.0
        for x in range(width):
            weight[x] = low[x] * own[x] - tie[x] * after[x]
        if beside != 0.0:
            for x in range(width):
                var_p[x] += weight[x] * after[x] * beside
        for x in range(width):
            var_p[x] += weight[x] * weight[x] * alone
            after[x] = weight[x]
    for x in range(width):
        var_p[x] *= photon[x] / (c_sum[x] * c_sum[x])
        rest = 1.0 / c_sum[x] - var_p[x]
        var_r[x] = 0.0 if rest < 0.0 else rest
