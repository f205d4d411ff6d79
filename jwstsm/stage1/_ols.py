"""Least-squares slopes of all pixels: one kernel that goes through the exposure strip by strip of pixels.

For every pixel: the median rate, which sets the photon noise; the slope of each segment of each integration; these
combined to one slope per integration and one for the exposure. Rows are independent of each other.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED
from jwstsm.stage1._ols_segments import find_segments, fit_segment, read_variance
from jwstsm.stage1._ols_strip import FIRST, GROUP, NBAD, NSAT, SEEN, fit_whole_ramps, load_strip, median_rates

__all__ = ["LARGEST_VARIANCE", "fit_rows", "usable_first_groups"]

_SAT = np.uint8(SATURATED)
_LOST = np.uint8(CHARGELOSS)
_DNU_AND_LOST = np.uint8(DO_NOT_USE | CHARGELOSS)
_DNU32 = np.uint32(DO_NOT_USE)
_SAT32 = np.uint32(SATURATED)
_UNUSABLE = np.uint32(DO_NOT_USE | SATURATED)
_PASSED_ON = np.uint32(JUMP_DET | PERSISTENCE)
_NO_GAIN = np.uint32(NO_GAIN_VALUE | DO_NOT_USE)

#: Variances of at least this are written as 0 [(DN/s)^2].
LARGEST_VARIANCE = 1.0e6


@njit
def _fit_flagged(values, flags, facts, x, ngroups, gain, noise, flux, times, table, starts, begin, size, fit):
    """Sum slope / R, 1 / R, 1 / P and 1 / (P + R) over the segments of a pixel, into ``fit[:, x]``."""
    for f in range(4):
        fit[f, x] = 0.0
    for s in range(find_segments(flags, x, ngroups, begin, size)):
        slope, photon, read, _ = fit_segment(
            values, x, begin[s], size[s], flux, gain, noise, times[facts[FIRST, x]], times[GROUP], table, starts
        )
        fit[0, x] += slope / read
        fit[1, x] += 1.0 / read
        fit[2, x] += 1.0 / photon if photon > 0.0 else 0.0
        fit[3, x] += 1.0 / (photon + read)


@njit
def _fit_others(values, flags, facts, dq, ngroups, width, pixel, times, table, starts, begin, size, fit, now, tally):
    """Fit the flagged pixels of a strip and those of one group; write the DQ of the integration to ``now`` (width).

    What is unusable gets sums of 0 and is counted in ``tally``.
    """
    for x in range(width):
        now[x] = dq[x]
        if facts[SEEN, x] != 0 or ngroups == 1:
            now[x] = _integration_flags(facts, x, dq[x], flags[0, x], ngroups)
            if now[x] & _UNUSABLE == 0:
                _fit_flagged(
                    values, flags, facts, x, ngroups, pixel[0, x], pixel[1, x], pixel[2, x],
                    times, table, starts, begin, size, fit,
                )  # fmt: skip
        if now[x] & _UNUSABLE != 0:
            for f in range(4):
                fit[f, x] = 0.0
            tally[0, x] += 1 if now[x] & _DNU32 != 0 else 0
            tally[1, x] += 1 if now[x] & _SAT32 != 0 else 0


@njit
def _count_lost_charge(
    groupdq, i, g0, g1, y, x0, width, facts, pixel, times, marks, begin, size, fit, total, tally, var_r
):  # fmt: skip
    """Add 1 / R of a strip to ``total``, as if charge loss had not been flagged; renew ``var_r`` where it was."""
    for x in range(width):
        if facts[SEEN, x] & np.int64(_LOST) == 0:
            total[x] += fit[1, x] if fit[1, x] * LARGEST_VARIANCE > 1.0 else 0.0
            continue
        tally[3, x] += 1
        inverse = _read_precision_without_charge_loss(
            groupdq, i, g0, g1, y, x0 + x, pixel[1, x], pixel[0, x],
            times[facts[FIRST, x]], times[GROUP], marks, begin, size,
        )  # fmt: skip
        var_r[x] = _bounded(1.0 / inverse if inverse > 0.0 else 0.0)
        total[x] += inverse


@njit
def _read_precision_without_charge_loss(groupdq, i, g0, g1, y, xx, noise, gain, time1, tgroup, flags, begin, size):
    """Sum of 1 / R over the segments that a pixel would have if charge loss had not been flagged."""
    for g in range(g0, g1):
        mark = groupdq[i, g, y, xx]
        flags[g - g0, 0] = mark ^ _DNU_AND_LOST if mark & _LOST != 0 else mark
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
    dq = pixel | np.uint32(facts[SEEN, x]) & _PASSED_ON
    if first & _SAT != 0:
        dq |= _UNUSABLE
    if facts[NBAD, x] == ngroups:
        dq |= _DNU32
        if facts[NSAT, x] == ngroups:
            dq |= _SAT32
    return dq


@njit
def _finish_integration(fit, dq, width, slope, var_p, var_r, err):
    """Turn the sums of a strip into slope, variances and error (rows of the results), NaN and 0 where unusable."""
    top = fit[0]
    read = fit[1]
    for x in range(width):
        variance = 1.0 / read[x] if read[x] != 0.0 else 0.0
        var_r[x] = 0.0 if variance >= LARGEST_VARIANCE or dq[x] & _UNUSABLE != 0 else variance
    for x in range(width):
        variance = 1.0 / read[x] if read[x] != 0.0 else 0.0
        variance = 0.0 if variance >= LARGEST_VARIANCE else variance
        slope[x] = np.nan if dq[x] & _UNUSABLE != 0 else top[x] * variance
    photon = fit[2]
    for x in range(width):
        variance = 1.0 / photon[x] if photon[x] > 0.0 else 0.0
        var_p[x] = 0.0 if variance >= LARGEST_VARIANCE or dq[x] & _UNUSABLE != 0 else variance
    both = fit[3]
    for x in range(width):
        variance = 1.0 / both[x] if both[x] != 0.0 else 0.0
        variance = 0.0 if variance > LARGEST_VARIANCE or dq[x] & _UNUSABLE != 0 else variance
        err[x] = np.sqrt(variance)


@njit(parallel=True)
def fit_rows(
    data, groupdq, pixeldq, gain, readnoise, dark, zeroframe, g0, g1, times, root, suppress,
    network, table, starts, width, rate, ratedq, slope, slopedq, var_p, var_r, err,
):  # fmt: skip
    """Fit all ramps.

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
    width : int
        Pixels per strip.
    rate : (4, ny, nx) float32
        Filled: slope [DN/s], variances from photon and read noise [(DN/s)^2], error [DN/s] of the exposure.
    ratedq : (ny, nx) uint32
    slope, slopedq, var_p, var_r, err : (nints, ny, nx)
        Filled: the same per integration.
    """
    nints, _, ny, nx = data.shape
    ngroups = g1 - g0
    for j in prange(ny):
        y = np.int64(j)  # j is unsigned, which does not mix with other integers
        values = np.empty((ngroups, width), np.float32)
        flags = np.empty((ngroups, width), np.uint8)
        marks = np.empty((ngroups, 1), np.uint8)
        facts = np.empty((5, width), np.int64)
        ordered = np.empty((max(ngroups - 1, 1), width), np.float32)
        begin = np.empty(ngroups + 1, np.int64)
        size = np.empty(ngroups + 1, np.int64)
        pixel = np.empty((4, width), np.float64)  # gain, read noise, rate that makes photon noise, scratch
        power = np.empty(width, np.int64)
        fit = np.empty((4, width), np.float64)
        sums = np.empty((4, width), np.float64)
        dq = np.empty(width, np.uint32)
        now = np.empty(width, np.uint32)
        tally = np.empty((4, width), np.int64)  # integrations: unusable, saturated, partly saturated, with charge loss
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            _load_pixels(pixeldq, gain, readnoise, root, y, x0, w, pixel, dq)
            pixel[2, :w] = 0.0
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                median_rates(values, flags, facts, ngroups, w, times, network, ordered, pixel[3])
                for x in range(w):
                    once = pixel[3, x]
                    pixel[2, x] += once if once == once or ngroups == 1 else 0.0
            _add_dark(dark, y, x0, w, nints, pixel[2])
            sums[:] = 0.0
            tally[:] = 0
            for i in range(nints):
                if nints > 1:
                    load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                if ngroups > 1:
                    fit_whole_ramps(
                        values, ngroups, w, pixel[0], pixel[1], pixel[2], times[GROUP], table, starts, power, pixel[3],
                        fit,
                    )  # fmt: skip
                _fit_others(values, flags, facts, dq, ngroups, w, pixel, times, table, starts, begin, size, fit, now, tally)
                row = slice(x0, x0 + w)
                _finish_integration(fit, now, w, slope[i, y, row], var_p[i, y, row], var_r[i, y, row], err[i, y, row])
                _count_lost_charge(
                    groupdq, i, g0, g1, y, x0, w, facts, pixel, times, marks, begin, size, fit, sums[3], tally,
                    var_r[i, y, row],
                )  # fmt: skip
                for x in range(w):
                    if facts[NSAT, x] > 0:
                        tally[2, x] += 1
                        now[x] |= _SAT32
                    slopedq[i, y, x0 + x] = now[x]
                    ratedq[y, x0 + x] = now[x] if i == 0 else ratedq[y, x0 + x] | now[x]
                for f in range(3):
                    for x in range(w):
                        sums[f, x] += fit[f, x]
            _finish_exposure(sums, tally, dq, w, nints, rate, ratedq, y, x0)


@njit
def _load_pixels(pixeldq, gain, readnoise, root, y, x0, width, pixel, dq):
    """Gain [e-/DN], read noise of a group [e-] and PIXELDQ of a strip; a gain that is not positive is flagged."""
    for x in range(width):
        factor = np.float64(gain[y, x0 + x])
        pixel[0, x] = factor
        # rounded to single precision like the official noise image
        pixel[1, x] = np.float64(np.float32(np.float64(readnoise[y, x0 + x]) * (factor / root)))
    for x in range(width):
        dq[x] = pixeldq[y, x0 + x] if pixel[0, x] > 0.0 else pixeldq[y, x0 + x] | _NO_GAIN


@njit
def _add_dark(dark, y, x0, width, nints, rate):
    """Turn the sum of the median rates of a strip into the rate that makes photon noise: their mean, and the dark."""
    dy = y if dark.shape[0] > 1 else 0
    for x in range(width):
        mean = rate[x] / nints
        current = np.float64(dark[dy, x0 + x if dark.shape[1] > 1 else 0])
        rate[x] = mean + current if mean > 0.0 else current


@njit
def _finish_exposure(sums, tally, dq, width, nints, rate, ratedq, y, x0):
    """Write slope, variances, error and DQ of the exposure from the sums over its integrations."""
    for x in range(width):
        xx = x0 + x
        # flags of the integrations are joined, but an unusable integration does not make the exposure unusable
        flags = ratedq[y, xx] & _PASSED_ON | dq[x]
        flags |= _DNU32 if tally[0, x] == nints else np.uint32(0)
        flags |= _SAT32 if tally[1, x] == nints else np.uint32(0)
        photon = 1.0 / sums[2, x] if sums[2, x] > 0.0 else 0.0
        read = 1.0 / sums[1, x] if sums[1, x] > 0.0 else sums[1, x]
        photon = 0.0 if photon >= LARGEST_VARIANCE else photon
        read = 0.0 if read >= LARGEST_VARIANCE else read
        slope = sums[0, x] * read
        error = np.sqrt(photon + read)
        if flags & _UNUSABLE != 0:
            slope = np.nan
            photon = 0.0
            read = 0.0
            error = 0.0
        if tally[3, x] > 0:
            read = _bounded(1.0 / sums[3, x] if sums[3, x] > 0.0 else read)
        flags |= _SAT32 if tally[2, x] > 0 else np.uint32(0)
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
