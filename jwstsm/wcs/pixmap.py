"""Where the pixels of one image fall in another: pixel maps for resampling, blotting and overlap tests.

The map input pixel -> sky -> output pixel is replaced by a Chebyshev series whose error is measured against the real
one (:mod:`jwstsm.wcs.surrogate`); the default tolerance is 1e-4 pixel. A map too rough for that is evaluated pixel by
pixel. Rows are computed on demand, so that a mosaic can be made tile by tile.
"""

from __future__ import annotations

import logging
import math
from functools import cached_property

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.wcs.model import as_wcs
from jwstsm.wcs.surrogate import fit_surrogate

__all__ = ["PixelMap", "pixel_map"]

log = logging.getLogger(__name__)

_CELL = 32  # pixels: size of the cells that a window is put together of


@njit(parallel=True)
def _evaluate_rows(coefficients, tx, ty, out):
    """Evaluate two Chebyshev series on a grid, row by row.

    ``coefficients`` (2, n, n), ``tx`` (n, nx), ``ty`` (n, ny), ``out`` (ny, nx, 2).
    """
    n, nx = tx.shape
    for row in prange(out.shape[0]):
        line = np.empty(nx)
        for value in range(2):
            line[:] = 0.0
            for i in range(n):
                factor = 0.0
                for j in range(n):
                    factor += coefficients[value, j, i] * ty[j, row]
                for x in range(nx):
                    line[x] += factor * tx[i, x]
            for x in range(nx):
                out[row, x, value] = line[x]


class PixelMap:
    """The map from the pixels of one image to those of another, ready to be evaluated.

    Parameters
    ----------
    from_wcs, to_wcs : Wcs or gwcs.wcs.WCS
        World coordinates of the two images.
    shape : (int, int)
        Shape (ny, nx) of the first.
    tolerance : float
        Largest error accepted [pixel of the second].
    refine : bool
        Make the inverse of ``to_wcs`` exact by iteration; needed only if it is a distorted image whose inverse
        polynomials are not good enough.

    Attributes
    ----------
    error : float
        Largest error found [pixel]; 0 where every pixel is evaluated.
    """

    def __init__(self, from_wcs, to_wcs, shape, tolerance: float = 1e-4, refine: bool = False):
        self.shape = (int(shape[-2]), int(shape[-1]))
        self._from, self._to, self._refine = as_wcs(from_wcs), as_wcs(to_wcs), refine
        ny, nx = self.shape
        (x0, x1), (y0, y1) = self._from.bounding_box or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
        self.x_range = max(0, math.ceil(x0)), min(nx - 1, math.floor(x1))
        self.y_range = max(0, math.ceil(y0)), min(ny - 1, math.floor(y1))
        self._series = fit_surrogate(self._exact, self.x_range, self.y_range, tolerance)
        self.error = self._series.error if self._series is not None else 0.0
        if self._series is None:
            log.info("the pixel map is not smooth; every pixel is evaluated")

    def _exact(self, x, y):
        sky = self._from(x, y, with_bounding_box=False)
        return self._to.invert(*sky, with_bounding_box=False, refine=self._refine)

    def at(self, x, y) -> np.ndarray:
        """Return the images (2, ...) of single points, which may lie between pixels."""
        return self._series.at(x, y) if self._series is not None else np.stack(self._exact(x, y))

    def rows(self, y0: int = 0, y1: int | None = None) -> np.ndarray:
        """Return the map of rows ``y0`` to ``y1 - 1``.

        Returns
        -------
        (y1 - y0, nx, 2) float64
            x first; NaN outside the bounding box of the first image.
        """
        ny, nx = self.shape
        y1 = ny if y1 is None else y1
        x_low, x_high = self.x_range
        y_low, y_high = max(y0, self.y_range[0]), min(y1 - 1, self.y_range[1])
        out = np.empty((y1 - y0, nx, 2))
        inner = out[max(0, y_low - y0) : max(0, y_high + 1 - y0), x_low : x_high + 1]
        if inner.shape[:2] != out.shape[:2]:
            out[:] = np.nan
        if inner.size == 0:
            return out
        x, y = np.arange(x_low, x_high + 1.0), np.arange(y_low, y_high + 1.0)
        if self._series is None:
            inner[:] = np.stack(self._exact(*np.meshgrid(x, y)), axis=-1)
        else:
            tx, ty = self._series.basis(x, y)
            target = inner if inner.flags.c_contiguous else np.empty(inner.shape)
            _evaluate_rows(self._series.coefficients, tx, ty, target)
            if target is not inner:
                inner[:] = target
        return out

    def _lattice(self, step: int):
        """Return lattice lines no further apart than ``step`` pixels and the images of the lattice (2, ny, nx)."""
        lines = [
            np.linspace(a - 0.5, b + 0.5, max(2, math.ceil((b + 1 - a) / step) + 1))
            for a, b in (self.x_range, self.y_range)
        ]
        return *lines, self.at(*np.meshgrid(*lines))

    def bounds(self, step: int = 64) -> tuple[float, float, float, float]:
        """Return ``(xmin, xmax, ymin, ymax)`` of the image of all pixels, edges included, in the second image."""
        _, _, (u, v) = self._lattice(step)
        return float(np.nanmin(u)), float(np.nanmax(u)), float(np.nanmin(v)), float(np.nanmax(v))

    @cached_property
    def _cells(self):
        """Lattice lines, and the least and the largest coordinates (2, ny - 1, nx - 1) of the cells between them."""
        x, y, image = self._lattice(_CELL)
        corners = np.stack([image[:, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1)])
        low, high = corners.min(axis=0), corners.max(axis=0)
        # within a cell the edges may bulge a little beyond the corners
        margin = 0.5 + 0.01 * (high - low)
        return x, y, low - margin, high + margin

    def window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[int, int, int, int] | None:
        """Return the part of the first image that can reach a rectangle of the second.

        Parameters
        ----------
        x0, x1, y0, y1 : float
            The rectangle, in pixels of the second image (edges, so ``-0.5`` is the edge of pixel 0).

        Returns
        -------
        (int, int, int, int) or None
            First and last + 1 column, first and last + 1 row; None if nothing does. It may be a cell too large, never
            too small.
        """
        x, y, low, high = self._cells
        touch = (low[0] <= x1) & (high[0] >= x0) & (low[1] <= y1) & (high[1] >= y0)
        if not touch.any():
            return None
        columns, rows = np.flatnonzero(touch.any(axis=0)), np.flatnonzero(touch.any(axis=1))
        xs = max(self.x_range[0], math.floor(x[columns[0]])), min(self.x_range[1], math.ceil(x[columns[-1] + 1]))
        ys = max(self.y_range[0], math.floor(y[rows[0]])), min(self.y_range[1], math.ceil(y[rows[-1] + 1]))
        return xs[0], xs[1] + 1, ys[0], ys[1] + 1


def pixel_map(from_wcs, to_wcs, shape, y0: int = 0, y1: int | None = None, *, tolerance: float = 1e-4) -> np.ndarray:
    """Return where the pixels of one image fall in another.

    Parameters
    ----------
    from_wcs, to_wcs : Wcs or gwcs.wcs.WCS
        World coordinates of the two images.
    shape : (int, int)
        Shape (ny, nx) of the first.
    y0, y1 : int
        Rows wanted; default all. Those who want many parts keep a :class:`PixelMap`.
    tolerance : float
        Largest error accepted [pixel].

    Returns
    -------
    (y1 - y0, nx, 2) float64
        x first, 0-based; NaN outside the bounding box of the first image.
    """
    return PixelMap(from_wcs, to_wcs, shape, tolerance).rows(y0, y1)
