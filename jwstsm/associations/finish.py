"""From groups to associations: what is complete, and what is done with it.

A group may lack what its rule needs (a science exposure, a PSF, a second observation) and is then dropped with a
reason. Others are worked on: nods become one association per position, superfluous imprints leave, grism
exposures get the catalogue of their direct image.

Source: sections 6.2 to 6.5 of the specification; nod overlap and imprint matching follow the descriptions of the
official rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jwstsm.associations.association import Association, Member, Product
from jwstsm.associations.engine import Entry, Group
from jwstsm.associations.facts import Exposure
from jwstsm.associations.naming import (
    calibrated_name,
    exposure_root,
    optics_name,
    product_name,
    program_text,
    shared_text,
    slope_name,
    target_name,
)

_NEEDS: dict[str, tuple[Callable[[list[str]], bool], str]] = {
    "psf": (lambda roles: "psf" in roles, "no PSF exposure"),
    "pair": (lambda roles: len(roles) >= 2, "not a pair of exposures"),
}


def why_incomplete(group: Group) -> str | None:
    """Return why a group is no association, None if it is one."""
    rule, (_, kind) = group.rule, group.candidate
    roles = [entry.role for entry in group.entries]
    if not group.has_science:
        return "no science exposure"
    for need in sorted(rule.needs):
        complete, reason = _NEEDS[need]
        if not complete(roles):
            return reason
    if rule.level == 2 and rule.only is None and kind == "background" and "background" not in roles:
        return "a background candidate without a background exposure"
    if rule.wants_several(kind) and len(group.observations) <= 1:
        return f"a {kind} candidate with a single observation"
    return None


def finish(group: Group, *, ruleset: str, pool: str, version_id: str | None) -> list[Association]:
    """Return the associations that a complete group makes.

    Parameters
    ----------
    group : Group
        A group for which `why_incomplete` says nothing.
    ruleset : str
        ``candidate`` or ``discover``; part of the rule name.
    pool, version_id : str
        Pool file name, and the stamp of the file names if any.
    """
    rule = group.rule
    entries = group.entries
    first = entries[0].exposure
    if "imprints" in rule.finish:
        entries = prune_imprints(entries)
    if "nods" in rule.finish:
        products = [_exposure_product(group, nod) for nod in split_nods(entries)]
    elif rule.level == 2:
        product = _exposure_product(group, entries)
        if rule.finish and rule.finish[0].endswith("catalog"):
            closest = long_direct if rule.finish[0] == "parallel_catalog" else closest_direct
            if not _use_catalog(group, product, entries, closest):
                return []
        products = [product]
    else:
        members = [_calibrated_member(group, entry.exposure, entry.role) for entry in entries]
        if "slit_backgrounds" in rule.finish:
            members += _slit_backgrounds(members)
        products = [Product(product_name(group, group.candidate[0], rule.product), members)]
    target = target_name(group) if rule.level == 3 else first.row.get("targetid", "null")
    return [
        Association(
            level=rule.level,
            rule=f"{ruleset}_{rule.name}",
            type=rule.type,
            asn_id=group.candidate[0],
            candidate_type=group.candidate[1],
            program=program_text(first),
            target=target,
            products=[product],
            pool=pool,
            version_id=version_id,
            constraints=shared_text(group),
        )
        for product in products
    ]


def _exposure_product(group: Group, entries: list[Entry]) -> Product:
    """Return a level 2 product, named after its science exposure."""
    members = []
    for exposure, role, in_tso in entries:
        integrations = exposure.keeps_integrations(in_tso=in_tso, coron_as_image=group.rule.coron_as_image)
        name = slope_name(exposure, integrations=integrations)
        members.append(Member(name, role, exposure.row.get("exposerr")))
    science = next(member.expname for member in members if member.exptype == "science")
    return Product(exposure_root(science), members)


def _calibrated_member(group: Group, exposure: Exposure, role: str) -> Member:
    integrations = exposure.keeps_integrations(in_tso=False, coron_as_image=group.rule.coron_as_image)
    row, (name, kind) = exposure.row, group.candidate
    candidate = row["asn_candidate"] if kind == "discovered" else f"[('{name}', '{kind}')]"
    return Member(calibrated_name(exposure, role, integrations=integrations), role, row.get("exposerr"), candidate)


# ---- nods ---------------------------------------------------------------------------------------------------
def split_nods(entries: list[Entry]) -> list[list[Entry]]:
    """Return one list per science exposure: it, the other positions as background, then all non-science."""
    science = [entry for entry in entries if entry.role == "science"]
    others = [entry for entry in entries if entry.role != "science"]
    nods = []
    for one in science:
        backgrounds = [
            other._replace(role="background")
            for other in science
            if other is not one and not overlaps(one.exposure.row, other.exposure.row)
        ]
        nods.append([one, *backgrounds, *others])
    return nods


def overlaps(science: Mapping[str, str], background: Mapping[str, str]) -> bool:
    """Return whether the source would be subtracted from itself with this background nod.

    For NIRSpec slits and MSA: yes with another target (its sources may fall there), at the same primary dither
    point ``(patt_num - 1) // subpxpts``, and for S1600A1 with five points at a neighbouring one. A fixed slit needs
    the dither numbers, without them everything overlaps.
    """
    kind = science.get("exp_type")
    if kind not in ("nrs_fixedslit", "nrs_msaspec"):  # only these have more than one source per slit plane
        return False
    if "targetid" in science and "targetid" in background and science["targetid"] != background["targetid"]:
        return True
    count, mine, theirs = (
        _whole(science, "numdthpt"),
        _whole(science, "patt_num"),
        _whole(background, "patt_num"),
    )
    steps = _whole(science, "subpxpts") or _whole(science, "subpxpns")
    their_steps = _whole(background, "subpxpts") or _whole(background, "subpxpns")
    if None in (count, mine, theirs) or not steps or not their_steps:
        return kind == "nrs_fixedslit"
    distance = abs((mine - 1) // steps - (theirs - 1) // their_steps)
    if distance == 0:
        return True
    wide_slit = kind == "nrs_fixedslit" and science.get("fxd_slit") == "s1600a1"
    return wide_slit and count // steps == 5 and distance <= 1


def _whole(row: Mapping[str, str], column: str) -> int | None:
    try:
        return int(row[column])
    except (KeyError, ValueError):
        return None


# ---- imprints -----------------------------------------------------------------------------------------------
def prune_imprints(entries: list[Entry]) -> list[Entry]:
    """Remove imprints that a better matching one replaces.

    Only imprints of the same kind as the science (both background targets or both not) are looked at. If some
    are of the science's target, those of other targets go; if there are still more imprints than science
    exposures and some share a dither position with the science, the others go.
    """
    known = [entry for entry in entries if {"targetid", "bkgdtarg"} <= entry.exposure.row.keys()]
    science = [entry.exposure.row for entry in known if entry.role == "science"]
    on_background = any(row["bkgdtarg"] == "t" for row in science)
    imprints = [
        entry.exposure
        for entry in known
        if entry.role == "imprint" and (entry.exposure.row["bkgdtarg"] == "t") == on_background
    ]
    remove: set[str] = set()
    targets = {row["targetid"] for row in science}
    same_target = [imprint for imprint in imprints if imprint.row["targetid"] in targets]
    if same_target:
        remove.update(imprint.filename for imprint in imprints if imprint not in same_target)
        imprints = same_target
    if 1 <= len(science) < len(imprints):
        positions = {row["dithptin"] for row in science if "dithptin" in row}
        keep = {imprint.filename for imprint in imprints if imprint.row.get("dithptin") in positions}
        if keep:
            remove.update(imprint.filename for imprint in imprints if imprint.filename not in keep)
    return [entry for entry in entries if entry.exposure.filename not in remove]


# ---- slit backgrounds and grism catalogues ----------------------------------------------------------------------
def _slit_backgrounds(members: list[Member]) -> list[Member]:
    """Return the extracted spectra of all nods as background members; a single exposure has none."""
    science = [member for member in members if member.exptype == "science"]
    if len(science) < 2:
        return []
    return [Member(f"{exposure_root(m.expname)}_x1d.fits", "background", m.exposerr, m.candidate) for m in science]


def _use_catalog(group: Group, product: Product, entries: list[Entry], closest) -> bool:
    """Replace the direct images of a grism exposure by the products of the closest one; False without any."""
    directs = [entry.exposure for entry in entries if entry.role == "direct_image"]
    if not directs:
        return False
    science = next(entry.exposure for entry in entries if entry.role == "science")
    direct = closest(science, directs).values
    elements = [direct.get("filter") or direct.get("band"), direct.get("pupil") or direct.get("grating")]
    root = product_name(group, group.candidate[0], "default", optics_name(elements))
    product.members = [member for member in product.members if member.exptype != "direct_image"]
    for ending, role in (("_i2d.fits", "direct_image"), ("_cat.ecsv", "sourcecat"), ("_segm.fits", "segmap")):
        product.members.append(Member(root + ending, role, described=False))
    return True


def closest_direct(science: Exposure, directs: list[Exposure]) -> Exposure:
    """Return the direct image that follows the grism exposure most closely (EXPSPCIN), else the first."""
    start = _whole(science.row, "expspcin")
    later = []
    for direct in directs:
        number = _whole(direct.row, "expspcin")
        if start is not None and number is not None and number > start:
            later.append((number - start, direct))
    return min(later, key=lambda pair: pair[0])[1] if later else directs[0]


def long_direct(science: Exposure, directs: list[Exposure]) -> Exposure:
    """Return the long-wave direct image of a pure-parallel set, else the first."""
    return next((direct for direct in directs if "long" in direct.filename), directs[0])
