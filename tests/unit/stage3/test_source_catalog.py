"""The source catalog: right fluxes and places, the official columns, and clear words when there is none."""

from __future__ import annotations

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table

from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Mosaic
from jwstsm.references import References
from jwstsm.stage3._catalog import Catalog
from jwstsm.stage3.source_catalog import source_catalog
from jwstsm.step import Skipped
from tests.builders import primary_header
from tests.unit.stage3.fields import camera

SIZE, SIGMA, PIXEL_SR = 200, 1.4, 2.3e-14
RADII = {50: 1.6, 70: 2.2, 30: 1.1}
VEGA = 1.7


def enclosed(radius: float) -> float:
    """Share of a star's light in a circle; pixels taken as even squares widen the Gaussian by 1/12 pixel^2."""
    return 1 - np.exp(-(radius**2) / 2 / (SIGMA**2 + 1 / 12))


@pytest.fixture
def references(tmp_path):
    """Aperture corrections for a Gaussian star and a magnitude offset, among rows of other filters."""
    rows = [
        (name, pupil, ee / 100, r * f, 1 / enclosed(r), 12.0 * f, 18.0 * f)
        for f, (name, pupil) in enumerate((("F200W", "CLEAR"), ("F444W", "CLEAR"), ("F444W", "F405N")), start=0)
        for ee, r in RADII.items()
        for f in (1.0 if (name, pupil) == ("F444W", "CLEAR") else 3.0,)
    ]
    names = ["filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout"]
    table = np.rec.array(rows, dtype=[(n, "U12" if k < 2 else "f4") for k, n in enumerate(names)])
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table, name="APCORR")]).writeto(tmp_path / "apcorr.fits")
    offsets = Table({"filter": ["F200W", "F444W"], "pupil": ["CLEAR", "CLEAR"], "abvega_offset": [9.0, VEGA]})
    asdf.AsdfFile({"abvega_offset": offsets}).write_to(tmp_path / "offset.asdf")
    return References({"apcorr": tmp_path / "apcorr.fits", "abvegaoffset": tmp_path / "offset.asdf"})


def mosaic(x, y, flux, width=None, noise=1e-3, **keywords) -> Mosaic:
    """Return a mosaic [MJy/sr] of Gaussian sources of given flux [Jy] on a background."""
    rng = np.random.default_rng(8)
    yy, xx = np.mgrid[:SIZE, :SIZE]
    image = rng.normal(0.2, noise, (SIZE, SIZE))
    for xc, yc, f, s in zip(x, y, flux, np.broadcast_to(SIGMA if width is None else width, len(x)), strict=True):
        image += f / (1e6 * PIXEL_SR) * np.exp(-((xx - xc) ** 2 + (yy - yc) ** 2) / 2 / s**2) / (2 * np.pi * s**2)
    wht = np.ones(image.shape, np.float32)
    wht[:10] = 0
    err = np.full(image.shape, noise, np.float32)
    err[-10:] = image[-10:] = np.nan
    sci = fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXEL_SR, "CRPIX1": 100.5, "CRPIX2": 100.5})
    primary = primary_header(**({"PXSCLRT": 1.0} | keywords))
    return Mosaic(primary=primary, headers={"SCI": sci}, data=image.astype(np.float32), err=err, wht=wht, wcs=camera(SIZE))


PLACES = np.array([[30.3, 40.2], [150.0, 60.4], [90.7, 150.5], [50.1, 120.0]])


