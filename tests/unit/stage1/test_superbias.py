"""superbias subtracts one image from every group and from good pixels of the zero frame."""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq
from jwstsm.references import Window
from jwstsm.stage1.superbias import superbias
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def test_bias_is_subtracted_nan_counts_as_zero_and_flags_are_added():
    ramp = make_ramp(2, 3, 4, 5)
    ramp.data += 50.0
    ramp.data[1, 1, 0, 0] = np.nan
    bias, flags = np.full((4, 5), 20.0), np.zeros((4, 5), np.uint32)
    bias[2, 2], flags[2, 2] = np.nan, dq.UNRELIABLE_BIAS
    superbias(ramp, FakeReferences({"superbias": {"SCI": bias, "DQ": flags}}))
    expected = np.full((2, 3, 4, 5), 30.0)
    expected[:, :, 2, 2] = 50.0
    expected[1, 1, 0, 0] = np.nan
    np.testing.assert_array_equal(ramp.data, expected)
    assert np.argwhere(ramp.pixeldq).tolist() == [[2, 2]]
    assert not ramp.groupdq.any()


def test_zeros_of_the_zero_frame_stay_zero():
    ramp = make_ramp(1, 1, 2, 2)
    ramp.zeroframe = np.array([[[0.0, 25.0], [20.0, 5.0]]], np.float32)
    superbias(ramp, FakeReferences({"superbias": {"SCI": np.full((2, 2), 20.0)}}))
    np.testing.assert_array_equal(ramp.zeroframe, [[[0.0, 5.0], [0.0, -15.0]]])


def test_a_subarray_gets_its_part_of_a_full_bias():
    ramp = make_ramp(1, 1, 3, 4, SUBSTRT1=6, SUBSTRT2=3)
    bias = np.arange(120.0).reshape(10, 12)
    superbias(ramp, FakeReferences({"superbias": {"SCI": bias}}, Window.of(ramp.readout)))
    np.testing.assert_array_equal(ramp.data[0, 0], -bias[2:5, 5:9])


def test_no_reference_skips():
    ramp = make_ramp(1, 1, 2, 2)
    assert isinstance(superbias(ramp, FakeReferences({"superbias": None})), Skipped)
