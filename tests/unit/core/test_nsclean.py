"""The Fourier fit takes out slow noise along readout lines, also where samples are missing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jwstsm.core.flicker import FlickerFit, clean_image_inplace
from jwstsm.core.nsclean import clean_full_frame_inplace, fade_out, full_frame_weights, solve_hermitian
from jwstsm.core.nsclean_subarray import PASS_BANDS, clean_subarray_inplace, drop_outliers_inplace, pass_factors, sections
from jwstsm.sim.noise import flicker_frame


def test_a_wave_of_every_fitted_frequency_goes_from_gappy_lines():
    # lines are columns; all lines alike, so that smoothing across them changes nothing
    rng = np.random.default_rng(0)
    y = np.arange(2048)
    noise = sum(rng.normal() * np.cos(2 * np.pi * (k * y / 2048 + rng.random())) for k in range(7))
    image = np.repeat(noise[:, None], 2048, axis=1).astype(np.float32)
    keep = rng.random(image.shape) < 0.6
    image[~keep] += 1000
    for flip in (False, True):
        cleaned = image.copy()
        clean_full_frame_inplace(cleaned, keep, flip)
        left = np.where(keep, cleaned, cleaned - 1000)[:, 30:-30]
        # gaps let frequencies disturb each other a little
        assert np.std(left) < 0.03 * np.std(noise)


def test_frequencies_above_the_limit_stay():
    y = np.arange(2048)
    image = np.repeat(np.cos(2 * np.pi * 40 * y / 2048)[:, None], 2048, axis=1).astype(np.float32)
    cleaned = image.copy()
    clean_full_frame_inplace(cleaned, np.ones(image.shape, bool), False)
    assert np.abs(cleaned - image).max() < 1e-5


def test_lines_with_too_few_samples_stay_as_they_are():
    rng = np.random.default_rng(1)
    image = rng.normal(0, 1, (2048, 2048)).astype(np.float32)
    keep = np.zeros(image.shape, bool)
    keep[100:104] = True  # four samples for eight frequencies
    cleaned = image.copy()
    clean_full_frame_inplace(cleaned, keep, False)
    np.testing.assert_array_equal(cleaned, image)


def test_the_filter_fades_from_one_to_nothing():
    factor = fade_out(2048)
    assert factor[:8].tolist() == [1.0] * 8
    assert 0 < factor[8] < 1
    assert factor.size <= 10


def test_weights_are_the_inverse_density_of_samples():
    keep = np.zeros((4, 512), bool)
    keep[:, 100:356] = True
    keep[:, 256:356:2] = False
    weight = full_frame_weights(keep, 8.0)
    assert weight[2, 180] == pytest.approx(1.0, abs=0.01)
    assert weight[2, 305] == pytest.approx(2.0, abs=0.05)
    lone = np.zeros((4, 512), bool)
    lone[2, 50] = True
    assert np.isfinite(full_frame_weights(lone, 8.0)).all()


def test_the_hermitian_solver_agrees_with_numpy_and_knows_singular_matrices():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(6, 6)) + 1j * rng.normal(size=(6, 6))
    matrix, right = root @ root.conj().T, rng.normal(size=6) + 1j * rng.normal(size=6)
    solution = right.copy()
    assert solve_hermitian(matrix.copy(), solution, 6, 1e-12)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-9)
    row = root[0]
    assert not solve_hermitian(np.outer(row, row.conj()), right.copy(), 6, 1e-9)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("subarray", "left"), [(None, 0.75), ("ALLSLITS", 0.9)])
def test_flicker_noise_of_a_subarray_is_reduced(flip, subarray, left):
    rng = np.random.default_rng(3)
    noise = np.concatenate([flicker_frame((128, 64), rng) for _ in range(2)]).T * 5
    noise = noise[:, ::-1] if flip else noise
    image = (noise + rng.normal(0, 1, noise.shape)).astype(np.float32)
    keep = np.ones(image.shape, bool)
    keep[20:30] = False
    light = np.zeros(image.shape, np.float32)
    light[20:30] = 500
    cleaned = image + light
    assert clean_subarray_inplace(cleaned, keep, flip, PASS_BANDS[subarray])
    assert np.std((cleaned - light)[keep]) < left * np.std(image)
    assert np.std((cleaned - light)[~keep]) < (left + 0.1) * np.std(image)


def test_a_subarray_without_background_is_left_alone():
    image = np.ones((16, 32), np.float32)
    assert not clean_subarray_inplace(image, np.zeros(image.shape, bool), False)
    fit = FlickerFit(method="fft", background=None)
    assert clean_image_inplace(image, np.zeros(image.shape, bool), fit) is None
    assert (image == 1).all()


def test_outliers_and_their_neighbours_take_no_part():
    rng = np.random.default_rng(4)
    lines = rng.normal(0, 1, (10, 10)).astype(np.float32)
    lines[4, 5], lines[0, 0] = 100, -100
    keep = np.ones(lines.shape, bool)
    drop_outliers_inplace(lines, keep)
    dropped = {tuple(p) for p in np.argwhere(~keep)}
    assert {(4, 5), (3, 5), (5, 5), (4, 4), (4, 6), (0, 0), (1, 0), (0, 1)} <= dropped


def test_sections_overlap_by_half_and_cover_all_lines_with_samples():
    keep = np.zeros((100, 20), bool)
    keep[10:90] = True
    found = sections(keep, 200)
    assert found[0] == (10, 21)
    assert found[-1][1] == 90
    for (_, stop), (first, _) in itertools.pairwise(found):
        assert first < stop
    assert sections(np.zeros((5, 5), bool)) == []


def test_the_pass_band_holds_low_frequencies_and_the_highest():
    used, factor = pass_factors(912, PASS_BANDS[None])
    assert used[0] == 0
    assert used[-1] == 456
    assert np.all((used < 14) | (used > 450))
    assert factor.max() == 1
    assert factor.min() > 0
