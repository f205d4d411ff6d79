"""Robust statistics of pixel samples: sigma clipping, exact medians in bounded memory, and the sky statistics.

Everything here walks the sample in fixed blocks of :data:`BLOCK` values whose partial sums are added in order, so
results do not depend on the number of threads, and no copy of the sample is made: mapped files are fine.

Sources: ``clipped_moments`` follows the usual iterated clipping about the median; ``sky_statistic`` follows the
published behaviour of IRAF's ``gstatistics`` as the JWST sky matching uses it (mode and midpoint from a histogram whose
bins are a fraction of the clipped standard deviation).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["BLOCK", "Moments", "SkyStatistic", "clipped_moments", "median", "sky_statistic"]

BLOCK = 1 << 16
_SMALLEST_RANGE = 10.0 * float(np.finfo(np.float32).eps)


class Moments(NamedTuple):
    """Mean, median, standard deviation (``ddof`` as asked), extremes and number of the values that survive clipping."""

    mean: float
    median: float
    std: float
    low: float
    high: float
    count: int


class SkyStatistic(NamedTuple):
    """A sky level and the number of values that survived clipping."""

    value: float
    count: int


@njit(parallel=True)
def _moments(values, low, high, skip_zero):
    """Return count, mean, sum of squared deviations, minimum and maximum of the values in [low, high]."""
    n = values.size
    nblocks = (n + BLOCK - 1) // BLOCK
    part = np.zeros((nblocks, 4))
    number = np.zeros(nblocks, np.int64)
    for b in prange(nblocks):
        total, count = 0.0, 0
        lowest, highest = np.inf, -np.inf
        for k in range(b * BLOCK, min(n, (b + 1) * BLOCK)):
            v = values[k]
            if v >= low and v <= high and not (skip_zero and v == 0.0):
                total += v
                count += 1
                lowest = min(lowest, v)
                highest = max(highest, v)
        centre = total / count if count else 0.0
        square = 0.0
        for k in range(b * BLOCK, min(n, (b + 1) * BLOCK)):
            v = values[k]
            if v >= low and v <= high and not (skip_zero and v == 0.0):
                square += (v - centre) ** 2
        number[b] = count
        part[b, 0], part[b, 1], part[b, 2], part[b, 3] = centre, square, lowest, highest
    count, mean, square = 0, 0.0, 0.0
    lowest, highest = np.inf, -np.inf
    for b in range(nblocks):  # Chan's update: stable, and in a fixed order
        if number[b]:
            both = count + number[b]
            step = part[b, 0] - mean
            mean += step * number[b] / both
            square += part[b, 1] + step * step * count * number[b] / both
            count = both
            lowest = min(lowest, part[b, 2])
            highest = max(highest, part[b, 3])
    return count, mean, square, lowest, highest


@njit(parallel=True)
def _bit_counts(values, keys, low, high, skip_zero, prefix, use_prefix):
    """Count values in [low, high] by the upper 16 bits of their ordered key, or by the lower 16 under one prefix."""
    n = values.size
    nblocks = min(64, (n + BLOCK - 1) // BLOCK)
    size = (n + nblocks - 1) // nblocks
    counts = np.zeros((nblocks, 1 << 16), np.int64)
    for b in prange(nblocks):
        for k in range(b * size, min(n, (b + 1) * size)):
            v = values[k]
            if v >= low and v <= high and not (skip_zero and v == 0.0):
                key = keys[k]
                key = ~key if key & np.uint32(0x80000000) else key | np.uint32(0x80000000)
                if not use_prefix:
                    counts[b, key >> np.uint32(16)] += 1
                elif key >> np.uint32(16) == prefix:
                    counts[b, key & np.uint32(0xFFFF)] += 1
    return counts.sum(axis=0)


def _flat32(values: np.ndarray) -> np.ndarray:
    """Return the sample as a flat native float32 array, without a copy where it is one already."""
    return np.ascontiguousarray(values, np.float32).reshape(-1)


def _ranked(values: np.ndarray, rank: int, low: float, high: float, skip_zero: bool) -> float:
    """Return the value of a given rank (0 is the smallest) by two histograms of the float's bit pattern: exact."""
    keys = values.view(np.uint32)
    coarse = _bit_counts(values, keys, low, high, skip_zero, np.uint32(0), False)
    edges = np.cumsum(coarse)
    upper = int(np.searchsorted(edges, rank, side="right"))
    inside = rank - (int(edges[upper - 1]) if upper else 0)
    fine = np.cumsum(_bit_counts(values, keys, low, high, skip_zero, np.uint32(upper), True))
    key = (upper << 16) | int(np.searchsorted(fine, inside, side="right"))
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def median(
    values: np.ndarray, *, low: float = -np.inf, high: float = np.inf, count: int | None = None, skip_zero: bool = False
) -> float:
    """Exact median of the values within limits, without sorting or copying the sample.

    Parameters
    ----------
    values : ndarray
        The sample, any shape; taken as float32. NaN is left out.
    low, high : float
        Inclusive limits.
    count : int, optional
        Number of values within the limits, if the caller knows it.
    skip_zero : bool
        Leave zeros out.

    Returns
    -------
    float
        NaN for an empty sample.
    """
    flat = _flat32(values)
    if count is None:
        count = int(_moments(flat, low, high, skip_zero)[0])
    if count == 0:
        return float("nan")
    upper = _ranked(flat, count // 2, low, high, skip_zero)
    if count % 2:
        return upper
    return float(np.float32(np.float32(_ranked(flat, count // 2 - 1, low, high, skip_zero)) + np.float32(upper)) / 2)


def clipped_moments(
    values: np.ndarray, *, sigma: float = 3.0, maxiters: int = 5, skip_zero: bool = False, ddof: int = 0
) -> Moments:
    """Moments after iterated clipping at ``sigma`` standard deviations about the median.

    Parameters
    ----------
    values : ndarray
        The sample, any shape; taken as float32. Values that are not finite are left out.
    sigma : float
        Distance from the median, in standard deviations, beyond which values are rejected.
    maxiters : int
        Number of rejections at most; stops earlier when nothing is rejected.
    skip_zero : bool
        Leave zeros out (weights of empty pixels).
    ddof : int
        Subtracted from the count in the standard deviation.

    Returns
    -------
    Moments
        All NaN, count 0, for an empty sample.
    """
    flat = _flat32(values)
    limit = float(np.finfo(np.float32).max)
    low, high = -limit, limit
    count, mean, square, smallest, largest = _moments(flat, low, high, skip_zero)
    for _ in range(maxiters):
        if count == 0:
            break
        centre = median(flat, low=low, high=high, count=count, skip_zero=skip_zero)
        spread = sigma * np.sqrt(square / count)
        # once a value is rejected it stays rejected, hence the running limits
        low, high = max(low, centre - spread), min(high, centre + spread)
        before = count
        count, mean, square, smallest, largest = _moments(flat, low, high, skip_zero)
        if count == before:
            break
    if count == 0:
        return Moments(*[float("nan")] * 5, 0)
    middle = median(flat, low=low, high=high, count=count, skip_zero=skip_zero)
    spread = float(np.sqrt(square / max(count - ddof, 1)))
    return Moments(float(mean), middle, spread, float(smallest), float(largest), int(count))


@njit
def _histogram(values, low, high, inverse_width, nbins):
    """Count values in [low, high) in bins of equal width; float32 arithmetic as in the source."""
    counts = np.zeros(nbins, np.int64)
    for k in range(values.size):
        v = values[k]
        if v >= low and v < high:
            index = int(inverse_width * (v - low))
            if index < nbins:
                counts[index] += 1
    return counts


def _mode(counts: np.ndarray, low: float, width: float) -> float:
    """Return the position of the fullest bin, refined by a parabola through it and its neighbours."""
    nbins = counts.size
    if nbins == 1:
        return low + 0.5 * width
    if nbins == 2:
        return low + (1.0 + 0.5 * np.sign(int(counts[1]) - int(counts[0]))) * width
    peak = int(np.argmax(counts))
    if peak in (0, nbins - 1):
        return low + (peak + 0.5) * width
    left, right = int(counts[peak] - counts[peak - 1]), int(counts[peak] - counts[peak + 1])
    shift = 0.5 * (left - right) / (left + right) if left + right else 0.0
    return low + (peak + 0.5 + shift) * width


def _midpoint(counts: np.ndarray, low: float, width: float) -> float:
    """Return the value below which half of the histogram lies, interpolated inside its bin."""
    if counts.size == 1:
        return low + 0.5 * width
    share = (np.cumsum(counts) / counts.sum()).astype(np.float32)
    index = int(np.argmax(share >= 0.5))
    below = float(share[index - 1]) if index else 0.0
    inside = float(share[index]) - below
    return low + (index + ((0.5 - below) / inside if inside else 0.0)) * width


def sky_statistic(
    values: np.ndarray,
    *,
    stat: str = "mode",
    lower: float | None = None,
    upper: float | None = None,
    nclip: int = 5,
    lsigma: float = 4.0,
    usigma: float = 4.0,
    binwidth: float = 0.1,
) -> SkyStatistic | None:
    """Sky level of a sample of pixels.

    Parameters
    ----------
    values : ndarray of float32
        The pixels [any unit], finite.
    stat : {"mode", "median", "mean", "midpt"}
        Which level. ``mode`` is the peak of the histogram refined by a parabola, ``midpt`` the histogram's median.
    lower, upper : float, optional
        Pixels outside are never used.
    nclip : int
        Number of clipping iterations about the mean.
    lsigma, usigma : float
        Clipping limits below and above the mean, in standard deviations.
    binwidth : float
        Width of the histogram's bins in standard deviations.

    Returns
    -------
    SkyStatistic or None
        None when there are no usable pixels.

    Notes
    -----
    The bins that are counted are ``(max - min) / (nbins - 1)`` wide while their positions are read with the width
    ``binwidth * sigma``; the small inconsistency belongs to the original statistic and is kept so that levels agree.
    """
    flat = _flat32(values)
    if flat.size == 0:
        return None
    _, _, _, smallest, largest = _moments(flat, -np.inf, np.inf, False)
    lower = smallest if lower is None else lower
    upper = largest if upper is None else upper
    low, high = np.float32(lower), np.float32(upper)
    for iteration in range(nclip + 1):
        count, mean, square, first, last = _moments(flat, low, high, False)
        if count == 0:
            return None
        mean, spread = np.float32(mean), np.float32(np.sqrt(square / (count - 1))) if count > 1 else np.float32("nan")
        if iteration < nclip and np.isfinite(spread):
            low = np.float32(max(lower, float(mean) - lsigma * float(spread)))
            high = np.float32(min(upper, float(mean) + usigma * float(spread)))
    # the source starts its search for the extremes at the first pixel, so that a limit replaces the extreme on a side
    # where that pixel was rejected; kept for the same reason as the width of the bins
    first, last = (low if flat[0] < low else first), (high if flat[0] > high else last)
    if stat == "mean":
        return SkyStatistic(float(mean), int(count))
    if stat == "median":
        return SkyStatistic(median(flat, low=low, high=high), int(count))
    width, extent = binwidth * float(spread), float(last) - float(first)
    if not width >= _SMALLEST_RANGE or extent < _SMALLEST_RANGE or width > extent:
        counts, width = np.array([count]), extent if not np.isfinite(width) else width
    else:
        nbins = int(extent / width) + 1
        step = np.float32(extent / (nbins - 1))
        counts = _histogram(
            flat, np.float32(first), np.float32(first) + np.float32(step * nbins), np.float32(1) / step, nbins
        )
    level = _mode(counts, first, width) if stat == "mode" else _midpoint(counts, first, width)
    return SkyStatistic(float(level), int(count))
