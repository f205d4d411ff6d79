"""Lines of multistripe readouts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.errors import InputError
from jwstsm.products.stripes import Stripes
from jwstsm.references import ReferenceFile, Window
from tests.builders import make_ramp

NAMES = ("MSTR_RD1", "MSTR_SK1", "MSTR_RD2", "MSTR_SK2", "MSTR_RPT", "MSTR_ILV", "SSTR_STP", "SSTR_NST")


def stripes(*values, size, start=1, slowaxis=2, subarray="SUB"):
    """Return the readout of keywords in the order of NAMES."""
    header = dict(zip(NAMES, values, strict=True)) | {"SUBARRAY": subarray}
    return Stripes.from_header(header.get, size, start, slowaxis, 2048, "file")


def test_stripes_one_after_the_other():
    found = stripes(1, 2, 3, 4, 0, 0, 0, 0, size=7)
    assert found.lines().tolist() == [0, 3, 4, 5, 10, 11, 12]
    assert found.science == [(3, 1), (10, 4)]


def test_repeated_stripes_go_back_to_the_start_and_move_on_when_interleaved():
    assert stripes(1, 2, 2, 5, 1, 0, 0, 0, size=6).lines().tolist() == [0, 3, 4, 0, 3, 4]
    assert stripes(1, 2, 2, 5, 1, 1, 0, 0, size=9).lines().tolist() == [0, 3, 4, 0, 10, 11, 0, 17, 18]


def test_a_moving_stripe_starts_a_step_later_at_each_position():
    found = stripes(1, 2, 0, 0, 0, 0, 4, 3, size=5)
    assert found.lines().tolist() == [0, 3, 4, 5, 6]
    assert dataclasses.replace(found, position=2).lines().tolist() == [0, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("start", "slowaxis", "subarray", "first"),
    [(3, 2, "SUB", 2), (2046, -2, "SUB", 2), (1, -2, "SUB", 0), (3, 2, "SUB164STRIPE4_DHS", 0)],
)
def test_the_start_is_counted_in_the_direction_of_reading(start, slowaxis, subarray, first):
    assert stripes(1, 0, 1, 0, 0, 0, 0, 0, size=2, start=start, slowaxis=slowaxis, subarray=subarray).lines()[0] == first


def test_keywords_that_do_not_make_the_frame_are_refused_and_other_readouts_have_no_stripes():
    with pytest.raises(InputError, match="do not make frames of 6 lines"):
        stripes(1, 2, 3, 4, 0, 0, 0, 0, size=6)
    assert make_ramp(1, 1, 8, 8).readout.stripes is None


def test_references_are_cut_to_the_lines_in_the_direction_of_the_file():
    header = dict(zip(NAMES, (1, 2, 3, 4, 0, 0, 0, 0), strict=True))
    for slowaxis, start, expected in (
        (2, 1, [0, 3, 4, 5, 10, 11, 12]),
        (-2, 2048, [2035, 2036, 2037, 2042, 2043, 2044, 2047]),
    ):
        ramp = make_ramp(1, 1, 7, 8, FASTAXIS=1, SLOWAXIS=slowaxis, SUBSTRT2=start, **header)
        np.testing.assert_array_equal(Window.of(ramp.readout).lines, expected)


def test_reference_arrays_hold_the_lines_of_the_frame_and_files_in_its_shape_are_taken_whole(tmp_path):
    header = dict(zip(NAMES, (1, 2, 3, 4, 0, 0, 0, 0), strict=True))
    window = Window.of(make_ramp(1, 1, 7, 8, FASTAXIS=1, SLOWAXIS=2, SUBSTRT1=5, **header).readout)
    full = np.arange(2048, dtype="f4")[:, None] * np.ones(16, "f4") + np.arange(16, dtype="f4") / 100
    primary = fits.PrimaryHDU()
    fits.HDUList([primary, fits.ImageHDU(full, name="SCI")]).writeto(tmp_path / "full.fits")
    found = ReferenceFile(tmp_path / "full.fits", "gain", window).array("SCI")
    np.testing.assert_allclose(found, full[[0, 3, 4, 5, 10, 11, 12], 4:12])
    fits.HDUList([primary, fits.ImageHDU(np.ones((2, 7, 8), "f4"), name="SCI")]).writeto(tmp_path / "cut.fits")
    assert ReferenceFile(tmp_path / "cut.fits", "dark", window).array("SCI").shape == (2, 7, 8)
