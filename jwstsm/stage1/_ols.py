"""Least-squares slopes of all pixels: one kernel that goes through the exposure strip by strip of pixels.

For every pixel: the median rate, which sets the photon noise; the slope of each segment of each integration; these
combined to one slope per integration and one for the exposure. Rows are independent of each other.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED
from jwstsm.stage1._columns import median_of_sorted, sort_columns
from jwstsm.stage1._ols_segments import find_segments, fit_segment, read_variance

__all__ = ["LARGEST_VARIANCE", "SEEN", "FIRST", "fit_rows", "load_strip", "median_rates", "usable_first_groups"]

_DNU = np.uint8(DO_NOT_USE)
_SAT = np.uint8(SATURATED)
_JUMP = np.uint8(JUMP_DET)
_BAD = np.uint8(DO_NOT_USE | SATURATED)
_LOST = np.uint8(CHARGELOSS)
_NO_JUMP = np.uint8(0xFF ^ JUMP_DET)
_COUNTED = np.uint8(0xFF ^ PERSISTENCE)
_UNUSABLE = np.uint32(DO_NOT_USE | SATURATED)
_PASSED_ON = np.uint8(JUMP_DET | PERSISTENCE)
_NO_GAIN = np.uint32(NO_GAIN_VALUE | DO_NOT_USE)

#: Variances of at least this are written as 0 [(DN/s)^2].
LARGEST_VARIANCE = 1.0e6

# What load_strip finds out about each pixel of an integration.
GOOD, NSAT, NBAD, SEEN, FIRST = range(5)

# How long the one good group of a pixel has integrated.
_GROUP, _FIRST_GROUP, _ZERO_FRAME = range(3)


@njit
def load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, width, suppress, values, flags, facts):
    """Copy groups ``g0`` to ``g1`` of an integration of a strip, and take stock of their flags.

    ``values`` (ngroups, width) float32 and ``flags`` (ngroups, width) uint8 are filled. Saturated values become NaN, and
    a value that is NaN without reason is flagged DO_NOT_USE. Where no group is good, a zero frame that is not 0 takes the
    place of the first group. ``facts`` (5, width) int64: strictly good, saturated, and unusable groups, the union of all
    flags, and which time a lone group has.
    """
    nan = np.float32(np.nan)
    for f in range(5):
        for x in range(width):
            facts[f, x] = 0
    for g in range(g0, g1):
        row = values[g - g0]
        marks = flags[g - g0]
        for x in range(width):
            value = data[i, g, y, x0 + x]
            mark = groupdq[i, g, y, x0 + x]
            mark = mark if value == value or mark & _SAT != 0 else mark | _DNU
            row[x] = nan if mark & _SAT != 0 else value
            marks[x] = mark
    if suppress:
        _suppress_lone_groups(groupdq, i, y, x0, width, g1 - g0, flags)
    if g0 > 0:
        # nothing usable lies before this group, so a jump before it does not matter
        for x in range(width):
            flags[0, x] &= _NO_JUMP
    for g in range(g1 - g0):
        for x in range(width):
            mark = flags[g, x]
            facts[GOOD, x] += 1 if mark == 0 else 0
            facts[NSAT, x] += 1 if mark & _SAT != 0 else 0
            facts[NBAD, x] += 1 if mark & _BAD != 0 else 0
            facts[SEEN, x] |= np.int64(mark)
    if suppress:
        return
    for x in range(width):
        if facts[GOOD, x] == 1 and flags[0, x] == 0:
            facts[FIRST, x] = _FIRST_GROUP
        elif facts[GOOD, x] == 0 and zeroframe.shape[0] > 0:
            zero = zeroframe[i, y, x0 + x]
            if zero == zero and zero != 0:
                values[0, x] = zero
                flags[0, x] = 0
                facts[GOOD, x] = 1
                facts[NBAD, x] -= 1
                if facts[NSAT, x] == g1 - g0:
                    facts[NSAT, x] -= 1
                facts[FIRST, x] = _ZERO_FRAME


@njit
def _suppress_lone_groups(groupdq, i, y, x0, width, ngroups, flags):
    """Flag all groups DO_NOT_USE of pixels with exactly one good group (persistence does not count)."""
    for x in range(width):
        good = 0
        for g in range(ngroups):
            good += 1 if flags[g, x] & _COUNTED == 0 else 0
        if good == 1:
            for g in range(ngroups):
                flags[g, x] |= _DNU


@njit
def median_rates(values, flags, facts, ngroups, width, times, network, ordered, rates):
    """Median rate [DN/s] of each pixel of a strip in one integration, into ``rates``; NaN if it has none."""
    inf = np.float32(np.inf)
    tgroup = times[_GROUP]
    n = ngroups - 1
    usable = np.zeros(width, np.int64)
    for k in range(n):
        for x in range(width):
            step = values[k + 1, x] - values[k, x]
            bad = (flags[k, x] | flags[k + 1, x]) & _DNU != 0 or flags[k + 1, x] & _JUMP != 0 or step != step
            ordered[k, x] = inf if bad else step
            usable[x] += 0 if bad else 1
    if network.shape[0] > 0 or n == 1:
        sort_columns(ordered, network, width)
    else:
        for x in range(width):
            ordered[:n, x] = np.sort(ordered[:n, x])
    for x in range(width):
        if facts[FIRST, x] != _GROUP or n == 0:
            rates[x] = np.float64(values[0, x]) / times[facts[FIRST, x] if n > 0 else _FIRST_GROUP]
        elif usable[x] == 0:
            rates[x] = np.float64(values[0, x]) / tgroup if flags[0, x] & _DNU == 0 else np.nan
        else:
            rates[x] = median_of_sorted(ordered, x, usable[x]) / tgroup


@njit
def _fit_integration(values, flags, facts, x, ngroups, rate, gain, noise, dark, times, table, starts, begin, size):
    """Sums over the segments of a pixel: slope / R, 1 / R, 1 / P, 1 / (P + R), and the number of segments.

    ``P`` and ``R`` are the variances of a segment's slope from photon and read noise.
    """
    top = 0.0
    inverse_r = 0.0
    inverse_p = 0.0
    inverse_e = 0.0
    flux = rate + dark if rate > 0.0 else dark
    if facts[SEEN, x] == 0 and ngroups > 1:
        count = 1
        begin[0] = 0
        size[0] = ngroups
    else:
        count = find_segments(flags, x, ngroups, begin, size)
    for s in range(count):
        slope, photon, read, _ = fit_segment(
            values, x, begin[s], size[s], flux, gain, noise, times[facts[FIRST, x]], times[_GROUP], table, starts
        )
        top += slope / read
        inverse_r += 1.0 / read
        inverse_p += 1.0 / photon if photon > 0.0 else 0.0
        inverse_e += 1.0 / (photon + read)
    return top, inverse_r, inverse_p, inverse_e, count


@njit
def _read_precision_without_charge_loss(groupdq, i, g0, g1, y, xx, noise, gain, time1, tgroup, flags, begin, size):
    """Sum of 1 / R over the segments that a pixel would have if charge loss had not been flagged."""
    for g in range(g0, g1):
        mark = groupdq[i, g, y, xx]
        flags[g - g0, 0] = mark ^ (_DNU | _LOST) if mark & _LOST != 0 else mark
    inverse = 0.0
    if not gain > 0.0:
        return inverse
    for s in range(find_segments(flags, 0, g1 - g0, begin, size)):
        read = read_variance(size[s], noise, gain, time1 if size[s] == 1 else tgroup)
        inverse += 1.0 / read if read > 0.0 else 0.0
    return inverse


@njit
def _bounded(variance):
    """Return the variance, or 0 where it is too large to mean anything."""
    return 0.0 if variance >= LARGEST_VARIANCE else variance


@njit
def _integration_flags(facts, x, pixel, first, ngroups):
    """DQ of a pixel's integration before partial saturation is added; ``first`` are the flags of its first group."""
    dq = pixel | np.uint32(facts[SEEN, x] & np.int64(_PASSED_ON))
    if first & _SAT != 0:
        dq |= _UNUSABLE
    if facts[NBAD, x] == ngroups:
        dq |= np.uint32(_DNU)
        if facts[NSAT, x] == ngroups:
            dq |= np.uint32(_SAT)
    return dq


