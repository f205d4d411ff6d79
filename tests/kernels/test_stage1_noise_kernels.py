"""Kernels of emicorr, the MIRI flags and flicker noise: compiled, plain Python and a NumPy judge give the same."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from scipy import stats

from jwstsm.core import flicker, nsclean, nsclean_subarray, sample, scene, selection, stripes
from jwstsm.core.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from jwstsm.stage1 import (
    _emicorr_joint,
    _emicorr_sequential,
    _flicker_median_image,
    _flicker_ramp,
    firstframe,
    picture_frame,
    rscd,
)


def both(kernel, *arrays):
    """Run a kernel compiled and as plain Python on copies; check that they agree; return its copies and result."""
    compiled = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    plain = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    first = kernel(*compiled)
    with np.errstate(all="ignore"):
        second = kernel.py_func(*plain)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    if first is not None:
        for a, b in zip(np.atleast_1d(first), np.atleast_1d(second), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    return compiled, first


def image(seed=0, shape=(7, 9), nans=True):
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 2, shape).astype(np.float32)
    if nans:
        values[rng.random(shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.1] = 0
    return values, rng.random(shape) < 0.7


# --- samples, masks, medians


def test_packing_rows():
    values, keep = image(1)
    values[0, 0] = np.inf
    (_, _, packed), counts = both(sample._pack_rows, values, keep, np.zeros(values.shape, np.float32))
    for y in range(len(values)):
        judge = values[y][keep[y] & np.isfinite(values[y])]
        assert counts[y] == judge.size
        np.testing.assert_array_equal(packed[y, : judge.size], judge)


def test_block_sums():
    values = np.sort(image(2, (1, 50), nans=False)[0][0])
    _, sums = both(sample._block_sums, values, 3.0, 16)
    parts = [values[k : k + 16].astype(float) - 3.0 for k in range(0, 50, 16)]
    np.testing.assert_allclose(sums, [[p.sum(), (p**2).sum()] for p in parts], rtol=1e-12)


def test_masks_by_value():
    values, keep = image(3)
    (out, _), _ = both(scene.drop_empty_inplace, keep, values)
    np.testing.assert_array_equal(out, keep & (values != 0) & ~np.isnan(values))
    (out, *_), _ = both(scene.clip_mask_inplace, keep, values, 1.5, 4.5)
    np.testing.assert_array_equal(out, keep & ~(values < 1.5) & ~(values > 4.5))


def test_boxes():
    values, keep = image(4, (11, 13))
    _, (mesh, count) = (None, scene._box_medians(values, keep, 4, 5, 2.0, 5))
    plain = scene._box_medians.py_func(values, keep, 4, 5, 2.0, 5)
    np.testing.assert_array_equal(mesh, plain[0])
    np.testing.assert_array_equal(count, plain[1])
    part = values[8:, 10:][keep[8:, 10:]].astype(float)
    part = part[np.isfinite(part)]
    judge = part[np.abs(part - np.median(part)) <= 1e9]
    for _ in range(5):
        judge = judge[np.abs(judge - np.median(judge)) <= 2 * judge.std()]
    assert count[2, 2] == judge.size
    assert mesh[2, 2] == pytest.approx(np.median(judge), rel=1e-6)


def test_narrowing_keeps_both_middle_values():
    rng = np.random.default_rng(5)
    for count in (321, 500, 2047):
        values = rng.normal(0, 1, count).astype(np.float32)
        (out, *_), (inside, below) = both(selection._narrow, values, count, count // 2)
        assert inside < count
        ordered = np.sort(values)
        np.testing.assert_array_equal(np.sort(out[:inside]), ordered[below : below + inside])
        assert below < count // 2 < below + inside


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_stripes(axis, channels):
    values, keep = image(6, (8, 12), nans=False)
    keep[3], keep[:, 4] = False, False
    kernel = stripes._subtract_from_rows if axis == 1 else stripes._subtract_from_columns
    (out, *_), _ = both(kernel, values, keep, channels, *([] if axis == 1 else [5]))
    judge = values.copy()
    for part in np.split(np.arange(values.shape[axis]), channels):
        cut = np.s_[:, part] if axis == 1 else np.s_[part]
        level = np.ma.median(np.ma.array(values[cut], mask=~keep[cut]), axis=axis, keepdims=True)
        judge[cut] -= np.ma.filled(level, 0)
    np.testing.assert_allclose(out, judge, atol=1e-6)


def test_background_and_limits_in_one_pass():
    values, keep = image(7, nans=False)
    (out, mask, *_), _ = both(flicker._subtract_and_clip, values, keep, np.float32(3), 0.0, 6.0, -1.0, 2.0)
    np.testing.assert_array_equal(out, values - np.float32(3))
    np.testing.assert_array_equal(mask, keep & (values >= 0) & (values <= 6) & (out >= -1) & (out <= 2))


# --- images out of a ramp and back


@pytest.mark.parametrize("has_flat", [False, True])
def test_images_out_of_a_ramp_and_back(has_flat):
    group, scene_mask = image(8)
    base, _ = image(9)
    flags = np.random.default_rng(8).choice([0, 1, 4, 2], group.shape).astype(np.uint8)
    flat = np.random.default_rng(9).uniform(0.5, 1.5, group.shape).astype(np.float32)
    out, keep = np.empty(group.shape, np.float32), np.empty(group.shape, bool)
    taken, _ = both(_flicker_ramp.take_image, group, base, flags, np.uint8(5), scene_mask, flat, has_flat, out, keep)
    change = (group - base) / (flat if has_flat else np.float32(1))
    np.testing.assert_array_equal(taken[-2], np.nan_to_num(change, nan=0))
    np.testing.assert_array_equal(taken[-1], ~np.isnan(change) & scene_mask & (flags & 5 == 0))
    cleaned, _ = image(10, nans=False)
    new = taken[-2] * flat if has_flat else taken[-2]
    put, _ = both(_flicker_ramp.put_difference, group, base, cleaned, taken[-2], flat, has_flat)
    np.testing.assert_array_equal(put[0], cleaned + np.where(np.isnan(change), np.nan, new))
    np.testing.assert_array_equal(put[1], group)
    put, _ = both(_flicker_ramp.put_image, group, base, taken[-2], flat, has_flat)
    np.testing.assert_array_equal(put[0], base + np.where(np.isnan(change), np.nan, new))


def test_median_over_integrations():
    rng = np.random.default_rng(11)
    block = rng.normal(0, 1, (6, 3, 4, 5)).astype(np.float32)
    block[rng.random(block.shape) < 0.2] = np.nan
    block[:, 1, 2, 3] = np.nan
    (_, out), _ = both(_flicker_median_image.median_over_integrations, block, np.empty((3, 4, 5), np.float32))
    assert np.isnan(out[1, 2, 3])
    block[:, 1, 2, 3] = 0
    out[1, 2, 3] = 0
    np.testing.assert_allclose(out, np.nanmedian(block, axis=0), rtol=1e-6)


def test_picture_frame():
    first, _ = image(12)
    group, _ = image(13)
    pattern, _ = image(14, nans=False)
    (_, _, change), _ = both(picture_frame._difference, group, first, np.empty(first.shape, np.float32))
    np.testing.assert_array_equal(change, group - first)
    numbers = np.float32([0.7, 1.3, 0.2])
    (out, *_), _ = both(picture_frame._subtract_pattern, group, first, change, pattern, *numbers)
    np.testing.assert_allclose(out, change + first - (1.3 * (pattern - 0.7) + 0.2), atol=1e-5)


# --- NSClean


def test_turning_images_to_lines():
    values, _ = image(15, (40, 70), nans=False)
    for flip in (False, True):
        (_, out, _), _ = both(nsclean._transpose, values, np.empty((70, 40), np.float32), flip)
        np.testing.assert_array_equal(out, values.T[::-1] if flip else values.T)
        (_, back, _), _ = both(nsclean._transpose_back, out, np.empty((40, 70), np.float32), flip)
        np.testing.assert_array_equal(back, values)


def test_fit_of_a_line():
    rng = np.random.default_rng(16)
    nx, nvec = 128, 4
    lines = rng.normal(0, 1, (3, nx)).astype(np.float32)
    lines[1, 5] = 500  # an outlier counts as the median of the line
    keep, weight = rng.random(lines.shape) < 0.7, rng.uniform(1, 2, lines.shape).astype(np.float32)
    keep[1, 5], keep[2] = True, False
    angle = 2 * np.pi * np.arange(nx)[:, None] * np.arange(nvec) / nx
    wave = np.concatenate((np.cos(angle), np.sin(angle)), axis=1)
    factor = np.array([1.0, 1.0, 1.0, 0.5])
    _, model = both(nsclean._fit_lines, lines, keep, weight, wave, wave.T.copy(), factor, 0, 3.0)
    for y in range(2):
        d, p = lines[y][keep[y]].astype(float), weight[y][keep[y]].astype(float)
        middle = np.median(d)
        limit = 3 * 1.4826 * np.median(np.abs(d - middle))
        d = np.where(np.abs(d - middle) <= limit, d, middle)
        basis = np.exp(1j * angle[keep[y]]) * p[:, None]
        found = np.linalg.lstsq(basis, p * d, rcond=None)[0] * factor
        found[1:] *= 2
        np.testing.assert_allclose(model[y], (np.exp(1j * angle) @ found).real, atol=1e-6)
    assert not model[2].any()


def test_smoothing_across_lines():
    lines, _ = image(17, (12, 10), nans=False)
    model, _ = image(18, (12, 10), nans=False)
    taps = np.array([0.2, 0.5, 0.3])
    (out, *_), _ = both(nsclean._subtract_smoothed, lines, model, taps, 1)
    level = sum(t * np.roll(model, (1 + k, 1), axis=(0, 1)) for k, t in zip((-1, 0, 1), taps, strict=True))
    np.testing.assert_allclose(out, lines - level, atol=1e-6)


def test_inverse_density():
    density = np.abs(image(19, (4, 6), nans=False)[0])
    _, out = both(nsclean._invert_density, density, np.float32(0.5), 1)
    np.testing.assert_allclose(out, 1 / np.maximum(np.roll(density, 1, axis=0), 0.5), rtol=1e-6)


def test_fit_of_a_section():
    rng = np.random.default_rng(20)
    ny, nx, pause = 5, 24, 3
    ticks = ny * (nx + pause)
    lines = rng.normal(0, 1, (ny, nx)).astype(np.float32)
    keep = rng.random(lines.shape) < 0.8
    used = np.array([0, 1, 2, 3, ticks // 2])
    factor = np.array([1, 1, 1, 0.4, 0.7])
    kernel = nsclean_subarray._fit_section
    arrays = lines, keep, used, factor, 4.0, 36, pause, 1e-9, np.empty((ny, nx))
    (*_, model), solved = both(kernel, *arrays)
    assert solved
    tick = (np.arange(ny)[:, None] * (nx + pause) + np.arange(nx))[keep]
    inside = np.zeros(ticks)
    inside[tick] = 1
    x = np.arange(-(ticks // 2) - 1, ticks - ticks // 2 - 1)
    gauss = np.where(np.abs(x) <= 36, stats.norm.pdf(x, scale=4.0), 0)
    density = np.array([sum(gauss * inside[(t - 1 - x) % ticks]) for t in tick])
    weight = 1 / density
    basis = np.exp(2j * np.pi * tick[:, None] * used / ticks)
    found = np.linalg.lstsq(basis * weight[:, None], weight * lines[keep], rcond=None)[0] * factor
    found[1:] *= 2
    grid = np.arange(ny)[:, None] * (nx + pause) + np.arange(nx)
    judge = (np.exp(2j * np.pi * grid[..., None] * used / ticks) @ found).real
    np.testing.assert_allclose(model, judge, atol=1e-7)


# --- emicorr


def wave(seed=0, n=32):
    rng = np.random.default_rng(seed)
    phase = (np.arange(n) + 0.5) / n
    return _emicorr_joint.WaveSpline(np.sin(2 * np.pi * phase) + 0.3 * np.cos(4 * np.pi * phase + rng.random()))


def test_scatter_of_ramps():
    data = np.random.default_rng(1).normal(9000, 5, (2, 5, 4, 6)).astype(np.float32)
    (_, out), _ = both(_emicorr_joint.scatter_of_ramps, data, np.empty((2, 4, 6), np.float32))
    np.testing.assert_allclose(out, data.astype(float).std(axis=1), rtol=1e-6)


def test_sums_and_counts_by_phase():
    rng = np.random.default_rng(2)
    groups = rng.normal(0, 1, (3, 4, 8)).astype(np.float32)
    quiet = rng.random((4, 8)) < 0.7
    groups[:, ~quiet] = np.nan
    index = rng.integers(0, 5, (4, 2)).astype(np.int32)
    (*_, sums), _ = both(_emicorr_joint.sum_by_phase, groups, quiet, index, np.empty((3, 5)))
    (*_, counts), _ = both(_emicorr_joint.count_by_phase, quiet, index, np.empty(5))
    per_pixel = np.repeat(index, 4, axis=1)
    for p in range(5):
        here = quiet & (per_pixel == p)
        assert counts[p] == here.sum()
        np.testing.assert_allclose(sums[:, p], groups[:, here].astype(float).sum(axis=1), rtol=1e-12)


def test_trial_coefficients_are_those_of_line_fits():
    rng = np.random.default_rng(3)
    spline, ngroups, nphases, trials = wave(), 5, 32, 7
    sums, counts = rng.normal(0, 1, (2, ngroups, nphases)), rng.integers(1, 9, (2, nphases)).astype(float)
    _, out = both(_emicorr_joint.trial_coefficients, sums, counts, spline.steps, 0.37, trials)
    lines = np.vander(np.arange(ngroups), 2)
    project = np.eye(ngroups) - lines @ np.linalg.pinv(lines)  # what a straight line leaves
    for k in range(trials):
        phases = (np.arange(nphases) + 0.5) / nphases + 0.37 * np.arange(ngroups)[:, None] + k / trials
        z = np.array([[_emicorr_joint._evaluate(spline.steps, p) for p in row] for row in phases])
        a = np.einsum("ip,gp,gh,hp->i", counts, z, project, z)
        b = -2 * np.einsum("gp,gh,ihp->i", z, project, sums)
        np.testing.assert_allclose(out[:, k], [a, b], atol=1e-9)


def test_subtracting_a_wave():
    rng = np.random.default_rng(4)
    spline, phase = wave(), rng.random((3, 2))
    groups = rng.normal(1000, 1, (4, 3, 8)).astype(np.float32)
    (out, *_), _ = both(_emicorr_joint.subtract_wave, groups, phase, spline.steps, 1.4, 0.2, 0.31)
    at = phase + 0.2 + 0.31 * np.arange(4)[:, None, None]
    level = np.vectorize(lambda p: _emicorr_joint._evaluate(spline.steps, p))(at)
    np.testing.assert_allclose(out, groups - 1.4 * np.repeat(level, 4, axis=2), atol=2e-4)


@pytest.mark.parametrize("ngroups", [3, 4, 5, 9, 12])
@pytest.mark.parametrize("nans", [False, True])
def test_residuals_of_ramps(ngroups, nans):
    rng = np.random.default_rng(ngroups)
    groups = (rng.normal(0, 3, (ngroups, 3, 20)) + 10 * np.arange(ngroups)[:, None, None]).astype(np.float32)
    if nans:
        groups[1, 1, 13] = np.nan
    network = _emicorr_sequential.merge_exchange(ngroups - 2)
    arrays = groups, network, 8, np.empty((ngroups, 3, 5), np.float32)
    (*_, out), _ = both(_emicorr_sequential.residuals_of_ramps, *arrays)
    inner = groups[1:-1].astype(float)
    if ngroups == 3:  # no line through one point
        assert np.isnan(out).all()
        return
    t = np.arange(ngroups - 2) - (ngroups - 3) / 2
    slope = np.tensordot(t, inner, 1) / (t**2).sum()
    rest = (groups - slope * np.arange(ngroups)[:, None, None]).astype(np.float32)
    with np.errstate(invalid="ignore"):
        level = np.min(rest[1:-1], axis=0) if ngroups == 4 else np.median(rest[1:-1], axis=0)
    judge = (rest - level).reshape(ngroups, 3, 5, 4).mean(axis=3)
    judge[..., 1] = judge[..., 2] = (judge[..., 0] + judge[..., 3]) / 2
    np.testing.assert_allclose(out, judge, atol=1e-4)


def test_levels_of_groups():
    rest = np.random.default_rng(5).normal(0, 1, (3, 10, 7)).astype(np.float32)
    rest[1, 2, 3] = np.nan
    _, out = both(_emicorr_sequential.group_levels, rest)
    assert np.isnan(out[1])
    np.testing.assert_array_equal(out[[0, 2]], np.median(rest[[0, 2]], axis=(1, 2)))


def test_folding_by_phase():
    rng = np.random.default_rng(6)
    rest = rng.normal(0, 1, (3, 4, 6)).astype(np.float32)
    level = np.float32([0.1, -0.2, 0.3])
    timing, period, steps, first = (50, 1, 320, 5, 3), 16.0, 8, 7
    _, counts = both(_emicorr_sequential.bin_counts, 3, 4, 6, first, timing, period, steps)
    start = np.concatenate(([0], np.cumsum(counts.sum(axis=0))))
    place = np.cumsum(counts, axis=0) - counts + start[:-1]
    out = np.zeros(int(start[-1]), np.float32)
    (*_, out), _ = both(_emicorr_sequential.deal_to_bins, rest, level, first, timing, period, place, out)
    g, y, k = np.ogrid[:3, :4, :6]
    tick = first + 320 * g + 50 * y + k + 3 * (k == 5)
    phase = tick / period % 1
    for b in range(steps):
        here = (phase > b / steps) & (phase <= (b + 1) / steps)
        judge = (rest - level[:, None, None])[here]
        np.testing.assert_array_equal(out[start[b] : start[b + 1]], judge)
    means = _emicorr_sequential.clipped_means(out.copy(), start, 3.0, 5)
    np.testing.assert_allclose(means, [out[a:b].astype(float).mean() for a, b in itertools.pairwise(start)])
    table = rng.normal(0, 1, 17)
    groups = rng.normal(100, 1, (3, 4, 24)).astype(np.float32)
    (found, *_), _ = both(_emicorr_sequential.subtract_table, groups, table, first, timing, period)
    judge = groups - np.repeat(table[(phase * period).astype(int)], 4, axis=2)
    np.testing.assert_allclose(found, judge, atol=1e-5)


# --- flags of MIRI


@pytest.mark.parametrize("keep_bright", [False, True])
def test_first_group(keep_bright):
    rng = np.random.default_rng(7)
    groupdq = rng.choice([0, 2, 4], (2, 4, 5, 6)).astype(np.uint8)
    pixeldq = rng.choice([0, 1024], (5, 6)).astype(np.uint32)
    (flags, pixels, _), _ = both(firstframe.flag_first_group_inplace, groupdq, pixeldq, keep_bright)
    bright = (groupdq[:, 2] & SATURATED != 0) & keep_bright
    judge = groupdq.copy()
    judge[:, 0] |= np.where(bright, 0, DO_NOT_USE).astype(np.uint8)
    np.testing.assert_array_equal(flags, judge)
    np.testing.assert_array_equal(pixels, pixeldq | np.where(bright.any(axis=0), FLUX_ESTIMATED, 0))


def test_first_groups_of_rscd():
    rng = np.random.default_rng(8)
    start = rng.integers(0, 14, (3, 1, 5, 6))
    groupdq = np.where(np.arange(9).reshape(1, -1, 1, 1) >= start, SATURATED, 0).astype(np.uint8)
    pixeldq = np.zeros((5, 6), np.uint32)
    (flags, pixels, *_), counts = both(rscd.flag_first_groups_inplace, groupdq, pixeldq, 0, 2, 4)
    saturates = start[:, 0]
    asked = np.array([2, 4, 4])[:, None, None]
    # the second group after the flagged ones is number asked + 1, from 0
    fits = np.where(saturates == 0, asked, np.clip(saturates - 2, 0, asked))
    np.testing.assert_array_equal((flags & DO_NOT_USE != 0).sum(axis=1), fits)
    np.testing.assert_array_equal(pixels != 0, (fits < asked).any(axis=0))
    assert counts[0].tolist() == [(fits[0] < 2).sum(), (fits[1:] < 4).any(axis=0).sum()]
    assert counts[2].tolist() == [(fits[0] == 0).sum(), (fits[1:] == 0).any(axis=0).sum()]


# --- threads


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="this machine has one thread")
def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(9)
    ramp = rng.normal(500, 5, (1, 12, 64, 72)).astype(np.float32)
    spline = wave(n=100)

    def run():
        data, picture = ramp.copy(), ramp[0, 0].copy()
        rest = np.empty((12, 64, 18), np.float32)
        _emicorr_sequential.residuals_of_ramps(data[0], _emicorr_sequential.merge_exchange(10), 64, rest)
        sums = np.empty((1, 12, 100))
        index = rng_index.astype(np.int32)
        _emicorr_joint.sum_by_phase(data[0], np.ones((64, 72), bool), index, sums[0])
        found = _emicorr_joint.trial_coefficients(sums, np.ones((1, 100)), spline.steps, 0.3, 50)
        flicker.clean_image_inplace(picture, np.ones(picture.shape, bool), flicker.FlickerFit(background="model"))
        section = ramp[0, 1].copy()
        nsclean_subarray.clean_subarray_inplace(section, np.ones(section.shape, bool), False)
        return rest, found, picture, section

    rng_index = rng.integers(0, 100, (64, 18))
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = run()
        numba.set_num_threads(2)
        two = run()
    finally:
        numba.set_num_threads(before)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
