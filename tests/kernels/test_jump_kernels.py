"""Kernels of the jump step: compiled, plain Python and a simple version written pixel by pixel here agree."""

from __future__ import annotations

import numpy as np
import pytest
from numba import set_num_threads
from scipy import ndimage

from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.stage1 import _jump_regions as regions
from jwstsm.stage1 import _jump_showers as showers
from jwstsm.stage1._columns import merge_exchange
from jwstsm.stage1._jump_hits import Hits, find_jumps
from jwstsm.stage1._jump_sigma_clip import clip_bounds, clip_differences, strip_moments
from jwstsm.stage1._likely import Sampling
from jwstsm.stage1._likely_jumps import search_limits
from jwstsm.stage1.jump import jump
from tests.kernels.plain import plain_python
from tests.kernels.ramps import eventful_ramp

BAD = DO_NOT_USE | SATURATED


# --- the step in three ways


def run_jump(ramp_options: dict, options: dict):
    ramp, refs = eventful_ramp(**ramp_options)
    jump(ramp, refs, **options)
    return ramp.groupdq, ramp.pixeldq, ramp.primary.get("PRIMECRS"), ramp.primary.get("EXTNCRS")


@pytest.mark.parametrize(
    ("ramp_options", "options"),
    [
        ({}, {"after_jump_flag_dn1": 50, "after_jump_flag_time1": 25, "expand_large_events": True}),
        ({"ngroups": 13, "nints": 1, "ny": 8}, {"expand_large_events": True, "sat_required_snowball": False}),
        ({"ngroups": 3, "nints": 4, "ny": 6}, {"minimum_sigclip_groups": 4, "rejection_threshold": 1.2}),
        ({"ngroups": 13, "nints": 1, "ny": 9}, {"find_showers": True, "extend_min_area": 4}),
        ({"ngroups": 5, "nints": 2, "ny": 9}, {"algorithm": "likelihood"}),
        ({"ngroups": 4, "nints": 1, "ny": 9, "nframes": 4}, {"algorithm": "likelihood"}),
    ],
)
def test_compiled_and_plain_python_flag_the_same(tmp_path, ramp_options, options):
    compiled = run_jump(ramp_options, options)
    plain = plain_python(run_jump, ramp_options, options, folder=tmp_path)
    np.testing.assert_array_equal(compiled[0], plain[0])
    np.testing.assert_array_equal(compiled[1], plain[1])
    assert compiled[2:] == plain[2:]
    assert (compiled[0] & JUMP_DET).any()


def test_one_thread_and_two_flag_the_same():
    options = {"expand_large_events": True, "find_showers": True, "extend_min_area": 9}
    set_num_threads(1)
    one = run_jump({"ny": 40, "nx": 50, "ngroups": 8}, options)
    set_num_threads(2)
    two = run_jump({"ny": 40, "nx": 50, "ngroups": 8}, options)
    np.testing.assert_array_equal(one[0], two[0])


def test_rows_in_blocks_give_the_same(monkeypatch):
    options = {"expand_large_events": True, "find_showers": True, "extend_min_area": 9}
    whole = run_jump({"ny": 20, "nints": 3}, options)
    monkeypatch.setenv("JWSTSM_MEMORY_LIMIT", "9000")
    np.testing.assert_array_equal(run_jump({"ny": 20, "nints": 3}, options)[0], whole[0])


# --- the two-point difference against its description


def centre_of_sizes(sizes: np.ndarray) -> float:
    if sizes.size < 2:
        return np.nan
    if sizes.size == 2:
        return sizes.min()
    if sizes.size >= 4:
        sizes = sizes[sizes < sizes.max()]
    return np.median(sizes) if sizes.size else np.nan


def simple_hits(data, flags, gain, noise, nframes, one_pass: bool, thresholds=(4.0, 6.0, 5.0)) -> np.ndarray:
    """The hits of every pixel, one pixel and one difference at a time."""
    normal, two, three = thresholds
    values = np.where(flags & BAD, np.float32(np.nan), data * gain)
    diffs = np.diff(values, axis=1).astype(float)
    found = np.zeros(data.shape, bool)
    for y, x in np.ndindex(data.shape[2:]):
        d = diffs[:, :, y, x].copy()
        noise2 = float(np.float32(noise[y, x] * gain[y, x]) ** 2) / nframes
        if one_pass:
            m = np.nanmedian(d) if np.isfinite(d).any() else np.nan
            sigma = np.sqrt(abs(m) + noise2)
            found[:, 1:, y, x] = np.abs(d - m) > normal * sigma if sigma > 0 else False
            continue
        while True:
            sizes = np.abs(d[np.isfinite(d)])
            m = centre_of_sizes(sizes)
            limit = {0: np.inf, 1: np.inf, 2: two, 3: three}.get(sizes.size, normal)
            sigma = np.sqrt(abs(m) + noise2)
            ratio = np.abs(np.abs(d) - m) / sigma if sigma > 0 else np.full(d.shape, np.nan)
            if not np.isfinite(ratio).any() or not np.nanmax(ratio) > limit:
                break
            worst = ratio == np.nanmax(ratio)
            found[:, 1:, y, x] |= worst
            d[worst] = np.nan
    return found


