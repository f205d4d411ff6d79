"""persistence opens a window at the first saturated group and hands it on to later integrations and exposures."""

from __future__ import annotations

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, PERSISTENCE, SATURATED
from jwstsm.stage1.persistence import persistence, read_windows, windows_outside, write_windows
from jwstsm.step import Skipped
from tests.builders import make_ramp


def ramp(nints=2, start_mjd=60000.0):
    made = make_ramp(nints, 4, 3, 3, EXPSTART=start_mjd, EFFINTTM=40.0, TGROUP=10.0, TFRAME=10.0)
    return made


def test_without_a_window_length_nothing_is_done():
    assert isinstance(persistence(ramp(), None), Skipped)


def test_groups_within_the_window_after_saturation_are_flagged_across_integrations():
    one = ramp()
    one.groupdq[0, 2:, 1, 1] = SATURATED
    persistence(one, None, persistence_time=35)
    # opened at 30 s, ends at 65 s; the second integration's groups end at 50, 60, 70 and 80 s
    assert (one.groupdq[0, :, 1, 1] & PERSISTENCE).tolist() == [0, 0, PERSISTENCE, PERSISTENCE]
    assert (one.groupdq[1, :, 1, 1] & PERSISTENCE).tolist() == [PERSISTENCE, PERSISTENCE, 0, 0]
    assert not (one.groupdq[:, :, 0, 0] & PERSISTENCE).any()


def test_a_bright_group_opens_a_window_too_and_can_be_left_out():
    one = ramp(1)
    one.data[0, 1:, 0, 2] = 50000
    persistence(one, None, persistence_time=5, dn_threshold=40000, persistence_dnu=True)
    both = PERSISTENCE | DO_NOT_USE
    assert one.groupdq[0, :, 0, 2].tolist() == [0, both, both, both]


def test_the_next_exposure_takes_over_the_open_windows(tmp_path):
    first, file = ramp(1), tmp_path / "windows.asdf"
    first.groupdq[0, 3, 2, 0] = SATURATED
    persistence(first, None, persistence_time=3600, save_persistence=str(file))
    later = ramp(1, start_mjd=60000.0 + 600 / 86400)
    persistence(later, None, persistence_time=3600, persistence_array_file=str(file))
    assert (later.groupdq[0, :, 2, 0] & PERSISTENCE).all()
    assert np.count_nonzero(later.groupdq) == 4
    # windows of another length, or of another detector, are not used
    assert not read_windows(file, "NRCALONG", (3, 3), 100).any()
    assert not read_windows(file, "NRCA1", (3, 3), 3600).any()


def test_windows_follow_the_subarray_on_the_detector(tmp_path):
    first, file = ramp(1), tmp_path / "windows.asdf"
    first.primary["SUBSTRT1"], first.primary["SUBSTRT2"] = 101, 51
    first.groupdq[0, 3, 2, 0] = SATURATED
    first.groupdq[0, 3, 0, 1] = SATURATED
    persistence(first, None, persistence_time=3600, save_persistence=str(file))
    later = ramp(1, start_mjd=60000.0 + 600 / 86400)
    later.primary["SUBSTRT1"], later.primary["SUBSTRT2"] = 100, 52
    persistence(later, None, persistence_time=3600, persistence_array_file=str(file))
    # detector pixel (x 101, y 53) is (y 1, x 1) here; (x 102, y 51) lies outside
    assert np.argwhere(later.groupdq[0, 0] & PERSISTENCE).tolist() == [[1, 1]]


def test_windows_outside_a_subarray_are_handed_on_until_they_close(tmp_path):
    """A full frame, a subarray, a full frame: what the subarray did not read is still known to the third."""
    path = tmp_path / "windows.asdf"
    windows = np.zeros((8, 8))
    windows[1, 1], windows[5, 5], windows[7, 7] = 1000.0, 1000.0, 200.0
    write_windows(path, "NRCA1", windows, 600, "first", (1, 1))
    rows, columns, ends = windows_outside(path, "NRCA1", (4, 4), 600, (4, 4), 500.0)
    assert (rows.tolist(), columns.tolist(), ends.tolist()) == ([-2], [-2], [1000.0])
    inside = read_windows(path, "NRCA1", (4, 4), 600, (4, 4))
    write_windows(tmp_path / "second.asdf", "NRCA1", inside, 600, "second", (4, 4), (rows, columns, ends))
    third = read_windows(tmp_path / "second.asdf", "NRCA1", (8, 8), 600, (1, 1))
    assert third[1, 1] == 1000.0
    assert third[5, 5] == 1000.0
