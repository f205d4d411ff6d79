"""Absolute catalogs: forms, columns, proper motions, and clear words about what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table

from jwstsm.errors import InputError
from jwstsm.stage3._refcat import observation_epoch, read_pixel_catalog, read_reference_catalog

RA, DEC = np.array([10.0, 10.001, 10.002]), np.array([-30.0, -30.001, 60.0])


@pytest.mark.parametrize("form", ["ecsv", "fits", "csv"])
@pytest.mark.parametrize("names", [("RA", "DEC"), ("ra", "dec")])
def test_catalogs_are_read_in_several_forms(tmp_path, form, names):
    path = tmp_path / f"stars.{form}"
    Table([RA, DEC, [1.0, 2.0, 3.0]], names=(*names, "weight")).write(path)
    catalog = read_reference_catalog(path, 2025.0)
    assert catalog.ra == pytest.approx(RA)
    assert catalog.dec == pytest.approx(DEC)
    assert catalog.weight == pytest.approx([1, 2, 3])
    assert catalog.epoch is None


def test_a_source_catalog_of_a_mosaic_is_a_reference(tmp_path):
    path = tmp_path / "mosaic_cat.ecsv"
    QTable({"label": [1, 2, 3], "sky_centroid": SkyCoord(RA, DEC, unit="deg")}).write(path)
    catalog = read_reference_catalog(path, None)
    assert catalog.dec == pytest.approx(DEC)


@pytest.mark.parametrize("epoch_in", ["column", "meta", "epoch column"])
def test_proper_motions_bring_sources_to_the_epoch_of_the_observation(tmp_path, epoch_in):
    table = Table({"RA": RA, "DEC": DEC, "pmra": [100.0, 0, -50], "pmdec": [-20.0, 5, 0]})
    if epoch_in == "meta":
        table.meta["ref_epoch"] = 2016.0
    else:
        table["ref_epoch" if epoch_in == "column" else "epoch"] = 2016.0
    table.write(tmp_path / "stars.ecsv")
    catalog = read_reference_catalog(tmp_path / "stars.ecsv", 2026.0)
    start = SkyCoord(RA, DEC, unit="deg", pm_ra_cosdec=table["pmra"] * u.mas / u.yr, pm_dec=table["pmdec"] * u.mas / u.yr)
    expected = SkyCoord(
        ra=start.ra + (table["pmra"] * 10 * u.mas / np.cos(start.dec)),
        dec=start.dec + table["pmdec"] * 10 * u.mas,
    )
    found = SkyCoord(catalog.ra, catalog.dec, unit="deg")
    assert found.separation(expected).mas.max() < 0.01
    assert catalog.epoch == 2026.0


def test_units_of_columns_are_honoured(tmp_path):
    table = QTable(
        {"ra": RA * u.deg, "dec": DEC * u.deg, "pmra": [0.1, 0, 0] * u.arcsec / u.yr, "pmdec": [0, 0, 0] * u.mas / u.yr}
    )
    table["ref_epoch"] = [2016.0] * 3 * u.yr
    table.write(tmp_path / "stars.ecsv")
    catalog = read_reference_catalog(tmp_path / "stars.ecsv", 2017.0)
    assert (catalog.ra[0] - RA[0]) * np.cos(np.radians(DEC[0])) * 3.6e6 == pytest.approx(100, abs=0.01)


def test_sources_without_motion_or_position_are_left_out(tmp_path):
    table = Table({"RA": [10.0, np.nan, 10.2], "DEC": DEC, "pmdec": [1.0, 1, 1], "ref_epoch": [2016.0] * 3})
    table["pmra"] = MaskedColumn([1.0, 1, 1], mask=[False, False, True])
    table.write(tmp_path / "stars.ecsv")
    assert len(read_reference_catalog(tmp_path / "stars.ecsv", 2020.0)) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"alpha": RA, "delta": DEC}, "needs columns RA and DEC"),
        ({"RA": RA, "DEC": DEC, "pmra": RA, "pmdec": RA}, "ref_epoch"),
        ({"RA": RA, "ra": RA, "DEC": DEC}, "more than one column"),
    ],
)
def test_a_catalog_that_cannot_be_used_says_why(tmp_path, columns, message):
    Table(columns).write(tmp_path / "stars.ecsv")
    with pytest.raises(InputError, match=message):
        read_reference_catalog(tmp_path / "stars.ecsv", 2025.0)


def test_files_that_are_not_there_or_no_tables_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.ecsv.*not a file"):
        read_reference_catalog(tmp_path / "nowhere.ecsv", None)
    (tmp_path / "bad.fits").write_text("nothing")
    with pytest.raises(InputError, match=r"bad\.fits.*cannot be read"):
        read_reference_catalog(tmp_path / "bad.fits", None)


def test_the_epoch_is_the_mean_of_the_exposures():
    assert observation_epoch([{"MJD-AVG": 51544.5}, {"EXPMID": 51544.5 + 730.5}]) == pytest.approx(2001.0)
    assert observation_epoch([{"DATE-OBS": "2000-01-01"}]) == pytest.approx(2000.0, abs=0.002)
    assert observation_epoch([{}]) is None


def test_a_users_source_list_may_have_any_of_the_usual_names(tmp_path):
    for k, names in enumerate((("x", "y"), ("xcentroid", "ycentroid"), ("x_centroid", "y_centroid"))):
        Table([[1.0, np.nan], [3.0, 4.0], [0.5, 1]], names=(*names, "weight")).write(tmp_path / f"{k}.ecsv")
        x, y, weight = read_pixel_catalog(tmp_path / f"{k}.ecsv")
        assert (x.tolist(), y.tolist(), weight.tolist()) == ([1.0], [3.0], [0.5])
    Table({"x": [1.0]}).write(tmp_path / "half.ecsv")
    with pytest.raises(InputError, match="columns x and y"):
        read_pixel_catalog(tmp_path / "half.ecsv")
