"""Kernels of the first steps of stage 1: compiled, plain Python and a simple NumPy judge give the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from jwstsm.core import dq
from jwstsm.core.detector import DetectorWindow
from jwstsm.stage1 import _dark_ramp, _refpix_miri, _refpix_nir, _refpix_statistics, _saturation_kernels, dark_current
from jwstsm.stage1 import dq_init as dq_init_module
from jwstsm.stage1 import ipc as ipc_module
from jwstsm.stage1 import linearity as linearity_module
from jwstsm.stage1 import saturation as saturation_module
from jwstsm.stage1 import superbias as superbias_module


def both(kernel, *arrays, **values):
    """Run a kernel compiled and as plain Python on copies; check that they agree; return the first run's copies."""
    compiled = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    plain = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    first, second = kernel(*compiled, **values), kernel.py_func(*plain, **values)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    if first is not None:
        for a, b in zip(np.atleast_1d(first), np.atleast_1d(second), strict=True):
            np.testing.assert_array_equal(a, b)
    return compiled, first


def counts(rng, shape, low=-50, high=70000):
    """Return random counts with NaN and exact zeros among them."""
    data = rng.uniform(low, high, shape).astype(np.float32)
    data[rng.random(shape) < 0.02] = np.nan
    data[rng.random(shape) < 0.02] = 0.0
    return data


# --- dq_init, superbias, dark_current


def test_dq_init():
    rng = np.random.default_rng(1)
    groupdq = rng.choice([0, 4], (2, 3, 6, 7)).astype(np.uint8)
    pixeldq = rng.choice([0, 1024], (6, 7)).astype(np.uint32)
    mask = rng.choice([0, 0, 1, 2**31, 2048 + 1], (6, 7)).astype(np.uint32)
    (g, p, _), _ = both(dq_init_module.init_dq_inplace, groupdq, pixeldq, mask)
    np.testing.assert_array_equal(p, pixeldq | mask)
    np.testing.assert_array_equal(g, groupdq | (mask & 1).astype(np.uint8))


@pytest.mark.parametrize("keep_zeros", [False, True])
def test_superbias(keep_zeros):
    rng = np.random.default_rng(2)
    planes, bias = counts(rng, (3, 6, 7)), counts(rng, (6, 7))
    (out, _, _), _ = both(superbias_module.subtract_bias_inplace, planes, bias, keep_zeros)
    judge = planes - np.nan_to_num(bias)
    if keep_zeros:
        judge[planes == 0] = 0
    np.testing.assert_array_equal(out, judge)


def test_dark_planes_and_their_subtraction():
    rng = np.random.default_rng(3)
    last, before = counts(rng, (6, 7)), counts(rng, (6, 7))
    total = rng.normal(size=(6, 7))
    (out, _), _ = both(_dark_ramp.add_plane_inplace, total, last)
    np.testing.assert_array_equal(out, total + np.nan_to_num(last))
    (out, *_), _ = both(_dark_ramp.add_line_inplace, total, last, before, 3.0)
    np.testing.assert_allclose(out, total + np.nan_to_num(last + 3.0 * (last - before).astype(float)), rtol=1e-12)
    data = counts(rng, (4, 3, 6, 7))
    (out, *_), _ = both(dark_current.subtract_group_inplace, data, 1, 3, 2, last)
    judge = data.copy()
    judge[1:3, 2] -= np.nan_to_num(last)
    np.testing.assert_array_equal(out, judge)


# --- saturation


