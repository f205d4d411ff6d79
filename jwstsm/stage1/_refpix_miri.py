"""Reference-pixel correction of detectors whose reference pixels are columns at the two sides only (MIRI).

Amplifiers take turns along a row, so the level of an amplifier is found from one column on each side, and what changes
is found from the differences to the first group.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange
from jwstsm.stage1._refpix_statistics import clipped_means

__all__ = ["correct_side_columns_inplace", "subtract_interleaved_inplace"]


@njit(parallel=True)
def subtract_interleaved_inplace(data, levels):
    """Subtract a level per amplifier and row parity from all groups but the first.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place; column ``x`` is read by amplifier ``x % noutputs``.
    levels : (nints, ngroups - 1, 2, noutputs) float64 [DN]
        For rows 0, 2, ... and rows 1, 3, ...
    """
    nints, ngroups, ny, nx = data.shape
    noutputs = levels.shape[3]
    for y in prange(ny):
        for i in range(nints):
            for g in range(1, ngroups):
                values, level = data[i, g, y], levels[i, g - 1, y % 2]
                for a in range(noutputs):
                    for x in range(a, nx, noutputs):
                        values[x] = np.float32(values[x] - level[a])


def correct_side_columns_inplace(data, pixeldq, *, border: int, outputs: int, odd_even_rows: bool, limit: float) -> bool:
    """Correct full frames by the reference columns at both sides.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place.
    pixeldq : (ny, nx) uint32
        DO_NOT_USE is read.
    border : int
        Reference columns on each side.
    outputs : int
        Amplifiers.
    odd_even_rows : bool
        Find odd and even rows apart.
    limit : float
        Clipping limit [standard deviations].

    Returns
    -------
    bool
        False, and nothing changed, if an amplifier lacks usable reference pixels in a side and parity.

    Notes
    -----
    ``data[g] -= (left + right) / 2`` with the clipped means of ``data[g] - data[0]`` in the columns of the amplifier.
    """
    nints, ngroups, ny, nx = data.shape
    if ngroups < 2:
        return True
    parity = np.arange(ny) % 2 if odd_even_rows else np.zeros(ny, np.int64)
    nparities = 2 if odd_even_rows else 1
    sides = []
    for span in (slice(0, border), slice(nx - border, nx)):
        change = np.ascontiguousarray(data[:, 1:, :, span] - data[:, :1, :, span])
        amplifier = np.arange(nx)[span] % outputs
        sets = parity[:, None] * outputs + amplifier
        groups = np.where((pixeldq[:, span] & dq.DO_NOT_USE) == 0, sets, -1).ravel()
        if np.unique(groups[groups >= 0]).size < nparities * outputs:
            return False
        means = clipped_means(change.reshape(nints * (ngroups - 1), -1), groups, nparities * outputs, limit)
        sides.append(means.reshape(nints, ngroups - 1, nparities, outputs))
    levels = 0.5 * (sides[0] + sides[1])
    if nparities == 1:
        levels = np.repeat(levels, 2, axis=2)
    subtract_interleaved_inplace(data, levels)
    return True
