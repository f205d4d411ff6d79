"""A sample of pixels put in order once, so that medians and clipped statistics of any part of it cost almost nothing.

Sigma clipping of millions of pixels asks a dozen times for the number, mean, spread and median of the values between two
limits. In sorted order such values are a run; with running sums at every :data:`BLOCK`-th value each question is two
binary searches and a look into two blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["Clipped", "Sample", "masked_median"]

BLOCK = 1024


class Clipped(NamedTuple):
    """Mean, median, standard deviation and number of what survives sigma clipping."""

    mean: float
    median: float
    std: float
    count: int


@njit
def _pack_row(values, keep, out):
    """Write the kept, finite values to the front of ``out`` and return their number."""
    n = 0
    for x in range(values.size):
        v = values[x]
        out[n] = v
        # v - v is 0 for numbers only; no branches, since masks are random
        n += keep[x] & (v - v == 0)
    return n


@njit(parallel=True)
def _pack_rows(values, keep, out):
    """Pack every row; return the numbers of values, (ny,) int64."""
    ny = values.shape[0]
    counts = np.empty(ny, np.int64)
    for y in prange(ny):
        counts[y] = _pack_row(values[y], keep[y], out[y])
    return counts


@njit(parallel=True)
def _join_rows(packed, start, out):
    """Copy packed rows one after the other."""
    for y in prange(packed.shape[0]):
        for k in range(start[y], start[y + 1]):
            out[k] = packed[y, k - start[y]]


@njit(parallel=True)
def _block_sums(values, centre, block):
    """Sums of ``v - centre`` and of its square over each block, (nblocks, 2) float64."""
    n = values.size
    nblocks = (n + block - 1) // block
    sums = np.empty((nblocks, 2))
    for b in prange(nblocks):
        total = 0.0
        square = 0.0
        for k in range(b * block, min(n, (b + 1) * block)):
            d = np.float64(values[k]) - centre
            total += d
            square += d * d
        sums[b, 0] = total
        sums[b, 1] = square
    return sums


class Sample:
    """The good pixels of an image, ready for questions about parts of their distribution.

    Parameters
    ----------
    values : (ny, nx) float32
        Pixels [any unit]; NaN and infinity are left out.
    keep : (ny, nx) bool
        Which pixels belong to the sample (True).
    """

    def __init__(self, values: np.ndarray, keep: np.ndarray) -> None:
        self.values = _packed(values, keep)
        self.values.sort()
        self._sum_up()

    def _sum_up(self) -> None:
        self._centre = float(self.values[self.size // 2]) if self.size else 0.0
        sums = _block_sums(self.values, self._centre, BLOCK)
        self._first = np.concatenate((np.zeros((1, 2)), np.cumsum(sums, axis=0)))

    @property
    def size(self) -> int:
        """Number of values."""
        return self.values.size

    def shift_inplace(self, offset: np.float32) -> None:
        """Subtract a number from all values, in float32 arithmetic."""
        self.values -= np.float32(offset)
        self._sum_up()

    def part(self, low: float, high: float) -> tuple[int, int]:
        """Return the ranks ``(first, stop)`` of the values in [low, high]."""
        # limits are compared as float64, as they would be pixel by pixel
        first = np.searchsorted(self.values, _up(low), side="left")
        return int(first), max(int(first), int(np.searchsorted(self.values, _down(high), side="right")))

    def median(self, first: int = 0, stop: int | None = None) -> float:
        """Return the median of the ranks ``first`` to ``stop - 1``; NaN if there are none."""
        stop = self.size if stop is None else stop
        if stop <= first:
            return float("nan")
        half = (first + stop) // 2
        upper = float(self.values[half])
        return upper if (stop - first) % 2 else (float(self.values[half - 1]) + upper) / 2

    def moments(self, first: int, stop: int) -> tuple[float, float]:
        """Return mean and standard deviation of the ranks ``first`` to ``stop - 1`` (at least one)."""
        total, square = self._sums(stop) - self._sums(first)
        mean = total / (stop - first)
        return self._centre + mean, float(np.sqrt(max(0.0, square / (stop - first) - mean * mean)))

    def clipped(self, sigma: float, rounds: int = 5, first: int = 0, stop: int | None = None) -> Clipped:
        """Clip ranks ``first`` to ``stop - 1`` about their median until nothing changes, at most ``rounds`` times.

        Parameters
        ----------
        sigma : float
            Limit in standard deviations.
        rounds : int
            Rounds at most.
        first, stop : int
            Part of the sample; default all of it.

        Returns
        -------
        Clipped
            NaN and 0 for an empty sample.
        """
        stop = self.size if stop is None else stop
        if stop <= first:
            return Clipped(np.nan, np.nan, np.nan, 0)
        for _ in range(rounds):
            centre, spread = self.median(first, stop), self.moments(first, stop)[1]
            inner = self.part(centre - sigma * spread, centre + sigma * spread)
            inner = max(first, inner[0]), min(stop, inner[1])
            if inner == (first, stop) or inner[1] <= inner[0]:
                break
            first, stop = inner
        mean, spread = self.moments(first, stop)
        return Clipped(mean, self.median(first, stop), spread, stop - first)

    def clipped_lower_half(self, centre: float, sigma: float, rounds: int = 5, first: int = 0) -> Clipped:
        """Clip the ranks from ``first`` up to the value ``centre`` together with their mirror images about it.

        The mirrored sample is symmetric, so its mean and median are ``centre``, and only the width is in question: that
        of the side of the distribution which sources do not reach.
        """
        stop = self.part(-np.inf, centre)[1]
        if stop <= first:
            return Clipped(np.nan, np.nan, np.nan, 0)
        for _ in range(rounds):
            inner = max(first, self.part(centre - sigma * self._spread_about(centre, first, stop), centre)[0])
            if inner in (first, stop):
                break
            first = inner
        return Clipped(centre, centre, self._spread_about(centre, first, stop), 2 * (stop - first))

    def _spread_about(self, centre: float, first: int, stop: int) -> float:
        mean, spread = self.moments(first, stop)
        return float(np.hypot(spread, mean - centre))

    def _sums(self, rank: int) -> np.ndarray:
        """Return the sums of the first ``rank`` values and of their squares, both from the centre."""
        block = rank // BLOCK
        rest = self.values[block * BLOCK : rank].astype(np.float64) - self._centre
        return self._first[block] + (rest.sum(), (rest * rest).sum())


def _up(limit: float) -> np.float32:
    """Return the smallest float32 that is not below a float64 limit."""
    near = np.float32(limit)
    return np.nextafter(near, np.float32(np.inf)) if float(near) < limit else near


def _down(limit: float) -> np.float32:
    """Return the largest float32 that is not above a float64 limit."""
    near = np.float32(limit)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) > limit else near


def _packed(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return the kept, finite values, row by row."""
    packed = np.empty(values.shape, np.float32)
    start = np.concatenate(([0], np.cumsum(_pack_rows(values, keep, packed))))
    out = np.empty(int(start[-1]), np.float32)
    _join_rows(packed, start, out)
    return out


def masked_median(values: np.ndarray, keep: np.ndarray) -> float:
    """Return the median of the kept, finite values of an image; NaN if there are none."""
    sample = _packed(values, keep)
    return float(np.median(sample)) if sample.size else float("nan")
