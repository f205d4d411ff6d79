"""MIRI through the official package and through ours, step by step: full frame, subarray, prism series, spectrometer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.sim.detector import Effects
from jwstsm.sim.miri_chain import MiriEffects
from jwstsm.sim.program import simulate_program
from tests.parity.compare import compare_images, compare_ramps, compare_wcs
from tests.parity.judge import crds_env, needs_judge, run_official, run_ours
from tests.parity.test_imaging import check

pytestmark = [pytest.mark.parity, needs_judge, pytest.mark.filterwarnings("ignore")]

LIMITS = yaml.safe_load((Path(__file__).parent / "tolerances.yaml").read_text())
RUNNING = ("dq_init", "saturation", "lastframe", "reset", "linearity", "rscd", "dark_current", "jump")
READ_NOISE_DN = 6.0

# what operations switch by parameter references is set in both packages, so that every step is compared
ON = {step: {"skip": False} for step in ("emicorr", "lastframe", "rscd")} | {"refpix": {"skip": True}}
EMI_PARAMETERS = {
    "joint": {},
    "each": {"fit_ints_separately": True},
    "sequential": {"algorithm": "sequential"},
    "folded": {"algorithm": "sequential", "scale_reference": False, "nbins": 100, "use_n_cycles": 6},
    "unknown": {"onthefly_corr_freq": [390.625, 10.039216]},
}


def options(*saved: str, **steps) -> dict:
    """Return step options with results saved after some steps."""
    out = {name: dict(values) for name, values in ON.items()}
    for name, values in steps.items():
        out.setdefault(name, {}).update(values)
    for name in saved:
        out.setdefault(name, {})["save_results"] = True
    return out


@dataclasses.dataclass
class Exposure:
    """One simulated uncal file and what both packages made of it."""

    file: Path
    env: dict

    @classmethod
    def of(cls, folder: Path, preset: str, **changes) -> Exposure:
        """Simulate the first exposure of a preset."""
        paths = simulate_program(folder, preset=preset, seed=11, **changes)
        return cls(paths.uncal[0], crds_env(folder))

    def run(self, steps: dict, label: str = "all") -> None:
        """Run detector1 of both packages."""
        for run, who in ((run_ours, "ours"), (run_official, "official")):
            run("detector1", self.file, self.folder(who, label), self.env, steps)

    def folder(self, who: str, label: str = "all") -> Path:
        """Folder of the products."""
        return self.file.parent.parent / who / label

    def products(self, suffix: str, label: str = "all") -> tuple[Path, Path]:
        """Return ours and the official product of a suffix."""
        name = self.file.name.replace("_uncal", f"_{suffix}")
        return tuple(self.folder(who, label) / name for who in ("ours", "official"))


@pytest.fixture(scope="module")
def subarray(tmp_path_factory):
    """SUB256, three integrations, without reference pixels, through all steps."""
    exposure = Exposure.of(tmp_path_factory.mktemp("sub256"), "miri_sub256")
    exposure.run(options(*RUNNING, "emicorr", "firstframe", firstframe={"skip": False}))
    return exposure


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    """A time series through the slitless prism."""
    exposure = Exposure.of(tmp_path_factory.mktemp("prism"), "miri_prism", nints=6)
    exposure.run(options(*RUNNING, "emicorr"))
    return exposure


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A full frame of the imager with reference pixels and showers."""
    showers = Effects(miri=MiriEffects(showers_s=0.5))
    exposure = Exposure.of(tmp_path_factory.mktemp("full"), "miri_full", ngroups=9, effects=showers)
    exposure.run(options("emicorr", "refpix", "rscd", "jump", refpix={"skip": False}, jump={"find_showers": True}))
    return exposure


@pytest.fixture(scope="module")
def spectrometer(tmp_path_factory):
    """A full frame of the spectrometer, two integrations."""
    exposure = Exposure.of(tmp_path_factory.mktemp("mrs"), "miri_mrs", ngroups=7)
    exposure.run(options("emicorr", "rscd", "jump"))
    return exposure


def check_ramps(exposure: Exposure, step: str, label: str = "all") -> None:
    """Demand equal ramps and flags after a step, and that it ran in both packages."""
    ours, official = exposure.products(step, label)
    check({step: compare_ramps(ours, official, READ_NOISE_DN)}, LIMITS["ramps"])
    status = [
        {k: v for k, v in fits.getheader(path).items() if k.startswith("S_") and v == "COMPLETE"}
        for path in (ours, official)
    ]
    assert status[0] == status[1]


