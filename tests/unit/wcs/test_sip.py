"""The SIP approximation in the header."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from jwstsm.wcs import sip
from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.sky import tangent_from_sky
from tests.unit.wcs.scenes import apart_mas, exposure


def header_of(wcs, **options) -> fits.Header:
    """Return a header with the approximation of ``wcs``."""
    header = fits.Header()
    sip.update_header(header, sip.sip_cards(sip.fit_sip(wcs, **options)))
    return header


def backward(header, ra, dec) -> np.ndarray:
    """Return 0-based pixels by the inverse polynomials, straight from the definition of the convention."""
    plane = np.rad2deg(tangent_from_sky(ra, dec, header["CRVAL1"], header["CRVAL2"]))
    cd = [[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)]
    u, v = np.linalg.inv(cd) @ plane
    steps = [
        sum(header[k] * u ** int(k[3]) * v ** int(k[5]) for k in header if k.startswith(f"{word}_") and k[3].isdigit())
        for word in ("AP", "BP")
    ]
    return np.array([u + steps[0] + header["CRPIX1"] - 1, v + steps[1] + header["CRPIX2"] - 1])


@pytest.fixture
def full(tmp_path):
    return imaging_wcs(*exposure(tmp_path))


def test_the_header_is_good_to_a_hundredth_of_a_pixel_both_ways(full):
    header = header_of(full, crpix=(1000.0, 1100.5))
    wcs = WCS(header)
    x, y = np.random.default_rng(0).uniform(0, 2047, (2, 500))
    ra, dec = full(x, y)
    # in pixels: 63 mas each
    assert apart_mas(wcs.all_pix2world(x, y, 0), (ra, dec)) < 0.01 * 63
    assert np.hypot(*(backward(header, ra, dec) - [x, y])).max() < 0.012
    assert header["SIPMXERR"] < 0.01
    assert header["SIPIVERR"] < 0.012


def test_the_reference_pixel_is_where_it_was_asked_for(full):
    header = header_of(full, crpix=(1000.0, 1100.5))
    assert (header["CRPIX1"], header["CRPIX2"]) == (1000.0, 1100.5)
    np.testing.assert_allclose((header["CRVAL1"], header["CRVAL2"]), full(999.0, 1099.5), rtol=1e-14)
    centre = header_of(full)
    assert (centre["CRPIX1"], centre["CRPIX2"]) == (1024.5, 1024.5)


def test_the_lowest_degree_that_is_good_enough_is_taken(full, tmp_path):
    degrees = [header_of(full, max_pix_error=e).get("A_ORDER", 1) for e in (20.0, 4.0, 1e-4)]
    assert degrees == sorted(set(degrees))
    assert header_of(full, degree=3)["A_ORDER"] == 3
    assert header_of(full, inv_degree=2)["AP_ORDER"] == 2


def test_a_field_without_distortion_gets_a_linear_header(tmp_path):
    wcs = imaging_wcs(*exposure(tmp_path, 8, 8, SUBSTRT1=1000, SUBSTRT2=1000))
    header = header_of(wcs)
    assert header["CTYPE1"] == "RA---TAN"
    assert "A_ORDER" not in header
    x, y = np.mgrid[0:8, 0:8].astype(float)
    assert apart_mas(WCS(header).all_pix2world(x, y, 0), wcs(x, y)) < 0.01 * 63


def test_the_inverse_is_left_out_on_request(full):
    header = header_of(full, max_inv_pix_error=0)
    assert "A_ORDER" in header
    assert not [k for k in header if k.startswith(("AP_", "BP_", "SIPIVERR"))]


def test_a_degree_that_cannot_be_good_enough_is_reported(full, caplog):
    with caplog.at_level(logging.WARNING):
        sip.fit_sip(full, max_pix_error=1e-14)
    assert "reaches" in caplog.text


def test_what_the_header_held_before_is_replaced(full):
    header = fits.Header({"CDELT1": 1.0, "PC1_1": -1.0, "A_ORDER": 9, "A_9_0": 3.0, "CRPIX1": 5.0, "EXPOSURE": 7})
    sip.update_header(header, sip.sip_cards(sip.fit_sip(full)))
    assert not {"CDELT1", "PC1_1", "A_9_0"} & set(header)
    assert header["EXPOSURE"] == 7
    assert header["CRPIX1"] == 1024.5


def test_the_fit_recovers_polynomials_exactly():
    rng = np.random.default_rng(3)
    u, v = rng.uniform(-1000, 1000, (2, 300))
    x = 2 * u - v + 1e-4 * u * v
    y = u + 3e-7 * v**3
    fit = sip._fit(3, u, v, x, y)
    expected = np.zeros((2, 4, 4))
    expected[0, 1, 0], expected[0, 0, 1], expected[0, 1, 1], expected[1, 1, 0], expected[1, 0, 3] = 2, -1, 1e-4, 1, 3e-7
    scale = 1000.0 ** np.add.outer(np.arange(4), np.arange(4))
    np.testing.assert_allclose(fit.x * scale, expected[0] * scale, atol=1e-8)
    np.testing.assert_allclose(fit.y * scale, expected[1] * scale, atol=1e-8)
    assert fit.error < 1e-9
