"""Alignment corrections in the tangent plane."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.wcs import asdftext
from jwstsm.wcs.correction import Correction, TangentPlane, correct_wcs
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.model import Wcs, detector_frame, sky_frame
from jwstsm.wcs.sky import tangent_from_sky
from jwstsm.wcs.sphere import FitsImaging
from tests.unit.wcs.scenes import POINTING, apart_mas, exposure

X, Y = np.random.default_rng(8).uniform(0, 2047, (2, 60))
REFERENCE = tuple(POINTING[k] for k in ("V2_REF", "V3_REF", "ROLL_REF"))
ANGLE = np.deg2rad(0.1)
TURN = ((np.cos(ANGLE), np.sin(ANGLE)), (-np.sin(ANGLE), np.cos(ANGLE)))


@pytest.fixture
def wcs(tmp_path):
    return imaging_wcs(*exposure(tmp_path))


def correction(matrix=TURN, shift=(0.5, -0.3), **options) -> Correction:
    """Return a correction in the plane of the test exposure."""
    return Correction(*REFERENCE, matrix, shift, **options)


def test_the_correction_is_applied_in_the_tangent_plane(wcs):
    before, after = TangentPlane(wcs, *REFERENCE), correct_wcs(wcs, correction())
    x, y = before.from_pixel(X, Y)
    moved = np.array(TURN) @ [x, y] + np.array([[0.5], [-0.3]])
    assert apart_mas(after(X, Y), before.to_sky(*moved)) < 1e-6
    np.testing.assert_allclose(TangentPlane(after, *REFERENCE).from_pixel(X, Y), moved, atol=1e-10)


def test_the_plane_is_north_up_and_east_along_x(wcs):
    plane = TangentPlane(wcs, *REFERENCE)
    ra, dec = wcs(X, Y)
    east, north = tangent_from_sky(ra, dec, POINTING["RA_REF"], POINTING["DEC_REF"])
    np.testing.assert_allclose(plane.from_sky(ra, dec), np.array([east, north]) * 206264.80624709636, atol=1e-8)


def test_a_shift_moves_the_image_by_so_much(wcs):
    after = correct_wcs(wcs, correction(((1, 0), (0, 1)), (1.0, 0.0)))
    ra, dec = wcs(X, Y)
    ra2, dec2 = after(X, Y)
    np.testing.assert_allclose(((ra2 - ra + 180) % 360 - 180) * np.cos(np.deg2rad(dec)) * 3600, 1.0, atol=2e-3)
    np.testing.assert_allclose(dec2, dec, atol=2e-3 / 3600)


def test_the_frame_stands_behind_the_aberration_and_the_box_stays(wcs):
    after = correct_wcs(wcs, correction())
    assert after.available_frames == ["detector", "v2v3", "v2v3vacorr", "v2v3corr", "world"]
    assert after.bounding_box == wcs.bounding_box
    assert wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]


def test_the_corrected_coordinates_are_inverted(wcs):
    after = correct_wcs(wcs, correction())
    np.testing.assert_allclose(after.invert(*after(X, Y), refine=True), (X, Y), atol=1e-7)
    link = after.get_transform("v2v3vacorr", "v2v3corr")
    v2, v3 = np.array([-121.0, -180.0]), np.array([-527.0, -560.0])
    np.testing.assert_allclose(link.inverse(*link(v2, v3)), (v2, v3), atol=1e-10)


def test_a_second_correction_is_merged_into_the_first(wcs):
    first, second = correction(), correction(((1.0, 1e-4), (-1e-4, 1.0002)), (0.1, 0.2))
    twice = correct_wcs(correct_wcs(wcs, first), second)
    assert twice.available_frames.count("v2v3corr") == 1
    assert apart_mas(twice(X, Y), correct_wcs(wcs, first.then(second))(X, Y)) < 1e-6


def test_a_correction_and_its_opposite_leave_nothing(wcs):
    inverse = np.linalg.inv(TURN)
    back = correction(tuple(map(tuple, inverse)), tuple(-inverse @ [0.5, -0.3]))
    assert apart_mas(correct_wcs(correct_wcs(wcs, correction()), back)(X, Y), wcs(X, Y)) < 1e-6


def test_a_corrected_wcs_survives_a_file_and_can_be_corrected_again(wcs, tmp_path):
    after = correct_wcs(wcs, correction())
    asdftext.write(tmp_path / "w.asdf", {"wcs": after.to_tree()})
    again = Wcs.from_tree(asdftext.load(tmp_path / "w.asdf")["wcs"])
    np.testing.assert_array_equal(again(X, Y), after(X, Y))
    more = correction(shift=(0.0, 0.1))
    assert apart_mas(correct_wcs(again, more)(X, Y), correct_wcs(after, more)(X, Y)) < 1e-6


def test_gwcs_evaluates_the_corrected_chain_alike(wcs):
    after = correct_wcs(wcs, correction())
    theirs = after.to_gwcs()
    assert apart_mas(after(X, Y), theirs(X, Y)) < 1e-6
    np.testing.assert_allclose(theirs.invert(*theirs(X, Y)), after.invert(*after(X, Y)), atol=1e-6)


def test_a_correction_carried_to_a_neighbour_moves_it_on_the_sky_alike(tmp_path):
    first = imaging_wcs(*exposure(tmp_path))
    keywords = {"V2_REF": -89.0, "V3_REF": -490.0, "RA_REF": 0.03, "DEC_REF": -69.48, "ROLL_REF": 33.28}
    other = imaging_wcs(*exposure(tmp_path, **keywords))
    planes = (
        TangentPlane(first, *REFERENCE),
        TangentPlane(other, *(keywords[k] for k in ("V2_REF", "V3_REF", "ROLL_REF"))),
    )
    own = correction()
    carried = own.carried(*planes)
    ra, dec = other(X, Y)
    x, y = planes[0].from_sky(ra, dec)
    expected = planes[0].to_sky(*(np.array(own.matrix) @ [x, y] + np.array(own.shift)[:, None]))
    # the planes touch the sphere 40 arcsec apart: the rest is the curvature between them
    assert apart_mas(correct_wcs(other, carried)(X, Y), expected) < 0.01


def test_a_correction_survives_json(wcs):
    own = correction(name="FIT-LVL3-GAIADR3")
    assert Correction.from_json(json.loads(json.dumps(own.to_json()))) == own
    assert correct_wcs(wcs, own).name == "FIT-LVL3-GAIADR3"


@pytest.mark.parametrize(
    "record", [{}, {**correction().to_json(), "shift": [1.0]}, {**correction().to_json(), "matrix": 3}]
)
def test_a_damaged_record_is_refused(record):
    with pytest.raises(InputError, match="alignment record"):
        Correction.from_json(record)


def test_a_wcs_without_the_telescopes_frame_cannot_be_corrected():
    plane = Wcs([(detector_frame(), FitsImaging((0, 0), (10, 20), (1e-5, 1e-5), np.eye(2))), (sky_frame(), None)])
    with pytest.raises(InputError, match="no frame v2v3"):
        correct_wcs(plane, correction())
    with pytest.raises(InputError, match="no frame v2v3"):
        TangentPlane(plane, *REFERENCE)


def test_a_correction_about_another_point_is_not_merged(wcs):
    after = correct_wcs(wcs, correction())
    with pytest.raises(InputError, match="another reference point"):
        correct_wcs(after, Correction(0.0, 0.0, 0.0))
