"""The distortion reference as a transform: the SIAF polynomials and a well fitted inverse."""

from __future__ import annotations

import numpy as np
from astropy.modeling import models

from jwstsm.sim.geometry import Aperture

__all__ = ["distortion_model"]

INVERSE_DEGREE = 7


def _polynomial(coefficients: np.ndarray) -> models.Polynomial2D:
    """A table of coefficients of x**i y**j as a model."""
    degree = coefficients.shape[0] - 1
    names = {f"c{i}_{j}": float(coefficients[i, j]) for i in range(degree + 1) for j in range(degree + 1 - i)}
    return models.Polynomial2D(degree, **names)


def _linear(matrix: np.ndarray):
    """A (2, 2) matrix as a pair of linear polynomials."""
    return models.Mapping((0, 1, 0, 1)) | (
        models.Polynomial2D(1, c1_0=matrix[0, 0], c0_1=matrix[0, 1])
        & models.Polynomial2D(1, c1_0=matrix[1, 0], c0_1=matrix[1, 1])
    )


def _fit_inverse(aperture: Aperture) -> tuple[np.ndarray, np.ndarray]:
    """Fit polynomials ideal -> science pixel over the detector and a margin; returns two coefficient tables."""
    sides = zip(aperture.shape[::-1], aperture.reference, strict=True)
    x, y = (a.ravel() for a in np.meshgrid(*(np.linspace(-40, size + 40, 61) + 1 - r for size, r in sides)))
    u = np.polynomial.polynomial.polyval2d(x, y, aperture.coefficients_x)
    v = np.polynomial.polynomial.polyval2d(x, y, aperture.coefficients_y)
    scale = max(np.abs(u).max(), np.abs(v).max())
    powers = [(i, j) for i in range(INVERSE_DEGREE + 1) for j in range(INVERSE_DEGREE + 1 - i)]
    design = np.column_stack([(u / scale) ** i * (v / scale) ** j for i, j in powers])
    tables = np.zeros((2, INVERSE_DEGREE + 1, INVERSE_DEGREE + 1))
    for table, target in zip(tables, (x, y), strict=True):
        solution = np.linalg.lstsq(design, target, rcond=None)[0]
        for (i, j), value in zip(powers, solution, strict=True):
            table[i, j] = value / scale ** (i + j)
    return tables[0], tables[1]


def distortion_model(aperture: Aperture):
    """Return the compound model from 0-based full-frame pixels to V2, V3 [arcsec], its inverse attached."""
    centre = [1 - r for r in aperture.reference]
    matrix = aperture.ideal_matrix()
    split = models.Mapping((0, 1, 0, 1))
    forward = (
        models.Shift(centre[0]) & models.Shift(centre[1])
        | split
        | _polynomial(aperture.coefficients_x) & _polynomial(aperture.coefficients_y)
        | _linear(matrix)
        | models.Shift(aperture.v2_ref) & models.Shift(aperture.v3_ref)
    )
    inverse_x, inverse_y = _fit_inverse(aperture)
    forward.inverse = (
        models.Shift(-aperture.v2_ref) & models.Shift(-aperture.v3_ref)
        | _linear(np.linalg.inv(matrix))
        | split
        | _polynomial(inverse_x) & _polynomial(inverse_y)
        | models.Shift(-centre[0]) & models.Shift(-centre[1])
    )
    return forward
