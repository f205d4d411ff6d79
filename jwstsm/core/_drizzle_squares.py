"""The square drizzle kernel: input pixels as quadrilaterals, shared among output pixels by exact areas.

The pixels of a run are worked on together, one arithmetic step after the other for all of them, without branches, so
that the compiler does several at a time. Their coordinates are relative to the first output pixel that each touches.
``work`` (:data:`SIZE` float64) holds everything of a run: number ``t`` of a quantity that begins at ``Q`` is
``work[Q + t]``.

The area of a polygon left of a vertical and below a horizontal line is a sum over its sides, each contributing the
integral of ``max(0, x - x_side)`` over its height below the line; the area in each output pixel is had by differences.
Where all pixels of a run are upright, as in most mosaics, the middle of each lies on two grid lines that part it in
four, which is quicker. Pixels that span more than :data:`_CELLS` output pixels (much finer mosaics) are cut one by one.
"""

from __future__ import annotations

import math

import numpy as np

from jwstsm.core.compiled import njit

__all__ = ["RUN", "SIZE", "square"]

RUN = 16  # input pixels worked on together
_CELLS = 3  # output pixels, each way, that a pixel may span to be worked on in a run
_SLIVER = 1e-12  # overlaps below this share of an input pixel are rounding noise
_PAD = RUN + 8  # a run and its neighbours
_NEVER = 1e-300  # added to what may be 0 where the numerator is too

# places in ``work``: rows of the map through the lower and the upper corners (x and y of each), four corners x and y,
# slopes of the four sides, first output pixel, extent, signed area, whether it is quartered, areas
# below a line and below the line before, and the shares: ``_PART + (row * 3 + column) * RUN``
_LOWER, _UPPER = 0, 2 * _PAD
_X, _Y, _SLOPE = 4 * _PAD, 4 * _PAD + 4 * RUN, 4 * _PAD + 8 * RUN
_COLUMN, _ROW, _WIDTH, _HEIGHT, _AREA, _EASE = (4 * _PAD + (12 + k) * RUN for k in range(6))
_BELOW, _BEFORE, _PART = 4 * _PAD + 18 * RUN, 4 * _PAD + 21 * RUN, 4 * _PAD + 24 * RUN
SIZE = _PART + _CELLS * _CELLS * RUN


@njit
def _map_rows(pixmap, j, i0, i1, half, work):
    """Interpolate the map at the height of the lower and upper corners; beyond the rim of the image extrapolate."""
    nrow, ncol = pixmap.shape[:2]
    j_low, j_up = min(max(j - 1, 0), nrow - 2), min(j, nrow - 2)
    v_low, v_up = j - half - j_low, j + half - j_up
    first, last = max(i0 - 1, 0), min(i1 + 1, ncol)
    start = first - i0 + 1
    for k in range(last - first):
        for axis in range(2):
            a, b = pixmap[j_low, first + k, axis], pixmap[j_low + 1, first + k, axis]
            work[_LOWER + axis * _PAD + start + k] = a + v_low * (b - a)
            a, b = pixmap[j_up, first + k, axis], pixmap[j_up + 1, first + k, axis]
            work[_UPPER + axis * _PAD + start + k] = a + v_up * (b - a)
    for row in range(4):
        left, right = row * _PAD, row * _PAD + last - i0 + 1
        if i0 == 0:
            work[left] = 2.0 * work[left + 1] - work[left + 2]
        if i1 == ncol:
            work[right] = 2.0 * work[right - 1] - work[right - 2]


@njit
def _outline(half, work):
    """Compute the corners relative to the first output pixel touched, extents and areas."""
    for t in range(RUN):
        # anticlockwise from the lower left; pixel c of the output covers [c - 0.5, c + 0.5) in the map's coordinates
        low, mid, high = _LOWER + t, _LOWER + t + 1, _LOWER + t + 2
        xa, xb = work[mid] - half * (work[mid] - work[low]), work[mid] + half * (work[high] - work[mid])
        low, mid, high = low + _PAD, mid + _PAD, high + _PAD
        ya, yb = work[mid] - half * (work[mid] - work[low]), work[mid] + half * (work[high] - work[mid])
        low, mid, high = low + _PAD, mid + _PAD, high + _PAD
        xd, xc = work[mid] - half * (work[mid] - work[low]), work[mid] + half * (work[high] - work[mid])
        low, mid, high = low + _PAD, mid + _PAD, high + _PAD
        yd, yc = work[mid] - half * (work[mid] - work[low]), work[mid] + half * (work[high] - work[mid])
        column = np.floor(min(min(xa, xb), min(xc, xd)) + 0.5)
        row = np.floor(min(min(ya, yb), min(yc, yd)) + 0.5)
        work[_COLUMN + t], work[_ROW + t] = column, row
        left, bottom = column - 0.5, row - 0.5
        xa, xb, xc, xd = xa - left, xb - left, xc - left, xd - left
        ya, yb, yc, yd = ya - bottom, yb - bottom, yc - bottom, yd - bottom
        work[_X + t], work[_X + RUN + t], work[_X + 2 * RUN + t], work[_X + 3 * RUN + t] = xa, xb, xc, xd
        work[_Y + t], work[_Y + RUN + t], work[_Y + 2 * RUN + t], work[_Y + 3 * RUN + t] = ya, yb, yc, yd
        work[_WIDTH + t], work[_HEIGHT + t] = max(max(xa, xb), max(xc, xd)), max(max(ya, yb), max(yc, yd))
        work[_AREA + t] = 0.5 * ((xc - xa) * (yd - yb) - (xd - xb) * (yc - ya))


