"""Grouping: which exposures of a pool form associations, rule by rule.

The method. Every exposure is turned once into a *key* per rule: the values of the rule's columns, ``None`` where
the exposure has none (it then agrees with anything). A group is a key that grows: the first member with a value
fixes it. Groups are kept in dictionaries by key, so that an exposure finds its groups by look-up instead of by
trying all of them; only keys that leave different columns open are compared one by one.

Exposures are taken in file name order, in three passes, as the official generator's queues do: all exposures,
which may start groups; then those that a rule wants to see again (backgrounds, imprints, targets that may differ),
which may only join; last the direct images and target acquisitions. The order decides little but must be the same
for the same numbers to come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jwstsm.associations.facts import Exposure
from jwstsm.associations.rules import Path, Rule, holds

Key = tuple[str | None, ...]
_MIXED_SLITS = frozenset({"s200a1", "s200a2"})  # taken together in one exposure sequence


class Entry(NamedTuple):
    """A member of a group; ``in_tso``: the group was known to be of a time-series visit when it joined."""

    exposure: Exposure
    role: str
    in_tso: bool


class Group:
    """An association in the making."""

    __slots__ = (
        "candidate",
        "entries",
        "files",
        "has_science",
        "key",
        "last_role",
        "observations",
        "rule",
        "slits",
    )

    def __init__(self, rule: Rule, key: Key, candidate: tuple[str, str]) -> None:
        self.rule, self.key, self.candidate = rule, key, candidate
        self.entries: list[Entry] = []
        self.files: set[str] = set()
        self.observations: set[str] = set()
        self.slits: set[str] = set()
        self.has_science = False
        self.last_role: str | None = None

    def add(self, exposure: Exposure, role: str) -> None:
        """Append a member."""
        self.entries.append(Entry(exposure, role, self.value("tsovisit") == "t"))
        self.files.add(exposure.filename)
        self.has_science = self.has_science or role == "science"

    def value(self, name: str) -> str | None:
        """Return the value that all members share in a column of the rule."""
        for slot, value in zip(self.rule.slots, self.key, strict=True):
            if slot.name == name:
                return value
        return None


@dataclass(frozen=True)
class Option:
    """One way in which an exposure could be a member: a path of the rule and the key it would bring."""

    path: Path
    key: Key
    shape: tuple[bool, ...]


@dataclass(frozen=True)
class Plan:
    """What one rule thinks of one exposure, independent of any group."""

    rule: Rule
    role: str
    options: tuple[Option, ...]
    slit: str | None


class Index:
    """Groups of one rule, found by key."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.tracked = any(path.after_other for path in rule.paths)
        self._open: dict[Key, list[Group]] = {}  # no science yet
        self._by_key: dict[Key, dict[tuple[bool, ...], dict[Key, list[Group]]]] = {}

    def _hard(self, key: Key) -> Key:
        return tuple(key[i] for i in self.rule.hard)

    def insert(self, group: Group) -> None:
        """File a group under its key."""
        hard = self._hard(group.key)
        if not group.has_science:
            self._open.setdefault(hard, []).append(group)
            return
        shape = _shape(group.key)
        self._by_key.setdefault(hard, {}).setdefault(shape, {}).setdefault(group.key, []).append(group)

    def remove(self, group: Group) -> None:
        """Take a group out before its key or its state changes."""
        hard = self._hard(group.key)
        groups = self._open[hard] if not group.has_science else self._by_key[hard][_shape(group.key)][group.key]
        groups.remove(group)

    def find(self, option: Option) -> list[Group]:
        """Return the groups whose key agrees with that of an option."""
        hard = self._hard(option.key)
        found = [group for group in self._open.get(hard, ()) if _agree(group.key, option.key)]
        if option.path.single:
            return found
        for shape, groups in self._by_key.get(hard, {}).items():
            if shape == option.shape:
                found += groups.get(option.key, ())
            else:
                found += [group for key, same in groups.items() if _agree(key, option.key) for group in same]
        return found


def _shape(key: Key) -> tuple[bool, ...]:
    return tuple(value is None for value in key)


def _agree(one: Key, other: Key) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


