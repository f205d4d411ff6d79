"""Large cosmic-ray events of the near-infrared detectors ("snowballs"): a saturated core in a wide halo of jumps.

Every 8-connected region of jumps in a group becomes an ellipse. It is a snowball when the centre of a region that
saturates in this group or the next lies inside it, or when it lies so near the edge that its core may be off the
detector. The halo below the jump threshold is caught by flagging a larger ellipse. Large saturated cores are grown and
stay saturated to the end of the integration, and are flagged again early in the next one, where they glow on.

Source: description of the official jump step, "large events".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.core.dq import JUMP_DET, SATURATED
from jwstsm.stage1._jump_regions import (
    CX,
    CY,
    MAJOR,
    MINOR,
    draw_ellipse,
    find_ellipses,
    inside_ellipse,
    masks_of_group,
    new_mask,
)

__all__ = ["LargeEvents", "expanded_axes", "flag_large_events"]

_JUMP = np.uint8(JUMP_DET)
_SATURATED = np.uint8(SATURATED)


@dataclass(frozen=True)
class LargeEvents:
    """What counts as a large event and how far it is flagged.

    Attributes
    ----------
    min_jump_area, min_sat_area : float
        Smallest region of jumps, and of newly saturated pixels [pixel].
    expand_factor : float
        Growth of the flagged ellipse.
    sat_required : bool
        Only regions with a saturated core are grown.
    min_sat_radius : float
        Minor axis above which a saturated core is grown [pixel].
    sat_expand : float
        Added to the full axes of a core [pixel].
    edge : int
        Distance from the edge within which no core is needed [pixel].
    max_width : float
        Longest full axis of a flagged ellipse [pixel].
    next_groups : int
        Groups of the next integration in which cores are flagged; 0 for none.
    """

    min_jump_area: float = 5.0
    min_sat_area: float = 1.0
    expand_factor: float = 2.0
    sat_required: bool = True
    min_sat_radius: float = 2.5
    sat_expand: float = 4.0
    edge: int = 25
    max_width: float = 400.0
    next_groups: int = 0


def flag_large_events(groupdq: np.ndarray, settings: LargeEvents, release=None) -> int:
    """Flag snowballs in a whole exposure; return how many there are.

    Parameters
    ----------
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place. Read: JUMP_DET, SATURATED. Set: JUMP_DET around snowballs; SATURATED, in place of all other
        flags, in large cores from their group on; JUMP_DET on cores in the next integration.
    settings : LargeEvents
    release : callable, optional
        Called after each integration, to hand back pages of a scratch array.

    Returns
    -------
    int
        Number of snowballs, counted in every group in which they appear.
    """
    nints, _, ny, nx = groupdq.shape
    masks = tuple(new_mask(ny, nx) for _ in range(3))
    total = 0
    earlier = None
    for i in range(nints):
        cube = groupdq[i]
        cores = np.zeros((ny, nx), np.uint8)
        for g in range(1, cube.shape[0]):
            total += _flag_group(cube, g, settings, masks, cores)
        # the cores of the integration before are added last: they must not look like jumps of this one
        if earlier is not None and settings.next_groups >= 1 and earlier.any():
            cube[1 : min(settings.next_groups, cube.shape[0])] |= earlier
        earlier = cores
        if release is not None:
            release()
    return total


def expanded_axes(ellipse: np.ndarray, factor: float, max_width: float) -> tuple[float, float]:
    """Return grown full axes ``(MINOR, MAJOR)``: both gain what ``factor`` adds to the shorter one."""
    minor, major = ellipse[MINOR], ellipse[MAJOR]
    gain = (factor - 1.0) * minor
    return min(minor * factor, max_width), min(major + gain, max_width)


def _flag_group(cube: np.ndarray, g: int, settings: LargeEvents, masks: tuple, cores: np.ndarray) -> int:
    """Find and flag the snowballs of one group; ``cores`` (ny, nx) collects the large saturated cores."""
    ngroups, ny = cube.shape[:2]
    jumps, fresh, coming = masks
    last = g == ngroups - 1
    masks_of_group(cube[g - 1], cube[g], cube[g if last else g + 1], _JUMP, _SATURATED, jumps, fresh, coming)
    halos = find_ellipses(jumps, settings.min_jump_area)
    if not settings.sat_required:
        fresh[:], coming[:] = 0, 0
        for ellipse in halos:
            _flag_halo(cube[g], ellipse, settings)
        return len(halos)
    now = find_ellipses(fresh, settings.min_sat_area)
    soon = find_ellipses(coming, settings.min_sat_area)
    chosen = halos[_is_snowball(halos, now, soon, settings.edge, max(0, ny - settings.edge))]
    for ellipse in now:
        if min(ellipse[MINOR], ellipse[MAJOR]) > settings.min_sat_radius:
            _grow_core(cube, g, ellipse, settings, cores)
    for ellipse in chosen:
        _flag_halo(cube[g], ellipse, settings)
    return len(chosen)


def _is_snowball(halos: np.ndarray, now: np.ndarray, soon: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which halos lie near the edge or hold the centre of a saturated region."""
    cores = np.concatenate([now, soon])
    cores = cores[np.argsort(cores[:, CY])]
    return _near_edge_or_cored(halos, cores, low, high)


@njit
def _near_edge_or_cored(halos, cores, low, high):
    """As :func:`_is_snowball`, with all saturated regions in one table in the order of their rows."""
    out = np.zeros(halos.shape[0], np.bool_)
    rows = cores[:, CY]
    for h in range(halos.shape[0]):
        halo = halos[h]
        chosen = halo[CX] < low or halo[CY] < low or halo[CX] > high or halo[CY] > high
        reach = 0.5 * max(abs(halo[MAJOR]), abs(halo[MINOR])) + 1.0
        s = np.searchsorted(rows, halo[CY] - reach)
        while not chosen and s < cores.shape[0] and rows[s] <= halo[CY] + reach:
            chosen = inside_ellipse(cores[s, CX], cores[s, CY], halo)
            s += 1
        out[h] = chosen
    return out


def _grow_core(cube: np.ndarray, g: int, ellipse: np.ndarray, settings: LargeEvents, cores: np.ndarray) -> None:
    """Mark a grown core saturated from group ``g`` on, and note the core as it is for the next integration."""
    axes = [min(ellipse[a] + settings.sat_expand, settings.max_width) for a in (MINOR, MAJOR)]
    window, inside = draw_ellipse(ellipse, *axes, cube.shape[1:])
    for group in range(g, cube.shape[0]):
        cube[group][window][inside] = _SATURATED
    window, inside = draw_ellipse(ellipse, ellipse[MINOR], ellipse[MAJOR], cube.shape[1:])
    cores[window][inside] = _JUMP


def _flag_halo(plane: np.ndarray, ellipse: np.ndarray, settings: LargeEvents) -> None:
    """Flag the grown ellipse of a snowball as a jump where it is not saturated."""
    axes = expanded_axes(ellipse, settings.expand_factor, settings.max_width)
    window, inside = draw_ellipse(ellipse, *(2 * round(a / 2) for a in axes), plane.shape)
    part = plane[window]
    part[inside & (part & _SATURATED == 0)] |= _JUMP
