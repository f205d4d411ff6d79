"""Clipped statistics of an ordered sample are those of astropy; medians by selection are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats

from jwstsm.core.sample import Sample, masked_median
from jwstsm.core.selection import clip_inplace, median64_inplace, median_inplace


def field(seed=0, ny=60, nx=70, sources=0.1):
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 10, (ny, nx))
    values[rng.random(values.shape) < sources] += 300
    keep = rng.random(values.shape) < 0.8
    values[~keep & (rng.random(values.shape) < 0.5)] = np.nan
    return values.astype(np.float32), keep


def test_clipping_is_that_of_astropy():
    values, keep = field()
    found = Sample(values, keep).clipped(3.0)
    mean, median, std = sigma_clipped_stats(values.astype(float), mask=~keep, sigma=3.0)
    assert found.median == median
    np.testing.assert_allclose([found.mean, found.std], [mean, std], rtol=1e-12)


def test_the_lower_half_is_clipped_with_its_mirror_image():
    values, keep = field(1)
    centre = Sample(values, keep).clipped(3.0).median
    found = Sample(values, keep).clipped_lower_half(centre, 3.0)
    half = values.astype(float)[keep & (values.astype(float) <= centre)]
    mirrored = np.concatenate((half - centre, centre - half)) + centre
    _, median, std = sigma_clipped_stats(mirrored, sigma=3.0)
    assert found.median == pytest.approx(median, abs=1e-9)
    assert found.std == pytest.approx(std, rel=1e-9)


def test_limits_between_float32_values_are_kept():
    values = np.array([[1.0, 1.1, 1.2, 1.3]], np.float32)
    sample = Sample(values, np.ones(values.shape, bool))
    assert sample.part(float(np.float32(1.1)), float(np.float32(1.2))) == (1, 3)
    assert sample.part(1.1, 1.2) == (1, 2)  # float32(1.1) is above 1.1, float32(1.2) as well
    assert sample.part(5, 6) == (4, 4)


def test_a_shift_is_a_shift_of_every_value():
    values, keep = field(2)
    sample = Sample(values, keep)
    sample.shift_inplace(np.float32(99.3))
    direct = Sample(values - np.float32(99.3), keep)
    np.testing.assert_array_equal(sample.values, direct.values)
    assert sample.moments(0, sample.size) == direct.moments(0, direct.size)


def test_an_empty_sample_has_no_statistics():
    sample = Sample(np.full((3, 3), np.nan, np.float32), np.ones((3, 3), bool))
    assert sample.size == 0
    assert np.isnan(sample.clipped(3.0).median)
    assert np.isnan(sample.clipped_lower_half(0.0, 3.0).std)
    assert np.isnan(masked_median(np.ones((2, 2), np.float32), np.zeros((2, 2), bool)))


def test_infinity_and_nan_never_count():
    values = np.array([[1, 2, np.inf, np.nan, -np.inf, 3]], np.float32)
    assert Sample(values, np.ones(values.shape, bool)).values.tolist() == [1, 2, 3]
    assert masked_median(values, np.ones(values.shape, bool)) == 2


@pytest.mark.parametrize("count", [1, 2, 3, 10, 319, 320, 321, 322, 1000, 1001, 5000])
@pytest.mark.parametrize("kind", ["normal", "equal", "sorted", "two values", "periodic"])
def test_medians_by_selection_are_exact(count, kind):
    rng = np.random.default_rng(count)
    values = {
        "normal": rng.normal(0, 1, count),
        "equal": np.ones(count),
        "sorted": np.arange(count, 0, -1),
        "two values": np.where(rng.random(count) < 0.5, 1.0, 2.0),
        # the probes see only the small values
        "periodic": np.where(np.arange(count) % max(1, count // 128) == 0, 0.0, rng.normal(50, 1, count)),
    }[kind].astype(np.float32)
    assert median_inplace(values.copy(), count) == np.median(values)
    assert median64_inplace(values.copy(), count) == np.median(values.astype(float))


def test_the_median_of_nothing():
    empty = np.empty(0, np.float32)
    assert median_inplace(empty, 0) == 0
    assert np.isnan(median64_inplace(empty, 0))


def test_clipping_in_place_is_that_of_astropy():
    values, keep = field(3, sources=0.3)
    mine = values[keep]
    count, mean = clip_inplace(mine, mine.size, 3.0, 5)
    judge = sigma_clipped_stats(values[keep].astype(float), sigma=3.0)
    assert mean == pytest.approx(judge[0], rel=1e-12)
    assert median64_inplace(mine[:count].copy(), count) == judge[1]