@njit(parallel=True)
def fit_rows(
    data, groupdq, pixeldq, gain, readnoise, dark, zeroframe, g0, g1, times, root, suppress,
    network, table, starts, width, y0, y1, rate, ratedq, slope, slopedq, var_p, var_r, err,
):  # fmt: skip
    """Fit all ramps of rows ``y0`` to ``y1``.

    Parameters
    ----------
    data, groupdq : (nints, ngroups, ny, nx) float32 [DN], uint8
    pixeldq : (ny, nx) uint32
    gain, readnoise : (ny, nx) float32
        Gain [e-/DN]; noise of the difference of two frames [DN].
    dark : (ny, nx) or (1, 1) float32
        Average dark current [DN/s].
    zeroframe : (nints, ny, nx) float32
        Zero frames [DN]; empty for none.
    g0, g1 : int
        Groups to use.
    times : (3,) float64
        Time of a group, of the mean of the frames of the first group, of a frame [s].
    root : float
        Square root of twice the frames per group: turns ``readnoise`` into that of one group.
    suppress : bool
        Give up ramps with only one good group.
    network, table, starts
        From :func:`merge_exchange` and :func:`slope_coefficients`.
    width, y0, y1 : int
        Pixels per strip; rows.
    rate : (4, ny, nx) float32
        Filled: slope [DN/s], variances from photon and read noise [(DN/s)^2], error [DN/s] of the exposure.
    ratedq : (ny, nx) uint32
    slope, slopedq, var_p, var_r, err : (nints, ny, nx)
        Filled: the same per integration.
    """
    nints, _, _, nx = data.shape
    ngroups = g1 - g0
    for j in prange(y1 - y0):
        y = y0 + j
        values = np.empty((ngroups, width), np.float32)
        flags = np.empty((ngroups, width), np.uint8)
        marks = np.empty((ngroups, 1), np.uint8)
        facts = np.empty((5, width), np.int64)
        ordered = np.empty((max(ngroups - 1, 1), width), np.float32)
        begin = np.empty(ngroups + 1, np.int64)
        size = np.empty(ngroups + 1, np.int64)
        once = np.empty(width, np.float64)
        median = np.empty(width, np.float64)
        sums = np.empty((4, width), np.float64)
        dq = np.empty(width, np.uint32)
        tally = np.empty((4, width), np.int64)  # integrations: unusable, saturated, partly saturated, with charge loss
        dy = y if dark.shape[0] > 1 else 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            median[:w] = 0.0
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                median_rates(values, flags, facts, ngroups, w, times, network, ordered, once)
                for x in range(w):
                    median[x] += once[x] if once[x] == once[x] or ngroups == 1 else 0.0
            for x in range(w):
                median[x] /= nints
                good_gain = gain[y, x0 + x] > 0.0
                dq[x] = pixeldq[y, x0 + x] if good_gain else pixeldq[y, x0 + x] | _NO_GAIN
            sums[:] = 0.0
            tally[:] = 0
            for i in range(nints):
                if nints > 1:
                    load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                for x in range(w):
                    xx = x0 + x
                    factor = np.float64(gain[y, xx])
                    noise = np.float64(np.float32(np.float64(readnoise[y, xx]) * (factor / root)))
                    current = np.float64(dark[dy, xx if dark.shape[1] > 1 else 0])
                    now = _integration_flags(facts, x, dq[x], flags[0, x], ngroups)
                    fitted = np.nan if now & _UNUSABLE != 0 else 0.0
                    photon = 0.0
                    read = 0.0
                    error = 0.0
                    if now & _UNUSABLE == 0:
                        top, inverse_r, inverse_p, inverse_e, count = _fit_integration(
                            values, flags, facts, x, ngroups, median[x], factor, noise, current, times,
                            table, starts, begin, size,
                        )  # fmt: skip
                        if count > 0:
                            photon = _bounded(1.0 / inverse_p) if inverse_p > 0.0 else 0.0
                            read = _bounded(1.0 / inverse_r)
                            fitted = top * read
                            total = 1.0 / inverse_e
                            error = 0.0 if total > LARGEST_VARIANCE else np.sqrt(total)
                            sums[0, x] += top
                            sums[1, x] += inverse_p
                            sums[2, x] += inverse_r
                    if facts[SEEN, x] & np.int64(_LOST) != 0:
                        tally[3, x] += 1
                        inverse = _read_precision_without_charge_loss(
                            groupdq, i, g0, g1, y, xx, noise, factor,
                            times[facts[FIRST, x]], times[0], marks, begin, size,
                        )  # fmt: skip
                        read = _bounded(1.0 / inverse)
                        sums[3, x] += inverse
                    elif read > 0.0:
                        sums[3, x] += 1.0 / read
                    tally[0, x] += 1 if now & np.uint32(_DNU) != 0 else 0
                    tally[1, x] += 1 if now & np.uint32(_SAT) != 0 else 0
                    if facts[NSAT, x] > 0:
                        tally[2, x] += 1
                        now |= np.uint32(_SAT)
                    ratedq[y, xx] = now if i == 0 else ratedq[y, xx] | now
                    slope[i, y, xx] = fitted
                    slopedq[i, y, xx] = now
                    var_p[i, y, xx] = photon
                    var_r[i, y, xx] = read
                    err[i, y, xx] = error
            for x in range(w):
                _combine(sums, tally, dq, x, nints, rate, ratedq, y, x0 + x)


