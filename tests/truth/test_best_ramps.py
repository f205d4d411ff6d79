"""Slopes and jumps of the preset `best` against those of `official`, on ramps of photons and read noise of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import erfcinv

from jwstsm.config import preset_options
from jwstsm.core.dq import JUMP_DET
from jwstsm.stage1.jump import jump
from jwstsm.stage1.ramp_fit import ramp_fit
from tests.builders import FakeReferences, make_ramp

pytestmark = pytest.mark.slow

SIZE = 512
GAIN, NOISE_DN, FRAME_S = 1.8, 10.0, 10.7
"""The noise of the difference of two frames is 18 electrons."""

_, BEST = preset_options("best", {"INSTRUME": "NIRCAM", "EXP_TYPE": "NRC_IMAGE"}, "detector1")
JUMP, FIT = BEST["jump"], BEST["ramp_fit"]
ALONE = {"flag_4_neighbors": False}


def exposure(rate_e, ngroups, *, nframes=1, seed=1):
    """Return ramps of a rate [e-/s], a number or (ny, nx), and their references."""
    rng = np.random.default_rng(seed)
    shape = (SIZE, SIZE)
    ramp = make_ramp(1, ngroups, *shape, NFRAMES=nframes, GROUPGAP=0, TFRAME=FRAME_S, TGROUP=nframes * FRAME_S)
    charge = np.zeros(shape, np.float32)
    for g in range(ngroups):
        total = np.zeros(shape, np.float32)
        for _ in range(nframes):
            charge += rng.poisson(rate_e * FRAME_S, shape).astype(np.float32) / np.float32(GAIN)
            total += charge + rng.standard_normal(shape, np.float32) * np.float32(NOISE_DN / math.sqrt(2))
        ramp.data[0, g] = total / nframes
    full = {"gain": GAIN, "readnoise": NOISE_DN}
    return ramp, FakeReferences({k: {"SCI": np.full(shape, v, np.float32)} for k, v in full.items()})


def fit(ramp, refs, options):
    """Slope and error [e-/s] of an exposure, which stays as it is."""
    rate = ramp_fit(ramp, refs, **options)["rate"]
    return rate.data.astype(float) * GAIN, rate.err.astype(float) * GAIN


@pytest.mark.parametrize("ngroups", [2, 3, 4, 6, 10, 20])
def test_slopes_are_unbiased_and_tell_fluxes_apart_better_than_least_squares(ngroups):
    """The scatter counts per change of the slope with the rate: weights that follow the noise make slopes lazy."""
    for middle in (0.05, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0):
        spread = np.random.default_rng(5).uniform(-0.4, 0.4, (SIZE, SIZE))
        truth = middle * (1 + spread)
        ramp, refs = exposure(truth, ngroups)
        useful = {}
        for name, options in (("best", FIT), ("official", {})):
            slope, err = fit(ramp, refs, options)
            error = slope - truth
            response = 1 + np.mean(error * spread) / (middle * np.mean(spread**2))
            useful[name] = (error - np.polyval(np.polyfit(spread.ravel(), error.ravel(), 1), spread)).std() / response
            if name == "best":
                bias = error.mean() / error.std()
                # 4 times what chance does, and a hundredth of the error of a pixel at most
                assert abs(bias) < 4 / SIZE, (middle, bias)
                if ngroups >= 4:
                    claimed = np.sqrt(np.mean(err**2))
                    assert error.std() == pytest.approx(claimed, rel=0.013), middle
        # where rates are far below the noise, the response is known to some parts in a thousand only
        limit = 1.002 if middle > 0.1 else 1.02
        assert useful["best"] < limit * useful["official"], (middle, useful)


def false_alarms(rate_e, ngroups, options, *, threshold=4.0, nframes=1, repeats=1):
    """Flags per difference over what a Gaussian passes beyond the threshold."""
    found = 0
    for k in range(repeats):
        ramp, refs = exposure(rate_e, ngroups, nframes=nframes, seed=11 + k)
        jump(ramp, refs, **ALONE, **options, rejection_threshold=threshold)
        found += np.count_nonzero(ramp.groupdq & JUMP_DET)
    return found / (repeats * SIZE**2 * (ngroups - 1)) / math.erfc(threshold / math.sqrt(2))


def completeness(rate_e, ngroups, options, sizes, *, threshold=4.0):
    """Share of hits of the given sizes [noise of a difference] that are flagged, each in a random group."""
    ramp, refs = exposure(rate_e, ngroups, seed=3)
    where = np.random.default_rng(7).integers(1, ngroups, (SIZE, SIZE))
    rows = np.arange(SIZE) * len(sizes) // SIZE
    charge = np.asarray(sizes)[rows] * math.sqrt(NOISE_DN**2 + rate_e * FRAME_S / GAIN**2)
    for g in range(1, ngroups):
        ramp.data[0, g] += np.where(where <= g, charge[:, None], 0)
    jump(ramp, refs, **ALONE, **options, rejection_threshold=threshold)
    hit = np.take_along_axis(ramp.groupdq[0] & JUMP_DET != 0, where[None], 0)[0].mean(axis=1)
    return np.array([hit[rows == k].mean() for k in range(len(sizes))])


@pytest.mark.parametrize("nframes", [1, 4])
@pytest.mark.parametrize("ngroups", range(3, 11))
def test_false_alarms_are_those_of_a_gaussian_on_short_ramps(ngroups, nframes):
    for rate in (0.05, 1.0, 5.0, 200.0):
        found = false_alarms(rate, ngroups, JUMP, threshold=3.5, nframes=nframes)
        assert 1 / 1.5 < found < 1.5, (rate, found)
    assert false_alarms(5.0, ngroups, JUMP, nframes=nframes, repeats=3) < 1.5


@pytest.mark.parametrize("ngroups", [4, 5, 6, 7, 8, 10])
@pytest.mark.parametrize("rate", [5.0, 50.0, 200.0])
def test_at_equal_false_alarms_more_hits_are_found(rate, ngroups):
    sizes = (5, 7, 10, 20, 50)
    official = completeness(rate, ngroups, {}, sizes)
    alarms = false_alarms(rate, ngroups, {}, repeats=2)
    threshold = math.sqrt(2) * erfcinv(alarms * math.erfc(4 / math.sqrt(2)))
    best = completeness(rate, ngroups, JUMP, sizes, threshold=threshold)
    # where photons rule and there are many differences, the two are the same test
    assert (best > official - 0.015).all(), (alarms, best, official)
    if 5 <= ngroups <= 8:
        assert alarms > 3, "the official search is as good: this test and the preset are not needed any more"


@pytest.mark.parametrize(("ngroups", "threshold"), [(3, 6.75), (4, 5.4), (5, 5.65), (6, 5.05), (7, 4.95)])
def test_in_the_dark_more_hits_are_found_if_false_alarms_count_at_every_rate(ngroups, threshold):
    """The two-point difference finds more at 1 e-/s only if it may have more false alarms at 5 e-/s."""
    limits = {f"{count}_group_rejection_threshold": threshold for count in ("three", "four")}
    share = math.erfc(threshold / math.sqrt(2)) / math.erfc(4 / math.sqrt(2))
    alarms = max(share * false_alarms(rate, ngroups, limits, threshold=threshold) for rate in (2.0, 5.0, 10.0))
    assert 0.6 < alarms < 1.4
    sizes = (5, 7, 10)
    best = completeness(1.0, ngroups, JUMP, sizes)
    assert (best > completeness(1.0, ngroups, limits, sizes, threshold=threshold) - 0.02).all()


@pytest.mark.parametrize("ngroups", range(3, 11))
def test_at_the_same_threshold_hits_that_matter_are_found(ngroups):
    for rate in (0.05, 1.0, 5.0, 200.0):
        best, official = (completeness(rate, ngroups, options, (7, 10, 20, 50)) for options in (JUMP, {}))
        assert best[0] > (official[0] - 0.05 if ngroups > 3 else 0.45), (rate, best, official)
        assert best[1] > official[1] - (0.01 if ngroups > 3 else 0.05), (rate, best, official)
        assert (best[2:] > 0.9999).all()


def integrations(rate_e, ngroups, nints, seed, size=256):
    """Return an exposure of several short integrations of one rate [e-/s], and its references."""
    rng = np.random.default_rng(seed)
    ramp = make_ramp(nints, ngroups, size, size, TFRAME=FRAME_S, TGROUP=FRAME_S)
    steps = rng.poisson(rate_e * FRAME_S, ramp.data.shape) / GAIN
    ramp.data[:] = np.cumsum(steps, axis=1) + rng.normal(0, NOISE_DN / math.sqrt(2), ramp.data.shape)
    full = {"gain": GAIN, "readnoise": NOISE_DN}
    return ramp, FakeReferences({k: {"SCI": np.full((size, size), v, np.float32)} for k, v in full.items()})


@pytest.mark.parametrize(("ngroups", "nints"), [(3, 4), (5, 4), (4, 20)])
@pytest.mark.parametrize("rate", [1.0, 200.0])
def test_integrations_of_a_pixel_help_each_other(rate, ngroups, nints):
    ramp, refs = integrations(rate, ngroups, nints, 1)
    jump(ramp, refs, **ALONE, **JUMP, rejection_threshold=3.5)
    alarms = np.count_nonzero(ramp.groupdq & JUMP_DET) / (ramp.pixeldq.size * nints * (ngroups - 1))
    assert 1 / 1.3 < alarms / math.erfc(3.5 / math.sqrt(2)) < 1.3
    found = {}
    for name, options in (("best", JUMP), ("official", {})):
        ramp, refs = integrations(rate, ngroups, nints, 2)
        ramp.data[0, 2:] += 5 * math.sqrt(NOISE_DN**2 + rate * FRAME_S / GAIN**2)
        jump(ramp, refs, **ALONE, **options)
        found[name] = np.mean(ramp.groupdq[0, 2] & JUMP_DET != 0)
    assert found["best"] > found["official"] - (0.1 if ngroups == 3 else 0.05), found
