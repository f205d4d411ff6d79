"""charge_migration flags bright pixels and their neighbours from the right group on."""

from __future__ import annotations

import numpy as np

from jwstsm.core.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET
from jwstsm.stage1.charge_migration import charge_migration, first_groups_above
from jwstsm.step import Skipped
from tests.builders import make_ramp

BOTH = CHARGELOSS | DO_NOT_USE


def bright(ny=5, nx=5, at=(2, 2), group=2):
    ramp = make_ramp(1, 5, ny, nx)
    ramp.data[0, group:, at[0], at[1]] = 30000
    return ramp


def test_a_bright_pixel_and_its_four_neighbours_are_flagged_from_its_group_on():
    found = charge_migration(bright(), None).groupdq[0]
    cross = {(2, 2), (1, 2), (3, 2), (2, 1), (2, 3)}
    for y in range(5):
        for x in range(5):
            assert found[:, y, x].tolist() == ([0, 0, BOTH, BOTH, BOTH] if (y, x) in cross else [0] * 5)


def test_a_pixel_in_the_corner_flags_only_what_is_there():
    found = charge_migration(bright(at=(0, 0), group=4), None).groupdq[0, 4]
    assert np.argwhere(found).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_a_group_that_is_only_do_not_use_does_not_start_the_flagging():
    ramp = bright(group=1)
    ramp.groupdq[0, 1, 2, 2] = DO_NOT_USE
    ramp.groupdq[0, 2, 2, 2] = DO_NOT_USE | JUMP_DET
    found = charge_migration(ramp, None).groupdq[0, :, 1, 2]
    assert found.tolist() == [0, 0, BOTH, BOTH, BOTH]


def test_short_ramps_are_left_alone():
    ramp = make_ramp(1, 2, 3, 3)
    ramp.data += 40000
    assert isinstance(charge_migration(ramp, None), Skipped)
    assert not ramp.groupdq.any()


def test_compiled_and_plain_python_agree():
    rng = np.random.default_rng(3)
    data = rng.normal(25000, 5000, (6, 9, 7)).astype(np.float32)
    flags = rng.choice([0, 1, 4, 5], (6, 9, 7)).astype(np.uint8)
    a, b = np.empty((9, 7), np.int32), np.empty((9, 7), np.int32)
    first_groups_above(data, flags, np.float32(25000), a)
    first_groups_above.py_func(data, flags, np.float32(25000), b)
    np.testing.assert_array_equal(a, b)