def plane_by_plane(data, groupdq, threshold, bias, grow, nframes):
    """Flag saturation the simple way: groups in order, each plane grown by itself."""
    groupdq = groupdq.copy()
    nints, ngroups = data.shape[:2]
    square = np.ones((2 * grow + 1,) * 2, bool)
    with np.errstate(invalid="ignore"):
        for i in range(nints):
            running = np.zeros(threshold.shape, bool)
            for g in range(ngroups):
                running |= data[i, g] >= threshold
                saturated = ndimage.binary_dilation(running, square)
                groupdq[i, g][saturated] |= dq.SATURATED
                groupdq[i, g][data[i, g] <= 0] |= dq.AD_FLOOR | dq.DO_NOT_USE
            if nframes is None:
                continue
            frames = np.arange(1, nframes * ngroups + 1).reshape(ngroups, nframes)
            for g in range(ngroups - 2, -1, -1):
                dilution = frames[g].mean() / frames[g][-1]
                if dilution == 1 or threshold.max() == 0:
                    continue
                lowered = np.where(threshold == 65536, threshold, threshold * dilution)
                partly = (data[i, g] >= lowered) & ((groupdq[i, g] & 3) == 0) & ((groupdq[i, g + 1] & 2) != 0)
                groupdq[i, g][ndimage.binary_dilation(partly, square)] |= dq.DO_NOT_USE
            if ngroups > 2:
                d0, d1 = data[i, 0], data[i, 1]
                suspect = (d0 - bias).astype(float) / frames[0].mean() * frames[2][-1] + bias < threshold
                suspect &= (d1 - d0) > (threshold - d0) / np.float32(nframes)
                suspect &= ((groupdq[i, 2] & 2) != 0) & ((groupdq[i, 1] & 2) == 0)
                groupdq[i, 1][suspect] |= dq.DO_NOT_USE
    return groupdq


def ramps(rng, nints, ngroups, ny=14, nx=17):
    """Return ramps of which some saturate early, some late, with jumps, floors and NaN."""
    slope = rng.lognormal(6.5, 1.2, (nints, 1, ny, nx))
    jumps = np.where(rng.random((nints, ngroups, ny, nx)) < 0.05, rng.lognormal(8, 1, (nints, ngroups, ny, nx)), 0)
    data = 500 + slope * np.arange(1, ngroups + 1)[:, None, None] + np.cumsum(jumps, axis=1)
    data = np.minimum(data, 9000).astype(np.float32)
    data[rng.random(data.shape) < 0.01] = 0
    data[rng.random(data.shape) < 0.01] = np.nan
    return data


@pytest.mark.parametrize("grow", [0, 1, 2])
@pytest.mark.parametrize("nframes", [None, 1, 4])
@pytest.mark.parametrize("ngroups", [1, 2, 6])
def test_saturation_equals_growing_plane_by_plane(grow, nframes, ngroups):
    rng = np.random.default_rng(10 * ngroups + grow)
    data = ramps(rng, 2, ngroups)
    groupdq = np.where(rng.random((14, 17)) < 0.05, 1, 0).astype(np.uint8) * np.ones(data.shape, np.uint8)
    raw = rng.normal(8000, 300, (14, 17)).astype(np.float32)
    raw[rng.random(raw.shape) < 0.05] = np.nan
    flags = np.where(rng.random(raw.shape) < 0.05, dq.NO_SAT_CHECK, 0).astype(np.uint32)
    bias = rng.normal(400, 50, raw.shape).astype(np.float32)
    _, (threshold, bits) = both(_saturation_kernels.usable_threshold, raw, flags)
    np.testing.assert_array_equal(threshold, np.where(np.isnan(raw) | (flags != 0), 65536, raw))
    np.testing.assert_array_equal(bits != 0, threshold == 65536)
    judge = plane_by_plane(data, groupdq, threshold, bias, grow, nframes)
    assert (judge & dq.SATURATED).any()
    out = groupdq.copy()
    saturation_module.flag_saturation_inplace(data, out, threshold, bias, np.arange(14), grow=grow, nframes=nframes)
    np.testing.assert_array_equal(out, judge)


