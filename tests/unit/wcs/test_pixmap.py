"""Where the pixels of one image fall in another."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from jwstsm.wcs import pixmap
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.model import Wcs
from jwstsm.wcs.pixmap import PixelMap, pixel_map
from jwstsm.wcs.sphere import FitsImaging
from jwstsm.wcs.transforms import Arithmetic, Identity, Mapping, chain
from tests.unit.wcs.scenes import POINTING, exposure


def flat_sky(tmp_path, **options):
    """Return a distorted image's coordinates and a tangent-plane grid over it."""
    image = imaging_wcs(*exposure(tmp_path, 200, 300, SUBSTRT1=801, SUBSTRT2=601, **options))
    ra, dec = image(150.0, 100.0)
    plane = FitsImaging((160.2, 140.7), (ra, dec), (1.7e-5, 1.7e-5), [[-0.8, 0.6], [0.6, 0.8]])
    return image, Wcs([(image.steps[0].frame, plane), (image.output_frame, None)])


def exact(image, grid, y0, y1, nx):
    """Return the map evaluated pixel by pixel."""
    y, x = np.mgrid[y0:y1, 0:nx].astype(float)
    return np.stack(grid.invert(*image(x, y), with_bounding_box=False), axis=-1)


def test_the_map_is_right_to_far_below_a_thousandth_of_a_pixel(tmp_path):
    image, grid = flat_sky(tmp_path)
    got = pixel_map(image, grid, (200, 300))
    assert got.shape == (200, 300, 2)
    assert np.abs(got - exact(image, grid, 0, 200, 300)).max() < 1e-4


def test_the_error_that_is_stated_is_the_one_that_is_there(tmp_path):
    image, grid = flat_sky(tmp_path)
    loose = PixelMap(image, grid, (200, 300), tolerance=0.05)
    real = np.abs(loose.rows() - exact(image, grid, 0, 200, 300)).max()
    assert real <= 1.5 * loose.error + 1e-9
    assert loose.error <= 0.05


def test_rows_are_the_same_alone_and_together(tmp_path):
    image, grid = flat_sky(tmp_path)
    whole = pixel_map(image, grid, (200, 300))
    np.testing.assert_array_equal(pixel_map(image, grid, (200, 300), 50, 61), whole[50:61])


def test_one_thread_and_two_give_the_same_bits(tmp_path):
    image, grid = flat_sky(tmp_path)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = pixel_map(image, grid, (200, 300))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(one, pixel_map(image, grid, (200, 300)))


def test_the_compiled_kernel_is_the_plain_one():
    rng = np.random.default_rng(4)
    args = rng.normal(size=(2, 5, 5)), rng.normal(size=(5, 9)), rng.normal(size=(5, 7))
    compiled, plain = np.empty((7, 9, 2)), np.empty((7, 9, 2))
    pixmap._evaluate_rows(*args, compiled)
    pixmap._evaluate_rows.py_func(*args, plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-13)
    np.testing.assert_allclose(np.einsum("vji,ix,jy->yxv", *args), plain, rtol=1e-12)


def test_pixels_outside_the_bounding_box_go_nowhere(tmp_path):
    image, grid = flat_sky(tmp_path)
    image.bounding_box = ((3.5, 290.5), (-0.5, 100.5))
    got = PixelMap(image, grid, (200, 300))
    valid = np.zeros((200, 300), bool)
    valid[:101, 4:291] = True
    np.testing.assert_array_equal(np.isfinite(got.rows()).all(axis=-1), valid)
    np.testing.assert_allclose(got.rows()[:101, 4:291], exact(image, grid, 0, 101, 300)[:, 4:291], atol=1e-4)
    np.testing.assert_array_equal(got.rows(90, 120), got.rows()[90:120])
    assert np.isnan(got.rows(150, 160)).all()


def test_a_map_that_is_not_smooth_is_evaluated_pixel_by_pixel(tmp_path):
    image, grid = flat_sky(tmp_path)
    kinked = chain(Mapping((0, 0, 1)), _absolute(), image.steps[0].transform)
    rough = image.replaced("detector", kinked)
    rough.bounding_box = image.bounding_box
    got = PixelMap(rough, grid, (200, 300))
    assert got.error == 0.0
    np.testing.assert_array_equal(got.rows(0, 20), exact(rough, grid, 0, 20, 300))


def _absolute():
    """(x, x, y) -> (|x - 100| as the root of a square, y)."""
    from jwstsm.wcs.transforms import Concatenate, Const1D, Shift

    square = Arithmetic("power", Shift(-100.2), Const1D(2.0))
    root = Arithmetic("power", Identity(1), Const1D(0.5))
    return Concatenate(chain(Mapping((0,), 2), square, root), Identity(1))


def test_the_window_covers_every_pixel_that_reaches_the_tile(tmp_path):
    image, grid = flat_sky(tmp_path)
    got = PixelMap(image, grid, (200, 300))
    u, v = np.moveaxis(got.rows(), -1, 0)
    for x0, x1, y0, y1 in ((-0.5, 49.5, -0.5, 49.5), (100.5, 180.5, 90.5, 200.5), (0, 400, 0, 400)):
        touched = np.argwhere((u > x0 - 0.9) & (u < x1 + 0.9) & (v > y0 - 0.9) & (v < y1 + 0.9))
        window = got.window(x0, x1, y0, y1)
        if window is None:
            assert touched.size == 0
            continue
        assert window[0] <= touched[:, 1].min()
        assert window[1] > touched[:, 1].max()
        assert window[2] <= touched[:, 0].min()
        assert window[3] > touched[:, 0].max()
    assert got.window(5000, 5100, 0, 100) is None


def test_the_bounds_hold_all_pixels_and_their_edges(tmp_path):
    image, grid = flat_sky(tmp_path)
    got = PixelMap(image, grid, (200, 300))
    low_x, high_x, low_y, high_y = got.bounds()
    rows = got.rows()
    assert low_x < rows[..., 0].min() < rows[..., 0].max() < high_x
    assert low_y < rows[..., 1].min() < rows[..., 1].max() < high_y
    assert high_x - low_x < np.ptp(rows[..., 0]) + 3


def test_the_inverse_of_a_distorted_image_can_be_made_exact(tmp_path):
    image, grid = flat_sky(tmp_path)
    there = PixelMap(grid, image, (300, 300), refine=True)
    x, y = np.array([100.0, 180.0]), np.array([120.0, 170.0])
    np.testing.assert_allclose(image(*there.at(x, y), with_bounding_box=False), grid(x, y), atol=1e-9)


@pytest.mark.parametrize("dec", [-89.9999, 0.0, 89.99])
def test_poles_and_the_meridian_of_zero_are_no_special_cases(tmp_path, dec):
    image, grid = flat_sky(tmp_path, DEC_REF=dec, RA_REF=0.0)
    got = PixelMap(image, grid, (200, 300))
    assert 0 < got.error < 1e-4
    np.testing.assert_allclose(got.rows(), exact(image, grid, 0, 200, 300), atol=1e-4)
    assert POINTING["RA_REF"] != 0.0
