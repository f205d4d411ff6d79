"""The outline of an image on the sky."""

from __future__ import annotations

import numpy as np

from jwstsm.wcs.footprint import parse_s_region, s_region
from jwstsm.wcs.imaging import imaging_wcs
from tests.unit.wcs.scenes import exposure


def test_the_corners_are_pixel_edges_from_the_lower_left_clockwise(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path, 32, 48))
    x, y = np.array([-0.5, -0.5, 47.5, 47.5]), np.array([-0.5, 31.5, 31.5, -0.5])
    expected = np.stack(wcs(x, y, with_bounding_box=False), axis=1)
    np.testing.assert_array_equal(wcs.footprint(), expected)
    (polygon,) = parse_s_region(s_region(wcs))
    expected[:, 0] %= 360
    np.testing.assert_allclose(polygon, expected, rtol=0, atol=5.1e-10)


def test_the_text_has_the_archives_form_and_positive_right_ascensions(tmp_path):
    text = s_region(imaging_wcs(*exposure(tmp_path, 32, 48)))
    words = text.split(" ")
    assert words[:3] == ["POLYGON", "ICRS", ""]
    assert len(words) == 11
    assert all(len(w.split(".")[1]) == 9 for w in words[3:])
    assert all(float(w) >= 0 for w in words[3::2])


def test_a_corner_without_a_position_gives_no_outline(tmp_path):
    slope, refs = exposure(tmp_path, 32, 48)
    wcs = imaging_wcs(slope, refs)
    wcs.bounding_box = ((-0.5, np.nan), (-0.5, 31.5))
    assert s_region(wcs) is None


def test_an_outline_of_several_polygons_is_split():
    text = "POLYGON ICRS  1 2 3 4 5 6 7 8 POLYGON ICRS 11 12 13 14 15 16"
    first, second = parse_s_region(text)
    np.testing.assert_array_equal(first, [[1, 2], [3, 4], [5, 6], [7, 8]])
    np.testing.assert_array_equal(second, [[11, 12], [13, 14], [15, 16]])
