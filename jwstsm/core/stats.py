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
_COUNTERS = 4  # histograms filled side by side
_SMALLEST_RANGE = 10.0 * float(np.finfo(np.float32).eps)


class Moments(NamedTuple):
    """Mean, standard deviation and number of the values that survive clipping, and the limits they lie in."""

    mean: float
    std: float
    count: int
    low: float
    high: float


class SkyStatistic(NamedTuple):
    """A sky level and the number of values that survived clipping."""

    value: float
    count: int


@njit
def _block_sums(values, start, stop, low, high, skip_zero, centre, out):
    """Sum ``v - centre``, its square and the number of values in limits, in four lanes to keep the adder busy."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
    n0, n1, n2, n3 = 0, 0, 0, 0
    zero = np.float32(0.0)
    for k in range(start, stop - 3, 4):
        a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
        if a >= low and a <= high and not (skip_zero and a == zero):
            s0 += a - centre
            q0 += (a - centre) * (a - centre)
            n0 += 1
        if b >= low and b <= high and not (skip_zero and b == zero):
            s1 += b - centre
            q1 += (b - centre) * (b - centre)
            n1 += 1
        if c >= low and c <= high and not (skip_zero and c == zero):
            s2 += c - centre
            q2 += (c - centre) * (c - centre)
            n2 += 1
        if d >= low and d <= high and not (skip_zero and d == zero):
            s3 += d - centre
            q3 += (d - centre) * (d - centre)
            n3 += 1
    for k in range(stop - (stop - start) % 4, stop):
        a = values[k]
        if a >= low and a <= high and not (skip_zero and a == zero):
            s0 += a - centre
            q0 += (a - centre) * (a - centre)
            n0 += 1
    out[0], out[1], out[2] = (s0 + s1) + (s2 + s3), (q0 + q1) + (q2 + q3), float((n0 + n1) + (n2 + n3))


@njit(parallel=True)
def _moments(values, low, high, skip_zero):
    """Return count, mean and sum of squared deviations of the values in [low, high]."""
    n = values.size
    nblocks = (n + BLOCK - 1) // BLOCK
    part = np.zeros((nblocks, 3))
    for b in prange(nblocks):
        start, stop = b * BLOCK, min(n, (b + 1) * BLOCK)
        _block_sums(values, start, stop, low, high, skip_zero, 0.0, part[b])
        if part[b, 2] > 0.0:
            # a second look at the block, still in the cache, about its own mean
            centre = part[b, 0] / part[b, 2]
            _block_sums(values, start, stop, low, high, skip_zero, centre, part[b])
            part[b, 1] -= part[b, 0] * part[b, 0] / part[b, 2]
            part[b, 0] = centre + part[b, 0] / part[b, 2]
    count, mean, square = 0.0, 0.0, 0.0
    for b in range(nblocks):  # Chan's update: stable, and in a fixed order
        if part[b, 2] > 0.0:
            both = count + part[b, 2]
            step = part[b, 0] - mean
            mean += step * part[b, 2] / both
            square += part[b, 1] + step * step * count * part[b, 2] / both
            count = both
    return int(count), mean, square


@njit
def _extremes(values, low, high):
    """Return the lowest and the highest of the values in [low, high]; infinities, crossed, if there are none."""
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for k in range(values.size):
        v = values[k]
        if v >= low and v <= high:
            lowest = min(lowest, v)
            highest = max(highest, v)
    return lowest, highest


@njit(parallel=True)
def _bit_counts(values, keys, low, high, skip_zero, prefix, use_prefix):
    """Count values in [low, high] by the upper 16 bits of their ordered key, or by the lower 16 under one prefix."""
    n = values.size
    nblocks = max(1, min(_COUNTERS, n // BLOCK))
    size = (n + nblocks - 1) // nblocks
    counts = np.zeros((nblocks, 1 << 16), np.int64)
    for b in prange(nblocks):
        for k in range(b * size, min(n, (b + 1) * size)):
            v = values[k]
            if v >= low and v <= high and not (skip_zero and v == np.float32(0.0)):
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


def _ranked(values: np.ndarray, ranks: list[int], low: float, high: float, skip_zero: bool) -> list[float]:
    """Return the values of given ranks (0 is the smallest) by two histograms of the float's bit pattern: exact."""
    keys = values.view(np.uint32)
    edges = np.cumsum(_bit_counts(values, keys, low, high, skip_zero, np.uint32(0), False))
    fine: dict[int, np.ndarray] = {}
    out = []
    for rank in ranks:
        upper = int(np.searchsorted(edges, rank, side="right"))
        if upper not in fine:
            fine[upper] = np.cumsum(_bit_counts(values, keys, low, high, skip_zero, np.uint32(upper), True))
        inside = rank - (int(edges[upper - 1]) if upper else 0)
        key = (upper << 16) | int(np.searchsorted(fine[upper], inside, side="right"))
        bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
        out.append(float(np.uint32(bits).view(np.float32)))
    return out


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
    flat, low, high = _flat32(values), np.float32(low), np.float32(high)
    if count is None:
        count = _moments(flat, low, high, skip_zero)[0]
    if count == 0:
        return float("nan")
    if count % 2:
        return _ranked(flat, [count // 2], low, high, skip_zero)[0]
    first, second = _ranked(flat, [count // 2 - 1, count // 2], low, high, skip_zero)
    return float((np.float32(first) + np.float32(second)) / np.float32(2))


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
        NaN, count 0, for an empty sample.
    """
    flat = _flat32(values)
    high = np.finfo(np.float32).max
    low = -high
    count, mean, square = _moments(flat, low, high, skip_zero)
    for _ in range(maxiters):
        if count == 0:
            return Moments(float("nan"), float("nan"), 0, float(low), float(high))
        centre = median(flat, low=low, high=high, count=count, skip_zero=skip_zero)
        spread = sigma * np.sqrt(square / count)
        # once a value is rejected it stays rejected, hence the running limits
        low, high = max(low, np.float32(centre - spread)), min(high, np.float32(centre + spread))
        before = count
        count, mean, square = _moments(flat, low, high, skip_zero)
        if count == before:
            break
    return Moments(float(mean), float(np.sqrt(square / max(count - ddof, 1))), int(count), float(low), float(high))


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
    smallest, largest = _extremes(flat, np.float32(-np.inf), np.float32(np.inf))
    lower = float(smallest) if lower is None else lower
    upper = float(largest) if upper is None else upper
    low, high = np.float32(lower), np.float32(upper)
    for iteration in range(nclip + 1):
        count, mean, square = _moments(flat, low, high, False)
        if count == 0:
            return None
        # single precision as in the source, so that limits and histogram agree with it
        mean, spread = np.float32(mean), np.float32(np.sqrt(square / (count - 1)) if count > 1 else np.nan)
        if iteration < nclip and np.isfinite(spread):
            low = np.float32(max(lower, float(mean) - lsigma * float(spread)))
            high = np.float32(min(upper, float(mean) + usigma * float(spread)))
    first, last = _extremes(flat, low, high)
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
