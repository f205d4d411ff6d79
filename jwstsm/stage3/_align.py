"""Alignment of groups of images to each other and to an absolute catalog.

All images of one exposure are a group and move together. A group is matched to reference positions and fitted
in the tangent plane of its first image; the correction is carried to the planes of the others. The order, the
matching and the fits are the official ones (packages ``tweakwcs`` and ``stcal``); :class:`Settings` with
``fallback`` adds second attempts where those give up. Plane positions and shifts are in arcseconds.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

import numpy as np

from jwstsm.stage3._fit import FEWEST, apply_affine, fit_clipped
from jwstsm.stage3._groups import Group, GroupFit
from jwstsm.stage3._match import MatchOptions, TooManyMatches, match_catalogs, search_match
from jwstsm.stage3._order import hull, overlap_area, pair_of_largest_overlap
from jwstsm.stage3._refcat import ReferenceCatalog
from jwstsm.wcs.correction import TangentPlane

__all__ = ["NotAligned", "Settings", "align_absolute", "align_relative"]

log = logging.getLogger(__name__)

_MARGIN_DEG = 0.02
_POOR_FIT_PIXELS = 0.5
_FEWEST_FOR_ROTATION = 4
_SAME_SOURCE = 0.15


class NotAligned(Exception):
    """The whole alignment is given up; the message says why."""


@dataclass(frozen=True)
class Settings:
    """How one alignment (relative or absolute) is done; the names are the official parameters'."""

    match: MatchOptions = field(default_factory=MatchOptions)
    minobj: int = 15
    fitgeometry: str = "rshift"
    nclip: int = 3
    sigma: float = 3.0
    enforce_user_order: bool = False
    expand_refcat: bool = False
    fallback: bool = True


def _fit_group(group: Group, reference: ReferenceCatalog, settings: Settings, stage: str) -> tuple[GroupFit, np.ndarray]:
    """Match and fit one group, and apply the correction; also return which of its sources were matched."""
    plane, scale = group.images[0].plane, group.images[0].pixel_scale()
    ra, dec = group.sky()
    near = _nearby(reference, ra, dec)
    image = np.stack(plane.from_sky(ra, dec), axis=1)
    target = np.stack(plane.from_sky(reference.ra[near], reference.dec[near]), axis=1)
    weights = group.weight(), None if reference.weight is None else reference.weight[near]
    matched = np.zeros(len(image), bool)

    def attempt(pairs, geometry, note) -> GroupFit:
        r, i = pairs
        fit = fit_clipped(target[r], image[i], geometry, settings.nclip, settings.sigma, _pair_weights(*weights, i, r))
        matched[:] = False
        matched[i] = True
        where = {"ra": reference.ra[near][r], "dec": reference.dec[near][r]}
        return GroupFit(group.name, stage, "SUCCESS", note, geometry, len(r), fit, **where)

    pairs = (np.zeros(0, int), np.zeros(0, int))
    if len(image) and len(target):
        try:
            pairs = match_catalogs(image, target, settings.match, scale)
        except TooManyMatches:
            if not settings.fallback:
                raise NotAligned("several sources match one reference source; adjust 'tolerance' or 'separation'") from None
    need = max(settings.minobj, FEWEST[settings.fitgeometry])
    out = attempt(pairs, settings.fitgeometry, "") if len(pairs[0]) >= need else None
    if settings.fallback and len(target) and _doubtful(out, scale, group, plane, settings):
        out = _second_attempt(out, image, target, attempt, group, plane, settings) or out
    if out is None:
        log.warning("%s: %d sources match the reference, %d are needed", group.name, len(pairs[0]), need)
        return GroupFit(group.name, stage, "FAILED: not enough matches", matched=len(pairs[0])), matched
    group.apply(plane, out.fit.matrix, out.fit.shift)
    return out, matched


def _doubtful(out: GroupFit | None, scale: float, group: Group, plane: TangentPlane, settings: Settings) -> bool:
    """Whether a result deserves a second attempt: none, a large scatter, or a large move."""
    if out is None:
        return True
    corners = group.images[0].corners
    move = np.hypot(*(apply_affine(corners, out.fit.matrix, out.fit.shift) - corners).T).max()
    return out.fit.rmse > _POOR_FIT_PIXELS * scale or move >= settings.match.largest_offset


