"""photom: conversion factors, the change of throughput with time, pixel areas."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from jwstsm.core import dq
from jwstsm.errors import InputError, ReferenceError_
from jwstsm.stage2 import _planes
from jwstsm.stage2.photom import MJSR_TO_UJA2, photom
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_slope

COLUMNS = [("filter", "S12"), ("pupil", "S12"), ("photmjsr", ">f4"), ("uncertainty", ">f4")]
ROWS = [("F200W", "CLEAR", 1.5, 0.1), ("F444W", "CLEAR", 0.25, 0.1), ("F444W", "MASKRND", 0.5, 0.1)]
PLANES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


def table(rows, columns) -> np.recarray:
    """Return a binary table."""
    return np.array(rows, columns).view(np.recarray)


def references(rows=ROWS, columns=COLUMNS, area=None, header=None, **extra) -> FakeReferences:
    """Return references with a photometry table."""
    photometry = {"PHOTOM": table(rows, columns), "header": header or {"PIXAR_SR": 9.3e-14, "PIXAR_A2": 0.00397}}
    return FakeReferences({"photom": photometry | extra, "area": area})


@pytest.mark.parametrize("nints", [None, 2])
def test_an_image_becomes_surface_brightness(nints):
    slope = make_slope(3, 4, nints, value=8.0)
    slope.var_flat = np.full(slope.data.shape, 0.5, np.float32)
    photom(slope, references())
    for name, value in zip(PLANES, (2.0, 0.025, 0.006 / 16, 0.004 / 16, 0.5 / 16), strict=True):
        np.testing.assert_allclose(getattr(slope, name), value, rtol=1e-6, err_msg=name)
    assert slope.sci["PHOTMJSR"] == 0.25
    assert slope.sci["BUNIT"] == "MJy/sr"
    assert (slope.sci["PIXAR_SR"], slope.sci["PIXAR_A2"]) == (9.3e-14, 0.00397)


def test_the_keyword_in_microjansky_has_the_right_unit():
    expected = (1 * u.MJy / u.sr).to_value(u.uJy / u.arcsec**2)
    assert pytest.approx(expected, rel=1e-12) == MJSR_TO_UJA2
    slope = make_slope(2, 2)
    photom(slope, references())
    assert slope.sci["PHOTUJA2"] == pytest.approx(0.25 * expected, rel=1e-7)


def test_the_row_is_found_by_filter_and_pupil_without_regard_to_case():
    slope = make_slope(2, 2, FILTER="f444w", PUPIL="maskrnd")
    photom(slope, references())
    assert slope.sci["PHOTMJSR"] == 0.5


def test_the_subarray_decides_where_the_reference_has_it():
    rows = [(*ROWS[1], "FULL"), ("F444W", "CLEAR", 7.0, 0.1, "SUB64P")]
    slope = make_slope(2, 2, SUBARRAY="SUB64P")
    photom(slope, references(rows, [*COLUMNS, ("subarray", "S12")]))
    assert slope.sci["PHOTMJSR"] == 7.0


def test_miri_falls_back_on_the_generic_subarray():
    columns = [("filter", "S12"), ("subarray", "S17"), ("photmjsr", "f4")]
    rows = [("F1000W", "GENERIC", 3.0), ("F1000W", "BRIGHTSKY", 4.0)]
    for subarray, factor in (("BRIGHTSKY", 4.0), ("SUB128", 3.0)):
        slope = make_slope(2, 2, INSTRUME="MIRI", FILTER="F1000W", SUBARRAY=subarray)
        photom(slope, references(rows, columns))
        assert slope.sci["PHOTMJSR"] == factor


def test_interferograms_stay_count_rates_and_get_pixel_areas():
    slope = make_slope(3, 4, 2, value=8.0, INSTRUME="NIRISS", EXP_TYPE="NIS_AMI")
    out = photom(slope, references(area={"SCI": np.full((3, 4), 1.5), "header": {"PIXAR_SR": 9e-14, "PIXAR_A2": 0.004}}))
    assert isinstance(out, Skipped)
    np.testing.assert_array_equal(slope.data, 8.0)
    np.testing.assert_array_equal(slope.area, 1.5)
    assert slope.sci["PIXAR_SR"] == 9e-14
    assert "PHOTMJSR" not in slope.sci


def test_fgs_has_one_row():
    slope = make_slope(2, 2, INSTRUME="FGS")
    photom(slope, references([(0.75, 0.1)], [("photmjsr", "f4"), ("uncertainty", "f4")]))
    assert slope.sci["PHOTMJSR"] == 0.75


TIMES = {
    "TIMECOEFF_LINEAR": ([("t0", "f4"), ("lossperyear", "f4")], (59000.0, 0.1), lambda d: 1 - 0.1 * d / 365),
    "TIMECOEFF_EXPONENTIAL": (
        [("t0", "f4"), ("amplitude", "f4"), ("tau", "f4"), ("const", "f4")],
        (59000.0, 0.25, 200.0, 0.75),
        lambda d: 0.25 * np.exp(-d / 200) + 0.75,
    ),
    "TIMECOEFF_POWERLAW": (
        [("t0", "f4"), ("year1value", "f4"), ("tsoft", "f4"), ("alpha", "f4")],
        (59000.0, 0.9, 50.0, -0.25),
        lambda d: 0.9 * ((d + 50) / 415) ** -0.25,
    ),
}


@pytest.mark.parametrize("used", [["TIMECOEFF_LINEAR"], ["TIMECOEFF_EXPONENTIAL"], ["TIMECOEFF_POWERLAW"], list(TIMES)])
def test_the_change_of_throughput_is_taken_out(used):
    columns = [("filter", "S12"), ("pupil", "S12")]
    other, own = (b"F200W", b"CLEAR"), (b"F444W", b"CLEAR")
    extra, expected = {}, 1.0
    for name in used:
        more, values, formula = TIMES[name]
        unused = tuple(v * 0.5 for v in values)
        extra[name] = table([(*other, *unused), (*own, *values)], columns + more)
        expected *= formula(500.0)
    slope = make_slope(2, 2, value=8.0, EXPMID=59500.0)
    photom(slope, references(ROWS[:2], **extra))
    assert slope.sci["PHOTMJSR"] == pytest.approx(0.25 / expected, rel=1e-6)
    np.testing.assert_allclose(slope.data, 2.0 / expected, rtol=1e-6)
    still = make_slope(2, 2, EXPMID=59500.0)
    photom(still, references(ROWS[:2], **extra), apply_time_correction=False)
    assert still.sci["PHOTMJSR"] == 0.25


def test_one_year_after_the_start_the_power_law_has_its_value_of_that_year():
    more, values, _ = TIMES["TIMECOEFF_POWERLAW"]
    slope = make_slope(2, 2, EXPMID=59365.0)
    photom(slope, references(ROWS[1:2], TIMECOEFF_POWERLAW=table([values], more)))
    assert slope.sci["PHOTMJSR"] == pytest.approx(0.25 / 0.9, rel=1e-6)


def test_a_table_of_times_that_does_not_fit_is_refused():
    more, values, _ = TIMES["TIMECOEFF_LINEAR"]
    slope = make_slope(2, 2, EXPMID=59365.0)
    with pytest.raises(ReferenceError_, match="1 rows, PHOTOM has 3"):
        photom(slope, references(TIMECOEFF_LINEAR=table([values], more)))


@pytest.mark.parametrize("keywords", [{}, {"EXPMID": "noon"}])
def test_a_missing_or_bad_date_is_named(keywords):
    more, values, _ = TIMES["TIMECOEFF_LINEAR"]
    with pytest.raises(InputError, match="EXPMID"):
        photom(make_slope(2, 2, **keywords), references(ROWS[1:2], TIMECOEFF_LINEAR=table([values], more)))


def test_the_area_map_is_attached_cut_to_the_window_with_its_own_sizes():
    full = np.arange(64.0).reshape(8, 8)
    slope = make_slope(2, 3, SUBSTRT1=4, SUBSTRT2=5)
    refs = references(area={"SCI": full, "header": {"PIXAR_SR": 1e-13, "PIXAR_A2": 0.005}})
    refs.window = refs["area"].window = slope.readout
    photom(slope, refs)
    np.testing.assert_array_equal(slope.area, full[4:6, 3:6])
    assert (slope.sci["PIXAR_SR"], slope.sci["PIXAR_A2"]) == (1e-13, 0.005)


def test_sizes_that_no_reference_gives_are_left_out(caplog):
    slope = make_slope(2, 2)
    photom(slope, references(header={"PIXAR_A2": 0.004}))
    assert "PIXAR_SR" not in slope.sci
    assert slope.sci["PIXAR_A2"] == 0.004
    assert "PIXAR_SR" in caplog.text


def test_the_inverse_restores_the_counts():
    slope = make_slope(3, 3, value=8.0)
    photom(slope, references())
    photom(slope, references(), inverse=True)
    np.testing.assert_allclose(slope.data, 8.0, rtol=1e-6)
    np.testing.assert_allclose(slope.var_poisson, 0.006, rtol=1e-6)
    assert slope.sci["BUNIT"] == "DN/s"


def test_invalid_pixels_become_nan_and_flagged_in_all_planes():
    slope = make_slope(2, 3)
    slope.var_flat = np.zeros((2, 3), np.float32)
    slope.dq[0, 0], slope.err[0, 1], slope.data[0, 2], slope.dq[1, 0] = dq.DO_NOT_USE, np.nan, np.nan, dq.JUMP_DET
    photom(slope, references())
    np.testing.assert_array_equal(slope.dq, [[dq.DO_NOT_USE] * 3, [dq.JUMP_DET, 0, 0]])
    for name in PLANES:
        np.testing.assert_array_equal(np.isnan(getattr(slope, name)), [[True] * 3, [False] * 3])


def test_planes_that_are_absent_stay_absent():
    slope = make_slope(2, 2)
    slope.var_poisson = None
    photom(slope, references())
    assert slope.var_poisson is None
    assert slope.var_flat is None
    np.testing.assert_allclose(slope.data, 0.25)


def test_the_compiled_kernel_is_the_plain_one():
    rng = np.random.default_rng(1)

    def planes():
        out = [np.random.default_rng(2).uniform(0.1, 2, (2, 3, 4)).astype(np.float32) for _ in range(5)]
        out[0][0, 0, 0] = np.nan
        flags = (np.random.default_rng(3).random((2, 3, 4)) < 0.2).astype(np.uint32)
        return [out[0], out[1], flags, *out[2:]]

    factor = float(rng.uniform(0.1, 3))
    compiled, plain = planes(), planes()
    _planes._scale_rows(*compiled, factor)
    _planes._scale_rows.py_func(*plain, factor)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_arrays_that_are_not_contiguous_are_refused():
    slope = make_slope(4, 4)
    slope.data = slope.data.T[::2]
    with pytest.raises(ValueError, match="C-contiguous"):
        photom(slope, references())


@pytest.mark.parametrize(
    ("keywords", "refs", "reason"),
    [
        ({}, FakeReferences({"photom": None, "area": None}), "N/A"),
        ({"FILTER": "F999W"}, references(), "F999W"),
        ({"INSTRUME": "NIRSPEC"}, references(), "NIRSPEC"),
    ],
)
def test_what_has_no_factor_is_skipped_and_unchanged(keywords, refs, reason):
    slope = make_slope(2, 2, **keywords)
    result = photom(slope, refs)
    assert isinstance(result, Skipped)
    assert reason in result.reason
    np.testing.assert_array_equal(slope.data, 1.0)
    assert "BUNIT" not in slope.sci


def test_an_ambiguous_or_foreign_reference_is_refused():
    with pytest.raises(ReferenceError_, match="2 rows"):
        photom(make_slope(2, 2), references([ROWS[1], ROWS[1]]))
    with pytest.raises(ReferenceError_, match="for spectra"):
        photom(make_slope(2, 2), references([(*ROWS[1], 1.0)], [*COLUMNS, ("wavelength", "f4")]))
    with pytest.raises(ReferenceError_, match="no column pupil"):
        photom(make_slope(2, 2), references([("F444W", 1.0)], [("filter", "S12"), ("photmjsr", "f4")]))