@njit
def _quarter(work):
    """Compute the shares of 2 x 2 output pixels where each side crosses one grid line: upright pixels, most of them.

    ``work[_EASE + t]`` is negative where that is not so and the shares are not to be used.
    """
    for t in range(RUN):
        xa, xb, xc, xd = work[_X + t], work[_X + RUN + t], work[_X + 2 * RUN + t], work[_X + 3 * RUN + t]
        ya, yb, yc, yd = work[_Y + t], work[_Y + RUN + t], work[_Y + 2 * RUN + t], work[_Y + 3 * RUN + t]
        inner = min(min(1.0 - xa, xb - 1.0), min(xc - 1.0, 1.0 - xd))
        inner = min(inner, min(min(1.0 - ya, 1.0 - yb), min(yc - 1.0, yd - 1.0)))
        # from the middle, where the lines cross, to the four sides
        down = 1.0 - ya - (1.0 - xa) * (yb - ya) / (xb - xa if xb != xa else 1.0)
        up = yd + (1.0 - xd) * (yc - yd) / (xc - xd if xc != xd else 1.0) - 1.0
        left = 1.0 - xa - (1.0 - ya) * (xd - xa) / (yd - ya if yd != ya else 1.0)
        right = xb + (1.0 - yb) * (xc - xb) / (yc - yb if yc != yb else 1.0) - 1.0
        work[_EASE + t] = min(inner, min(min(down, up), min(left, right)))
        half = 0.5 / (work[_AREA + t] if work[_AREA + t] != 0.0 else 1.0)
        work[_PART + t] = half * (down * (1.0 - xa) + left * (1.0 - ya))
        work[_PART + RUN + t] = half * (down * (xb - 1.0) + right * (1.0 - yb))
        work[_PART + 3 * RUN + t] = half * (up * (1.0 - xd) + left * (yd - 1.0))
        work[_PART + 4 * RUN + t] = half * (up * (xc - 1.0) + right * (yc - 1.0))


@njit
def _slopes(work):
    """Compute the slopes of the sides; a level one has no height and gets any."""
    for t in range(RUN):
        xa, xb, xc, xd = work[_X + t], work[_X + RUN + t], work[_X + 2 * RUN + t], work[_X + 3 * RUN + t]
        ya, yb, yc, yd = work[_Y + t], work[_Y + RUN + t], work[_Y + 2 * RUN + t], work[_Y + 3 * RUN + t]
        work[_SLOPE + t] = (xb - xa) / (yb - ya if yb != ya else 1.0)
        work[_SLOPE + RUN + t] = (xc - xb) / (yc - yb if yc != yb else 1.0)
        work[_SLOPE + 2 * RUN + t] = (xd - xc) / (yd - yc if yd != yc else 1.0)
        work[_SLOPE + 3 * RUN + t] = (xa - xd) / (ya - yd if ya != yd else 1.0)


@njit(inline="always")
def _beside(g1, g2):
    """Twice the mean of ``max(0, g)`` along a side on which ``g`` goes from ``g1`` to ``g2``."""
    positive = max(g1, 0.0) + max(g2, 0.0)
    return positive * positive / (abs(g1) + abs(g2) + _NEVER)


@njit(inline="always")
def _side(x1, y1, x2, y2, slope, y):
    """Areas between the part of a side below ``y`` and verticals at 1, 2 and a place beyond the pixel."""
    low, high = min(y1, y), min(y2, y)
    a, b = x1 + (low - y1) * slope, x2 + (high - y2) * slope
    half = 0.5 * (low - high)
    return half * _beside(1.0 - a, 1.0 - b), half * _beside(2.0 - a, 2.0 - b), half * (2.0 * _CELLS - a - b)


