"""Pruning: the same exposures grouped twice, or the same product made twice, are kept once.

Two candidates often gather the same exposures (an observation and the group it is in), and a background candidate
makes the same product as its observation with more members. Source: section 6.2 of the specification.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from jwstsm.associations.association import Association
from jwstsm.associations.naming import exposure_root

Dropped = list[tuple[Association, str]]


def prune(associations: list[Association], dropped: Dropped) -> list[Association]:
    """Return the associations of one level that are kept, in numbering order.

    Parameters
    ----------
    associations : list of Association
        In the order in which they were made, one product each.
    dropped : list
        Gets (association, reason) for each one removed.

    Notes
    -----
    With the same members the candidate that sorts last is kept (o before c before a), and of one candidate the last
    made. With the same product name the longer member list is kept; equal lengths that differ are all kept.
    Numbering runs from the last made to the first, per candidate and type.
    """
    kept = _drop_same_members(associations, dropped)
    return _drop_same_products(kept, dropped)


def number(associations: list[Association]) -> None:
    """Number associations per candidate and type, in the order given."""
    counts: Counter[tuple[str, str]] = Counter()
    for association in associations:
        counts[association.asn_id, association.type] += 1
        association.sequence = counts[association.asn_id, association.type]


def _membership(association: Association) -> list[tuple[str, str]]:
    return [(member.expname, member.exptype) for member in association.products[0].members]


def _drop_same_members(associations: list[Association], dropped: Dropped) -> list[Association]:
    kept: list[Association] = []
    seen: dict[frozenset[tuple[str, str]], Association] = {}
    for association in sorted(associations, key=lambda asn: asn.asn_id)[::-1]:
        members = _membership(association)
        key = frozenset(members)
        if len({name for name, _ in members}) < len(members):
            kept.append(association)  # a file twice: never the same as another
        elif key in seen:
            dropped.append((association, f"the same members as {seen[key].products[0].name} of {seen[key].asn_id}"))
        else:
            seen[key] = association
            kept.append(association)
    return kept


def _drop_same_products(associations: list[Association], dropped: Dropped) -> list[Association]:
    by_name: dict[str, list[Association]] = defaultdict(list)
    for association in sorted(associations, key=lambda asn: asn.asn_id):
        by_name[association.products[0].name].append(association)
    gone: set[int] = set()
    for same in by_name.values():
        if len(same) > 1:
            _compare_all(same, gone, dropped)
    return [association for association in associations if id(association) not in gone]


def _compare_all(same: list[Association], gone: set[int], dropped: Dropped) -> None:
    """Compare every association of one product name with every other; the shorter of two unlike ones goes."""
    for association in same:
        if id(association) in gone:
            continue
        best = association
        lost: list[Association] = []
        for other in same:
            if id(other) in gone or other is best or _alike(best, other) or not _comparable(best, other):
                continue
            small, big = sorted((best, other), key=lambda asn: len(asn.products[0].members))
            if len(small.products[0].members) == len(big.products[0].members):
                continue
            lost.append(small)
            best = big
        for small in lost:
            gone.add(id(small))
            dropped.append((small, f"{best.products[0].name} is made with more members by {best.asn_id}"))


def _alike(one: Association, other: Association) -> bool:
    """Return whether two associations differ in nothing but the suffix of their members (rate and rateints)."""
    if one.type != other.type or one.asn_id[0] != other.asn_id[0]:
        return False
    roots = [sorted((exposure_root(name), role) for name, role in _membership(asn)) for asn in (one, other)]
    return roots[0] == roots[1]


def _comparable(one: Association, other: Association) -> bool:
    """Return whether no file is in both in different roles, and none is twice in either."""
    mine, theirs = _membership(one), _membership(other)
    roles, their_roles = dict(mine), dict(theirs)
    if len(roles) < len(mine) or len(their_roles) < len(theirs):
        return False
    return all(roles[name] == their_roles[name] for name in roles.keys() & their_roles.keys())
