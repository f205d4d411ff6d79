"""lastframe leaves the last group of MIRI ramps out."""

from __future__ import annotations

from jwstsm.core.dq import DO_NOT_USE, SATURATED
from jwstsm.stage1.lastframe import lastframe
from jwstsm.step import Skipped
from tests.builders import make_ramp
from tests.unit.stage1.test_firstframe import MIRI


def test_the_last_group_of_every_integration_is_flagged():
    found = lastframe(make_ramp(2, 5, 4, 4, **MIRI), None).groupdq
    assert (found[:, -1] == DO_NOT_USE).all()
    assert not found[:, :-1].any()


def test_short_ramps_and_other_instruments_are_left_alone():
    assert isinstance(lastframe(make_ramp(1, 2, 4, 4, **MIRI), None), Skipped)
    assert isinstance(lastframe(make_ramp(1, 5, 4, 4), None), Skipped)


def test_flags_that_are_there_stay():
    ramp = make_ramp(1, 3, 2, 2, **MIRI)
    ramp.groupdq[0, -1, 0, 0] = SATURATED
    assert lastframe(ramp, None).groupdq[0, -1].tolist() == [[SATURATED | DO_NOT_USE, DO_NOT_USE], [DO_NOT_USE] * 2]
