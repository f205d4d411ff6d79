"""guider_cds differences the frames of every guide-star mode; a flight acquisition goes through."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.products import Guider, read, write
from jwstsm.stage1.guider_cds import difference_frames, guider_cds, rate_errors
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

FGS = {"INSTRUME": "FGS", "DETECTOR": "GUIDER2", "FASTAXIS": 2, "SLOWAXIS": -1, "TFRAME": 0.25, "TGROUP": 0.5}
FLIGHT = (
    Path(os.environ.get("JWSTSM_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
    / "science"
    / "jw01019001001_gs-acq1_2022117003102_uncal.fits"
)


def references(ny=4, nx=6, gain=2.0, noise=3.0):
    return FakeReferences({"gain": {"SCI": np.full((ny, nx), gain)}, "readnoise": {"SCI": np.full((ny, nx), noise)}})


def ramp(exp_type, nints=2, ngroups=2, seed=0):
    made = make_ramp(nints, ngroups, 4, 6, **FGS, EXP_TYPE=exp_type)
    made.data[:] = np.random.default_rng(seed).integers(500, 3000, made.data.shape)
    return made


@pytest.mark.parametrize("exp_type", ["FGS_ACQ1", "FGS_ACQ2", "FGS_TRACK"])
def test_pairs_of_groups_are_differenced(exp_type):
    made = ramp(exp_type, nints=5)
    out = guider_cds(made, references())["cal"]
    assert isinstance(out, Guider)
    np.testing.assert_array_equal(out.data, (made.data[:, 1] - made.data[:, 0]) / np.float32(0.5))
    signal = np.maximum(made.data[:, 1] - made.data[:, 0], 0)
    np.testing.assert_allclose(out.err, np.sqrt(2 * (3 / 0.5) ** 2 + signal / (2 * 0.5)), rtol=1e-6)
    assert out.sci["BUNIT"] == "DN/s"


@pytest.mark.parametrize("exp_type", ["FGS_ID-IMAGE", "FGS_ID-STACK"])
def test_identification_takes_the_lower_of_two_integrations(exp_type):
    made = ramp(exp_type)
    made.data[1, 1, 2, 2] += 1e4  # a cosmic ray
    out = guider_cds(made, references())["cal"]
    assert out.data.shape == out.err.shape == (1, 4, 6)
    change = made.data[:, 1] - made.data[:, 0]
    np.testing.assert_array_equal(out.data[0], change.min(axis=0) / np.float32(0.5))
    assert out.data[0, 2, 2] == change[0, 2, 2] / 0.5


def test_fine_guide_takes_the_means_of_four_reads():
    made = ramp("FGS_FINEGUIDE", nints=3, ngroups=8)
    out = guider_cds(made, references())["cal"]
    expected = (made.data[:, 4:].mean(axis=1) - made.data[:, :4].mean(axis=1)) / 0.5
    np.testing.assert_allclose(out.data, expected, rtol=1e-6)


def test_stacked_strips_take_the_mean_of_references_that_do_not_fit():
    gain = np.full((50, 50), 2.0)
    gain[0, 0] = np.nan
    given = FakeReferences({"gain": {"SCI": gain}, "readnoise": {"SCI": np.full((50, 50), 3.0)}})
    made = ramp("FGS_ID-STACK")
    expected = guider_cds(ramp("FGS_ID-STACK"), references())["cal"]
    np.testing.assert_allclose(guider_cds(made, given)["cal"].err, expected.err, rtol=1e-6)


def test_a_gain_of_zero_gives_no_finite_error_and_no_warning():
    change = np.array([[[10.0, -10.0, 0.0]]], np.float32)
    err = rate_errors(change, np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32), 1.0)
    assert np.isinf(err[0, 0, 0])
    assert np.isfinite(err[0, 0, 1])
    assert np.isnan(err[0, 0, 2])


def test_more_integrations_than_two_do_not_change_an_identification():
    data = np.random.default_rng(1).normal(0, 1, (4, 2, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(difference_frames(data, "lowest"), difference_frames(data[:2], "lowest"))


def test_flags_headers_and_other_tables_are_kept_and_the_file_is_read_again(tmp_path):
    made = ramp("FGS_TRACK")
    made.pixeldq[1, 2] = 5
    made.primary["GDSTARID"] = "S4FM000053"
    out = guider_cds(made, references())["cal"]
    again = read(write(out, tmp_path / "a_cal.fits", "cal"))
    assert isinstance(again, Guider)
    assert again.primary["DATAMODL"] == "GuiderCalModel"
    assert again.primary["GDSTARID"] == "S4FM000053"
    assert again.dq[1, 2] == 5
    np.testing.assert_array_equal(again.data, out.data)


def test_what_is_not_guide_star_data_or_has_no_reference_is_left_alone():
    assert isinstance(guider_cds(make_ramp(1, 2, 4, 6), references()), Skipped)
    given = FakeReferences({"gain": None, "readnoise": {"SCI": np.ones((4, 6))}})
    assert isinstance(guider_cds(ramp("FGS_ACQ1"), given), Skipped)


@pytest.mark.parametrize(("exp_type", "ngroups"), [("FGS_ACQ1", 1), ("FGS_FINEGUIDE", 7)])
def test_too_few_groups_are_an_error(exp_type, ngroups):
    with pytest.raises(InputError, match="NGROUPS"):
        guider_cds(ramp(exp_type, ngroups=ngroups), references())


@pytest.mark.skipif(not FLIGHT.exists(), reason="the flight acquisition file is not here")
def test_a_flight_acquisition_shows_its_star():
    made = read(FLIGHT)
    out = guider_cds(made, references(128, 128))["cal"]
    assert out.data.shape == (6, 128, 128)
    assert np.isfinite(out.err).all()
    brightest = {np.unravel_index(np.argmax(plane), plane.shape) for plane in out.data}
    assert len(brightest) <= 3  # it hardly moves
