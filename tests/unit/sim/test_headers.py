"""Headers and extensions of uncal files."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

NEEDED = [
    "DATE-OBS",
    "TIME-OBS",
    "PROGRAM",
    "OBSERVTN",
    "VISIT",
    "VISITGRP",
    "SEQ_ID",
    "ACT_ID",
    "EXPOSURE",
    "TARGNAME",
    "TARGPROP",
    "VISITYPE",
    "TSOVISIT",
    "BKGDTARG",
    "INSTRUME",
    "DETECTOR",
    "MODULE",
    "CHANNEL",
    "FILTER",
    "PUPIL",
    "EXP_TYPE",
    "READPATT",
    "NINTS",
    "NGROUPS",
    "NFRAMES",
    "GROUPGAP",
    "TFRAME",
    "TGROUP",
    "EFFINTTM",
    "NOUTPUTS",
    "FRMDIVSR",
    "SUBARRAY",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "FASTAXIS",
    "SLOWAXIS",
    "PATT_NUM",
    "NUMDTHPT",
    "PATTTYPE",
    "APERNAME",
    "EXPSTART",
    "EXPMID",
    "EXPEND",
    "ZEROFRAM",
    "NRSTSTRT",
    "NRESETS",
    "DATAMODL",
    "FILENAME",
    "TELESCOP",
]
POINTING = [
    "V2_REF",
    "V3_REF",
    "VPARITY",
    "V3I_YANG",
    "RA_REF",
    "DEC_REF",
    "ROLL_REF",
    "VA_SCALE",
    "RA_V1",
    "DEC_V1",
    "PA_V3",
    "S_REGION",
]


def test_uncal_files_hold_what_the_pipeline_reads(program):
    assert len(program.uncal) == 3
    for path in program.uncal:
        with fits.open(path) as hdus:
            assert not set(NEEDED) - set(hdus[0].header)
            assert not set(POINTING) - set(hdus["SCI"].header)
            assert hdus["SCI"].data.dtype == np.uint16
            assert hdus["SCI"].data.shape == (
                hdus[0].header["NINTS"],
                hdus[0].header["NGROUPS"],
                hdus[0].header["SUBSIZE2"],
                hdus[0].header["SUBSIZE1"],
            )
            assert path.name == hdus[0].header["FILENAME"]


def test_official_data_models_open_the_files_strictly(program):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    for path in program.uncal:
        with datamodels.open(path, strict_validation=True) as model:
            assert type(model).__name__ == "Level1bModel"
            model.validate()
            assert model.meta.velocity_aberration.scale_factor == pytest.approx(1, abs=1.1e-4)
            assert model.data.ndim == 4
            # keywords that the archive's files do not have would be kept apart
            assert not hasattr(model, "extra_fits")


def test_zero_frames_go_with_averaged_frames(program):
    for path in program.uncal:
        with fits.open(path) as hdus:
            header = hdus[0].header
            assert header["ZEROFRAM"] == (header["NFRAMES"] > 1) == ("ZEROFRAME" in hdus)
            if header["ZEROFRAM"]:
                assert hdus["ZEROFRAME"].data.dtype == np.uint16
                assert (hdus["ZEROFRAME"].data <= hdus["SCI"].data[:, 0] + 40.0).mean() > 0.9


def test_times_agree_with_one_another(program):
    for path in program.uncal:
        with fits.open(path) as hdus:
            header, groups, integrations = hdus[0].header, hdus["GROUP"].data, hdus["INT_TIMES"].data
        start = Time(header["DATE-BEG"]).mjd
        assert start == pytest.approx(header["EXPSTART"], abs=2e-8)
        assert integrations["int_start_MJD_UTC"][0] == pytest.approx(header["EXPSTART"], abs=1e-10)
        assert integrations["int_end_MJD_UTC"][-1] == pytest.approx(header["EXPEND"], abs=1e-10)
        length = (integrations["int_end_MJD_UTC"] - integrations["int_start_MJD_UTC"]) * 86400
        np.testing.assert_allclose(length, header["EFFINTTM"], atol=1e-5)
        assert len(groups) == header["NINTS"] * header["NGROUPS"]
        last = Time(groups["group_end_time"][-1]).mjd
        assert last == pytest.approx(header["EXPEND"], abs=1e-9)


def test_header_pointing_is_the_nominal_one_and_the_truth_differs_by_the_injected_error(program):
    from astropy.table import Table

    table = Table.read(program.pointing)
    for path, row in zip(program.uncal, table, strict=True):
        header = fits.getheader(path, "SCI")
        east = (row["ra_true"] - header["RA_REF"]) * np.cos(np.radians(header["DEC_REF"])) * 3600
        north = (row["dec_true"] - header["DEC_REF"]) * 3600
        injected = np.hypot(row["shift_v2"], row["shift_v3"])
        assert injected > 1e-3
        assert np.hypot(east, north) == pytest.approx(injected, abs=0.012)
