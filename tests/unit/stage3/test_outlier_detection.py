"""Outliers: what is found, what is left alone, both halves of the step, stacks of integrations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from jwstsm.core import dq as dqbits
from jwstsm.core.frames import Stage3Inputs
from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Slope
from jwstsm.stage3._outlier_kernels import flag_resampled, rolling_median, stack_median
from jwstsm.stage3.outlier_detection import (
    MedianImage,
    Outliers,
    find_outliers,
    flag_cube,
    flag_frame,
    make_median,
    outlier_detection,
)
from jwstsm.step import Skipped
from tests.builders import primary_header
from tests.unit.stage3.dithers import exposures, plain_wcs, sky_image, star_list

FOUND = dqbits.DO_NOT_USE | dqbits.OUTLIER


def scene(n=4, hits=6, **options):
    """Dithered stars with cosmic rays in each exposure; returns inputs and where they were hit."""
    frames = exposures(n, noise=0.3, stars=star_list(15), **options)
    rng = np.random.default_rng(9)
    masks = []
    for frame in frames:
        dark = sky_image(frame.wcs, frame.shape, star_list(15)) < 0.5  # in a star's flank a hit may hide
        dark[:12] = dark[-12:] = dark[:, :12] = dark[:, -12:] = False
        mask = np.zeros(frame.shape, bool)
        mask.flat[rng.choice(np.flatnonzero(dark), hits, replace=False)] = True
        frame.arrays["data"][mask] += 30
        masks.append(mask)
    return Stage3Inputs(frames), masks


def slope_of(frame) -> Slope:
    slope = Slope(primary=primary_header(), suffix="cal", wcs=frame.wcs)
    for name, array in frame.arrays.items():
        setattr(slope, name, array.copy())
    return slope


def test_cosmic_rays_are_found_and_stars_and_noise_are_not():
    """All hits in the common area; false alarms below what 4 to 5 sigma of noise give."""
    inputs, masks = scene()
    found = outlier_detection(inputs)
    for frame, mask in zip(inputs.frames, masks, strict=True):
        flagged = found.mask(frame.name)
        assert flagged[mask].all()
        assert np.count_nonzero(flagged & ~mask) <= 2


def test_sky_levels_are_allowed_for():
    """Exposures with different, known skies give the same outliers as flat ones."""
    flat, masks = scene()
    raised, _ = scene()
    for k, frame in enumerate(raised.frames):
        frame.arrays["data"] += np.float32(3.0 * k)
        frame.sky_level = 3.0 * k
    one, two = outlier_detection(flat), outlier_detection(raised)
    for frame in flat.frames:
        assert np.array_equal(one.mask(frame.name), two.mask(frame.name))
    assert sum(one.mask(f.name).sum() for f in flat.frames) >= sum(m.sum() for m in masks)


def test_two_halves_with_a_file_between_them_give_the_same_flags(tmp_path):
    """The median written and read, then each exposure flagged by itself, as the workflow does."""
    inputs, masks = scene()
    expected = outlier_detection(inputs)
    make_median(inputs).write(tmp_path / "median.fits")
    median = MedianImage.read(tmp_path / "median.fits")
    for frame, mask in zip(inputs.frames, masks, strict=True):
        slope = slope_of(frame)
        assert flag_frame(slope, median) is slope
        flagged = expected.mask(frame.name)
        assert np.array_equal((slope.dq & dqbits.OUTLIER) != 0, flagged)
        assert (slope.dq[mask] == FOUND).all()
        for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            assert np.array_equal(np.isnan(getattr(slope, name)), flagged)


def test_header_or_argument_gives_the_sky_of_a_frame():
    inputs, _ = scene()
    median = make_median(inputs)
    flags = []
    for how in ("none", "header", "argument"):
        slope = slope_of(inputs.frames[0])
        if how != "none":
            slope.data += 50
        if how == "header":
            slope.primary["BKGLEVEL"], slope.primary["BKGSUB"] = 50.0, False
        flag_frame(slope, median, sky_level=50.0 if how == "argument" else None)
        flags.append(slope.dq)
    assert np.array_equal(flags[0], flags[1])
    assert np.array_equal(flags[0], flags[2])


def test_unusable_pixels_become_the_same_set_in_all_planes():
    """A pixel that is NaN in one plane, or DO_NOT_USE, leaves the step as both."""
    inputs, _ = scene()
    median = make_median(inputs)
    slope = slope_of(inputs.frames[0])
    slope.var_flat[5, 5] = np.nan
    slope.dq[6, 6] = dqbits.DO_NOT_USE
    slope.var_poisson = None
    flag_frame(slope, median)
    for y, x in ((5, 5), (6, 6)):
        assert slope.dq[y, x] & dqbits.DO_NOT_USE
        assert np.isnan([slope.data[y, x], slope.err[y, x], slope.var_flat[y, x]]).all()


def test_an_image_without_error_and_dq_is_flagged_too():
    """Only the gradient is then allowed for; the DQ plane is made."""
    inputs, masks = scene()
    median = make_median(inputs)
    slope = slope_of(inputs.frames[0])
    slope.err, slope.dq = None, None
    flag_frame(slope, median)
    assert (slope.dq[masks[0]] == FOUND).all()
    assert slope.err is None


def test_detectors_of_one_exposure_are_combined_before_the_median():
    """With three exposures of two detectors the median has three values per pixel, and edges where detectors meet."""
    inputs, masks = scene(3, detectors=(("NRCA1", 0.0), ("NRCA2", 70.0)))
    found = outlier_detection(inputs)
    hit = sum(found.mask(f.name)[m].sum() for f, m in zip(inputs.frames, masks, strict=True))
    assert hit >= 0.9 * sum(m.sum() for m in masks)


def test_one_image_is_skipped():
    inputs, _ = scene(1)
    result = outlier_detection(inputs)
    assert isinstance(result, Skipped)
    assert "nothing to compare" in result.reason


def test_without_resampling_images_are_compared_pixel_by_pixel():
    """Same pointing, first limit only; images of another size are refused."""
    inputs, masks = scene(step=0.0)
    for frame in inputs.frames:
        frame.wcs = plain_wcs(frame.shape)
        frame.arrays["data"] = inputs.frames[0].arrays["data"].copy()
    rng = np.random.default_rng(0)
    for frame, mask in zip(inputs.frames, masks, strict=True):
        frame.arrays["data"] = rng.normal(0, 0.3, frame.shape).astype("f4")
        frame.arrays["data"][mask] += 30
    found = outlier_detection(inputs, resample_data=False)
    for frame, mask in zip(inputs.frames, masks, strict=True):
        assert found.mask(frame.name)[mask].all()
    inputs.frames[1].arrays = {k: a[:-1] for k, a in inputs.frames[1].arrays.items()}
    with pytest.raises(InputError, match="resample_data must be true"):
        make_median(inputs, resample_data=False)


def test_pixels_of_little_weight_stay_out_of_the_median():
    """A corner that one exposure sees with a hundredth of the weight is the median of the others."""
    inputs, _ = scene(3, hits=0)
    inputs.frames[0].arrays["data"][:30, :30] = 1e3
    inputs.frames[0].arrays["var_rnoise"][:30, :30] *= 100
    with_mask = make_median(inputs).data
    without = make_median(inputs, maskpt=0.0).data
    assert np.nanmax(with_mask) < 500
    assert np.nanmax(without[:35, :35]) > np.nanmax(with_mask[:35, :35])


def test_limits_are_two_numbers():
    inputs, _ = scene(2)
    with pytest.raises(ConfigError, match="'snr' is 'five'"):
        outlier_detection(inputs, snr="five")


def test_masks_survive_writing(tmp_path):
    rng = np.random.default_rng(1)
    masks = {f"f{k}_cal.fits": rng.random((9, 13 + k)) < 0.3 for k in range(3)}
    kept = Outliers()
    for name, mask in masks.items():
        kept.add(name, mask)
    kept.write(tmp_path / "outliers.npz")
    back = Outliers.read(tmp_path / "outliers.npz")
    for name, mask in masks.items():
        assert np.array_equal(back.mask(name), mask)
        assert np.array_equal(back.mask(name, 2, 5), mask[2:5])


def test_the_two_passes_are_what_their_formula_says():
    """Against a NumPy version: gradient to four neighbours, NaN aside, second pass beside the first."""
    rng = np.random.default_rng(5)
    data, reference = rng.normal(0, 3, (2, 40, 50)).astype("f4")
    err = rng.uniform(0.3, 1.0, (40, 50)).astype("f4")
    reference[rng.random((40, 50)) < 0.05] = np.nan
    data[3, 3], err[8, 8] = np.nan, np.nan
    snr, scale = np.array([5, 4], "f4"), np.array([1.2, 0.7], "f4")
    found = np.empty((40, 50), bool)
    flag_resampled(data, err, reference, snr, scale, np.float32(0.25), np.empty((40, 50), bool), found)
    padded = np.pad(reference, 1, constant_values=np.nan)
    steps = [
        np.abs(padded[1 + dy : 41 + dy, 1 + dx : 51 + dx] - reference) for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    gradient = np.max(np.nan_to_num(steps), axis=0) + 0 * reference
    excess = np.abs(data - reference - np.float32(0.25))
    first, second = (excess > c * gradient + s * np.nan_to_num(err) for c, s in zip(scale, snr, strict=True))
    expected = ndimage.binary_dilation(first, np.ones((3, 3))) & second
    assert expected.sum() > 20
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 41, 60])
def test_stack_median_is_the_nan_median_in_single_precision(n):
    rng = np.random.default_rng(n)
    stack = rng.normal(0, 1, (n, 7, 9)).astype("f4")
    stack[rng.random(stack.shape) < 0.3] = np.nan
    stack[:, 0, 0] = np.nan
    out = np.empty((7, 9), np.float32)
    stack_median(stack, out)
    filled = ~np.isnan(stack).all(axis=0)
    assert np.array_equal(out[filled], np.nanmedian(stack[:, filled], axis=0))
    assert np.isnan(out[~filled]).all()


@pytest.mark.parametrize("width", [2, 3, 5, 8])
def test_rolling_median_moves_along_and_repeats_at_the_ends(width):
    """Whole windows only; a NaN spoils the windows that it is in."""
    rng = np.random.default_rng(width)
    cube = rng.normal(0, 1, (20, 3, 4)).astype("f4")
    cube[11, 1, 1] = np.nan
    out = np.empty_like(cube)
    rolling_median(cube, width, out)
    half = width // 2
    for k in range(20):
        start = min(max(k - half, 0), 20 - width)
        window = cube[start : start + width]
        expected = np.median(window, axis=0)
        assert np.array_equal(out[k], expected, equal_nan=True)


def cube_product(nints=40, value=10.0) -> tuple[Slope, np.ndarray]:
    rng = np.random.default_rng(2)
    shape = (nints, 12, 14)
    slope = Slope(primary=primary_header(), suffix="calints")
    slope.data = (value + rng.normal(0, 0.1, shape)).astype("f4")
    slope.err = np.full(shape, 0.1, np.float32)
    slope.dq = np.zeros(shape, np.uint32)
    hits = np.zeros(shape, bool)
    hits[rng.integers(0, nints, 20), rng.integers(0, 12, 20), rng.integers(0, 14, 20)] = True
    slope.data[hits] += 3
    return slope, hits


@pytest.mark.parametrize("mode", ["coron", "tso"])
@pytest.mark.parametrize("nints", [10, 40])
def test_hits_in_a_stack_of_integrations_are_found(mode, nints):
    """With fewer integrations than the window the time series is compared with one median."""
    slope, hits = cube_product(nints)
    flag_cube(slope, mode=mode)
    assert ((slope.dq[hits] & FOUND) == FOUND).all()
    assert np.isnan(slope.data[hits]).all()
    assert (slope.dq[~hits] != 0).sum() <= 3


def test_a_moving_median_follows_a_slow_change_and_a_fixed_one_does_not():
    slope, hits = cube_product(60)
    slope.data += np.linspace(0, 5, 60, dtype=np.float32)[:, None, None]
    other = Slope(primary=primary_header(), data=slope.data.copy(), err=slope.err.copy(), dq=slope.dq.copy())
    flag_cube(slope, mode="tso")
    inner = np.zeros_like(hits)
    inner[12:-12] = True
    assert (slope.dq[~hits & inner] != 0).sum() <= 3
    flag_cube(other, mode="coron")
    assert (other.dq[~hits & inner] != 0).mean() > 0.3


def test_flagged_integrations_stay_out_of_the_median_of_a_coronagraphic_stack():
    slope, _ = cube_product(9)
    slope.data[:5, 4, 4] = 100
    slope.dq[:5, 4, 4] = dqbits.DO_NOT_USE
    flag_cube(slope, mode="coron")
    assert (slope.dq[5:, 4, 4] == 0).all()


def test_a_reference_that_is_not_known_flags_nothing():
    """Outside the median image there is nothing to compare with."""
    shape = (20, 20)
    median = MedianImage(np.full(shape, np.nan, np.float32), plain_wcs(shape))
    far = MedianImage(np.zeros(shape, np.float32), plain_wcs(shape, 1e4))
    data, err = np.full(shape, 1e3, np.float32), np.ones(shape, np.float32)
    for reference in (median, far):
        assert not find_outliers(data, err, plain_wcs(shape), reference).any()