def check_rates(exposure: Exposure, label: str = "all") -> None:
    """Demand equal count rates, errors and flags."""
    for suffix in ("rate", "rateints"):
        check(compare_images(*exposure.products(suffix, label)), LIMITS["images"])


@pytest.mark.parametrize("step", [*RUNNING, "emicorr", "firstframe"])
def test_each_step_agrees_on_a_subarray(subarray, step):
    check_ramps(subarray, step)


@pytest.mark.parametrize("step", [*RUNNING, "emicorr"])
def test_each_step_agrees_on_a_time_series(prism, step):
    check_ramps(prism, step)


@pytest.mark.parametrize("step", ["emicorr", "refpix", "rscd", "jump"])
def test_steps_agree_on_a_full_frame_with_reference_pixels(full, step):
    check_ramps(full, step)


@pytest.mark.parametrize("step", ["emicorr", "rscd", "jump"])
def test_steps_agree_on_the_spectrometer(spectrometer, step):
    check_ramps(spectrometer, step)


@pytest.mark.parametrize("name", ["subarray", "prism", "full", "spectrometer"])
def test_count_rates_agree(request, name):
    check_rates(request.getfixturevalue(name))


def test_showers_are_found(full):
    """The comparison of flags above is one of showers too: their cores are flagged, far more than the rest of a group."""
    truth = np.load(next((full.file.parent.parent / "truth").glob("*_truth.npz")))["snowballs"]
    y, x = np.mgrid[:1024, :1032]
    flags = [(fits.getdata(path, "GROUPDQ")[0] & dq.JUMP_DET) != 0 for path in full.products("jump")]
    shares = []
    for _, group, centre_y, centre_x, _, radius in truth:
        core = (np.hypot(y - centre_y, x - centre_x) < 0.3 * radius) & (x > 3) & (x < 1028)
        # the first groups and the last are left out by other steps
        if 3 <= group <= 7:
            shares.append([flagged[int(group)][core].mean() for flagged in flags])
    assert len(shares) >= 3
    assert np.median(shares) > 20 * flags[1][3:8].mean()
    np.testing.assert_allclose(*np.transpose(shares), atol=0.01)


@pytest.mark.parametrize("name", EMI_PARAMETERS)
def test_every_way_to_remove_interference_agrees(prism, name):
    stop = {step: {"skip": True} for step in ("jump", "dark_current", "linearity", "reset")}
    prism.run(options("emicorr", emicorr=EMI_PARAMETERS[name], **stop), name)
    check_ramps(prism, "emicorr", name)
    before = fits.getdata(prism.file, "SCI").astype(np.float32)
    assert np.std(fits.getdata(prism.products("emicorr", name)[0], "SCI") - before) > 1.0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("clipped", {"minimum_groups": 3, "minimum_sigclip_groups": 5}),
        ("after", {"after_jump_flag_dn1": 10.0, "after_jump_flag_time1": 1.0}),
        ("showers", {"find_showers": True, "extend_min_area": 40, "extend_snr_threshold": 1.0}),
    ],
)
def test_ways_to_find_jumps_agree(prism, name, values):
    prism.run(options("jump", jump=values), name)
    check_ramps(prism, "jump", name)
    check_rates(prism, name)


@pytest.mark.parametrize(("algorithm", "preset"), [("LIKELY", "miri_sub256")])
def test_likelihood_fits_agree(subarray, algorithm, preset):
    subarray.run(options(ramp_fit={"algorithm": algorithm}), algorithm)
    check_rates(subarray, algorithm)


@pytest.mark.parametrize("ngroups", [1, 2, 3, 5])
def test_short_ramps_agree(tmp_path, ngroups):
    exposure = Exposure.of(tmp_path, "miri_sub256", ngroups=ngroups, nints=2)
    exposure.run(options())
    check_rates(exposure)


def test_calibrated_images_agree_in_pixels_and_world_coordinates(tmp_path):
    exposure = Exposure.of(tmp_path, "miri_imaging", dithers=((0.0, 0.0),))
    run_official("detector1", exposure.file, exposure.folder("official"), exposure.env)
    rate = exposure.products("rate")[1]
    for run, who in ((run_ours, "ours"), (run_official, "official")):
        run("image2", rate, exposure.folder(who), exposure.env)
    ours, official = exposure.products("cal")
    check(compare_images(ours, official), LIMITS["images"])
    assert compare_wcs(ours, official) < LIMITS["wcs_mas"]
    found = compare_images(*exposure.products("i2d"), LIMITS["mosaic"]["tolerance_sigma"])
    check({k: found[k] for k in ("SCI", "WHT")}, LIMITS["mosaic"])
