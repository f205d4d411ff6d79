"""The star finders are photutils' IRAFStarFinder and DAOStarFinder, got another way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from jwstsm.core import starfind


def star_field(seed: int = 1, ny: int = 180, nx: int = 200, n: int = 90) -> np.ndarray:
    """Return noise with stars of several widths and shapes, some at the edges, and NaN pixels."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.05, (ny, nx))
    y, x = np.mgrid[:ny, :nx]
    for _ in range(n):
        xc, yc, a, b = rng.uniform(0, nx), rng.uniform(0, ny), *rng.uniform(0.7, 1.6, 2)
        image += 10 ** rng.uniform(-0.3, 2) * np.exp(-((x - xc) ** 2) / 2 / a**2 - (y - yc) ** 2 / 2 / b**2)
    image[rng.random(image.shape) < 0.003] = np.nan
    return image.astype(np.float32)


def theirs(name: str, image, mask, threshold, **options):
    import photutils.detection
    from photutils import use_future_column_names

    finder = getattr(photutils.detection, name)(threshold, 2.5, sigma_radius=1.5, min_separation=2, **options)
    with warnings.catch_warnings(), use_future_column_names():
        warnings.simplefilter("ignore")
        table = finder(image, mask=mask)
    names = {"x_centroid": "xcentroid", "y_centroid": "ycentroid"}
    return {names.get(c, c): np.asarray(table[c]) for c in table.colnames}


def ours(name: str, image, mask, threshold, sharpness_range, roundness_range, n_brightest=None, peak_max=None):
    kernel = starfind.StarKernel(2.5, 1.5)
    smoothed = starfind.smooth(image, kernel)
    limit = threshold * kernel.relative_error if name == "DAOStarFinder" else threshold
    y, x = starfind.find_peaks(smoothed, limit, 2, mask)
    if name == "DAOStarFinder":
        table = starfind.measure_dao(image, smoothed, y, x, kernel, limit)
    else:
        table = starfind.measure_iraf(image, y, x, kernel)
    return starfind.select_stars(table, sharpness_range, roundness_range, n_brightest, peak_max)


@pytest.mark.parametrize("name", ["IRAFStarFinder", "DAOStarFinder"])
@pytest.mark.parametrize(
    "options",
    [
        {"sharpness_range": (0.5, 2.0), "roundness_range": (0.0, 0.2)},
        {"sharpness_range": (0.2, 1.0), "roundness_range": (-1.0, 1.0), "n_brightest": 15},
        {"sharpness_range": (0.2, 2.0), "roundness_range": (-1.0, 1.0), "peak_max": 20.0},
    ],
)
def test_the_list_is_that_of_photutils(name, options):
    image = star_field()
    mask = np.isnan(image)
    mask[40:60, 50:90] = True
    expected, found = theirs(name, image, mask, 0.5, **options), ours(name, image, mask, 0.5, **options)
    assert expected["id"].size > 0
    assert set(expected) == set(found)
    for column, values in expected.items():
        assert found[column] == pytest.approx(values, rel=1e-5, abs=1e-5), column


def test_smoothing_is_a_convolution_with_zeros_outside():
    from scipy.ndimage import convolve

    image = np.random.default_rng(2).normal(0, 1, (30, 41)).astype(np.float32)
    kernel = starfind.StarKernel(3.3, 1.7)
    assert starfind.smooth(image, kernel) == pytest.approx(convolve(image, kernel.weights, mode="constant"), abs=1e-6)


def test_the_kernel_has_no_sum_and_gives_the_height_of_its_gaussian():
    kernel = starfind.StarKernel(2.5)
    assert kernel.weights.sum() == pytest.approx(0, abs=1e-12)
    assert (kernel.weights * kernel.gaussian).sum() == pytest.approx(1)


@pytest.mark.parametrize("radius", [2, 3, 5])
def test_peaks_are_the_largest_in_a_circle(radius):
    from scipy.ndimage import maximum_filter

    image = np.random.default_rng(radius).normal(0, 1, (60, 50)).astype(np.float32)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    largest = maximum_filter(image, footprint=x * x + y * y <= radius * radius, mode="constant")
    expected = np.nonzero((image == largest) & (image > 0.5))
    assert np.array_equal(starfind.find_peaks(image, 0.5, radius, None), expected)


def test_a_star_at_a_known_place_is_found_there():
    y, x = np.mgrid[:40, :40]
    image = (100 * np.exp(-((x - 20.3) ** 2 + (y - 17.8) ** 2) / 2 / 1.06**2)).astype(np.float32)
    options = {"sharpness_range": (0.3, 2.0), "roundness_range": (-1, 1)}
    for name in ("IRAFStarFinder", "DAOStarFinder"):
        table = ours(name, image, None, 1.0, **options)
        assert table["id"].size == 1
        assert (table["xcentroid"][0], table["ycentroid"][0]) == pytest.approx((20.3, 17.8), abs=0.06)
