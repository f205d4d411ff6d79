"""The quick-look mosaic of a single exposure."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.products import Slope
from jwstsm.stage2.resample import resample
from jwstsm.step import Skipped
from tests.builders import FakeReferences
from tests.unit.stage3.dithers import exposures, star_list


@pytest.fixture
def slope():
    (frame,) = exposures(1, noise=0.02, stars=star_list(4, 20))
    sci = fits.Header({"PHOTMJSR": 0.4, "BUNIT": "MJy/sr", "A_ORDER": 2})
    made = Slope(primary=fits.Header(frame.header), headers={"SCI": sci}, wcs=frame.wcs, suffix="cal")
    for name, array in frame.arrays.items():
        setattr(made, name, array)
    return made


def test_image_comes_with_its_mosaic_and_is_not_changed(slope):
    before = slope.data.copy()
    made = resample(slope, FakeReferences({}))
    assert set(made) == {"cal", "i2d"}
    assert made["cal"] is slope
    assert np.array_equal(slope.data, before)
    assert np.isclose(np.nansum(made["i2d"].data), before.sum(), rtol=0.02)


def test_headers_are_those_of_the_image_without_a_table(slope):
    before = slope.primary.copy(), slope.sci.copy()
    mosaic = resample(slope, FakeReferences({}))["i2d"]
    assert (slope.primary, slope.sci) == before
    assert mosaic.primary["NDRIZ"] == 1
    assert mosaic.primary["DETECTOR"] == "NRCA1"
    assert mosaic.tables == {}
    sci = mosaic.headers["SCI"]
    assert (sci["CTYPE2"], sci["PHOTMJSR"], sci["BUNIT"]) == ("DEC--TAN", 0.4, "MJy/sr")
    assert "A_ORDER" not in sci
    assert "PHOTMJSR" not in mosaic.primary


def test_stacks_and_images_without_coordinates_are_skipped(slope):
    slope.wcs = None
    assert isinstance(resample(slope, FakeReferences({})), Skipped)
    slope.data = slope.data[None]
    result = resample(slope, FakeReferences({}))
    assert "stacks" in result.reason


def test_options_reach_the_grid_and_the_drizzle(slope):
    mosaic = resample(slope, FakeReferences({}), output_shape=[30, 20], crpix=[5.0, 6.0], kernel="point", enable_err=False)
    assert mosaic["i2d"].data.shape == (20, 30)
    assert mosaic["i2d"].err is None
