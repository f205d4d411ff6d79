"""What the workflow makes opens without complaint in what others use: the official data models, gwcs, astropy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from jwstsm.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def products(simulated):
    """Stage 1 and 2 products of a small exposure."""
    uncal = next((simulated / "uncal").glob("*_uncal.fits"))
    out = simulated / "opened"
    crds = ["--context", "jwst_9001.pmap", "--crds-path", str(simulated / "crds_cache"), "--output-dir", str(out)]
    assert main(["run", "detector1", str(uncal), *crds]) == 0
    assert main(["run", "image2", str(out / uncal.name.replace("_uncal", "_rate")), *crds]) == 0
    return {s: out / uncal.name.replace("_uncal", f"_{s}") for s in ("rate", "rateints", "cal", "i2d")}


@pytest.mark.parametrize(
    ("suffix", "model"), [("rate", "ImageModel"), ("rateints", "CubeModel"), ("cal", "ImageModel"), ("i2d", "ImageModel")]
)
def test_the_official_data_models_open_it_strictly(products, suffix, model):
    from stdatamodels.jwst import datamodels

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        with getattr(datamodels, model)(products[suffix], strict_validation=True) as opened:
            opened.validate()
            assert opened.meta.cal_step.ramp_fit == "COMPLETE"
            assert opened.meta.ref_file.crds.context_used == "jwst_9001.pmap"
            if suffix in ("cal", "i2d"):
                assert np.isfinite(opened.meta.wcs(10, 10)).all()


@pytest.mark.parametrize("suffix", ["rate", "cal", "i2d"])
def test_the_asdf_tree_has_arrays_units_and_wcs_where_viewers_look_for_them(products, suffix):
    """What jdaviz reads: ``data`` (the array of SCI), ``meta.bunit_data`` and, of calibrated images, ``meta.wcs``."""
    from stdatamodels import asdf_in_fits

    with fits.open(products[suffix]) as hdus, asdf_in_fits.open(hdus) as opened:
        np.testing.assert_array_equal(opened.tree["data"], hdus["SCI"].data)
        np.testing.assert_array_equal(opened.tree["err"], hdus["ERR"].data)
        assert opened.tree["meta"]["bunit_data"] == hdus["SCI"].header["BUNIT"]
        assert ("wcs" in opened.tree["meta"]) == (suffix != "rate")


@pytest.mark.parametrize(("suffix", "unit"), [("rate", "DN / s"), ("cal", "MJy / sr"), ("i2d", "MJy / sr")])
def test_astropy_reads_it_as_an_image_with_unit_error_and_world_coordinates(products, suffix, unit):
    uncertainty = {"hdu_uncertainty": "ERR", "key_uncertainty_type": "none"}
    image = CCDData.read(products[suffix], hdu="SCI", **uncertainty)
    assert image.unit == unit
    assert image.uncertainty.array.shape == image.shape
    assert np.isfinite(image.data).mean() > 0.9
    if suffix != "rate":
        assert image.wcs.world_axis_physical_types[0] == "pos.eq.ra"
        sky = image.wcs.pixel_to_world(20, 30)
        x, y = image.wcs.world_to_pixel(sky)
        assert np.hypot(x - 20, y - 30) < 0.01


def test_the_sip_header_agrees_with_the_gwcs_to_a_hundredth_of_a_pixel(products):
    from jwstsm.products import read

    cal = read(products["cal"])
    ra, dec = cal.wcs(20.0, 30.0)
    x, y = WCS(fits.getheader(products["cal"], "SCI")).all_world2pix(ra, dec, 0)
    assert np.hypot(x - 20, y - 30) < 0.01


def test_two_runs_and_one_or_two_threads_give_the_same_bits(simulated, products):
    uncal = next((simulated / "uncal").glob("*_uncal.fits"))
    crds = ["--context", "jwst_9001.pmap", "--crds-path", str(simulated / "crds_cache")]
    arrays = []
    for number, threads in enumerate((1, 2, 2)):
        out = simulated / f"threads{number}"
        words = ["--output-dir", str(out), "--threads", str(threads)]
        assert main(["run", "detector1", str(uncal), *crds, *words]) == 0
        assert main(["run", "image2", str(out / products["rate"].name), *crds, *words]) == 0
        with fits.open(out / products["i2d"].name) as hdus:
            arrays.append([np.array(h.data) for h in hdus if h.is_image and h.data is not None])
    for other in arrays[1:]:
        for a, b in zip(arrays[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
