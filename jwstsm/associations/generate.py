"""The association generator: from a pool to the associations of both levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jwstsm.associations.association import Association
from jwstsm.associations.engine import Group, Planner, Run
from jwstsm.associations.facts import Exposure
from jwstsm.associations.finish import finish, why_incomplete
from jwstsm.associations.pool import Pool, PoolError
from jwstsm.associations.prune import number, prune
from jwstsm.associations.rules import load_rules

DISCOVERED = ("a3001", "discovered")


@dataclass
class Outcome:
    """Everything one generation decided.

    Attributes
    ----------
    associations : list of Association
        What was made: level 3 first, each level by candidate, numbered.
    incomplete : list of (Group, str)
        Groups that are no association, with the reason.
    pruned : list of (Association, str)
        Associations that another one replaces, with the reason.
    """

    pool: Pool
    associations: list[Association] = field(default_factory=list)
    incomplete: list[tuple[Group, str]] = field(default_factory=list)
    pruned: list[tuple[Association, str]] = field(default_factory=list)


def generate(
    pool: Pool,
    *,
    candidates: Iterable[str] | None = None,
    discover: bool = False,
    all_candidates: bool = False,
    ids: Iterable[str] | None = None,
    version_id: str | bool | None = None,
    merge: bool = False,
    levels: Iterable[int] = (2, 3),
) -> list[Association]:
    """Return the associations of a pool.

    Parameters
    ----------
    pool : Pool
        From `read_pool` or `from_headers`.
    candidates : iterable of str, optional
        Only candidates of these types (``observation``, ``background``, ``group``, ``mosaic``, ...).
    discover : bool
        Only associations across candidates, found by looking at the whole pool.
    all_candidates : bool
        Only associations of the candidates. Neither of the two: both.
    ids : iterable of str, optional
        Only the candidates with these identifiers (``o001``, ``c1000``), nothing discovered.
    version_id : str or bool, optional
        Stamp put into the file names; True = the present time. None keeps the names the same from run to run.
    merge : bool
        Put the level 2 products of one candidate and type into one association.
    levels : iterable of int
        Which of the levels 2 and 3 to make.

    Returns
    -------
    list of Association

    Notes
    -----
    The rows of the pool are taken in file name order, so the order in the file has no influence. Compared with the
    official generator, associations and their numbers are the same for pools sorted by file name, as the archive's
    are.
    """
    return decide(
        pool, candidates=candidates, discover=discover, all_candidates=all_candidates, ids=ids, version_id=version_id,
        merge=merge, levels=levels,
    ).associations  # fmt: skip


def decide(
    pool: Pool,
    *,
    candidates: Iterable[str] | None = None,
    discover: bool = False,
    all_candidates: bool = False,
    ids: Iterable[str] | None = None,
    version_id: str | bool | None = None,
    merge: bool = False,
    levels: Iterable[int] = (2, 3),
) -> Outcome:
    """Return the associations of a pool with what was left out and why; parameters as for `generate`."""
    if isinstance(version_id, bool):
        version_id = datetime.now(UTC).strftime("%Y%m%dt%H%M%S") if version_id else None
    if ids is None and not discover and not all_candidates:
        discover = all_candidates = True
    outcome = Outcome(pool)
    wanted_levels = set(levels)
    rules = [rule for rule in load_rules() if rule.level in wanted_levels]
    planner = Planner(rules)
    exposures = [Exposure(row, index) for index, row in enumerate(pool.rows)]
    made: list[Association] = []

    def collect(groups: list[Group], ruleset: str) -> None:
        for group in groups:
            reason = why_incomplete(group)
            if reason is None:
                found = finish(group, ruleset=ruleset, pool=pool.name, version_id=version_id)
                made.extend(found)
                reason = None if found else "no direct image for the grism exposure"
            if reason is not None:
                outcome.incomplete.append((group, reason))

    if ids is not None or all_candidates:
        for candidate, indices in _chosen(pool, ids, candidates):
            if any(rule.allows(candidate[1]) for rule in rules):
                collect(Run(planner, candidate).process([exposures[i] for i in indices]), "candidate")
    if discover and ids is None:
        collect(Run(planner, DISCOVERED).process(exposures), "discover")
    for level in sorted(wanted_levels, reverse=True):
        kept = prune([association for association in made if association.level == level], outcome.pruned)
        number(kept)
        outcome.associations += sorted(kept, key=lambda asn: (asn.asn_id, asn.type, asn.sequence))
    if merge:
        outcome.associations = merge_level2(outcome.associations)
    return outcome


def _chosen(pool: Pool, ids: Iterable[str] | None, types: Iterable[str] | None):
    """Return the candidates to work on, in pool order or in the order asked for."""
    available = pool.candidates()
    if types is not None:
        wanted = {kind.lower() for kind in types}
        available = {key: value for key, value in available.items() if key[1] in wanted}
    if ids is None:
        return list(available.items())
    chosen = []
    for name in (ids,) if isinstance(ids, str) else ids:
        found = [(key, value) for key, value in available.items() if key[0] == name.lower()][:1]
        if not found:
            known = ", ".join(sorted({key[0] for key in available})) or "none"
            raise PoolError(f"{pool.name}: there is no candidate {name}; known: {known}")
        chosen += found
    return chosen


def merge_level2(associations: list[Association]) -> list[Association]:
    """Return the list with the level 2 associations of each candidate and type put into one."""
    merged: dict[tuple[str, str, str], Association] = {}
    result = []
    for association in associations:
        if association.level != 2:
            result.append(association)
            continue
        whole = merged.get((association.program, association.asn_id, association.type))
        if whole is None:
            merged[association.program, association.asn_id, association.type] = association
            result.append(association)
            continue
        for product in association.products:
            same = next((p for p in whole.products if p.name == product.name), None)
            if same is None:
                whole.products.append(product)
            else:
                present = {member.expname for member in same.members}
                same.members += [member for member in product.members if member.expname not in present]
    return result
