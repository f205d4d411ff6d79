"""The driver of the drizzle kernels: bands of output rows, each written by one thread alone.

A band's sums fit the processor's cache. A band walks the input in order and takes what reaches it, so that the bits of
an output pixel depend neither on the bands nor on the number of threads.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core._drizzle_kernels import RUN, SIZE, spread
from jwstsm.core.compiled import njit, prange

__all__ = ["FRAME_VARIANCE", "LINEAR", "drizzle_bands", "finish_rows", "run_extents"]

LINEAR, FRAME_VARIANCE = 0, 1
_BAND = 32  # output rows that one thread works on at a time
_EDGE = 64  # output columns that a pixel may cover before its overlaps are computed only inside the window


@njit(parallel=True)
def run_extents(weight, pixmap, first, last, square, reach):
    """Return the lowest and highest output row reached by each run of input pixels (rows, runs, 2), and by each row.

    The corners of a square kernel's pixel are averages of the centres around it, hence the rows above and below and the
    columns beside the run count too; beyond the rim of the image they are extrapolated by at most that extent.
    """
    ny, nx = weight.shape
    nrun = (nx + RUN - 1) // RUN
    own = np.empty((ny, nrun, 2))
    for j in prange(ny):
        for b in range(nrun):
            low, high = np.inf, -np.inf
            start, stop = b * RUN, min(nx, (b + 1) * RUN)
            for i in range(max(start - 1, 0) if square else start, min(stop + 1, nx) if square else stop):
                y = pixmap[j, i, 1]
                if y < low:  # NaN compares false
                    low = y
                if y > high:
                    high = y
            own[j, b, 0], own[j, b, 1] = low, high
    out, whole = np.empty((last - first, nrun, 2)), np.empty((last - first, 2))
    for j in prange(first, last):
        lowest, highest = np.inf, -np.inf
        for b in range(nrun):
            used = False
            for i in range(b * RUN, min(nx, (b + 1) * RUN)):
                if weight[j, i] > 0.0:
                    used = True
                    break
            low, high = own[j, b, 0], own[j, b, 1]
            if square:
                for k in (max(j - 1, 0), min(j + 1, ny - 1)):
                    low, high = min(low, own[k, b, 0]), max(high, own[k, b, 1])
            margin = reach
            if square and (j == 0 or j == ny - 1 or b == 0 or b == nrun - 1):
                margin += high - low
            if used and low <= high:
                low, high = low - margin, high + margin
                lowest, highest = min(lowest, low), max(highest, high)
            else:
                low, high = np.inf, -np.inf
            out[j - first, b, 0], out[j - first, b, 1] = low, high
        whole[j - first, 0], whole[j - first, 1] = lowest, highest
    return out, whole


@njit
def _one_band(values, weight, pixmap, dq, first, last, par, kernel, extents, whole, box, nlin, edge, sums, out_dq):
    """Walk the input rows in order and spread what reaches a band."""
    y0, y1 = box[0], box[1]
    nx = weight.shape[1]
    work = np.zeros(SIZE)
    for j in range(first, last):
        # pixel c of the output covers [c - 0.5, c + 0.5) in the coordinates of the map
        if whole[j - first, 0] + 0.5 > y1 or whole[j - first, 1] + 0.5 < y0:
            continue
        for r in range(extents.shape[1]):
            if extents[j - first, r, 0] + 0.5 > y1 or extents[j - first, r, 1] + 0.5 < y0:
                continue
            i0, i1 = r * RUN, min(nx, (r + 1) * RUN)
            spread(kernel, values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)


@njit(inline="always")
def _fold(sums, dq, row, column, totals, con, bit, out_dq, mode, frame_weight):
    """Add the sums that one frame left in a band to the totals, whose first pixel there is (row, column)."""
    for j in range(sums.shape[0]):
        for i in range(sums.shape[1]):
            w = sums[j, i, 0]
            if w == 0.0:
                continue
            y, x = row + j, column + i
            if con.size > 0:
                con[y, x] |= bit
            if dq.size > 0:
                out_dq[y, x] |= dq[j, i]
            if mode == LINEAR:
                for p in range(sums.shape[2]):
                    totals[y, x, p] += sums[j, i, p]
                continue
            totals[y, x, 0] += w
            totals[y, x, 1] += sums[j, i, 1]
            per_weight = 1.0 / w
            weight = frame_weight
            if not weight > 0.0:
                first = (sums[j, i, 2] * per_weight) ** 2
                weight = 1.0 / first if first > 0.0 and first < np.inf else 0.0
            for p in range(2, sums.shape[2]):
                variance = (sums[j, i, p] * per_weight) ** 2
                if weight > 0.0 and variance < np.inf:
                    totals[y, x, 2 * p - 2] += variance * weight * weight
                    totals[y, x, 2 * p - 1] += weight


@njit(parallel=True)
def drizzle_bands(
    values,
    weight,
    pixmap,
    dq,
    first,
    last,
    par,
    kernel,
    extents,
    whole,
    span,
    origin,
    nlin,
    totals,
    con,
    bit,
    out_dq,
    mode,
    fw,
):
    """Drizzle rows [first, last) of one frame on the part ``span`` of the output, band by band.

    ``span`` (y0, y1, x0, x1) and ``origin`` (x0, y0) are output pixels; ``totals`` begins at ``origin``.
    """
    width = span[3] - span[2]
    nband = (span[1] - span[0] + _BAND - 1) // _BAND
    for b in prange(nband):
        y0 = span[0] + b * _BAND
        y1 = min(y0 + _BAND, span[1])
        box = (y0, y1, span[2], span[3])
        sums = np.zeros((y1 - y0, width, 1 + values.shape[2]))
        band_dq = np.zeros((y1 - y0, width) if dq.size > 0 else (0, 0), np.uint32)
        edge = np.zeros((y1 - y0, max(width + 2, _EDGE)))
        _one_band(values, weight, pixmap, dq, first, last, par, kernel, extents, whole, box, nlin, edge, sums, band_dq)
        _fold(sums, band_dq, y0 - origin[1], span[2] - origin[0], totals, con, bit, out_dq, mode, fw)


@njit(parallel=True)
def finish_rows(totals, nvar, exact, scale, fill, sci, wht, variances, err):
    """Divide the sums: one row of outputs per row of totals."""
    for y in prange(totals.shape[0]):
        for x in range(totals.shape[1]):
            w = totals[y, x, 0]
            wht[y, x] = w
            sci[y, x] = totals[y, x, 1] / w if w != 0.0 else fill
            total, known = 0.0, False
            for c in range(nvar):
                value = np.nan
                if exact and w != 0.0:
                    value = totals[y, x, 2 + c] / w / w * scale
                elif not exact and totals[y, x, 3 + 2 * c] > 0.0:
                    value = totals[y, x, 2 + 2 * c] / totals[y, x, 3 + 2 * c] / totals[y, x, 3 + 2 * c] * scale
                variances[c, y, x] = value
                if not np.isnan(value):
                    total += value
                    known = True
            if nvar > 0:
                err[y, x] = np.sqrt(total) if known else np.nan
