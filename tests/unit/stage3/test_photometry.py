"""Circular photometry: exact overlaps, and the same numbers as photutils."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.stats import SigmaClip

from jwstsm.stage3._photometry import (
    annulus_background,
    aperture_sums,
    circle_overlap,
    nearest_neighbours,
    star_shapes,
)


def test_the_overlaps_of_all_pixels_make_the_circle():
    rng = np.random.default_rng(1)
    for radius in (0.1, 0.4, 0.7071, 1.0, 2.3, 7.5):
        for x, y in rng.uniform(-0.5, 0.5, (5, 2)):
            reach = int(radius) + 3
            total = sum(
                circle_overlap(i - 0.5 - x, i + 0.5 - x, j - 0.5 - y, j + 0.5 - y, radius)
                for i in range(-reach, reach + 1)
                for j in range(-reach, reach + 1)
            )
            assert total == pytest.approx(np.pi * radius**2, rel=1e-12)


def test_one_overlap_is_what_counting_points_gives():
    rng = np.random.default_rng(2)
    for _ in range(20):
        x0, y0 = rng.uniform(-2.5, 2, 2)
        x1, y1 = np.array([x0, y0]) + rng.uniform(0.2, 1.5, 2)
        x, y = rng.uniform(x0, x1, 200_000), rng.uniform(y0, y1, 200_000)
        counted = np.mean(x * x + y * y < 1.7**2) * (x1 - x0) * (y1 - y0)
        assert circle_overlap(x0, x1, y0, y1, 1.7) == pytest.approx(counted, abs=0.01)


def image_and_places(seed: int = 1, n: int = 40):
    rng = np.random.default_rng(seed)
    image = rng.normal(3, 1, (70, 80)).astype(np.float32)
    error = rng.uniform(0.5, 1.5, image.shape).astype(np.float32)
    x, y = rng.uniform(-3, 83, n), rng.uniform(-3, 73, n)
    x[0], y[0] = np.nan, 20.0
    x[1], y[1] = 500.0, 20.0
    x[2], y[2] = 30.0, 40.0
    return image, error, x, y


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.7, 6.0])
def test_sums_are_those_of_photutils(radius):
    from photutils.aperture import CircularAperture, aperture_photometry

    image, error, x, y = image_and_places()
    image[10, 12] = np.nan
    places = np.stack([x, y], axis=1)
    places[~np.isfinite(places)] = -1000.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = aperture_photometry(image.astype(float), CircularAperture(places, radius), error=error)
    found = aperture_sums(image, error, x, y, radius)
    assert found[:, 0] == pytest.approx(np.asarray(table["aperture_sum"]), rel=1e-10, nan_ok=True)
    assert found[:, 1] == pytest.approx(np.asarray(table["aperture_sum_err"]), rel=1e-10, nan_ok=True)


@pytest.mark.parametrize("ring", [(3.0, 6.0), (4.4, 11.3)])
def test_ring_backgrounds_are_those_of_photutils_masks_clipped_by_astropy(ring):
    from photutils.aperture import CircularAnnulus

    image, _, x, y = image_and_places()
    image[np.random.default_rng(5).random(image.shape) < 0.04] += 30
    image[::9, ::7] = np.nan
    found = annulus_background(image, x, y, *ring)
    for k in np.flatnonzero(np.isfinite(x)):
        mask = CircularAnnulus((x[k], y[k]), *ring).to_mask(method="center")
        values = mask.get_values(image.astype(float))
        if values.size == 0:
            assert np.isnan(found[k]).all()
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = SigmaClip(3.0)(values, masked=False)
        expected = np.median(kept), np.sqrt(np.pi / 2 / kept.size) * kept.std()
        assert found[k] == pytest.approx(expected, rel=1e-10)


def test_sources_without_a_place_get_nan():
    image, error, x, y = image_and_places()
    assert np.isnan(aperture_sums(image, error, x, y, 2.0)[:2]).all()
    assert np.isnan(annulus_background(image, x, y, 2.0, 4.0)[:2]).all()
    sharpness, roundness = star_shapes(image, x, y, 2.5)
    assert np.isnan(sharpness[0])
    assert np.isnan(roundness[0])
    assert np.isfinite(sharpness[2])


def test_stars_are_sharp_and_round_and_streaks_are_not():
    y, x = np.mgrid[:60, :60]
    star = np.exp(-((x - 15) ** 2 + (y - 15) ** 2) / 2)
    streak = np.exp(-((x - 45) ** 2) / 2 / 9 - (y - 45.0) ** 2 / 2 / 0.25)
    sharpness, roundness = star_shapes(
        (star + streak).astype(np.float32), np.array([15.0, 45.0]), np.array([15.0, 45.0]), 2.4
    )
    assert 0.4 < sharpness[0] < 1
    assert abs(roundness[0]) < 1e-3
    assert abs(roundness[1]) > 0.5


def test_the_nearest_neighbour_is_found_among_sources_with_a_place():
    x, y = np.array([0.0, 3, 10, np.nan]), np.array([0.0, 4, 0, 1])
    label, distance = nearest_neighbours(x, y, np.array([7, 8, 9, 10]))
    assert label.tolist() == [8, 7, 8, -1]
    assert distance[:2] == pytest.approx([5, 5])
    assert np.isnan(distance[3])
    alone = nearest_neighbours(x[:1], y[:1], np.array([7]))
    assert alone[0].tolist() == [-1]
    assert np.isnan(alone[1][0])
