"""Bad interleaved reference pixels of IRS2 frames: found, and replaced by their neighbours.

Reference pixels come in pairs, two reads of one pixel. A pair is bad where the difference of its reads, its level or its
scatter stands out from the other pairs of its output.

Source: behaviour of the official ``refpix`` step (jwst 3.0.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange
from jwstsm.stage1._irs2 import FRAME_ROWS, NORMAL, REFERENCE, SECTION_ROWS
from jwstsm.stage1._refpix_statistics import clipped_means

__all__ = [
    "Replacement",
    "apply_replacements",
    "find_bad_rows",
    "reference_rows",
    "replacements",
    "subtract_levels_of_sections",
    "table_replacements",
]

_PERIOD = NORMAL + REFERENCE
_CLIPPING_PASSES = 5
_EDGE = 4


class Replacement(NamedTuple):
    """A bad row and the rows whose mean takes its place; -1 twice for zeros, which count as missing."""

    row: int
    low: int
    high: int


def reference_rows() -> np.ndarray:
    """Return which of the 640 rows of a section are interleaved reference pixels; the same in either direction."""
    return (np.arange(SECTION_ROWS) - NORMAL // 2) % _PERIOD < REFERENCE


@njit(parallel=True)
def measure_pairs(planes, first_rows, out):
    """Measure pairs of rows over all groups of an integration.

    Parameters
    ----------
    planes : (ngroups, ny, nx) float32 [DN]
    first_rows : (npairs,) int64
        First row of each pair.
    out : (npairs, 3) float64 [DN]
        Mean of the absolute difference of the two rows, mean of both, standard deviation of both.
    """
    ngroups, _, nx = planes.shape
    for p in prange(first_rows.size):
        y = first_rows[p]
        step, total = 0.0, 0.0
        for g in range(ngroups):
            for x in range(nx):
                a, b = np.float64(planes[g, y, x]), np.float64(planes[g, y + 1, x])
                step += abs(b - a)
                total += a + b
        count = ngroups * nx
        mean = total / (2 * count)
        square = 0.0
        for g in range(ngroups):
            for x in range(nx):
                square += (planes[g, y, x] - mean) ** 2 + (planes[g, y + 1, x] - mean) ** 2
        out[p, 0], out[p, 1], out[p, 2] = step / count, mean, np.sqrt(square / (2 * count))


def _stand_out(values: np.ndarray, limit: float) -> np.ndarray:
    """Return which values lie more than ``limit`` clipped standard deviations above the clipped mean."""
    kept = values
    for _ in range(_CLIPPING_PASSES):
        distance = np.abs(kept - np.median(kept))
        inside = distance <= limit * kept.std()
        if inside.all():
            break
        kept = kept[inside]
    return values - kept.mean() > limit * kept.std()


def find_bad_rows(planes: np.ndarray, pixeldq: np.ndarray, limit: float) -> np.ndarray:
    """Find rows of interleaved reference pixels that cannot be used in an integration.

    Parameters
    ----------
    planes : (ngroups, 3200, nx) float32 [DN]
    pixeldq : (3200, nx) uint32
        A row with BAD_REF_PIXEL anywhere is bad; such rows are not measured.
    limit : float
        Pairs above the mean of their output by more than this are bad [standard deviations].

    Returns
    -------
    (3200,) bool
    """
    known = (pixeldq & np.uint32(dq.BAD_REF_PIXEL)).any(axis=1)
    bad = known.copy()
    starts = np.flatnonzero(reference_rows())[::2]
    for section in range(FRAME_ROWS // SECTION_ROWS):
        rows = section * SECTION_ROWS + starts
        rows = rows[~(known[rows] | known[rows + 1])]
        if rows.size == 0:
            continue
        measures = np.empty((rows.size, 3))
        measure_pairs(planes, rows, measures)
        for values in measures.T:
            found = rows[_stand_out(values, limit)]
            bad[found] = bad[found + 1] = True
    return bad


def _replacement(row: int, bad: np.ndarray, interleaved: np.ndarray, low: int, high: int) -> Replacement:
    """Choose what replaces a row: the same one of the groups before and after, else its other pair, else nothing."""
    before, after = row - _PERIOD, row + _PERIOD
    near = [r for r in (before, after) if low <= r < high and not bad[r]]
    if not near:
        near = [r for r in (row - 2, row + 2) if low <= r < high and interleaved[r] and not bad[r]][:1]
    return Replacement(row, near[0], near[-1]) if near else Replacement(row, -1, -1)


def replacements(bad: np.ndarray) -> list[Replacement]:
    """Return what replaces each bad row (3200,) of interleaved reference pixels, or of the reference output."""
    interleaved = np.tile(reference_rows(), FRAME_ROWS // SECTION_ROWS)
    found = []
    for row in np.flatnonzero(bad & interleaved):
        low = row // SECTION_ROWS * SECTION_ROWS
        found.append(_replacement(int(row), bad, interleaved, low, low + SECTION_ROWS))
    return found


def table_replacements(table: Mapping[str, np.ndarray] | None, bad: np.ndarray, fast_backwards: bool) -> list[Replacement]:
    """Return what replaces the reference pixels that the REFPIX reference calls bad.

    Parameters
    ----------
    table : mapping of str to (n,) int64, or None
        Columns ``output`` (1 to 4), ``odd_even`` (1 or 2: which pair) and ``mask`` (bit k: the k-th group of four).
    bad : (3200,) bool
        Rows already replaced, which are left alone.
    fast_backwards : bool
        The fast axis runs against y of the file.
    """
    if table is None:
        return []
    bad = (bad[::-1] if fast_backwards else bad).copy()
    interleaved = np.tile(reference_rows(), FRAME_ROWS // SECTION_ROWS)
    found = []
    for output, pair, mask in zip(table["output"], table["odd_even"], table["mask"], strict=True):
        low = int(output) * SECTION_ROWS
        pair = 3 - pair if output % 2 == 0 else pair
        starts = [low + NORMAL // 2 + k * _PERIOD + 2 * (pair - 1) for k in range(32) if int(mask) >> k & 1]
        new = [int(r) for start in starts for r in (start, start + 1) if not bad[r]]
        bad[new] = True
        found += [_replacement(r, bad, interleaved, low, low + SECTION_ROWS) for r in new]
    if fast_backwards:
        flip = FRAME_ROWS - 1
        found = [Replacement(flip - r, flip - a if a >= 0 else a, flip - b if b >= 0 else b) for r, a, b in found]
    return found


def apply_replacements(planes: np.ndarray, found: list[Replacement]) -> None:
    """Replace rows of ``planes`` (nplanes, 3200, nx) float32 in place, in order."""
    for row, low, high in found:
        planes[:, row] = 0.0 if low < 0 else np.float32(0.5) * (planes[:, low] + planes[:, high])


def _parity(fast_backwards: bool) -> np.ndarray:
    """Return which rows of a frame are odd ones (0) and even ones (1); reference pixels come as two odd, two even."""
    index = np.arange(FRAME_ROWS)
    interleaved = np.tile(reference_rows(), FRAME_ROWS // SECTION_ROWS)
    parity = np.where(interleaved, index % 4 // 2, index % 2)
    return parity[::-1] if fast_backwards else parity


def subtract_levels_of_sections(
    planes: np.ndarray, pixeldq: np.ndarray, *, odd_even: bool, limit: float, fast_backwards: bool
) -> None:
    """Subtract the level of each output, from the reference pixels at both ends of the slow axis.

    Parameters
    ----------
    planes : (ngroups, 3200, nx) float32 [DN]
        Changed in place.
    pixeldq : (3200, nx) uint32
        DO_NOT_USE is read.
    odd_even : bool
        Find odd and even rows apart.
    limit : float
        Clipping limit [standard deviations].
    fast_backwards : bool
        The fast axis runs against y of the file.
    """
    section = np.arange(FRAME_ROWS) // SECTION_ROWS
    sets = 2 * section + _parity(fast_backwards) if odd_even else section
    nsets = int(sets.max()) + 1
    good = (pixeldq & np.uint32(dq.DO_NOT_USE)) == 0
    ends = []
    for edge in (np.s_[:, :_EDGE], np.s_[:, -_EDGE:]):
        groups = np.where(good[edge], sets[:, None], -1)
        pixels = np.ascontiguousarray(planes[(slice(None), *edge)]).reshape(len(planes), -1)
        ends.append(clipped_means(pixels, groups.ravel(), nsets, limit))
    level = np.where(np.isnan(ends[0]), ends[1], np.where(np.isnan(ends[1]), ends[0], 0.5 * (ends[0] + ends[1])))
    known = np.isfinite(level)
    if odd_even:
        known = np.repeat(known.reshape(len(planes), -1, 2).all(axis=2), 2, axis=1)
    level = np.where(known, level, 0.0).astype(np.float32)
    for plane, levels in zip(planes, level[:, sets], strict=True):
        plane -= levels[:, None]
