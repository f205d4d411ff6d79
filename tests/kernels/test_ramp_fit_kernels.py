"""Kernels of the ramp fit: compiled, plain Python and simple fits written pixel by pixel here agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import set_num_threads

from jwstsm.core import dq
from jwstsm.stage1 import _likely
from jwstsm.stage1._likely_jumps import jump_limits, search_limits
from jwstsm.stage1.ramp_fit import ramp_fit
from tests.kernels.plain import plain_python
from tests.kernels.ramps import eventful_ramp

ARRAYS = ("data", "err", "dq", "var_poisson", "var_rnoise")
BAD = dq.DO_NOT_USE | dq.SATURATED


def run_fit(ramp_options: dict, options: dict, jumps: bool = True) -> dict:
    ramp, refs = eventful_ramp(**ramp_options)
    if jumps:
        ramp.groupdq[np.random.default_rng(3).random(ramp.groupdq.shape) < 0.1] |= dq.JUMP_DET
    out = ramp_fit(ramp, refs, **options)
    found = {(suffix, name): getattr(out[suffix], name) for suffix in ("rate", "rateints") for name in ARRAYS}
    if "fitopt" in out:
        found |= {("fitopt", k): v for k, v in vars(out["fitopt"]).items() if isinstance(v, np.ndarray)}
    return found


def assert_same(first: dict, second: dict, rtol=0.0):
    assert first.keys() == second.keys()
    for key in first:
        if rtol:
            # chi^2 of a ramp with one difference is what rounding leaves
            atol = 1e-10 if key[1] == "chisq" else 0.0
            np.testing.assert_allclose(first[key], second[key], rtol=rtol, atol=atol, err_msg=str(key))
        else:
            np.testing.assert_array_equal(first[key], second[key], err_msg=str(key))


CASES = [
    ({}, {}),
    ({"ngroups": 9, "nints": 1}, {"save_opt": True}),
    ({"zeroframe": True, "nframes": 4, "groupgap": 1}, {"suppress_one_group": False, "save_opt": True}),
    ({"ngroups": 1}, {}),
    ({"ngroups": 2}, {"suppress_one_group": False}),
    ({"ngroups": 5}, {"algorithm": "LIKELY", "save_opt": True}),
    ({"ngroups": 8, "nframes": 4, "groupgap": 1, "zeroframe": True}, {"algorithm": "LIKELY", "likely_robust": True}),
    ({"ngroups": 6}, {"algorithm": "LIKELY", "likely_robust": True, "likely_threshold": None}),
]


@pytest.mark.parametrize(("ramp_options", "options"), CASES)
def test_compiled_and_plain_python_fit_the_same(tmp_path, ramp_options, options):
    compiled = run_fit(ramp_options, options)
    plain = plain_python(run_fit, ramp_options, options, folder=tmp_path)
    # powers and roots of the line's details come from another library
    assert_same(compiled, plain, rtol=2e-6 if options.get("save_opt") else 0.0)
    assert np.isfinite(compiled["rate", "data"]).any()


@pytest.mark.parametrize("algorithm", ["OLS_C", "LIKELY"])
def test_one_thread_and_two_and_blocks_of_rows_fit_the_same(algorithm, monkeypatch):
    options = {"algorithm": algorithm, "save_opt": True}
    set_num_threads(1)
    one = run_fit({"ny": 30, "nints": 3}, options)
    set_num_threads(2)
    assert_same(one, run_fit({"ny": 30, "nints": 3}, options))
    monkeypatch.setenv("JWSTSM_MEMORY_LIMIT", "9000")
    assert_same(one, run_fit({"ny": 30, "nints": 3}, options))


# --- least squares against its description


def segments(flags: np.ndarray) -> list[tuple[int, int]]:
    """First group and length of each segment of a ramp."""
    flags = flags & ~np.uint8(dq.PERSISTENCE)
    found, g = [], 0
    while g < flags.size:
        if flags[g] == 0:
            start = g - 1 if g and flags[g - 1] == dq.JUMP_DET else g
            while g < flags.size and flags[g] == 0:
                g += 1
            found.append((start, g - start))
        else:
            g += 1
    long = [s for s in found if s[1] > 1]
    return long or found[:1]


def simple_ols(ramp, gain, readnoise, *, suppress=True):
    """Slopes and variances of every integration and of the exposure, one pixel after the other."""
    r = ramp.readout
    noise = readnoise.astype(float) * gain / np.sqrt(2 * r.nframes)
    nints, ngroups, ny, nx = ramp.data.shape
    limits, powers = [5, 10, 20, 50, 100], [0, 0.4, 1, 3, 6, 10]
    out = np.full((5, nints, ny, nx), np.nan)  # slope, P, R, and the sums slope / R and 1 / R
    out[1:] = 0
    for y, x in np.ndindex(ny, nx):
        if ramp.pixeldq[y, x] & BAD or not gain[y, x] > 0:
            continue
        flags = ramp.groupdq[:, :, y, x].copy()
        values = ramp.data[:, :, y, x].astype(float)
        flags[np.isnan(values) & (flags & dq.SATURATED == 0)] |= dq.DO_NOT_USE
        values[flags & dq.SATURATED != 0] = np.nan
        if suppress and ngroups > 1:
            for i in range(nints):
                if (flags[i] & ~np.uint8(dq.PERSISTENCE) == 0).sum() == 1:
                    flags[i] |= dq.DO_NOT_USE
        medians = []
        for i in range(nints):
            usable = np.where(flags[i] & dq.DO_NOT_USE, np.nan, values[i])
            steps = np.where(flags[i, 1:] & dq.JUMP_DET, np.nan, np.diff(usable)) / r.group_time_s
            steps = steps[np.isfinite(steps)]
            medians.append(np.median(steps) if steps.size else np.nan_to_num(usable[0] / r.group_time_s))
        rate = max(np.mean(medians), 0) + ramp.average_dark_current[y, x]
        g, n = float(gain[y, x]), noise[y, x]
        for i in range(nints):
            if flags[i, 0] & dq.SATURATED or (flags[i] & BAD != 0).all():
                continue
            top = inverse_r = inverse_p = 0.0
            for start, length in segments(flags[i]):
                part = values[i, start : start + length]
                k = np.arange(length)
                if length == 1:
                    slope, read = part[0] / r.group_time_s, 12 * (n / r.group_time_s) ** 2 / 6 / g**2
                else:
                    signal = (part[-1] - part[0]) * g
                    ratio = signal / np.sqrt(n**2 + signal) if n**2 + signal > 0 else 0
                    middle = (length - 1) / 2
                    weight = np.abs((k - middle) / middle) ** powers[np.searchsorted(limits, ratio, side="right")]
                    slope = np.polynomial.polynomial.polyfit(k, part, 1, w=np.sqrt(weight))[1] / r.group_time_s
                    read = 12 * (n / r.group_time_s) ** 2 / (length**3 - length) / g**2
                photon = rate / (r.group_time_s * g * max(length - 1, 1))
                top, inverse_r = top + slope / read, inverse_r + 1 / read
                inverse_p += 1 / photon if photon > 0 else 0
            out[0, i, y, x] = top / inverse_r if inverse_r else 0
            out[1, i, y, x] = 1 / inverse_p if inverse_p else 0
            out[2, i, y, x] = 1 / inverse_r if inverse_r else 0
            out[3:, i, y, x] = top, inverse_r
    return out


@pytest.mark.parametrize(("ngroups", "nints", "nframes"), [(2, 2, 1), (3, 1, 1), (6, 3, 4), (15, 1, 1)])
@pytest.mark.filterwarnings("ignore:The fit may be poorly conditioned")
def test_slopes_and_variances_are_those_of_the_description(ngroups, nints, nframes):
    ramp, refs = eventful_ramp(nints, ngroups, nframes=nframes, seed=ngroups, ny=7)
    ramp.groupdq[np.random.default_rng(3).random(ramp.groupdq.shape) < 0.1] |= dq.JUMP_DET
    noise = refs["readnoise"].array().copy()
    noise[2, 2] = 9  # without read noise every weight is infinite
    refs["readnoise"]._content["SCI"] = noise
    judge = simple_ols(ramp, refs["gain"].array(), noise)
    out = ramp_fit(ramp, refs)
    found = out["rateints"]
    scale = np.maximum(np.sqrt(judge[1] + judge[2]), 1e-9)
    np.testing.assert_allclose(found.data / scale, judge[0] / scale, atol=1e-3)
    np.testing.assert_allclose(found.var_poisson, judge[1], rtol=1e-5)
    np.testing.assert_allclose(found.var_rnoise, judge[2], rtol=1e-5)
    exposure = out["rate"]
    usable = exposure.dq & dq.DO_NOT_USE == 0
    with np.errstate(invalid="ignore"):
        mean = judge[3].sum(axis=0) / judge[4].sum(axis=0)
    usable &= np.isfinite(mean)
    error = exposure.err[usable]
    np.testing.assert_allclose(exposure.data[usable] / error, mean[usable] / error, atol=1e-3)


# --- likelihood against dense matrices


def dense_fit(d, use, photon, read, table):
    """Slope, its variances and chi^2 of the differences in use, by matrices."""
    n = d.size

    def matrix(diagonal, beside):
        full = np.diag(table[diagonal])
        full[np.arange(1, n), np.arange(n - 1)] = full[np.arange(n - 1), np.arange(1, n)] = table[beside, 1:]
        return full[np.ix_(use, use)]

    p, r = photon * matrix(1, 3), read * matrix(2, 4)
    inverse = np.linalg.inv(p + r)
    ones = np.ones(use.sum())
    total = ones @ inverse @ ones
    slope = ones @ inverse @ d[use] / total
    rest = d[use] - slope
    weight = inverse @ ones / total
    return slope, weight @ p @ weight, weight @ r @ weight, rest @ inverse @ rest


def line_through(d, use, step):
    """Slope of an unweighted line through all groups, each difference with the weight it has there."""
    time = np.concatenate([[0], np.cumsum(step)])
    weight = np.array([s * (time[k + 1 :] - time.mean()).sum() for k, s in enumerate(step)])
    if use.all():
        line = np.polyfit(time, np.concatenate([[0], np.cumsum(d * step)]), 1)[0]
        assert line == pytest.approx((weight * d).sum() / weight.sum(), rel=1e-6, abs=1e-9)
    return (weight * d)[use].sum() / weight[use].sum()


def dense_search(d, use, photon, read, sampling, one, two):
    """Drop one or two neighbouring differences at a time by fitting again without them."""
    slope, _, _, chisq = dense_fit(d, use, photon, read, sampling.table)
    while True:
        best = {1: (0.0, None), 2: (0.0, None)}
        for number in (1, 2):
            for k in range(d.size - number + 1):
                which = np.arange(k, k + number)
                if not use[which].all() or use.sum() - number < 1 or (number == 2 and not sampling.pairs[k + 1]):
                    continue
                less = use.copy()
                less[which] = False
                gain = chisq - dense_fit(d, less, photon, read, sampling.table)[3]
                better = gain > best[number][0] * (1 + 1e-9)
                if use.sum() == number + 1 and best[number][1] is not None:
                    better = d[which].sum() > d[best[number][1]].sum()
                if better:
                    best[number] = gain, which
        number = 1 if best[1][0] - one > best[2][0] - two else 2
        if not best[number][0] > (one, two)[number - 1]:
            return use, slope
        use = use.copy()
        use[best[number][1]] = False
        slope, _, _, chisq = dense_fit(d, use, photon, read, sampling.table)
        if use.sum() <= 3:
            return use, slope


@pytest.mark.parametrize(("robust", "limit"), [(False, 4.5), (True, 4.5), (True, None), (False, None)])
@pytest.mark.parametrize(("ngroups", "nframes", "zeroframe"), [(4, 1, False), (7, 1, False), (7, 4, False), (6, 4, True)])
def test_likelihood_slopes_are_those_of_dense_matrices(ngroups, nframes, zeroframe, robust, limit):
    ramp, refs = eventful_ramp(1, ngroups, nframes=nframes, groupgap=nframes // 4, zeroframe=zeroframe, seed=8, ny=8)
    ramp.groupdq[np.random.default_rng(3).random(ramp.groupdq.shape) < 0.05] |= dq.JUMP_DET
    gain, readnoise = refs["gain"].array(), refs["readnoise"].array()
    sampling = _likely.Sampling.of(ramp.readout.read_pattern, ramp.readout.frame_time_s, zeroframe)
    found = ramp_fit(ramp, refs, algorithm="LIKELY", likely_robust=robust, likely_threshold=limit)["rateints"]
    one, two = jump_limits(limit)
    compared = 0
    for y, x in np.ndindex(gain.shape):
        values, flags = ramp.data[0, :, y, x], ramp.groupdq[0, :, y, x].copy()
        flags[np.isnan(values)] |= dq.DO_NOT_USE
        if zeroframe:
            zero = ramp.zeroframe[0, y, x]
            first = (values[0] * np.float32(nframes) - zero) / np.float32(nframes - 1)
            values, flags = np.concatenate([[zero, first], values[1:]]), np.concatenate([flags[:1], flags])
        d = np.diff(values.astype(np.float32)).astype(float) / sampling.table[0]
        before = flags[:-1] & ~np.uint8(dq.JUMP_DET) if robust else flags[:-1]
        use = (before | flags[1:]) == 0
        if not use.any() or not gain[y, x] > 0 or readnoise[y, x] == 0:
            assert np.isnan(found.data[0, y, x]) or readnoise[y, x] == 0
            continue
        known = d[use] if robust else d[np.isfinite(d)]
        read = float(readnoise[y, x]) ** 2 / 2
        photon = max(np.median(known), 0) / gain[y, x]
        d = np.nan_to_num(d)
        if robust and limit is None:
            kept, slope = use, line_through(d, use, sampling.table[0])
        else:
            kept, slope = dense_search(d, use, photon, read, sampling, one, two)
        photon = (max(slope, 0) + ramp.average_dark_current[y, x]) / gain[y, x]
        slope, var_p, var_r, _ = dense_fit(d, kept, photon, read, sampling.table)
        np.testing.assert_allclose(found.data[0, y, x], slope, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.var_poisson[0, y, x], var_p, rtol=1e-4)
        np.testing.assert_allclose(found.var_rnoise[0, y, x], var_r, rtol=1e-4)
        np.testing.assert_allclose(found.err[0, y, x], np.sqrt(var_p + var_r), rtol=1e-4)
        hit = bool(found.dq[0, y, x] & dq.JUMP_DET)
        assert hit == ((kept != use).any() or bool((ramp.groupdq[0, :, y, x] & dq.JUMP_DET).any()))
        compared += 1
    assert compared > 90


def test_limits_of_the_search_follow_the_number_of_ways_to_a_false_alarm():
    one, two, last = search_limits(4.0)
    probability = math.erfc(4 / math.sqrt(2))
    assert one == 16
    assert math.exp(-two / 2) == pytest.approx(probability / 8)
    assert math.erfc(math.sqrt(last / 2)) == pytest.approx(2 * probability)
    assert np.isfinite(search_limits(60.0)).all()


def test_limits_have_the_same_false_alarm_rate():
    assert jump_limits(4.5) == (20.25, 23.8)
    assert jump_limits(None) == (np.inf, np.inf)
    one, two = jump_limits(3.0)
    assert one < two
    assert jump_limits(60.0) == (3600.0, 3610.0)