@pytest.mark.parametrize("embedded", [False, True])
def test_saturation_kernels_are_the_same_in_plain_python(embedded):
    rng = np.random.default_rng(4)
    data = ramps(rng, 2, 5)
    rows = np.array([0, 1, 2, 5, 6, 7, 8, 11, 12])
    threshold, bias = (rng.normal(m, 100, (9, 17)).astype(np.float32) for m in (5000, 400))
    groupdq, first = np.zeros(data.shape, np.uint8), np.zeros((2, 9, 17), np.uint16)
    (_, groupdq, _, _, first), _ = both(_saturation_kernels.find_first_saturated, data, groupdq, threshold, rows, first)
    assert not groupdq[:, :, [3, 4, 9, 10, 13]].any()
    dilution = saturation_module.dilution_factors(5, 4)
    spread, single, some = np.zeros_like(first), np.zeros_like(first), np.zeros((2, 9), bool)
    done, _ = both(
        _saturation_kernels.flag_groups,
        data, groupdq, threshold, bias, rows, first, 1, dilution, 4, True, embedded, spread, single, some,
    )  # fmt: skip
    assert done[-1].any()
    both(_saturation_kernels.grow_single_groups, done[1], done[-2], done[-1], rows, 1, embedded)
    zeroframe = counts(rng, (2, 14, 17), high=6000)
    (out, *_), _ = both(_saturation_kernels.zero_bad_zeroframe, zeroframe, threshold, rows, 1)
    with np.errstate(invalid="ignore"):
        hot = np.stack([ndimage.binary_dilation(z >= threshold, np.ones((3, 3))) for z in zeroframe[:, rows]])
        bad = hot | (zeroframe[:, rows] <= 0)
    np.testing.assert_array_equal(out[:, rows], np.where(bad, 0, zeroframe[:, rows]))
    np.testing.assert_array_equal(out[:, [3, 4]], zeroframe[:, [3, 4]])


# --- ipc


