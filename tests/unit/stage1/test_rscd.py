"""rscd leaves out the first groups that its table names, fewer where a pixel saturates early."""

from __future__ import annotations

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, SATURATED
from jwstsm.stage1.rscd import rscd
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp
from tests.unit.stage1.test_firstframe import MIRI

TABLE = np.array(
    [("FULL", "FASTR1", 1, 3), ("SUB256", "FASTR1", 2, 4)],
    dtype=[("subarray", "U17"), ("readpatt", "U12"), ("group_skip1", "i4"), ("group_skip", "i4")],
).view(np.recarray)


def references():
    return FakeReferences({"rscd": {"RSCD_GROUP_SKIP": TABLE}})


def flagged(ramp):
    return ((ramp.groupdq & DO_NOT_USE) != 0).sum(axis=1)


def test_first_and_later_integrations_lose_the_groups_of_their_row():
    ramp = make_ramp(2, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    found = flagged(rscd(ramp, references()))
    assert (found[0] == 1).all()
    assert (found[1] == 3).all()


def test_a_pixel_that_saturates_early_loses_fewer():
    ramp = make_ramp(2, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    ramp.groupdq[1, 3:, 2, 2] = SATURATED
    found = flagged(rscd(ramp, references()))
    assert found[1, 2, 2] < 3
    assert found[1, 0, 0] == 3


def test_without_a_reference_it_is_skipped():
    ramp = make_ramp(1, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    assert isinstance(rscd(ramp, FakeReferences({"rscd": None})), Skipped)
