"""lastframe leaves the last group of MIRI ramps out."""

from __future__ import annotations

from jwstsm.core.dq import DO_NOT_USE
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