@pytest.mark.parametrize("size", [(3, 3), (5, 3), (1, 1)])
@pytest.mark.parametrize("per_pixel", [False, True])
def test_ipc_is_a_convolution(size, per_pixel):
    rng = np.random.default_rng(5)
    planes = rng.normal(100, 30, (2, 9, 11)).astype(np.float32)
    planes[0, 4, 5] = np.nan
    rows, x0, x1 = np.array([1, 2, 3, 5, 6, 8]), 2, 10
    shape = (*size, 6, 8) if per_pixel else (*size, 1, 1)
    kernel = rng.normal(0, 1, shape).astype(np.float32)
    (out, *_), _ = both(ipc_module.convolve_ipc_inplace, planes, kernel, rows, x0, x1)
    ky, kx = size
    judge = planes.copy()
    for p in range(2):
        padded = np.pad(planes[p][rows, x0:x1].astype(float), ((ky // 2, ky // 2), (kx // 2, kx // 2)))
        total = np.zeros((6, 8))
        for j in range(ky):
            for i in range(kx):
                total += kernel[j, i] * padded[ky - 1 - j : ky - 1 - j + 6, kx - 1 - i : kx - 1 - i + 8]
        judge[p][np.ix_(rows, range(x0, x1))] = total
    np.testing.assert_allclose(out, judge, rtol=1e-4, atol=1e-3)


# --- linearity


@pytest.mark.parametrize("ncoeffs", [2, 4, 5, 9])
def test_linearity_is_the_polynomial_where_it_is_known(ncoeffs):
    rng = np.random.default_rng(ncoeffs)
    data, zeroframe = counts(rng, (2, 3, 6, 7)), counts(rng, (2, 6, 7))
    groupdq = rng.choice([0, 1, 2, 3], data.shape).astype(np.uint8)
    scale = 1e-5 ** np.maximum(0, np.arange(ncoeffs) - 1)
    coefficients = (rng.uniform(0.5, 1.5, (ncoeffs, 6, 7)) * scale[:, None, None]).astype(np.float32)
    coefficients[-1, 0, 0], coefficients[0, 1, 1], coefficients[1, 2, 2] = np.nan, np.nan, 0.0
    flags = np.zeros((6, 7), np.uint32)
    flags[3, 3], flags[4, 4] = dq.NO_LIN_CORR, dq.HOT
    pixeldq = np.zeros((6, 7), np.uint32)
    (out, _, zero, _, _, bits), _ = both(
        linearity_module.linearize_inplace, data, groupdq, zeroframe, coefficients, flags, pixeldq
    )
    bad = np.isnan(coefficients).any(axis=0) | (coefficients[1] == 0) | (flags == dq.NO_LIN_CORR)
    np.testing.assert_array_equal(bits, np.where(bad, dq.NO_LIN_CORR, 0))
    straight = sum(c.astype(float) * data.astype(float) ** k for k, c in enumerate(coefficients))
    judge = np.where(bad | ((groupdq & 2) != 0), data, straight)
    np.testing.assert_allclose(out, judge, rtol=1e-5, atol=1e-4)
    judge = np.where(
        bad | (zeroframe == 0), zeroframe, sum(c * zeroframe.astype(float) ** k for k, c in enumerate(coefficients))
    )
    np.testing.assert_allclose(zero, judge, rtol=1e-5, atol=1e-4)


def frames_judge(ramp, state, forward, inverse, nframes):
    """Correct one pixel frame by frame in plain NumPy."""
    ngroups = ramp.size
    mean_frame = np.arange(1, nframes * ngroups + 1).reshape(ngroups, nframes).mean(axis=1)
    last = max(np.count_nonzero(~state) - 1, 2) - 1
    ends = [ramp[g] if state[g] else np.polyval(forward[::-1], ramp[g]) for g in (0, last)]
    rate = (ends[1] - ends[0]) / (mean_frame[last] - mean_frame[0])
    out = ramp.copy()
    for g in np.flatnonzero(~state):
        frames = np.arange(g * nframes + 1, (g + 1) * nframes + 1)
        bent = np.polyval(inverse[::-1], ends[0] + rate * (frames - mean_frame[0]))
        out[g] = np.polyval(forward[::-1], bent + ramp[g] - bent.mean()).mean()
    return out


def test_linearity_frame_by_frame():
    rng = np.random.default_rng(8)
    data = np.cumsum(rng.uniform(500, 3000, (2, 5, 4, 6)), axis=1).astype(np.float32)
    groupdq = np.where(data > 9000, 2, 0).astype(np.uint8)
    groupdq[0, :, 0, 0] = 2
    forward = np.stack([np.full((4, 6), v) for v in (0.3, 1.0, 4e-6, 1e-11, 0.0)]).astype(np.float32)
    inverse = np.stack([np.full((4, 6), v) for v in (-0.3, 1.0, -4e-6)]).astype(np.float32)
    flags = np.zeros((4, 6), np.uint32)
    (out, *_), _ = both(linearity_module.linearize_frames_inplace, data, groupdq, forward, inverse, flags, flags.copy(), 3)
    for i, y, x in np.ndindex(2, 4, 6):
        judge = frames_judge(
            data[i, :, y, x].astype(float),
            (groupdq[i, :, y, x] & 2) != 0,
            forward[:, y, x].astype(float),
            inverse[:, y, x].astype(float),
            3,
        )
        np.testing.assert_allclose(out[i, :, y, x], judge, rtol=1e-6)


# --- refpix


def clipped_judge(values, limit):
    """Return the mean after repeated clipping."""
    while values.size:
        low, high = values.mean() - limit * values.std(), values.mean() + limit * values.std()
        kept = values[(values >= low) & (values <= high)]
        if kept.size in (0, values.size):
            return values.mean()
        values = kept
    return np.nan


def test_clipped_means():
    rng = np.random.default_rng(11)
    pixels = rng.normal(10, 3, (4, 60)).astype(np.float32)
    pixels[:, ::9] += 80
    pixels[1] = 7.0
    pixels[2, 5:9] = np.nan
    groups = rng.integers(-1, 3, 60)
    _, out = both(_refpix_statistics.clipped_means, pixels, groups, 4, 2.5)
    for p, s in np.ndindex(4, 4):
        values = pixels[p, groups == s].astype(float)
        np.testing.assert_allclose(out[p, s], clipped_judge(values[~np.isnan(values)], 2.5), rtol=1e-12)
    assert np.isnan(out[:, 3]).all()


@pytest.mark.parametrize("length", [1, 2, 3, 8, 11])
@pytest.mark.parametrize(("row0", "nrows"), [(0, 24), (0, 9), (17, 7), (6, 5)])
def test_running_medians(length, row0, nrows):
    rng = np.random.default_rng(length)
    strips, size = rng.normal(0, 5, (2, nrows, 4)), 24
    strips[0, 2, 1] = np.nan
    usable = rng.random((nrows, 4)) > 0.2
    usable[1:4] = False
    _, out = both(_refpix_statistics.running_medians, strips, usable, row0, size, length)
    whole = np.full((2, size, 4), np.nan)
    whole[:, row0 : row0 + nrows] = np.where(usable, strips, np.nan)
    half = length // 2
    mirrored = np.pad(whole, ((0, 0), (half, half), (0, 0)), mode="reflect")
    for p, r in np.ndindex(2, nrows):
        window = mirrored[p, row0 + r : row0 + r + length]
        window = window[~np.isnan(window)]
        np.testing.assert_allclose(out[p, r], np.median(window) if window.size else np.nan)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_levels_are_subtracted_by_column_section_and_row(transposed, keep_zeros):
    rng = np.random.default_rng(12)
    planes = counts(rng, (2, 6, 8))
    ncols, nrows = (6, 8) if transposed else (8, 6)
    columns, rows = rng.normal(size=(2, ncols)), rng.normal(size=(2, 3, nrows))
    edges = np.array([0, 2, 3, ncols])
    (out, *_), _ = both(_refpix_nir.subtract_levels_inplace, planes, columns, rows, edges, transposed, keep_zeros)
    section = np.searchsorted(edges, np.arange(ncols), side="right") - 1
    image = columns[:, None, :] + rows[:, section].swapaxes(1, 2)
    judge = (planes - (image.swapaxes(1, 2) if transposed else image)).astype(np.float32)
    if keep_zeros:
        judge[planes == 0] = 0
    np.testing.assert_allclose(out, judge, rtol=1e-6, atol=1e-6)


def test_interleaved_levels_are_subtracted_after_the_first_group():
    rng = np.random.default_rng(14)
    data, levels = counts(rng, (2, 3, 5, 9)), rng.normal(size=(2, 2, 2, 4))
    (out, _), _ = both(_refpix_miri.subtract_interleaved_inplace, data, levels)
    judge = data.copy()
    judge[:, 1:] = data[:, 1:] - levels[:, :, np.arange(5)[:, None] % 2, np.arange(9) % 4]
    np.testing.assert_allclose(out, judge, rtol=1e-6, atol=1e-6)


def refpix_judge(plane, good, length, limit):
    """Correct one plane in detector orientation the simple way."""
    size = plane.shape[0]
    out = plane.astype(float)
    for a in range(4):
        for parity in (0, 1):
            columns = slice(a * size // 4 + parity, (a + 1) * size // 4, 2)
            ends = [
                clipped_judge(plane[r, columns][good[r, columns]].astype(float), limit)
                for r in (slice(0, 4), slice(size - 4, size))
            ]
            out[:, columns] -= np.nanmean(ends)
    sides = []
    for columns in (slice(0, 4), slice(size - 4, size)):
        strip = np.where(good[:, columns], out[:, columns], np.nan)
        padded = np.pad(strip, ((length // 2, length // 2), (0, 0)), mode="reflect")
        sides.append([np.nanmedian(padded[r : r + length]) for r in range(size)])
    return out - np.mean(sides, axis=0)[:, None]


@pytest.mark.parametrize(("fast", "slow"), [(1, 2), (-1, 2), (1, -2), (-1, -2), (2, 1), (-2, 1), (2, -1), (-2, -1)])
def test_border_correction_in_every_direction(fast, slow):
    rng = np.random.default_rng(13)
    size = 32
    window = DetectorWindow(fast, slow, 0, 0, size, 4, 4)
    planes = rng.normal(0, 20, (2, size, size)).astype(np.float32)
    planes[0, 2, 3] = 4000.0
    flags = np.where(rng.random((size, size)) < 0.05, 1, 0).astype(np.uint32)
    judge = planes.copy()
    for plane in window.view(judge):
        plane[:] = refpix_judge(plane, window.view(flags) == 0, 5, 3.0)
    options = _refpix_nir.BorderOptions(side_smoothing_length=5)
    _refpix_nir.correct_border_inplace(planes, flags, window, options)
    np.testing.assert_allclose(planes, judge, atol=1e-4)
