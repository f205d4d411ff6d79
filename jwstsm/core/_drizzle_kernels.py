"""How each drizzle kernel spreads a run of input pixels of one row over a band of output rows.

All kernels share one signature; :func:`spread` calls them by number:

- ``values`` (ny, nx, nval) float32, ``weight`` (ny, nx) float32, ``pixmap`` (ny, nx, 2) float64 (x first), ``dq``
  (ny, nx) uint32 or (0, 0);
- ``j`` the input row, ``[i0, i1)`` the run of columns;
- ``par`` = (pixfrac, scale, order);
- ``box`` = (y0, y1, x0, x1), the output pixels that may be written: rows [y0, y1) and columns [x0, x1);
- ``nlin`` how many values enter linearly, at least the first (the rest with squared weights);
- ``edge`` scratch of zeros, left so, at least (y1 - y0, x1 - x0 + 2);
- ``sums`` (y1 - y0, x1 - x0, 1 + nval) float64 and ``out_dq`` (y1 - y0, x1 - x0) uint32 or (0, 0), which are added to.

Shares are computed in the coordinates of the whole output, where pixel ``c`` covers [c, c + 1), and added in the order
of the input pixels: the bits of an output pixel do not depend on how the output is cut into bands, tiles or threads.
"""

from __future__ import annotations

import math

import numpy as np

from jwstsm.core.compiled import njit

__all__ = ["gaussian", "lanczos", "point", "spread", "square", "turbo"]

_FWHM_PER_SIGMA = 2.3548
_LANCZOS_STEP = 0.003  # spacing of the tabulated Lanczos function, in input pixels, as in the source
_SLIVER = 1e-12  # overlaps below this share of an input pixel are rounding noise


@njit(inline="always")
def _deposit(values, dq, j, i, amount, row, column, nlin, sums, out_dq):
    """Add one input pixel to one output pixel with weight ``amount``."""
    sums[row, column, 0] += amount
    sums[row, column, 1] += amount * values[j, i, 0]
    if nlin == 4:  # data and three variances: the usual case, written out for speed
        sums[row, column, 2] += amount * values[j, i, 1]
        sums[row, column, 3] += amount * values[j, i, 2]
        sums[row, column, 4] += amount * values[j, i, 3]
    else:
        for p in range(1, nlin):
            sums[row, column, 1 + p] += amount * values[j, i, p]
        for p in range(nlin, values.shape[2]):
            sums[row, column, 1 + p] += amount * amount * values[j, i, p]
    if dq.size > 0:
        out_dq[row, column] |= dq[j, i]


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


@njit
def _deal_out(values, dq, j, i, weight, per_area, cells, box, nlin, edge, sums, out_dq):
    """Add an input pixel to the cells (r0, r1, c0, c1) it overlaps, whose overlaps ``edge`` holds; clear ``edge``."""
    r0, r1, c0, c1 = cells
    y0, _, x0, x1 = box
    nval = values.shape[2]
    usual = nlin == 4 and nval == 4  # data and three variances, or data alone: written out for speed
    a, b, c, d = np.float64(values[j, i, 0]), 0.0, 0.0, 0.0
    if usual:
        b, c, d = np.float64(values[j, i, 1]), np.float64(values[j, i, 2]), np.float64(values[j, i, 3])
    for r in range(r0, r1 + 1):
        local, row = np.uint64(r - r0), np.uint64(r - y0)
        share = 0.0
        for column in range(c0, c1 + 1):
            k = np.uint64(column - c0)
            share += edge[local, k] * per_area
            edge[local, k] = 0.0
            if not (share > _SLIVER and column >= x0 and column < x1):
                continue
            amount = share * weight
            k = np.uint64(column - x0)
            sums[row, k, 0] += amount
            sums[row, k, 1] += amount * a
            if usual:
                sums[row, k, 2] += amount * b
                sums[row, k, 3] += amount * c
                sums[row, k, 4] += amount * d
            elif nval > 1:
                for p in range(1, nlin):
                    sums[row, k, 1 + p] += amount * values[j, i, p]
                for p in range(nlin, nval):
                    sums[row, k, 1 + p] += amount * amount * values[j, i, p]
            if dq.size > 0:
                out_dq[row, k] |= dq[j, i]
        edge[local, np.uint64(c1 + 1 - c0)] = 0.0


