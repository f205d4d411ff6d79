"""charge_migration: leave out the groups in which a bright pixel has begun to push charge into its neighbours.

In undersampled images the pixel at the core of a star fills up, its field weakens, and new charge goes to the pixels
around it (the brighter-fatter effect). Groups from the one at which the signal passes a threshold are flagged, in the
pixel and its four neighbours, so that the slope comes from the faint part of the ramp. The ramp fit computes the
read-noise variance as if the groups were good, so that weights in a mosaic do not depend on brightness.

Source: official description of the ``charge_migration`` step (jwst 3.0.0); Goudfrooij et al. 2024, PASP 136, 014503.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import CHARGELOSS, DO_NOT_USE
from jwstsm.products import Ramp
from jwstsm.step import Skipped, step

__all__ = ["charge_migration", "first_groups_above", "flag_migration_inplace"]

_DNU = np.uint8(DO_NOT_USE)
_FLAGS = np.uint8(DO_NOT_USE | CHARGELOSS)
_MIN_GROUPS = 3


@njit(parallel=True)
def first_groups_above(data, groupdq, threshold, first):
    """Find the first group of each pixel above a threshold whose flags are not just DO_NOT_USE.

    Parameters
    ----------
    data : (ngroups, ny, nx) float32 [DN]
    groupdq : (ngroups, ny, nx) uint8
    threshold : float32 [DN]
    first : (ny, nx) int32
        Filled with the group's number, ``ngroups`` where there is none.
    """
    ngroups, ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            first[y, x] = ngroups
        for g in range(ngroups - 1, -1, -1):
            for x in range(nx):
                if data[g, y, x] > threshold and groupdq[g, y, x] != _DNU:
                    first[y, x] = g


@njit(parallel=True)
def flag_migration_inplace(groupdq, first):
    """Flag DO_NOT_USE and CHARGELOSS from the first group of a pixel or of one of its four neighbours on.

    Parameters
    ----------
    groupdq : (ngroups, ny, nx) uint8
        Changed in place.
    first : (ny, nx) int32
        From :func:`first_groups_above`.
    """
    ngroups, ny, nx = groupdq.shape
    for y in prange(ny):
        for x in range(nx):
            start = first[y, x]
            if y > 0:
                start = min(start, first[y - 1, x])
            if y < ny - 1:
                start = min(start, first[y + 1, x])
            if x > 0:
                start = min(start, first[y, x - 1])
            if x < nx - 1:
                start = min(start, first[y, x + 1])
            for g in range(start, ngroups):
                groupdq[g, y, x] |= _FLAGS


@step("S_CHGMIG", scope="integration")
def charge_migration(ramp: Ramp, refs, *, signal_threshold: float = 25000.0, skip: bool = True) -> Ramp:
    """Flag the groups of bright pixels from which charge migrates to the neighbours.

    Removes the bias of slopes, and the widening of stars, that charge migration causes in undersampled images.

    Parameters
    ----------
    ramp : Ramp
        Linear ramp; ``groupdq`` is changed in place.
    refs : References
        Not used.
    signal_threshold : float
        Signal above which a group and all later ones are left out [DN].
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    A group starts the flagging if it is above the threshold, unless it is flagged DO_NOT_USE and nothing else. DQ bits
    set: CHARGELOSS, DO_NOT_USE. Ramps of one or two groups are left alone.
    """
    nints, ngroups, ny, nx = ramp.data.shape
    if ngroups < _MIN_GROUPS:
        return Skipped(ramp, f"{ngroups} groups in an integration; {_MIN_GROUPS} are needed")
    first = np.empty((ny, nx), np.int32)
    for i in range(nints):
        first_groups_above(ramp.data[i], ramp.groupdq[i], np.float32(signal_threshold), first)
        flag_migration_inplace(ramp.groupdq[i], first)
    return ramp
