"""Memory of detector1 does not grow with the groups of an integration, and what is on scratch files gives the same bits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from benchmarks.long import write_longer
from benchmarks.measure import measure
from jwstsm.sim import simulate_program
from tests.parity.judge import crds_env

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A window of 256 x 256 pixels of NIRISS and its references."""
    folder = tmp_path_factory.mktemp("window")
    return folder, simulate_program(folder, preset="niriss", seed=5).uncal[0]


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """A full frame of NIRCam and its references."""
    folder = tmp_path_factory.mktemp("frame")
    return folder, simulate_program(folder, preset="bench", seed=5, ngroups=3).uncal[0]


def run_measured(program, ngroups: int, limit: int, preset: str, *options: str):
    """Run the command line on an integration of so many groups; return its peak memory [MB] and its products."""
    folder, short = program
    uncal = folder / f"{ngroups}" / short.name
    if not uncal.exists():
        write_longer(short, uncal, ngroups, 1)
    out = folder / f"{preset}_{ngroups}_{limit}"
    out.mkdir()
    command = [Path(sys.executable).parent / "jwstsm", "run", "detector1", uncal, "--output-dir", out, "--preset", preset]
    env = {**crds_env(folder), "JWSTSM_MEMORY_LIMIT": str(limit)}
    command += ["--jump.expand_large_events", "true", *options]
    return measure(command, env=env).peak_mb, sorted(out.glob("*.fits"))


@pytest.mark.parametrize("preset", ["official", "best"])
def test_a_full_frame_of_any_number_of_groups_takes_less_than_a_gigabyte(frame, preset):
    """From 20 to 40 groups the arrays grow by 420 MB; those of 40 are on scratch files, of which 140 MB may be mapped."""
    peaks = [run_measured(frame, ngroups, 420_000_000, preset)[0] for ngroups in (20, 40)]
    assert max(peaks) < 950, peaks
    assert peaks[1] < peaks[0] + 50, peaks


@pytest.mark.parametrize("preset", ["official", "best"])
def test_an_integration_on_scratch_files_gives_the_same_bits(window, preset):
    _, whole = run_measured(window, 20, 10**9, preset)
    _, mapped = run_measured(window, 20, 1_000_000, preset)
    assert len(whole) == len(mapped) == 2
    for one, other in zip(whole, mapped, strict=True):
        with fits.open(one) as a, fits.open(other) as b:
            for name in ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE"):
                assert_array_equal(a[name].data, b[name].data)
