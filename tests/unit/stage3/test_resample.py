"""The i2d product: arrays, headers, table, grid options."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core.frames import Stage3Inputs
from jwstsm.core.mosaic import combined_region, times
from jwstsm.errors import ConfigError, InputError
from jwstsm.products.fitsio import write
from jwstsm.stage3._grid import grid_of
from jwstsm.stage3.resample import resample
from jwstsm.wcs.footprint import parse_s_region
from jwstsm.wcs.mosaic import save_grid
from tests.unit.stage3.dithers import SCALE, exposures, plain_wcs, star_list


@pytest.fixture(scope="module")
def inputs():
    return Stage3Inputs(
        exposures(4, noise=0.02, sky=(0.0, 0.5), stars=star_list(6, 30)), "product", "x_asn.json", "pool.csv"
    )


@pytest.fixture(scope="module")
def mosaic(inputs):
    for k, frame in enumerate(inputs.frames):
        frame.sky_level = (0.0, 0.5)[k % 2]
    return resample(inputs)


def test_mosaic_covers_all_inputs_and_has_all_planes(mosaic):
    ny, nx = mosaic.data.shape
    assert ny > 80
    assert nx > 84
    for name in ("data", "err", "wht", "var_rnoise", "var_poisson", "var_flat"):
        assert getattr(mosaic, name).shape == (ny, nx)
        assert getattr(mosaic, name).dtype == np.float32
    assert mosaic.con.shape == (1, ny, nx)
    assert mosaic.con.max() == 15
    assert np.array_equal(np.isnan(mosaic.data), mosaic.wht == 0)
    assert mosaic.suffix == "i2d"


def test_flux_of_stars_is_that_of_the_sky_and_positions_hold(mosaic):
    """Sums in a circle about the true position, in units of the flux put in; centroids to 0.05 pixel."""
    rows, columns = np.indices(mosaic.data.shape)
    for ra, dec, flux in star_list(6, 30):
        x, y = mosaic.wcs.invert(ra, dec)
        near = np.hypot(columns - x, rows - y) < 6
        if any(np.hypot(*(np.array(mosaic.wcs.invert(*s[:2])) - (x, y))) < 13 for s in star_list(6, 30) if s[0] != ra):
            continue
        total = mosaic.data[near].sum(dtype=float)
        assert np.isclose(total, flux, rtol=0.005)
        assert abs((mosaic.data[near] * columns[near]).sum() / total - x) < 0.05
        assert abs((mosaic.data[near] * rows[near]).sum() / total - y) < 0.05


def test_skies_are_taken_off(mosaic):
    """Exposures with skies of 0 and 0.5, both known: the mosaic is flat at 0."""
    assert abs(np.nanmedian(mosaic.data)) < 0.01


def test_error_is_the_root_of_the_variances(mosaic):
    total = mosaic.var_rnoise + mosaic.var_poisson + mosaic.var_flat
    assert np.allclose(mosaic.err**2, total, rtol=1e-5, equal_nan=True)


def test_header_tells_what_was_combined(mosaic, inputs):
    """Times count exposures once, keywords of one exposure's pointing are gone, the WCS is that of the mosaic."""
    primary, sci = mosaic.primary, mosaic.headers["SCI"]
    assert (primary["NDRIZ"], primary["RESWHT"], primary["PIXFRAC"], primary["PXSCLRT"]) == (4, "ivm", 1.0, 1.0)
    assert (primary["EFFEXPTM"], primary["TMEASURE"], primary["DURATION"]) == (400.0, 360.0, 440.0)
    assert (primary["EXPSTART"], primary["EXPEND"]) == (60001.0, 60004.5)
    assert (sci["XPOSURE"], sci["TELAPSE"]) == (400.0, 440.0)
    assert (primary["ASNTABLE"], primary["ASNPOOL"]) == ("x_asn.json", "pool.csv")
    assert np.isclose(sci["PIXAR_A2"], (SCALE * 3600) ** 2, rtol=1e-6)
    assert sci["CTYPE1"] == "RA---TAN"
    assert "BKGLEVEL" not in primary
    assert list(mosaic.tables["HDRTAB"]["FILENAME"]) == [f.name for f in inputs.frames]


def test_region_is_the_union_of_the_inputs(mosaic, inputs):
    """Each corner lies on an input's outline, and the area is that of the pixels that have weight."""
    (outline,) = parse_s_region(mosaic.headers["SCI"]["S_REGION"])
    x, y = mosaic.wcs.invert(*outline.T, with_bounding_box=False)
    enclosed = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert np.isclose(enclosed, (mosaic.wht > 0).sum(), rtol=0.03)


def test_region_of_inputs_off_the_output_is_missing(inputs, caplog):
    assert combined_region(inputs.frames, plain_wcs((10, 10), 1e4), (10, 10)) is None
    assert "no S_REGION" in caplog.text


def test_detectors_of_one_exposure_count_once_in_time():
    frames = exposures(2, detectors=(("NRCA1", 0.0), ("NRCA2", 80.0)))
    assert times(frames)["EFFEXPTM"] == 200
    frames[2].header.pop("TMEASURE")
    assert "TMEASURE" not in times(frames)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_another_pixel_scale_keeps_surface_brightness_and_scales_the_variance(inputs, mosaic, ratio):
    other = resample(inputs, pixel_scale_ratio=ratio)
    assert np.isclose(other.primary["PXSCLRT"], ratio)
    assert np.isclose(other.data.shape[0], mosaic.data.shape[0] / ratio, atol=2)
    assert np.isclose(np.nansum(other.data, dtype=float) * ratio**2, np.nansum(mosaic.data, dtype=float), rtol=0.02)
    deep = [m.con[0] == 15 for m in (other, mosaic)]
    found = [np.median(m.err[d]) for m, d in zip((other, mosaic), deep, strict=True)]
    assert np.isclose(found[0] * ratio, found[1], rtol=0.02)


