"""Straight pieces of a ramp and the weighted line through each: the parts that the least-squares fit is made of.

A segment is a run of good groups. The group of a jump is the first of its segment, since the jump lies before it.
Source: Fixsen et al. 2000, PASP 112, 1350 for the weights; the special cases are those of the official ``OLS_C`` fit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.core.dq import JUMP_DET, PERSISTENCE

__all__ = [
    "POWERS",
    "find_segments",
    "fit_segment",
    "power_index",
    "read_variance",
    "segment_slope",
    "slope_coefficients",
]

_JUMP = np.uint8(JUMP_DET)
_COUNTED = np.uint8(0xFF ^ PERSISTENCE)  # persistence does not end a segment

#: Exponents of the weights, and the signal-to-noise ratios from which each is used.
POWERS = np.array([0.0, 0.4, 1.0, 3.0, 6.0, 10.0])
_LIMITS = np.array([5.0, 10.0, 20.0, 50.0, 100.0])


@lru_cache(maxsize=8)
def slope_coefficients(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of the weighted slope for every length of segment.

    With weights ``w_i = |(i - m) / m|**P`` about the middle ``m`` of ``n`` groups, the slope per group is
    ``sum_i c_i (y_(n-1-i) - y_i)`` over the first half, ``c_i = w_i (m - i) / sum_j w_j (j - m)**2``.

    Parameters
    ----------
    longest : int
        Largest number of groups.

    Returns
    -------
    (6, ncoefficients) float64 ndarray
        One row per exponent in :data:`POWERS`.
    (longest + 1,) int64 ndarray
        Where the coefficients of each length start; lengths below 2 have none.
    """
    starts = np.zeros(longest + 1, np.int64)
    rows = []
    total = 0
    for n in range(2, longest + 1):
        starts[n] = total
        total += n // 2
        middle = (n - 1) / 2
        away = middle - np.arange(n // 2)
        weight = (away / middle) ** POWERS[:, None]
        rows.append(weight * away / (2 * (weight * away**2).sum(axis=1, keepdims=True)))
    table = np.concatenate(rows, axis=1) if rows else np.zeros((6, 1))
    return np.ascontiguousarray(table), starts


@njit
def power_index(signal, gain, noise):
    """Row of :data:`POWERS` for a segment that gains ``signal`` [DN] with read noise ``noise`` [e-]."""
    variance = noise * noise + signal * gain
    if variance <= 0.0 or gain == 0.0:
        return 0
    ratio = signal * gain / np.sqrt(variance)
    index = 0
    while index < 5 and not ratio < _LIMITS[index]:
        index += 1
    return index


@njit
def segment_slope(values, x, start, length, power, table, starts):
    """Weighted slope [DN/group] of ``values[start : start + length, x]``."""
    first = starts[length]
    last = start + length - 1
    slope = 0.0
    for k in range(length // 2):
        slope += table[power, first + k] * (np.float64(values[last - k, x]) - np.float64(values[start + k, x]))
    return slope


@njit
def read_variance(length, noise, gain, time):
    """Variance of the slope of a segment from read noise [(DN/s)^2]; ``time`` is that of a group [s].

    A single group counts as the difference of two, with the time it has integrated.
    """
    n = np.float64(max(length, 2))
    rate = noise / time
    return 12.0 * rate * rate / ((n * n * n - n) * gain * gain)


@njit
def fit_segment(values, x, start, length, flux, gain, noise, lone_time, group_time, table, starts):
    """Fit a segment of a pixel.

    Parameters
    ----------
    values : (ngroups, width) float32
        Ramps of a strip [DN].
    x, start, length : int
        Column, first group and number of groups.
    flux : float
        Rate that makes photon noise [DN/s].
    gain, noise : float
        Gain [e-/DN], read noise of a group [e-].
    lone_time, group_time : float
        Time that a segment of one group has integrated, time between groups [s].
    table, starts
        From :func:`slope_coefficients`.

    Returns
    -------
    slope : float
        [DN/s].
    photon, read : float
        Its variances from photon and read noise [(DN/s)^2].
    power : int
        Row of :data:`POWERS` that was used.
    """
    if length == 1:
        read = read_variance(1, noise, gain, lone_time)
        return np.float64(values[start, x]) / lone_time, flux / (lone_time * gain), read, 0
    power = 0
    if length > 2:
        signal = np.float64(values[start + length - 1, x]) - np.float64(values[start, x])
        power = power_index(signal, gain, noise)
    slope = segment_slope(values, x, start, length, power, table, starts) / group_time
    photon = flux / (group_time * gain * (length - 1))
    return slope, photon, read_variance(length, noise, gain, group_time), power


@njit
def find_segments(flags, x, ngroups, begin, size):
    """Find the segments of a pixel: first group and number of groups of each, into ``begin`` and ``size``.

    ``flags`` (ngroups, width) uint8 are GROUPDQ flags. Segments of one group are used only when there is none longer,
    and then only the first of them.

    Returns
    -------
    int
        Number of segments.
    """
    found = 0
    longest = 0
    inside = False
    before = np.uint8(0)
    for g in range(ngroups + 1):
        now = flags[g, x] & _COUNTED if g < ngroups else _COUNTED
        if now == 0 and not inside:
            begin[found] = g - 1 if g > 0 and before == _JUMP else g
            inside = True
        elif now != 0 and inside:
            size[found] = g - begin[found]
            longest = max(longest, size[found])
            found += 1
            inside = False
        before = now
    if longest < 2:
        return min(found, 1)
    kept = 0
    for s in range(found):
        if size[s] > 1:
            begin[kept] = begin[s]
            size[kept] = size[s]
            kept += 1
    return kept
