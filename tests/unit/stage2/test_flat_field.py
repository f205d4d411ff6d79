"""flat_field: division by the flat, its errors and its flags."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.errors import ConfigError, InputError
from jwstsm.references import References, Window
from jwstsm.stage2 import flat_field as module
from jwstsm.stage2.flat_field import divide_by_flat_inplace, flat_field
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_slope

PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


def references(flat, err=0.01, flags=None, **extra) -> FakeReferences:
    """Return references with one flat."""
    flat = np.asarray(flat, np.float32)
    content = {"SCI": flat, "ERR": np.full(flat.shape, err, np.float32)}
    if flags is not None:
        content["DQ"] = np.asarray(flags, np.uint32)
    return FakeReferences({"flat": content | extra})


def reference_division(data, vp, vr, flat, flat_err):
    """Return the formula in plain numpy, double precision."""
    d = data / flat
    p, r, v = vp / flat**2, vr / flat**2, (d / flat * flat_err) ** 2
    return d, np.sqrt(p + r + v), p, r, v


@pytest.mark.parametrize("nints", [None, 3])
def test_the_division_and_its_errors_follow_the_formula(nints):
    rng = np.random.default_rng(1)
    slope = make_slope(6, 7, nints)
    for name in ("data", "var_poisson", "var_rnoise"):
        setattr(slope, name, rng.uniform(0.5, 2.0, slope.data.shape).astype(np.float32))
    flat = rng.uniform(0.5, 1.5, (6, 7)).astype(np.float32)
    expected = reference_division(*(a.astype(float) for a in (slope.data, slope.var_poisson, slope.var_rnoise)), flat, 0.01)
    flat_field(slope, references(flat))
    for name, value in zip(PLANES, expected, strict=True):
        np.testing.assert_allclose(getattr(slope, name), value, rtol=3e-7, err_msg=name)
    assert slope.dq.max() == 0


def test_pixels_without_a_flat_are_flagged_and_blanked():
    flat = np.ones((2, 4))
    flat[0, :2] = np.nan, 0.0
    flags = np.zeros((2, 4), int)
    flags[0, 2], flags[1, 0], flags[1, 1] = dq.NO_FLAT_FIELD, dq.DO_NOT_USE, dq.UNRELIABLE_FLAT
    slope = make_slope(2, 4)
    flat_field(slope, references(flat, flags=flags))
    both = dq.NO_FLAT_FIELD | dq.DO_NOT_USE
    np.testing.assert_array_equal(slope.dq, [[both, both, both, 0], [dq.DO_NOT_USE, dq.UNRELIABLE_FLAT, 0, 0]])
    bad = (slope.dq & dq.DO_NOT_USE) > 0
    for name in PLANES:
        np.testing.assert_array_equal(np.isnan(getattr(slope, name)), bad, err_msg=name)


def test_flags_of_the_flat_come_through_its_own_definitions():
    definitions = np.array([(0, 4, "NO_FLAT_FIELD", "")], [("BIT", "i4"), ("VALUE", "i4"), ("NAME", "U20"), ("D", "U5")])
    slope = make_slope(1, 2)
    flat_field(slope, references(np.ones((1, 2)), flags=[[4, 0]], DQ_DEF=definitions.view(np.recarray)))
    np.testing.assert_array_equal(slope.dq, [[dq.NO_FLAT_FIELD | dq.DO_NOT_USE, 0]])


@pytest.mark.parametrize("plane", ["data", "var_poisson", "var_rnoise"])
def test_a_pixel_that_is_nan_in_one_plane_is_so_in_all(plane):
    slope = make_slope(3, 3)
    getattr(slope, plane)[1, 2] = np.nan
    flat_field(slope, references(np.ones((3, 3))))
    for name in PLANES:
        assert np.isnan(getattr(slope, name)[1, 2])
        assert np.isfinite(getattr(slope, name)).sum() == 8
    assert slope.dq[1, 2] == dq.DO_NOT_USE


def test_masked_pixels_leave_the_others_alone():
    rng = np.random.default_rng(2)
    flat = rng.uniform(0.5, 1.5, (5, 5))
    clean, dirty = make_slope(5, 5), make_slope(5, 5)
    dirty.dq[2, 2] = dq.DO_NOT_USE
    dirty.data[2, 2] = 1e30
    for slope in (clean, dirty):
        flat_field(slope, references(flat))
    good = dirty.dq == 0
    assert good.sum() == 24
    for name in PLANES:
        np.testing.assert_array_equal(getattr(clean, name)[good], getattr(dirty, name)[good])


def test_the_inverse_restores_the_image():
    rng = np.random.default_rng(3)
    flat = rng.uniform(0.5, 1.5, (5, 5))
    slope = make_slope(5, 5)
    before = {n: getattr(slope, n).copy() for n in ("data", "var_poisson", "var_rnoise")}
    flat_field(slope, references(flat))
    flat_field(slope, references(flat), inverse=True)
    for name, value in before.items():
        np.testing.assert_allclose(getattr(slope, name), value, rtol=1e-6)
    np.testing.assert_array_equal(slope.var_flat, 0)
    np.testing.assert_allclose(slope.err, np.sqrt(slope.var_poisson + slope.var_rnoise), rtol=1e-6)


def test_images_that_were_not_fitted_keep_one_error_plane():
    slope = make_slope(2, 2, 4, value=2.0, EXP_TYPE="FGS_ACQ1", INSTRUME="FGS")
    slope.var_poisson = slope.var_rnoise = None
    slope.dq = np.zeros((2, 2), np.uint32)
    flat_field(slope, references(np.full((2, 2), 0.5), err=0.1))
    np.testing.assert_allclose(slope.data, 4.0)
    np.testing.assert_allclose(slope.err, np.sqrt(0.1**2 + (4.0 * 0.1 / 0.5) ** 2), rtol=1e-6)
    assert slope.var_flat is None


def test_the_one_plane_of_flags_of_guide_star_images_blanks_nothing():
    slope = make_slope(2, 2, 4, value=2.0, EXP_TYPE="FGS_ACQ1", INSTRUME="FGS")
    slope.var_poisson = slope.var_rnoise = None
    slope.data[1, 1, 1] = np.nan
    slope.dq = np.array([[dq.DO_NOT_USE, 0], [0, 0]], np.uint32)
    flat = np.full((2, 2), 0.5)
    flat[0, 1] = 0.0
    flat_field(slope, references(flat))
    np.testing.assert_array_equal(slope.data[0], [[4.0, 2.0], [4.0, 4.0]])
    assert np.isnan(slope.data[1, 1, 1])
    assert np.isnan(slope.err[1, 1, 1])
    assert np.isfinite(slope.err[0]).all()
    np.testing.assert_array_equal(slope.dq, [[dq.DO_NOT_USE, dq.DO_NOT_USE | dq.NO_FLAT_FIELD], [0, 0]])


def test_the_compiled_kernels_are_the_plain_ones():
    rng = np.random.default_rng(4)

    def planes():
        data, err, vp, vr, vf = np.random.default_rng(5).uniform(0.1, 2, (5, 2, 4, 6)).astype(np.float32)
        data[0, 1, 2], vp[1, 2, 3] = np.nan, np.nan
        flags = np.zeros((2, 4, 6), np.uint32)
        flags[1, 0, 0] = dq.DO_NOT_USE
        return [data, err, flags, vp, vr, vf]

    flat, flat_err = rng.uniform(0.5, 1.5, (2, 4, 6)).astype(np.float32)
    flat[0, 0], flat[1, 1] = np.nan, 0.0
    flat_dq = np.where(rng.random((4, 6)) < 0.2, dq.NO_FLAT_FIELD, 0).astype(np.uint32)
    for kernel, extra in ((module._divide_rows, (flat, flat_err, flat_dq)), (module._multiply_rows, (flat, flat_dq))):
        compiled, plain = planes(), planes()
        kernel(*compiled, *extra)
        with np.errstate(all="ignore"):
            kernel.py_func(*plain, *extra)
        for a, b in zip(compiled, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_one_thread_and_two_give_the_same_bits():
    results = []
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        slope = make_slope(40, 30)
        slope.data = np.random.default_rng(6).normal(1, 0.3, (40, 30)).astype(np.float32)
        flat_field(slope, references(np.random.default_rng(7).normal(1, 0.1, (40, 30))))
        results.append(slope)
    numba.set_num_threads(before)
    for name in PLANES:
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


def test_the_reference_is_not_written_to():
    refs = references(np.array([[1.0, np.nan]]))
    flat_field(make_slope(1, 2), refs)
    np.testing.assert_array_equal(refs["flat"].array("SCI"), [[1.0, np.nan]])


def test_a_flat_without_an_error_plane_adds_no_variance():
    slope = make_slope(2, 2)
    flat_field(slope, FakeReferences({"flat": {"SCI": np.full((2, 2), 2.0)}}))
    np.testing.assert_array_equal(slope.var_flat, 0)


def test_a_flat_of_the_user_takes_the_place_of_the_reference(tmp_path):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.full((4, 4), 4.0, np.float32), name="SCI")]
    fits.HDUList(hdus).writeto(tmp_path / "mine.fits")
    slope = make_slope(2, 2, SUBSTRT1=2, SUBSTRT2=3)
    refs = References({"flat": None}, Window.of(slope.readout))
    flat_field(slope, refs, user_supplied_flat=str(tmp_path / "mine.fits"))
    np.testing.assert_allclose(slope.data, 0.25)
    assert refs.used["flat"] == "mine.fits"
    with pytest.raises(ConfigError, match="does not exist"):
        flat_field(slope, refs, user_supplied_flat=str(tmp_path / "no.fits"))


def test_what_cannot_be_flat_fielded_is_skipped_and_unchanged():
    for slope, refs, reason in (
        (make_slope(2, 2), FakeReferences({"flat": None}), "N/A"),
        (make_slope(4, 4), references(np.ones((2, 2))), "smaller"),
        (make_slope(2, 2, EXP_TYPE="NRS_AUTOFLAT"), references(np.ones((2, 2))), "NRS_AUTOFLAT"),
    ):
        result = flat_field(slope, refs)
        assert isinstance(result, Skipped)
        assert reason in result.reason
        assert slope.var_flat is None
        np.testing.assert_array_equal(slope.data, 1.0)


def test_spectra_with_a_composite_flat_are_refused():
    with pytest.raises(InputError, match="NRS_IFU"):
        flat_field(make_slope(2, 2, EXP_TYPE="NRS_IFU"), references(np.ones((2, 2))))


def test_an_empty_image_survives():
    empty = np.empty((0, 5), np.float32)
    flags = np.empty((0, 5), np.uint32)
    out = divide_by_flat_inplace(empty, empty.copy(), flags, empty.copy(), empty.copy(), empty, empty, flags)
    assert out.shape == (0, 5)
