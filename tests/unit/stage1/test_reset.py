"""reset subtracts the anomaly of the first groups, integration by integration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jwstsm.core.dq import DEAD, UNRELIABLE_DARK
from jwstsm.errors import ReferenceError_
from jwstsm.references import References, Window
from jwstsm.sim.miri_effects import ResetAnomaly, add_reset_anomaly, write_reset
from jwstsm.stage1.reset import reset
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp
from tests.unit.stage1.test_firstframe import MIRI


def anomaly(nints=2, ngroups=3):
    plane = np.arange(nints * ngroups, dtype=np.float32).reshape(nints, ngroups, 1, 1) + 1
    return np.broadcast_to(plane, (nints, ngroups, 4, 4)).copy()


def test_each_integration_gets_its_own_and_later_ones_the_last():
    ramp = make_ramp(3, 5, 4, 4, **MIRI)
    ramp.data += 100
    out = reset(ramp, FakeReferences({"reset": {"SCI": anomaly(), "header": {"NGROUPS": 3, "NINTS": 2}}}))
    assert out.data[:, :, 0, 0].tolist() == [
        [99, 98, 97, 100, 100],
        [96, 95, 94, 100, 100],
        [96, 95, 94, 100, 100],
    ]


def test_without_a_reference_it_is_skipped():
    assert isinstance(reset(make_ramp(1, 5, 4, 4, **MIRI), FakeReferences({"reset": None})), Skipped)


def test_a_later_segment_and_a_later_block_start_with_the_last():
    for place in ({"INTSTART": 4}, {}):
        ramp = make_ramp(1, 5, 4, 4, **MIRI, **place)
        ramp.first_integration = 0 if place else 3
        out = reset(ramp, FakeReferences({"reset": {"SCI": anomaly()}}))
        assert out.data[0, :, 0, 0].tolist() == [-4, -5, -6, 0, 0]


def test_the_header_may_say_that_fewer_groups_are_valid_and_nan_is_nothing():
    given = anomaly()
    given[0, 0, 1, 1] = np.nan
    ramp = make_ramp(1, 5, 4, 4, **MIRI)
    out = reset(ramp, FakeReferences({"reset": {"SCI": given, "header": {"NGROUPS": 2}}}))
    assert out.data[0, :, 0, 0].tolist() == [-1, -2, 0, 0, 0]
    assert out.data[0, :, 1, 1].tolist() == [0, -2, 0, 0, 0]


def test_a_ramp_shorter_than_the_reference_takes_its_first_groups():
    out = reset(make_ramp(1, 2, 4, 4, **MIRI), FakeReferences({"reset": {"SCI": anomaly()}}))
    assert out.data[0, :, 2, 2].tolist() == [-1, -2]


def test_flags_of_the_reference_are_added():
    flags = np.zeros((4, 4), np.uint32)
    flags[1, 2] = UNRELIABLE_DARK
    ramp = make_ramp(1, 5, 4, 4, **MIRI)
    ramp.pixeldq[:] = DEAD
    out = reset(ramp, FakeReferences({"reset": {"SCI": anomaly(), "DQ": flags}}))
    np.testing.assert_array_equal(out.pixeldq, flags | DEAD)


def test_an_image_is_no_reference():
    with pytest.raises(ReferenceError_, match=r"2 axes.*override_reset"):
        reset(make_ramp(1, 5, 4, 4, **MIRI), FakeReferences({"reset": {"SCI": np.zeros((4, 4))}}))


def test_what_the_simulator_puts_in_comes_out_on_a_subarray(tmp_path):
    effect = ResetAnomaly.of((12, 16))
    path = write_reset(tmp_path / "reset.fits", effect, np.zeros((12, 16), np.uint32), SUBSTRT1=1, SUBSTRT2=1)
    ramp = make_ramp(3, 20, 4, 8, **MIRI, SUBSTRT1=5, SUBSTRT2=3)
    cut = dataclasses.replace(effect, size=effect.size[2:6, 4:12])
    add_reset_anomaly(ramp.data, cut)
    assert np.abs(ramp.data).max() > 10
    out = reset(ramp, References({"reset": path}, Window.of(ramp.readout)))
    np.testing.assert_allclose(out.data, 0, atol=1e-5)


def test_other_instruments_are_left_alone():
    assert isinstance(reset(make_ramp(1, 5, 4, 4), None), Skipped)
