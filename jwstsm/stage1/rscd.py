"""rscd: leave the first groups of MIRI ramps out, which the switch of the reset disturbs.

After a reset the charge decays for a while, so that the first groups do not lie on the ramp. How many depends on the
readout, the subarray and whether the integration follows another. Bright pixels, which saturate soon, keep as many
groups as they need for a slope.

Source: official description of the ``rscd`` step (jwst 3.0.0).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from jwstsm.products import Ramp
from jwstsm.references import ReferenceFile, References
from jwstsm.step import Skipped, step

__all__ = ["SkipCounts", "flag_first_groups_inplace", "rscd", "skip_counts"]

log = logging.getLogger(__name__)

_DNU, _SAT = np.uint8(DO_NOT_USE), np.uint8(SATURATED)
_ESTIMATED = np.uint32(FLUX_ESTIMATED)
_INSTRUMENTS = ("MIRI",)
_LEAST_GROUPS = 3
_FEW_GROUPS = 5
#: Older names of subarrays in headers, and those of the reference file.
_OLD_NAMES = {"SUBPRISM": "SLITLESSPRISM"}


class SkipCounts(NamedTuple):
    """Groups to flag in the first integration of an exposure and in all others."""

    first: int
    later: int


def skip_counts(first: int, later: int, ngroups: int) -> SkipCounts:
    """Reduce what the reference asks for to what a ramp can spare.

    Parameters
    ----------
    first, later : int
        Groups to flag in the first and in later integrations; a negative ``first`` marks an old reference and counts
        as 1.
    ngroups : int
        Groups of an integration.

    Returns
    -------
    SkipCounts
        At most 1 with up to 5 groups, and always so that 3 groups are left: one for ``lastframe`` and two for a slope.
    """
    wanted = (1 if first < 0 else first, later) if ngroups > _FEW_GROUPS else (1, 1)
    return SkipCounts(*(min(n, max(0, ngroups - 3)) for n in wanted))


@njit(parallel=True)
def flag_first_groups_inplace(groupdq, pixeldq, number, first_count, later_count):
    """Flag the first groups of every integration DO_NOT_USE, fewer where a pixel saturates soon after them.

    Parameters
    ----------
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place; SATURATED is read.
    pixeldq : (ny, nx) uint32
        Changed in place: FLUX_ESTIMATED where fewer groups are flagged.
    number : int
        0-based number in the exposure of the first integration here.
    first_count, later_count : int
        Groups to flag in integration 0 of the exposure and in all others.

    Returns
    -------
    lowered, saturated, unflagged : (2,) int64
        For the first and for later integrations: pixels with fewer flagged groups in any integration, integrations of
        pixels that saturate too soon, and pixels with no flagged group in any integration.
    """
    ny = groupdq.shape[2]
    found = np.zeros((ny, 3, 2), np.int64)
    for y in prange(ny):
        _flag_row(groupdq[:, :, y], pixeldq[y], number, first_count, later_count, found[y])
    total = np.zeros((3, 2), np.int64)
    for y in range(ny):
        total += found[y]
    return total[0], total[1], total[2]


@njit
def _flag_row(groupdq, pixeldq, number, first_count, later_count, found):
    """Flag a row (nints, ngroups, nx) and add to its counts ``found`` (3, 2)."""
    nints, _, nx = groupdq.shape
    for x in range(nx):
        fewer_first, fewer_later, none_first, none_later = False, False, False, False
        for i in range(nints):
            late = number + i > 0
            count = later_count if late else first_count
            left = count
            if groupdq[i, 0, x] & _SAT == 0:
                # two groups must follow the flagged ones: group number count + 2, from 1, is the second of them
                while left + 1 > 0 and groupdq[i, left + 1, x] & _SAT != 0:
                    left -= 1
                found[1, int(late)] += left < count
                left = max(left, 0)
            for g in range(left):
                groupdq[i, g, x] |= _DNU
            if left < count:
                pixeldq[x] |= _ESTIMATED
            fewer_first |= left < count and not late
            fewer_later |= left < count and late
            none_first |= left == 0 and not late
            none_later |= left == 0 and late
        found[0, 0] += fewer_first
        found[0, 1] += fewer_later
        found[2, 0] += none_first
        found[2, 1] += none_later


@step("S_RSCD", references=["rscd"], scope="integration")
def rscd(ramp: Ramp, refs: References) -> Ramp:
    """Flag the first groups of each integration of MIRI as not to be used.

    Removes the groups that the decay of charge after the reset switch pulls off the ramp.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq``, ``pixeldq`` and the header are changed in place.
    refs : References
        ``rscd``: table ``RSCD_GROUP_SKIP`` with columns ``subarray readpatt group_skip1 group_skip``.

    Returns
    -------
    Ramp

    Notes
    -----
    DO_NOT_USE is set in the first ``group_skip1`` groups of the first integration of the exposure and ``group_skip`` of
    later ones, reduced so that 3 groups are left (1 with up to 5 groups). SATURATED is read: where a pixel is saturated
    in the second group after the flagged ones, but not in the first of all, fewer are flagged, and it gets
    FLUX_ESTIMATED. Keywords: ``INT1SKIP``, ``INT2SKIP`` groups flagged; ``INT1BORS``, ``INT2BORS`` pixels with fewer;
    ``INT1UGP1``, ``INT2UGP1`` pixels that keep the first group. The numbers of pixels are left out for exposures that
    are worked on in blocks.
    """
    readout = ramp.readout
    if readout.instrument not in _INSTRUMENTS:
        return Skipped(ramp, "only detectors of MIRI have this effect")
    reference = refs["rscd"]
    if reference is None:
        return Skipped(ramp, "no RSCD reference")
    found = _find_row(reference, readout.readpatt, readout.subarray)
    if found is None:
        return Skipped(ramp, f"the RSCD reference has no row for {readout.readpatt} and {readout.subarray}")
    ngroups = ramp.data.shape[1]
    if ngroups < _LEAST_GROUPS:
        return Skipped(ramp, f"fewer than {_LEAST_GROUPS} groups, none can be spared")
    counts = skip_counts(*found, ngroups)
    number = readout.int_start - 1 + ramp.first_integration
    lowered, saturated, unflagged = flag_first_groups_inplace(ramp.groupdq, ramp.pixeldq, number, *counts)
    whole = ramp.data.shape[0] == int(ramp.key("INTEND", readout.exposure_nints)) - readout.int_start + 1
    _report(ramp, counts, number, whole, lowered, np.where(saturated > 0, unflagged, 0))
    return ramp


def _find_row(reference: ReferenceFile, readpatt: str, subarray: str) -> tuple[int, int] | None:
    """Return groups to flag in the first and in later integrations, or None."""
    subarray = _OLD_NAMES.get(subarray, subarray)
    for row in reference.table("RSCD_GROUP_SKIP"):
        if str(row["subarray"]).strip() == subarray and str(row["readpatt"]).strip() == readpatt:
            return int(row["group_skip1"]), int(row["group_skip"])
    return None


def _report(ramp: Ramp, counts: SkipCounts, number: int, whole: bool, lowered, unflagged) -> None:
    """Write the keywords for the first and for later integrations, as far as they are here."""
    here = (number == 0, ramp.readout.exposure_nints > 1)
    for late, word in enumerate(("1", "2")):
        if not here[late]:
            continue
        ramp.primary[f"INT{word}SKIP"] = (counts[late], "RSCD: groups flagged in these integrations")
        if whole or not late:
            ramp.primary[f"INT{word}BORS"] = (int(lowered[late]), "RSCD: pixels with fewer groups flagged")
            ramp.primary[f"INT{word}UGP1"] = (int(unflagged[late]), "RSCD: pixels that keep the first group")
