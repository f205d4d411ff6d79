"""dq_init: start the data quality planes from the map of bad pixels.

Source: official description of the ``dq_init`` step (jwst 3.0.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange
from jwstsm.errors import InputError, ReferenceError_
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Skipped, step

__all__ = ["dq_init", "init_dq_inplace"]

_DO_NOT_USE = np.uint8(dq.DO_NOT_USE)


@njit
def _init_row(groupdq, pixeldq, mask, y):
    """OR one row of the map into its planes."""
    nints, ngroups, _, nx = groupdq.shape
    unusable = np.empty(nx, np.uint8)
    some = np.uint8(0)
    for x in range(nx):
        pixeldq[x] |= mask[x]
        unusable[x] = np.uint8(mask[x]) & _DO_NOT_USE
        some |= unusable[x]
    if some == 0:
        return
    for i in range(nints):
        for g in range(ngroups):
            flags = groupdq[i, g, y]
            for x in range(nx):
                flags[x] |= unusable[x]


@njit(parallel=True)
def init_dq_inplace(groupdq, pixeldq, mask):
    """OR a bad-pixel map into the pixel plane and its DO_NOT_USE bit into every group.

    Parameters
    ----------
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place.
    pixeldq : (ny, nx) uint32
        Changed in place.
    mask : (ny, nx) uint32
    """
    for y in prange(groupdq.shape[2]):
        _init_row(groupdq, pixeldq[y], mask[y], y)


@step("S_DQINIT", references=["mask"], scope="integration")
def dq_init(ramp: Ramp, refs: References, *, user_supplied_dq: str | None = None) -> Ramp:
    """Put the known bad pixels into the data quality planes.

    Pixels that the mask marks DO_NOT_USE are so marked in every group, so that nothing is fitted to them.

    Parameters
    ----------
    ramp : Ramp
        ``pixeldq`` and ``groupdq`` are changed in place.
    refs : References
        ``mask``: its ``DQ`` plane, translated through its ``DQ_DEF`` table.
    user_supplied_dq : str, optional
        Path of a FITS file whose first image, in the pipeline's own bits and of the size of the exposure, is ORed to
        the mask.

    Returns
    -------
    Ramp

    Raises
    ------
    InputError
        If the user's file cannot be read or has another shape.
    ReferenceError_
        If the mask has no DQ plane.

    Notes
    -----
    ``pixeldq |= mask``; ``groupdq |= mask & DO_NOT_USE``. All bits of the mask are set; none are read.
    """
    if refs["mask"] is None:
        return Skipped(ramp, "no MASK reference")
    mask = refs["mask"].dq("DQ")
    if mask is None:
        raise ReferenceError_(f"reference mask {refs['mask'].name} has no DQ plane; give another by override_mask")
    if user_supplied_dq is not None:
        mask = mask | _read_user_dq(user_supplied_dq, mask.shape)
        mask.flags.writeable = False  # like arrays of references, so that no kernel is compiled twice
    init_dq_inplace(ramp.groupdq, ramp.pixeldq, mask)
    return ramp


def _read_user_dq(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the first image of a FITS file as (ny, nx) uint32."""
    if not Path(path).is_file():
        raise InputError(f"user_supplied_dq: there is no file {path}; correct the path or leave the option out")
    try:
        array = fits.getdata(path)
    except (OSError, IndexError, TypeError) as error:
        raise InputError(f"user_supplied_dq: {path} cannot be read as a FITS image: {error}") from error
    if array.shape != shape:
        raise InputError(
            f"user_supplied_dq: {path} has shape {array.shape}, but the exposure has {shape}; cut it to the subarray"
        )
    return array.astype(np.uint32)
