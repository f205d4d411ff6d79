"""Outlines of images: clipping on the sky, pixels inside, unions."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.polygons import Spans, TangentPlane, area, clip_convex, fill, merge, union_outlines

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])


def at(dx: float, dy: float) -> np.ndarray:
    return SQUARE + np.array([dx, dy])


def mask(spans: Spans, shape) -> np.ndarray:
    out = np.zeros(shape, bool)
    for row, start, stop in zip(*spans, strict=True):
        out[row, start:stop] = True
    return out


def test_area_is_signed_by_the_sense_of_rotation_and_survives_large_coordinates():
    assert area(SQUARE) == 100
    assert area(SQUARE[::-1] + 1e7) == -100


@pytest.mark.parametrize("sense", [1, -1])
def test_clipping_keeps_the_common_part(sense):
    """A shifted square, an inner one, one that only touches, one apart."""
    assert np.isclose(abs(area(clip_convex((at(4, 7))[::sense], SQUARE))), 6 * 3)
    assert np.isclose(abs(area(clip_convex((SQUARE * 0.2 + 3)[::sense], SQUARE))), 4)
    assert len(clip_convex((at(10, 0))[::sense], SQUARE)) == 0
    assert len(clip_convex((at(30, 0))[::sense], SQUARE)) == 0


def test_clipping_by_a_turned_window_equals_counting_points():
    turned = SQUARE @ np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]]) + [3, -2]
    found = abs(area(clip_convex(SQUARE, turned)))
    y, x = np.mgrid[0.005:10:0.01, 0.005:10:0.01]
    edges = zip(turned, np.roll(turned, -1, axis=0), strict=True)
    inside = np.all([(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) > 0 for a, b in edges], axis=0)
    assert np.isclose(found, inside.sum() * 1e-4, atol=0.01)


@pytest.mark.parametrize("place", [(0.01, 0.0), (359.99, 45.0), (120.0, 89.99), (10.0, -90.0)])
def test_tangent_plane_goes_there_and_back_anywhere_on_the_sky(place):
    """Across the meridian, at high declination and at the pole."""
    rng = np.random.default_rng(1)
    dec = np.clip(place[1] + rng.uniform(-0.05, 0.05, 20), -90, 90)
    ra = (place[0] + rng.uniform(-0.05, 0.05, 20) / max(np.cos(np.radians(place[1])), 1e-2)) % 360
    plane = TangentPlane(ra, dec)
    back = plane.unproject(plane.project(ra, dec))
    shift = np.hypot((back[0] - ra + 180) % 360 - 180, 0) * np.cos(np.radians(dec))
    assert np.abs(shift).max() < 1e-10
    assert np.abs(back[1] - dec).max() < 1e-9


def test_filling_includes_the_border():
    """A square from 2 to 5 covers 4 x 4 pixels."""
    found = mask(fill(np.array([[2.0, 2], [5, 2], [5, 5], [2, 5]]), (10, 10)), (10, 10))
    assert found.sum() == 16
    assert found[2:6, 2:6].all()


def test_filling_stops_at_the_image_and_has_the_area_of_the_polygon():
    """Partly outside on every side; about the area where it is large."""
    assert fill(SQUARE * 10 - 30.4, (20, 20)).size == 400
    assert fill(SQUARE + 100.0, (20, 20)).size == 0
    diamond = np.array([[50.0, 2], [98, 50], [50, 98], [2, 50]])
    found = fill(diamond, (100, 100))
    assert abs(found.size - area(diamond)) < 2 * 96
    assert np.array_equal(mask(found, (100, 100)), mask(found, (100, 100)).T)


def test_merged_sets_count_each_pixel_once():
    shape = (30, 30)
    parts = [fill(SQUARE + s, shape) for s in ([2, 2], [8, 5], [2, 15])]
    both = merge(parts, shape)
    expected = np.any([mask(p, shape) for p in parts], axis=0)
    assert np.array_equal(mask(both, shape), expected)
    assert both.size == expected.sum()


def test_union_of_overlapping_squares_is_one_outline():
    (outline,) = union_outlines([SQUARE, SQUARE + 5])
    assert np.isclose(area(outline), 175)
    assert len(outline) == 8


def test_union_keeps_parts_apart_and_drops_what_is_covered():
    """Two islands; one of them holds a smaller square and a copy of itself."""
    parts = union_outlines([SQUARE, SQUARE * 0.5 + 1, SQUARE, SQUARE + 40])
    assert sorted(np.round([area(p) for p in parts], 6)) == [100, 100]


def test_union_of_neighbours_with_a_common_edge_has_no_seam():
    (outline,) = union_outlines([SQUARE, at(10, 0), (at(0, 10))[::-1], at(10, 10)])
    assert np.isclose(area(outline), 400)
    assert len(outline) == 4


def test_union_fills_holes():
    """Four bars around an empty middle: only the outer outline is kept."""
    bars = [SQUARE * [3, 1], SQUARE * [3, 1] + [0, 20], SQUARE * [1, 3], SQUARE * [1, 3] + [20, 0]]
    (outline,) = union_outlines(bars)
    assert np.isclose(area(outline), 900)


def test_union_of_many_turned_images_has_the_area_that_counting_gives():
    rng = np.random.default_rng(8)
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    images = [10 * SQUARE @ turn + rng.uniform(0, 60, 2) for _ in range(12)]
    outlines = union_outlines(images)
    counted = merge([fill(p + 40, (400, 400)) for p in images], (400, 400)).size
    assert np.isclose(sum(area(o) for o in outlines), counted, rtol=0.02)
