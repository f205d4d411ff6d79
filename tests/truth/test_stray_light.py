"""What lies over the whole image: wisps taken off by a template, stripes fitted beside the sources of a first mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.products import Slope
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.detector import Effects
from jwstsm.sim.wisps import wisp_pattern, write_wisp_template
from jwstsm.stage2.subtract_wisps import subtract_wisps
from tests.truth.test_near_infrared import CORNER, QUIET, calibrate, take

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SHAPE = {"centre": (128.0, 120.0), "size": 50.0}
STARS = np.random.default_rng(4).uniform(8, 248, (60, 2))
FLUX = 10 ** np.random.default_rng(5).uniform(2.3, 4.3, 60)  # [e-/s]


def scene(stars=STARS, flux=FLUX, width=1.0):
    """Return a level of 1 e-/s and stars."""
    y, x = np.indices((CORNER.ny, CORNER.nx))
    light = np.ones((CORNER.ny, CORNER.nx))
    for (cx, cy), f in zip(stars, flux, strict=True):
        light += f / (2 * np.pi * width**2) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
    return light


def photometry(image, stars, radius=4.0):
    """Return the light in apertures above that in rings around them."""
    y, x = np.indices(image.shape)
    out = []
    for cx, cy in stars:
        r = np.hypot(x - cx, y - cy)
        ring = np.nanmedian(image[(r > 6) & (r < 9)])
        out.append(np.nansum(image[r < radius] - ring))
    return np.array(out)


def flat_fielded(rate: Slope, region: Region, detector: str) -> Slope:
    """Divide by the chip's response."""
    response = build_chip(detector, region, 1, seed=5).response
    rate.data /= np.where(response > 0, response, np.nan)
    return rate


@pytest.mark.parametrize("detector", ["NIS", "NRCA3", "NRCB4"])
def test_wisps_go_and_stars_stay(tmp_path, detector):
    """Less than 2 % of the wisps' light is left, and the stars in them have the fluxes of an image without wisps to 1 %."""
    wisps = wisp_pattern(CORNER, **SHAPE)
    gain = float(np.median(build_chip(detector, CORNER, 1, seed=5).gain))
    write_wisp_template(tmp_path / "f150w.fits", CORNER, **SHAPE)
    images = {}
    for name, light in (("without", scene()), ("with", scene() + 3.0 * wisps)):
        ramp, refs, _ = take(light, 30, detector=detector)
        images[name] = flat_fielded(calibrate(ramp, refs)["rate"], CORNER, detector)
    slope = images["with"]
    before = slope.data.copy()
    done = subtract_wisps(slope, None, template=str(tmp_path / "f150w.fits"))
    assert done.primary["WISPSCAL"] == pytest.approx(3.0 / gain, rel=0.02)
    lit = wisps > 0.3
    clean = images["without"].data
    left = [np.nanmedian((data - clean)[lit]) for data in (before, done.data)]
    assert left[0] > 1.3 / gain
    assert abs(left[1]) < 0.02 * left[0]
    inside = np.array([wisps[int(cy), int(cx)] > 0.1 for cx, cy in STARS])
    assert inside.sum() >= 5
    bias = photometry(done.data, STARS[inside]) / photometry(clean, STARS[inside]) - 1
    assert abs(np.median(bias)) < 0.01


def test_a_mask_from_a_mosaic_keeps_faint_halos_in_the_image(tmp_path):
    """Cleaning moves light about that is below the noise of an exposure, less so beside the sources of a mosaic.

    Next to nothing of the halos goes then, and the stripes still lose a part of their strength.
    """
    halos = np.random.default_rng(9).uniform(30, 226, (8, 2))
    plain = scene()
    light = plain + scene(halos, np.full(8, 6000.0), width=14.0) - 1.0
    background = (light - 1.0 < 0.1).astype("u1")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(background, name="SCI")]).writeto(tmp_path / "x_mask.fits")
    effects = Effects(**{**vars(QUIET), "flicker_dn": 6.0, "common_flicker_dn": 6.0, "poisson": False})
    stripes, moved, lost = {}, {}, {}
    for name, options in (
        ("none", {"skip": True}),
        ("own", {"skip": False}),
        ("mosaic", {"skip": False, "user_mask": str(tmp_path / "x_mask.fits")}),
    ):
        # the same noise with and without halos: their difference is what cleaning does to the halos
        residual = []
        for rate in (light, plain):
            ramp, refs, truth = take(rate, 10, effects)
            residual.append(calibrate(ramp, refs, clean_flicker_noise=options)["rate"].data - truth)
        change = residual[0] - residual[1]
        bright = light - plain > 1.6
        stripes[name] = np.nanstd(np.nanmedian(residual[0], axis=0))
        moved[name] = np.nanstd(np.nanmedian(change, axis=0))
        lost[name] = abs(np.nanmedian(change[bright]))
    assert lost["own"] > 0.2
    assert lost["mosaic"] < 0.05 * lost["own"]
    assert moved["mosaic"] < 0.5 * moved["own"]
    assert stripes["mosaic"] < 0.9 * stripes["none"]
