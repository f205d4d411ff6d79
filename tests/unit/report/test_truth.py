"""A catalog against the truth of a simulation: what is found, what is not true, and how fluxes compare."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.products import Mosaic
from jwstsm.report.truth import _share_within, compare_catalog, truth_of
from tests.unit.stage3.dithers import plain_wcs

SHAPE = (400, 400)


def table(path, **columns):
    rows = [" ".join(columns), *(" ".join(map(repr, map(float, row))) for row in zip(*columns.values(), strict=True))]
    path.write_text("# %ECSV 1.0\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def case(tmp_path):
    """Return a mosaic, its catalog and the truth: two false sources, the faintest not found, shifted; stars 3 % too bright.

    The catalog counts a half of the light of galaxies, in the area of their half-light ellipses.
    """
    wcs = plain_wcs(SHAPE)
    x, y = (np.arange(100) % 10 * 38 + 25.0 + k * np.sin(np.arange(100) * (k + 1)) for k in (3, 5))
    y = np.arange(100) // 10 * 38 + 25.0 + (y - y.mean()) % 5
    flux = 10 ** np.linspace(-4, -7, 100)
    ra, dec = wcs(x, y, with_bounding_box=False)
    outside = wcs(np.array([-50.0]), np.array([10.0]), with_bounding_box=False)
    truth = table(
        tmp_path / "sources.ecsv",
        ra=[*ra, outside[0][0]], dec=[*dec, outside[1][0]], flux_F200W=[*flux, 1e-4],
        half_light_arcsec=np.arange(101) % 2 * 0.3, sersic=np.arange(101) % 2, axis_ratio=np.arange(101) % 2 * 0.5,
    )  # fmt: skip
    seen = slice(0, 70)
    catalog = table(
        tmp_path / "cat.ecsv",
        xcentroid=[*(x[seen] + 8.0), 5.0, 390.0],
        ycentroid=[*(y[seen] - 6.0), 390.0, 5.0],
        aper_total_flux=[*(1.03 * flux[seen]), 1e-6, 1e-6],
        aper_total_flux_err=np.full(72, 1e-8),
        isophotal_flux=[*(0.5 * flux[seen]), 1e-6, 1e-6],
        isophotal_area=np.full(72, np.pi * 0.5 * (0.3 / 0.06) ** 2),
    )
    ones = np.ones(SHAPE, np.float32)
    mosaic = Mosaic(data=ones, err=ones, wht=ones, wcs=wcs)
    mosaic.primary["FILTER"], mosaic.primary["PUPIL"] = "F200W", "CLEAR"
    mosaic.headers["SCI"] = fits.Header({"PIXAR_A2": 0.06**2})
    return mosaic, catalog, truth


def test_completeness_purity_fluxes_and_offset_are_those_put_in(case):
    found = compare_catalog(*case)
    assert found["purity"] == pytest.approx(70 / 72)
    assert found["flux_bias"] == pytest.approx(0.03, abs=1e-6)
    assert found["offset_mas"] == pytest.approx(600, rel=0.01)
    # 100 sources over 7.5 magnitudes from 18.9 on, the first 70 of them found
    assert found["half_complete"] == pytest.approx(18.9 + 0.7 * 7.5, abs=0.6)
    assert all(row["bias_galaxies"] == pytest.approx(0, abs=1e-6) for row in found["rows"][:4])
    assert all(row["light_galaxies"] == pytest.approx(0.5, abs=1e-6) for row in found["rows"][:4])
    assert [len(found["points"][kind]) for kind in ("stars", "galaxies")] == [35, 35]
    assert sum(row["true"] for row in found["rows"]) == 100
    assert found["rows"][0]["found"] == 1
    assert found["rows"][-1]["found"] == 0


def test_an_exponential_disc_holds_the_light_it_should():
    """Within r scale lengths: 1 - (1 + r) exp(-r); half of it within 1.678."""
    r = np.array([0.5, 1.678, 4.0])
    share = _share_within(np.pi * 0.6 * (r * 0.2 / 1.678347) ** 2, np.full(3, 0.2), np.ones(3), np.full(3, 0.6))
    np.testing.assert_allclose(share, 1 - (1 + r) * np.exp(-r), atol=1e-6)
    assert _share_within(*np.zeros((4, 1))) == 1  # a star


def test_the_wheel_that_holds_the_filter_does_not_matter(case):
    mosaic, catalog, truth = case
    before = compare_catalog(*case)
    mosaic.primary["FILTER"], mosaic.primary["PUPIL"] = "CLEAR", "F200W"
    assert repr(compare_catalog(mosaic, catalog, truth)) == repr(before)  # some rows hold NaN


def test_tables_that_say_nothing_give_nothing(case, tmp_path):
    mosaic, catalog, truth = case
    assert compare_catalog(mosaic, table(tmp_path / "empty.ecsv", label=[]), truth) is None
    mosaic.primary["FILTER"] = "F444W"
    assert compare_catalog(mosaic, catalog, truth) is None
    assert truth_of(tmp_path / "stage3" / "x_i2d.fits") is None
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "sources.ecsv").write_text("")
    assert truth_of(tmp_path / "stage3" / "x_i2d.fits") is not None
