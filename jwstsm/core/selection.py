"""Medians by selection, and clipping about the median, for use inside compiled kernels. NaN is not allowed."""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit

__all__ = ["clip_inplace", "median64_inplace", "median_inplace", "order"]

# larger samples are first cut down to the neighbourhood of their median, which some probes tell
_PROBES = 128
_PROBE_REACH = 20
_LARGE = 320


@njit
def order(values, count, rank):
    """Return the ``rank``-th smallest of ``values[:count]`` (Hoare's quickselect); smaller ones end up before it."""
    low = 0
    high = count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                swap = values[i]
                values[i] = values[j]
                values[j] = swap
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]


@njit
def _narrow(values, count, half):
    """Move the values around rank ``half`` to the front; return their number and how many smaller ones were left out.

    Ranks ``half - 1`` and ``half`` are among them; where the probes mislead, nothing is moved and all are returned.
    """
    probes = np.empty(_PROBES, values.dtype)
    step = count // _PROBES
    for k in range(_PROBES):
        probes[k] = values[k * step]
    place = (half * _PROBES) // count
    high = order(probes, _PROBES, min(place + _PROBE_REACH, _PROBES - 1))
    low = order(probes, _PROBES, max(place - _PROBE_REACH, 0))
    below, inside = 0, 0
    for k in range(count):
        # no short cut: a branch that is taken at random costs more than two comparisons
        below += values[k] < low
        inside += (values[k] >= low) & (values[k] <= high)
    if half - 1 < below or half >= below + inside:
        return count, 0
    n = 0
    for k in range(count):
        v = values[k]
        values[n] = v
        n += (v >= low) & (v <= high)
    return n, below


@njit
def _middle(values, count):
    """Return the two middle values of ``values[:count]`` (the same one twice if the number is odd)."""
    half = count // 2
    odd = count % 2 == 1
    while count > _LARGE:
        inside, below = _narrow(values, count, half)
        if inside == count:
            break
        count = inside
        half -= below
    upper = order(values, count, half)
    if odd:
        return upper, upper
    lower = values[0]
    for k in range(1, half):
        lower = max(lower, values[k])
    return lower, upper


@njit
def median_inplace(values, count):
    """Median of ``values[:count]`` in float32 arithmetic; 0 if there are none. The values are lost."""
    if count == 0:
        return np.float32(0)
    lower, upper = _middle(values, count)
    return upper if count % 2 == 1 else (lower + upper) / np.float32(2)


@njit
def median64_inplace(values, count):
    """Median of ``values[:count]`` in float64 arithmetic; NaN if there are none. The values are lost."""
    if count == 0:
        return np.nan
    lower, upper = _middle(values, count)
    return (np.float64(lower) + np.float64(upper)) / 2.0


@njit
def clip_inplace(values, count, sigma, rounds):
    """Clip ``values[:count]`` about their median until nothing changes, at most ``rounds`` times.

    Parameters
    ----------
    values : (>= count,) float32
        What survives is moved to the front.
    count : int
    sigma : float
        Limit in standard deviations.
    rounds : int

    Returns
    -------
    count : int
        How many values survive.
    mean : float
        Their mean; NaN if there are none.
    """
    mean = np.nan
    scratch = np.empty(count, values.dtype)
    for turn in range(rounds + 1):
        if count == 0:
            break
        total = 0.0
        for k in range(count):
            total += values[k]
        mean = total / count
        if turn == rounds:
            break
        square = 0.0
        for k in range(count):
            square += (values[k] - mean) ** 2
            scratch[k] = values[k]
        half = sigma * np.sqrt(square / count)
        centre = median64_inplace(scratch, count)
        left = 0
        for k in range(count):
            if values[k] >= centre - half and values[k] <= centre + half:
                values[left] = values[k]
                left += 1
        if left == count or left == 0:
            break
        count = left
    return count, mean
