"""Affine transformations between matched positions in a plane: least squares, with clipping.

The geometries are those of the official alignment: ``shift``, ``rshift`` (shift and rotation), ``rscale`` (and
one scale), ``general`` (any linear transformation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "Fit", "apply_affine", "fit_affine", "fit_clipped"]

FEWEST = {"shift": 1, "rshift": 2, "rscale": 2, "general": 3}


@dataclass(frozen=True)
class Fit:
    """``reference = matrix @ image + shift``.

    Attributes
    ----------
    matrix : ndarray, (2, 2) float64
    shift : ndarray, (2,) float64
        In the unit of the positions.
    residuals : ndarray, (n, 2) float64
        Reference minus transformed image, of all pairs.
    used : ndarray, (n,) bool
        Pairs that took part in the fit.
    rmse : float
        Root of the (weighted) mean squared residual length of the pairs used.
    """

    matrix: np.ndarray
    shift: np.ndarray
    residuals: np.ndarray
    used: np.ndarray
    rmse: float

    @property
    def rotation_deg(self) -> float:
        """Rotation [deg], positive from the second axis to the first."""
        m = self.matrix
        return math.degrees(math.atan2(m[0, 1] - m[1, 0], m[0, 0] + m[1, 1]))

    @property
    def scale(self) -> float:
        """Mean scale."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))


def apply_affine(xy: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``matrix @ xy + shift`` of (n, 2) positions."""
    return xy @ np.asarray(matrix).T + shift


def fit_affine(
    reference: np.ndarray, image: np.ndarray, geometry: str = "rshift", weights: np.ndarray | None = None
) -> Fit:
    """Fit a transformation that takes ``image`` to ``reference``.

    Parameters
    ----------
    reference, image : ndarray, (n, 2) float64
        Matched positions.
    geometry : {"shift", "rshift", "rscale", "general"}
        What the transformation may do.
    weights : ndarray, (n,), or None
        Weights of the pairs; those of zero do not take part.

    Returns
    -------
    Fit
        With all pairs of positive weight in use.

    Notes
    -----
    Positions are taken about their means, so that shift and rotation separate; rotations are proper, never
    mirrored.
    """
    used = np.ones(len(image), bool) if weights is None else weights > 0
    w = np.ones(int(used.sum())) if weights is None else weights[used]
    w = w / w.sum()
    x, u = reference[used], image[used]
    mean_x, mean_u = w @ x, w @ u
    a, b = x - mean_x, u - mean_u
    cross = (a * w[:, None]).T @ b
    matrix = np.eye(2)
    if geometry in ("rshift", "rscale"):
        even, odd = cross[0, 0] + cross[1, 1], cross[0, 1] - cross[1, 0]
        length = math.hypot(even, odd)
        c, s = (even / length, odd / length) if length > 0 else (1.0, 0.0)
        spread = float((w[:, None] * b * b).sum())
        factor = length / spread if geometry == "rscale" and spread > 0 else 1.0
        matrix = factor * np.array([[c, s], [-s, c]])
    elif geometry == "general":
        spread = (b * w[:, None]).T @ b
        if np.linalg.cond(spread) > 1e12:
            raise ValueError("the matched sources lie on one line; a 'general' fit is not possible")
        matrix = cross @ np.linalg.inv(spread)
    shift = mean_x - matrix @ mean_u
    residuals = reference - apply_affine(image, matrix, shift)
    rmse = math.sqrt(float(w @ (residuals[used] ** 2).sum(axis=1)))
    return Fit(matrix, shift, residuals, used, rmse)


def fit_clipped(
    reference: np.ndarray,
    image: np.ndarray,
    geometry: str,
    nclip: int,
    sigma: float,
    weights: np.ndarray | None = None,
) -> Fit:
    """Fit, leave out pairs with large residuals, and fit again.

    Parameters
    ----------
    reference, image : ndarray, (n, 2) float64
        Matched positions.
    geometry : str
        See :func:`fit_affine`.
    nclip : int
        Largest number of clipping rounds.
    sigma : float
        Pairs with residuals of this many ``rmse`` or more are left out.
    weights : ndarray, (n,), or None
        Weights of the pairs.

    Returns
    -------
    Fit
        Of the last round.

    Notes
    -----
    As in the official alignment a round judges only the pairs in use; those left out before come back for one
    round whenever a round leaves others out. A round that leaves out nothing, or too much, ends it.
    """
    allowed = np.ones(len(image), bool) if weights is None else weights > 0
    base = np.ones(len(image)) if weights is None else weights
    fewest = FEWEST[geometry]
    if allowed.sum() < fewest:
        raise ValueError(f"{int(allowed.sum())} matched sources with weight are too few for a '{geometry}' fit")
    if allowed.sum() == fewest:
        nclip = 0
    fit = fit_affine(reference, image, geometry, base * allowed)
    for _ in range(nclip):
        good = np.hypot(*fit.residuals[fit.used].T) < sigma * fit.rmse
        if good.all() or good.sum() < fewest:
            break
        mask = allowed.copy()
        mask[np.flatnonzero(fit.used)[~good]] = False
        fit = fit_affine(reference, image, geometry, base * mask)
    return fit
