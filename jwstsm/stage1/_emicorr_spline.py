"""Periodic waves as cubic splines on equal steps of phase (written out: importing scipy costs more than the whole fit)."""

from __future__ import annotations

import numpy as np

__all__ = ["WaveSpline", "spline_steps"]


class WaveSpline:
    """A periodic wave as a cubic spline on equal steps.

    Attributes
    ----------
    steps : (nphases + 1, 4) float64
        Cubic coefficients in ``t`` of step ``k``, where ``phase * nphases + 0.5 = k + t``.
    """

    def __init__(self, shape: np.ndarray) -> None:
        self.size = len(shape)
        self.steps = spline_steps(np.concatenate((shape[-1:], shape, shape[:1])))


def spline_steps(values: np.ndarray) -> np.ndarray:
    """Return the coefficients of the cubic spline through equally spaced values, ``not-a-knot`` at both ends.

    Parameters
    ----------
    values : (n >= 4,) float64

    Returns
    -------
    (n - 1, 4) float64
        Of powers of ``t`` in 0 .. 1 between each value and the next.

    Notes
    -----
    The second derivatives m solve m[i-1] + 4 m[i] + m[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]). At the ends the third
    derivative does not jump, so that the second and the last but one are a sixth of their right sides.
    """
    y = np.asarray(values, np.float64)
    right = 6.0 * (y[:-2] - 2.0 * y[1:-1] + y[2:])
    bend = np.empty(y.size)
    bend[1], bend[-2] = right[0] / 6.0, right[-1] / 6.0
    inner = right[1:-1].copy()
    if inner.size:
        inner[0] -= bend[1]
        inner[-1] -= bend[-2]
        bend[2:-2] = _solve_141(inner)
    bend[0], bend[-1] = 2.0 * bend[1] - bend[2], 2.0 * bend[-2] - bend[-3]
    slope = np.diff(y) - (2.0 * bend[:-1] + bend[1:]) / 6.0
    return np.stack([y[:-1], slope, bend[:-1] / 2.0, np.diff(bend) / 6.0], axis=1)


def _solve_141(right: np.ndarray) -> np.ndarray:
    """Solve the tridiagonal system of 1, 4, 1 by elimination."""
    out, factor = right.copy(), np.empty(right.size)
    pivot = 4.0
    for i in range(right.size):
        if i:
            pivot = 4.0 - factor[i - 1]
            out[i] -= out[i - 1]
        out[i] /= pivot
        factor[i] = 1.0 / pivot
    for i in range(right.size - 2, -1, -1):
        out[i] -= factor[i] * out[i + 1]
    return out