@pytest.mark.parametrize(("ngroups", "nints", "nframes"), [(3, 1, 1), (4, 1, 4), (6, 2, 1), (12, 1, 1), (11, 3, 2)])
def test_hits_are_those_of_the_simple_rule(ngroups, nints, nframes):
    ramp, refs = eventful_ramp(nints, ngroups, nframes=nframes, seed=ngroups)
    gain, noise = refs["gain"].array(), refs["readnoise"].array()
    before = ramp.groupdq.copy()
    count = find_jumps(ramp, gain, noise * gain, Hits(neighbours=None))
    with np.errstate(invalid="ignore"):
        judge = simple_hits(ramp.data, before, gain, noise, nframes, ngroups >= 11)
    np.testing.assert_array_equal(ramp.groupdq & JUMP_DET != 0, judge)
    assert count == judge.sum() > 0


def test_long_columns_go_by_quickselect_with_the_same_result():
    # 1050 differences of a pixel are more than a network sorts
    ramp, refs = eventful_ramp(210, 6, ny=4, nx=5)
    gain, noise = refs["gain"].array(), refs["readnoise"].array()
    before = ramp.groupdq.copy()
    find_jumps(ramp, gain, noise * gain, Hits(neighbours=None, clip_from=1000))
    with np.errstate(invalid="ignore"):
        judge = simple_hits(ramp.data, before, gain, noise, 1, False)
    np.testing.assert_array_equal(ramp.groupdq & JUMP_DET != 0, judge)


# --- the search by likelihood against dense matrices


def dense_drop(d, use, covariance, left_out):
    """How much chi^2 of the best constant through ``d[use]`` drops without ``left_out``."""

    def chisq(these):
        inverse = np.linalg.inv(covariance[np.ix_(these, these)])
        ones = np.ones(these.size)
        slope = ones @ inverse @ d[these] / (ones @ inverse @ ones)
        rest = d[these] - slope
        return rest @ inverse @ rest

    kept = np.flatnonzero(use)
    return chisq(kept) - chisq(np.setdiff1d(kept, left_out))


def unlikely(d, use, covariance, pairs, limits) -> np.ndarray:
    """Return which differences of a pixel are left out, by fitting again without each of them."""
    one, two, last = limits
    use = use.copy()
    before = use.copy()
    while use.sum() > 1:
        used = np.flatnonzero(use)
        if used.size == 2:
            if not dense_drop(d, use, covariance, used[:1]) > last:
                break
            use[used[np.argmax(d[used])]] = False
            continue
        choices = [(dense_drop(d, use, covariance, [k]) - one, [k]) for k in used]
        couples = [[k, k + 1] for k in used[:-1] if use[k + 1] and pairs[k + 1]]
        if used.size == 3 and couples:  # a line fits what is left by any two: the larger ones go
            couples = [max(couples, key=lambda c: d[c].sum())]
        choices += [(dense_drop(d, use, covariance, c) - two, c) for c in couples]
        best = max(choices, key=lambda choice: choice[0])
        if not best[0] > 0:
            break
        use[best[1]] = False
    return before & ~use