def test_stars_have_their_flux_place_and_magnitude(references):
    flux = np.array([1e-6, 3e-6, 2e-6, 8e-7])
    catalog = source_catalog(mosaic(*PLACES.T, flux), references)
    assert len(catalog) == 4
    order = [int(np.argmin(np.hypot(catalog["xcentroid"] - x, catalog["ycentroid"] - y))) for x, y in PLACES]
    assert catalog["aper_total_flux"][order] == pytest.approx(flux, rel=0.015)
    assert catalog["aper_total_abmag"][order] == pytest.approx((flux * u.Jy).to_value(u.ABmag), abs=0.016)
    assert catalog["aper_total_abmag"] - catalog["aper_total_vegamag"] == pytest.approx(VEGA)
    assert catalog["CI_50_30"] == pytest.approx(enclosed(1.6) / enclosed(1.1), rel=0.06)
    assert not catalog["is_extended"].any()
    ra, dec = camera(SIZE)(*PLACES.T)
    apart = SkyCoord(*catalog["sky_centroid"][order].T, unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
    assert apart.mas.max() < 3
    sums = catalog["isophotal_flux"][order] / flux
    assert np.all((sums > 0.9) & (sums < 1.02))
    error = 1e-3 * 1e6 * PIXEL_SR * np.sqrt(np.pi) * 2.2
    assert catalog["aper70_flux_err"] == pytest.approx(error, rel=0.001)


def test_extended_sources_are_told_from_stars(references):
    catalog = source_catalog(mosaic(*PLACES.T, [5e-6] * 4, width=[1.4, 1.4, 6.0, 7.0]), references)
    extended = {round(y / 10): bool(e) for y, e in zip(catalog["ycentroid"], catalog["is_extended"], strict=True)}
    assert extended == {4: False, 6: False, 15: True, 12: True}


def test_the_apertures_shrink_with_larger_pixels(references):
    half = source_catalog(mosaic(*PLACES.T, [2e-6] * 4, PXSCLRT=2.0), references)
    assert half.meta["aperture_params"]["aperture_radii"] == pytest.approx([0.55, 0.8, 1.1])
    assert half.meta["aperture_params"]["bkg_aperture_outer_radius"] == pytest.approx(9.0)


def test_position_angles_are_east_of_north(references):
    image = mosaic([100.0], [100.0], [5e-6])
    yy, xx = np.mgrid[:SIZE, :SIZE]
    along, across = (xx - 100) * 0.6 + (yy - 100) * 0.8, -(xx - 100) * 0.8 + (yy - 100) * 0.6
    image.data += (5 * np.exp(-(along**2) / 2 / 36 - across**2 / 2 / 4)).astype(np.float32)
    catalog = source_catalog(image, references)
    k = int(np.argmax(catalog["isophotal_flux"]))
    assert catalog["orientation"][k] == pytest.approx(np.degrees(np.arctan2(0.8, 0.6)), abs=0.5)
    centre, tip = (SkyCoord(*image.wcs(*p), unit="deg") for p in ((100.0, 100.0), (106.0, 108.0)))
    # the official angle is measured from north against the sense of the pixels, whatever the parity of the image
    angle = centre.position_angle(tip).deg
    assert min(abs((catalog["sky_orientation"][k] - s * angle + 90) % 180 - 90) for s in (1, -1)) < 1.5


def test_pixels_without_weight_hold_no_source(references):
    catalog = source_catalog(mosaic([50.0, 60.0], [4.0, 100.0], [1e-5, 1e-5]), references)
    assert catalog["ycentroid"] == pytest.approx([100], abs=0.1)


@pytest.mark.parametrize("finder", ["segmentation", "iraf", "dao"])
def test_the_file_is_read_by_astropy_with_units_and_coordinates(references, tmp_path, finder):
    catalog = source_catalog(
        mosaic(*PLACES.T, [3e-6] * 4),
        references,
        starfinder=finder,
        kernel_fwhm=3.3,
        roundlo=-1.0,
        roundhi=1.0,
        snr_threshold=7.0,
        sharplo=0.2,
    )
    catalog.write(tmp_path / "mosaic_cat.ecsv")
    table = QTable.read(tmp_path / "mosaic_cat.ecsv")
    assert table.colnames == [c.name for c in catalog.columns]
    assert len(table) == len(catalog) == 4
    assert isinstance(table["sky_centroid"], SkyCoord)
    assert table["sky_centroid"].ra.deg == pytest.approx(catalog["sky_centroid"][:, 0])
    assert table["aper50_flux"].unit == u.Jy
    assert np.array_equal(table["aper50_flux"].value, catalog["aper50_flux"])
    assert table["nn_dist"].unit == u.pix
    assert table["label"].dtype.kind == "i"
    assert table["is_extended"].dtype == bool
    assert table["aper_total_abmag"].info.description.startswith("Total aperture-corrected AB magnitude based on the 70%")
    assert table["isophotal_abmag"].info.format == ".6f"
    assert table.meta["abvega_offset"] == pytest.approx(VEGA)
    assert table.meta["aperture_params"]["aperture_ee"] == [30, 50, 70]
    assert sorted(p.name for p in tmp_path.glob("*cat*")) == ["mosaic_cat.ecsv"]


def test_an_empty_catalog_has_the_columns_and_the_reason(tmp_path):
    Catalog([], {"label": np.zeros(0, int)}, {"reason": "no sources found: 'x'"}).write(tmp_path / "mosaic_cat.ecsv")
    table = QTable.read(tmp_path / "mosaic_cat.ecsv")
    assert len(table) == 0
    assert {"aper30_flux", "sky_centroid", "is_extended"} <= set(table.colnames)
    assert table.meta["reason"] == "no sources found: 'x'"


def test_labels_are_those_of_the_segmentation_map(references):
    catalog = source_catalog(mosaic(*PLACES.T, [3e-6] * 4), references)
    assert catalog.segments.dtype == np.uint32
    at = catalog.segments[np.round(catalog["ycentroid"]).astype(int), np.round(catalog["xcentroid"]).astype(int)]
    assert np.array_equal(at, catalog["label"])
    assert catalog["isophotal_area"].tolist() == np.bincount(catalog.segments.ravel())[1:].tolist()


def test_kron_fluxes_come_when_they_are_asked_for(references):
    catalog = source_catalog(mosaic(*PLACES.T, [3e-6] * 4), references, kron_params=[2.5, 1.4])
    assert [c.name for c in catalog.columns][-2:] == ["kron_flux", "kron_flux_err"]
    assert catalog["kron_flux"] == pytest.approx(3e-6, rel=0.1)


def test_without_references_small_apertures_are_used(tmp_path, caplog):
    catalog = source_catalog(mosaic(*PLACES.T, [3e-6] * 4), References({"apcorr": None, "abvegaoffset": None}))
    assert "aper1_flux" in catalog.values
    assert np.array_equal(catalog["isophotal_abmag"], catalog["isophotal_vegamag"])
    assert "no apcorr reference" in caplog.text


@pytest.mark.parametrize(
    ("keywords", "options", "reason"),
    [
        ({"FILTER": "F090W"}, {}, "no row for FILTER F090W"),
        ({"INSTRUME": "NIRSPEC"}, {}, "NIRSPEC is not an imager"),
        ({}, {"aperture_ee1": 20}, "0 rows for 20 %"),
        ({}, {"snr_threshold": 1e6}, "no sources found"),
        ({"PUPIL": "F405N"}, {}, "no row for FILTER F444W, PUPIL F405N"),
    ],
)
def test_a_catalog_that_cannot_be_made_is_skipped_with_a_reason(references, keywords, options, reason):
    result = source_catalog(mosaic(*PLACES.T, [3e-6] * 4, **keywords), references, **options)
    assert isinstance(result, Skipped)
    assert reason in result.reason


def test_bad_options_and_units_are_named(references):
    with pytest.raises(ConfigError, match="must increase"):
        source_catalog(mosaic(*PLACES.T, [3e-6] * 4), references, aperture_ee1=60)
    image = mosaic(*PLACES.T, [3e-6] * 4)
    image.sci["BUNIT"] = "DN/s"
    with pytest.raises(InputError, match="BUNIT is 'DN/s'"):
        source_catalog(image, references)


def test_the_mosaic_is_not_changed(references):
    image = mosaic(*PLACES.T, [3e-6] * 4)
    data, err = image.data.copy(), image.err.copy()
    source_catalog(image, references)
    assert np.array_equal(image.data, data, equal_nan=True)
    assert np.array_equal(image.err, err, equal_nan=True)


def test_every_parameter_is_described():
    assert all(p.description for p in source_catalog.step.parameters.values())
