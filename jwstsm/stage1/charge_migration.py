"""charge_migration: leave bright groups out where charge spills into neighbouring pixels.

Source: Goudfrooij et al. 2024, PASP 136, 014503 (brighter-fatter effect in undersampled images), and the description of
the official ``charge_migration`` step (jwst 3.0.0).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import CHARGELOSS, DO_NOT_USE
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Range, Skipped, step

__all__ = ["charge_migration", "first_bright_groups", "flag_from_group_inplace"]

_DNU = np.uint8(DO_NOT_USE)
_LOST = np.uint8(CHARGELOSS | DO_NOT_USE)

#: Groups that an integration needs, so that some are left to fit.
_MIN_GROUPS = 3


@njit(parallel=True)
def first_bright_groups(data, groupdq, threshold):
    """Return the first group of each pixel above a threshold.

    Parameters
    ----------
    data : (ngroups, ny, nx) float32
        One integration [DN].
    groupdq : (ngroups, ny, nx) uint8
        Groups flagged DO_NOT_USE and nothing else do not count.
    threshold : float
        [DN].

    Returns
    -------
    (ny, nx) int32 ndarray
        ``ngroups`` where no group is above it.
    """
    ngroups, ny, nx = data.shape
    first = np.empty((ny, nx), np.int32)
    for y in prange(ny):
        row = first[y]
        for x in range(nx):
            row[x] = ngroups
        for g in range(ngroups - 1, -1, -1):
            for x in range(nx):
                row[x] = g if data[g, y, x] > threshold and groupdq[g, y, x] != _DNU else row[x]
    return first


@njit(parallel=True)
def flag_from_group_inplace(groupdq, first):
    """Flag each pixel and its four neighbours CHARGELOSS and DO_NOT_USE from group ``first`` on.

    ``groupdq`` (ngroups, ny, nx) uint8 is changed; ``first`` (ny, nx) int32 as from :func:`first_bright_groups`.
    """
    ngroups, ny, nx = groupdq.shape
    for y in prange(ny):
        start = first[y].copy()
        for x in range(nx):
            start[x] = min(start[x], first[max(y - 1, 0), x], first[min(y + 1, ny - 1), x])
        for x in range(1, nx):
            start[x] = min(start[x], first[y, x - 1])
        for x in range(nx - 1):
            start[x] = min(start[x], first[y, x + 1])
        for g in range(ngroups):
            for x in range(nx):
                groupdq[g, y, x] |= _LOST if g >= start[x] else np.uint8(0)


@step("S_CHGMIG", scope="integration")
def charge_migration(
    ramp: Ramp,
    refs: References,
    *,
    signal_threshold: Annotated[float, Range(min=0)] = 25000,
    skip: bool = True,
) -> Ramp:
    """Flag the groups in which a pixel is bright enough to lose charge to its neighbours.

    Removes the broadening of bright undersampled sources: only groups below the threshold are fitted.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) [DN]; ``groupdq`` is changed.
    refs : References
        Not used.
    signal_threshold : float
        A group above this loses charge [DN].
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    GROUPDQ: sets CHARGELOSS and DO_NOT_USE in the first group above the threshold and all later ones, of the pixel and
    its four neighbours; groups that are DO_NOT_USE already do not count as above. The ramp fit leaves these groups out
    but gives them their share of the read-noise variance.
    """
    if ramp.data.shape[1] < _MIN_GROUPS:
        return Skipped(ramp, f"{_MIN_GROUPS} groups per integration are needed")
    for data, groupdq in zip(ramp.data, ramp.groupdq, strict=True):
        data, groupdq = np.asarray(data), np.asarray(groupdq)
        first = first_bright_groups(data, groupdq, float(signal_threshold))
        flag_from_group_inplace(groupdq, first)
    return ramp
