"""A pool from the headers of uncal files."""

from __future__ import annotations

import pytest
from astropy.io import fits

from jwstsm.associations import PoolError, from_headers, generate
from jwstsm.associations.headers import column_table
from tests.unit.associations.archive import DATA


def header(**keywords) -> dict:
    return {
        "PROGRAM": "01234", "OBSERVTN": "002", "VISIT": "001", "VISITGRP": "02", "SEQ_ID": "1", "ACT_ID": "01",
        "EXP_TYPE": "NRC_IMAGE", "INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "CHANNEL": "SHORT", "FILTER": "F200W",
        "PUPIL": "CLEAR", "SUBARRAY": "FULL", "VISITYPE": "PRIME_TARGETED_FIXED", "TARGNAME": "M 33",
        "TSOVISIT": False, "PATT_NUM": 3,
    } | keywords  # fmt: skip


def named(number: int, detector: str = "nrca1", obs: int = 2) -> str:
    return f"/data/uncal/jw01234{obs:03d}001_02101_{number:05d}_{detector}_uncal.fits"


def test_keywords_become_the_archives_columns():
    table = from_headers([(named(1), header())])
    assert table.columns == list(column_table())
    expected = {
        "filename": "jw01234002001_02101_00001_nrca1_uncal.fits", "program": "1234", "obs_num": "2", "act_id": "01",
        "exp_type": "nrc_image", "targetid": "1", "pntgtype": "science", "tsovisit": "f", "bkgdtarg": "f",
        "expspcin": "1", "dithptin": "3", "mostilno": "1", "grating": "null",
        "asn_candidate": "[('o002', 'observation')]",
    }  # fmt: skip
    assert {name: table.rows[0][name] for name in expected} == expected


def test_targets_are_numbered_per_program_in_file_order_whatever_the_order_of_arrival():
    rows = [
        (named(3), header(TARGNAME="B")),
        (named(1), header(TARGNAME="A")),
        (named(2), header(TARGNAME="A")),
        ("jw09999001001_02101_00001_nrca1_uncal.fits", header(PROGRAM="09999", TARGNAME="Z")),
    ]
    numbers = [row["targetid"] for row in from_headers(rows)]
    assert numbers == ["1", "1", "2", "1"]
    assert from_headers(rows[::-1]).rows == from_headers(rows).rows


def test_nameless_targets_of_different_observations_stay_apart():
    rows = [(named(1, obs=o), header(OBSERVTN=f"{o:03d}", TARGNAME="", TARGPROP="UNKNOWN")) for o in (1, 2)]
    assert [row["targetid"] for row in from_headers(rows)] == ["1", "2"]


def test_activities_number_the_exposure_specifications():
    rows = [(named(n), header(ACT_ID=act)) for n, act in ((1, "01"), (2, "0A"), (3, "01"), (4, "02"))]
    assert [row["expspcin"] for row in from_headers(rows)] == ["1", "3", "1", "2"]


def test_flags_are_t_or_f_so_that_a_time_series_is_one():
    rows = [(named(n), header(EXP_TYPE="MIR_IMAGE", INSTRUME="MIRI", TSOVISIT=True, BKGDTARG="T")) for n in (1,)]
    (row,) = from_headers(rows)
    assert (row["tsovisit"], row["bkgdtarg"]) == ("t", "t")


def test_declared_candidates_tie_observations():
    groups = {"c1000": {"type": "background", "observations": [1, 2]}, "c1001": {"type": "group", "observations": [3]}}
    rows = [(named(1, obs=o), header(OBSERVTN=f"{o:03d}")) for o in (1, 3)]
    texts = [row["asn_candidate"] for row in from_headers(rows, candidates=groups)]
    assert texts == [
        "[('o001', 'observation'), ('c1000', 'background')]",
        "[('o003', 'observation'), ('c1001', 'group')]",
    ]
    other = {"c1000": {"type": "group", "observations": [1], "program": 77}}
    assert from_headers(rows, candidates=other).rows[0]["asn_candidate"] == "[('o001', 'observation')]"


def test_overrides_set_columns_of_matching_files():
    rows = [(named(n), header()) for n in (1, 2)]
    table = from_headers(rows, overrides=[{"files": "*_00002_*", "is_imprt": True, "targetid": 7}])
    assert [(row["is_imprt"], row["targetid"]) for row in table] == [("f", "1"), ("t", "7")]


@pytest.mark.parametrize("keyword", ["PROGRAM", "OBSERVTN", "EXP_TYPE", "INSTRUME", "DETECTOR"])
def test_a_header_that_cannot_be_placed_is_refused_with_file_and_keyword(keyword):
    bad = header()
    del bad[keyword]
    with pytest.raises(PoolError, match=f"00001_nrca1_uncal.fits: the primary header has no {keyword}"):
        from_headers([(named(1), bad)])


@pytest.mark.parametrize(
    "options",
    [
        {"candidates": {"c10": {"type": "group", "observations": [1]}}},
        {"candidates": {"c1000": {"type": "group"}}},
        {"overrides": [{"is_imprt": "t"}]},
        {"overrides": [{"files": "*", "colour": "red"}]},
        {"overrides": [{"files": "*", "asn_candidate": "o001"}]},
    ],
)
def test_malformed_options_are_refused(options):
    with pytest.raises(PoolError):
        from_headers([(named(1), header())], **options)


def test_flight_headers_group_as_coronagraphic_psf_exposures():
    files = sorted((DATA / "headers").glob("jw*_uncal.fits"))
    if not files:
        pytest.skip(f"no flight headers in {DATA / 'headers'}")
    made = generate(from_headers((file, fits.getheader(file)) for file in files))
    assert {a.rule for a in made} == {"candidate_Asn_Lv2ImageSpecial", "candidate_Asn_Lv2CoronAsRate"}
    # NRCA2 alone has the occulted target of MASKRND: its integrations are kept apart
    assert [m.expname for a in made for m in a.products[0].members if "rateints" in m.expname] == [
        "jw01075001001_03105_00009_nrca2_rateints.fits"
    ]
