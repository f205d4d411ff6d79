"""Tables for the reader: what was grouped, and why an exposure is in nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from jwstsm.associations.association import Association
from jwstsm.associations.engine import plan_for
from jwstsm.associations.facts import Exposure
from jwstsm.associations.generate import Outcome
from jwstsm.associations.naming import exposure_root
from jwstsm.associations.rules import Rule, holds, load_rules


def association_rows(associations: Iterable[Association]) -> list[dict[str, str]]:
    """Return one row per product: level, id, type, rule, product, members by role, file."""
    rows = []
    for association in associations:
        for product in association.products:
            roles = Counter(member.exptype for member in product.members)
            order = sorted(roles, key=lambda role: (role != "science", role))
            rows.append(
                {
                    "level": str(association.level),
                    "id": association.asn_id,
                    "type": association.type,
                    "rule": association.rule.rpartition("Asn_")[2],
                    "product": product.name,
                    "members": " + ".join(f"{roles[role]} {role}" for role in order),
                    "note": "degraded" if association.is_degraded else "",
                    "file": association.filename,
                }
            )
    return rows


def member_rows(association: Association) -> list[dict[str, str]]:
    """Return one row per member of an association."""
    return [
        {"product": product.name, "role": member.exptype, "member": member.expname, "error": member.exposerr or ""}
        for product in association.products
        for member in product.members
    ]


def left_out(outcome: Outcome, levels: Sequence[int] = (2, 3)) -> list[dict[str, str]]:
    """Return one row per exposure and level that is in no association, with the reason.

    Parameters
    ----------
    outcome : Outcome
        From `decide`.
    levels : sequence of int
        Levels to look at.
    """
    rules = load_rules()
    used: dict[int, set[str]] = defaultdict(set)
    for association in outcome.associations:
        for product in association.products:
            used[association.level].update(exposure_root(member.expname) for member in product.members)
    tried: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
    for group, reason in outcome.incomplete:
        text = f"{_short(group.rule)} for {group.candidate[0]}: {reason}"
        for entry in group.entries:
            tried[entry.exposure.filename, group.rule.level][text] = None
    rows = []
    for index, row in enumerate(outcome.pool.rows):
        exposure = Exposure(row, index)
        root = exposure_root(exposure.filename)
        reasons: dict[str, list[str]] = defaultdict(list)
        for level in levels:
            if root not in used[level]:
                why = list(tried.get((exposure.filename, level), ())) or _refusals(exposure, level, rules)
                reasons["; ".join(why)].append(str(level))
        for reason, where in reasons.items():
            rows.append({"exposure": root, "exp_type": row["exp_type"], "level": ", ".join(where), "reason": reason})
    return rows


def _short(rule: Rule) -> str:
    return rule.name.removeprefix("Asn_")


def _refusals(exposure: Exposure, level: int, rules: Sequence[Rule]) -> list[str]:
    """Return what each rule for this kind of exposure has against it."""
    kind = exposure.values.get("exp_type")
    mine = [
        rule
        for rule in rules
        if rule.level == level and (kind in rule.kinds if rule.kinds is not None else holds(rule.where, exposure.values))
    ]
    if not mine and exposure.role == "target_acquisition" and level == 3:
        return ["no association of its observation to join"]
    if not mine:
        return [f"no rule takes {kind} exposures"]
    if level == 2 and exposure.row["asn_candidate"] == "null":
        return ["it belongs to no candidate"]
    return [f"{_short(rule)}: {_refusal(rule, exposure)}" for rule in mine]


def _refusal(rule: Rule, exposure: Exposure) -> str:
    values = exposure.values
    for column, test in rule.where:
        if not test(values.get(column)):
            return f"not with {_say(column, values)}"
    for tests in rule.exclude:
        if holds(tests, values):
            return "not with " + " and ".join(_say(column, values) for column, _ in tests)
    for i in rule.base:
        slot = rule.slots[i]
        if slot.required and slot.value(values) is None:
            return f"no value in {' or '.join(slot.columns)}"
    if plan_for(rule, exposure, direct=False) is None:
        empty = [rule.slots[i].columns for path in rule.paths for i in path.slots if not rule.slots[i].value(values)]
        return f"no value in {' or '.join(empty[0])}" if empty else f"not as {rule.role_of(exposure)}"
    return "none of the candidates asked for"


def _say(column: str, values: Mapping) -> str:
    value = values.get(column)
    if isinstance(value, bool):
        return f"{column} = {'yes' if value else 'no'}"
    return f"{column} = {value or 'undefined'}"


def format_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str] | None = None) -> str:
    """Return rows as aligned text under a line of column names; empty columns are left out."""
    if not rows:
        return ""
    names = [c for c in (columns or list(rows[0])) if any(row[c] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = ["  ".join(name.upper().ljust(widths[name]) for name in names).rstrip()]
    lines += ["  ".join(row[name].ljust(widths[name]) for name in names).rstrip() for row in rows]
    return "\n".join(lines) + "\n"
