"""NIRSpec through both packages' stage 1: traditional and IRS2 frames, subarrays, a time series; and multistripe readouts.

Marker of each test is the preset; the official package takes a minute or two for a full frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from jwstsm.sim.program import simulate_program
from jwstsm.sim.reference_files import reference_header
from tests.parity.compare import compare_images, compare_ramps
from tests.parity.judge import crds_env, needs_judge, run_official, run_ours
from tests.parity.test_imaging import check

pytestmark = [pytest.mark.parity, needs_judge, pytest.mark.filterwarnings("ignore")]

LIMITS = yaml.safe_load((Path(__file__).parent / "tolerances.yaml").read_text())
READ_NOISE_DN = 7.0
STEPS = ["dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump"]
# the official package keeps the flags of a moving stripe position by position until refpix makes frames of them
AFTER_COLLATION = STEPS[3:]
PRESETS = {
    "nirspec_full": STEPS,
    "nirspec_irs2": STEPS,
    "nirspec_irs2_averaged": STEPS,
    "nirspec_subs200a1": STEPS,
    "nirspec_sub512": STEPS,
    "stripes": STEPS,
    "superstripes": AFTER_COLLATION,
    "repeated_stripes": AFTER_COLLATION,
}


@pytest.fixture(scope="module", params=PRESETS)
def exposure(request, tmp_path_factory):
    """One exposure through both packages, with the ramp after each step."""
    folder = tmp_path_factory.mktemp(request.param)
    simulate_program(folder, preset=request.param, seed=3)
    (file,) = (folder / "uncal").glob("*_uncal.fits")
    steps = PRESETS[request.param]
    save = {step: {"save_results": True} for step in steps}
    for run, out in ((run_ours, folder / "ours"), (run_official, folder / "official")):
        run("detector1", file, out, crds_env(folder), save)
    return {"ours": folder / "ours", "official": folder / "official", "name": file.name, "steps": steps}


def test_each_step_agrees(exposure):
    found = {}
    for step in exposure["steps"]:
        name = exposure["name"].replace("_uncal", f"_{step}")
        found[step] = compare_ramps(exposure["ours"] / name, exposure["official"] / name, READ_NOISE_DN)
    check(found, LIMITS["ramps"])


@pytest.mark.parametrize("suffix", ["rate", "rateints"])
def test_count_rates_agree(exposure, suffix):
    name = exposure["name"].replace("_uncal", f"_{suffix}")
    check(compare_images(exposure["ours"] / name, exposure["official"] / name), LIMITS["images"])


FLICKER = {
    "lines": {"fit_method": "median"},
    "fourier": {"fit_method": "fft"},
    "fourier, model": {"fit_method": "fft", "background_method": "model", "n_sigma": 3.0},
}


@pytest.fixture(scope="module", params=["nirspec_subs200a1", "nirspec_sub512"])
def subarray(request, tmp_path_factory):
    """One small exposure."""
    folder = tmp_path_factory.mktemp(request.param)
    simulate_program(folder, preset=request.param, seed=3)
    (file,) = (folder / "uncal").glob("*_uncal.fits")
    return folder, file


@pytest.mark.parametrize("way", FLICKER)
def test_flicker_noise_agrees(subarray, way):
    folder, file = subarray
    steps = {"clean_flicker_noise": {"skip": False, "save_results": True, **FLICKER[way]}, "ramp_fit": {"skip": False}}
    outs = [folder / f"{who} {way}" for who in ("ours", "official")]
    for run, out in zip((run_ours, run_official), outs, strict=True):
        run("detector1", file, out, crds_env(folder), steps)
    name = file.name.replace("_uncal", "_clean_flicker_noise")
    assert [fits.getval(out / name, "S_CLNFNS") for out in outs] == ["COMPLETE"] * 2
    found = compare_ramps(outs[0] / name, outs[1] / name, READ_NOISE_DN)
    check({way: found}, LIMITS["ramps"])


def test_picture_frame_and_flicker_noise_of_a_full_frame_agree(tmp_path):
    simulate_program(tmp_path, preset="nirspec_full", seed=3)
    (file,) = (tmp_path / "uncal").glob("*_uncal.fits")
    y, x = np.mgrid[-1:1:2048j, -1:1:2048j]
    pattern = (x**4 + y**4 + 0.1 * x).astype(np.float32)
    reference = tmp_path / "pictureframe.fits"
    header = reference_header("pictureframe", "PictureFrameModel", "NIRSPEC", DETECTOR="NRS1")
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(pattern, name="SCI")]).writeto(reference)
    frame = {"override_pictureframe": str(reference), "mask_science_regions": False}  # the simulation has no slits
    steps = {
        "picture_frame": {"skip": False, "save_results": True, **frame},
        "clean_flicker_noise": {"skip": False, "save_results": True, "fit_method": "fft"},
    }
    for run, who in ((run_ours, "ours"), (run_official, "official")):
        run("detector1", file, tmp_path / who, crds_env(tmp_path), steps)
    found = {}
    for step, keyword in (("picture_frame", "S_PCTFRM"), ("clean_flicker_noise", "S_CLNFNS")):
        name = file.name.replace("_uncal", f"_{step}")
        assert fits.getval(tmp_path / "ours" / name, keyword) == "COMPLETE"
        found[step] = compare_ramps(tmp_path / "ours" / name, tmp_path / "official" / name, READ_NOISE_DN)
    check(found, LIMITS["ramps"])