@njit
def _combine(sums, tally, dq, x, nints, rate, ratedq, y, xx):
    """Write slope, variances, error and DQ of the exposure from the sums over its integrations."""
    # flags of the integrations are joined, but an unusable integration does not make the exposure unusable
    flags = ratedq[y, xx] & np.uint32(JUMP_DET | PERSISTENCE) | dq[x]
    if tally[0, x] == nints:
        flags |= np.uint32(_DNU)
    if tally[1, x] == nints:
        flags |= np.uint32(_SAT)
    photon = 1.0 / sums[1, x] if sums[1, x] > 0.0 else 0.0
    read = 1.0 / sums[2, x] if sums[2, x] > 0.0 else sums[2, x]
    photon = _bounded(photon)
    read = _bounded(read)
    slope = sums[0, x] * read
    error = np.sqrt(photon + read)
    if flags & _UNUSABLE != 0:
        slope = np.nan
        photon = 0.0
        read = 0.0
        error = 0.0
    if tally[3, x] > 0:
        read = _bounded(1.0 / sums[3, x] if sums[3, x] > 0.0 else read)
    if tally[2, x] > 0:
        flags |= np.uint32(_SAT)
    rate[0, y, xx] = slope
    rate[1, y, xx] = photon
    rate[2, y, xx] = read
    rate[3, y, xx] = error
    ratedq[y, xx] = flags


@njit
def usable_first_groups(groupdq, g):
    """Whether any pixel of any integration is not saturated in group ``g``."""
    for i in range(groupdq.shape[0]):
        for y in range(groupdq.shape[2]):
            for x in range(groupdq.shape[3]):
                if groupdq[i, g, y, x] & _SAT == 0:
                    return True
    return False
