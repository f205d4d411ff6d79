"""ipc: undo the sharing of signal between neighbouring pixels (interpixel capacitance).

Each group is convolved with a small kernel that inverts the sharing; reference pixels neither give nor take.

Source: official description of the ``ipc`` step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.detector import full_detector, reference_borders
from jwstsm.errors import ReferenceError_
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._irs2 import science_rows
from jwstsm.step import Skipped, step

__all__ = ["convolve_ipc_inplace", "ipc"]


@njit
def _add_tap(out, line, weights):
    """Add ``weights * line`` to ``out``; ``weights`` has one element or one per pixel."""
    if weights.size == 1:
        weight = weights[0]
        for x in range(out.size):
            out[x] += weight * line[x]
    else:
        for x in range(out.size):
            out[x] += weights[x] * line[x]


@njit
def _convolve_plane(plane, kernel, rows, x0, x1):
    """Convolve one plane; see :func:`convolve_ipc_inplace`."""
    height, width = kernel.shape[0], kernel.shape[1]
    below, beside = height // 2, width // 2
    nrows, ncols = rows.size, x1 - x0
    # a ring of input rows, since the rows above are still needed after their output is written
    ring = np.zeros((height, ncols + 2 * beside), np.float32)
    total = np.empty(ncols, np.float32)
    for r in range(-below, nrows):
        ahead = r + below
        slot = ring[(ahead + height) % height]
        source = plane[rows[min(ahead, nrows - 1)], x0:x1]
        for x in range(ncols):
            slot[beside + x] = source[x] if ahead < nrows else np.float32(0)
        if r < 0:
            continue
        for x in range(ncols):
            total[x] = np.float32(0)
        where = r if kernel.shape[2] > 1 else 0
        for j in range(height):
            line = ring[(r + below - j + height) % height]
            for i in range(width):
                if j != below or i != beside:
                    _add_tap(total, line[2 * beside - i :], kernel[j, i, where])
        _add_tap(total, ring[(r + height) % height, beside:], kernel[below, beside, where])
        target = plane[rows[r], x0:x1]
        for x in range(ncols):
            target[x] = total[x]


@njit(parallel=True)
def convolve_ipc_inplace(planes, kernel, rows, x0, x1):
    """Convolve part of every plane with a small kernel; what lies outside the part counts as 0.

    Parameters
    ----------
    planes : (nplanes, ny, nx) float32 [DN]
        Changed in place, within the part only.
    kernel : (ky, kx, 1, 1) or (ky, kx, nrows, x1 - x0) float32
        Odd ``ky`` and ``kx``: one kernel, or one for each pixel of the part.
    rows : (nrows,) int64
        Rows of the part, taken as adjacent.
    x0, x1 : int
        First column of the part and the one after its last.

    Notes
    -----
    ``out[y, x] = sum_ji kernel[j, i, y, x] * in[y + ky//2 - j, x + kx//2 - i]``, the middle element added last.
    float32, in the order of the official step.
    """
    for p in prange(planes.shape[0]):
        _convolve_plane(planes[p], kernel, rows, x0, x1)


@step("S_IPC", references=["ipc"], scope="integration")
def ipc(ramp: Ramp, refs: References) -> Ramp:
    """Convolve each group with the inverse of the interpixel-capacitance kernel.

    Removes the few tenths of a percent of a pixel's signal that its neighbours show.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN] is changed in place, reference pixels excepted.
    refs : References
        ``ipc``: ``SCI``, a kernel ``(ky, kx)`` or one kernel per pixel ``(ky, kx, ny, nx)``.

    Returns
    -------
    Ramp

    Raises
    ------
    ReferenceError_
        If the kernel has an even size, and so no middle.

    Notes
    -----
    See :func:`convolve_ipc_inplace` for the formula. The zero frame is not corrected, as in the official step. DQ is
    neither read nor set.
    """
    reference = refs["ipc"]
    if reference is None:
        return Skipped(ramp, "no IPC reference")
    shape = reference.shape("SCI")
    if shape[0] % 2 == 0 or shape[1] % 2 == 0:
        raise ReferenceError_(f"reference ipc {reference.name}: the kernel is {shape[:2]}, but its sides must be odd")
    readout = ramp.readout
    ny, nx = ramp.data.shape[2:]
    rows = science_rows(ramp)
    bottom, top, left, right = reference_borders(
        full_detector(readout.instrument), readout.xstart, readout.ystart, nx, rows.size
    )
    rows = rows[bottom : rows.size - top]
    if len(shape) == 2:
        kernel = reference.array("SCI", cut=False)[:, :, None, None]
    else:
        field = reference.array("SCI")
        kernel = np.ascontiguousarray(field[:, :, bottom : field.shape[2] - top, left : field.shape[3] - right])
    convolve_ipc_inplace(ramp.data.reshape(-1, ny, nx), kernel, rows, left, nx - right)
    return ramp
