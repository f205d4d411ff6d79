"""Headers of a mosaic from those of its inputs."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from jwstsm.core.blend import apply_blended, blend, header_table, rules

ONE = {
    "EXPSTART": 60001.0,
    "EXPEND": 60002.0,
    "EXPMID": 60001.5,
    "DURATION": 10.0,
    "DETECTOR": "NRCA1",
    "FILTER": "F200W",
}
ONE |= {"DATE-OBS": "2024-01-02", "FWPOSTOL": "within commanded tolerance", "FWPOSOFF": 0.1}
TWO = {
    "EXPSTART": 60000.0,
    "EXPEND": 60003.0,
    "EXPMID": 60002.5,
    "DURATION": 20.0,
    "DETECTOR": "NRCA2",
    "FILTER": "F200W",
}
TWO |= {"DATE-OBS": "2024-01-01", "FWPOSTOL": "outside calibration tolerance", "FWPOSOFF": 0.3}


def test_each_rule_does_what_its_name_says():
    found = blend([ONE, TWO])
    assert found["EXPSTART"] == 60000.0
    assert found["EXPEND"] == 60003.0
    assert found["EXPMID"] == 60002.0
    assert found["DURATION"] == 30.0
    assert found["DATE-OBS"] == "2024-01-01"
    assert (found["DETECTOR"], found["FILTER"]) == ("MULTIPLE", "F200W")
    assert found["FWPOSTOL"] == "outside calibration tolerance"
    assert found["FWPOSOFF"] == 0.3


def test_inputs_that_lack_a_keyword_do_not_count_for_it():
    assert blend([{"DURATION": 5.0}, {}, {"DURATION": None}]) == {"DURATION": 5.0}


def test_only_keywords_that_the_first_input_has_are_changed_and_stale_ones_go():
    primary = fits.Header({"DETECTOR": "NRCA1", "TARGNAME": "M1", "BKGLEVEL": 1.0, "FILENAME": "a.fits"})
    sci = fits.Header({"PIXAR_SR": 1e-14, "BUNIT": "MJy/sr"})
    apply_blended(primary, sci, [ONE, TWO])
    assert dict(primary) == {"DETECTOR": "MULTIPLE", "TARGNAME": "M1"}
    assert dict(sci) == {"BUNIT": "MJy/sr"}


def test_table_has_a_row_per_input_and_keeps_kinds():
    """Texts, integers, reals and truth values; gaps are NaN; keywords that nobody has are no column."""
    rows = header_table(
        [
            {"FILENAME": "a.fits", "NINTS": 1, "EXPSTART": 1.5, "TSOVISIT": False},
            {"FILENAME": "longer.fits", "NINTS": 2, "EXPSTART": 2.5, "TSOVISIT": True, "NGROUPS": 4},
        ]
    )
    assert rows.dtype.names == ("FILENAME", "TSOVISIT", "EXPSTART", "NINTS", "NGROUPS")
    assert [rows.dtype[n].kind for n in rows.dtype.names] == ["U", "b", "f", "i", "f"]
    assert np.isnan(rows["NGROUPS"][0])
    back = fits.BinTableHDU(rows).data
    assert list(back["FILENAME"]) == ["a.fits", "longer.fits"]
    assert list(back["TSOVISIT"]) == [False, True]


def test_the_table_of_rules_names_each_keyword_once():
    table = rules()
    named = [k for keywords in table["rules"].values() for k in keywords]
    assert len(named) == len(set(named))
    assert len(table["table"]) == len(set(table["table"]))
    assert set(named) <= set(table["table"])
    assert all(isinstance(k, str) and len(k) <= 8 for k in table["table"])
