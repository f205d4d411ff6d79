"""Sky positions of pixels, tangent planes, separations, pixel sizes."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.wcs import sky
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.model import Wcs, detector_frame, sky_frame
from jwstsm.wcs.sphere import FitsImaging
from tests.unit.wcs.scenes import SCALE, apart_mas, exposure


@pytest.mark.parametrize("dec", [-69.5, 0.0, 89.999])
def test_positions_of_all_pixels_are_those_of_the_wcs(tmp_path, dec):
    wcs = imaging_wcs(*exposure(tmp_path, 120, 160, DEC_REF=dec, SUBSTRT1=501))
    got = sky.pixel_to_sky(wcs, (120, 160))
    y, x = np.mgrid[0:120, 0:160].astype(float)
    assert apart_mas(got, wcs(x, y)) < 1e-4 * 63 * 1.5
    part = sky.pixel_to_sky(wcs, (120, 160), 30, 40)
    np.testing.assert_allclose(part, [g[30:40] for g in got], atol=1e-12)
    assert np.all((got[0] >= 0) & (got[0] < 360))


def test_the_tangent_plane_is_that_of_astropy():
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.0, -65.0], [1.0, 1.0]
    ra, dec = np.random.default_rng(0).uniform((5, -67), (15, -63), (30, 2)).T
    east, north = sky.tangent_from_sky(ra, dec, 10.0, -65.0)
    np.testing.assert_allclose(np.rad2deg([east, north]), wcs.wcs_world2pix(ra, dec, 0), atol=1e-11)
    np.testing.assert_allclose(sky.tangent_to_sky(east, north, 10.0, -65.0), (ra, dec), atol=1e-11)


def test_what_lies_behind_the_plane_has_no_coordinates():
    assert np.isnan(sky.tangent_from_sky(190.0, 65.0, 10.0, -65.0)).all()


def test_separations_are_those_of_astropy_from_microarcseconds_to_half_a_turn():
    from astropy.coordinates import angular_separation

    rng = np.random.default_rng(5)
    ra, dec = rng.uniform((0, -90), (360, 90), (40, 2)).T
    for size in (1e-10, 1e-3, 90.0):
        other = ra + size, np.clip(dec + size * rng.normal(size=40), -90, 90)
        expected = np.rad2deg(angular_separation(*np.deg2rad([ra, dec, *other])))
        np.testing.assert_allclose(sky.separation_deg(ra, dec, *other), expected, rtol=1e-4, atol=1e-12)


def test_the_pixel_scale_of_a_known_grid_is_found():
    grid = Wcs([(detector_frame(), FitsImaging((50, 50), (80, -70), (1e-5, 2e-5), np.eye(2))), (sky_frame(), None)])
    assert sky.pixel_scale_deg(grid, 80.0, -70.0) == pytest.approx(np.sqrt(2) * 1e-5, rel=1e-8)


def test_the_mean_area_is_the_sum_of_the_solid_angles_of_the_pixels(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path, 61, 81, SUBSTRT1=201, SUBSTRT2=301))
    ra, dec = np.deg2rad(sky.pixel_to_sky(wcs, (61, 81), tolerance=1e-9))
    # solid angles of the quadrilaterals between pixel centres, by the flat approximation, which is good enough for one
    x, y = ra * np.cos(dec.mean()), np.sin(dec) / np.cos(dec.mean())
    a = np.array([x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]])
    b = np.array([x[1:, :-1] - x[:-1, 1:], y[1:, :-1] - y[:-1, 1:]])
    expected = (0.5 * np.abs(a[0] * b[1] - a[1] * b[0])).mean()
    assert sky.mean_pixel_area_sr(wcs, (61, 81)) == pytest.approx(expected, rel=1e-6)
    assert np.sqrt(expected) == pytest.approx(np.deg2rad(SCALE / 3600), rel=0.02)


def test_an_image_without_area_is_refused(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path, 2, 1))
    with pytest.raises(InputError, match="2 x 2"):
        sky.mean_pixel_area_sr(wcs, (2, 1))
