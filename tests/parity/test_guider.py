"""calwebb_guider on every guide-star mode, and on a flight acquisition, through the official package and through ours."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tests.parity.guide_stars import FLIGHT, HEADERS, MODES, write_cache, write_exposure
from tests.parity.judge import crds_env, needs_judge, run_official, run_ours

pytestmark = [pytest.mark.parity, needs_judge, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guider")
    write_cache(folder / "crds_cache")
    return folder


def compare(folder, uncal):
    """Run both packages; demand the same arrays, tables and units."""
    env = crds_env(folder)
    run_ours("guider", uncal, folder / "ours", env)
    run_official("guider", uncal, folder / "official", env)
    name = uncal.name.replace("_uncal", "_cal")
    with fits.open(folder / "ours" / name) as ours, fits.open(folder / "official" / name) as official:
        assert {h.name for h in ours} == {h.name for h in official}
        for key in ("DATAMODL", "EXP_TYPE", "S_DQINIT", "S_GUICDS", "S_FLAT", "R_MASK", "R_GAIN", "R_READNO", "R_FLAT"):
            assert ours[0].header.get(key) == official[0].header.get(key), key
        assert ours["SCI"].header["BUNIT"] == official["SCI"].header["BUNIT"] == "DN/s"
        np.testing.assert_array_equal(ours["DQ"].data, official["DQ"].data)
        for plane in ("SCI", "ERR"):
            assert ours[plane].data.shape == official[plane].data.shape
            np.testing.assert_allclose(ours[plane].data, official[plane].data, rtol=2e-6, atol=1e-5)
        for hdu in ours:
            if isinstance(hdu, fits.BinTableHDU) and hdu.name != "ASDF":
                assert hdu.data.dtype.names == official[hdu.name].data.dtype.names
                for column in hdu.data.dtype.names:
                    np.testing.assert_array_equal(hdu.data[column], official[hdu.name].data[column])
    return folder / "ours" / name


@pytest.mark.skipif(not HEADERS.exists(), reason=f"no flight headers in {HEADERS}")
@pytest.mark.parametrize("detector", ["guider1", "guider2"])
@pytest.mark.parametrize("mode", MODES)
def test_guide_star_exposures_agree(cache, tmp_path, mode, detector):
    if mode.startswith("id") and detector == "guider2":
        pytest.skip("full frames of one guider are enough")
    compare(cache, write_exposure(tmp_path, mode, detector))


@pytest.mark.skipif(not FLIGHT.exists(), reason=f"the flight acquisition {FLIGHT.name} is not here")
def test_a_flight_acquisition_agrees(cache):
    compare(cache, FLIGHT)


@pytest.mark.skipif(not HEADERS.exists(), reason=f"no flight headers in {HEADERS}")
def test_the_official_models_open_our_products_strictly(cache, tmp_path):
    from stdatamodels.jwst import datamodels

    for mode in ("acq1", "fineguide"):
        ours = tmp_path / "ours"
        uncal = write_exposure(tmp_path, mode)
        run_ours("guider", uncal, ours, crds_env(cache))
        with datamodels.open(ours / uncal.name.replace("_uncal", "_cal"), strict_validation=True) as model:
            assert isinstance(model, datamodels.GuiderCalModel)
            assert len(model.flight_star_table) == 2
            model.validate()
