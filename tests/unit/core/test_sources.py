"""Finding sources: the regions are photutils', the finders do what their options say."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from jwstsm.core.segments import (
    detect_segments,
    gaussian_smooth,
    label_boxes,
    measure_segments,
    segment_shapes,
)
from jwstsm.core.sources import FinderOptions, find_sources
from tests.unit.core.test_background import photutils_background


def scene(seed: int = 1, size: int = 220, n: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return an image (float32), its mask and the x, y of round sources on a background of 2 with a noise of 0.05."""
    rng = np.random.default_rng(seed)
    image = rng.normal(2, 0.05, (size, size))
    x, y = rng.uniform(12, size - 12, (2, n))
    yy, xx = np.mgrid[:size, :size]
    for xc, yc, f in zip(x, y, rng.uniform(5, 60, n), strict=True):
        image += f * np.exp(-((xx - xc) ** 2 + (yy - yc) ** 2) / 2 / 1.1**2)
    image[rng.random(image.shape) < 0.002] = np.nan
    image[:4] = np.nan
    return image.astype(np.float32), np.isnan(image), x, y


@pytest.mark.parametrize("finder", ["iraf", "dao", "segmentation"])
def test_every_finder_finds_most_stars_where_they_are(finder):
    image, mask, x, y = scene()
    options = FinderOptions(starfinder=finder, kernel_fwhm=2.6, roundlo=-1.0, roundhi=1.0, bkg_boxsize=50)
    sources = find_sources(image, mask, options)
    nearest = np.hypot(sources.x[:, None] - x, sources.y[:, None] - y).min(axis=0)
    assert np.mean(nearest < 0.15) > 0.8
    assert np.mean(np.hypot(sources.x[:, None] - x, sources.y[:, None] - y).min(axis=1) < 1.0) > 0.9


@pytest.mark.parametrize("finder", ["iraf", "dao", "segmentation"])
def test_an_image_without_sources_or_without_pixels_gives_an_empty_list(finder):
    options = FinderOptions(starfinder=finder, bkg_boxsize=20)
    noise = np.random.default_rng(0).normal(0, 1, (40, 40)).astype(np.float32)
    assert len(find_sources(noise, np.zeros((40, 40), bool), replace(options, snr_threshold=50.0))) == 0
    assert len(find_sources(noise, np.ones((40, 40), bool), options)) == 0


def test_masked_pixels_make_no_source():
    image, mask, x, y = scene()
    k = np.argmax(image[np.round(y).astype(int), np.round(x).astype(int)])
    mask[int(y[k]) - 4 : int(y[k]) + 5, int(x[k]) - 4 : int(x[k]) + 5] = True
    for finder in ("iraf", "segmentation"):
        sources = find_sources(image, mask, FinderOptions(starfinder=finder, bkg_boxsize=50))
        inside = mask[np.round(sources.y).astype(int), np.round(sources.x).astype(int)]
        assert not inside.any()


def test_smoothing_fills_pixels_without_data_as_astropy_does():
    from astropy.convolution import Gaussian2DKernel, convolve
    from astropy.stats import gaussian_fwhm_to_sigma

    rng = np.random.default_rng(3)
    image = rng.normal(1, 1, (70, 61)).astype(np.float32)
    image[rng.random(image.shape) < 0.1] = np.nan
    image[20:40, 20:40] = np.nan
    mask = rng.random(image.shape) < 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = convolve(image, Gaussian2DKernel(2.3 * gaussian_fwhm_to_sigma), mask=mask)
    found = gaussian_smooth(image, mask, 2.3)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_regions_and_their_measures_are_those_of_photutils(connectivity):
    from photutils import use_future_column_names
    from photutils.segmentation import SourceCatalog, detect_sources

    image, mask, *_ = scene()
    smoothed = gaussian_smooth(image - np.float32(2), mask, 2.0)
    error = np.full(image.shape, 0.05, np.float32)
    expected = detect_sources(smoothed, 0.3, 10, connectivity=connectivity, mask=mask)
    segments, count = detect_segments(smoothed, 0.3, mask, 10, connectivity)
    assert np.array_equal(segments, expected.data)
    columns = measure_segments(image - np.float32(2), error, smoothed, segments, label_boxes(segments, count))
    names = {
        "xcentroid": "x_centroid",
        "ycentroid": "y_centroid",
        "flux": "segment_flux",
        "segment_flux_err": "segment_flux_err",
        "area": "area",
        "semimajor_axis": "semimajor_axis",
        "semiminor_axis": "semiminor_axis",
        "orientation": "orientation",
        "ellipticity": "ellipticity",
    }
    with use_future_column_names():
        table = SourceCatalog(image - np.float32(2), expected, mask=mask, convolved_data=smoothed, error=error).to_table(
            columns=list(names.values())
        )
    for name, theirs in names.items():
        assert columns[name] == pytest.approx(np.asarray(table[theirs]), rel=2e-5, abs=1e-6), name


def test_a_line_of_pixels_gets_the_width_of_a_pixel():
    shape = segment_shapes(np.array([4.0]), np.array([0.0]), np.array([0.0]))
    assert shape["semiminor_axis"][0] == pytest.approx(np.sqrt(1 / 12))
    assert shape["orientation"][0] == 0


def test_a_region_without_positive_light_has_no_shape():
    shape = segment_shapes(np.array([-1.0, np.nan]), np.array([1.0, 1.0]), np.array([0.0, 0.0]))
    assert np.isnan(shape["semimajor_axis"]).all()


def test_the_threshold_is_the_median_noise_for_stars():
    image, mask, *_ = scene(n=12)
    rms = photutils_background(image, mask, 50).background_rms
    faint = find_sources(image, mask, FinderOptions(snr_threshold=3.0, bkg_boxsize=50, brightest=None, roundhi=1.0))
    assert 0 < np.sum(faint.columns["peak"] < 30 * np.median(rms)) < len(faint)


def test_kron_photometry_and_local_background_come_from_photutils():
    image, mask, *_ = scene(n=8)
    error = np.full(image.shape, 0.05, np.float32)
    options = FinderOptions(starfinder="segmentation", bkg_boxsize=50, deblend=False, kron_params=[2.5, 1.4])
    plain = find_sources(image, mask, replace(options, kron_params=None), error)
    kron = find_sources(image, mask, options, error)
    assert np.all(kron.columns["kron_flux"] > 0.8 * plain.columns["flux"])
    local = find_sources(image + np.float32(1), mask, replace(options, localbkg_width=8), error)
    assert local.columns["flux"] == pytest.approx(plain.columns["flux"], rel=0.05)


def test_brightest_keeps_the_brightest():
    image, mask, *_ = scene()
    options = FinderOptions(bkg_boxsize=50, roundhi=1.0, brightest=None)
    everything = find_sources(image, mask, options)
    few = find_sources(image, mask, replace(options, brightest=5))
    assert few.columns["flux"] == pytest.approx(np.sort(everything.columns["flux"])[::-1][:5])


@pytest.mark.parametrize("finder", ["iraf", "dao", "segmentation"])
def test_one_thread_and_two_give_the_same(finder):
    from jwstsm.core.compiled import set_threads

    image, mask, *_ = scene()
    error = np.full(image.shape, 0.05, np.float32)
    lists = []
    for threads in (1, 2):
        set_threads(threads)
        lists.append(find_sources(image, mask, FinderOptions(starfinder=finder, bkg_boxsize=60, roundhi=1.0), error))
    set_threads(None)
    for name, values in lists[0].columns.items():
        assert np.array_equal(values, lists[1].columns[name], equal_nan=values.dtype.kind == "f"), name