@njit
def _areas_below(y, work):
    """Compute the signed areas below ``y``: left of 1, left of 2, all."""
    for t in range(RUN):
        xa, xb, xc, xd = work[_X + t], work[_X + RUN + t], work[_X + 2 * RUN + t], work[_X + 3 * RUN + t]
        ya, yb, yc, yd = work[_Y + t], work[_Y + RUN + t], work[_Y + 2 * RUN + t], work[_Y + 3 * RUN + t]
        a1, a2, a3 = _side(xa, ya, xb, yb, work[_SLOPE + t], y)
        b1, b2, b3 = _side(xb, yb, xc, yc, work[_SLOPE + RUN + t], y)
        c1, c2, c3 = _side(xc, yc, xd, yd, work[_SLOPE + 2 * RUN + t], y)
        d1, d2, d3 = _side(xd, yd, xa, ya, work[_SLOPE + 3 * RUN + t], y)
        work[_BELOW + t] = a1 + b1 + c1 + d1
        work[_BELOW + RUN + t] = a2 + b2 + c2 + d2
        work[_BELOW + 2 * RUN + t] = a3 + b3 + c3 + d3


@njit
def _shares(nrow, work):
    """Compute the shares of ``nrow`` rows of three output pixels, whatever the shape of the quadrilaterals."""
    _slopes(work)
    for t in range(3 * RUN):
        work[_BEFORE + t] = 0.0
    for r in range(nrow):
        # below a line beyond the last row is everything
        _areas_below(r + 1.0 if r < nrow - 1 else _CELLS + 1.0, work)
        for c in range(3):
            place = _PART + (3 * r + c) * RUN
            for t in range(RUN):
                area = work[_AREA + t]
                left = work[_BELOW + (c - 1) * RUN + t] if c > 0 else 0.0
                column = (work[_BELOW + c * RUN + t] - left) / (area if area != 0.0 else 1.0)
                work[place + t] = column - work[_BEFORE + c * RUN + t]
                work[_BEFORE + c * RUN + t] = column


@njit(inline="always")
def _usable(weight, j, i, t, work):
    """Return whether a pixel takes part."""
    area = abs(work[_AREA + t])
    return weight[j, i] > 0.0 and area > 0.0 and area < np.inf  # also where the map is NaN


