"""From the sky to charge rates."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from jwstsm.sim import geometry, optics, sky
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.instruments import FILTERS

ROW = FILTERS["NIRCAM", "F444W", "CLEAR"]


@pytest.fixture(scope="module")
def view():
    full = geometry.aperture("NIRCAM", "NRCA5_FULL")
    camera = geometry.Camera(
        full, geometry.attitude_at(full.v2_ref, full.v3_ref, 80.0, -60.0, 30.0), full.v2_ref, full.v3_ref
    )
    return build_chip("NRCALONG", Region(1500, 200, 240, 240), 1, 4), camera


def _source(camera, x, y, **columns):
    ra, dec = camera.pixel_to_sky(x, y)
    row = {"kind": "star", "flux_2um": 1e-4, "slope": -1.0, "half_light_arcsec": 0.0, "sersic": 1.0}
    row |= {"axis_ratio": 1.0, "pa_deg": 0.0, "ra": float(ra), "dec": float(dec)} | columns
    return Table([row])


def _calibrated(chip, camera, light):
    """Surface brightness [MJy/sr] as the pipeline would make it, and areas [sr]."""
    rate = light / chip.gain
    with np.errstate(divide="ignore", invalid="ignore"):
        brightness = rate / optics.flat_field(chip, camera, ROW) * ROW.photmjsr
    area = camera.relative_area(*chip.region) * camera.pixel_area_arcsec2 * geometry.ARCSEC**2
    return np.where(chip.response > 0, brightness, 0), area


def test_uniform_sky_is_uniform_after_the_flat(view):
    chip, camera = view
    empty = _source(camera, 1e4, 1e4)[:0]
    brightness, _ = _calibrated(chip, camera, optics.render_light(chip, camera, ROW, empty, 0.4))
    np.testing.assert_allclose(brightness[chip.response > 0], 0.4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["star", "galaxy"])
def test_flux_comes_back_when_brightness_is_summed_over_pixel_areas(view, kind):
    chip, camera = view
    source = _source(camera, 1620.3, 318.7, kind=kind, half_light_arcsec=0.25, sersic=1.8, axis_ratio=0.5, pa_deg=20.0)
    brightness, area = _calibrated(chip, camera, optics.render_light(chip, camera, ROW, source, 0.0))
    lost = (chip.response <= 0).mean()
    flux = 1e-4 * (ROW.pivot_um / 2) ** -1.0
    assert (brightness * area).sum() * 1e6 == pytest.approx(flux, rel=3 * lost + 1e-4)


def test_a_star_falls_on_its_pixel(view):
    chip, camera = view
    light = optics.render_light(chip, camera, ROW, _source(camera, 1600.0, 300.0), 0.0)
    assert np.unravel_index(light.argmax(), light.shape) == (100, 100)


def test_galaxies_lie_along_their_position_angle(view):
    chip, camera = view
    source = _source(camera, 1600.0, 300.0, kind="galaxy", half_light_arcsec=0.6, axis_ratio=0.3, pa_deg=65.0, slope=0.0)
    brightness, _ = _calibrated(chip, camera, optics.render_light(chip, camera, ROW, source, 0.0))
    y, x = np.mgrid[-40:41, -40:41]
    light = brightness[60:141, 60:141]
    xx, yy, xy = ((light * a).sum() / light.sum() for a in (x * x, y * y, x * y))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    step = np.array([np.cos(angle), np.sin(angle)])
    ra, dec = camera.pixel_to_sky(1600 + np.array([0, step[0]]), 300 + np.array([0, step[1]]))
    pa = np.degrees(np.arctan2((ra[1] - ra[0]) * np.cos(np.radians(dec[0])), dec[1] - dec[0])) % 180
    assert pa == pytest.approx(65, abs=1.5)


def test_sources_keep_their_distance_and_the_brightest_come_first():
    crowd = sky.Crowd(stars_arcmin2=300, galaxies_arcmin2=50, separation_arcsec=2.0)
    catalog = sky.draw_catalog(80.0, -60.0, 60.0, crowd, np.random.default_rng(1))
    assert len(catalog) > 300
    vectors = geometry.unit_vector(np.radians(catalog["ra"]), np.radians(catalog["dec"]))
    distance = np.degrees(np.arccos(np.clip(vectors.T @ vectors, -1, 1))) * 3600
    np.fill_diagonal(distance, 99)
    assert distance.min() > 1.99
    assert (np.diff(catalog["flux_2um"]) <= 0).all()
