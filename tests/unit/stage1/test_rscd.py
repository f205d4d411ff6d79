"""rscd leaves out the first groups that its table names, fewer where a pixel saturates early."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from jwstsm.references import References, Window
from jwstsm.sim.miri_effects import write_rscd
from jwstsm.stage1.rscd import rscd, skip_counts
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


@pytest.mark.parametrize(
    ("asked", "ngroups", "given"),
    [
        ((2, 5), 20, (2, 5)),
        ((2, 5), 8, (2, 5)),
        ((2, 5), 7, (2, 4)),
        ((4, 4), 6, (3, 3)),
        ((2, 5), 5, (1, 1)),
        ((2, 5), 4, (1, 1)),
        ((2, 5), 3, (0, 0)),
        ((-1, 3), 10, (1, 3)),
    ],
)
def test_three_groups_are_left_and_short_ramps_lose_one_at_most(asked, ngroups, given):
    assert skip_counts(*asked, ngroups) == given


def test_two_groups_are_not_touched():
    ramp = make_ramp(1, 2, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    assert isinstance(rscd(ramp, references()), Skipped)
    assert not ramp.groupdq.any()


@pytest.mark.parametrize(("saturates", "left"), [(6, 3), (4, 2), (3, 1), (2, 0), (1, 0), (0, 3)])
def test_how_many_groups_a_pixel_loses_that_saturates_in_a_group(saturates, left):
    ramp = make_ramp(2, 12, 1, 2, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    ramp.groupdq[1, saturates:, 0, 0] = SATURATED
    out = rscd(ramp, references())
    assert flagged(out)[1, 0].tolist() == [left, 3]
    assert bool(out.pixeldq[0, 0] & FLUX_ESTIMATED) == (left < 3)
    assert out.pixeldq[0, 1] == 0


def test_the_header_tells_what_was_done():
    ramp = make_ramp(2, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="SUB256")
    ramp.groupdq[0, 1:, 0, 0] = SATURATED
    ramp.groupdq[1, 3:, 0, :2] = SATURATED
    header = rscd(ramp, references()).primary
    found = [header[k] for k in ("INT1SKIP", "INT2SKIP", "INT1BORS", "INT2BORS", "INT1UGP1", "INT2UGP1")]
    assert found == [2, 4, 1, 2, 1, 0]


def test_blocks_of_integrations_are_flagged_as_the_whole_is():
    rng = np.random.default_rng(3)
    whole = make_ramp(5, 9, 6, 6, **MIRI, READPATT="FASTR1", SUBARRAY="SUB256")
    start = rng.integers(0, 20, (5, 1, 6, 6))
    whole.groupdq[:] = np.where(np.arange(9).reshape(1, -1, 1, 1) >= start, SATURATED, 0)
    parts = [(0, 2), (2, 5)]
    blocks = []
    for first, stop in parts:
        block = make_ramp(stop - first, 9, 6, 6, **MIRI, READPATT="FASTR1", SUBARRAY="SUB256", NINTS=5)
        block.groupdq[:] = whole.groupdq[first:stop]
        block.first_integration = first
        blocks.append(rscd(block, references()))
    expected = rscd(whole, references())
    np.testing.assert_array_equal(np.concatenate([b.groupdq for b in blocks]), expected.groupdq)
    np.testing.assert_array_equal(blocks[0].pixeldq | blocks[1].pixeldq, expected.pixeldq)
    assert "INT2SKIP" in blocks[1].primary
    assert "INT2BORS" not in blocks[1].primary


def test_an_unknown_readout_and_other_instruments_are_left_alone():
    assert isinstance(rscd(make_ramp(1, 12, 4, 4, **MIRI, READPATT="SLOWR1"), references()), Skipped)
    assert isinstance(rscd(make_ramp(1, 12, 4, 4), references()), Skipped)


def test_the_old_name_of_the_slitless_subarray_is_known():
    table = np.array([("SLITLESSPRISM", "FASTR1", 1, 3)], dtype=TABLE.dtype).view(np.recarray)
    ramp = make_ramp(1, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="SUBPRISM")
    assert (flagged(rscd(ramp, FakeReferences({"rscd": {"RSCD_GROUP_SKIP": table}}))) == 1).all()


def test_the_written_reference_is_read(tmp_path):
    path = write_rscd(tmp_path / "rscd.fits", [("FULL", "SLOWR1", 3, 4), ("FULL", "FASTR1", 2, 5)])
    ramp = make_ramp(1, 12, 4, 4, **MIRI, READPATT="FASTR1", SUBARRAY="FULL")
    assert (flagged(rscd(ramp, References({"rscd": path}, Window.of(ramp.readout)))) == 2).all()
