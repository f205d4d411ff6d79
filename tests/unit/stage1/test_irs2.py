"""Science rows of IRS2 frames, and what saturation and ipc make of the pixels between them."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.stage1._irs2 import is_irs2, science_rows
from jwstsm.stage1.ipc import ipc
from jwstsm.stage1.saturation import saturation
from tests.builders import FakeReferences, make_ramp

KEYWORDS = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "FASTAXIS": 2, "SLOWAXIS": 1, "READPATT": "NRSIRS2RAPID"}


@pytest.fixture
def frame():
    """Return an IRS2 ramp of 3200 rows and few columns, away from the edges of the slow axis."""
    return make_ramp(1, 3, 3200, 6, SUBSTRT1=500, **KEYWORDS)


def test_science_rows_follow_the_reference_output_and_skip_the_interleaved_pixels(frame):
    rows = science_rows(frame)
    assert is_irs2(frame)
    assert rows.size == 2048
    assert rows[0] == 640
    # 8 science rows, 4 reference rows, then 16 and 4 in turn
    assert rows[:9].tolist() == [*range(640, 648), 652]
    assert rows[8:25].tolist() == [*range(652, 668), 672]
    assert rows[-1] == 3199


def test_the_other_reading_direction_is_the_mirror_image(frame):
    other = make_ramp(1, 1, 3200, 2, **(KEYWORDS | {"FASTAXIS": -2, "SLOWAXIS": -1}))
    np.testing.assert_array_equal(science_rows(other), 3199 - science_rows(frame)[::-1])


def test_other_frames_are_all_science_rows():
    assert science_rows(make_ramp(1, 1, 7, 5)).tolist() == list(range(7))


def test_saturation_grows_over_the_gap_between_science_rows(frame):
    frame.data[:] = 100.0
    frame.data[0, 1:, 647, 3] = 5000.0
    frame.data[0, :, 649, 1] = 60000.0  # an interleaved reference pixel is never looked at
    refs = FakeReferences({"saturation": {"SCI": np.full((2048, 6), 1000.0)}, "superbias": {"SCI": np.zeros((3200, 6))}})
    saturation(frame, refs)
    flagged = np.argwhere(frame.groupdq[0, 2])
    assert sorted(set(flagged[:, 0].tolist())) == [646, 647, 652]
    assert sorted(set(flagged[:, 1].tolist())) == [2, 3, 4]
    assert not frame.groupdq[0, 0].any()


def test_the_second_group_rule_flags_saturation_with_neighbours():
    frame = make_ramp(1, 3, 3200, 6, SUBSTRT1=500, NFRAMES=4, **KEYWORDS)
    frame.data[:] = 100.0
    frame.data[0, :, 700, 3] = [100, 390, 1100]
    refs = FakeReferences({"saturation": {"SCI": np.full((2048, 6), 1000.0)}, "superbias": None})
    saturation(frame, refs)
    assert frame.groupdq[0, 1, 700, 3] == dq.SATURATED
    assert np.count_nonzero(frame.groupdq[0, 1]) == 9


def test_ipc_reaches_over_the_gap(frame):
    frame.data[0, 0, 647, 3] = 100.0
    kernel = np.array([[0, 0.1, 0], [0, 1.0, 0], [0, 0.2, 0]])
    ipc(frame, FakeReferences({"ipc": {"SCI": kernel}}))
    column = frame.data[0, 0, :, 3]
    assert np.flatnonzero(column).tolist() == [646, 647, 652]
    assert column[652] == pytest.approx(20.0)
