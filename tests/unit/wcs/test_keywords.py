"""The keywords that follow from the world coordinates."""

from __future__ import annotations

import numpy as np

from jwstsm.wcs.footprint import s_region
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.keywords import update_sky_keywords
from tests.unit.wcs.scenes import exposure


def test_outline_and_approximation_are_written_about_the_headers_reference_pixel(tmp_path):
    slope, refs = exposure(tmp_path, 200, 200, CRPIX1=40.0, CRPIX2=50.0)
    slope.wcs = imaging_wcs(slope, refs)
    update_sky_keywords(slope, sip_options={})
    assert slope.sci["S_REGION"] == s_region(slope.wcs)
    assert (slope.sci["CRPIX1"], slope.sci["CRPIX2"]) == (40.0, 50.0)
    np.testing.assert_allclose((slope.sci["CRVAL1"], slope.sci["CRVAL2"]), slope.wcs(39.0, 49.0), rtol=1e-14)


def test_without_options_only_the_outline_is_written(tmp_path):
    slope, refs = exposure(tmp_path, 200, 200)
    slope.wcs = imaging_wcs(slope, refs)
    update_sky_keywords(slope)
    assert list(slope.sci) == ["S_REGION"]


def test_an_image_without_an_outline_keeps_the_old_one(tmp_path, caplog):
    slope, refs = exposure(tmp_path, 200, 200)
    slope.wcs = imaging_wcs(slope, refs)
    slope.wcs.bounding_box = ((-0.5, np.nan), (-0.5, 199.5))
    slope.sci["S_REGION"] = "old"
    update_sky_keywords(slope)
    assert slope.sci["S_REGION"] == "old"
    assert "not updated" in caplog.text
