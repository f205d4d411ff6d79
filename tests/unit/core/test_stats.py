"""Robust statistics: exact medians without sorting, clipping, the sky statistics."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from astropy.stats import sigma_clip

from jwstsm.core.stats import BLOCK, clipped_moments, median, sky_statistic


def sample(n: int, seed: int = 0) -> np.ndarray:
    """A sky of 5 +- 1 with a tail of stars; the same in every run."""
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 1, n).astype(np.float32)
    values[: n // 200] += rng.exponential(50, n // 200).astype(np.float32)
    return rng.permutation(values)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 11, BLOCK - 1, BLOCK + 1, 3 * BLOCK + 17])
@pytest.mark.parametrize("offset", [0.0, -5.0, 1e6])
def test_median_is_the_exact_one(n, offset):
    """Odd and even counts, negative values, more than one block: the float that sorting would give."""
    values = sample(n) + np.float32(offset)
    assert median(values) == np.median(values)


def test_median_leaves_out_nan_zeros_and_what_lies_outside_limits():
    """Only values that are asked for count."""
    values = np.array([np.nan, 0, -3, 1, 2, 100, np.inf], np.float32)
    assert median(values) == 1.5
    assert median(values, skip_zero=True, high=50) == 1.0
    assert median(values, low=1, high=2) == 1.5
    assert np.isnan(median(np.array([np.nan], np.float32)))


@pytest.mark.parametrize("maxiters", [0, 1, 5])
def test_clipped_moments_equal_those_of_astropy(maxiters):
    """Same rejections, hence the same count; mean and scatter to the accuracy of single precision."""
    values = sample(100_000)
    found = clipped_moments(values, sigma=3, maxiters=maxiters)
    judge = sigma_clip(values, sigma=3, maxiters=maxiters, masked=False) if maxiters else values
    assert found.count == judge.size
    assert np.isclose(found.mean, judge.mean(dtype=float), rtol=1e-12)
    assert np.isclose(found.std, judge.std(dtype=float), rtol=1e-9)


def test_clipped_moments_skip_zeros_and_survive_an_empty_sample():
    values = np.concatenate([np.zeros(1000), np.full(500, 2.0), [np.nan, np.inf]])
    found = clipped_moments(values, skip_zero=True)
    assert (found.mean, found.std, found.count) == (2.0, 0.0, 500)
    empty = clipped_moments(np.zeros(10), skip_zero=True)
    assert empty.count == 0
    assert np.isnan(empty.mean)


def test_moments_are_stable_far_from_zero():
    """A small scatter on a large offset is not lost to rounding."""
    values = (np.float32(65536) + np.arange(1000) % 3).astype(np.float32)
    assert np.isclose(clipped_moments(values).std, np.std(np.arange(1000) % 3), rtol=1e-9)


# values of stsci.imagestats 1.8.4 for sample(200_000) with nclip=5, lsig=usig=4, binwidth=0.1
OFFICIAL = {"mode": 4.9109632, "median": 5.0006199, "mean": 5.0010943, "midpt": 4.9727020}


@pytest.mark.parametrize("stat", OFFICIAL)
def test_sky_statistics_equal_the_official_ones(stat):
    found = sky_statistic(sample(200_000), stat=stat)
    assert np.isclose(found.value, OFFICIAL[stat], atol=2e-7)


@pytest.mark.parametrize("stat", OFFICIAL)
def test_sky_statistics_find_the_level_of_a_sky_with_stars(stat):
    """Within the scatter of the statistic, and independent of a constant offset."""
    values = sample(400_000, seed=4)
    found = sky_statistic(values, stat=stat)
    assert abs(found.value - 5) < 0.12
    assert 0.99 < found.count / values.size < 1
    assert np.isclose(sky_statistic(values + np.float32(64), stat=stat).value - 64, found.value, atol=0.02)


def test_limits_bound_the_pixels_of_the_sky():
    values = sample(10_000)
    found = sky_statistic(values, stat="mean", lower=5.0, upper=6.0, nclip=0)
    chosen = values[(values >= 5) & (values <= 6)]
    assert found.count == chosen.size
    assert np.isclose(found.value, chosen.mean(dtype=float), rtol=1e-6)


@pytest.mark.parametrize("stat", OFFICIAL)
def test_samples_without_spread_or_without_pixels(stat):
    """A constant is its own sky; nothing has none."""
    assert sky_statistic(np.empty(0, np.float32), stat=stat) is None
    assert np.isclose(sky_statistic(np.full(50, 3.0, np.float32), stat=stat).value, 3.0)
    assert sky_statistic(np.full(50, 3.0, np.float32), stat=stat, lower=4.0) is None


def test_threads_change_no_bit():
    values = sample(5 * BLOCK + 3)
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        results.append((clipped_moments(values), sky_statistic(values)))
        numba.set_num_threads(before)
    assert results[0] == results[1]
