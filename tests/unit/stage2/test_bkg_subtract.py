"""bkg_subtract: the clipped mean of background exposures."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clip

from jwstsm.core import dq
from jwstsm.errors import InputError
from jwstsm.stage2 import bkg_subtract as module
from jwstsm.stage2.bkg_subtract import bkg_subtract, combine_backgrounds
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_slope, primary_header

REFS = FakeReferences({"bkg": None, "wavelengthrange": None})


def write_background(path, data, err=0.1, flags=0, **keywords):
    """Write a rate file."""
    data = np.asarray(data, np.float32)
    header = primary_header(**({"SUBSIZE1": data.shape[-1], "SUBSIZE2": data.shape[-2]} | keywords))
    err = np.broadcast_to(np.float32(err), data.shape).astype(np.float32)
    flags = np.broadcast_to(np.uint32(flags), data.shape).astype(np.uint32)
    hdus = [fits.ImageHDU(a, name=n) for n, a in (("SCI", data), ("ERR", err), ("DQ", flags))]
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path, overwrite=True)
    return str(path)


def judge(members, sigma, maxiters):
    """Return the mean and its error by astropy, integrations of each member first."""

    def clipped(a):
        return sigma_clip(np.ma.masked_invalid(a), sigma=sigma, maxiters=maxiters, axis=0)

    means, squares = [], []
    for data, err in members:
        if data.ndim == 3:
            means.append(clipped(data.astype(float)).mean(axis=0).filled(np.nan))
            squares.append(clipped(err.astype(float) ** 2).mean(axis=0).filled(np.nan))
        else:
            means.append(data.astype(float))
            squares.append(err.astype(float) ** 2)
    kept = clipped(np.array(means))
    total = np.ma.array(squares, mask=kept.mask)
    error = np.sqrt(total.sum(axis=0)) / (~kept.mask).sum(axis=0)
    return kept.mean(axis=0).filled(0.0), error.filled(0.0)


@pytest.mark.parametrize(("sigma", "maxiters"), [(3.0, None), (1.5, None), (1.5, 1), (1.2, 2)])
@pytest.mark.parametrize("nints", [None, 9])
def test_the_mean_and_its_error_are_those_of_sigma_clipping_by_astropy(sigma, maxiters, nints):
    rng = np.random.default_rng(1)
    members = []
    for _ in range(12):
        shape = (7, 11) if nints is None else (nints, 7, 11)
        data = rng.normal(1, 0.1, shape).astype(np.float32)
        data[rng.random(shape) < 0.1] += 5
        data[rng.random(shape) < 0.05] = np.nan
        members.append((data, rng.uniform(0.1, 0.2, shape).astype(np.float32)))
    mean, error = combine_backgrounds(members, sigma, maxiters)
    expected = judge(members, sigma, maxiters)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-6)
    np.testing.assert_allclose(error, expected[1], rtol=1e-6)


def test_no_round_of_clipping_is_the_plain_mean():
    data = np.array([1.0, 2.0, 90.0], np.float32)[:, None, None]
    mean, _ = combine_backgrounds([(d, d) for d in data], 0.5, 0)
    np.testing.assert_allclose(mean, 31.0)


def test_a_pixel_without_any_background_is_zero():
    data = np.ones((3, 2), np.float32)
    data[1, 1] = np.nan
    mean, error = combine_backgrounds([(data, np.full((3, 2), 0.1, np.float32))] * 4)
    assert (mean[1, 1], error[1, 1]) == (0, 0)
    assert mean.sum() == 5


def test_the_compiled_kernels_are_the_plain_ones():
    rng = np.random.default_rng(2)
    data = rng.normal(1, 0.3, (6, 3, 4))
    data[rng.random(data.shape) < 0.2] = np.nan
    err = rng.uniform(0.1, 0.3, data.shape)
    for kernel in (module._average_integrations, module._average_members):
        results = [[np.empty((3, 4)), np.empty((3, 4))] for _ in range(2)]
        kernel(data, err, 1.2, -1, *results[0])
        kernel.py_func(data, err, 1.2, -1, *results[1])
        np.testing.assert_allclose(results[0], results[1], rtol=1e-13)


def test_the_background_is_subtracted_and_its_flags_are_added(tmp_path):
    slope = make_slope(4, 5, value=3.0)
    paths = [
        write_background(tmp_path / "a_rate.fits", np.full((4, 5), 1.0), flags=dq.JUMP_DET),
        write_background(tmp_path / "b_rate.fits", np.full((4, 5), 2.0), flags=dq.HOT),
    ]
    errors = {n: getattr(slope, n).copy() for n in ("err", "var_poisson", "var_rnoise")}
    assert bkg_subtract(slope, REFS, bkg_list=paths) is slope
    np.testing.assert_allclose(slope.data, 1.5)
    np.testing.assert_array_equal(slope.dq, dq.JUMP_DET | dq.HOT)
    for name, value in errors.items():
        np.testing.assert_array_equal(getattr(slope, name), value)


def test_stacks_take_the_mean_over_integrations_from_every_plane(tmp_path):
    slope = make_slope(3, 3, 4, value=3.0)
    data = np.arange(5.0)[:, None, None] * np.ones((5, 3, 3))
    flags = np.zeros((5, 3, 3), np.uint32)
    flags[2, 0, 0] = dq.HOT
    bkg_subtract(slope, REFS, bkg_list=[write_background(tmp_path / "a_rateints.fits", data, flags=flags)])
    np.testing.assert_allclose(slope.data, 1.0)
    np.testing.assert_array_equal(slope.dq[:, 0, 0], dq.HOT)
    assert slope.dq[:, 1:].max() == 0


def test_the_result_does_not_depend_on_the_bands_that_are_read(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    paths = [write_background(tmp_path / f"{k}_rate.fits", rng.normal(1, 0.1, (9, 5))) for k in range(4)]
    whole, banded = make_slope(9, 5), make_slope(9, 5)
    bkg_subtract(whole, REFS, bkg_list=paths)
    monkeypatch.setattr(module, "_BAND_BYTES", 1200)
    bkg_subtract(banded, REFS, bkg_list=paths)
    np.testing.assert_array_equal(whole.data, banded.data)


def test_the_order_of_the_backgrounds_does_not_matter(tmp_path):
    rng = np.random.default_rng(4)
    paths = [write_background(tmp_path / f"{k}_rate.fits", rng.normal(1, 0.1, (5, 5)).round(3)) for k in range(4)]
    one, two = make_slope(5, 5), make_slope(5, 5)
    bkg_subtract(one, REFS, bkg_list=paths)
    bkg_subtract(two, REFS, bkg_list=paths[::-1])
    np.testing.assert_allclose(one.data, two.data, rtol=1e-6)


def test_windows_are_matched_by_their_place_on_the_detector(tmp_path):
    full = np.arange(80.0).reshape(8, 10)
    path = write_background(tmp_path / "full_rate.fits", full)
    slope = make_slope(3, 4, value=100.0, SUBSTRT1=5, SUBSTRT2=3)
    bkg_subtract(slope, REFS, bkg_list=[path])
    np.testing.assert_allclose(slope.data, 100 - full[2:5, 4:8])


def test_outside_the_overlap_the_image_stays_as_it_is(tmp_path):
    path = write_background(tmp_path / "part_rate.fits", np.ones((3, 3)), flags=dq.HOT, SUBSTRT1=3, SUBSTRT2=2)
    slope = make_slope(4, 4, value=5.0)
    bkg_subtract(slope, REFS, bkg_list=[path])
    expected = np.full((4, 4), 5.0)
    expected[1:4, 2:4] = 4.0
    np.testing.assert_array_equal(slope.data, expected)
    np.testing.assert_array_equal(slope.dq == dq.HOT, expected == 4)


def test_the_combined_background_is_a_product_of_its_own(tmp_path):
    slope = make_slope(2, 2, value=3.0)
    paths = [write_background(tmp_path / f"{k}_rate.fits", np.full((2, 2), k), err=0.3) for k in (1.0, 2.0)]
    out = bkg_subtract(slope, REFS, bkg_list=paths, save_combined_background=True)
    assert out["rate"] is slope
    background = out["combinedbackground"]
    np.testing.assert_allclose(background.data, 1.5)
    np.testing.assert_allclose(background.err, 0.3 * np.sqrt(2) / 2, rtol=1e-6)
    assert background.primary["INSTRUME"] == "NIRCAM"


@pytest.mark.parametrize("bkg_list", [None, [], [""]])
def test_without_backgrounds_the_step_is_skipped(bkg_list):
    assert isinstance(bkg_subtract(make_slope(2, 2), REFS, bkg_list=bkg_list), Skipped)


def test_a_background_with_the_grating_tilted_otherwise_is_not_used(tmp_path):
    path = write_background(tmp_path / "a_rate.fits", np.ones((2, 2)), GWA_XTIL=0.3, GWA_YTIL=0.1)
    slope = make_slope(2, 2, GWA_XTIL=0.3, GWA_YTIL=0.1001)
    result = bkg_subtract(slope, REFS, bkg_list=[path])
    assert isinstance(result, Skipped)
    np.testing.assert_array_equal(slope.data, 1.0)
    same = make_slope(2, 2, GWA_XTIL=0.3, GWA_YTIL=0.1)
    bkg_subtract(same, REFS, bkg_list=[path])
    np.testing.assert_array_equal(same.data, 0.0)


def test_a_background_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        bkg_subtract(make_slope(2, 2), REFS, bkg_list=[str(tmp_path / "none_rate.fits")])
    path = write_background(tmp_path / "a_rateints.fits", np.ones((3, 2, 2)))
    with pytest.raises(InputError, match="both must be of one kind"):
        bkg_subtract(make_slope(2, 2), REFS, bkg_list=[path])
    fits.PrimaryHDU().writeto(tmp_path / "empty_rate.fits")
    with pytest.raises(InputError, match="not a rate product"):
        bkg_subtract(make_slope(2, 2), REFS, bkg_list=[str(tmp_path / "empty_rate.fits")])
