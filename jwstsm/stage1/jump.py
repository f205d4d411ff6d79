"""jump: find cosmic-ray hits in the ramps.

A hit adds charge between two groups. The difference of these groups then stands out from the pixel's other differences
by more than photon and read noise allow (two-point difference method, Anderson & Gordon 2011, PASP 123, 1237), or the
ramp is much more probable without it (Brandt 2024, PASP 136, 045005). Hits of moderate size also flag the four
neighbours, which share their charge; large events and showers are flagged as ellipses.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, NO_GAIN_VALUE
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._jump_hits import MIN_GROUPS, Hits, find_jumps
from jwstsm.stage1._jump_large_events import LargeEvents, flag_large_events
from jwstsm.stage1._jump_planes import tidy_flags, usable_groups
from jwstsm.stage1._jump_showers import Showers, flag_showers
from jwstsm.step import Range, Skipped, step

__all__ = ["jump"]

log = logging.getLogger(__name__)


def _after(gain: np.ndarray, sizes_dn: tuple[float, float], times_s: tuple[float, float], tgroup: float) -> tuple:
    """Return ``(size [e-], groups)`` of the jumps that flag groups after them."""
    spans = [int(time // tgroup) for time in times_s]
    usual_gain = float(np.nanmedian(gain)) if max(spans) > 0 else np.nan
    return tuple((dn * usual_gain, n) for dn, n in zip(sizes_dn, spans, strict=True))


def _flag_hits(ramp: Ramp, gain: np.ndarray, noise: np.ndarray, settings: Hits) -> int | None:
    """Flag single hits, and remove the flags that others make superfluous; return their number (None: not looked for)."""
    hits = find_jumps(ramp, gain, noise, settings)
    if hits is None:
        log.warning("jump: an integration has fewer than %d usable groups; no single hits are looked for", MIN_GROUPS)
    for i0, i1 in ramp.integration_blocks():
        tidy_flags(np.asarray(ramp.groupdq), i0, i1)
        ramp.release()
    return hits


def _record_rates(ramp: Ramp, hits: int | None, events: int) -> None:
    """Write the rates of hits and large events to the header."""
    nints, _, ny, nx = ramp.data.shape
    groups = int(usable_groups(np.asarray(ramp.groupdq)).sum()) - nints
    if groups < 1:
        return
    time = ramp.readout.group_time_s * groups
    if hits is not None:
        ramp.primary["PRIMECRS"] = (1e3 * hits / (time * ny * nx), "[/s/1000 pix] cosmic ray rate")
    ramp.primary["EXTNCRS"] = (1e6 * events / (time * ny * nx), "[/s/Mpix] rate of snowballs or showers")


@step("S_JUMP", references=["gain", "readnoise"], scope="exposure")
def jump(
    ramp: Ramp,
    refs: References,
    *,
    algorithm: Literal["two_point", "likelihood"] = "two_point",
    rejection_threshold: Annotated[float, Range(min=0)] = 4.0,
    three_group_rejection_threshold: Annotated[float, Range(min=0)] = 6.0,
    four_group_rejection_threshold: Annotated[float, Range(min=0)] = 5.0,
    maximum_cores: str = "1",
    flag_4_neighbors: bool = True,
    max_jump_to_flag_neighbors: float = 1000,
    min_jump_to_flag_neighbors: float = 10,
    after_jump_flag_dn1: float = 0,
    after_jump_flag_time1: float = 0,
    after_jump_flag_dn2: float = 0,
    after_jump_flag_time2: float = 0,
    expand_large_events: bool = False,
    min_sat_area: float = 1.0,
    min_jump_area: float = 5.0,
    expand_factor: float = 2.0,
    use_ellipses: bool = False,
    sat_required_snowball: bool = True,
    min_sat_radius_extend: float = 2.5,
    sat_expand: int = 2,
    edge_size: int = 25,
    mask_snowball_core_next_int: bool = True,
    snowball_time_masked_next_int: int = 4000,
    find_showers: bool = False,
    max_shower_amplitude: float = 4,
    extend_snr_threshold: float = 1.2,
    extend_min_area: int = 90,
    extend_inner_radius: float = 1,
    extend_outer_radius: float = 2.6,
    extend_ellipse_expand_ratio: float = 1.1,
    time_masked_after_shower: float = 15,
    min_diffs_single_pass: int = 10,
    max_extended_radius: int = 200,
    minimum_groups: int = 3,
    minimum_sigclip_groups: int = 100,
    only_use_ints: bool = True,
) -> Ramp:
    """Flag groups in which a cosmic ray hit.

    Removes the effect of particle hits from the slopes: the ramp fit starts anew at a flagged group.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) float32 [DN], linearised. ``groupdq`` and ``pixeldq`` are changed.
    refs : References
        ``gain`` [e-/DN] and ``readnoise`` (noise of the difference of two frames [DN]), (ny, nx).
    algorithm : {"two_point", "likelihood"}
        How single hits are found: each difference of groups against the median of all, or by how much chi^2 of a fit
        to all drops without it. ``likelihood`` has false alarms as rare as a Gaussian's at any number of groups. The
        official step has the first only.
    rejection_threshold : float
        Limit for pixels with 4 or more usable differences (``likelihood``: with any number) [sigma].
    three_group_rejection_threshold : float
        Limit for pixels with 2 usable differences (3 groups) of ``two_point`` [sigma].
    four_group_rejection_threshold : float
        Limit for pixels with 3 usable differences (4 groups) of ``two_point`` [sigma].
    maximum_cores : str
        No effect: the workflow gives a job its threads.
    flag_4_neighbors : bool
        Flag the four neighbours of a jump.
    max_jump_to_flag_neighbors, min_jump_to_flag_neighbors : float
        Only jumps between these limits flag their neighbours [sigma].
    after_jump_flag_dn1, after_jump_flag_dn2 : float
        Jumps of at least this size flag groups after them [DN].
    after_jump_flag_time1, after_jump_flag_time2 : float
        For how long [s]; 0 for none.
    expand_large_events : bool
        Look for snowballs.
    min_sat_area : float
        Smallest saturated core of a snowball [pixel].
    min_jump_area : float
        Smallest connected region of jumps that may be a snowball [pixel].
    expand_factor : float
        Growth of the ellipse around a snowball.
    use_ellipses : bool
        No effect: regions are always ellipses.
    sat_required_snowball : bool
        Only regions with a saturated core are snowballs.
    min_sat_radius_extend : float
        Minor axis above which a saturated core is grown [pixel].
    sat_expand : int
        Growth of the radius of a saturated core [pixel].
    edge_size : int
        Distance from the edge within which a snowball needs no core [pixel].
    mask_snowball_core_next_int : bool
        Flag saturated cores in the next integration as well.
    snowball_time_masked_next_int : int
        For how long [s].
    find_showers : bool
        Look for showers.
    max_shower_amplitude : float
        Flags of a shower that change a pixel's mean difference by more than this are taken back [e-/s].
    extend_snr_threshold : float
        Smoothed signal-to-noise ratio that makes a shower.
    extend_min_area : int
        Smallest patch that is a shower [pixel].
    extend_inner_radius : float
        Inner radius of the ring that smooths [pixel].
    extend_outer_radius : float
        Width of that ring [pixel].
    extend_ellipse_expand_ratio : float
        Growth of the ellipse around a shower.
    time_masked_after_shower : float
        For how long a shower is flagged after its group [s].
    min_diffs_single_pass : int
        Usable differences from which ``two_point`` tests all at once.
    max_extended_radius : int
        Largest radius of a flagged ellipse [pixel].
    minimum_groups : int
        No effect: 3 usable groups are needed, as in the official step.
    minimum_sigclip_groups : int
        Integrations (or groups, see only_use_ints) from which sigma clipping replaces either algorithm.
    only_use_ints : bool
        Sigma clipping compares the same group of all integrations; otherwise all groups of the exposure.

    Returns
    -------
    Ramp
        The ramp it was given.

    Notes
    -----
    GROUPDQ: reads DO_NOT_USE, SATURATED; sets JUMP_DET and, in large cores, SATURATED. PIXELDQ: sets NO_GAIN_VALUE and
    DO_NOT_USE where the gain is not positive. Keywords PRIMECRS and EXTNCRS hold the rates found. The official step has
    ``max_shower_amplitude`` but always uses 6; here the value counts.
    """
    ngroups = ramp.data.shape[1]
    if ngroups <= 2:
        return Skipped(ramp, f"jumps cannot be told from {ngroups} group(s) per integration; 3 are needed")
    gain, noise = refs["gain"].array("SCI"), refs["readnoise"].array("SCI")
    ramp.pixeldq[~(gain > 0)] |= np.uint32(NO_GAIN_VALUE | DO_NOT_USE)
    noise = noise * gain
    tgroup = ramp.readout.group_time_s
    after = _after(gain, (after_jump_flag_dn1, after_jump_flag_dn2), (after_jump_flag_time1, after_jump_flag_time2), tgroup)
    thresholds = (rejection_threshold, three_group_rejection_threshold, four_group_rejection_threshold)
    neighbours = (min_jump_to_flag_neighbors, max_jump_to_flag_neighbors) if flag_4_neighbors else None
    single = Hits(algorithm, thresholds, neighbours, after, min_diffs_single_pass, minimum_sigclip_groups, only_use_ints)
    hits = _flag_hits(ramp, gain, noise, single)
    events = 0
    if expand_large_events:
        next_groups = int(snowball_time_masked_next_int // tgroup) if mask_snowball_core_next_int else 0
        large = LargeEvents(
            min_jump_area, min_sat_area, expand_factor, sat_required_snowball, min_sat_radius_extend,
            2 * sat_expand, edge_size, 2 * max_extended_radius, next_groups,
        )  # fmt: skip
        events = flag_large_events(np.asarray(ramp.groupdq), large, ramp.release)
        log.info("jump: %d snowballs", events)
    if find_showers:
        showers = Showers(
            extend_snr_threshold, extend_min_area, extend_inner_radius, extend_outer_radius,
            extend_ellipse_expand_ratio, 2 * max_extended_radius, int(time_masked_after_shower // tgroup),
            max_shower_amplitude * tgroup, minimum_sigclip_groups,
        )  # fmt: skip
        events = flag_showers(ramp, gain, noise * noise / np.float32(ramp.readout.nframes), showers)
        log.info("jump: %d showers", events)
    _record_rates(ramp, hits, events)
    return ramp
