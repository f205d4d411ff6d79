"""Compiled passes of the saturation step; each is parallel over detector rows and writes only its own row."""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange

__all__ = ["find_first_saturated", "flag_groups", "grow_single_groups", "usable_threshold", "zero_bad_zeroframe"]

_ABOVE_CONVERTER = np.float32(65536.0)  # one above what 16 bits can hold
_NO_SAT_CHECK = np.uint32(dq.NO_SAT_CHECK)
_SATURATED = np.uint8(dq.SATURATED)
_DO_NOT_USE = np.uint8(dq.DO_NOT_USE)
_UNUSABLE = np.uint8(dq.SATURATED | dq.DO_NOT_USE)
_FLOOR = np.uint8(dq.AD_FLOOR | dq.DO_NOT_USE)
_CLEAR = np.uint8(0)
_NONE = np.uint16(65535)
_HOT, _FINE = np.uint16(0), np.uint16(1)


@njit(parallel=True)
def usable_threshold(threshold, flags):
    """Return thresholds without NaN, and flags.

    Parameters
    ----------
    threshold : (ny, nx) float32 [DN]
    flags : (ny, nx) uint32

    Returns
    -------
    threshold : (ny, nx) float32 [DN]
        One above the converter's range where it is NaN or NO_SAT_CHECK is set.
    flags : (ny, nx) uint32
        With NO_SAT_CHECK where the threshold is NaN.
    """
    ny, nx = threshold.shape
    level = np.empty((ny, nx), np.float32)
    bits = np.empty((ny, nx), np.uint32)
    for y in prange(ny):
        for x in range(nx):
            bits[y, x] = flags[y, x] if threshold[y, x] == threshold[y, x] else flags[y, x] | _NO_SAT_CHECK
            level[y, x] = threshold[y, x] if (bits[y, x] & _NO_SAT_CHECK) == 0 else _ABOVE_CONVERTER
    return level, bits


@njit(parallel=True)
def find_first_saturated(data, groupdq, threshold, rows, first):
    """Find each pixel's first group at or above the threshold; flag groups at or below 0 AD_FLOOR and DO_NOT_USE.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place.
    threshold : (nrows, nx) float32 [DN]
    rows : (nrows,) int64
    first : (nints, nrows, nx) uint16
        Output; ``ngroups`` where no group is.
    """
    nints, ngroups, _, nx = data.shape
    zero = np.float32(0)
    for r in prange(rows.size):
        y = rows[r]
        limit = threshold[r]
        for i in range(nints):
            line = first[i, r]
            for x in range(nx):
                line[x] = np.uint16(ngroups)
            # from the last group to the first: the earliest one is what stays
            for g in range(ngroups - 1, -1, -1):
                values = data[i, g, y]
                flags = groupdq[i, g, y]
                group = np.uint16(g)
                for x in range(nx):
                    line[x] = group if values[x] >= limit[x] else line[x]
                for x in range(nx):
                    flags[x] |= _FLOOR if values[x] <= zero else _CLEAR


@njit
def _row_minimum(planes, r, grow, padded, out):
    """Write the minimum over a square of ``2 grow + 1`` around each pixel of row ``r``; return the row's smallest."""
    nrows, nx = planes.shape
    low, high = max(0, r - grow), min(nrows, r + grow + 1)
    middle = padded[grow : grow + nx]
    lowest = planes[low]
    for x in range(nx):
        middle[x] = lowest[x]
    for k in range(low + 1, high):
        line = planes[k]
        for x in range(nx):
            middle[x] = min(middle[x], line[x])
    smallest = _NONE
    for x in range(nx):
        smallest = min(smallest, middle[x])
        out[x] = middle[x]
    for k in range(2 * grow + 1):
        shifted = padded[k : k + nx]
        for x in range(nx):
            out[x] = min(out[x], shifted[x])
    return smallest


@njit
def _second_group_is_suspect(d0, d1, limit, bias, nframes):
    """Whether the first group promised no saturation by the third, and the second is too high for that."""
    mean_first = 0.5 * (nframes + 1)
    promised = np.float64(np.float32(d0 - bias)) / mean_first * (3 * nframes) + np.float64(bias)
    return promised < limit and np.float32(d1 - d0) > np.float32(np.float32(limit - d0) / np.float32(nframes))


@njit
def _flag_from(groupdq, i, y, line, smallest):
    """Flag SATURATED in one row from each pixel's group in ``line`` on; ``smallest`` is the least of them."""
    for g in range(smallest, groupdq.shape[1]):
        flags = groupdq[i, g, y]
        for x in range(line.size):
            flags[x] |= _SATURATED if line[x] <= g else _CLEAR


