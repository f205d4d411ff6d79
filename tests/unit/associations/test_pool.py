"""Reading and writing pools, and what is said about bad ones."""

from __future__ import annotations

import pytest

from jwstsm.associations import Pool, PoolError, read_pool, write_pool
from jwstsm.associations.pool import parse_candidates
from tests.unit.associations.rows import pool, row

GOOD = (
    "FILENAME|PROGRAM|EXP_TYPE|INSTRUME|ASN_CANDIDATE\n"
    "# a comment\n"
    "\n"
    "JW_2_uncal.fits|1234|NRC_IMAGE|NIRCAM|[('o001', 'OBSERVATION')]\n"
    "jw_1_uncal.fits|1234|NRC_IMAGE||[('o001', 'OBSERVATION')]\n"
)


def written(tmp_path, text: str):
    path = tmp_path / "pool.csv"
    path.write_text(text)
    return path


def test_cells_are_lower_case_empty_cells_undefined_and_rows_sorted(tmp_path):
    table = read_pool(written(tmp_path, GOOD))
    assert [r["filename"] for r in table] == ["jw_1_uncal.fits", "jw_2_uncal.fits"]
    assert table.rows[0]["instrume"] == "null"
    assert table.rows[1]["exp_type"] == "nrc_image"
    assert table.name == "pool.csv"


def test_a_written_pool_reads_back_the_same(tmp_path):
    table = pool(row("nircam", 1), row("slit", 2, candidates=[("c1000", "background")]))
    again = read_pool(write_pool(table, tmp_path / "sub" / "pool.csv"))
    assert (again.rows, again.columns) == (table.rows, table.columns)
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["pool.csv"]


def test_another_separator_can_be_named(tmp_path):
    assert len(read_pool(written(tmp_path, GOOD.replace("|", "~")), "~")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "the file is empty"),
        (lambda t: t.replace("|EXP_TYPE", "").replace("|NRC_IMAGE", ""), "column exp_type is missing"),
        (lambda t: t.replace("|", ";"), r"is '\|' the separator"),
        (lambda t: t.replace("INSTRUME", "EXP_TYPE"), "instrume is missing"),
        (lambda t: t.replace("FILENAME|", "FILENAME|program|").replace("fits|", "fits|1|"), "program appears twice"),
        (lambda t: t.replace("NIRCAM|", ""), "line 4: 4 cells but 5 columns"),
        (lambda t: t.replace("jw_1_uncal.fits", "null"), "line 5: column filename is empty"),
        (lambda t: t.replace("[('o001', 'OBSERVATION')]\njw", "o001\njw"), "line 4, column asn_candidate: cannot read"),
        (lambda t: t.replace("[('o001', 'OBSERVATION')]\njw", "1000\njw"), "asn_candidate: cannot read '1000'"),
        (lambda t: t.replace("jw_1", "jw_2"), "two rows that differ in instrume"),
    ],
)  # fmt: skip
def test_a_malformed_pool_is_refused_with_place_and_remedy(tmp_path, change, message):
    with pytest.raises(PoolError, match=message) as caught:
        read_pool(written(tmp_path, change(GOOD)))
    assert "pool.csv" in str(caught.value)
    assert ";" in str(caught.value)  # what is wrong; what to do


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(PoolError, match=r"nowhere\.csv: no such pool file"):
        read_pool(tmp_path / "nowhere.csv")
    (tmp_path / "image.fits").write_bytes(bytes(range(128, 256)) * 30)
    with pytest.raises(PoolError, match=r"image\.fits: not a text table"):
        read_pool(tmp_path / "image.fits")


def test_rows_that_differ_only_in_candidates_are_merged_with_a_note():
    one, two = row("nircam", 1), row("nircam", 1, candidates=[("c1000", "group")])
    table = pool(one, two)
    assert len(table) == 1
    assert parse_candidates(table.rows[0]["asn_candidate"]) == (("o001", "observation"), ("c1000", "group"))
    assert "more than once" in table.notes[0]


def test_candidates_are_grouped_by_type_with_their_rows():
    table = pool(row("nircam", 1), row("nircam", 2, obs_num=2, candidates=[("c1000", "group")]))
    assert table.candidates() == {
        ("o001", "observation"): [0],
        ("o002", "observation"): [1],
        ("c1000", "group"): [1],
    }


def test_an_empty_pool_makes_nothing():
    from jwstsm.associations import generate

    assert generate(Pool([], ["filename"])) == []
