"""Chebyshev series in place of smooth maps."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.wcs.surrogate import fit_surrogate

RANGES = (0.0, 999.0), (10.0, 510.0)


def wavy(x, y):
    """Return a map that no polynomial of low degree has."""
    return np.sin(x / 150) * np.cos(y / 200), np.exp(x / 1000 - y / 700)


def test_a_polynomial_is_reproduced_exactly():
    series = fit_surrogate(lambda x, y: (3 + x * y - 1e-3 * y**3, x - y), *RANGES, 1e-6)
    assert series.coefficients.shape == (2, 6, 6)
    x, y = np.random.default_rng(0).uniform((0, 10), (999, 510), (50, 2)).T
    np.testing.assert_allclose(series.at(x, y), [3 + x * y - 1e-3 * y**3, x - y], rtol=1e-11)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
def test_the_error_stays_below_what_was_asked_for_everywhere(tolerance):
    series = fit_surrogate(wavy, *RANGES, tolerance)
    assert series.error <= tolerance
    x, y = np.arange(1000.0), np.arange(10.0, 511.0)
    error = np.abs(series.on_grid(x, y) - np.stack(wavy(*np.meshgrid(x, y)))).max()
    # the check points are a sample: all points may miss the tolerance by little, never by much
    assert error <= 1.5 * tolerance


def test_a_smaller_tolerance_raises_the_degree():
    sizes = [fit_surrogate(wavy, *RANGES, t).coefficients.shape[-1] for t in (1e-2, 1e-5, 1e-9)]
    assert sizes == sorted(set(sizes))


def test_single_points_and_grids_agree():
    series = fit_surrogate(wavy, *RANGES, 1e-6)
    x, y = np.array([3.0, 700.5]), np.array([11.0, 44.25, 500.0])
    np.testing.assert_allclose(series.on_grid(x, y), series.at(*np.meshgrid(x, y)), atol=1e-13)


@pytest.mark.parametrize(
    "rough",
    [lambda x, y: (np.abs(x - 500.3), y), lambda x, y: (np.where(x > 5, x, np.nan), y)],
    ids=["kink", "hole"],
)
def test_a_map_that_is_not_smooth_is_refused(rough):
    assert fit_surrogate(rough, *RANGES, 1e-4) is None


def test_a_rectangle_of_one_row_is_no_special_case():
    series = fit_surrogate(lambda x, y: (2 * x + y,), (0.0, 9.0), (4.0, 4.0), 1e-9)
    np.testing.assert_allclose(series.on_grid(np.arange(10.0), np.array([4.0]))[0, 0], 2 * np.arange(10) + 4, atol=1e-12)
