"""Kernels over whole GROUPDQ planes: neighbours of jumps, superfluous flags, groups that are flagged throughout.

``MARK`` is a bit that GROUPDQ never uses. The two-point difference sets it on jumps whose neighbours are to be flagged,
and :func:`tidy_flags` removes it.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core import scratch
from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, OUTLIER, SATURATED

__all__ = ["MARK", "all_flagged", "spread_to_neighbours", "tidy_flags", "unflag_full_groups", "usable_groups"]

MARK = np.uint8(OUTLIER)  # not used in GROUPDQ

_BAD = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)
_KEEP = np.uint8(0xFF ^ OUTLIER)
_NO_JUMP = np.uint8(0xFF ^ JUMP_DET)


@njit(parallel=True)
def spread_to_neighbours(groupdq, i0, i1):
    """Flag the four neighbours of every marked group of integrations ``i0`` to ``i1``, unless saturated or unusable.

    A row reads the marks of the rows beside it and writes only its own JUMP_DET bits, so threads do not interfere.
    """
    _, ngroups, ny, nx = groupdq.shape
    for y in prange(ny):
        reach = np.zeros(nx, np.uint8)
        for i in range(i0, i1):
            for g in range(1, ngroups):
                row = groupdq[i, g, y]
                above = groupdq[i, g, min(y + 1, ny - 1)]
                below = groupdq[i, g, max(y - 1, 0)]
                for x in range(nx):
                    reach[x] = (row[x] | above[x] | below[x]) & MARK
                for x in range(nx - 1):
                    reach[x] |= row[x + 1] & MARK
                for x in range(1, nx):
                    reach[x] |= row[x - 1] & MARK
                for x in range(nx):
                    flags = row[x]
                    row[x] = flags | _JUMP if reach[x] != 0 and flags & _BAD == 0 else flags


@njit(parallel=True)
def tidy_flags(groupdq, i0, i1):
    """Remove the marks, and JUMP_DET where SATURATED or DO_NOT_USE says it all, of integrations ``i0`` to ``i1``."""
    _, ngroups, ny, nx = groupdq.shape
    for y in prange(ny):
        for i in range(i0, i1):
            for g in range(ngroups):
                row = groupdq[i, g, y]
                for x in range(nx):
                    flags = row[x] & _KEEP
                    row[x] = flags & _NO_JUMP if flags & _BAD != 0 else flags


@njit
def all_flagged(plane, bits):
    """Whether every pixel of a GROUPDQ plane (ny, nx) has at least one of ``bits``."""
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            if plane[y, x] & bits == 0:
                return False
    return True


def usable_groups(groupdq: np.ndarray) -> np.ndarray:
    """Return how many groups of each integration are not DO_NOT_USE in every pixel, (nints,) int."""
    usable = np.empty(groupdq.shape[0], np.int64)
    for i, planes in enumerate(groupdq):
        usable[i] = sum(not all_flagged(plane, np.uint8(DO_NOT_USE)) for plane in planes)
        scratch.release(groupdq)
    return usable


@njit
def unflag_full_groups(groupdq, i0, i1):
    """Take back the jumps of groups in which every pixel is a jump or unusable, unless it has other flags too."""
    for i in range(i0, i1):
        for g in range(groupdq.shape[1]):
            plane = groupdq[i, g]
            if all_flagged(plane, _JUMP | np.uint8(DO_NOT_USE)):
                for y in range(plane.shape[0]):
                    for x in range(plane.shape[1]):
                        if plane[y, x] == _JUMP:
                            plane[y, x] = 0
