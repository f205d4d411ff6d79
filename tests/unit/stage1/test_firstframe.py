"""firstframe leaves the first group of MIRI ramps out, and keeps it for pixels that saturate soon."""

from __future__ import annotations

from jwstsm.core.dq import DO_NOT_USE, SATURATED
from jwstsm.stage1.firstframe import firstframe
from jwstsm.step import Skipped
from tests.builders import make_ramp

MIRI = {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "EXP_TYPE": "MIR_IMAGE", "FASTAXIS": 1, "SLOWAXIS": 2}


def test_the_first_group_of_every_integration_is_flagged():
    found = firstframe(make_ramp(2, 6, 4, 4, **MIRI), None).groupdq
    assert (found[:, 0] == DO_NOT_USE).all()
    assert not found[:, 1:].any()


def test_bright_pixels_keep_it():
    ramp = make_ramp(1, 6, 4, 4, **MIRI)
    ramp.groupdq[0, 2:, 1, 1] = SATURATED
    found = firstframe(ramp, None, bright_use_group1=True).groupdq
    assert found[0, 0, 1, 1] == 0
    assert found[0, 0, 0, 0] == DO_NOT_USE


def test_short_ramps_and_other_instruments_are_left_alone():
    assert isinstance(firstframe(make_ramp(1, 3, 4, 4, **MIRI), None), Skipped)
    assert isinstance(firstframe(make_ramp(1, 6, 4, 4), None), Skipped)
