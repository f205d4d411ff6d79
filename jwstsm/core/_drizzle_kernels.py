"""How each drizzle kernel spreads a run of input pixels of one row over a band of output rows.

All kernels share one signature; :func:`spread` calls them by number:

- ``values`` (ny, nx, nval) float32, ``weight`` (ny, nx) float32, ``pixmap`` (ny, nx, 2) float64 (x first), ``dq``
  (ny, nx) uint32 or (0, 0);
- ``j`` the input row, ``[i0, i1)`` the run of columns;
- ``par`` = (pixfrac, scale, order);
- ``box`` = (y0, y1, x0, x1), the output pixels that may be written: rows [y0, y1) and columns [x0, x1);
- ``nlin`` how many values enter linearly, at least the first (the rest with squared weights);
- ``edge`` scratch of zeros, left so, at least (y1 - y0, x1 - x0 + 2); ``work`` scratch of ``SIZE`` numbers;
- ``sums`` (y1 - y0, x1 - x0, 1 + nval) float64 and ``out_dq`` (y1 - y0, x1 - x0) uint32 or (0, 0), which are added to.

Shares are computed in the coordinates of the whole output, where pixel ``c`` covers [c, c + 1), and added in the order
of the input pixels: the bits of an output pixel do not depend on how the output is cut into bands, tiles or threads.
"""

from __future__ import annotations

import math

from jwstsm.core._drizzle_squares import RUN, SIZE, square
from jwstsm.core.compiled import njit

__all__ = ["RUN", "SIZE", "gaussian", "lanczos", "point", "spread", "square", "turbo"]

_FWHM_PER_SIGMA = 2.3548
_LANCZOS_STEP = 0.003  # spacing of the tabulated Lanczos function, in input pixels, as in the source


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
def point(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
    """Put the whole pixel into the output pixel that its centre falls in."""
    y0, y1, x0, x1 = box
    for i in range(i0, i1):
        x, y = pixmap[j, i, 0] + 0.5, pixmap[j, i, 1] + 0.5
        if weight[j, i] > 0.0 and x >= x0 and x < x1 and y >= y0 and y < y1:
            _deposit(values, dq, j, i, weight[j, i], int(y) - y0, int(x) - x0, nlin, sums, out_dq)


@njit
def turbo(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
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
def gaussian(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
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
def lanczos(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
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
def spread(kernel, values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
    """Call the kernel of a number (order of :data:`jwstsm.core.drizzle.KERNELS`)."""
    if kernel == 0:
        square(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)
    else:
        _spread_round(kernel, values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)


@njit
def _spread_round(kernel, values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq):
    """Call one of the other kernels."""
    if kernel == 1:
        point(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)
    elif kernel == 2:
        turbo(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)
    elif kernel == 3:
        gaussian(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)
    else:
        lanczos(values, weight, pixmap, dq, j, i0, i1, par, box, nlin, edge, work, sums, out_dq)
