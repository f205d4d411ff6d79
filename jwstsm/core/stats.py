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

from jwstsm.core import scratch
from jwstsm.core.compiled import njit, prange

__all__ = ["BLOCK", "Moments", "SkyStatistic", "clipped_moments", "median", "sky_statistic"]

BLOCK = 1 << 16
_COUNTERS = 4  # histograms filled side by side
_PIECE = 1 << 23  # values of a sample that are counted at a time: pages of a mapped file count as memory
_FEW = 31  # values that show where a block lies
_LANES = 256  # sums kept side by side
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
def _typical(values, start, stop, low, high):
    """Return the median of a few values in [low, high] of a block; 0 if there are none."""
    few = np.empty(_FEW, np.float32)
    step = max(1, (stop - start) // _FEW)
    n = 0
    for k in range(start + step // 2, stop, step):
        if n < _FEW and values[k] >= low and values[k] <= high:
            few[n] = values[k]
            n += 1
    return np.float64(np.sort(few[:n])[n // 2]) if n else 0.0


@njit
def _block_sums(values, start, stop, low, high, skip_zero, centre, out):
    """Sum ``v - centre``, its square and the number of values in limits.

    Every lane has its own sums and there is no branch, so that the processor works on many values at once.
    """
    total, square, number = np.zeros(_LANES), np.zeros(_LANES), np.zeros(_LANES)
    zero = np.float32(0.0)
    rows = (stop - start) // _LANES
    for r in range(rows):
        part = values[start + r * _LANES : start + (r + 1) * _LANES]
        for lane in range(_LANES):
            v = part[lane]
            inside = (v >= low) & (v <= high) & ((v != zero) | (not skip_zero))
            difference = np.float64(v) - centre
            difference = difference if inside else 0.0
            total[lane] += difference
            square[lane] += difference * difference
            number[lane] += np.float64(inside)
    for k in range(start + rows * _LANES, stop):
        v = values[k]
        if (v >= low) & (v <= high) & ((v != zero) | (not skip_zero)):
            difference = np.float64(v) - centre
            total[0] += difference
            square[0] += difference * difference
            number[0] += 1.0
    out[0], out[1], out[2] = total.sum(), square.sum(), number.sum()


@njit(parallel=True)
def _moments(values, low, high, skip_zero):
    """Return count, mean and sum of squared deviations of the values in [low, high]."""
    n = values.size
    nblocks = (n + BLOCK - 1) // BLOCK
    part = np.zeros((nblocks, 3))
    for b in prange(nblocks):
        start, stop = b * BLOCK, min(n, (b + 1) * BLOCK)
        centre = _typical(values, start, stop, low, high)  # near the mean: differences keep their digits
        _block_sums(values, start, stop, low, high, skip_zero, centre, part[b])
        if part[b, 2] > 0.0:
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


@njit(parallel=True)
def _extremes(values, low, high):
    """Return the lowest and the highest of the values in [low, high]; infinities, crossed, if there are none."""
    n = values.size
    nblocks = (n + BLOCK - 1) // BLOCK
    ends = np.empty((2, nblocks), np.float32)
    infinity = np.float32(np.inf)
    for b in prange(nblocks):
        lowest, highest = np.full(_LANES, infinity), np.full(_LANES, -infinity)
        start, stop = b * BLOCK, min(n, (b + 1) * BLOCK)
        rows = (stop - start) // _LANES
        for r in range(rows):
            part = values[start + r * _LANES : start + (r + 1) * _LANES]
            for lane in range(_LANES):
                v = part[lane]
                inside = (v >= low) & (v <= high)
                lowest[lane] = v if inside & (v < lowest[lane]) else lowest[lane]
                highest[lane] = v if inside & (v > highest[lane]) else highest[lane]
        for v in values[start + rows * _LANES : stop]:
            if v >= low and v <= high:
                lowest[0], highest[0] = min(lowest[0], v), max(highest[0], v)
        ends[0, b], ends[1, b] = lowest.min(), highest.max()
    lowest, highest = infinity, -infinity
    for b in range(nblocks):
        lowest, highest = min(lowest, ends[0, b]), max(highest, ends[1, b])
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


def _counts(values: np.ndarray, low: float, high: float, skip_zero: bool, prefix: int | None = None) -> np.ndarray:
    """Do :func:`_bit_counts` in pieces, and hand the pages of a scratch array back after each."""
    keys = values.view(np.uint32)
    total = np.zeros(1 << 16, np.int64)
    for start in range(0, values.size, _PIECE):
        part = slice(start, start + _PIECE)
        total += _bit_counts(values[part], keys[part], low, high, skip_zero, np.uint32(prefix or 0), prefix is not None)
        scratch.release(values)
    return total


def _ranked(values: np.ndarray, ranks: list[int], low: float, high: float, skip_zero: bool) -> list[float]:
    """Return the values of given ranks (0 is the smallest) by two histograms of the float's bit pattern: exact."""
    edges = np.cumsum(_counts(values, low, high, skip_zero))
    fine: dict[int, np.ndarray] = {}
    out = []
    for rank in ranks:
        upper = int(np.searchsorted(edges, rank, side="right"))
        if upper not in fine:
            fine[upper] = np.cumsum(_counts(values, low, high, skip_zero, upper))
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
        count = int(_counts(flat, low, high, skip_zero).sum())
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


@njit(parallel=True)
def _histogram(values, low, high, inverse_width, nbins):
    """Count values in [low, high) in bins of equal width; float32 arithmetic as in the source."""
    n = values.size
    size = (n + _COUNTERS - 1) // _COUNTERS
    counts = np.zeros((_COUNTERS, nbins), np.int64)
    for part in prange(_COUNTERS):
        for k in range(part * size, min(n, (part + 1) * size)):
            v = values[k]
            if v >= low and v < high:
                index = int(inverse_width * (v - low))
                if index < nbins:
                    counts[part, index] += 1
    return counts.sum(axis=0)


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
    largest = float(np.finfo(np.float32).max)
    lower = -largest if lower is None else lower
    upper = largest if upper is None else upper
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
