"""NIRSpec through both packages' stage 1: traditional and IRS2 frames, subarrays, a time series; and multistripe readouts.

Marker of each test is the preset; the official package takes a minute or two for a full frame.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from jwstsm.sim.program import simulate_program
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
