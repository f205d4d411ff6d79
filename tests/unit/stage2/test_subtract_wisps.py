"""subtract_wisps: the factor on the template, what is left alone, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.errors import ConfigError, InputError
from jwstsm.sim.chip import Region
from jwstsm.sim.wisps import wisp_pattern, write_wisp_template
from jwstsm.stage2.subtract_wisps import fit_wisps, subtract_wisps
from jwstsm.step import Skipped
from tests.builders import make_slope

SHAPE = {"centre": (60.0, 70.0), "size": 25.0}
AREA = Region(0, 0, 128, 128)
PATTERN = wisp_pattern(AREA, **SHAPE)
LIT = PATTERN > 0.05


def image(scale, *, stars=40, seed=1):
    """Return noise of 0.01 on a level of 0.3, the pattern times ``scale``, and stars."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(PATTERN.shape)
    data = 0.3 + scale * PATTERN + rng.normal(0, 0.01, PATTERN.shape)
    for _ in range(stars):
        cx, cy, flux = *rng.uniform(0, 128, 2), 10 ** rng.uniform(-0.5, 1.5)
        data += flux * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 4.5)
    return data.astype(np.float32)


def slope_of(data, **keywords):
    slope = make_slope(*data.shape, DETECTOR="NRCB4", FILTER="F200W", PUPIL="CLEAR", **keywords)
    slope.data[:] = data
    return slope


@pytest.mark.parametrize("scale", [0.03, 0.3])
def test_the_factor_is_found_among_stars(scale):
    """In ten images the factor is right to 3 % of the brighter wisps, and to the level of 0.001 for faint ones."""
    found = [fit_wisps(image(scale, seed=k), PATTERN, np.ones(PATTERN.shape, bool)).scale for k in range(10)]
    assert abs(np.mean(found) - scale) < 0.001
    assert np.std(found) < 0.002


def test_what_is_left_of_wisps_is_noise(tmp_path):
    """The light in the arms goes, that of the stars stays: a twentieth of the wisps at most is left in the mean."""
    write_wisp_template(tmp_path / "nrcb4_f200w.fits", AREA, **SHAPE)
    with_wisps, without = image(0.2), image(0.0)
    slope = subtract_wisps(slope_of(with_wisps), None, template=f"{tmp_path}/{{detector}}_{{filter}}.fits")
    before, after = (with_wisps - without)[LIT], (slope.data - without)[LIT]
    assert abs(after.mean()) < 0.02 * before.mean()
    assert np.abs(after).max() < 0.02 * before.max()
    assert slope.primary["WISPSCAL"] == pytest.approx(0.2, rel=0.02)


def test_an_image_without_wisps_is_left_alone(tmp_path):
    write_wisp_template(tmp_path / "t.fits", AREA, **SHAPE)
    data = image(0.0)
    done = subtract_wisps(slope_of(data), None, template=str(tmp_path / "t.fits"))
    assert isinstance(done, Skipped)
    assert np.array_equal(done.product.data, data)


@pytest.mark.parametrize("template", ["", "none_{detector}.fits"])
def test_without_a_template_nothing_is_done(template, tmp_path):
    data = image(0.3)
    done = subtract_wisps(slope_of(data), None, template=template and str(tmp_path / template))
    assert isinstance(done, Skipped)
    assert np.array_equal(done.product.data, data)


def test_a_template_of_the_full_detector_is_cut_to_the_subarray(tmp_path):
    write_wisp_template(tmp_path / "t.fits", Region(0, 0, 2048, 2048))
    window = Region(1200, 600, 128, 128)
    data = 0.1 + 0.5 * wisp_pattern(window)
    slope = slope_of(data, SUBSTRT1=1201, SUBSTRT2=601)
    made = subtract_wisps(slope, None, template=str(tmp_path / "t.fits"), scale=0.5)
    assert np.allclose(made.data, 0.1, atol=1e-6)


def test_pixels_that_may_not_be_used_and_gaps_do_not_shift_the_factor(tmp_path):
    write_wisp_template(tmp_path / "t.fits", AREA, **SHAPE)
    slope = slope_of(image(0.2, stars=0))
    slope.data[40:60, 50:90] = np.nan
    slope.data[70:80] += 50
    slope.dq[70:80] = 1
    made = subtract_wisps(slope, None, template=str(tmp_path / "t.fits"))
    assert made.primary["WISPSCAL"] == pytest.approx(0.2, rel=0.02)


def test_unknown_names_and_images_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="names in braces"):
        subtract_wisps(slope_of(image(0.1)), None, template="{nonsense}.fits")
    fits.PrimaryHDU(np.zeros((50, 50), np.float32)).writeto(tmp_path / "t.fits")
    with pytest.raises(InputError, match="no image of the full detector"):
        subtract_wisps(slope_of(image(0.1)), None, template=str(tmp_path / "t.fits"))
