"""The rule table compiled for the engine.

``rules.yaml`` says what belongs together; here each entry becomes a `Rule` with its conditions as closures, its
key columns as `Slot` objects and its kinds of member as `Path` objects. Nothing about a mode is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jwstsm.associations.facts import Exposure, rule_file, vocabulary

Condition = tuple[str, Callable[[Any], bool]]

_BASE = {2: ["program", "tsovisit?"], 3: ["program", "instrume"]}
_SEVERAL = frozenset({"group", "background", "mosaic"})  # candidates that must hold more than one observation
_FIELDS = {
    "type", "exp_type", "where", "exclude", "like", "same", "base", "roles", "any_target", "members", "needs",
    "candidates", "not", "name", "finish", "again", "coron_as_image", "several_observations", "offers",
}  # fmt: skip
_MEMBER_FIELDS = {
    "when", "role", "same", "like", "single", "again", "as", "founds", "blocks", "differs", "after", "founds_like",
}  # fmt: skip


class RuleError(ValueError):
    """The rule table says something that has no meaning."""


@dataclass(frozen=True, eq=False)
class Slot:
    """A column (or the first defined of several) whose value the members of an association share."""

    name: str
    columns: tuple[str, ...]
    required: bool

    def value(self, values: Mapping[str, str]) -> str | None:
        """Return the value of an exposure; with alternatives, the column is part of it."""
        for column in self.columns:
            value = values.get(column)
            if value is not None:
                return value if len(self.columns) == 1 else f"{column}:{value}"
        return None


@dataclass(frozen=True, eq=False)
class Path:
    """One way of being a member of an association."""

    when: tuple[Condition, ...] = ()
    exclude: tuple[tuple[Condition, ...], ...] = ()
    role: str | None = None
    slots: tuple[int, ...] = ()
    single: bool = False
    again: str | None = None
    as_role: str | None = None
    founds: bool = True
    blocks: bool = True
    differs: int | None = None
    after_other: bool = False
    founds_slots: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Rule:
    """One association rule; see the head of ``rules.yaml`` for the meaning of the fields."""

    name: str
    level: int
    type: str
    kinds: frozenset[str] | None
    where: tuple[Condition, ...]
    exclude: tuple[tuple[Condition, ...], ...]
    slots: tuple[Slot, ...]
    base: tuple[int, ...]
    paths: tuple[Path, ...]
    roles: str
    any_target: str | None = None
    needs: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()
    product: str = "default"
    finish: tuple[str, ...] = ()
    coron_as_image: bool = False
    several_observations: bool = True
    hard: tuple[int, ...] = field(default=())

    def role_of(self, exposure: Exposure) -> str:
        """Return the role of an exposure in this rule."""
        if self.roles == "special":
            return "science"
        if self.roles == "auxiliary":
            return exposure.role if exposure.role == "target_acquisition" else "science"
        role = self._own_role(exposure)
        if self.roles == "direct" and role == "science" and exposure.values.get("exp_type", "").endswith("_image"):
            return "direct_image"
        return role

    def member_role(self, path: Path, exposure: Exposure) -> str:
        """Return the role of an exposure that joins on a path."""
        if path.as_role == "own":
            return self._own_role(exposure)
        role = self.role_of(exposure)
        return path.as_role if path.as_role and role == "science" else role

    def _own_role(self, exposure: Exposure) -> str:
        return "science" if self.level == 2 and exposure.role == "psf" else exposure.role

    def allows(self, candidate_type: str) -> bool:
        """Return whether associations of this rule can be made for a candidate of this type."""
        if candidate_type in self.never:
            return False
        if self.only is not None:
            return candidate_type in self.only
        return self.level == 3 or candidate_type in ("observation", "background")

    def wants_several(self, candidate_type: str) -> bool:
        """Return whether a candidate of this type must bring more than one observation."""
        return self.level == 3 and self.several_observations and candidate_type in _SEVERAL


@lru_cache(maxsize=1)
def load_rules() -> tuple[Rule, ...]:
    """Return all rules that make associations, level 2 first, each level in alphabetical order.

    The order matters for one thing only: associations of one type that the same exposure starts are numbered in it.
    """
    table = rule_file()
    rules = []
    for level in (2, 3):
        entries = {f"Asn_{name}": entry for name, entry in table[f"level{level}"].items()}
        rules += [_rule(name, entries[name], level, table) for name in sorted(entries) if "type" in entries[name]]
    return tuple(rules)


def rule_names() -> dict[int, list[str]]:
    """Return the names of all rules of the table by level."""
    return {level: list(rule_file()[f"level{level}"]) for level in (2, 3)}


def conditions(spec: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    """Return the (column, test) pairs of a ``where`` mapping."""
    return tuple((column, _test(wanted)) for column, wanted in (spec or {}).items())


def holds(tests: Sequence[Condition], values: Mapping[str, Any]) -> bool:
    """Return whether all tests hold."""
    return all(test(values.get(column)) for column, test in tests)


def _test(wanted: Any) -> Callable[[Any], bool]:
    if wanted == "set":
        return lambda value: value is not None
    if wanted == "unset":
        return lambda value: value is None
    options = frozenset(None if w == "undefined" else w for w in (wanted if isinstance(wanted, list) else [wanted]))
    return options.__contains__


def _kinds(spec: Any) -> frozenset[str] | None:
    if spec is None:
        return None
    lists = vocabulary().lists
    names = [spec] if isinstance(spec, str) else spec
    return frozenset(kind for name in names for kind in lists.get(name, {name}))


def _rule(name: str, entry: Mapping[str, Any], level: int, table: Mapping[str, Any]) -> Rule:
    _check_fields(name, entry, _FIELDS)
    template = table["templates"][entry["like"]] if "like" in entry else {}
    base = [*entry.get("base", _BASE[level]), *template.get("same", []), *entry.get("same", [])]
    slots: list[Slot] = []
    base_index = tuple(_slot(text, slots) for text in base)
    again = "existing" if level == 3 and entry.get("again", True) else None
    members = entry.get("members", [{"again": again} if again else {}])
    paths = tuple(_path(name, member, slots, table) for member in members)
    exclude = [*template.get("exclude", []), *entry.get("exclude", [])]
    if level == 3:
        exclude.append({"is_imprt": "set"})
    finish = entry.get("finish", [])
    free = {"targetid"} if entry.get("any_target") else set()
    return Rule(
        name=name,
        level=level,
        type=entry["type"],
        kinds=_kinds(entry.get("exp_type")),
        where=conditions(entry.get("where")),
        exclude=tuple(conditions(e) for e in exclude),
        slots=tuple(slots),
        base=base_index,
        paths=paths,
        roles=entry.get("roles", f"level{level}"),
        any_target=entry.get("any_target"),
        needs=frozenset([entry["needs"]] if "needs" in entry else ()),
        only=frozenset(entry["candidates"]) if "candidates" in entry else None,
        never=frozenset(entry.get("not", ())),
        product=entry.get("name", "default"),
        finish=tuple([finish] if isinstance(finish, str) else finish),
        coron_as_image=entry.get("coron_as_image", False),
        several_observations=entry.get("several_observations", True),
        hard=tuple(i for i in base_index if slots[i].required and slots[i].name not in free),
    )


def _check_fields(name: str, entry: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(entry) - known)
    if unknown:
        raise RuleError(f"rules.yaml, {name}: unknown field {', '.join(unknown)}")


def _slot(text: str, slots: list[Slot]) -> int:
    """Return the index of a slot, adding it if it is new to the rule."""
    name = text.rstrip("?")
    for index, slot in enumerate(slots):
        if slot.name == name:
            return index
    columns = tuple(("fxd_slit" if part == "slit" else part).split("@")[0] for part in name.split("|"))
    slots.append(Slot(name, columns, not text.endswith("?")))
    return len(slots) - 1


def _path(rule: str, member: str | Mapping[str, Any], slots: list[Slot], table: Mapping[str, Any]) -> Path:
    entry = table["members"][member] if isinstance(member, str) else member
    _check_fields(rule, entry, _MEMBER_FIELDS)
    template = table["templates"][entry["like"]] if "like" in entry else {}
    own = tuple(_slot(text, slots) for text in [*template.get("same", []), *entry.get("same", [])])
    founding = table["templates"][entry["founds_like"]]["same"] if "founds_like" in entry else []
    return Path(
        when=conditions(entry.get("when")),
        exclude=tuple(conditions(e) for e in template.get("exclude", [])),
        role=entry.get("role"),
        slots=own,
        single=entry.get("single", False),
        again=entry.get("again"),
        as_role=entry.get("as"),
        founds=entry.get("founds", True),
        blocks=entry.get("blocks", True),
        differs=_slot(entry["differs"], slots) if "differs" in entry else None,
        after_other=entry.get("after") == "other",
        founds_slots=tuple(_slot(text, slots) for text in founding),
    )
