"""Slopes of simulated ramps: unbiased, with the scatter their errors claim; hits found, false alarms as rare as promised.

Photons and read noise are drawn frame by frame, and frames are averaged as on board.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from jwstsm.core.dq import JUMP_DET, SATURATED
from jwstsm.stage1.jump import jump
from jwstsm.stage1.ramp_fit import ramp_fit
from tests.builders import FakeReferences, make_ramp

SHAPE = (100, 120)
GAIN, NOISE, FRAME = 1.8, 10.0, 10.7
ROBUST = {"algorithm": "LIKELY", "likely_robust": True}


def exposure(rate, ngroups, *, nframes=1, groupgap=0, nints=1, hits=None, seed=1):
    """Return ramps of one ``rate`` [DN/s] and their references; ``hits`` is ``(group, size [DN])`` for all pixels."""
    rng = np.random.default_rng(seed)
    stride = nframes + groupgap
    ramp = make_ramp(nints, ngroups, *SHAPE, NFRAMES=nframes, GROUPGAP=groupgap, TFRAME=FRAME, TGROUP=stride * FRAME)
    for i in range(nints):
        charge = np.zeros(SHAPE)
        for g in range(ngroups):
            total = np.zeros(SHAPE)
            if hits and g == hits[0]:
                charge += hits[1]
            for frame in range(stride):
                charge += rng.poisson(rate * GAIN * FRAME, SHAPE) / GAIN
                if frame < nframes:
                    total += charge + rng.normal(0, NOISE / math.sqrt(2), SHAPE)
            ramp.data[i, g] = total / nframes
    refs = FakeReferences({"gain": {"SCI": np.full(SHAPE, GAIN)}, "readnoise": {"SCI": np.full(SHAPE, NOISE)}})
    return ramp, refs


def bias_and_scatter(slope, truth):
    """Mean error in units of its own error, and variance over what is claimed."""
    good = np.isfinite(slope.data)
    error = slope.data[good].astype(float) - truth
    return error.mean() / (error.std() / math.sqrt(error.size)), error.var() / np.mean(slope.err[good].astype(float) ** 2)


FLUXES = [0.05, 1.0, 20.0, 300.0]


@pytest.mark.parametrize("rate", FLUXES)
@pytest.mark.parametrize(("ngroups", "nframes"), [(4, 1), (5, 4), (10, 1), (10, 4), (20, 1)])
@pytest.mark.parametrize("options", [{"algorithm": "LIKELY"}, ROBUST])
def test_likelihood_slopes_are_unbiased_and_scatter_as_claimed(rate, ngroups, nframes, options):
    ramp, refs = exposure(rate, ngroups, nframes=nframes, groupgap=nframes // 4)
    out = ramp_fit(ramp, refs, save_opt=True, **options)
    bias, scatter = bias_and_scatter(out["rate"], rate)
    assert abs(bias) < 4
    assert scatter == pytest.approx(1, abs=5 * math.sqrt(2 / ramp.pixeldq.size))
    # chi^2 has a degree of freedom for each difference but one
    chisq = out["fitopt"].chisq
    assert chisq.mean() == pytest.approx(ngroups - 2, abs=5 * math.sqrt(2 * (ngroups - 2) / chisq.size) + 0.02)


@pytest.mark.parametrize("rate", FLUXES)
@pytest.mark.parametrize(("ngroups", "nframes"), [(2, 1), (3, 1), (5, 4), (10, 1), (20, 1)])
def test_least_squares_slopes_are_unbiased_and_scatter_nearly_as_claimed(rate, ngroups, nframes):
    ramp, refs = exposure(rate, ngroups, nframes=nframes, groupgap=nframes // 4)
    slope = ramp_fit(ramp, refs)["rate"]
    bias, scatter = bias_and_scatter(slope, rate)
    # its weights follow the noise of the data, which costs up to 0.5 % near the limits of the signal-to-noise ratio
    assert abs(bias) < 4 or abs(np.nanmean(slope.data) / rate - 1) < 0.005
    assert 0.85 < scatter < 1.15


def test_the_mean_of_integrations_is_unbiased_and_scatters_as_claimed():
    for options in ({}, {"algorithm": "LIKELY"}):
        ramp, refs = exposure(20.0, 6, nints=4)
        bias, scatter = bias_and_scatter(ramp_fit(ramp, refs, **options)["rate"], 20.0)
        assert abs(bias) < 4
        assert 0.93 < scatter < 1.07


@pytest.mark.parametrize("options", [{}, ROBUST])
def test_saturated_ramps_keep_unbiased_slopes(options):
    ramp, refs = exposure(20.0, 10)
    ramp.groupdq[:, 5:] = SATURATED
    bias, scatter = bias_and_scatter(ramp_fit(ramp, refs, **options)["rate"], 20.0)
    assert abs(bias) < 4
    assert 0.9 < scatter < 1.1


@pytest.mark.parametrize("options", [{}, ROBUST])
@pytest.mark.parametrize("size", [200.0, 5000.0])
def test_ramps_with_a_hit_keep_unbiased_slopes(options, size):
    ramp, refs = exposure(5.0, 10, hits=(4, size))
    jump(ramp, refs, flag_4_neighbors=False)
    bias, scatter = bias_and_scatter(ramp_fit(ramp, refs, **options)["rate"], 5.0)
    assert abs(bias) < 4
    # least squares weights its two segments by read noise alone
    assert 0.9 < scatter < (1.1 if options else 1.2)


@pytest.mark.parametrize("rate", [0.05, 20.0])
def test_false_alarms_of_the_likelihood_search_are_those_of_a_gaussian(rate):
    ramp, refs = exposure(rate, 10, nints=4)
    found = ramp_fit(ramp, refs, algorithm="LIKELY", likely_threshold=3.0)["rateints"].dq & JUMP_DET != 0
    expected = 9 * math.erfc(3 / math.sqrt(2))
    assert found.mean() == pytest.approx(expected, rel=0.2)


def test_false_alarms_of_the_two_point_difference_are_those_of_a_gaussian_for_long_ramps():
    ramp, refs = exposure(0.05, 30)
    jump(ramp, refs, flag_4_neighbors=False, rejection_threshold=3.5)
    expected = 29 * math.erfc(3.5 / math.sqrt(2))
    assert (ramp.groupdq & JUMP_DET != 0).sum() / ramp.pixeldq.size == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("ngroups", [5, 10, 20])
def test_large_hits_are_found_in_their_group(ngroups):
    # of 10 sigma; with few differences their median is uncertain, and with it the noise
    sigma = math.sqrt(NOISE**2 + 5.0 * FRAME / GAIN)
    ramp, refs = exposure(5.0, ngroups, hits=(2, 10 * sigma))
    jump(ramp, refs, flag_4_neighbors=False)
    assert (ramp.groupdq[0, 2] & JUMP_DET != 0).mean() > (0.999 if ngroups < 10 else 0.9999)


def test_a_hit_of_the_size_of_the_limit_is_found_half_of_the_time():
    sigma = math.sqrt(NOISE**2 + 5.0 * FRAME / GAIN)
    ramp, refs = exposure(5.0, 30, hits=(9, 4 * sigma))
    jump(ramp, refs, flag_4_neighbors=False)
    assert (ramp.groupdq[0, 9] & JUMP_DET != 0).mean() == pytest.approx(0.5, abs=0.06)
