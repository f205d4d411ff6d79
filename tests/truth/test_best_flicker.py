"""1/f noise under the preset `best`: what is left of it, and what the cleaning takes from extended sources and crowds.

NIRISS in a window whose lines run across the longer axis of the galaxies, NIRCam in whole lines of four amplifiers along
that axis.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from jwstsm.config import preset_options
from jwstsm.sim.chip import Region
from tests.truth.test_near_infrared import QUIET, Effects, calibrate, header_of, stripes, take

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SKY = 1.0
NOISY = Effects(**{**vars(QUIET), "flicker_dn": 3.0, "common_flicker_dn": 6.0, "amplifier_drift_dn": 20.0})
WINDOW, LINES = (Region(0, 0, 512, 512), 1), (Region(0, 0, 2048, 512), 4)
CAMERAS = {"NIS": (*WINDOW, 1.5), "NRCB4": (*LINES, 1.2), "NRCBLONG": (*LINES, 1.2)}
"""Region, amplifiers, width (standard deviation) of a star [pixel]."""
WAYS = ("off", "official", "best")


def options(detector, way):
    """Return the parameters of the step."""
    if way != "best":
        return {"skip": way == "off"}
    return preset_options("best", header_of(detector) | {"TSO": "False"}, "detector1")[1]["clean_flicker_noise"]


def stars(detector, per_pixel):
    """Return stars of 30 to 5000 electrons per second."""
    region, _, width = CAMERAS[detector]
    rng = np.random.default_rng(4)
    light = np.zeros(region.shape)
    y, x = np.indices(region.shape)
    number = int(per_pixel * light.size)
    places = rng.uniform(10, np.array([region.nx, region.ny]) - 10, (number, 2))
    for (cx, cy), flux in zip(places, 10 ** rng.uniform(1.5, 3.7, number), strict=True):
        near = np.s_[max(0, int(cy) - 8) : int(cy) + 9, max(0, int(cx) - 8) : int(cx) + 9]
        light[near] += flux * np.exp(-0.5 * ((x[near] - cx) ** 2 + (y[near] - cy) ** 2) / width**2) / (2 * np.pi * width**2)
    return light


def galaxy(detector, peak, scale):
    """Return an exponential disc in the middle, its longer axis along x [e-/s]."""
    region = CAMERAS[detector][0]
    y, x = np.indices(region.shape)
    return peak * np.exp(-np.hypot((x - region.nx / 2) / scale, (y - region.ny / 2) / (0.7 * scale)))


SCENES = {
    "sky": lambda detector: 0.0,
    "stars": lambda detector: stars(detector, 0.0006),
    "crowd": lambda detector: stars(detector, 0.035),
    "compact galaxy": lambda detector: galaxy(detector, 20.0, 40),
    "faint galaxy": lambda detector: galaxy(detector, 3.0, 100),
    "large galaxy": lambda detector: galaxy(detector, 30.0, 100),
}


@functools.cache
def image(detector, scene, way):
    """Count rate and truth [DN/s] of a scene on the sky, and the status of the step."""
    region, outputs, _ = CAMERAS[detector]
    light = SKY + SCENES[scene](detector)
    ramp, refs, truth = take(light, 4, NOISY, region=region, outputs=outputs, detector=detector)
    rate = calibrate(ramp, refs, refpix={}, jump={"skip": True}, clean_flicker_noise=options(detector, way))["rate"]
    return rate.data, truth, rate.primary["S_CLNFNS"]


def left(detector, scene, way):
    """Return what is left of the stripes along the fast axis [DN/s]."""
    axis = 1 if abs(header_of(detector)["FASTAXIS"]) == 1 else 0
    return stripes(*image(detector, scene, way)[:2], True, axis)


def error_of_light(detector, scene, way):
    """Return the relative error of the light of a scene, against the empty sky with the same noise, where it is bright."""
    (found, truth, _), (empty, dark, _) = image(detector, scene, way), image(detector, "sky", way)
    light, known = found - empty, truth - dark
    here = np.isfinite(light) & (known > 0.3 * np.nanmax(known))
    return light[here].sum() / known[here].sum() - 1


@pytest.mark.parametrize("detector", CAMERAS)
@pytest.mark.parametrize(
    ("scene", "share"), [("sky", 0.35), ("stars", 0.35), ("faint galaxy", 0.35), ("large galaxy", 0.4)]
)
def test_most_of_the_stripes_goes(detector, scene, share):
    found = {way: left(detector, scene, way) for way in WAYS}
    assert found["best"] < share * found["off"]
    assert found["best"] < 1.1 * found["official"]


@pytest.mark.parametrize("detector", CAMERAS)
@pytest.mark.parametrize(("scene", "loss"), [("compact galaxy", 0.01), ("faint galaxy", 0.04), ("large galaxy", 0.03)])
def test_extended_light_is_left_to_its_source(detector, scene, loss):
    assert abs(error_of_light(detector, scene, "best")) < loss


@pytest.mark.parametrize(
    ("detector", "scene"), [("NIS", "compact galaxy"), ("NIS", "faint galaxy"), ("NRCBLONG", "faint galaxy")]
)
def test_the_official_mask_takes_more_light(detector, scene):
    """In windows of compact galaxies too, in whole lines of faint ones."""
    lost = {way: abs(error_of_light(detector, scene, way)) for way in ("official", "best")}
    assert lost["best"] < 0.5 * lost["official"], lost


@pytest.mark.parametrize("detector", CAMERAS)
def test_stars_keep_their_light(detector):
    assert abs(error_of_light(detector, "stars", "best")) < 0.005


@pytest.mark.parametrize("detector", ["NIS", "NRCBLONG"])
def test_crowded_fields_stay_as_they_are(detector):
    found, _, status = image(detector, "crowd", "best")
    assert status == "SKIPPED"
    np.testing.assert_array_equal(found, image(detector, "crowd", "off")[0])


def test_a_crowded_window_is_what_the_preset_keeps_away_from():
    """Most of the stripes stay under the official mask, and the level is wrong."""
    official, truth, _ = image("NIS", "crowd", "official")
    assert left("NIS", "crowd", "official") > 0.8 * left("NIS", "crowd", "off")
    assert np.nanmedian(official - truth) > 0.3


@pytest.mark.parametrize(
    ("exp_type", "tso"),
    [
        ("NRC_TSIMAGE", "True"),
        ("NIS_SOSS", "True"),
        ("NRC_WFSS", "False"),
        ("NRS_FIXEDSLIT", "False"),
        ("MIR_IMAGE", "False"),
    ],
)
def test_modes_without_background_in_their_lines_stay_out(exp_type, tso):
    assert "clean_flicker_noise" not in preset_options("best", {"EXP_TYPE": exp_type, "TSO": tso}, "detector1")[1]
