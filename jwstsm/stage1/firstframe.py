"""firstframe: leave the first group of MIRI ramps out (deprecated; ``rscd`` does it now).

The first group lies off the ramp because the detector still settles after the reset. Source: official description of the
``firstframe`` step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Skipped, step

__all__ = ["firstframe", "flag_first_group_inplace"]

_DNU, _SAT = np.uint8(DO_NOT_USE), np.uint8(SATURATED)
_ESTIMATED = np.uint32(FLUX_ESTIMATED)
_INSTRUMENTS = ("MIRI",)
_LEAST_GROUPS = 4


@njit(parallel=True)
def flag_first_group_inplace(groupdq, pixeldq, keep_bright):
    """Flag the first group of every integration DO_NOT_USE.

    Parameters
    ----------
    groupdq : (nints, ngroups >= 3, ny, nx) uint8
        Changed in place.
    pixeldq : (ny, nx) uint32
        Changed in place: FLUX_ESTIMATED where a first group is kept.
    keep_bright : bool
        Keep the first group of pixels whose third group is saturated.
    """
    nints, _, ny, nx = groupdq.shape
    for y in prange(ny):
        for i in range(nints):
            first, third = groupdq[i, 0, y], groupdq[i, 2, y]
            for x in range(nx):
                if keep_bright and third[x] & _SAT:
                    pixeldq[y, x] |= _ESTIMATED
                else:
                    first[x] |= _DNU


@step("S_FRSTFR", scope="integration")
def firstframe(ramp: Ramp, refs: References, *, bright_use_group1: bool = True, skip: bool = True) -> Ramp:
    """Flag the first group of each integration of MIRI as not to be used.

    Removes the group that the settling after the reset spoils most.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq`` and ``pixeldq`` are changed in place.
    refs : References
        None are used.
    bright_use_group1 : bool
        Keep the first group of pixels that saturate by the third, where its error is small against the signal.
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    With more than 3 groups, DO_NOT_USE is set in group 1. SATURATED of group 3 is read; pixels that keep group 1 in any
    integration get FLUX_ESTIMATED.
    """
    if ramp.readout.instrument not in _INSTRUMENTS:
        return Skipped(ramp, "only detectors of MIRI have this effect")
    if ramp.data.shape[1] < _LEAST_GROUPS:
        return Skipped(ramp, f"fewer than {_LEAST_GROUPS} groups, none can be spared")
    flag_first_group_inplace(ramp.groupdq, ramp.pixeldq, bright_use_group1)
    return ramp
