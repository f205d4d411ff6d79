"""ramp_fit: known ramps give known slopes, and every special case its flags."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.dq import (
    CHARGELOSS,
    DO_NOT_USE,
    JUMP_DET,
    NO_GAIN_VALUE,
    PERSISTENCE,
    SATURATED,
)
from jwstsm.stage1.ramp_fit import ramp_fit, select_groups, used_groups
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

BOTH = pytest.mark.parametrize("algorithm", ["OLS_C", "LIKELY"])


def straight(nints=1, ngroups=6, ny=3, nx=4, *, rate=2.0, gain=1.5, noise=8.0, **keywords):
    """Return a noiseless ramp of ``rate`` DN/s with 10 s groups, and its references."""
    ramp = make_ramp(nints, ngroups, ny, nx, **({"TGROUP": 10.0, "TFRAME": 10.0} | keywords))
    time = ramp.readout.group_time_s * np.arange(1, ngroups + 1, dtype=np.float32)
    ramp.data += 100 + rate * time[:, None, None]
    references = {"gain": {"SCI": np.full((ny, nx), gain)}, "readnoise": {"SCI": np.full((ny, nx), noise)}}
    return ramp, FakeReferences(references)


def fit(ramp, refs, **options):
    return ramp_fit(ramp, refs, **options)


@BOTH
def test_a_straight_ramp_gives_its_slope_in_every_integration(algorithm):
    out = fit(*straight(2, rate=3.0), algorithm=algorithm)
    np.testing.assert_allclose(out["rate"].data, 3.0, rtol=1e-6)
    np.testing.assert_allclose(out["rateints"].data, 3.0, rtol=1e-6)
    assert out["rate"].data.shape == (3, 4)
    assert out["rateints"].data.shape == (2, 3, 4)
    assert not out["rate"].dq.any()


def test_variances_follow_the_formulas():
    ramp, refs = straight(rate=2.0, gain=1.5, noise=8.0, ngroups=6)
    out = fit(ramp, refs)["rate"]
    read = 8.0 / np.sqrt(2)  # of one group [DN]
    np.testing.assert_allclose(out.var_rnoise, 12 * (read / 10) ** 2 / (6**3 - 6), rtol=1e-5)
    np.testing.assert_allclose(out.var_poisson, 2.0 / (10 * 1.5 * 5), rtol=1e-5)
    np.testing.assert_allclose(out.err, np.sqrt(out.var_poisson + out.var_rnoise), rtol=1e-6)


def test_dark_current_adds_photon_noise_and_no_slope():
    ramp, refs = straight()
    ramp.average_dark_current = 0.5
    out = fit(ramp, refs)["rate"]
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-6)
    np.testing.assert_allclose(out.var_poisson, 2.5 / (10 * 1.5 * 5), rtol=1e-5)


def test_a_negative_slope_has_no_photon_noise():
    out = fit(*straight(rate=-1.0))["rate"]
    np.testing.assert_allclose(out.data, -1.0, rtol=1e-6)
    assert not out.var_poisson.any()


@BOTH
def test_several_integrations_lower_the_variance(algorithm):
    one = fit(*straight(1), algorithm=algorithm)["rate"]
    four = fit(*straight(4), algorithm=algorithm)["rate"]
    np.testing.assert_allclose(four.var_rnoise, one.var_rnoise / 4, rtol=1e-5)
    np.testing.assert_allclose(four.var_poisson, one.var_poisson / 4, rtol=1e-5)


@BOTH
def test_a_jump_does_not_bend_the_slope(algorithm):
    ramp, refs = straight(ngroups=9)
    ramp.data[0, 4:, 1, 2] += 5000
    ramp.groupdq[0, 4, 1, 2] = JUMP_DET
    out = fit(ramp, refs, algorithm=algorithm)["rate"]
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-5)
    assert out.dq[1, 2] == JUMP_DET
    assert out.var_rnoise[1, 2] > out.var_rnoise[0, 0]
    assert np.count_nonzero(out.dq) == 1


@BOTH
def test_masked_groups_are_inert(algorithm):
    slopes = []
    for wrong in (0, 1e5, np.nan):
        ramp, refs = straight(ngroups=8)
        ramp.data += np.random.default_rng(1).normal(0, 5, ramp.data.shape).astype(np.float32)
        ramp.data[0, 3, 1, 1] += wrong
        ramp.groupdq[0, 3, 1, 1] = DO_NOT_USE
        ramp.data[0, 6:, 2, 2] += wrong
        ramp.groupdq[0, 6:, 2, 2] = SATURATED
        slopes.append(fit(ramp, refs, algorithm=algorithm, **robust(algorithm))["rate"].data)
    np.testing.assert_array_equal(slopes[0], slopes[1])
    np.testing.assert_array_equal(slopes[0], slopes[2])


def robust(algorithm):
    """The official likelihood fit guesses the noise from all differences, flagged ones included."""
    return {"likely_robust": True} if algorithm == "LIKELY" else {}


@BOTH
def test_a_nan_without_a_flag_breaks_the_ramp_and_nothing_more(algorithm):
    ramp, refs = straight(ngroups=8)
    ramp.data[0, 3, 1, 1] = np.nan
    out = fit(ramp, refs, algorithm=algorithm)["rate"]
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-5)
    assert out.var_rnoise[1, 1] > out.var_rnoise[0, 0]


def test_a_pixel_saturated_from_the_start_is_unusable():
    ramp, refs = straight(2)
    ramp.groupdq[:, :, 1, 2] = SATURATED
    ramp.groupdq[0, :, 2, 2] = SATURATED
    out = fit(ramp, refs)
    assert out["rate"].dq[1, 2] == SATURATED | DO_NOT_USE
    assert np.isnan(out["rate"].data[1, 2])
    assert out["rate"].err[1, 2] == out["rate"].var_rnoise[1, 2] == 0
    # one integration is enough for the exposure
    assert out["rateints"].dq[:, 2, 2].tolist() == [SATURATED | DO_NOT_USE, 0]
    assert out["rate"].dq[2, 2] == SATURATED
    assert out["rate"].data[2, 2] == pytest.approx(2.0)


def test_a_ramp_that_saturates_later_keeps_its_slope_and_says_so():
    ramp, refs = straight()
    ramp.groupdq[0, 3:, 1, 2] = SATURATED
    out = fit(ramp, refs)["rate"]
    assert out.data[1, 2] == pytest.approx(2.0)
    assert out.dq[1, 2] == SATURATED


def test_one_good_group_is_given_up_unless_asked_for():
    for suppress, slope in ((True, np.nan), (False, 120 / 10)):
        ramp, refs = straight()
        ramp.groupdq[0, 1:, 1, 2] = SATURATED
        out = fit(ramp, refs, suppress_one_group=suppress)["rate"]
        np.testing.assert_allclose(out.data[1, 2], slope, rtol=1e-6)
        assert bool(out.dq[1, 2] & DO_NOT_USE) == suppress


def test_the_time_of_one_good_group_is_the_mean_of_its_frames():
    ramp, refs = straight(NFRAMES=4, GROUPGAP=1, TGROUP=50.0)
    ramp.groupdq[0, 1:, 1, 2] = SATURATED
    out = fit(ramp, refs, suppress_one_group=False)["rate"]
    assert out.data[1, 2] == pytest.approx(ramp.data[0, 0, 1, 2] / 25.0)


def test_the_zero_frame_helps_where_no_group_is_good():
    ramp, refs = straight(2, NFRAMES=4, GROUPGAP=1, TGROUP=50.0)
    ramp.groupdq[:, :, 1, 2:] = SATURATED
    ramp.zeroframe = np.full((2, 3, 4), 70, np.float32)
    ramp.zeroframe[:, 1, 3] = 0  # saturated there as well
    out = fit(ramp, refs, suppress_one_group=False)["rate"]
    assert out.data[1, 2] == pytest.approx(70 / 10.0)
    assert out.dq[1, 2] == SATURATED
    assert np.isnan(out.data[1, 3])
    assert np.isnan(fit(ramp, refs)["rate"].data[1, 2])


def test_one_group_exposures_are_divided_by_their_time():
    ramp, refs = straight(2, 1)
    ramp.groupdq[0, 0, 1, 2] = SATURATED
    out = fit(ramp, refs)
    np.testing.assert_allclose(out["rate"].data, 120 / 10)
    assert out["rateints"].dq[0, 1, 2] == SATURATED | DO_NOT_USE


def test_two_group_exposures_are_differences():
    ramp, refs = straight(1, 2)
    ramp.data[0, 1, 1, 2] += 30
    out = fit(ramp, refs)["rate"]
    assert out.data[1, 2] == pytest.approx(5.0)
    np.testing.assert_allclose(out.var_rnoise, 12 * (8 / np.sqrt(2) / 10) ** 2 / 6, rtol=1e-5)


def test_charge_loss_leaves_the_read_variance_of_the_whole_ramp():
    whole = fit(*straight(2, ngroups=8))
    ramp, refs = straight(2, ngroups=8)
    ramp.data[0, 4:, 1, 2] -= 40
    ramp.groupdq[0, 4:, 1, 2] = CHARGELOSS | DO_NOT_USE
    out = fit(ramp, refs)
    assert out["rate"].data[1, 2] == pytest.approx(2.0)
    for suffix in ("rate", "rateints"):
        np.testing.assert_allclose(out[suffix].var_rnoise, whole[suffix].var_rnoise, rtol=1e-6)
    assert out["rateints"].var_poisson[0, 1, 2] > whole["rateints"].var_poisson[0, 1, 2]


def test_persistence_is_passed_on_and_changes_nothing():
    ramp, refs = straight()
    ramp.groupdq[0, 2:, 1, 2] = PERSISTENCE
    out = fit(ramp, refs)["rate"]
    assert out.dq[1, 2] == PERSISTENCE
    assert len(np.unique(out.var_rnoise)) == 1


@BOTH
def test_a_pixel_without_gain_is_unusable(algorithm):
    ramp, refs = straight()
    gain = np.full((3, 4), 1.5)
    gain[1, 2], gain[1, 3] = np.nan, 0
    refs["gain"]._content["SCI"] = gain
    out = fit(ramp, refs, algorithm=algorithm)["rate"]
    assert (out.dq[1, 2:] == NO_GAIN_VALUE | DO_NOT_USE).all()
    assert np.isnan(out.data[1, 2:]).all()
    assert np.isfinite(out.data).sum() == 10


@BOTH
def test_a_bad_pixel_of_the_mask_is_unusable(algorithm):
    ramp, refs = straight()
    ramp.pixeldq[1, 2] = DO_NOT_USE
    ramp.groupdq[:, :, 1, 2] = DO_NOT_USE
    out = fit(ramp, refs, algorithm=algorithm)
    assert np.isnan(out["rate"].data[1, 2])
    assert out["rate"].dq[1, 2] == out["rateints"].dq[0, 1, 2] == DO_NOT_USE


def test_only_the_selected_groups_are_used():
    ramp, refs = straight(ngroups=8)
    ramp.data[0, 0] += 500
    ramp.data[0, 7] -= 500
    out = fit(ramp, refs, firstgroup=1, lastgroup=6)["rate"]
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-6)


def test_a_selection_of_nothing_is_ignored_with_a_warning(caplog):
    out = fit(*straight(ngroups=8), firstgroup=5, lastgroup=2)["rate"]
    np.testing.assert_allclose(out.data, 2.0, rtol=1e-6)
    assert "are ignored" in caplog.text
    assert not select_groups(np.zeros((1, 4, 1, 1), np.uint8), 3, 3)


def test_miri_loses_unused_groups_at_the_ends_and_keeps_a_jump_after_them():
    groupdq = np.zeros((1, 8, 2, 2), np.uint8)
    groupdq[:, :2], groupdq[:, 7] = DO_NOT_USE, DO_NOT_USE
    assert used_groups(groupdq, "MIRI") == (2, 7)
    assert used_groups(groupdq, "NIRCAM") == (0, 8)
    groupdq[:, 3:] = DO_NOT_USE
    assert used_groups(groupdq, "MIRI") == (2, 7)
    ramp, refs = straight(ngroups=8, INSTRUME="MIRI")
    ramp.groupdq[:, :2] = DO_NOT_USE
    ramp.groupdq[0, 2, 1, 2] = JUMP_DET
    out = fit(ramp, refs)["rate"]
    assert out.dq[1, 2] == 0
    assert len(np.unique(out.var_rnoise)) == 1


def test_miri_with_one_group_left_is_not_fitted():
    ramp, refs = straight(ngroups=5, INSTRUME="MIRI")
    ramp.groupdq[:, :4] = DO_NOT_USE
    assert isinstance(fit(ramp, refs), Skipped)


def test_an_exposure_that_is_saturated_throughout_is_not_fitted():
    ramp, refs = straight()
    ramp.groupdq[:] = SATURATED
    result = fit(ramp, refs)
    assert isinstance(result, Skipped)
    assert "saturated" in result.reason


def test_short_ramps_asked_for_by_likelihood_are_fitted_by_least_squares(caplog):
    caplog.set_level("INFO")
    few = fit(*straight(ngroups=3), algorithm="LIKELY")["rate"]
    np.testing.assert_array_equal(few.err, fit(*straight(ngroups=3))["rate"].err)
    assert "too few for LIKELY" in caplog.text


def test_the_likelihood_fit_finds_a_hit_by_itself():
    ramp, refs = straight(ngroups=9)
    ramp.data[0, 4:, 1, 2] += 300
    out = fit(ramp, refs, algorithm="LIKELY")["rate"]
    assert out.dq[1, 2] == JUMP_DET
    assert out.data[1, 2] == pytest.approx(2.0, rel=1e-5)
    none = fit(ramp, refs, algorithm="LIKELY", likely_threshold=None)["rate"]
    assert none.dq[1, 2] == 0
    assert none.data[1, 2] > 3


def test_a_hit_within_a_group_of_several_frames_spoils_two_differences():
    ramp, refs = straight(ngroups=9, NFRAMES=4, GROUPGAP=1, TGROUP=50.0)
    ramp.data[0, 4, 1, 2] += 400
    ramp.data[0, 5:, 1, 2] += 800
    out = fit(ramp, refs, algorithm="LIKELY")["rate"]
    assert out.dq[1, 2] == JUMP_DET
    assert out.data[1, 2] == pytest.approx(2.0, rel=1e-5)


def test_robust_likelihood_uses_the_difference_after_a_jump():
    errors = []
    for robust_fit in (False, True):
        ramp, refs = straight(ngroups=9)
        ramp.data[0, 4:, 1, 2] += 5000
        ramp.groupdq[0, 4, 1, 2] = JUMP_DET
        errors.append(fit(ramp, refs, algorithm="LIKELY", likely_robust=robust_fit)["rate"].err[1, 2])
    assert errors[1] < errors[0]


def test_products_have_their_units_tables_and_keywords():
    ramp, refs = straight(2)
    refs["gain"]._content["header"] = {"GAINFACT": 1.25}
    ramp.tables["INT_TIMES"] = np.rec.array([(1, 60000.0)], dtype=[("integration_number", "i4"), ("t", "f8")])
    out = fit(ramp, refs)
    assert out.keys() == {"rate", "rateints"}
    for product in out.values():
        assert product.sci["BUNIT"] == "DN/s"
        assert product.primary["GAINFACT"] == 1.25
        assert product.data.dtype == product.err.dtype == np.float32
        assert product.dq.dtype == np.uint32
    assert not out["rate"].tables
    assert list(out["rateints"].tables) == ["INT_TIMES"]


def test_the_optional_product_describes_every_segment():
    ramp, refs = straight(1, 9)
    ramp.data[0, 4:, 1, 2] += 5000
    ramp.groupdq[0, 4, 1, 2] = JUMP_DET
    found = fit(ramp, refs, save_opt=True)["fitopt"]
    assert found.slope.shape == (1, 2, 3, 4)
    np.testing.assert_allclose(found.slope[0, :, 1, 2], 2.0, rtol=1e-5)
    np.testing.assert_allclose(found.slope[0, :, 0, 0], [2.0, 0.0], rtol=1e-5)
    # 100 DN + 2 DN/s * 10 s at group 0; the second segment starts 5000 DN higher
    np.testing.assert_allclose(found.yint[0, :, 1, 2], [120, 5120], rtol=1e-5)
    np.testing.assert_allclose(found.weights * found.var_rnoise, found.var_rnoise > 0, rtol=1e-6)
    assert found.crmag[0, 0, 1, 2] == 5020
    assert np.count_nonzero(found.crmag) == 1
    np.testing.assert_allclose(found.pedestal, 120 - 2.0, rtol=1e-5)


def test_the_optional_product_of_the_likelihood_fit_holds_its_chi_square():
    ramp, refs = straight(2, 7)
    found = fit(ramp, refs, algorithm="LIKELY", save_opt=True)["fitopt"]
    assert found.chisq.shape == (2, 3, 4)
    assert found.slope.shape == (2, 1, 3, 4)
    np.testing.assert_allclose(found.chisq, 0, atol=1e-6)
    assert found.weights is None
