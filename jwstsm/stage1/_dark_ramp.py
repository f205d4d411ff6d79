"""The dark reference rebuilt into the groups of an exposure, one plane at a time.

Dark references are stored frame by frame and can be far larger than the exposure, so a plane is read from the file when
it is needed and never more than a few are in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["DarkRamp", "add_line_inplace", "add_plane_inplace", "missing_groups"]


def missing_groups(science: tuple[int, int, int], dark: tuple[int, int, int]) -> int:
    """Return how many groups the dark must be prolonged by to last as long as the exposure.

    Parameters
    ----------
    science, dark : (ngroups, nframes, groupgap)
    """

    def frames(ngroups: int, nframes: int, groupgap: int) -> int:
        return ngroups * nframes + (ngroups - 1) * groupgap

    return max(0, math.ceil((frames(*science) - frames(*dark)) / (dark[1] + dark[2])))


@njit(parallel=True)
def add_plane_inplace(total, plane):
    """Add ``plane`` (ny, nx) float32 to ``total`` (ny, nx) float64, NaN counting as 0."""
    for y in prange(total.shape[0]):
        for x in range(total.shape[1]):
            total[y, x] += plane[y, x] if plane[y, x] == plane[y, x] else np.float32(0)


@njit(parallel=True)
def add_line_inplace(total, last, before, steps):
    """Add ``last + steps * (last - before)`` to ``total`` (ny, nx) float64, NaN counting as 0."""
    for y in prange(total.shape[0]):
        for x in range(total.shape[1]):
            value = last[y, x] + steps * np.float64(np.float32(last[y, x] - before[y, x]))
            total[y, x] += value if value == value else 0.0


class DarkRamp:
    """Dark signal of each group of an exposure.

    Parameters
    ----------
    read : callable
        ``read(integration, plane)`` returns a stored plane, (ny, nx) float32 [DN].
    stored : int
        Planes per integration that are stored.
    averaged : int
        Planes that make one group.
    stride : int
        Planes from the start of one group to the start of the next.
    """

    def __init__(self, read: Callable[[int, int], np.ndarray], stored: int, averaged: int, stride: int) -> None:
        self._read = read
        self._stored = stored
        self._averaged = averaged
        self._stride = stride
        self._ends: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def group(self, integration: int, group: int) -> np.ndarray:
        """Return the dark of one group as (ny, nx) float32 [DN], without NaN where planes had to be averaged.

        Planes beyond the stored ones lie on the line through the last two.
        """
        start = group * self._stride
        if self._averaged == 1 and start < self._stored:
            return self._read(integration, start)
        total = None
        for plane in range(start, start + self._averaged):
            if plane < self._stored:
                array = self._read(integration, plane)
                total = np.zeros(array.shape) if total is None else total
                add_plane_inplace(total, array)
            else:
                last, before = self._last_two(integration)
                total = np.zeros(last.shape) if total is None else total
                add_line_inplace(total, last, before, float(plane - self._stored + 1))
        total /= self._averaged
        out = total.astype(np.float32)
        out.flags.writeable = False  # like stored planes, so that no kernel is compiled twice
        return out

    def _last_two(self, integration: int) -> tuple[np.ndarray, np.ndarray]:
        if integration not in self._ends:
            last = self._read(integration, self._stored - 1)
            self._ends = {integration: (last, self._read(integration, self._stored - 2))}
        return self._ends[integration]
