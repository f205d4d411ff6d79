"""The box background is photutils' Background2D, got another way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.stats import SigmaClip

from jwstsm.core.background import clipped_statistics, estimate_background


def sloping_field(ny: int, nx: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with a slope, bright pixels, NaN and a mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ny, :nx]
    image = rng.normal(5 + 0.004 * x - 0.002 * y, 0.3, (ny, nx))
    image[rng.random(image.shape) < 0.02] += 40
    image[rng.random(image.shape) < 0.01] = np.nan
    mask = np.isnan(image)
    mask[:, :3] = True
    return image.astype(np.float32), mask


def photutils_background(image, mask, box, exclude=10.0):
    from photutils.background import Background2D, MedianBackground

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Background2D(
            image,
            box,
            filter_size=(3, 3),
            coverage_mask=mask,
            sigma_clip=SigmaClip(sigma=3.0),
            bkg_estimator=MedianBackground(),
            exclude_percentile=exclude,
        )


@pytest.mark.parametrize("rounds", [1, 5, None])
def test_clipping_gives_what_astropy_gives(rounds):
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(3, 1, 900), rng.normal(20, 5, 99), [np.nan, np.inf]]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = SigmaClip(3.0, maxiters=rounds)(values.astype(float), masked=False)
    median, std, count = clipped_statistics(values.copy(), 3.0, rounds)
    assert count == kept.size
    assert median == pytest.approx(np.median(kept), rel=1e-7)
    assert std == pytest.approx(np.std(kept), rel=1e-6)


def test_clipping_nothing_leaves_nothing():
    assert clipped_statistics(np.full(5, np.nan))[2] == 0


@pytest.mark.parametrize(("shape", "box"), [((210, 260), 50), ((160, 160), 80), ((130, 100), 40), ((100, 100), 300)])
def test_levels_and_noises_are_those_of_photutils(shape, box):
    image, mask = sloping_field(*shape)
    ours, theirs = estimate_background(image, mask, box), photutils_background(image, mask, box)
    assert ours.mesh == pytest.approx(theirs.background_mesh, rel=1e-6)
    assert ours.rms_mesh == pytest.approx(theirs.background_rms_mesh, rel=1e-5)
    assert ours.level()[~mask] == pytest.approx(theirs.background[~mask], rel=1e-6)
    assert ours.rms()[~mask] == pytest.approx(theirs.background_rms[~mask], rel=1e-5)


def test_boxes_without_enough_pixels_are_filled_from_their_neighbours():
    image, mask = sloping_field(200, 200)
    mask[50:110, 60:140] = True
    ours, theirs = estimate_background(image, mask, 25), photutils_background(image, mask, 25)
    assert ours.mesh == pytest.approx(theirs.background_mesh, rel=1e-6)


def test_rows_can_be_asked_for_alone():
    image, mask = sloping_field(120, 90)
    background = estimate_background(image, mask, 30)
    assert np.array_equal(background.level(17, 61), background.level()[17:61])


def test_when_no_box_counts_the_whole_image_is_one_box():
    image, mask = sloping_field(100, 100)
    mask |= np.random.default_rng(0).random(mask.shape) < 0.3
    ours = estimate_background(image, mask, 20)
    theirs = photutils_background(image, mask, image.shape, exclude=100.0)
    assert ours.mesh.shape == (1, 1)
    assert ours.mesh[0, 0] == pytest.approx(theirs.background_mesh[0, 0], rel=1e-6)


def test_an_image_without_pixels_has_no_background():
    with pytest.raises(ValueError, match="no usable pixel"):
        estimate_background(np.full((10, 10), np.nan, np.float32), np.zeros((10, 10), bool), 5)


def test_the_image_is_not_changed():
    image, mask = sloping_field(60, 60)
    before = image.copy()
    estimate_background(image, mask, 20)
    estimate_background(image, None, 20)
    assert np.array_equal(image, before, equal_nan=True)
