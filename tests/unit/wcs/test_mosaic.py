"""The pixel grid of a mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from jwstsm.errors import ConfigError, InputError
from jwstsm.wcs import asdftext, mosaic
from jwstsm.wcs.footprint import parse_s_region, s_region
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.model import Wcs
from tests.unit.wcs.scenes import SCALE, apart_mas, exposure

DITHERS = [(359.9995, -69.5, 33.3), (0.0035, -69.497, 33.5), (359.9935, -69.499, 21.3)]


@pytest.fixture
def inputs(tmp_path):
    """Footprints of three dithered images, the coordinates and the pointing of the first."""
    images, first = [], None
    for ra, dec, roll in DITHERS:
        slope, refs = exposure(tmp_path, 300, 400, SUBSTRT1=801, SUBSTRT2=851, RA_REF=ra, DEC_REF=dec, ROLL_REF=roll)
        images.append(imaging_wcs(slope, refs))
        first = first or slope
    return [s_region(w) for w in images], images[0], mosaic.pointing_of(first)


def corners_on(grid, footprints):
    """Return the corners of all images in the pixels of the grid."""
    return np.hstack([grid.wcs.invert(*p.T, with_bounding_box=False) for f in footprints for p in parse_s_region(f)])


def test_the_union_just_fits(inputs):
    grid = mosaic.grid_from_inputs(*inputs)
    corners = corners_on(grid, inputs[0])
    np.testing.assert_allclose(corners.min(axis=1), 0.0, atol=1e-3)
    ny, nx = grid.shape
    assert np.all(np.abs(corners.max(axis=1) - (nx - 0.5, ny - 0.5)) <= 1.0)
    assert grid.wcs.bounding_box == ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    assert grid.wcs.pixel_shape == (nx, ny)


def test_the_scale_is_that_of_the_first_image_times_the_ratio(inputs):
    grid = mosaic.grid_from_inputs(*inputs)
    assert grid.pixel_scale == pytest.approx(SCALE, rel=0.02)
    half = mosaic.grid_from_inputs(*inputs, pixel_scale_ratio=0.5)
    assert half.pixel_scale == pytest.approx(grid.pixel_scale / 2, rel=1e-12)
    assert half.shape[0] == pytest.approx(2 * grid.shape[0], abs=2)
    fixed = mosaic.grid_from_inputs(*inputs, pixel_scale=0.031, reference_shape=(300, 400))
    assert fixed.pixel_scale == pytest.approx(0.031)
    assert fixed.pixel_scale_ratio == pytest.approx(0.031 / SCALE, rel=0.02)
    assert fixed.pixel_area_sr == pytest.approx(np.deg2rad(0.031 / 3600) ** 2)


def test_the_axes_follow_the_detector_or_the_rotation_asked_for(inputs):
    own = mosaic.grid_from_inputs(*inputs).wcs.steps[0].transform.pc
    angle = np.deg2rad(inputs[2]["roll_ref"] + inputs[2]["v3yangle"])
    np.testing.assert_allclose(own, [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]], atol=1e-12)
    north = mosaic.grid_from_inputs(*inputs, rotation=0.0).wcs.steps[0].transform.pc
    np.testing.assert_allclose(north, [[-1, 0], [0, 1]], atol=1e-12)
    turned = mosaic.grid_from_inputs(*inputs, rotation=30.0)
    x, y = turned.wcs.invert(*turned.wcs.steps[0].transform.crval, with_bounding_box=False)
    (ra0, dec0), (ra1, dec1) = turned.wcs(x, y), turned.wcs(x, y + 10)
    east, north = (ra1 - ra0) * np.cos(np.deg2rad(dec0)), dec1 - dec0
    assert np.rad2deg(np.arctan2(east, north)) == pytest.approx(30.0, abs=1e-3)


def test_reference_pixel_position_and_shape_are_taken_as_given(inputs):
    grid = mosaic.grid_from_inputs(*inputs, crpix=(100.0, 50.0), crval=(0.001, -69.52), output_shape=(700, 500))
    assert grid.shape == (500, 700)
    np.testing.assert_allclose(grid.wcs(100.0, 50.0, with_bounding_box=False), (0.001, -69.52), atol=1e-12)


def test_the_reference_position_is_the_middle_of_the_union(inputs):
    grid = mosaic.grid_from_inputs(*inputs)
    vectors = []
    for footprint in inputs[0]:
        ra, dec = np.deg2rad(parse_s_region(footprint)[0]).T
        vectors.append([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    vectors = np.hstack(vectors)
    x, y, z = 0.5 * (vectors.min(axis=1) + vectors.max(axis=1))
    expected = np.rad2deg([np.arctan2(y, x) % (2 * np.pi), np.arctan2(z, np.hypot(x, y))])
    np.testing.assert_allclose(grid.wcs.steps[0].transform.crval, expected, rtol=1e-13)


def test_the_header_says_the_same_as_the_wcs(inputs):
    grid = mosaic.grid_from_inputs(*inputs)
    header = fits.Header({"V2_REF": 1.0, "A_ORDER": 3, "A_2_0": 1.0, "CD1_1": 3.0, "ROLL_REF": 2.0, "EXPOSURE": 5})
    mosaic.update_header(header, grid.wcs)
    assert not {"V2_REF", "A_ORDER", "A_2_0", "CD1_1", "ROLL_REF"} & set(header)
    assert header["EXPOSURE"] == 5
    x, y = np.random.default_rng(0).uniform(0, 400, (2, 50))
    assert apart_mas(WCS(header).all_pix2world(x, y, 0), grid.wcs(x, y, with_bounding_box=False)) < 1e-5


def test_a_grid_of_another_form_gets_the_nearest_linear_header(inputs, caplog):
    distorted = inputs[1]
    cards = {k: v for k, v, _ in mosaic.linear_cards(distorted)}
    assert cards["CTYPE1"] == "RA---TAN"
    assert "linear fit" in caplog.text
    wcs = WCS(fits.Header(cards))
    assert apart_mas(wcs.all_pix2world([200.0], [150.0], 0), distorted([200.0], [150.0])) < 63


def test_the_smallest_mosaic_has_two_pixels_a_side(inputs):
    with pytest.raises(InputError, match="1 x 500"):
        mosaic.grid_from_inputs(*inputs, output_shape=(1, 500))
    with pytest.raises(InputError, match="S_REGION"):
        mosaic.grid_from_inputs([], *inputs[1:])


def test_a_grid_survives_a_file(inputs, tmp_path):
    grid = mosaic.grid_from_inputs(*inputs, pixel_scale_ratio=0.7)
    mosaic.save_grid(tmp_path / "g.asdf", grid)
    again = mosaic.load_grid(tmp_path / "g.asdf")
    assert (again.shape, again.pixel_scale, again.pixel_scale_ratio) == (
        grid.shape,
        grid.pixel_scale,
        grid.pixel_scale_ratio,
    )
    np.testing.assert_array_equal(again.wcs(5.0, 6.0), grid.wcs(5.0, 6.0))
    assert mosaic.load_grid(tmp_path / "g.asdf", (90, 80)).shape == (80, 90)


def test_a_file_of_a_user_may_say_less(inputs, tmp_path):
    grid = mosaic.grid_from_inputs(*inputs)
    bare = Wcs(grid.wcs.steps)
    asdftext.write(tmp_path / "box.asdf", {"wcs": bare.to_tree()})
    got = mosaic.load_grid(tmp_path / "box.asdf")
    assert got.shape == grid.shape
    assert got.pixel_scale == pytest.approx(grid.pixel_scale, rel=1e-4)
    asdftext.write(tmp_path / "area.asdf", {"wcs": bare.to_tree(), "pixel_area": 0.04, "pixel_shape": [7, 9]})
    area = mosaic.load_grid(tmp_path / "area.asdf")
    assert (area.shape, area.pixel_scale) == ((9, 7), pytest.approx(0.2))


def test_a_file_that_does_not_fit_is_refused(inputs, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        mosaic.load_grid(tmp_path / "none.asdf")
    asdftext.write(tmp_path / "empty.asdf", {"a": 1})
    with pytest.raises(ConfigError, match="no WCS"):
        mosaic.load_grid(tmp_path / "empty.asdf")
    bare = Wcs(mosaic.grid_from_inputs(*inputs).wcs.steps)
    bare.bounding_box = None
    asdftext.write(tmp_path / "size.asdf", {"wcs": bare.to_tree()})
    with pytest.raises(ConfigError, match="give output_shape"):
        mosaic.load_grid(tmp_path / "size.asdf")


def test_the_order_of_the_inputs_behind_the_first_does_not_matter(inputs):
    footprints, wcs, pointing = inputs
    one = mosaic.grid_from_inputs(footprints, wcs, pointing)
    two = mosaic.grid_from_inputs([footprints[0], footprints[2], footprints[1]], wcs, pointing)
    np.testing.assert_array_equal(one.wcs(3.0, 4.0), two.wcs(3.0, 4.0))
    assert one.shape == two.shape
