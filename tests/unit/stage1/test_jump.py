"""jump: single hits, neighbours, groups after hits, snowballs, showers, and what the step does when it cannot work."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, REFERENCE_PIXEL, SATURATED
from jwstsm.stage1.jump import jump
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def flat_ramp(nints=1, ngroups=8, ny=11, nx=13, *, rate=5.0, noise=10.0, seed=None, **keywords):
    """Return a ramp that rises by ``rate`` DN per group, without noise unless there is a seed, and its references."""
    ramp = make_ramp(nints, ngroups, ny, nx, **({"TGROUP": 10.0, "TFRAME": 10.0} | keywords))
    ramp.data += rate * np.arange(1, ngroups + 1, dtype=np.float32)[:, None, None]
    if seed is not None:
        ramp.data += np.random.default_rng(seed).normal(0, noise / np.sqrt(2), ramp.data.shape).astype(np.float32)
    references = {"gain": {"SCI": np.ones((ny, nx))}, "readnoise": {"SCI": np.full((ny, nx), noise)}}
    return ramp, FakeReferences(references)


def hit(ramp, size, group, y, x, i=0):
    ramp.data[i, group:, y, x] += size


def flagged(ramp, bit=JUMP_DET):
    return [tuple(p) for p in np.argwhere(ramp.groupdq & bit).tolist()]


def test_a_hit_is_flagged_in_its_group_and_nowhere_else():
    ramp, refs = flat_ramp()
    hit(ramp, 60, 4, 5, 6)
    jump(ramp, refs)
    assert flagged(ramp) == [(0, 4, 5, 6)]


def test_the_data_are_not_touched():
    ramp, refs = flat_ramp(seed=1)
    before = ramp.data.copy()
    jump(ramp, refs, expand_large_events=True, find_showers=True)
    np.testing.assert_array_equal(ramp.data, before)


@pytest.mark.parametrize(("ngroups", "limit"), [(3, 6.0), (4, 5.0), (5, 4.0), (12, 4.0)])
def test_the_limit_depends_on_the_usable_differences(ngroups, limit):
    # rate 0: the noise of a difference is the read noise, 10
    for size, seen in ((limit * 10 - 0.5, False), (limit * 10 + 0.5, True)):
        ramp, refs = flat_ramp(1, ngroups, rate=0.0)
        hit(ramp, size, 2, 5, 6)
        jump(ramp, refs, flag_4_neighbors=False)
        assert flagged(ramp) == ([(0, 2, 5, 6)] if seen else [])


def test_two_hits_in_one_ramp_are_both_found():
    ramp, refs = flat_ramp()
    hit(ramp, 300, 2, 5, 6)
    hit(ramp, 80, 6, 5, 6)
    jump(ramp, refs, flag_4_neighbors=False)
    assert flagged(ramp) == [(0, 2, 5, 6), (0, 6, 5, 6)]


def test_only_jumps_between_the_limits_flag_their_neighbours():
    ramp, refs = flat_ramp(rate=0.0)
    for size, x in ((90, 2), (500, 6), (5000, 10)):
        hit(ramp, size, 3, 5, x)
    jump(ramp, refs, min_jump_to_flag_neighbors=10, max_jump_to_flag_neighbors=100)
    cross = {(0, 3, 5, 6), (0, 3, 4, 6), (0, 3, 6, 6), (0, 3, 5, 5), (0, 3, 5, 7)}
    assert set(flagged(ramp)) == cross | {(0, 3, 5, 2), (0, 3, 5, 10)}


def test_saturated_and_unusable_groups_are_neither_hits_nor_neighbours():
    ramp, refs = flat_ramp()
    hit(ramp, 500, 3, 5, 6)
    ramp.groupdq[0, 3:, 5, 7] = SATURATED
    ramp.groupdq[0, 3, 5, 5] = DO_NOT_USE
    ramp.data[0, 3:, 5, 7] += 4000
    ramp.data[0, 3, 5, 5] += 4000
    jump(ramp, refs)
    assert ramp.groupdq[0, 3, 5, 7] == SATURATED
    assert ramp.groupdq[0, 3, 5, 5] == DO_NOT_USE
    assert ramp.groupdq[0, 3, 4, 6] == JUMP_DET


def test_groups_after_a_large_jump_are_flagged_for_their_time():
    ramp, refs = flat_ramp(ngroups=12, rate=0.0)
    hit(ramp, 90, 2, 5, 6)
    hit(ramp, 400, 2, 5, 9)
    options = {"after_jump_flag_dn1": 50, "after_jump_flag_time1": 10, "after_jump_flag_dn2": 200}
    jump(ramp, refs, flag_4_neighbors=False, after_jump_flag_time2=40, **options)
    assert [g for _, g, _, x in flagged(ramp) if x == 6] == [2, 3]
    assert [g for _, g, _, x in flagged(ramp) if x == 9] == [2, 3, 4, 5, 6]


def test_integrations_share_their_median():
    # in the second integration half of the differences are hits; alone its median would not tell
    ramp, refs = flat_ramp(2, 5, rate=0.0)
    for group in (1, 2, 3):
        hit(ramp, 100, group, 5, 6, i=1)
    jump(ramp, refs, flag_4_neighbors=False)
    assert flagged(ramp) == [(1, g, 5, 6) for g in (1, 2, 3)]


def test_many_integrations_are_compared_group_by_group():
    ramp, refs = flat_ramp(120, 3, 4, 5, seed=3)
    ramp.data[:, 1:] += 5000  # every integration jumps here: no hit
    hit(ramp, 150, 2, 2, 3, i=77)
    jump(ramp, refs, flag_4_neighbors=False, rejection_threshold=5.0)
    assert flagged(ramp) == [(77, 2, 2, 3)]


def test_a_group_that_jumps_everywhere_is_left_alone_in_long_series():
    ramp, refs = flat_ramp(110, 4, 3, 3, seed=5)
    ramp.data[50, 2:] += 500
    jump(ramp, refs, flag_4_neighbors=False, rejection_threshold=6.0)
    assert not flagged(ramp)


def snowball(ramp, group, y, x, core=3, halo=6, i=0):
    yy, xx = np.mgrid[: ramp.data.shape[2], : ramp.data.shape[3]]
    distance = np.hypot(yy - y, xx - x)
    ramp.data[i, group:, distance < halo] += 800
    for g in range(group, ramp.data.shape[1]):
        ramp.groupdq[i, g][distance < core] |= SATURATED
    return distance


def test_a_snowball_is_flagged_beyond_its_halo_and_its_core_stays_saturated():
    ramp, refs = flat_ramp(1, 6, 80, 90)
    distance = snowball(ramp, 2, 40, 45)
    jump(ramp, refs, expand_large_events=True)
    assert (ramp.groupdq[0, 2][(distance > 6.5) & (distance < 9)] & JUMP_DET).all()
    assert not (ramp.groupdq[0, 2][distance > 15] & JUMP_DET).any()
    assert not (ramp.groupdq[0, 3][distance > 8] & JUMP_DET).any()
    for g in range(2, 6):
        assert (ramp.groupdq[0, g][distance < 4] == SATURATED).all()
    assert not (ramp.groupdq[0, 1] & SATURATED).any()
    assert ramp.primary["EXTNCRS"] > 0


def test_a_halo_without_a_core_is_not_grown_unless_near_the_edge():
    grown = []
    for y in (40, 12):
        ramp, refs = flat_ramp(1, 6, 80, 90)
        distance = snowball(ramp, 2, y, 45, core=-1)
        jump(ramp, refs, expand_large_events=True)
        grown.append(bool((ramp.groupdq[0, 2][(distance > 7.5) & (distance < 9)] & JUMP_DET).any()))
    assert grown == [False, True]


def test_a_core_that_saturates_in_the_next_group_counts():
    ramp, refs = flat_ramp(1, 6, 80, 90)
    distance = snowball(ramp, 2, 40, 45)
    ramp.groupdq[0, 2] &= ~np.uint8(SATURATED)
    jump(ramp, refs, expand_large_events=True)
    assert (ramp.groupdq[0, 2][(distance > 6.5) & (distance < 9)] & JUMP_DET).all()


def test_a_core_is_flagged_again_in_the_next_integration_only():
    ramp, refs = flat_ramp(3, 6, 80, 90)
    distance = snowball(ramp, 2, 40, 45, core=5)
    jump(ramp, refs, expand_large_events=True, snowball_time_masked_next_int=40)
    assert [bool((ramp.groupdq[1, g][distance < 4] & JUMP_DET).all()) for g in range(6)] == [0, 1, 1, 1, 0, 0]
    assert not ramp.groupdq[2].any()


def shower(ramp, group, y, x, amplitude, i=0):
    yy, xx = np.mgrid[: ramp.data.shape[2], : ramp.data.shape[3]]
    shape = np.exp(-(((yy - y) / 12) ** 2 + ((xx - x) / 8) ** 2))
    ramp.data[i, group:] += (amplitude * shape).astype(np.float32)
    return shape


def test_a_shower_is_flagged_for_its_time_and_taken_back_where_it_is_too_bright():
    found = {}
    for amplitude in (30, 20000):
        ramp, refs = flat_ramp(1, 20, 64, 64, rate=0.0, noise=10, seed=2)
        shape = shower(ramp, 8, 30, 32, amplitude)
        options = {"rejection_threshold": 1e6, "time_masked_after_shower": 25}
        jump(ramp, refs, find_showers=True, max_shower_amplitude=1.0, **options)
        found[amplitude] = ramp.groupdq[0, :, shape > 0.7] & JUMP_DET != 0
    assert found[30][:, 8:11].mean() > 0.95
    assert not found[30][:, :7].any()
    assert not found[30][:, 12:].any()
    assert not found[20000].any()


def test_reference_pixels_are_not_flagged_by_a_shower():
    ramp, refs = flat_ramp(1, 20, 64, 64, rate=0.0, noise=10, seed=2)
    shower(ramp, 8, 30, 4, 40)
    ramp.pixeldq[:, :4] = REFERENCE_PIXEL
    jump(ramp, refs, find_showers=True, rejection_threshold=1e6)
    assert (ramp.groupdq[0, 8, :, 4:10] & JUMP_DET).any()
    assert not ramp.groupdq[..., :4].any()


def test_a_pixel_without_gain_is_flagged_and_has_no_jumps():
    ramp, refs = flat_ramp()
    gain = np.ones((11, 13))
    gain[2, 3], gain[2, 4] = np.nan, -1
    refs["gain"]._content["SCI"] = gain
    hit(ramp, 900, 3, 2, 3)
    jump(ramp, refs, flag_4_neighbors=False)
    assert (ramp.pixeldq[2, 3:5] == NO_GAIN_VALUE | DO_NOT_USE).all()
    assert np.count_nonzero(ramp.pixeldq) == 2
    assert not ramp.groupdq[:, :, 2, 3].any()


def test_a_pixel_without_read_noise_or_signal_has_no_jumps():
    ramp, refs = flat_ramp(rate=0.0, noise=0.0)
    hit(ramp, 50, 3, 5, 6)
    jump(ramp, refs)
    assert not ramp.groupdq.any()


def test_two_groups_are_too_few():
    ramp, refs = flat_ramp(1, 2)
    hit(ramp, 1e4, 1, 5, 6)
    result = jump(ramp, refs)
    assert isinstance(result, Skipped)
    assert not ramp.groupdq.any()


def test_groups_unusable_in_every_pixel_do_not_count(caplog):
    ramp, refs = flat_ramp(1, 4)
    ramp.groupdq[0, :2] = DO_NOT_USE
    hit(ramp, 1e4, 3, 5, 6)
    jump(ramp, refs)
    assert not flagged(ramp)
    assert "fewer than 3 usable groups" in caplog.text
    assert "PRIMECRS" not in ramp.primary


def test_the_rate_of_hits_is_written():
    ramp, refs = flat_ramp(1, 8, 10, 10)
    hit(ramp, 500, 3, 5, 6)
    jump(ramp, refs)
    # one hit in 7 differences of 10 s and 100 pixels, per 1000 pixels; neighbours do not count
    assert ramp.primary["PRIMECRS"] == pytest.approx(1000 / (70 * 100))


def test_all_saturated_and_nan_ramps_survive():
    ramp, refs = flat_ramp(1, 6)
    ramp.groupdq[:] = SATURATED
    ramp.data[0, :, 2, 2] = np.nan
    jump(ramp, refs, expand_large_events=True, find_showers=True)
    assert (ramp.groupdq == SATURATED).all()
