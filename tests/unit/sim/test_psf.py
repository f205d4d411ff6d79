"""Point-spread function."""

from __future__ import annotations

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from jwstsm.sim import psf


@pytest.fixture(scope="module")
def spread():
    return psf.point_spread(4.4, 1.0, 0.063, radius=20)


def test_flux_is_exact_wherever_a_star_falls_in_its_pixel(spread):
    generator = np.random.default_rng(1)
    for x, y in generator.uniform(28, 32, (20, 2)):
        image = np.zeros((60, 61))
        psf.render_points(image, spread, [x], [y], [7.0])
        assert image.sum() == pytest.approx(7.0, rel=1e-7)
        yy, xx = np.mgrid[:60, :61]
        assert (image * xx).sum() / 7.0 == pytest.approx(x, abs=2e-6)
        assert (image * yy).sum() / 7.0 == pytest.approx(y, abs=2e-6)


def test_pixels_agree_with_direct_integration_of_the_fine_cells(spread):
    image = np.zeros((41, 41))
    psf.render_points(image, spread, [20.0], [20.0], [1.0])
    over = psf.OVERSAMPLE
    direct = spread.fine.reshape(41, over, 41, over).sum((1, 3))
    np.testing.assert_allclose(image, direct, atol=1e-14)


def test_a_star_over_the_edge_gives_what_falls_inside(spread):
    whole, part = np.zeros((80, 80)), np.zeros((80, 40))
    psf.render_points(whole, spread, [38.7], [40.2], [1.0])
    psf.render_points(part, spread, [38.7], [40.2], [1.0])
    np.testing.assert_array_equal(part, whole[:, :40])
    psf.render_points(part, spread, [5000.0], [40.0], [1.0])
    np.testing.assert_array_equal(part, whole[:, :40])


def test_encircled_energy_grows_to_one_and_matches_aperture_sums(spread):
    radius, energy = psf.encircled_energy(spread, resampled=False)
    assert (np.diff(energy) >= 0).all()
    assert energy[-1] == pytest.approx(1, abs=1e-6)
    x, y = 30 + (np.indices((8, 8)).reshape(2, -1) + 0.5) / 8 - 0.5
    places = np.linspace(1.5, 8, 5)
    total = []
    for star in zip(x, y, strict=True):
        image = np.zeros((61, 61))
        psf.render_points(image, spread, star[:1], star[1:], [1.0])
        total.append([aperture_photometry(image, CircularAperture(star, r))["aperture_sum"][0] for r in places])
    np.testing.assert_allclose(np.mean(total, axis=0), np.interp(places, radius, energy), atol=0.001)


def test_drizzling_widens_stars_by_two_more_pixels(spread):
    """Second moments add up: a box of one pixel has a twelfth along each axis."""
    (radius, wide), (_, narrow) = (psf.encircled_energy(spread, resampled=drizzled) for drizzled in (True, False))
    shift = np.trapezoid(narrow - wide, radius**2)
    assert shift == pytest.approx(2 * 2 / 12, rel=0.05)


def test_resolution_follows_wavelength():
    short, long = (psf.point_spread(wave, 0.2, 0.03, radius=24) for wave in (1.5, 3.0))
    assert psf.full_width(long) / psf.full_width(short) == pytest.approx(2, rel=0.25)
