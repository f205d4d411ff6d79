"""The rule table: complete, well formed, and refused when it says nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from jwstsm import tables
from jwstsm.associations.facts import Exposure, rule_file, vocabulary
from jwstsm.associations.pool import UNDEFINED
from jwstsm.associations.rules import RuleError, _rule, conditions, holds, load_rules, rule_names
from tests.unit.associations.rows import row


def test_there_are_22_rules_per_level():
    assert {level: len(names) for level, names in rule_names().items()} == {2: 22, 3: 22}
    # one of level 3 only hands target acquisitions to the others
    assert len(load_rules()) == 43


def test_every_kind_of_exposure_in_a_rule_is_spelt_as_in_the_exposure_type_table():
    path = Path(tables.__file__).with_name("exposure_types.csv")
    known = {line.split(",")[0].lower() for line in path.read_text().splitlines()[1:]}
    used = {kind for rule in load_rules() for kind in rule.kinds or ()}
    assert used - known == set()


def test_every_column_in_a_rule_is_a_pool_column():
    from jwstsm.associations.headers import column_table

    columns = set(column_table()) | {"subpxpns"}  # the older name of subpxpts
    used = {column for rule in load_rules() for slot in rule.slots for column in slot.columns}
    facts = {"tso", "wfsc", "nonscience_image", "lit_slit", "lit_ifu", "lit_lamp", "lit_mask"}
    used |= {column for rule in load_rules() for column, _ in rule.where}
    used |= {column for rule in load_rules() for tests in rule.exclude for column, _ in tests}
    used |= {column for rule in load_rules() for path in rule.paths for column, _ in path.when}
    assert used - facts <= columns


def test_a_misspelt_field_is_refused_with_rule_and_field():
    with pytest.raises(RuleError, match="Asn_X: unknown field sames"):
        _rule("Asn_X", {"type": "image2", "sames": ["filter"]}, 2, rule_file())
    with pytest.raises(RuleError, match="Asn_X: unknown field whn"):
        _rule("Asn_X", {"type": "image2", "members": [{"whn": {}}]}, 2, rule_file())


def test_conditions_read_set_unset_values_and_undefined():
    tests = conditions({"a": "set", "b": "unset", "c": ["x", "undefined"], "d": True})
    assert holds(tests, {"a": "1", "d": True})
    assert holds(tests, {"a": "1", "c": "x", "d": True})
    assert not holds(tests, {"a": "1", "c": "y", "d": True})
    assert not holds(tests, {"a": "1", "b": "1", "d": True})
    assert not holds(tests, {"d": True})


@pytest.mark.parametrize(
    ("values", "role"),
    [
        ({}, "science"),
        ({"bkgdtarg": "t"}, "background"),
        ({"bkgdtarg": "t", "is_imprt": "t"}, "imprint"),
        ({"bkgdtarg": "t", "is_imprt": "t", "is_psf": "t"}, "psf"),
        ({"exp_type": "nrc_tacq", "is_psf": "t"}, "target_acquisition"),
        ({"exp_type": "nrs_autowave"}, "autowave"),
        ({"exp_type": "nrc_dark"}, "dark"),
        ({"pntgtype": "target_acquisition"}, "target_acquisition"),
    ],
)
def test_roles_follow_pointing_then_kind_then_flags(values, role):
    assert Exposure(row("nircam", 1, **values)).role == role


@pytest.mark.parametrize("word", sorted(UNDEFINED))
def test_a_flag_with_a_word_for_undefined_is_not_set(word):
    assert Exposure(row("nircam", 1, bkgdtarg=word)).role == "science"


@pytest.mark.parametrize(
    ("mode", "values", "fact", "answer"),
    [
        ("slit", {}, "lit_slit", True),
        ("slit", {"detector": "nrs2"}, "lit_slit", False),  # medium gratings end on NRS1
        ("slit", {"detector": "nrs2", "fxd_slit": "s200b1"}, "lit_slit", True),
        ("slit", {"fxd_slit": "null"}, "lit_slit", False),
        ("ifu", {"detector": "nrs2"}, "lit_ifu", True),
        ("ifu", {"detector": "nrs2", "grating": "prism", "filter": "clear"}, "lit_ifu", False),
        ("nircam", {"detector": "nrs2"}, "lit_ifu", True),  # not an IFU exposure: nothing to say
        ("slit", {"opmode": "ifu", "grating": "g140h", "lamp": "flat4", "detector": "nrs2"}, "lit_lamp", False),
        ("slit", {"opmode": "ifu", "grating": "g140h", "lamp": "flat1", "detector": "nrs2"}, "lit_lamp", True),
        ("slit", {"opmode": "msaspec"}, "lit_lamp", True),
        ("slit", {"opmode": "fixedslit", "lamp": "line3"}, "lit_lamp", True),
        ("slit", {"opmode": "fixedslit", "lamp": "line4"}, "lit_lamp", False),
        ("nircam", {"pupil": "maskrnd", "detector": "nrca2"}, "lit_mask", True),
        ("nircam", {"pupil": "maskrnd", "detector": "nrca4"}, "lit_mask", False),
        ("nircam", {"pupil": "maskrnd", "detector": "nrca4", "subarray": "sub320"}, "lit_mask", True),
        ("soss", {}, "tso", True),
        ("soss", {"pntgtype": "target_acquisition"}, "tso", False),
        ("nircam", {"exp_type": "nrc_tsimage"}, "tso", True),
    ],
)
def test_facts(mode, values, fact, answer):
    assert Exposure(row(mode, 1, **values)).values[fact] is answer


def test_the_lists_have_no_kind_twice_over():
    lists = vocabulary().lists
    assert lists["calibrated"] == lists["image2"] | lists["image2_other"] | lists["spec2"]
    assert not lists["image2"] & lists["spec2"]
