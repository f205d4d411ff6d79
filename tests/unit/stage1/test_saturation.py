"""saturation flags a ramp from its first saturated group on, with neighbours, and the rules for averaged groups."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.references import Window
from jwstsm.stage1.saturation import dilution_factors, saturation
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def references(threshold=1000.0, shape=(7, 8), flags=None, bias=None):
    flags = np.zeros(shape, np.uint32) if flags is None else flags
    return FakeReferences(
        {
            "saturation": {"SCI": np.full(shape, threshold) if np.isscalar(threshold) else threshold, "DQ": flags},
            "superbias": None if bias is None else {"SCI": bias},
        }
    )


def ramp_of(values, y=3, x=4, background=100.0, **keywords):
    """Return a ramp of a constant background with the given counts in one pixel."""
    ramp = make_ramp(1, len(values), 7, 8, **keywords)
    ramp.data[:] = background
    ramp.data[0, :, y, x] = values
    return ramp


def test_flags_start_at_the_first_group_at_the_threshold_and_never_end():
    ramp = ramp_of([200, 1000, 500, 1200])
    saturation(ramp, references(), n_pix_grow_sat=0)
    assert ramp.groupdq[0, :, 3, 4].tolist() == [0, dq.SATURATED, dq.SATURATED, dq.SATURATED]
    assert np.count_nonzero(ramp.groupdq) == 3


@pytest.mark.parametrize("grow", [1, 2])
def test_neighbours_are_flagged_in_the_same_groups_also_at_the_corner(grow):
    ramp = ramp_of([200, 300, 1200], y=0, x=0)
    saturation(ramp, references(), n_pix_grow_sat=grow)
    flagged = np.zeros((7, 8), bool)
    flagged[: grow + 1, : grow + 1] = True
    np.testing.assert_array_equal(ramp.groupdq[0, 2] == dq.SATURATED, flagged)
    assert not ramp.groupdq[0, :2].any()


def test_integrations_are_judged_apart():
    ramp = make_ramp(2, 3, 7, 8)
    ramp.data[:] = 100.0
    ramp.data[0, 1, 3, 4] = 2000.0
    saturation(ramp, references())
    assert ramp.groupdq[0, 1:].any()
    assert not ramp.groupdq[1].any()


def test_counts_at_or_below_zero_are_at_the_floor_in_that_group_only():
    ramp = ramp_of([5, 0, -3, 5])
    saturation(ramp, references())
    assert ramp.groupdq[0, :, 3, 4].tolist() == [0, 65, 65, 0]
    assert np.count_nonzero(ramp.groupdq) == 2


def test_unknown_thresholds_flag_nothing_but_are_flagged():
    threshold, flags = np.full((7, 8), 1000.0), np.zeros((7, 8), np.uint32)
    threshold[3, 4] = np.nan
    flags[5, 5] = dq.NO_SAT_CHECK
    ramp = make_ramp(1, 3, 7, 8)
    ramp.data[:] = 100.0
    ramp.data[0, :, 3, 4] = ramp.data[0, :, 5, 5] = 65535.0
    saturation(ramp, references(threshold, flags=flags))
    assert not ramp.groupdq.any()
    assert np.argwhere(ramp.pixeldq == dq.NO_SAT_CHECK).tolist() == [[3, 4], [5, 5]]


def test_nan_counts_are_neither_saturated_nor_at_the_floor():
    ramp = ramp_of([np.nan, np.nan, np.nan])
    saturation(ramp, references())
    assert not ramp.groupdq.any()


def test_an_all_saturated_exposure_is_flagged_throughout():
    ramp = make_ramp(2, 3, 7, 8, NFRAMES=4)
    ramp.data[:] = 65535.0
    saturation(ramp, references())
    assert np.all(ramp.groupdq == dq.SATURATED)


def test_one_group_and_no_group_before_it_are_fine():
    ramp = ramp_of([2000.0], NFRAMES=4)
    saturation(ramp, references())
    assert np.count_nonzero(ramp.groupdq == dq.SATURATED) == 9


def test_dilution_is_the_mean_over_the_last_frame():
    np.testing.assert_allclose(dilution_factors(3, 4), [2.5 / 4, 6.5 / 8, 10.5 / 12])
    assert np.all(dilution_factors(5, 1) == 1.0)


def test_a_group_that_saturated_in_its_last_frames_is_unusable_with_its_neighbours():
    # dilution of the third group of 4 frames is 10.5 / 12: 900 is above 875, below 1000
    ramp = ramp_of([100, 500, 900, 1100], NFRAMES=4)
    saturation(ramp, references())
    assert ramp.groupdq[0, :, 3, 4].tolist() == [0, 0, dq.DO_NOT_USE, dq.SATURATED]
    assert np.count_nonzero(ramp.groupdq[0, 2] == dq.DO_NOT_USE) == 9
    below = ramp_of([100, 500, 870, 1100], NFRAMES=4)
    saturation(below, references())
    assert not below.groupdq[0, 2].any()
    off = ramp_of([100, 500, 900, 1100], NFRAMES=4)
    saturation(off, references(), use_readpatt=False)
    assert not off.groupdq[0, 2].any()


def test_a_group_that_is_unusable_already_starts_no_growth():
    ramp = ramp_of([100, 500, 900, 1100], NFRAMES=4)
    ramp.groupdq[0, :, 3, 4] = dq.DO_NOT_USE
    saturation(ramp, references())
    assert np.count_nonzero(ramp.groupdq[0, 2]) == 1


def test_a_jump_in_the_second_group_that_saturates_the_third_makes_the_second_unusable():
    # from 100 to 390: more than (1000 - 100) / 4 in one group, and the first promised no more than 100 / 2.5 * 12
    ramp = ramp_of([100, 390, 1100, 1200], NFRAMES=4)
    saturation(ramp, references())
    assert ramp.groupdq[0, :, 3, 4].tolist() == [0, dq.DO_NOT_USE, dq.SATURATED, dq.SATURATED]
    assert np.count_nonzero(ramp.groupdq[0, 1]) == 1
    gentle = ramp_of([100, 310, 1100, 1200], NFRAMES=4)
    saturation(gentle, references())
    assert not gentle.groupdq[0, 1].any()


def test_the_second_group_is_kept_where_the_first_promised_saturation_above_the_bias():
    # without a bias the first group promises 210 / 2.5 * 12 = 1008; with 100 of bias only 628
    values = [210, 480, 1100, 1200]
    bright, faint = ramp_of(values, NFRAMES=4), ramp_of(values, NFRAMES=4)
    saturation(bright, references())
    assert not bright.groupdq[0, 1].any()
    saturation(faint, references(bias=np.full((7, 8), 100.0)))
    assert faint.groupdq[0, 1, 3, 4] == dq.DO_NOT_USE
    unknown = ramp_of(values, NFRAMES=4)
    saturation(unknown, references(bias=np.full((7, 8), np.nan)))
    assert not unknown.groupdq[0, 1].any()


def test_bad_pixels_of_the_zero_frame_become_zero_and_saturated_ones_take_their_neighbours():
    ramp = make_ramp(1, 2, 7, 8)
    ramp.data[:] = 100.0
    ramp.zeroframe = np.full((1, 7, 8), 50.0, np.float32)
    ramp.zeroframe[0, 1, 1] = 5000.0
    ramp.zeroframe[0, 5, 5] = -1.0
    saturation(ramp, references())
    zero = np.zeros((7, 8), bool)
    zero[0:3, 0:3] = zero[5, 5] = True
    np.testing.assert_array_equal(ramp.zeroframe[0] == 0, zero)
    assert np.all(ramp.zeroframe[0][~zero] == 50.0)


def test_a_subarray_gets_its_part_of_full_references():
    ramp = make_ramp(1, 2, 3, 4, SUBSTRT1=6, SUBSTRT2=3)
    ramp.data[:] = 100.0
    threshold = np.full((10, 12), 1000.0)
    threshold[2 + 1, 5 + 2] = 90.0
    refs = FakeReferences({"saturation": {"SCI": threshold}, "superbias": None}, Window.of(ramp.readout))
    saturation(ramp, refs, n_pix_grow_sat=0)
    assert np.argwhere(ramp.groupdq[0, 0]).tolist() == [[1, 2]]


def test_flags_that_are_there_stay_and_a_second_run_changes_nothing():
    ramp = ramp_of([100, 500, 900, 1100], NFRAMES=4)
    ramp.groupdq[0, 0, 6, 7] = dq.JUMP_DET
    saturation(ramp, references())
    once = ramp.groupdq.copy()
    assert once[0, 0, 6, 7] == dq.JUMP_DET
    saturation(ramp, references())
    np.testing.assert_array_equal(ramp.groupdq, once)


def test_no_reference_skips():
    ramp = ramp_of([2000.0, 2000.0])
    assert isinstance(saturation(ramp, FakeReferences({"saturation": None, "superbias": None})), Skipped)
    assert not ramp.groupdq.any()
