"""MIRI's own effects are put into ramps and come out again; a long time series takes no more memory than a short one."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from benchmarks.measure import measure
from jwstsm.sim import simulate_program
from jwstsm.sim.detector import Effects
from jwstsm.sim.miri_chain import MiriEffects
from jwstsm.sim.miri_effects import EMI_CASES, add_emi
from tests.parity.judge import crds_env, run_ours

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

EFFECTS = Effects(cosmic_rays_cm2_s=0.0, miri=MiriEffects(showers_s=0.0))


@dataclasses.dataclass
class Exposure:
    """A simulated uncal file, its truth, and a place for products."""

    uncal: Path
    truth: Path
    folder: Path

    @classmethod
    def of(cls, folder: Path, preset: str, **options) -> Exposure:
        """Simulate the first exposure of a preset."""
        paths = simulate_program(folder, preset=preset, seed=5, **options)
        return cls(paths.uncal[0], paths.truth[0], folder)

    def run(self, label: str, **options) -> dict[str, Path]:
        """Run our detector1 in a process of its own; return the products by suffix."""
        steps = {name: {"skip": False} for name in ("emicorr", "lastframe", "rscd")} | {"refpix": {"skip": True}}
        for name, values in options.items():
            steps[name] = steps.get(name, {}) | values
        out = self.folder / label
        run_ours("detector1", self.uncal, out, crds_env(self.folder), steps)
        return {s: out / self.uncal.name.replace("_uncal", f"_{s}") for s in ("rate", "rateints", "emicorr")}

    def rate_errors(self, products: dict[str, Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return difference to the true rate and claimed error (nints, ny, nx), NaN where flagged, and the true rate."""
        true = np.load(self.truth)["rate_dn_s"]
        with fits.open(products["rateints"]) as hdus:
            good = (hdus["DQ"].data == 0) & (true > 0)
            difference = np.where(good, hdus["SCI"].data - true, np.nan)
            error = np.where(good, hdus["ERR"].data, np.nan)
        return difference, error, true


@pytest.fixture(scope="module")
def subarray(tmp_path_factory):
    """Three integrations of a subarray under the bright sky of a long wavelength, without cosmic rays."""
    filters = {"detectors": (("MIRIMAGE", "F2100W"),)}
    return Exposure.of(tmp_path_factory.mktemp("sub256"), "miri_sub256", effects=EFFECTS, **filters)


@pytest.fixture(scope="module")
def corrected(subarray):
    """Its products with every step on."""
    return subarray.run("all")


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    """A short time series, whose frames do not last whole periods of the interference."""
    return Exposure.of(tmp_path_factory.mktemp("prism"), "miri_prism", effects=EFFECTS, nints=4)


@pytest.fixture(scope="module")
def quiet(prism):
    """Its products with the interference taken out by the joint fit."""
    return prism.run("joint", emicorr={"save_results": True})


def interference(exposure: Exposure) -> np.ndarray:
    """The waves that the simulator added, (nints, ngroups, ny, nx) [DN]."""
    header = fits.getheader(exposure.uncal)
    shape = (header["NINTS"], header["NGROUPS"], header["SUBSIZE2"], header["SUBSIZE1"])
    wave = np.zeros(shape, np.float32)
    case = EMI_CASES[header["SUBARRAY"]]
    phases = {name: (1.0, MiriEffects().emi_phase + 0.21 * k) for k, name in enumerate(case.fast)}
    add_emi(wave, case, phases)
    return wave


def residual_share(exposure: Exposure, products: dict[str, Path]) -> float:
    """Rms of the interference that is left, as a share of what was there; a constant of each pixel does not count."""
    wave = interference(exposure)
    removed = fits.getdata(exposure.uncal, "SCI").astype(np.float32) - fits.getdata(products["emicorr"], "SCI")
    left = removed - wave
    left -= left.mean(axis=1, keepdims=True)
    wave -= wave.mean(axis=1, keepdims=True)
    return float(left.std() / wave.std())


def test_the_joint_fit_leaves_little_interference(prism, quiet):
    assert residual_share(prism, quiet) < 0.05


def test_the_sequential_fit_leaves_less_than_a_quarter(prism):
    made = prism.run("sequential", emicorr={"save_results": True, "algorithm": "sequential"})
    assert residual_share(prism, made) < 0.25


def test_interference_that_stays_spoils_the_slopes(prism, quiet):
    """With it the scatter exceeds the claimed errors, without it both agree."""
    spoilt = prism.run("spoilt", emicorr={"skip": True})
    scatter = []
    for made in (quiet, spoilt):
        difference, error, _ = prism.rate_errors(made)
        scatter.append(np.nanstd((difference / error)[1:]))
    assert scatter[0] == pytest.approx(1.0, abs=0.08)
    assert scatter[1] > scatter[0] + 0.05