@njit(inline="always")
def _between(pixmap, j, i, v, u, axis):
    """Interpolate the map bilinearly at (row j + v, column i + u); outside [0, 1] it extrapolates."""
    lower = pixmap[j, i, axis] + u * (pixmap[j, i + 1, axis] - pixmap[j, i, axis])
    upper = pixmap[j + 1, i, axis] + u * (pixmap[j + 1, i + 1, axis] - pixmap[j + 1, i, axis])
    return lower + v * (upper - lower) + 0.5


@njit
def square(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Spread the pixel, shrunk by pixfrac and mapped corner by corner, over what it overlaps: exact areas."""
    nrow, ncol = weight.shape
    y0, y1, x0, x1 = box
    half = 0.5 * par[0]
    # corners come from the map of the pixel centres around them; at the rim of the image its own cell extrapolates
    j_low, j_up = min(max(j - 1, 0), nrow - 2), min(j, nrow - 2)
    v_low, v_up = j - half - j_low, j + half - j_up
    shared = -1  # pixel whose right corners are at hand; whole pixels share them with their neighbour
    xb, yb, xc, yc = 0.0, 0.0, 0.0, 0.0
    for i in range(i0, i1):
        if not weight[j, i] > 0.0:
            continue
        if shared == i - 1 and half == 0.5 and i > i0:
            xa, ya, xd, yd = xb, yb, xc, yc
        else:
            k = max(i - 1, 0)
            u = i - half - k
            xa, ya = _between(pixmap, j_low, k, v_low, u, 0), _between(pixmap, j_low, k, v_low, u, 1)
            xd, yd = _between(pixmap, j_up, k, v_up, u, 0), _between(pixmap, j_up, k, v_up, u, 1)
        k = min(i, ncol - 2)
        u = i + half - k
        xb, yb = _between(pixmap, j_low, k, v_low, u, 0), _between(pixmap, j_low, k, v_low, u, 1)
        xc, yc = _between(pixmap, j_up, k, v_up, u, 0), _between(pixmap, j_up, k, v_up, u, 1)
        shared = i
        area = 0.5 * ((xc - xa) * (yd - yb) - (xd - xb) * (yc - ya))
        if not (abs(area) > 0.0 and abs(area) < np.inf):  # also where the map is NaN
            continue
        y_min, y_max = min(min(ya, yb), min(yc, yd)), max(max(ya, yb), max(yc, yd))
        x_min, x_max = min(min(xa, xb), min(xc, xd)), max(max(xa, xb), max(xc, xd))
        if y_min >= y1 or y_max <= y0 or x_min >= x1 or x_max <= x0:
            continue
        r0, r1 = math.floor(max(y_min, y0)), math.floor(min(y_max, y1 - 0.5))
        if x_max - x_min < edge.shape[1] - 2:
            c0, c1 = math.floor(x_min), math.floor(x_max)
        else:
            c0, c1 = math.floor(max(x_min, x0)), math.floor(min(x_max, x1 - 0.5))
        _add_edge(xa, ya, xb, yb, r0, r1, c0, c1, edge)
        _add_edge(xb, yb, xc, yc, r0, r1, c0, c1, edge)
        _add_edge(xc, yc, xd, yd, r0, r1, c0, c1, edge)
        _add_edge(xd, yd, xa, ya, r0, r1, c0, c1, edge)
        cells = (r0, r1, c0, c1)
        _deal_out(values, dq, j, i, np.float64(weight[j, i]), -1.0 / area, cells, box, nlin, edge, sums, out_dq)


@njit
def point(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Put the whole pixel into the output pixel that its centre falls in."""
    y0, y1, x0, x1 = box
    for i in range(i0, i1):
        x, y = pixmap[j, i, 0] + 0.5, pixmap[j, i, 1] + 0.5
        if weight[j, i] > 0.0 and x >= x0 and x < x1 and y >= y0 and y < y1:
            _deposit(values, dq, j, i, weight[j, i], int(y) - y0, int(x) - x0, nlin, sums, out_dq)


@njit
def turbo(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Spread the pixel over an upright square of side pixfrac / scale about its centre."""
    y0, y1, x0, x1 = box
    half = 0.5 * par[0] / par[1]
    per_area = (par[1] / par[0]) ** 2
    for i in range(i0, i1):
        x, y = pixmap[j, i, 0] + 0.5, pixmap[j, i, 1] + 0.5
        inside = x + half > x0 and x - half < x1 and y + half > y0 and y - half < y1
        if not (weight[j, i] > 0.0 and inside):
            continue
        for r in range(int(max(y - half, y0)), int(min(y + half, y1 - 0.5)) + 1):
            high = min(y + half, r + 1.0) - max(y - half, float(r))
            for c in range(int(max(x - half, x0)), int(min(x + half, x1 - 0.5)) + 1):
                wide = min(x + half, c + 1.0) - max(x - half, float(c))
                if high > 0.0 and wide > 0.0:
                    amount = high * wide * per_area * weight[j, i]
                    _deposit(values, dq, j, i, amount, r - y0, c - x0, nlin, sums, out_dq)


@njit
def gaussian(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Spread the pixel as a round Gaussian of full width pixfrac / scale, cut at 2.5 sigma."""
    y0, y1, x0, x1 = box
    reach = max(2.5 * par[0] / _FWHM_PER_SIGMA, 1.2) / par[1]
    steep = 0.5 * (_FWHM_PER_SIGMA * par[1] / par[0]) ** 2
    for i in range(i0, i1):
        x, y = pixmap[j, i, 0] + 0.5, pixmap[j, i, 1] + 0.5
        inside = x + reach >= x0 and x - reach < x1 and y + reach >= y0 and y - reach < y1
        if not (weight[j, i] > 0.0 and inside):
            continue
        for r in range(int(max(y - reach, y0)), int(min(y + reach, y1 - 0.5)) + 1):
            dy = y - 0.5 - r
            for c in range(int(max(x - reach, x0)), int(min(x + reach, x1 - 0.5)) + 1):
                dx = x - 0.5 - c
                amount = steep / math.pi * math.exp(-steep * (dx * dx + dy * dy)) * weight[j, i]
                _deposit(values, dq, j, i, amount, r - y0, c - x0, nlin, sums, out_dq)


@njit
def lanczos(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Spread the pixel by the product of two Lanczos functions of order ``par[2]``."""
    y0, y1, x0, x1 = box
    order = par[2]
    reach = order / par[1]
    for i in range(i0, i1):
        x, y = pixmap[j, i, 0], pixmap[j, i, 1]
        inside = x + reach >= x0 and x - reach < x1 and y + reach >= y0 and y - reach < y1
        if not (weight[j, i] > 0.0 and inside):
            continue
        for r in range(max(math.floor(y - reach) + 1, y0), min(math.floor(y + reach), y1 - 1) + 1):
            along_y = _lanczos_value(abs(y - r) * par[1], order)
            for c in range(max(math.floor(x - reach) + 1, x0), min(math.floor(x + reach), x1 - 1) + 1):
                share = along_y * _lanczos_value(abs(x - c) * par[1], order)
                if share != 0.0:
                    _deposit(values, dq, j, i, share * weight[j, i], r - y0, c - x0, nlin, sums, out_dq)


@njit
def _lanczos_value(distance, order):
    """Return the Lanczos function at a distance in input pixels, tabulated every 0.003 as in the source."""
    angle = math.pi * _LANCZOS_STEP * math.floor(distance / _LANCZOS_STEP + 0.5)
    if angle == 0.0:
        return 1.0
    if angle > math.pi * order:
        return 0.0
    return math.sin(angle) * math.sin(angle / order) * order / (angle * angle)


@njit
def spread(kernel, values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq):
    """Call the kernel of a number (order of :data:`jwstsm.core.drizzle.KERNELS`)."""
    if kernel == 0:
        square(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq)
    elif kernel == 1:
        point(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq)
    elif kernel == 2:
        turbo(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq)
    elif kernel == 3:
        gaussian(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq)
    else:
        lanczos(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, sums, out_dq)
