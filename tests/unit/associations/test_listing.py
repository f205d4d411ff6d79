"""Tables of what was grouped and why something was left out."""

from __future__ import annotations

import pytest

from jwstsm.associations import decide
from jwstsm.associations.listing import association_rows, format_table, left_out, member_rows
from tests.unit.associations.rows import pool, row


def test_one_row_per_product_with_members_by_role():
    outcome = decide(pool(row("mrs", 1), row("mrs", 2, bkgdtarg="t", exposerr="bad")))
    rows = {r["rule"]: r for r in association_rows(outcome.associations)}
    assert rows["Lv3MIRMRS"]["members"] == "1 science + 1 background"
    assert rows["Lv3MIRMRS"]["note"] == "degraded"
    assert rows["Lv3MIRMRS"]["product"] == "jw01234-o001_t001_miri"


def test_one_row_per_member():
    (association,) = decide(pool(row("mrs", 1)), levels=[2]).associations
    assert member_rows(association) == [
        {
            "product": "jw01234001001_02101_00001_mirifulong",
            "role": "science",
            "member": "jw01234001001_02101_00001_mirifulong_rate.fits",
            "error": "null",
        }
    ]


@pytest.mark.parametrize(
    ("mode", "values", "reasons"),
    [
        ("nircam", {"exp_type": "nrc_dark"}, {"2, 3": "no rule takes nrc_dark exposures"}),
        ("coron", {}, {"3": "Lv3MIRCoron for o001: no PSF exposure"}),
        ("wfss", {}, {"2": "Lv2WFSSNIS for o001: no direct image for the grism exposure"}),
        ("nircam", {"exp_type": "nrc_tacq"}, {"3": "no association of its observation to join"}),
        ("soss", {"filter": "f277w"}, {"2": "Lv2SpecTSO: not with exp_type = nis_soss and filter = f277w",
                                       "3": "Lv3TSO: not with exp_type = nis_soss and filter = f277w"}),
        ("msa", {"msametfl": "null"}, {"2": "Lv2NRSMSA: no value in msametfl",
                                       "3": "not with exp_type = nrs_msaspec and msametfl = undefined"}),
        ("slit", {"expspcin": "null"}, {"2": "Lv2NRSFSS: no value in expspcin"}),
        ("ifu", {"patttype": "null"}, {"3": "Lv3NRSIFU: no value in patttype"}),
        ("nircam", {"visitype": "prime_wfsc_routine"}, {"3": "Lv3Image: not with wfsc = yes"}),
    ],
)  # fmt: skip
def test_what_is_left_out_has_a_reason_per_level(mode, values, reasons):
    found = {r["level"]: r["reason"] for r in left_out(decide(pool(row(mode, 1, **values))))}
    assert set(found) == set(reasons)
    for level, reason in reasons.items():
        assert reason in found[level]


def test_a_complete_program_leaves_nothing_out():
    assert left_out(decide(pool(*(row("miri", n) for n in (1, 2))))) == []


def test_an_exposure_outside_the_candidates_asked_for_is_said_to_be():
    outcome = decide(pool(row("miri", 1), row("miri", 2, obs_num=2)), ids=["o001"], levels=[3])
    (found,) = left_out(outcome, [3])
    assert "none of the candidates asked for" in found["reason"]


def test_tables_are_aligned_and_leave_out_empty_columns():
    text = format_table([{"a": "1", "b": "", "long": "x"}, {"a": "222", "b": "", "long": "yy"}])
    assert text == "A    LONG\n1    x\n222  yy\n"
    assert format_table([]) == ""
