"""The chain of frames: evaluation, inversion, bounding boxes, storage, and agreement with gwcs."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.wcs import asdftext
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.model import Wcs, as_wcs
from jwstsm.wcs.transforms import Identity
from tests.unit.wcs.scenes import apart_mas, exposure

RNG = np.random.default_rng(11)
X, Y = RNG.uniform(0, 2047, (2, 200))


@pytest.fixture
def wcs(tmp_path):
    slope, refs = exposure(tmp_path)
    return imaging_wcs(slope, refs)


def test_gwcs_makes_the_same_positions_of_the_same_tree(wcs):
    theirs = wcs.to_gwcs()
    assert apart_mas(wcs(X, Y), theirs(X, Y)) < 1e-6
    sky = wcs(X, Y)
    np.testing.assert_allclose(wcs.invert(*sky), theirs.invert(*sky), atol=1e-7)
    assert theirs.bounding_box.bounding_box(order="F") == wcs.bounding_box
    assert theirs.available_frames == wcs.available_frames


def test_a_gwcs_object_is_accepted_in_place_of_the_own_one(wcs):
    again = as_wcs(wcs.to_gwcs())
    assert again.bounding_box == wcs.bounding_box
    np.testing.assert_array_equal(again(X, Y), wcs(X, Y))
    assert as_wcs(wcs) is wcs


def test_a_wcs_survives_being_written_and_read(wcs, tmp_path):
    asdftext.write(tmp_path / "w.asdf", {"wcs": wcs.to_tree()})
    again = Wcs.from_tree(asdftext.load(tmp_path / "w.asdf")["wcs"])
    np.testing.assert_array_equal(again(X, Y), wcs(X, Y))
    np.testing.assert_array_equal(again.invert(*wcs(X, Y)), wcs.invert(*wcs(X, Y)))
    assert (again.bounding_box, again.pixel_shape, again.name) == (wcs.bounding_box, wcs.pixel_shape, wcs.name)
    assert (tmp_path / "w.asdf").stat().st_size < 30_000


def test_pixels_outside_the_box_have_no_position_unless_asked_for(wcs):
    wcs.bounding_box = ((3.5, 100.5), (-0.5, 50.5))
    ra, dec = wcs(np.array([3.0, 3.5, 100.5, 101.0]), np.array([10.0, 10.0, 50.5, 10.0]))
    np.testing.assert_array_equal(np.isnan(ra), [True, False, False, True])
    np.testing.assert_array_equal(np.isnan(dec), np.isnan(ra))
    assert np.isfinite(wcs(3.0, 10.0, with_bounding_box=False)).all()
    x, _ = wcs.invert(*wcs(np.array([3.0, 50.0]), np.array([10.0, 10.0]), with_bounding_box=False))
    np.testing.assert_array_equal(np.isnan(x), [True, False])


def test_a_box_that_is_changed_leaves_other_uses_of_the_transform_alone(wcs):
    twin = Wcs(wcs.steps)
    twin.bounding_box = ((0.0, 1.0), (0.0, 1.0))
    assert wcs.bounding_box == ((-0.5, 2047.5), (-0.5, 2047.5))


def test_scalars_give_scalars(wcs):
    ra, dec = wcs(10.0, 20.0)
    assert isinstance(ra, float)
    assert isinstance(wcs.invert(ra, dec)[1], float)


def test_the_refined_inverse_is_exact_where_the_polynomials_are_not(wcs):
    sky = wcs(X, Y)
    rough, exact = np.array(wcs.invert(*sky)), np.array(wcs.invert(*sky, refine=True))
    truth = np.array([X, Y])
    assert np.abs(rough - truth).max() > 1e-5
    assert np.abs(exact - truth).max() < 2e-8


def test_a_transform_without_an_inverse_is_inverted_by_iteration(wcs):
    bare = wcs.steps[0].transform
    bare.given_inverse = None
    sky = wcs(X, Y)
    assert np.abs(np.array(wcs.invert(*sky)) - [X, Y]).max() < 2e-8


def test_transforms_between_frames_join_up(wcs):
    v2, v3 = wcs.get_transform("detector", "v2v3")(X, Y)
    np.testing.assert_allclose(wcs.get_transform("v2v3", "world")(v2, v3), wcs(X, Y), atol=1e-12)
    back = wcs.get_transform("v2v3vacorr", "v2v3")(*wcs.get_transform("v2v3", "v2v3vacorr")(v2, v3))
    np.testing.assert_allclose(back, (v2, v3), atol=1e-9)
    assert isinstance(wcs.get_transform("world", "world"), Identity)
    with pytest.raises(InputError, match="no frame 'v2v3corr'"):
        wcs.get_transform("detector", "v2v3corr")


def test_a_tree_that_is_no_wcs_is_refused():
    with pytest.raises(InputError, match="no world coordinates"):
        Wcs.from_tree(asdftext.Tagged("tag:stsci.edu:asdf/core/asdf-1.1.0", {}))
