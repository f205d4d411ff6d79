"""superbias: subtract the fixed pattern that every read starts from.

Source: official description of the ``superbias`` step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Skipped, step

__all__ = ["subtract_bias_inplace", "superbias"]


@njit(parallel=True)
def subtract_bias_inplace(planes, bias, keep_zeros):
    """Subtract one image from every plane.

    Parameters
    ----------
    planes : (nplanes, ny, nx) float32 [DN]
        Changed in place.
    bias : (ny, nx) float32 [DN]
        NaN counts as 0.
    keep_zeros : bool
        Leave values of exactly 0 alone (they mark unusable pixels of a zero frame).
    """
    nplanes, ny, nx = planes.shape
    zero = np.float32(0)
    for y in prange(ny):
        level = np.empty(nx, np.float32)
        for x in range(nx):
            level[x] = bias[y, x] if bias[y, x] == bias[y, x] else zero
        for p in range(nplanes):
            values = planes[p, y]
            if keep_zeros:
                for x in range(nx):
                    values[x] = values[x] - level[x] if values[x] != zero else zero
            else:
                for x in range(nx):
                    values[x] -= level[x]


@step("S_SUPERB", references=["superbias"], scope="integration")
def superbias(ramp: Ramp, refs: References) -> Ramp:
    """Subtract the superbias image from every group.

    Removes the bias level of each pixel, so that a ramp starts near zero counts.

    Parameters
    ----------
    ramp : Ramp
        ``data``, ``zeroframe`` [DN] and ``pixeldq`` are changed in place.
    refs : References
        ``superbias``: ``SCI`` [DN] and ``DQ``.

    Returns
    -------
    Ramp

    Notes
    -----
    ``data -= bias``, with NaN of the reference taken as 0; ``pixeldq |= DQ`` of the reference. Zero frame likewise,
    except where it is exactly 0, which marks unusable pixels there and stays 0.
    """
    reference = refs["superbias"]
    if reference is None:
        return Skipped(ramp, "no SUPERBIAS reference")
    bias, flags = reference.array("SCI"), reference.dq("DQ")
    subtract_bias_inplace(ramp.data.reshape(-1, *bias.shape), bias, False)
    if ramp.zeroframe is not None:
        subtract_bias_inplace(ramp.zeroframe, bias, True)
    if flags is not None:
        ramp.pixeldq |= flags
    return ramp
