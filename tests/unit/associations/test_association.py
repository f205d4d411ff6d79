"""Association files: names, contents, and what is said about bad ones."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jwstsm.associations import Association, AssociationError, Member, Product, generate, read, validate, write
from tests.unit.associations.rows import MODES, pool, row


def test_files_are_named_after_program_candidate_type_and_number_with_an_optional_stamp():
    one, *_ = generate(pool(row("miri", 1)), levels=[3])
    assert one.filename == "jw01234-o001_image3_00001_asn.json"
    one, *_ = generate(pool(row("miri", 1)), levels=[3], version_id="20260101t000000")
    assert one.filename == "jw01234-o001_20260101t000000_image3_00001_asn.json"
    one, *_ = generate(pool(row("miri", 1)), levels=[3], version_id=True)
    assert len(one.version_id) == 15


def test_the_content_has_the_archives_fields_in_order():
    content = generate(pool(row("miri", 1)), levels=[3])[0].to_dict()
    assert list(content) == [
        "asn_type", "asn_rule", "version_id", "code_version", "degraded_status", "program", "constraints", "asn_id",
        "target", "asn_pool", "products",
    ]  # fmt: skip
    assert list(content["products"][0]["members"][0]) == ["expname", "exptype", "exposerr", "asn_candidate"]
    assert "filter=f770w" in content["constraints"]


def test_a_member_with_an_error_makes_the_association_degraded():
    good, bad = generate(pool(row("miri", 1), row("miri", 2, exposerr="moon in view")), levels=[2])[::-1]
    assert good.to_dict()["degraded_status"].startswith("No known")
    assert bad.to_dict()["degraded_status"].startswith("One or more")
    assert bad.products[0].members[0].exposerr == "moon in view"


def test_written_files_read_back_the_same_and_nothing_else_is_left(tmp_path):
    made = generate(pool(row("miri", 1), row("wfss", 2), row("niriss", 3)))
    files = write(made, tmp_path / "asn")
    assert sorted(p.name for p in (tmp_path / "asn").iterdir()) == sorted(p.name for p in files)
    for association, file in zip(made, files, strict=True):
        again = read(file)
        assert again.to_dict() == association.to_dict()
        assert (again.level, again.filename) == (association.level, association.filename)


def test_a_hand_written_file_needs_only_products_and_members(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"products": [{"members": [{"expname": "jw1_cal.fits", "exptype": "SCIENCE"}]}]}))
    mine = read(path)
    assert (mine.level, mine.type, mine.products[0].name) == (3, "user_built", "jw1")
    assert mine.filename == "mine.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a valid association at top level"),
        ('{"products": []}', "at products"),
        ('{"products": [{"name": "x", "members": []}]}', "at products/0/members"),
        ('{"products": [{"name": "x", "members": [{"expname": "a"}]}]}', "at products/0/members/0: 'exptype'"),
        ('{"products": [{"members": [{"expname": "a", "exptype": "psf"}]}]}', "product 0 has no member .* 'science'"),
        ('{"products": [{"members": [{"expname": "a", "exptype": "science"}]}]}', "cannot tell the level"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_place(tmp_path, text, message):
    path = tmp_path / "bad_asn.json"
    path.write_text(text)
    with pytest.raises(AssociationError, match=rf"bad_asn\.json.*{message}"):
        read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AssociationError, match="no such association file"):
        read(tmp_path / "none.json")


def test_an_invalid_association_is_not_written(tmp_path):
    empty = Association(3, "r", "image3", "o001", "observation", "01234", "t001", [Product("p", [])])
    with pytest.raises(AssociationError, match="members"):
        write([empty], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: a.products.clear(),
        lambda a: a.products[0].members.clear(),
        lambda a: setattr(a, "asn_id", "o-1"),
        lambda a: setattr(a, "version_id", 1),
        lambda a: setattr(a.products[0], "name", ""),
        lambda a: setattr(a.products[0].members[0], "expname", None),
        lambda a: setattr(a.products[0].members[0], "exposerr", 1),
        lambda a: setattr(a.products[0].members[0], "candidate", 1),
    ],
)
def test_the_quick_check_before_writing_lets_nothing_pass_that_the_schema_refuses(tmp_path, spoil):
    (association,) = generate(pool(row("miri", 1)), levels=[3])
    validate(association.to_dict(), "sound")
    spoil(association)
    with pytest.raises(AssociationError):
        validate(association.to_dict(), "spoilt")
    with pytest.raises(AssociationError):
        write([association], tmp_path)


def test_every_mode_passes_the_schema():
    for association in generate(pool(*(row(mode, n) for n, mode in enumerate(MODES)))):
        validate(association.to_dict(), association.filename)


def test_reading_and_grouping_pools_imports_nothing_heavy():
    code = (
        "import sys, jwstsm.associations\n"
        "heavy = {'numpy', 'astropy', 'snakemake', 'jsonschema', 'asdf', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_validation_names_the_place():
    with pytest.raises(AssociationError, match=r"here: .* at products/0/members/0/expname"):
        validate({"products": [{"members": [{"expname": 1, "exptype": "science"}]}]}, "here")


def test_members_are_found_by_role():
    product = Product("p", [Member("a"), Member("b", "psf"), Member("c")])
    assert product.with_role("science") == ["a", "c"]
    assert product.with_role("psf", "background") == ["b"]
