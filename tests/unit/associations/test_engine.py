"""The engine: keys that grow, and finding groups by look-up."""

from __future__ import annotations

import random

import pytest

from jwstsm.associations.engine import Group, Index, Option, Planner, Run, _agree, _shape
from jwstsm.associations.facts import Exposure
from jwstsm.associations.rules import Path, Rule, Slot, load_rules
from tests.unit.associations.rows import row


def rule(*slots: Slot, single: bool = False) -> Rule:
    return Rule(
        name="Asn_Test", level=2, type="image2", kinds=None, where=(), exclude=(), slots=slots,
        base=tuple(range(len(slots))), paths=(Path(single=single),), roles="level2",
        hard=tuple(i for i, slot in enumerate(slots) if slot.required),
    )  # fmt: skip


def run(*rows: dict[str, str], only: str | None = None, kind: str = "observation") -> list[Group]:
    rules = [r for r in load_rules() if only in (None, r.name.removeprefix("Asn_"))]
    exposures = [Exposure(values, index) for index, values in enumerate(rows)]
    return Run(Planner(rules), ("o001", kind)).process(exposures)


@pytest.mark.parametrize("seed", range(10))
def test_look_up_finds_the_groups_that_trying_all_of_them_finds(seed):
    rng = random.Random(seed)
    made = rule(Slot("a", ("a",), True), Slot("b", ("b",), False), Slot("c", ("c",), False))
    exposure = Exposure(row("miri", 1))

    def key():
        return (rng.choice("12"), rng.choice(["1", "2", None]), rng.choice(["1", "2", "3", None]))

    index, groups = Index(made), []
    for _ in range(60):
        group = Group(made, key(), ("o001", "observation"))
        group.add(exposure, rng.choice(["science", "background"]))
        index.insert(group)
        groups.append(group)
    for group in rng.sample(groups, 10):
        index.remove(group)
        groups.remove(group)
    for single in (False, True):
        for _ in range(30):
            wanted = key()
            found = list(index.find(Option(Path(single=single), wanted, _shape(wanted))))
            expected = [g for g in groups if _agree(g.key, wanted) and not (single and g.has_science)]
            assert len(found) == len({id(g) for g in found})
            assert {id(g) for g in found} == {id(g) for g in expected}


def test_the_first_member_with_a_value_fixes_it_and_an_undefined_one_agrees_with_anything():
    # channel is optional in the set-up of level 2
    rows = [row("mrs", 1, bkgdtarg="t", channel="null"), row("mrs", 2, channel="12"), row("mrs", 3, channel="34")]
    first, second = run(*rows, only="Lv2Spec")
    assert (first.value("channel"), second.value("channel")) == ("12", "34")
    assert [entry.exposure.index for entry in first.entries] == [0, 1]
    assert [entry.exposure.index for entry in second.entries] == [2, 0]  # the background came again


def test_the_columns_of_alternatives_are_not_mixed_up():
    slot = Slot("filter|band", ("filter", "band"), True)
    assert slot.value({"band": "x"}) != slot.value({"filter": "x"})
    assert slot.value({}) is None


def test_a_background_without_science_starts_a_group_that_the_first_science_takes_over():
    rows = [row("miri", 1, bkgdtarg="t"), row("miri", 2), row("miri", 3)]
    groups = run(*rows, only="Lv2Image")
    assert [[entry.role for entry in group.entries] for group in groups] == [
        ["background", "science"],
        ["science", "background"],
    ]


def test_two_small_slits_leave_the_slit_open_and_are_remembered():
    rows = [row("slit", n, fxd_slit=s) for n, s in ((1, "s200a1"), (2, "s200a2"))]
    (group,) = run(*rows, only="Lv3NRSFSS")
    assert group.value("slit") is None
    assert group.slits == {"s200a1", "s200a2"}


def test_a_target_acquisition_does_not_start_a_group_where_it_can_join():
    rows = [row("nircam", 1), row("nircam", 2, pntgtype="target_acquisition", filter="f444w")]
    (group,) = run(*rows, only="Lv3Image")
    assert [entry.role for entry in group.entries] == ["science", "target_acquisition"]


def test_imprints_of_background_targets_join_unless_one_was_offered_just_before():
    background = {"bkgdtarg": "t"}
    rows = [row("ifu", 1, **background), row("ifu", 2, is_imprt="t", **background)]
    rows += [row("ifu", 3, is_imprt="t", **background), row("ifu", 4, **background)]
    groups = run(*rows, only="Lv2SpecSpecial")
    # the second imprint starts its own group: there it counts as science
    assert [[(e.exposure.index, e.role) for e in group.entries] for group in groups] == [
        [(0, "science"), (1, "imprint"), (2, "imprint")],  # the last one came again, after an exposure that is none
        [(2, "science"), (1, "imprint")],
        [(3, "science"), (1, "imprint")],
    ]


def test_rules_that_the_candidate_type_excludes_are_not_tried():
    assert run(row("miri", 1), only="Lv2Image", kind="group") == []
    assert run(row("soss", 1), only="Lv3TSO", kind="background") == []
    assert len(run(row("soss", 1), only="Lv3TSO")) == 1
