"""Overlaps of convex areas, and the pair that alignment starts with."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage3._order import hull, overlap_area, pair_of_largest_overlap


def square(x: float, y: float, side: float = 10.0) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def test_the_hull_holds_all_points_and_only_corners():
    points = np.random.default_rng(0).uniform(0, 10, (200, 2))
    corners = hull(np.concatenate([points, square(0, 0)]))
    assert corners.tolist() == [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize(
    ("shift", "area"), [((0, 0), 100), ((5, 0), 50), ((5, 5), 25), ((10, 0), 0), ((30, 0), 0), ((-9, -9), 1)]
)
def test_overlaps_of_squares(shift, area):
    assert overlap_area([square(0, 0)], [square(*shift)]) == pytest.approx(area)


def test_overlap_of_a_square_and_a_diamond():
    diamond = np.array([[5, -5], [15, 5], [5, 15], [-5, 5]], float)
    assert overlap_area([square(0, 0)], [diamond]) == pytest.approx(100)
    assert overlap_area([diamond], [square(0, 0, 5)]) == pytest.approx(25)


def test_several_polygons_add_up():
    assert overlap_area([square(0, 0), square(20, 0)], [square(5, 0, 30)]) == pytest.approx(150)


def test_points_and_lines_have_no_overlap():
    assert overlap_area([hull(np.zeros((4, 2)))], [square(0, 0)]) == 0


def test_the_start_pair_overlaps_most_and_begins_with_the_better_connected():
    outlines = [[square(0, 0)], [square(40, 0)], [square(48, 0)], [square(42, 0)]]
    assert pair_of_largest_overlap(outlines) == (3, 1)


def test_without_overlaps_the_order_of_the_user_holds():
    assert pair_of_largest_overlap([[square(0, 0)], [square(40, 0)], [square(80, 0)]]) == (0, 1)