class Planner:
    """Turns exposures into plans, remembering them: the plan does not depend on the candidate."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._by_kind: dict[str | None, list[Rule]] = {}
        self._plans: dict[tuple[int, bool], list[Plan]] = {}

    def plans(self, exposure: Exposure, direct: bool) -> list[Plan]:
        """Return what each rule thinks of an exposure; ``direct``: it is looked at in a direct image candidate."""
        found = self._plans.get((exposure.index, direct))
        if found is None:
            kind = exposure.values.get("exp_type")
            rules = self._by_kind.get(kind)
            if rules is None:
                rules = self._by_kind[kind] = [r for r in self._rules if r.kinds is None or kind in r.kinds]
            found = [plan for rule in rules if (plan := plan_for(rule, exposure, direct))]
            self._plans[exposure.index, direct] = found
        return found


def plan_for(rule: Rule, exposure: Exposure, direct: bool) -> Plan | None:
    """Return the plan of one rule for one exposure, None if the rule can never take it."""
    values = exposure.values
    if not holds(rule.where, values) or any(holds(tests, values) for tests in rule.exclude):
        return None
    role = rule.role_of(exposure)
    free_target = (rule.any_target == "other" and role != "science") or rule.any_target == role
    key: list[str | None] = [None] * len(rule.slots)
    slit = None
    for i in rule.base:
        slot = rule.slots[i]
        value = slot.value(values)
        if slot.name == "targetid":
            value = "000" if direct and rule.any_target != "other" else (None if free_target else value)
            if value is None and not free_target:
                return None
        elif slot.name == "slit":
            slit = value
            value = None if value in _MIXED_SLITS else value
        elif value is None and slot.required:
            return None
        key[i] = value
    options = tuple(filter(None, (_option(rule, path, role, key, values) for path in rule.paths)))
    return Plan(rule, role, options, slit) if options else None


def _option(rule: Rule, path: Path, role: str, base: list[str | None], values: dict) -> Option | None:
    if path.role is not None and (role == "science") != (path.role == "science"):
        return None
    if not holds(path.when, values) or any(holds(tests, values) for tests in path.exclude):
        return None
    key = list(base)
    for i in path.slots:
        value = rule.slots[i].value(values)
        if value is None and rule.slots[i].required:
            return None
        key[i] = value
    return Option(path, tuple(key), _shape(tuple(key)))


class Run:
    """The three passes over the exposures of one candidate (or of the whole pool, to discover groups)."""

    def __init__(self, planner: Planner, candidate: tuple[str, str]) -> None:
        self._planner, self._candidate = planner, candidate
        self._direct = candidate[1] == "direct_image"
        self._index: dict[str, Index] = {}
        self._again: dict[str, dict[Path, dict[int, tuple[Exposure, Plan]]]] = {}
        self._last: dict[str, dict[Path, dict[int, tuple[Exposure, Plan]]]] = {}
        self._by_observation: dict[tuple, list[Group]] = {}
        self._any_imprint = False
        self.groups: list[Group] = []

    def process(self, exposures: Sequence[Exposure]) -> list[Group]:
        """Return the groups in the order in which they were started."""
        self._any_imprint = any("is_imprt" in exposure.values for exposure in exposures)
        acquisitions = []
        for exposure in exposures:
            plans = [plan for plan in self._planner.plans(exposure, self._direct) if plan.rule.allows(self._candidate[1])]
            alone = [plan for plan in plans if not self._join(exposure, plan, remember=True)]
            taken = frozenset()
            if exposure.role == "target_acquisition":
                acquisitions.append((exposure, plans))
                taken = self._add_acquisition(exposure)
            for plan in alone:
                if plan.rule not in taken:
                    self._start(exposure, plan)
        for waiting in (self._again, self._last):
            for by_path in waiting.values():
                for offers in by_path.values():
                    for exposure, plan in offers.values():
                        self._join(exposure, plan)
        for exposure, plans in acquisitions:
            for plan in plans:
                self._join(exposure, plan)
            self._add_acquisition(exposure)
        return self.groups

    def _start(self, exposure: Exposure, plan: Plan) -> None:
        """Start a group with an exposure, if it may."""
        option = next((o for o in plan.options if o.path.founds), None)
        if option is None:
            return
        key = list(option.key)
        for i in option.path.founds_slots:
            key[i] = plan.rule.slots[i].value(exposure.values)
        group = Group(plan.rule, tuple(key), self._candidate)
        group.last_role = exposure.role
        self.groups.append(group)
        self._admit(group, exposure, plan, plan.role)
        self._index.setdefault(plan.rule.name, Index(plan.rule)).insert(group)
        self._remember(option.path, exposure, plan)

    def _join(self, exposure: Exposure, plan: Plan, *, remember: bool = False) -> bool:
        """Add an exposure to every group that takes it; return whether that keeps it from starting its own."""
        index = self._index.get(plan.rule.name)
        if index is None:
            return False
        if self._any_imprint and index.tracked:
            return self._join_tracked(index, exposure, plan, remember)
        blocked = False
        for option in plan.options:
            for group in index.find(option):
                if exposure.filename in group.files:
                    blocked = True
                elif _is_elsewhere(group, option):
                    self._extend(index, group, option, exposure, plan)
                    blocked = blocked or option.path.blocks
                    if remember:
                        self._remember(option.path, exposure, plan)
        return blocked

    def _join_tracked(self, index: Index, exposure: Exposure, plan: Plan, remember: bool) -> bool:
        """As `_join`, for the rule whose groups remember the role of the exposure that they were offered last."""
        blocked = False
        whole = plan.options[-1]  # the key without the tile: every group of this set-up sees the exposure
        for group in index.find(Option(Path(), whole.key, whole.shape)):
            if exposure.filename in group.files:
                blocked = True
                continue
            option = plan.options[0]
            if option.path.after_other and group.last_role != "imprint" and _agree(group.key, option.key):
                self._extend(index, group, option, exposure, plan)
                blocked = True
                if remember:
                    self._remember(option.path, exposure, plan)
            group.last_role = exposure.role
        return blocked

    def _extend(self, index: Index, group: Group, option: Option, exposure: Exposure, plan: Plan) -> None:
        role = plan.rule.member_role(option.path, exposure)
        key = tuple(b if a is None else a for a, b in zip(group.key, option.key, strict=True))
        moves = key != group.key or (role == "science" and not group.has_science)
        if moves:
            index.remove(group)
        group.key = key
        self._admit(group, exposure, plan, role)
        if moves:
            index.insert(group)

    def _admit(self, group: Group, exposure: Exposure, plan: Plan, role: str) -> None:
        group.add(exposure, role)
        if plan.slit:
            group.slits.add(plan.slit)
        observation = exposure.values.get("obs_num")
        if plan.rule.level == 3 and observation is not None and observation not in group.observations:
            group.observations.add(observation)
            key = (group.value("program"), group.value("instrume"), observation)
            self._by_observation.setdefault(key, []).append(group)

    def _remember(self, path: Path, exposure: Exposure, plan: Plan) -> None:
        if path.again == "existing":
            self._again.setdefault(plan.rule.name, {}).setdefault(path, {})[exposure.index] = (exposure, plan)
        elif path.again == "nonscience":
            self._last.setdefault(plan.rule.name, {}).setdefault(path, {})[exposure.index] = (exposure, plan)

    def _add_acquisition(self, exposure: Exposure) -> frozenset[Rule]:
        """Add a target acquisition to the level 3 groups of its program, instrument and observation.

        Returns the rules that have such groups: it does not start one of its own there.
        """
        values = exposure.values
        if "is_imprt" in values:
            return frozenset()
        groups = self._by_observation.get((values.get("program"), values.get("instrume"), values.get("obs_num")), ())
        for group in groups:
            if exposure.filename not in group.files:
                group.add(exposure, "target_acquisition")
        return frozenset(group.rule for group in groups)


def _is_elsewhere(group: Group, option: Option) -> bool:
    """Return whether a nod is at another position than the science of the group.

    Positions are compared as text and "other" means that the number of the science does not occur in it (10 is
    not "other" than 1): that is how the archive's associations are made.
    """
    path = option.path
    if path.differs is None:
        return True
    science, mine = group.key[path.differs], option.key[path.slots[0]]
    return science is not None and mine is not None and science not in mine