def test_given_size_reference_pixel_and_scale_are_taken(inputs):
    made = resample(inputs, output_shape=[50, 40], crpix=[20.0, 15.0], crval=[53.1, -27.8], pixel_scale=0.08, rotation=10.0)
    assert made.data.shape == (40, 50)
    assert np.allclose(made.wcs(20.0, 15.0), (53.1, -27.8))
    assert np.isclose(made.primary["PXSCLRT"], 0.08 / 0.06, rtol=1e-4)


def test_a_users_grid_is_taken_and_sets_the_scale_by_the_nominal_pixel_area(inputs, mosaic, tmp_path):
    """The same grid from a file gives the same image; the ratio comes from PIXAR_SR of the first input."""
    save_grid(tmp_path / "grid.asdf", grid_of(inputs))
    made = resample(inputs, output_wcs=str(tmp_path / "grid.asdf"))
    assert np.allclose(made.data, mosaic.data, equal_nan=True, atol=1e-4)
    assert np.isclose(made.primary["PXSCLRT"], 1.0, rtol=1e-4)
    frames = exposures(2)
    frames[0].header.pop("PIXAR_SR")
    with pytest.raises(InputError, match="PIXAR_SR is missing"):
        resample(Stage3Inputs(frames), output_wcs=str(tmp_path / "grid.asdf"))


@pytest.mark.parametrize("kind", ["asdf", "i2d"])
def test_two_associations_share_a_grid(inputs, tmp_path, kind):
    """Other exposures on the grid of a first mosaic, turned and finer than their own: pixel by pixel the same sky."""
    options = {"rotation": 25.0, "pixel_scale": 0.05, "crval": [53.1, -27.8], "crpix": [60.0, 50.0]}
    first = resample(inputs, output_shape=[120, 100], **options)
    file = tmp_path / f"grid.{'asdf' if kind == 'asdf' else 'fits'}"
    if kind == "asdf":
        save_grid(file, grid_of(inputs, output_shape=[120, 100], **options))
    else:
        write(first, file, "i2d")
    second = resample(Stage3Inputs(inputs.frames[2:]), output_wcs=str(file))
    assert second.data.shape == first.data.shape == (100, 120)
    x, y = np.array([0.0, 60.0, 119.0]), np.array([99.0, 50.0, 3.0])
    assert np.allclose(second.wcs(x, y), first.wcs(x, y), rtol=0, atol=1e-12)
    keywords = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "PC1_1", "PC1_2", "PC2_1")
    for keyword in keywords:
        assert np.isclose(second.headers["SCI"][keyword], first.headers["SCI"][keyword], rtol=1e-12)
    # the y axis points at the position angle asked for
    ra, dec = first.wcs([60.0, 60.0], [50.0, 51.0])
    angle = np.degrees(np.arctan2(np.diff(ra)[0] * np.cos(np.radians(dec[0])), np.diff(dec)[0]))
    assert np.isclose(angle, 25.0, atol=0.01)
    assert np.isclose(3600 * np.hypot(np.diff(ra)[0] * np.cos(np.radians(dec[0])), np.diff(dec)[0]), 0.05, rtol=1e-4)


def test_a_file_without_a_grid_is_refused(inputs, tmp_path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "x.fits")
    with pytest.raises(ConfigError, match="no mosaic with world coordinates"):
        resample(inputs, output_wcs=str(tmp_path / "x.fits"))


def test_planes_and_blending_can_be_left_out(inputs):
    bare = resample(inputs, enable_err=False, enable_ctx=False, blendheaders=False)
    assert (bare.err, bare.con, bare.var_flat) == (None, None, None)
    assert bare.tables == {}
    quiet = resample(inputs, report_var=False)
    assert quiet.err is not None
    assert quiet.var_rnoise is None


def test_single_makes_one_image_per_exposure_on_one_grid(inputs, mosaic):
    each = resample(inputs, single=True)
    assert len(each) == 4
    assert {m.data.shape for m in each.values()} == {mosaic.data.shape}
    assert all(m.err is None and m.primary["NDRIZ"] == 1 for m in each.values())


def test_fill_value_and_dq_of_contributors(inputs):
    inputs.frames[0].arrays["dq"][40, 40] = 4
    made = resample(inputs, fillval="-99", propagate_dq=True)
    inputs.frames[0].arrays["dq"][40, 40] = 0
    assert (made.data[made.wht == 0] == -99).all()
    assert set(np.unique(made.dq)) == {0, 4}


def test_exact_variance_is_smaller_where_pixels_are_split(inputs, mosaic):
    """Splitting a pixel over four output pixels lowers the variance of each; the official formula ignores that."""
    exact = resample(inputs, variance="exact")
    deep = mosaic.con[0] == 15
    ratio = exact.err[deep] / mosaic.err[deep]
    assert np.mean(ratio) < 0.9
    assert np.mean(ratio < 1.01) > 0.95
    assert np.array_equal(exact.data, mosaic.data, equal_nan=True)


def test_an_input_without_pointing_is_named():
    frames = exposures(1)
    frames[0].header.pop("RA_REF")
    with pytest.raises(InputError, match="RA_REF is missing"):
        resample(Stage3Inputs(frames))
