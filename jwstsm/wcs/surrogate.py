"""A smooth map of a rectangle replaced by a Chebyshev series that is quick to evaluate, with its error measured.

Detector distortions and projections are smooth: a series of degree ten or so has them to far below a thousandth of a
pixel. The series interpolates the map at Chebyshev nodes; it is then compared with the map itself on a regular lattice
finer than the nodes, corners included, and its degree is raised until the largest difference is below the tolerance.

Source: Trefethen (2013), Approximation Theory and Approximation Practice, chapters 2-8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Surrogate", "fit_surrogate"]

_SIZES = (6, 9, 13, 18, 26, 40)


@dataclass(frozen=True)
class Surrogate:
    """Chebyshev series of a map ``(x, y) -> values``.

    Attributes
    ----------
    x_range, y_range : (float, float)
        The rectangle.
    coefficients : (nvalues, n, n) float64
        ``coefficients[v, j, i]`` is the factor of T_j(y) T_i(x).
    error : float
        Largest difference from the map at the check points, in its own unit.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    coefficients: np.ndarray
    error: float

    def basis(self, x, y) -> tuple[np.ndarray, np.ndarray]:
        """Return T_i(x), (n, nx), and T_j(y), (n, ny), of the scaled coordinates."""
        size = self.coefficients.shape[-1]
        return tuple(_chebyshev(_scaled(v, r), size) for v, r in ((x, self.x_range), (y, self.y_range)))

    def at(self, x, y) -> np.ndarray:
        """Evaluate at single points; returns (nvalues, ...)."""
        x, y = np.broadcast_arrays(x, y)
        tx, ty = self.basis(x.ravel(), y.ravel())
        out = np.einsum("vji,ip,jp->vp", self.coefficients, tx, ty, optimize=True)
        return out.reshape(len(out), *x.shape)

    def on_grid(self, x, y) -> np.ndarray:
        """Evaluate on the grid of ``x`` (nx,) and ``y`` (ny,); returns (nvalues, ny, nx)."""
        tx, ty = self.basis(np.asarray(x), np.asarray(y))
        return np.stack([ty.T @ (c @ tx) for c in self.coefficients])


def _scaled(values, limits) -> np.ndarray:
    low, high = limits
    span = (high - low) or 1.0
    return (2.0 * np.asarray(values, dtype=np.float64) - low - high) / span


def _chebyshev(t: np.ndarray, size: int) -> np.ndarray:
    """Return T_0 .. T_{size-1} at ``t``, (size, len(t)), by the recurrence."""
    out = np.empty((size, t.size))
    out[0] = 1.0
    if size > 1:
        out[1] = t
    for k in range(2, size):
        out[k] = 2.0 * t * out[k - 1] - out[k - 2]
    return out


def fit_surrogate(
    function: Callable, x_range: tuple[float, float], y_range: tuple[float, float], tolerance: float
) -> Surrogate | None:
    """Fit a series to a map of a rectangle.

    Parameters
    ----------
    function : callable
        ``function(x, y)`` returns a sequence of arrays of the shape of ``x``.
    x_range, y_range : (float, float)
        The rectangle, edges included.
    tolerance : float
        Largest difference accepted.

    Returns
    -------
    Surrogate or None
        None if the map is not finite everywhere, or so rough that degree 39 does not reach the tolerance.
    """
    for size in _SIZES:
        # Chebyshev nodes of the first kind, and the cosine transform that turns values there into coefficients
        angle = np.pi * (np.arange(size) + 0.5) / size
        to_coefficients = 2.0 / size * np.cos(np.outer(np.arange(size), angle))
        to_coefficients[0] /= 2.0
        nodes = [0.5 * (a + b) + 0.5 * (b - a) * np.cos(angle) for a, b in (x_range, y_range)]
        x, y = np.meshgrid(*nodes)
        values = np.stack([np.asarray(v, dtype=np.float64) for v in function(x, y)])
        if not np.isfinite(values).all():
            return None
        series = Surrogate(x_range, y_range, to_coefficients @ values @ to_coefficients.T, np.inf)
        check = [np.linspace(a, b, 2 * size + 3) for a, b in (x_range, y_range)]
        truth = np.stack([np.asarray(v) for v in function(*np.meshgrid(*check))])
        error = float(np.abs(series.on_grid(*check) - truth).max())
        if error <= tolerance:
            return Surrogate(x_range, y_range, series.coefficients, error)
    return None
