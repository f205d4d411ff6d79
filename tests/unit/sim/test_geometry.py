"""Apertures, distortion and pointing."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.sim import distortion, geometry
from jwstsm.sim.instruments import DETECTORS

GRID = np.array(np.meshgrid(np.linspace(0, 2047, 12), np.linspace(0, 2047, 12))).reshape(2, -1)


def _grid(name):
    """Positions all over a detector, (2, n) x first."""
    ny, nx = DETECTORS[name].shape
    return np.array(np.meshgrid(np.linspace(0, nx - 1, 12), np.linspace(0, ny - 1, 12))).reshape(2, -1)


def _camera(name, **changes):
    full = geometry.aperture(DETECTORS[name].instrument, DETECTORS[name].full_aperture)
    attitude = geometry.attitude_at(full.v2_ref, full.v3_ref, 80.2, -69.5, 123.4)
    return geometry.Camera(full, attitude, full.v2_ref, full.v3_ref, **changes)


@pytest.mark.parametrize("name", [n for n, row in DETECTORS.items() if row.instrument not in geometry._LINEAR_ARCSEC])
def test_pixels_map_to_v2v3_as_the_siaf_says(name):
    camera = _camera(name)
    grid = _grid(name)
    siaf = geometry._siaf(DETECTORS[name].instrument)[DETECTORS[name].full_aperture]
    expected = siaf.sci_to_tel(grid[0] + 1, grid[1] + 1)
    np.testing.assert_allclose(camera.pixel_to_v(*grid), expected, atol=1e-7)


@pytest.mark.parametrize("name", ["NRCALONG", "NRCB1"])
def test_sky_and_pixel_round_trip_with_aberration_and_filter_offset(name):
    camera = _camera(name, va_scale=1.00007, filter_offset=(0.3, -0.2))
    np.testing.assert_allclose(camera.sky_to_pixel(*camera.pixel_to_sky(*GRID)), GRID, atol=1e-7)


def test_far_away_positions_are_nowhere():
    x, y = _camera("NRCB1").sky_to_pixel(np.array([80.2, 260.2]), np.array([-69.5, 69.5]))
    assert np.isfinite(x[0])
    assert np.isnan([x[1], y[1]]).all()


def test_attitude_puts_the_point_and_the_roll_where_asked():
    attitude = geometry.attitude_at(86.0, -493.0, 10.0, 89.0, 300.0)
    np.testing.assert_allclose(attitude.to_sky(86.0, -493.0), (10.0, 89.0), atol=1e-12)
    assert attitude.roll_at(86.0, -493.0) == pytest.approx(300.0, abs=1e-9)
    np.testing.assert_allclose(attitude.from_sky(10.0, 89.0), (86.0, -493.0), atol=1e-8)


def test_injected_error_moves_the_field_by_what_was_asked():
    attitude = geometry.attitude_at(86.0, -493.0, 80.0, 0.0, 0.0)
    wrong = attitude.disturbed(86.0, -493.0, 0.3, -0.2, 0.01)
    np.testing.assert_allclose(wrong.to_sky(86.0, -493.0), attitude.to_sky(86.3, -493.2), atol=1e-12)
    assert wrong.roll_at(86.0, -493.0) == pytest.approx(0.01, abs=1e-6)


def test_pixel_areas_are_those_of_the_sky():
    camera = _camera("NRCALONG")
    area = camera.relative_area(100, 1800, 3, 2)
    corners_x, corners_y = np.array([99.5, 100.5, 100.5, 99.5]), np.array([1799.5, 1799.5, 1800.5, 1800.5])
    ra, dec = camera.pixel_to_sky(corners_x, corners_y)
    east, north = (ra - ra[0]) * np.cos(np.radians(dec[0])) * 3600, (dec - dec[0]) * 3600
    shoelace = 0.5 * abs(np.dot(east, np.roll(north, -1)) - np.dot(north, np.roll(east, -1)))
    assert area[0, 0] * camera.pixel_area_arcsec2 == pytest.approx(shoelace, rel=2e-5)


@pytest.mark.parametrize("name", [n for n, row in DETECTORS.items() if row.instrument not in geometry._LINEAR_ARCSEC])
def test_distortion_reference_agrees_with_the_camera_and_inverts(name):
    camera = _camera(name)
    model = distortion.distortion_model(camera.full)
    grid = _grid(name)
    np.testing.assert_allclose(model(*grid), camera.pixel_to_v(*grid), atol=1e-9)
    np.testing.assert_allclose(model.inverse(*model(*grid)), grid, atol=1e-3)
