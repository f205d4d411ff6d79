"""Frames: the same image from memory and from a file, by rows."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core.frames import FitsFrame, MemoryFrame, Stage3Inputs, group_id, groups
from jwstsm.errors import InputError

KEYS = {"PROGRAM": "01234", "OBSERVTN": "001", "VISIT": "002", "VISITGRP": "03", "SEQ_ID": "1", "ACT_ID": "0a"}


@pytest.fixture
def written(tmp_path):
    """A calibrated image on disk, with what FITS does to unsigned integers, and its arrays."""
    rng = np.random.default_rng(1)
    arrays = {
        "SCI": rng.normal(0, 1, (9, 7)).astype("f4"),
        "ERR": rng.normal(0, 1, (9, 7)).astype("f4"),
        "DQ": rng.integers(0, 2**32, (9, 7), dtype=np.uint32),
        "VAR_RNOISE": rng.normal(0, 1, (9, 7)).astype("f8"),
    }
    header = fits.Header(KEYS | {"EXPOSURE": "00001", "EFFEXPTM": 12.5})
    sci = fits.Header({"BKGLEVEL": 1.5, "BKGSUB": False, "EFFEXPTM": -1.0})
    hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(arrays["SCI"], sci, name="SCI")]
    hdus += [fits.ImageHDU(arrays[n], name=n) for n in ("ERR", "DQ", "VAR_RNOISE")]
    path = tmp_path / "jw_cal.fits"
    fits.HDUList(hdus).writeto(path)
    return path, arrays


def test_rows_of_a_file_are_native_contiguous_and_what_was_written(written):
    path, arrays = written
    frame = FitsFrame(path)
    assert frame.shape == (9, 7)
    for name, extension in (("data", "SCI"), ("err", "ERR"), ("dq", "DQ"), ("var_rnoise", "VAR_RNOISE")):
        rows = frame.read(name, 2, 6)
        assert np.array_equal(rows, arrays[extension][2:6])
        assert rows.dtype == arrays[extension].dtype
        assert rows.dtype.isnative
        assert rows.flags.c_contiguous
        assert rows.flags.writeable
        assert np.array_equal(frame.read(name), arrays[extension])
    assert frame.read("var_flat") is None


def test_writing_into_what_was_read_does_not_reach_the_file(written):
    path, arrays = written
    FitsFrame(path).read("data")[:] = 0
    assert np.array_equal(fits.getdata(path, "SCI"), arrays["SCI"])


def test_headers_are_merged_with_the_primary_first(written):
    frame = FitsFrame(written[0])
    assert frame.header["EFFEXPTM"] == 12.5
    assert frame.sky_level == 1.5
    assert frame.group_id == "jw01234001002_0310a_00001"
    primary, sci = frame.headers()
    assert "NAXIS" not in primary
    assert "NAXIS1" not in sci


def test_world_coordinates_are_loaded_when_they_are_asked_for(written):
    """A function of the path is called once; an object that can be inverted is taken as it is."""
    calls = []
    frame = FitsFrame(written[0], lambda path: calls.append(path) or "the wcs")
    assert calls == []
    assert (frame.wcs, frame.wcs) == ("the wcs", "the wcs")
    assert calls == [written[0]]


def test_memory_frames_give_copies_of_rows():
    data = np.arange(12, dtype=">f4").reshape(3, 4)
    frame = MemoryFrame({"data": data}, header={"BKGLEVEL": 2.0, "BKGSUB": True}, name="x")
    rows = frame.read("data", 1, 3)
    assert rows.dtype.isnative
    rows[:] = 0
    assert data.sum() == 66
    assert frame.read("dq") is None
    assert frame.sky_level is None, "a sky that was subtracted is not pending"


@pytest.mark.parametrize("damage", ["cut in a header", "cut in an array", "no SCI", "absent"])
def test_a_damaged_file_is_named_in_one_message(written, tmp_path, damage):
    path = written[0]
    if damage.startswith("cut"):
        path.write_bytes(path.read_bytes()[: 1000 if "header" in damage else 2880 * 2 + 100])
    elif damage == "no SCI":
        fits.PrimaryHDU().writeto(path, overwrite=True)
    else:
        path = tmp_path / "absent_cal.fits"
    with pytest.raises(InputError, match=path.name):
        FitsFrame(path)


def test_detectors_of_one_exposure_form_a_group_and_an_incomplete_header_stands_alone():
    make = lambda name, **keys: MemoryFrame({"data": np.zeros((2, 2))}, header=keys, name=name)  # noqa: E731
    frames = [make(n, **KEYS, EXPOSURE=e) for n, e in (("a", "1"), ("b", "2"), ("c", "1"))] + [make("d", PROGRAM="1")]
    assert list(groups(frames).values()) == [[0, 2], [1], [3]]
    assert group_id({}, "fallback") == "fallback"


def test_an_association_without_members_is_refused():
    with pytest.raises(InputError, match="names no science exposure"):
        Stage3Inputs([], association="x_asn.json")