@njit
def _find_partly_saturated(data, groupdq, i, y, limits, bias, line, dilution, nframes, single):
    """Mark, in one row, groups before the first saturated one to be grown; flag suspect second groups."""
    ngroups = data.shape[1]
    found = False
    for x in range(line.size):
        before = np.int64(line[x]) - 1
        single[x] = _NONE
        if before < 0 or before == ngroups - 1:
            continue
        if (
            dilution[before] != 1.0
            and limits[x] != _ABOVE_CONVERTER
            and data[i, before, y, x] >= limits[x] * dilution[before]
            and (groupdq[i, before, y, x] & _UNUSABLE) == 0
        ):
            single[x] = np.uint16(before)
            found = True
        if (
            before == 1
            and ngroups > 2
            and _second_group_is_suspect(data[i, 0, y, x], data[i, 1, y, x], limits[x], bias[x], nframes)
        ):
            groupdq[i, 1, y, x] |= _DO_NOT_USE
    return found


@njit
def _find_suspect_embedded(data, i, y, limits, bias, nframes, single):
    """Mark, in one row of a frame with reference pixels in between, suspect second groups to be grown."""
    found = False
    for x in range(limits.size):
        single[x] = _NONE
        if (
            data.shape[1] > 2
            and data[i, 2, y, x] >= limits[x]
            and _second_group_is_suspect(data[i, 0, y, x], data[i, 1, y, x], limits[x], bias[x], nframes)
        ):
            single[x] = np.uint16(1)
            found = True
    return found


@njit(parallel=True)
def flag_groups(
    data, groupdq, threshold, bias, rows, first, grow, dilution, nframes, averaged, embedded, spread, single, some
):
    """Flag SATURATED from the first saturated group on, and find partly saturated groups before it.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place.
    threshold, bias : (nrows, nx) float32 [DN]
    rows : (nrows,) int64
    first : (nints, nrows, nx) uint16
        First saturated group of each pixel by itself.
    grow : int
    dilution : (ngroups,) float64
    nframes : int
    averaged, embedded : bool
        See :func:`jwstsm.stage1.saturation.flag_saturation_inplace`.
    spread : (nints, nrows, nx) uint16
        Output: first saturated group of each pixel or a neighbour.
    single : (nints, nrows, nx) uint16
        Output, filled only in rows marked in ``some``: the partly saturated group whose flag is to be grown.
    some : (nints, nrows) bool
        Output.
    """
    nints, ngroups, _, nx = data.shape
    for r in prange(rows.size):
        padded = np.empty(nx + 2 * grow, np.uint16)
        for x in range(padded.size):
            padded[x] = np.uint16(ngroups)
        for i in range(nints):
            line, y = spread[i, r], rows[r]
            smallest = _row_minimum(first[i], r, grow, padded, line)
            if smallest >= ngroups:
                continue
            _flag_from(groupdq, i, y, line, smallest)
            if averaged and embedded:
                some[i, r] = _find_suspect_embedded(data, i, y, threshold[r], bias[r], nframes, single[i, r])
            elif averaged:
                some[i, r] = _find_partly_saturated(
                    data, groupdq, i, y, threshold[r], bias[r], line, dilution, nframes, single[i, r]
                )


@njit(parallel=True)
def grow_single_groups(groupdq, single, some, rows, grow, embedded):
    """Flag partly saturated groups and the same group of their neighbours (DO_NOT_USE; SATURATED if embedded).

    Parameters
    ----------
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place.
    single, some
        From :func:`flag_groups`.
    rows : (nrows,) int64
    grow : int
    embedded : bool
    """
    nints, nrows, nx = single.shape
    flag = _SATURATED if embedded else _DO_NOT_USE
    for r in prange(nrows):
        y = rows[r]
        for i in range(nints):
            for k in range(max(0, r - grow), min(nrows, r + grow + 1)):
                if not some[i, k]:
                    continue
                for x in range(nx):
                    if single[i, k, x] != _NONE:
                        flags = groupdq[i, single[i, k, x], y]
                        for neighbour in range(max(0, x - grow), min(nx, x + grow + 1)):
                            flags[neighbour] |= flag


@njit
def _zero_row(values, hot, r, grow):
    """Set the pixels of one row of a zero frame that are near a saturated one, or at or below 0, to 0."""
    nx = values.size
    zero = np.float32(0)
    padded = np.empty(nx + 2 * grow, np.uint16)
    for x in range(padded.size):
        padded[x] = _FINE
    near = np.empty(nx, np.uint16)
    _row_minimum(hot, r, grow, padded, near)
    for x in range(nx):
        values[x] = zero if near[x] == _HOT or values[x] <= zero else values[x]


@njit(parallel=True)
def zero_bad_zeroframe(zeroframe, threshold, rows, grow):
    """Set pixels of zero frames that are saturated, next to saturated ones, or at or below 0, to 0.

    Parameters
    ----------
    zeroframe : (nints, ny, nx) float32 [DN]
        Changed in place.
    threshold : (nrows, nx) float32 [DN]
    rows : (nrows,) int64
    grow : int
    """
    nints, _, nx = zeroframe.shape
    hot = np.empty((rows.size, nx), np.uint16)
    for i in range(nints):
        for r in prange(rows.size):
            for x in range(nx):
                hot[r, x] = _HOT if zeroframe[i, rows[r], x] >= threshold[r, x] else _FINE
        for r in prange(rows.size):
            _zero_row(zeroframe[i, rows[r]], hot, r, grow)
