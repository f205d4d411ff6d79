"""Associations by hand: small edits of generated ones, and files that are used as they are.

The configuration section ``asn`` may hold::

    asn:
      edits:
        - {drop: "jw01234002001_02101_0000[12]_nrca1", from: "*"}       # leave exposures out
        - {remove: "jw01234-o003_t001_nircam_*"}                        # leave whole associations out
        - {rename: jw01234-o002_t001_nircam_clear-f200w, to: my_field}  # another product name
        - {merge: ["jw01234-o00[12]_t001_nircam_clear-f200w"], into: jw01234-c9001_t001_nircam_clear-f200w}
        - {add: jw01234005001_02101_00001_nrca1_cal.fits, role: science, to: my_field}
        - {role: background, of: "jw01234004*", in: "*_miri_*"}         # another role
      files: [hand/my_mosaic_asn.json]

Exposures and products are chosen by shell patterns; exposures are named without suffix (a suffix is ignored).
Edits are done in the order given. An edit that matches nothing is an error: it is a typing mistake or stale.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from jwstsm.associations.association import Association, Member, Product, read
from jwstsm.associations.naming import exposure_root
from jwstsm.errors import ConfigError

log = logging.getLogger(__name__)


def apply_settings(
    associations: list[Association], settings: Mapping[str, Any], folder: str | Path = "."
) -> list[Association]:
    """Return the associations after the edits and with the files of the configuration section ``asn``.

    Parameters
    ----------
    associations : list of Association
        The generated ones; they are changed in place.
    settings : mapping
        ``edits`` and ``files``; `jwstsm.associations.settings` knows the other keys.
    folder : path
        What relative file names start from.

    Raises
    ------
    ConfigError
        If an edit is malformed or matches nothing.
    AssociationError
        If a file cannot be used.
    """
    for number, edit in enumerate(settings.get("edits") or (), start=1):
        associations = _apply(associations, edit, f"asn: edits, number {number}")
    return add_files(associations, [Path(folder) / name for name in settings.get("files") or ()])


def add_files(associations: list[Association], paths: Iterable[Path]) -> list[Association]:
    """Return the associations with hand-written ones added; one that makes the same product is replaced."""
    result = list(associations)
    for path in paths:
        mine = read(path)
        names = {product.name for product in mine.products}
        replaced = [a for a in result if a.level == mine.level and names & {product.name for product in a.products}]
        for association in replaced:
            log.info("%s replaces %s", path, association.filename)
        result = [association for association in result if association not in replaced]
        if any(association.filename == mine.filename for association in result):
            raise ConfigError(f"asn: files: {path.name} has the name of a generated association; rename the file")
        result.append(mine)
    return result


def from_list(
    items: Iterable[str],
    *,
    product: str | None = None,
    kind: str = "image3",
    asn_id: str = "a3001",
    roles: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Association:
    """Return an association of files chosen by hand.

    Parameters
    ----------
    items : iterable of str
        File names of the members (paths are cut off).
    product : str, optional
        Product name. Needed at level 3; a level 2 association makes one product per science file, named after it.
    kind : str
        Association type, e.g. image2, spec2, image3, spec3, tso3, coron3, ami3.
    asn_id : str
        Candidate identifier.
    roles : mapping, optional
        Shell pattern -> role for members that are not science.
    file : str, optional
        Name of the association file.
    """
    names = [Path(item).name for item in items]
    if not names:
        raise ConfigError("an association needs at least one file")
    level = 2 if "2" in kind else 3
    patterns = (roles or {}).items()
    members = [Member(n, next((role for p, role in patterns if fnmatch(n, p)), "science")) for n in names]
    science = [member for member in members if member.exptype == "science"]
    if not science:
        raise ConfigError("an association needs at least one science file; check the role patterns")
    if level == 3:
        if not product:
            raise ConfigError(f"a product name is needed for a {kind} association")
        products = [Product(product, members)]
    else:
        others = [member for member in members if member.exptype != "science"]
        products = [Product(exposure_root(member.expname), [member, *others]) for member in science]
    program = names[0][2:7] if names[0][:2] == "jw" and names[0][2:7].isdigit() else "noprogram"
    return Association(
        level=level, rule="user_built", type=kind, asn_id=asn_id, candidate_type="user", program=program,
        target="none", products=products, file=file,
    )  # fmt: skip


# ---- the edits ----------------------------------------------------------------------------------------------
def _apply(associations: list[Association], edit: Any, where: str) -> list[Association]:
    for verb, (fields, action) in _EDITS.items():
        if isinstance(edit, Mapping) and verb in edit:
            unknown, missing = set(edit) - {verb, *fields}, {f for f, need in fields.items() if need} - set(edit)
            if unknown or missing:
                raise ConfigError(f"{where}: {dict(edit)}: {verb} takes {', '.join(fields) or 'nothing else'}")
            return action(associations, edit, f"{where} ({verb})")
    raise ConfigError(f"{where}: {edit!r} is none of the edits {', '.join(_EDITS)}")


def _products(associations: list[Association], patterns: Any, where: str) -> list[tuple[Association, Product]]:
    chosen = [patterns] if isinstance(patterns, str) else list(patterns)
    pairs = [(association, product) for association in associations for product in association.products]
    for pattern in chosen:
        if not any(fnmatch(product.name, pattern) for _, product in pairs):
            raise ConfigError(f"{where}: no product is named {pattern}{_near(pattern, [p.name for _, p in pairs])}")
    return [pair for pair in pairs if any(fnmatch(pair[1].name, pattern) for pattern in chosen)]


def _near(pattern: str, names: list[str]) -> str:
    close = get_close_matches(pattern, names, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _is_exposure(member: Member, pattern: str) -> bool:
    return fnmatch(exposure_root(member.expname), exposure_root(pattern)) or fnmatch(member.expname, pattern)


def _drop(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    pairs = _products(associations, edit.get("from", "*"), where)
    found = 0
    for association, product in pairs:
        kept = [member for member in product.members if not _is_exposure(member, edit["drop"])]
        found += len(product.members) - len(kept)
        product.members = kept
        if not product.with_role("science"):
            log.info("%s: %s has no science left and is not made", where, product.name)
            association.products.remove(product)
    if not found:
        names = [exposure_root(m.expname) for _, product in pairs for m in product.members]
        raise ConfigError(f"{where}: no exposure is named {edit['drop']}{_near(edit['drop'], names)}")
    return [association for association in associations if association.products]


def _remove(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    for association, product in _products(associations, edit["remove"], where):
        association.products.remove(product)
    return [association for association in associations if association.products]


def _rename(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    old, new = edit["rename"], edit["to"]
    pairs = _products(associations, old, where)
    if len({product.name for _, product in pairs}) > 1:
        raise ConfigError(f"{where}: {old} is more than one product; rename them one by one")
    old = pairs[0][1].name
    for _, product in pairs:
        product.name = new
    for association in associations:  # grism exposures name the catalogue of their direct image
        for member in (member for product in association.products for member in product.members):
            if member.expname.startswith(f"{old}_"):
                member.expname = new + member.expname[len(old) :]
    return associations


def _merge(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    pairs = _products(associations, edit["merge"], where)
    kinds = {(association.level, association.type) for association, _ in pairs}
    if len(kinds) > 1:
        raise ConfigError(f"{where}: cannot merge different types: {', '.join(sorted(kind for _, kind in kinds))}")
    (first, whole), others = pairs[0], pairs[1:]
    present = {(member.expname, member.exptype) for member in whole.members}
    for association, product in others:
        new = [member for member in product.members if (member.expname, member.exptype) not in present]
        present.update((member.expname, member.exptype) for member in new)
        whole.members += new
        association.products.remove(product)
    whole.name = edit["into"]
    log.info("%s: %s now has %d members", where, first.filename, len(whole.members))
    return [association for association in associations if association.products]


def _add(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    for _, product in _products(associations, edit["to"], where):
        product.members.append(Member(edit["add"], edit.get("role", "science")))
    return associations


def _role(associations: list[Association], edit: Mapping, where: str) -> list[Association]:
    found = [
        member
        for _, product in _products(associations, edit.get("in", "*"), where)
        for member in product.members
        if _is_exposure(member, edit["of"])
    ]
    if not found:
        raise ConfigError(f"{where}: no member is named {edit['of']}")
    for member in found:
        member.exptype = edit["role"]
    for association, product in [(a, p) for a in associations for p in a.products]:
        if not product.with_role("science"):
            association.products.remove(product)
    return [association for association in associations if association.products]


# verb -> its other fields (True = needed) and what it does; "add" comes before "role", which is a field of it
_EDITS: dict[str, tuple[dict[str, bool], Callable]] = {
    "drop": ({"from": False}, _drop),
    "remove": ({}, _remove),
    "rename": ({"to": True}, _rename),
    "merge": ({"into": True}, _merge),
    "add": ({"to": True, "role": False}, _add),
    "role": ({"of": True, "in": False}, _role),
}
