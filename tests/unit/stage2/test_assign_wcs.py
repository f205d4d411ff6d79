"""assign_wcs: world coordinates, outline and SIP keywords of an exposure."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.products import read, write
from jwstsm.stage2.assign_wcs import assign_wcs
from jwstsm.wcs.footprint import s_region
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.modes import BUILDERS
from tests.unit.wcs.scenes import OFFSETS, exposure


def test_an_exposure_gets_coordinates_outline_and_approximation(tmp_path):
    slope, refs = exposure(tmp_path, 300, 300, offsets=OFFSETS)
    pixels = slope.data.copy()
    out = assign_wcs(slope, refs)
    assert out is slope
    assert out.wcs.available_frames[-1] == "world"
    assert out.sci["S_REGION"] == s_region(out.wcs)
    assert out.sci["CTYPE1"] == "RA---TAN-SIP"
    np.testing.assert_array_equal(out.data, pixels)
    assert refs.used.keys() == {"distortion", "filteroffset"}


def test_stacks_of_integrations_get_the_same_coordinates(tmp_path):
    image = assign_wcs(*exposure(tmp_path, 100, 120))
    stack = assign_wcs(*exposure(tmp_path, 100, 120, nints=3))
    assert image.wcs(5.0, 6.0) == stack.wcs(5.0, 6.0)
    assert image.sci["S_REGION"] == stack.sci["S_REGION"]


def test_the_approximation_can_be_left_out_or_tuned(tmp_path):
    without = assign_wcs(*exposure(tmp_path, 300, 300), sip_approx=False)
    assert "CTYPE1" not in without.sci
    assert "S_REGION" in without.sci
    tuned = assign_wcs(*exposure(tmp_path, 300, 300), sip_degree=2, sip_inv_degree=4)
    assert (tuned.sci["A_ORDER"], tuned.sci["AP_ORDER"]) == (2, 4)


def test_the_coordinates_survive_a_product_on_disk(tmp_path):
    slope = assign_wcs(*exposure(tmp_path, 60, 80))
    path = write(slope, tmp_path / "jw00001001001_02101_00001_nrcalong_cal.fits", "cal")
    again = read(path)
    x, y = np.array([0.0, 79.0, 33.3]), np.array([0.0, 59.0, 12.25])
    np.testing.assert_array_equal(again.wcs(x, y), slope.wcs(x, y))
    assert again.sci["S_REGION"] == slope.sci["S_REGION"]
    assert again.sci["CD1_1"] == pytest.approx(slope.sci["CD1_1"], rel=1e-12)


@pytest.mark.parametrize("exp_type", sorted(k for k, make in BUILDERS.items() if make is imaging_wcs))
def test_every_imaging_type_has_a_builder(tmp_path, exp_type):
    instrument = {"NRC": "NIRCAM", "NIS": "NIRISS", "MIR": "MIRI", "FGS": "FGS"}[exp_type[:3]]
    slope, refs = exposure(tmp_path, 40, 40, EXP_TYPE=exp_type, INSTRUME=instrument)
    assert np.isfinite(assign_wcs(slope, refs).wcs(10.0, 10.0)).all()


def test_a_type_without_coordinates_is_named_with_those_that_have_some(tmp_path):
    slope, refs = exposure(tmp_path, 40, 40, EXP_TYPE="NRC_DARK")
    with pytest.raises(InputError, match=r"NRC_DARK.*NRC_IMAGE"):
        assign_wcs(slope, refs)