def _second_attempt(out, image, target, attempt, group, plane, settings) -> GroupFit | None:
    """Search for a solution over shift and roll; return it if it is better than what there is."""
    pairs = search_match(image, target, settings.match.searchrad)
    if pairs is None:
        return None
    n, asked = len(pairs[0]), settings.fitgeometry
    if out is not None and n < 0.5 * out.used:
        return None
    geometry, note = asked, "found by a search over shift and roll"
    if n < _FEWEST_FOR_ROTATION:
        geometry = "shift"
    elif n < settings.minobj and asked != "shift":
        geometry = "rshift"
    if n < settings.minobj:
        note = f"only {n} matched sources (minobj is {settings.minobj}), geometry '{geometry}'"
    new = attempt(pairs, geometry, note)
    if out is not None and new.fit.rmse > 0.5 * out.fit.rmse:
        return None
    log.warning("%s: %s", group.name, note)
    return new


def _nearby(reference: ReferenceCatalog, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Return which reference positions lie around the sources."""
    if not ra.size or not len(reference):
        return np.zeros(0, int)

    def vectors(a, d):
        a, d = np.radians(a), np.radians(d)
        return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)

    here = vectors(ra, dec)
    centre = here.mean(axis=0)
    reach = np.sqrt(((here - centre) ** 2).sum(axis=1).max()) + math.radians(_MARGIN_DEG)
    return np.flatnonzero(((vectors(reference.ra, reference.dec) - centre) ** 2).sum(axis=1) < reach * reach)


def _pair_weights(image, reference, i, r) -> np.ndarray | None:
    """Combine the weights of matched sources as inverse variances: 1/w = 1/w_image + 1/w_reference."""
    if image is None and reference is None:
        return None
    if image is None or reference is None:
        return image[i] if reference is None else reference[r]
    a, b = image[i], reference[r]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((a > 0) & (b > 0), a * b / (a + b), 0.0)


def align_relative(groups: list[Group], settings: Settings) -> list[GroupFit]:
    """Align groups to the first one, or along the largest overlaps.

    Parameters
    ----------
    groups : list of Group
        In the user's order; their corrections are set.
    settings : Settings
        ``expand_refcat`` without ``enforce_user_order`` starts with the pair of largest overlap and goes on
        with the group that overlaps most; otherwise the user's order holds.

    Returns
    -------
    list of GroupFit
        One per group, in the order of ``groups``.

    Raises
    ------
    NotAligned
        If fewer than two groups have sources, or a correction is too large to be believed.
    """
    usable = [g for g in groups if len(g)]
    if len(usable) < 2:
        raise NotAligned("fewer than two exposures have sources")
    results = {g.name: GroupFit(g.name, "relative", "FAILED: no sources found") for g in groups if not len(g)}
    common = usable[0].images[0].plane
    by_overlap = settings.expand_refcat and not settings.enforce_user_order
    first, second = (0, 1)
    if by_overlap and len(usable) > 2:
        first, second = pair_of_largest_overlap([_outlines(g, common) for g in usable])
    start, following = usable[first], usable[second]
    rest = [g for k, g in enumerate(usable) if k not in (first, second)]
    results[start.name] = GroupFit(start.name, "relative", "REFERENCE")
    reference = ReferenceCatalog(start.name, *start.sky(), start.weight())
    waiting: list[Group] = []
    while following is not None:
        area = overlap_area([_covered(reference, common)], _outlines(following, common))
        result, matched = _fit_group(following, reference, settings, "relative")
        results[following.name] = result
        if settings.expand_refcat and (result.good or area == 0):
            reference = _expanded(reference, following, ~matched)
        if not result.good:
            waiting.append(following)
        if by_overlap and rest:
            covered = [_covered(reference, common)]
            rest.insert(0, rest.pop(int(np.argmax([overlap_area(covered, _outlines(g, common)) for g in rest]))))
        following = rest.pop(0) if rest else None
    if settings.fallback:
        _retry(waiting, groups, results, settings)
    _check_moves(groups, results, settings)
    return [results[g.name] for g in groups]


def _outlines(group: Group, common: TangentPlane) -> list[np.ndarray]:
    """Return the areas that the sources of a group's images cover, in a common plane."""
    out = []
    for image in group.images:
        points = image.sources if len(image.sources) > 3 else image.corners
        out.append(hull(np.stack(common.from_sky(*image.plane.to_sky(*image.corrected(points).T)), axis=1)))
    return out


def _covered(reference: ReferenceCatalog, common: TangentPlane) -> np.ndarray:
    return hull(np.stack(common.from_sky(reference.ra, reference.dec), axis=1))


def _expanded(reference: ReferenceCatalog, group: Group, new: np.ndarray) -> ReferenceCatalog:
    """Return the reference with some of a group's sources added."""
    ra, dec = group.sky()
    weight, extra = reference.weight, group.weight()
    if weight is not None or extra is not None:
        weight = np.ones(len(reference)) if weight is None else weight
        weight = np.concatenate([weight, np.ones(int(new.sum())) if extra is None else extra[new]])
    ra, dec = np.concatenate([reference.ra, ra[new]]), np.concatenate([reference.dec, dec[new]])
    return ReferenceCatalog(reference.name, ra, dec, weight)


def _retry(waiting: list[Group], groups: list[Group], results: dict[str, GroupFit], settings: Settings) -> None:
    """Try groups that failed against all that are aligned by now, as long as that helps."""
    helped = bool(waiting)
    while helped:
        helped = False
        aligned = [g for g in groups if results[g.name].status in ("SUCCESS", "REFERENCE")]
        reference = ReferenceCatalog("aligned exposures", *aligned[0].sky(), aligned[0].weight())
        for group in aligned[1:]:
            reference = _expanded(reference, group, ~_known(reference, group))
        for group in list(waiting):
            result, _ = _fit_group(group, reference, settings, "relative")
            if result.good:
                result.note = "; ".join(filter(None, (result.note, "aligned to all exposures that were aligned before")))
                results[group.name] = result
                waiting.remove(group)
                helped = True


def _known(reference: ReferenceCatalog, group: Group) -> np.ndarray:
    """Return which sources of a group are in the reference already."""
    from scipy.spatial import cKDTree

    plane = group.images[0].plane
    here = np.stack(plane.from_sky(*group.sky()), axis=1)
    there = np.stack(plane.from_sky(reference.ra, reference.dec), axis=1)
    return np.isfinite(cKDTree(there).query(here, distance_upper_bound=_SAME_SOURCE)[0])


def _check_moves(groups: list[Group], results: dict[str, GroupFit], settings: Settings) -> None:
    """Refuse corrections that are larger than the search allows."""
    limit = settings.match.largest_offset
    for group in groups:
        move = max(image.largest_move() for image in group.images)
        if move < limit:
            continue
        text = f"a correction of {move:.2f} arcsec is larger than the {limit:.2f} that the search allows"
        if not settings.fallback:
            raise NotAligned(f"{group.name}: {text}")
        log.warning("%s: %s; it is not applied", group.name, text)
        group.reset()
        results[group.name] = GroupFit(group.name, results[group.name].stage, f"FAILED: {text}")


def align_absolute(
    groups: list[Group], reference: ReferenceCatalog, settings: Settings, relative: list[GroupFit] | None
) -> list[GroupFit]:
    """Align all groups together to an absolute catalog.

    Parameters
    ----------
    groups : list of Group
        With the corrections of the relative alignment; the absolute one is added to them.
    reference : ReferenceCatalog
        Positions to align to.
    settings : Settings
        Of the absolute alignment.
    relative : list of GroupFit or None
        What the relative alignment came to; with ``fallback`` groups that it could not tie to the others are
        aligned one by one.

    Returns
    -------
    list of GroupFit
        One per group.

    Raises
    ------
    NotAligned
        If the catalog has too few sources, or no group has any.
    """
    fewest = 3 if settings.fallback else settings.minobj
    if len(reference) < fewest:
        raise NotAligned(f"the catalog {reference.name} has {len(reference)} sources, {fewest} are needed")
    if not any(len(g) for g in groups):
        raise NotAligned("no exposure has sources")
    loose = {r.group for r in relative or () if r.status not in ("SUCCESS", "REFERENCE")} if settings.fallback else set()
    if len(groups) > 1 and relative is None and settings.fallback:
        loose = {g.name for g in groups}
    tied = [g for g in groups if g.name not in loose]
    sets = ([tied] if tied else []) + [[g] for g in groups if g.name in loose]
    results: dict[str, GroupFit] = {}
    for members in sets:
        together = Group("all exposures" if len(members) > 1 else members[0].name, [i for g in members for i in g.images])
        if len(together):
            fit, _ = _fit_group(together, reference, settings, "absolute")
        else:
            fit = GroupFit(together.name, "absolute", "FAILED: no sources found")
        results |= {g.name: replace(fit, group=g.name) for g in members}
    return [results[g.name] for g in groups]