def test_slopes_are_unbiased_at_every_flux(subarray, corrected):
    difference, error, true = subarray.rate_errors(corrected)
    edges = np.nanquantile(true[true > 0], [0.0, 0.25, 0.5, 0.75, 0.95, 0.99])
    for low, high in itertools.pairwise(edges):
        here = (true >= low) & (true < high) & np.isfinite(difference).all(axis=0)
        for i in range(len(difference)):
            bias = difference[i][here].mean()
            limit = 5 * error[i][here].mean() / np.sqrt(here.sum()) + 1e-3 * true[here].mean()
            assert abs(bias) < limit, (i, low, bias, limit)


@pytest.mark.parametrize(("step", "integration", "least"), [("reset", 0, 4.0), ("rscd", 2, 0.5), ("lastframe", 0, 4.0)])
def test_each_step_takes_out_a_bias(subarray, corrected, step, integration, least):
    """Without the step the slopes of even rows are wrong by more than ``least`` DN/s, with it by a sixth at most."""
    spoilt = subarray.run(f"no_{step}", **{step: {"skip": True}})
    found = [abs(np.nanmean(subarray.rate_errors(made)[0][integration, ::2])) for made in (corrected, spoilt)]
    assert found[1] > least
    assert found[0] < least / 6


def write_longer(short: Path, path: Path, times: int) -> None:
    """Write an exposure with its integrations ``times`` over, without ever holding all of them."""
    path.parent.mkdir()
    with fits.open(short) as hdus:
        header = hdus["SCI"].header.copy()
        block = hdus["SCI"].data.astype(">u2") ^ np.uint16(1 << 15)  # as FITS stores them
        primary = fits.PrimaryHDU(header=hdus[0].header)
        table = np.tile(np.array(hdus["INT_TIMES"].data), times)
    primary.header["NINTS"] *= times
    header["NAXIS4"] *= times
    table["integration_number"] = np.arange(1, len(table) + 1)
    primary.writeto(path)
    with path.open("ab") as file:
        file.write(header.tostring().encode())
        for _ in range(times):
            file.write(block.tobytes())
        file.write(bytes(-times * block.nbytes % 2880))
    fits.append(path, table, fits.Header({"EXTNAME": "INT_TIMES"}))


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Thirty integrations through the slitless prism, as they are and eight times over."""
    exposure = Exposure.of(tmp_path_factory.mktemp("series"), "miri_prism", nints=30, ngroups=6)
    longer = exposure.folder / "longer_uncal" / exposure.uncal.name
    write_longer(exposure.uncal, longer, 8)
    return exposure, longer


def run_measured(exposure: Exposure, uncal: Path, label: str, limit: int | None = None):
    """Run the command line in a process of its own; return its peak memory [MB]."""
    out = exposure.folder / label
    out.mkdir()
    command = [Path(sys.executable).parent / "jwstsm", "run", "detector1", uncal, "--output-dir", out]
    command += ["--emicorr.skip", "false", "--rscd.skip", "false", "--lastframe.skip", "false"]
    limits = {"JWSTSM_MEMORY_LIMIT": str(limit)} if limit else {}
    return measure(command, env={**crds_env(exposure.folder), **limits}).peak_mb


def test_eight_times_the_integrations_take_the_same_memory(series):
    """From 30 to 240 integrations the arrays grow by 300 MB; what is mapped at a time (32 MB) may be filled, no more."""
    exposure, longer = series
    short = run_measured(exposure, exposure.uncal, "once", 15_000_000)
    long = run_measured(exposure, longer, "eight_times", 15_000_000)
    assert long < short + 40
    assert long < 400


def test_two_thousand_integrations_pass_in_less_than_a_gigabyte(series):
    """A series of 2,010 integrations, 1.8 GB of ramps, repeats the slopes of the 30 that it is made of."""
    exposure, _ = series
    uncal = exposure.folder / "thousands_uncal" / exposure.uncal.name
    write_longer(exposure.uncal, uncal, 67)
    assert run_measured(exposure, uncal, "thousands") < 850
    with fits.open(exposure.folder / "thousands" / uncal.name.replace("_uncal", "_rateints")) as hdus:
        rates = hdus["SCI"].data
        assert rates.shape[0] == 2010
        first, last = (np.nanmedian(rates[i : i + 30], axis=(1, 2)) for i in (30, 1980))
    assert np.isfinite(first).all()
    np.testing.assert_allclose(last, first, rtol=0.01)
    shutil.rmtree(uncal.parent)
    shutil.rmtree(exposure.folder / "thousands")


def test_blocks_of_integrations_give_the_same_bits(series):
    """An exposure in memory at once and one that streams from scratch give identical products."""
    exposure, *_ = series
    run_measured(exposure, exposure.uncal, "at_once", 10**9)
    run_measured(exposure, exposure.uncal, "streamed", 9_000_000)
    for whole in sorted((exposure.folder / "at_once").glob("*.fits")):
        with fits.open(whole) as a, fits.open(exposure.folder / "streamed" / whole.name) as b:
            for name in ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE"):
                np.testing.assert_array_equal(a[name].data, b[name].data)
