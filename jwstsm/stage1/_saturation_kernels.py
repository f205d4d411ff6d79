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
    middle[:] = planes[low]
    for k in range(low + 1, high):
        line = planes[k]
        for x in range(nx):
            middle[x] = min(middle[x], line[x])
    smallest = _NONE
    for x in range(nx):
        smallest = min(smallest, middle[x])
    out[:] = middle
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
        y = rows[r]
        padded = np.full(nx + 2 * grow, np.uint16(ngroups), np.uint16)
        for i in range(nints):
            line = spread[i, r]
            smallest = _row_minimum(first[i], r, grow, padded, line)
            if smallest >= ngroups:
                continue
            for g in range(smallest, ngroups):
                flags = groupdq[i, g, y]
                for x in range(nx):
                    flags[x] |= _SATURATED if line[x] <= g else _CLEAR
            if not averaged:
                continue
            single[i, r, :] = _NONE
            for x in range(nx):
                limit = threshold[r, x]
                if embedded:
                    if (
                        ngroups > 2
                        and data[i, 2, y, x] >= limit
                        and _second_group_is_suspect(data[i, 0, y, x], data[i, 1, y, x], limit, bias[r, x], nframes)
                    ):
                        single[i, r, x] = 1
                        some[i, r] = True
                    continue
                before = np.int64(line[x]) - 1
                if before < 0 or before == ngroups - 1:
                    continue
                if (
                    dilution[before] != 1.0
                    and limit != _ABOVE_CONVERTER
                    and data[i, before, y, x] >= limit * dilution[before]
                    and (groupdq[i, before, y, x] & _UNUSABLE) == 0
                ):
                    single[i, r, x] = np.uint16(before)
                    some[i, r] = True
                if (
                    before == 1
                    and ngroups > 2
                    and _second_group_is_suspect(data[i, 0, y, x], data[i, 1, y, x], limit, bias[r, x], nframes)
                ):
                    groupdq[i, 1, y, x] |= _DO_NOT_USE


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
    nrows = rows.size
    zero = np.float32(0)
    fine, saturated = np.uint16(1), np.uint16(0)
    for i in range(nints):
        hot = np.empty((nrows, nx), np.uint16)
        for r in prange(nrows):
            for x in range(nx):
                hot[r, x] = saturated if zeroframe[i, rows[r], x] >= threshold[r, x] else fine
        for r in prange(nrows):
            padded = np.full(nx + 2 * grow, fine, np.uint16)
            near = np.empty(nx, np.uint16)
            _row_minimum(hot, r, grow, padded, near)
            values = zeroframe[i, rows[r]]
            for x in range(nx):
                values[x] = zero if near[x] == saturated or values[x] <= zero else values[x]
