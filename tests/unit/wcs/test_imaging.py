"""World coordinates of the imaging modes: pointing, aberration, subarrays, filters, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import InputError, ReferenceError_
from jwstsm.references import References
from jwstsm.sim.geometry import attitude_at
from jwstsm.wcs import imaging
from jwstsm.wcs.imaging import Pointing, imaging_wcs
from tests.builders import FakeReferences
from tests.unit.wcs.scenes import OFFSETS, POINTING, apart_mas, distortion, exposure

X, Y = np.random.default_rng(2).uniform(0, 2047, (2, 100))
P = Pointing(*[POINTING[k] for k in ("V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF", "VA_SCALE")])


def test_the_rotation_to_the_sky_is_the_attitude_of_an_independent_derivation():
    attitude = attitude_at(P.v2_ref, P.v3_ref, P.ra_ref, P.dec_ref, P.roll_ref)
    v2, v3 = np.random.default_rng(1).uniform(-900, 900, (2, 50))
    assert apart_mas(imaging.telescope_to_sky(P)(v2, v3), attitude.to_sky(v2, v3)) < 1e-6


def test_the_reference_point_is_where_the_header_says(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path))
    sky = wcs.get_transform("v2v3", "world")(np.array([P.v2_ref]), np.array([P.v3_ref]))
    assert apart_mas(sky, ([P.ra_ref], [P.dec_ref])) < 1e-6


def test_aberration_scales_about_the_reference_point():
    v2, v3 = imaging.aberration(P)(np.array([P.v2_ref, P.v2_ref + 100]), np.array([P.v3_ref, P.v3_ref - 50]))
    np.testing.assert_allclose(v2 - P.v2_ref, [0, 100 * P.va_scale], atol=1e-9)
    np.testing.assert_allclose(v3 - P.v3_ref, [0, -50 * P.va_scale], atol=1e-9)


def test_the_frames_are_the_official_ones(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path))
    assert wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]
    assert wcs.output_frame.celestial


def test_a_subarray_sees_what_the_full_frame_sees_there(tmp_path):
    full = imaging_wcs(*exposure(tmp_path))
    part = imaging_wcs(*exposure(tmp_path, 64, 96, SUBSTRT1=301, SUBSTRT2=1001, SUBSIZE1=96, SUBSIZE2=64))
    x, y = np.array([0.0, 95.0, 40.5]), np.array([0.0, 63.0, 12.0])
    assert apart_mas(part(x, y), full(x + 300, y + 1000)) < 1e-6
    assert part.bounding_box == ((-0.5, 95.5), (-0.5, 63.5))


def test_the_offset_of_a_filter_shifts_the_pixels(tmp_path):
    plain = imaging_wcs(*exposure(tmp_path))
    moved = imaging_wcs(*exposure(tmp_path, offsets=OFFSETS, FILTER="F444W", PUPIL="CLEAR"))
    assert apart_mas(moved(X, Y), plain(X + 1.25, Y - 0.75, with_bounding_box=False)) < 1e-6


def test_the_row_of_the_filter_offsets_is_picked_by_what_the_instrument_has(tmp_path):
    rows = [{"filter": "F1000W", "pupil": "N/A", "column_offset": 2.0, "row_offset": 3.0}]
    slope, refs = exposure(tmp_path, offsets=rows, INSTRUME="MIRI", FILTER="F1000W", EXP_TYPE="MIR_IMAGE")
    del slope.primary["PUPIL"]  # MIRI has no pupil wheel
    plain = imaging_wcs(slope, References({"distortion": refs.path("distortion"), "filteroffset": None}))
    assert apart_mas(imaging_wcs(slope, refs)(X, Y), plain(X + 2, Y + 3, with_bounding_box=False)) < 1e-6


@pytest.mark.parametrize("rows", [[], [{"filter": "F200W", "pupil": "CLEAR"}], [{**OFFSETS[0], "row_offset": "N/A"}]])
def test_a_filter_that_is_not_in_the_reference_is_not_shifted(rows):
    assert imaging.filter_offset(rows, {"filter": "F444W", "pupil": "CLEAR"}, "f.asdf") is None


def test_two_rows_for_a_filter_are_an_error():
    with pytest.raises(ReferenceError_, match="2 rows"):
        imaging.filter_offset([OFFSETS[0]] * 2, {"filter": "F444W", "pupil": "CLEAR"}, "f.asdf")


def test_the_box_of_the_distortion_is_kept_for_a_full_frame_and_cut_for_a_window(tmp_path):
    box = ((3.5, 1027.5), (-0.5, 1023.5))
    assert imaging_wcs(*exposure(tmp_path, 1024, 1032, box=box)).bounding_box == box
    corner = imaging_wcs(*exposure(tmp_path, 64, 64, box=box))
    assert corner.bounding_box == ((3.5, 63.5), (-0.5, 63.5))
    inner = imaging_wcs(*exposure(tmp_path, 64, 64, box=box, SUBSTRT1=5))
    assert inner.bounding_box == ((-0.5, 63.5), (-0.5, 63.5))


def test_an_exposure_without_a_velocity_is_not_corrected_for_it(tmp_path):
    slope, refs = exposure(tmp_path)
    del slope.primary["VA_SCALE"]
    wcs = imaging_wcs(slope, refs)
    v2, v3 = wcs.get_transform("v2v3", "v2v3vacorr")(1.0, 2.0)
    assert (v2, v3) == (1.0, 2.0)


@pytest.mark.parametrize("keyword", ["V2_REF", "V3_REF", "RA_REF", "DEC_REF", "ROLL_REF"])
def test_a_missing_pointing_keyword_is_named(tmp_path, keyword):
    slope, refs = exposure(tmp_path)
    del slope.primary[keyword]
    with pytest.raises(InputError, match=keyword):
        imaging_wcs(slope, refs)


@pytest.mark.parametrize("value", ["north", True])
def test_a_pointing_keyword_that_is_no_number_is_named(tmp_path, value):
    slope, refs = exposure(tmp_path, ROLL_REF=value)
    with pytest.raises(InputError, match="ROLL_REF"):
        imaging_wcs(slope, refs)


def test_a_scale_that_is_not_positive_is_refused(tmp_path):
    slope, refs = exposure(tmp_path, VA_SCALE=0.0)
    with pytest.raises(InputError, match="VA_SCALE"):
        imaging_wcs(slope, refs)


def test_an_absent_distortion_is_named(tmp_path):
    slope, _ = exposure(tmp_path)
    with pytest.raises(ReferenceError_, match="distortion"):
        imaging_wcs(slope, FakeReferences({"distortion": None, "filteroffset": None}))


def test_a_reference_without_a_transform_is_named(tmp_path):
    slope, _ = exposure(tmp_path)
    with pytest.raises(ReferenceError_, match="no transform 'model'"):
        imaging_wcs(slope, FakeReferences({"distortion": {"tree": {"meta": {}}}, "filteroffset": None}))


def test_the_scene_of_these_tests_has_a_usable_inverse():
    model = distortion()
    np.testing.assert_allclose(model.inverse(*model(X, Y)), (X, Y), atol=0.02)
