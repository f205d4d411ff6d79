"""Pairs of wavefront-sensing images are shifted by whole pixels and averaged where both are good."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.dq import DO_NOT_USE
from jwstsm.errors import InputError
from jwstsm.products.names import pair_file
from jwstsm.stage3.wfs_combine import Planes, combine_pair, refined_offset, shifted, wfs_combine
from tests.builders import make_slope
from tests.unit.stage3.dithers import plain_wcs

SHAPE = (90, 100)


def star(x: float, y: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return (500 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) + 3).astype(np.float32)


def pair(dx: float, dy: float, *, seen: tuple[float, float] | None = None, seed: int = 1):
    """Return two exposures whose pointings differ by (dx, dy) pixels; the star moves by ``seen``."""
    rng = np.random.default_rng(seed)
    out = []
    for k, (a, b) in enumerate(((0.0, 0.0), seen or (dx, dy))):
        slope = make_slope(*SHAPE)
        slope.data = star(48 + a, 44 + b) + rng.normal(0, 0.5, SHAPE).astype(np.float32)
        slope.err, slope.dq = np.full(SHAPE, 0.5 + k, np.float32), np.zeros(SHAPE, np.uint32)
        bad = rng.random(SHAPE) < 0.02
        slope.data[bad], slope.dq[bad] = np.nan, DO_NOT_USE
        slope.wcs = plain_wcs(SHAPE, -dx * k, -dy * k)
        slope.primary["MARK"] = k
        out.append(slope)
    return out


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (-3, 2), (0, 0), (7, 7)])
def test_images_are_moved_back_onto_the_star(dx, dy):
    moved = shifted(star(48 + dx, 44 + dy), dx, dy)
    assert np.array_equal(moved[10:-10, 10:-10], star(48, 44)[10:-10, 10:-10])
    assert not shifted(star(0, 0), 1000, 0).any()


def test_each_pixel_comes_from_what_is_good():
    """Both good: means; one good: that one with its DQ; none: 0, flagged."""
    bad = np.uint32(DO_NOT_USE)
    first = Planes(np.float32([[2, 2, 2, 2]]), np.uint32([[4, 4, bad, bad]]), np.float32([[1, 1, 1, 1]]))
    second = Planes(np.float32([[6, 6, 6, 6]]), np.uint32([[0, bad, 8, bad]]), np.float32([[3, 3, 3, 3]]))
    made = combine_pair(first, second)
    assert made.data.tolist() == [[4, 2, 6, 0]]
    assert made.err.tolist() == [[2, 1, 3, 0]]
    assert made.dq.tolist() == [[4, 4, 8, DO_NOT_USE]]


@pytest.mark.parametrize("order", [1, -1])
def test_the_pair_is_combined_in_the_pixels_of_the_first(order):
    """The star stands where the first image has it, and no bad pixel is left but those bad in both."""
    first, second = pair(6, -4)
    both_bad = (first.dq != 0) & (shifted(second.dq, 6, -4) != 0)
    made = wfs_combine([first, second][::order])
    assert made.primary["MARK"] == 0  # the one from which the other is seen at larger x, in either order
    assert np.array_equal((made.dq & DO_NOT_USE) != 0, both_bad)
    inner = np.s_[10:-10, 10:-10]
    assert np.abs(made.data - star(48, 44))[inner][~both_bad[inner]].max() < 3
    kept = wfs_combine(pair(6, -4)[::-1], flip_dithers=False)
    assert kept.primary["MARK"] == 1


def test_an_offset_that_the_pointing_does_not_know_is_measured():
    """The pointing says (6, -4), the star moved by (8.2, -5.1)."""
    first, second = pair(6, -4, seen=(8.2, -5.1))
    planes = [Planes(np.nan_to_num(s.data), s.dq, s.err) for s in (first, second)]
    left = refined_offset(*planes, 6, -4, psf_size=30, blur_size=4, n_size=2)
    assert left == pytest.approx((2.2, -1.1), abs=0.15)
    made = wfs_combine([first, second], do_refine=True, psf_size=30, blur_size=4)
    good = (made.dq & DO_NOT_USE) == 0
    assert np.abs(made.data - star(48, 44))[good][:2000].max() < 5


def test_pairs_that_are_none_are_refused():
    first, second = pair(1, 1)
    with pytest.raises(InputError, match="two images"):
        wfs_combine([first])
    second.data = second.data[:50]
    with pytest.raises(InputError, match="one size"):
        wfs_combine([first, second])


def test_the_suffix_goes_where_the_product_name_wants_it():
    assert pair_file("jw1_t1_nircam-nrca3_{suffix}-01") == "jw1_t1_nircam-nrca3_wfscmb-01.fits"
    assert pair_file("mine") == "mine_wfscmb.fits"
