"""Scene masks keep background and drop sources; backgrounds come back."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.flicker import fill_flat
from jwstsm.core.scene import background_level, clip_signal_inplace, clip_to_lower_half_inplace, default_box


def scene(seed=0, n=96, tilt=0.0):
    """Return an image of noise about a background, sources on it, and where they are."""
    rng = np.random.default_rng(seed)
    image = 5 + tilt * np.arange(n) + rng.normal(0, 1, (n, n))
    lit = np.zeros((n, n), bool)
    for y, x in rng.integers(4, n - 4, (12, 2)):
        lit[y - 2 : y + 3, x - 2 : x + 3] = True
    image[lit] += 50
    return image.astype(np.float32), lit


@pytest.mark.parametrize("fit_histogram", [False, True])
def test_sources_are_dropped_and_the_limits_are_those_asked_for(fit_histogram):
    image, lit = scene()
    keep = np.ones(image.shape, bool)
    clip_signal_inplace(image, keep, above=2.0, fit_histogram=fit_histogram)
    assert not keep[lit].any()
    assert keep[~lit].mean() == pytest.approx(0.976, abs=0.012)  # 2 sigma above, 3 below


def test_an_empty_mask_stays_empty():
    keep = np.zeros((4, 4), bool)
    clip_signal_inplace(np.ones((4, 4), np.float32), keep)
    assert clip_to_lower_half_inplace(np.ones((4, 4), np.float32), keep, 2.0) == (-np.inf, np.inf)
    assert not keep.any()


def test_diffuse_light_does_not_widen_the_limits_of_the_lower_half():
    image, _ = scene()
    rng = np.random.default_rng(1)
    image += rng.exponential(1.5, image.shape).astype(np.float32) * (rng.random(image.shape) < 0.3)
    low, high = clip_to_lower_half_inplace(image, np.ones(image.shape, bool), 2.0)
    assert high - low < 5.2


def test_the_median_background_is_not_pulled_by_sources():
    image, _ = scene()
    assert background_level(image, np.ones(image.shape, bool)) == pytest.approx(5, abs=0.06)
    assert background_level(image, np.ones(image.shape, bool), None) == 0


@pytest.mark.parametrize("box", [None, [24, 16], [25, 20]])
def test_a_tilted_background_is_followed(box):
    image, lit = scene(n=384, tilt=0.02)
    level = background_level(image, ~lit, "model", box)
    truth = 5 + 0.02 * np.arange(384)
    # the clipping at the lower half's width drops the far ends of so wide a range
    assert np.abs(level.mean(axis=0) - truth)[96:-96].max() < 0.15


def test_with_too_few_pixels_the_model_is_the_median():
    image, _ = scene()
    keep = np.zeros(image.shape, bool)
    keep[::3] = True
    level = background_level(image, keep, "model", [32, 32])
    assert np.isscalar(level)
    assert level == pytest.approx(5, abs=0.1)


def test_boxes_divide_the_image():
    assert default_box((2048, 96)) == [32, 32]
    assert default_box((72, 1024)) == [24, 32]
    assert default_box((37, 50)) == [1, 25]


def test_holes_of_a_flat_are_filled_with_what_is_around_them():
    rng = np.random.default_rng(2)
    flat = rng.normal(1.1, 0.01, (64, 64)).astype(np.float32)
    given = flat.copy()
    given[10, 10], given[20, 20], given[30, 30] = 0, np.nan, np.inf
    filled = fill_flat(given)
    holes = ~np.isclose(filled, given)
    assert holes.sum() == 3
    np.testing.assert_allclose(filled[holes], 1.1, atol=0.01)
    assert np.isnan(given[20, 20])