@njit
def square(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
    """Spread the pixels, shrunk by pixfrac and mapped corner by corner, over what they overlap: exact areas."""
    y0, y1, x0, x1 = box
    half = 0.5 * par[0]
    _map_rows(pixmap, j, i0, i1, half, work)
    _outline(half, work)
    # as many cells as the largest needs, whatever the window: the bits of a share depend on the run alone
    high, easy = 0.0, True
    _quarter(work)
    for t in range(i1 - i0):
        width, height = work[_WIDTH + t], work[_HEIGHT + t]
        if _usable(weight, j, i0 + t, t, work):
            easy = easy and width <= 2.0 and height <= 2.0 and work[_EASE + t] >= 0.0
            if width <= _CELLS and height <= _CELLS:
                high = max(high, height)
    nrow, ncol = math.ceil(high), 2 if easy else 3
    if not easy:
        _shares(nrow, work)
    for t in range(i1 - i0):
        row, column = work[_ROW + t], work[_COLUMN + t]
        reached = row < y1 and row + work[_HEIGHT + t] > y0 and column < x1 and column + work[_WIDTH + t] > x0
        if not (_usable(weight, j, i0 + t, t, work) and reached):
            continue
        if work[_WIDTH + t] > _CELLS or work[_HEIGHT + t] > _CELLS:
            _large(values, dq, j, i0 + t, np.float64(weight[j, i0 + t]), t, box, nlin, edge, work, sums, out_dq)
            continue
        pixel, own_weight = _read(values, dq, j, i0 + t, nlin), np.float64(weight[j, i0 + t])
        first_row, first_column = int(row) - y0, int(column) - x0
        for r in range(max(0, -first_row), min(nrow, y1 - y0 - first_row)):
            for c in range(max(0, -first_column), min(ncol, x1 - x0 - first_column)):
                share = work[_PART + (3 * r + c) * RUN + t]
                if share > _SLIVER:
                    y, x = first_row + r, first_column + c
                    _put(pixel, values, dq, j, i0 + t, share * own_weight, y, x, nlin, sums, out_dq)


@njit
def _put_others(values, dq, j, i, amount, y, x, nlin, sums, out_dq):
    """Add what comes with the value of an input pixel: whatever is carried along, and its DQ."""
    for p in range(1, nlin):
        sums[y, x, 1 + p] += amount * values[j, i, p]
    for p in range(nlin, values.shape[2]):
        sums[y, x, 1 + p] += amount * amount * values[j, i, p]
    if dq.size > 0:
        out_dq[y, x] |= dq[j, i]


@njit(inline="always")
def _read(values, dq, j, i, nlin):
    """Return the values of an input pixel and whether they are (data alone, three more, or others)."""
    nval = values.shape[2]
    usual = nlin == 4 and nval == 4 and dq.size == 0
    a, b, c, d = np.float64(values[j, i, 0]), 0.0, 0.0, 0.0
    if usual:
        b, c, d = np.float64(values[j, i, 1]), np.float64(values[j, i, 2]), np.float64(values[j, i, 3])
    return a, b, c, d, usual, not usual and (nval > 1 or dq.size > 0)


@njit(inline="always")
def _put(pixel, values, dq, j, i, amount, row, column, nlin, sums, out_dq):
    """Add one input pixel, read before, to one output pixel with weight ``amount``."""
    a, b, c, d, usual, others = pixel
    y, x = np.uint64(row), np.uint64(column)  # spares the question whether they count from the end
    sums[y, x, 0] += amount
    sums[y, x, 1] += amount * a
    if usual:  # data and three variances: kept at hand, which saves more than half of the time
        sums[y, x, 2] += amount * b
        sums[y, x, 3] += amount * c
        sums[y, x, 4] += amount * d
    elif others:
        _put_others(values, dq, j, i, amount, y, x, nlin, sums, out_dq)


@njit
def _large(values, dq, j, i, weight, t, box, nlin, edge, work, sums, out_dq):
    """Spread one pixel that spans many output pixels, of which those of ``box`` are wanted."""
    y0, y1, x0, x1 = box
    row, column = work[_ROW + t], work[_COLUMN + t]
    width, height = work[_WIDTH + t], work[_HEIGHT + t]
    r0, r1 = math.floor(max(row, y0)), math.floor(min(row + height, y1 - 0.5))
    if width < edge.shape[1] - 2:
        c0, c1 = math.floor(column), math.floor(column + width)
    else:
        c0, c1 = math.floor(max(column, x0)), math.floor(min(column + width, x1 - 0.5))
    for side in range(4):
        a, b = side * RUN + t, (side + 1) % 4 * RUN + t
        xa, ya, xb, yb = (column + work[_X + a], row + work[_Y + a], column + work[_X + b], row + work[_Y + b])
        _add_edge(xa, ya, xb, yb, r0, r1, c0, c1, edge)
    per_area, pixel = -1.0 / work[_AREA + t], _read(values, dq, j, i, nlin)
    for r in range(r0, r1 + 1):
        share = 0.0
        for c in range(c0, c1 + 1):
            share += edge[r - r0, c - c0] * per_area
            edge[r - r0, c - c0] = 0.0
            if share > _SLIVER and c >= x0 and c < x1:
                _put(pixel, values, dq, j, i, share * weight, r - y0, c - x0, nlin, sums, out_dq)
        edge[r - r0, c1 + 1 - c0] = 0.0


@njit
def _add_edge(x1, y1, x2, y2, r0, r1, c0, c1, edge):
    """Add one side of a polygon to the running overlaps of the cells (rows ``r0`` to ``r1``, columns ``c0`` to ``c1``).

    The prefix sum of a row of ``edge`` (its first is ``r0``, its first column ``c0``) is afterwards the signed area of
    the polygon in each cell: a side adds, to its own cell, its height times the part of the cell to its right, and its
    full height to all cells further right.
    """
    if y1 == y2:
        return
    slope = (x2 - x1) / (y2 - y1)
    if y1 < y2:
        bottom, top, sign = y1, y2, 1.0
    else:
        bottom, top, sign = y2, y1, -1.0
    left, right = float(c0), float(c1 + 1)
    # unsigned indices spare the compiler the question whether they count from the end
    one = np.uint64(1)
    for r in range(max(math.floor(bottom), r0), min(math.floor(top), r1) + 1):
        low, high = max(bottom, float(r)), min(top, r + 1.0)
        xa, xb = x1 + (low - y1) * slope, x1 + (high - y1) * slope
        height = (high - low) * sign
        xl, xr = min(xa, xb), max(xa, xb)
        cell, final = math.floor(xl), math.floor(xr)
        row = np.uint64(r - r0)
        if cell == final and cell >= c0 and cell <= c1:
            part = height * (0.5 * (xl + xr) - cell)
            k = np.uint64(cell - c0)
            edge[row, k] += height - part
            edge[row, k + one] += part
        elif xr <= left:
            edge[row, np.uint64(0)] += height
        elif xl < right and xr > xl:
            per_x = height / (xr - xl)
            if xl < left:
                edge[row, np.uint64(0)] += per_x * (left - xl)
                xl, cell = left, c0
            start = xl
            for c in range(cell, min(final, c1) + 1):
                stop = min(xr, c + 1.0)
                part = per_x * (stop - start)
                beyond = part * (0.5 * (start + stop) - c)
                k = np.uint64(c - c0)
                edge[row, k] += part - beyond
                edge[row, k + one] += beyond
                start = stop
