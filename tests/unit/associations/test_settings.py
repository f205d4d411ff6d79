"""The configuration section asn from pool to associations."""

from __future__ import annotations

import jsonschema
import pytest

from jwstsm.associations import write_pool
from jwstsm.associations.settings import SCHEMA, decide_with, pool_with
from jwstsm.errors import ConfigError
from tests.unit.associations.rows import pool, row

KEYWORDS = {"PROGRAM": "01234", "EXP_TYPE": "MIR_IMAGE", "INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "FILTER": "F770W",
            "SUBARRAY": "FULL", "TARGNAME": "M33"}  # fmt: skip


def headers(*observations: int):
    return [
        (f"jw01234{o:03d}001_02101_00001_mirimage_uncal.fits", {**KEYWORDS, "OBSERVTN": f"{o:03d}"}) for o in observations
    ]


def test_headers_with_a_declared_group_make_it():
    settings = {"candidates": {"c1000": {"type": "group", "observations": [1, 2]}}, "ids": ["c1000"]}
    made = decide_with(pool_with(headers(1, 2, 3), settings), settings).associations
    assert [(a.asn_id, len(a.products[0].members)) for a in made] == [("c1000", 2)]


def test_a_pool_file_is_cut_down_to_the_files_at_hand(tmp_path, caplog):
    write_pool(pool(*(row("miri", 1, obs_num=o) for o in (1, 2))), tmp_path / "archive_pool.csv")
    settings = {"pool": "archive_pool.csv"}
    table = pool_with(headers(2, 3), settings, tmp_path)
    assert [r["obs_num"] for r in table] == ["2"]
    assert table.name == "archive_pool.csv"
    assert "jw01234003001_02101_00001_mirimage" in caplog.text
    with pytest.raises(ConfigError, match="none of the exposures"):
        pool_with(headers(3), settings, tmp_path)


def test_options_and_edits_are_applied():
    rows = [row("miri", n) for n in (1, 2)]
    settings = {"levels": [3], "version_id": "v1", "edits": [{"drop": "*_00002_mirimage"}]}
    (association,) = decide_with(pool(*rows), settings).associations
    assert association.filename == "jw01234-o001_v1_image3_00001_asn.json"
    assert len(association.products[0].members) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edit": []}, "unknown option edit; known: pool, candidates"),
        ({"ids": ["o001"], "discover": True}, "ids cannot be combined"),
    ],
)
def test_wrong_options_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        decide_with(pool(row("miri", 1)), settings)


def test_overrides_with_a_pool_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="edit the pool file"):
        pool_with(headers(1), {"pool": "x.csv", "overrides": [{"files": "*"}]}, tmp_path)


def test_the_schema_accepts_what_is_documented_and_nothing_else():
    good = {
        "candidates": {"c1000": {"type": "group", "observations": [1, "2"]}}, "ids": ["o001"], "levels": [2],
        "edits": [{"drop": "x"}], "files": ["x.json"], "version_id": None,
    }  # fmt: skip
    jsonschema.validate(good, SCHEMA)
    for bad in ({"edit": []}, {"candidates": {"c1000": {"type": "group"}}}, {"levels": [1]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)