@pytest.mark.parametrize(("ngroups", "nints", "nframes"), [(3, 1, 1), (4, 1, 4), (6, 2, 1), (8, 1, 4), (12, 1, 1)])
def test_likelihood_flags_are_those_of_dense_matrices(ngroups, nints, nframes):
    ramp, refs = eventful_ramp(nints, ngroups, nframes=nframes, seed=ngroups, ny=8)
    gain, noise = refs["gain"].array(), refs["readnoise"].array() * refs["gain"].array()
    before = ramp.groupdq.copy()
    count = find_jumps(ramp, gain, noise, Hits("likelihood", neighbours=None))
    sampling = Sampling.of_readout(ramp.readout).repeated(nints)
    step, own_p, own_r, beside_p, beside_r = sampling.table[:5]
    values = np.where(before & BAD, np.float32(np.nan), ramp.data * gain)
    diffs = np.diff(values, axis=1).reshape(-1, *gain.shape).astype(float) / step[:, None, None]
    judge = np.zeros(diffs.shape, bool)
    for y, x in np.ndindex(gain.shape):
        d = diffs[:, y, x]
        use = np.isfinite(d)
        if use.sum() < 2 or not gain[y, x] > 0 or noise[y, x] == 0:
            continue
        known = np.sort(d[use])
        middle = known.mean() if known.size == 2 else known[(known.size - 1) // 2]
        photon, read = max(middle, 0.0), float(np.float32(noise[y, x] ** 2)) / 2
        beside = (photon * beside_p + read * beside_r)[1:]
        covariance = np.diag(photon * own_p + read * own_r) + np.diag(beside, 1) + np.diag(beside, -1)
        judge[:, y, x] = unlikely(np.nan_to_num(d), use, covariance, sampling.pairs, search_limits(4.0))
    found = (ramp.groupdq[:, 1:] & JUMP_DET != 0).reshape(diffs.shape)
    some = (gain > 0) & (noise > 0)
    np.testing.assert_array_equal(found[:, some], judge[:, some])
    assert count >= judge.sum() > 8


def test_long_columns_of_the_likelihood_search_go_by_quickselect():
    # 1050 differences of a pixel are more than a network sorts; the same with those of the last integrations unusable
    ramp, refs = eventful_ramp(210, 6, ny=4, nx=5)
    ramp.groupdq[200:] |= DO_NOT_USE
    gain, noise = refs["gain"].array(), refs["readnoise"].array()
    short, _ = eventful_ramp(200, 6, ny=4, nx=5)
    short.data[:], short.groupdq[:] = ramp.data[:200], ramp.groupdq[:200]
    settings = Hits("likelihood", neighbours=None, clip_from=1000)
    ramp.groupdq[200:, :3, 0, 0] &= ~np.uint8(DO_NOT_USE)  # each integration must have 3 groups
    ramp.groupdq[200:, :3, 0, 0] |= SATURATED
    assert find_jumps(ramp, gain, noise * gain, settings) == find_jumps(short, gain, noise * gain, settings) > 100
    np.testing.assert_array_equal(ramp.groupdq[:200] & JUMP_DET, short.groupdq & JUMP_DET)


def test_sigma_clipping_of_long_series_sorts_by_a_network_or_not_with_the_same_result():
    ramp, refs = eventful_ramp(1100, 3, ny=4, nx=13)
    gain = refs["gain"].array()
    found = []
    for network, width in ((merge_exchange(1100), 8), (merge_exchange(1100, 4096), 16)):
        flags = ramp.groupdq.copy()
        clip_differences(ramp.data, flags, gain, 4.0, True, network, width)
        found.append(flags)
    assert (found[0] != ramp.groupdq).any()
    np.testing.assert_array_equal(*found)


def test_marked_jumps_reach_their_four_neighbours():
    ramp, refs = eventful_ramp(seed=5)
    gain, noise = refs["gain"].array(), refs["readnoise"].array()
    noise = noise * gain
    before = ramp.groupdq.copy()
    alone, _ = eventful_ramp(seed=5)
    find_jumps(alone, gain, noise, Hits(neighbours=None))
    find_jumps(ramp, gain, noise, Hits(neighbours=(10.0, 200.0)))
    values = np.where(before & BAD, np.float32(np.nan), ramp.data * gain)
    with np.errstate(invalid="ignore"):
        diffs = np.diff(values, axis=1).astype(float)
        median = np.full(gain.shape, np.nan)
        some = np.isfinite(diffs).any(axis=(0, 1))
        median[some] = np.nanmedian(diffs[:, :, some], axis=(0, 1))
        ratio = np.abs(diffs - median) / np.sqrt(np.abs(median) + noise**2)
    sources = (alone.groupdq[:, 1:] & JUMP_DET != 0) & (ratio > 10) & (ratio < 200)
    cross = ndimage.generate_binary_structure(2, 1)
    reached = np.stack([[ndimage.binary_dilation(plane, cross) for plane in cube] for cube in sources])
    judge = (alone.groupdq[:, 1:] & JUMP_DET != 0) | reached & (before[:, 1:] & BAD == 0)
    np.testing.assert_array_equal(ramp.groupdq[:, 1:] & JUMP_DET != 0, judge)


@pytest.mark.parametrize("count", [3, 40, 101])
def test_clipping_follows_astropy(count):
    from astropy.stats import SigmaClip

    values = np.random.default_rng(count).standard_t(2, count).astype(np.float32)
    kept, low, high = SigmaClip(2.0, maxiters=5)(values.astype(float), masked=False, return_bounds=True)
    ordered = np.sort(values)[:, None].copy()
    mean, square = np.zeros(1), np.zeros(1)
    strip_moments(ordered, 1, mean, square)
    np.testing.assert_allclose([mean[0], square[0]], [values.mean(dtype=float), count * values.var(dtype=float)])
    lower, upper, start, stop = clip_bounds(ordered, 0, count, mean[0], square[0], 2.0, 5)
    np.testing.assert_allclose([lower, upper], [low, high], rtol=1e-10)
    assert stop - start == kept.size


# --- regions and ellipses


def blobs(seed: int, shape=(61, 77)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.random(shape) < 0.01
    for _ in range(14):
        cy, cx, a, b, turn = rng.uniform(0, 1, 5) * [*shape, 9, 4, np.pi] + [0, 0, 1, 1, 0]
        u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
        v = (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
        radius = (u / a) ** 2 + (v / b) ** 2
        image |= (radius < 1) & ((radius > 0.5) | (rng.random() < 0.6))
    return image


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_regions_are_those_of_ndimage_with_the_moments_of_their_pixels(seed):
    image = blobs(seed)
    labels, count = ndimage.label(image, np.ones((3, 3)))
    judge = []
    for k in range(1, count + 1):
        y, x = np.nonzero(labels == k)
        if ndimage.binary_fill_holes(labels == k, np.ones((3, 3))).sum() < 30:
            continue
        axes = 4 * np.sqrt(np.clip(np.linalg.eigvalsh(np.cov(y, x, bias=True)), 0, None)) - 1
        judge.append([x.mean(), y.mean(), *axes])
    mask = regions.new_mask(*image.shape)
    mask[:, : image.shape[1]] = image
    found = regions.find_ellipses(mask, 30)
    assert not mask.any()
    np.testing.assert_allclose(np.sort(found[:, :4], axis=0), np.sort(judge, axis=0), atol=1e-6)


def test_a_long_diagonal_region_points_along_itself():
    mask = regions.new_mask(40, 40)
    for k in range(25):
        mask[5 + k, 5 + k] = mask[5 + k, 6 + k] = 1
    (ellipse,) = regions.find_ellipses(mask, 5)
    window, inside = regions.draw_ellipse(ellipse, ellipse[regions.MINOR] + 4, ellipse[regions.MAJOR], (40, 40))
    drawn = np.zeros((40, 40), bool)
    drawn[window] = inside
    assert drawn[12, 12]
    assert drawn[25, 25]
    assert not drawn[12, 25]


@pytest.mark.parametrize("centre", [(20, 20), (0, 3), (39, 39)])
def test_a_drawn_circle_has_its_radius_and_stays_in_the_image(centre):
    ellipse = np.array([centre[1], centre[0], 9.0, 9.0, 30.0])
    window, inside = regions.draw_ellipse(ellipse, 9.0, 9.0, (40, 40))
    drawn = np.zeros((40, 40), bool)
    drawn[window] = inside
    y, x = np.mgrid[:40, :40]
    distance = np.hypot(y - centre[0], x - centre[1])
    assert drawn[distance < 3.99].all()
    assert not drawn[distance > 4.01].any()


def test_an_ellipse_without_width_draws_nothing():
    ellipse = np.array([5.0, 5.0, 0.0, 6.0, 0.0])
    assert regions.draw_ellipse(ellipse, 0.0, 6.0, (10, 10))[1].size == 0


def test_the_ring_leaves_out_its_centre_and_is_round():
    spans = showers.ring_spans(1, 2.6)
    ring = np.zeros((9, 9), int)
    for dy, first, last in spans:
        ring[4 + dy, 4 + first : 4 + last + 1] += 1
    y, x = np.mgrid[-4:5, -4:5]
    np.testing.assert_array_equal(ring, (np.hypot(y, x) <= 3.6) & (np.hypot(y, x) >= 1))


def test_smoothing_is_the_mean_over_the_ring_with_gaps_left_out():
    rng = np.random.default_rng(3)
    ratio = rng.uniform(0, 2, (23, 31)).astype(np.float32)
    ratio[rng.random(ratio.shape) < 0.2] = np.nan
    y, x = np.mgrid[-4:5, -4:5]
    ring = ((np.hypot(y, x) <= 3.6) & (np.hypot(y, x) >= 1)).astype(float)
    good = np.isfinite(ratio)
    mean = ndimage.convolve(np.where(good, ratio, 0).astype(float), ring, mode="constant")
    mean /= ndimage.convolve(good.astype(float), ring, mode="constant", cval=1)
    mask = regions.new_mask(*ratio.shape)
    showers.smooth_ring(ratio, showers.ring_spans(1, 2.6), 1.0, mask)
    np.testing.assert_array_equal(mask[:, :31] != 0, good & (mean > 1.0))
