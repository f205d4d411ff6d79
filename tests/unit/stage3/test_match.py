"""Matching of source lists: the offset, the pairs, and the search for when the plain way is not enough."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import ConfigError
from jwstsm.stage3._match import MatchOptions, histogram_offset, match_catalogs, search_match


def lists(
    n: int = 30, offset=(0.9, -1.4), roll_deg: float = 0.0, scatter: float = 0.003, width: float = 60.0, seed: int = 1
):
    """Return an image list and a reference list whose first ``n`` members belong together."""
    rng = np.random.default_rng(seed)
    reference = rng.uniform(-width / 2, width / 2, (n, 2))
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    return reference @ np.array([[c, -s], [s, c]]) + offset + rng.normal(0, scatter, (n, 2)), reference


def test_the_offset_is_the_most_frequent_one():
    image, reference = lists(60)
    assert histogram_offset(image, reference, 2.0, 0.05) == pytest.approx((0.9, -1.4), abs=0.06)


def test_no_pair_in_reach_means_no_offset():
    assert np.array_equal(histogram_offset(np.zeros((1, 2)), np.full((1, 2), 30.0), 2.0, 0.05), np.zeros(2))


def test_a_single_pair_gives_its_offset():
    found = histogram_offset(np.array([[1.0, 0.5]]), np.zeros((1, 2)), 2.0, 0.1)
    assert found == pytest.approx((1.0, 0.5), abs=0.11)


def test_partners_are_found():
    image, reference = lists()
    order = np.random.default_rng(2).permutation(len(image))
    r, i = match_catalogs(image[order], reference, MatchOptions(), 0.06)
    assert len(r) >= 25
    assert np.array_equal(order[i], r)


def test_the_given_offset_is_used_when_it_is_not_searched():
    image, reference = lists(offset=(5.0, 4.0))
    found = match_catalogs(image, reference, MatchOptions(use2dhist=False, xoffset=5.0, yoffset=4.0), 0.06)[0]
    assert len(found) >= 25
    assert len(match_catalogs(image, reference, MatchOptions(), 0.06)[0]) < 5


def test_of_close_neighbours_the_lower_stays():
    reference = np.array([[0.0, 0.0], [0.3, 0.4], [10.0, 0.0]])
    image = reference + 0.01
    r, i = match_catalogs(image, reference, MatchOptions(use2dhist=False), 0.06)
    assert r.tolist() == i.tolist() == [0, 2]


@pytest.mark.parametrize("name", ["searchrad", "separation", "tolerance"])
def test_parameters_must_be_positive(name):
    with pytest.raises(ConfigError, match=f"abs_{name}"):
        MatchOptions(**{name: 0.0}).check("abs_")


def test_a_tolerance_too_large_for_the_separation_is_refused():
    with pytest.raises(ConfigError, match="confused"):
        MatchOptions(separation=0.9, tolerance=0.7).check()


@pytest.mark.parametrize(("n", "false"), [(20, 150), (8, 0), (3, 0), (200, 400)])
def test_the_search_finds_shifted_and_turned_lists(n, false):
    image, reference = lists(n, (1.2, -1.5), 0.1)
    rng = np.random.default_rng(7)
    image = np.concatenate([image, rng.uniform(-30, 30, (false, 2))])
    reference = np.concatenate([reference, rng.uniform(-30, 30, (false, 2))])
    r, i = search_match(image, reference, 2.0)
    assert np.mean((r == i) & (r < n)) > 0.9
    assert len(r) > 0.7 * n


@pytest.mark.parametrize("n", [2, 10, 60, 300])
def test_the_search_does_not_believe_chance(n):
    rng = np.random.default_rng(n)
    believed = [search_match(*rng.uniform(-30, 30, (2, n, 2)), 2.0) is not None for _ in range(20)]
    assert sum(believed) == 0


def test_the_search_pairs_one_to_one():
    image, reference = lists(40)
    reference = np.concatenate([reference, reference + 0.02])
    r, i = search_match(image, reference, 2.0)
    assert len(np.unique(i)) == len(i)
    assert len(np.unique(r)) == len(r)
