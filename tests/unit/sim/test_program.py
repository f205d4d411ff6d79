"""Whole programs."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from jwstsm.sim import cli, simulate_program
from jwstsm.sim.detector import Effects
from jwstsm.sim.presets import PRESETS, PointingError
from jwstsm.sim.program import plan_exposures


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_laid_out(name):
    tasks = plan_exposures(PRESETS[name], 1)
    roots = [task.spec.file_root for task in tasks]
    assert len(set(roots)) == len(roots)
    for task in tasks:
        x0, y0, nx, ny = task.region
        assert x0 >= 0
        assert y0 >= 0
        assert x0 + nx <= 2048
        assert y0 + ny <= 2048
    starts = [task.spec.start_mjd for task in tasks]
    assert starts == sorted(starts)


def test_same_seed_same_counts(program, tmp_path):
    options = {"nints": 1, "dithers": ((0.0, 0.0),)}
    one = simulate_program(tmp_path / "one", "tiny", 7, **options)
    two = simulate_program(tmp_path / "two", "tiny", 7, **options)
    other = simulate_program(tmp_path / "other", "tiny", 8, **options)
    data = [fits.getdata(paths.uncal[0], "SCI") for paths in (one, two, other)]
    np.testing.assert_array_equal(data[0], data[1])
    assert (data[0] != data[2]).any()


def test_slopes_of_the_first_and_last_group_are_the_true_rates(tmp_path):
    quiet = Effects(cosmic_rays_cm2_s=0, snowballs_s=0, nonlinearity=False, ipc=False, telegraph_dn=0, amplifier_drift_dn=0)
    paths = simulate_program(tmp_path, "tiny", 3, effects=quiet, ngroups=40, pointing=PointingError(0, 0, 0, 0))
    with fits.open(paths.uncal[0]) as hdus:
        data, header = hdus["SCI"].data[0].astype(float), hdus[0].header
    truth = np.load(paths.truth[0])
    chip = np.load(paths.folder / "truth" / "nrcblong_sub64p_chip.npz")
    time = header["TGROUP"] * (header["NGROUPS"] - 1)
    slope = (data[-1] - data[0]) / time
    expected = truth["rate_dn_s"] + chip["dark_dn_s"]
    good = (chip["flags"] == 0) & (data[-1] < 40000)
    noise = np.sqrt(expected * time / 1.8 + 2 * 50) / time
    pull = ((slope - expected) / noise)[good]
    assert abs(pull.mean()) < 5 / np.sqrt(pull.size)
    assert pull.std() == pytest.approx(1, abs=0.25)


def test_truth_lists_fluxes_in_every_filter_and_an_astrometric_catalogue(program):
    sources = Table.read(program.catalog)
    assert {"flux_F444W", "flux_F200W", "ra", "dec", "kind"} <= set(sources.colnames)
    reference = Table.read(program.folder / "truth" / "refcat.ecsv")
    assert len(reference) == (sources["kind"] == "star").sum()
    for path in program.truth:
        truth = np.load(path)
        assert truth["rate_dn_s"].shape == (64, 64)
        assert (truth["rate_dn_s"] >= 0).all()
        assert truth["cr_group"].shape == truth["cr_electrons"].shape


def test_an_unknown_option_is_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match="ngroup'"):
        simulate_program(tmp_path, "tiny", ngroup=3)


def test_command_line_makes_a_program(tmp_path):
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["sim", "tiny", str(tmp_path), "--seed", "2", "--ngroups", "3"])
    assert arguments.function(arguments) == 0
    (path,) = (tmp_path / "uncal").glob("*_uncal.fits")
    assert fits.getheader(path)["NGROUPS"] == 3
