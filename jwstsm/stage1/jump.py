"""jump: find cosmic-ray hits in the ramps.

A hit adds charge between two groups. The difference of these groups then stands out from the pixel's other differences
by more than photon and read noise allow (two-point difference method, Anderson & Gordon 2011, PASP 123, 1237). Hits of
moderate size also flag the four neighbours, which share their charge; large events and showers are flagged as ellipses.
"""

from __future__ import annotations

import logging
from typing import Annotated

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, NO_GAIN_VALUE
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._columns import merge_exchange, strip_width
from jwstsm.stage1._jump_large_events import LargeEvents, flag_large_events
from jwstsm.stage1._jump_planes import all_flagged, spread_to_neighbours, tidy_flags, unflag_full_groups
from jwstsm.stage1._jump_showers import Showers, flag_showers
from jwstsm.stage1._jump_sigma_clip import clip_differences
from jwstsm.stage1._jump_twopoint import count_and_mark, flag_after_jumps, flag_differences
from jwstsm.step import Range, Skipped, step

__all__ = ["find_jumps", "jump", "usable_groups"]

log = logging.getLogger(__name__)

_DNU = np.uint8(DO_NOT_USE)

#: Usable groups that an integration needs before its differences are compared with each other.
_MIN_GROUPS = 3


def usable_groups(groupdq: np.ndarray) -> np.ndarray:
    """Return how many groups of each integration are not DO_NOT_USE in every pixel, (nints,) int."""
    nints, ngroups = groupdq.shape[:2]
    return np.array([ngroups - sum(all_flagged(groupdq[i, g], _DNU) for g in range(ngroups)) for i in range(nints)])


def find_jumps(
    ramp: Ramp,
    gain: np.ndarray,
    noise: np.ndarray,
    *,
    thresholds: tuple[float, float, float] = (4.0, 6.0, 5.0),
    neighbours: tuple[float, float] | None = (10.0, 1000.0),
    after: tuple[tuple[float, int], ...] = (),
    one_pass_from: int = 10,
    clip_from: int = 100,
    clip_per_group: bool = True,
) -> int | None:
    """Flag single hits, their neighbours and the groups after them in ``ramp.groupdq``.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) float32 [DN]; ``groupdq`` is changed.
    gain : (ny, nx) float32
        Gain [e-/DN].
    noise : (ny, nx) float32
        Noise of the difference of two frames [e-].
    thresholds : (normal, two differences, three differences)
        Limits [sigma] by the number of usable differences of a pixel.
    neighbours : (low, high) or None
        Jumps between these limits [sigma] flag their four neighbours.
    after : tuple of (size [e-], groups), at most two
        Jumps of at least this size flag so many groups after them.
    one_pass_from : int
        Usable differences from which all are tested at once instead of one by one.
    clip_from : int
        Integrations (usable groups if not ``clip_per_group``) from which sigma clipping is used instead.
    clip_per_group : bool
        Clip the same difference over the integrations, or all differences of a pixel together.

    Returns
    -------
    int or None
        Number of hits; None if there are too few usable groups to find any.

    Notes
    -----
    With ``m`` the median of a pixel's differences over all integrations [e-], the noise of one is
    ``sigma = sqrt(|m| + noise**2 / nframes)`` and ``|d - m| > threshold * sigma`` is a jump. One by one: the sizes
    ``|d|`` are compared with their median without the largest, the most outlying one is rejected, and both are renewed.
    """
    data, groupdq = np.asarray(ramp.data), np.asarray(ramp.groupdq)
    nints, ngroups = data.shape[:2]
    usable = usable_groups(groupdq)
    clip = (nints if clip_per_group else int(usable.sum())) >= clip_from
    if not clip and usable.min() < _MIN_GROUPS:
        return None
    n = nints * (ngroups - 1)
    width = strip_width(n)
    noise2 = noise * noise
    nframes = float(ramp.readout.nframes)
    low, high = neighbours or (np.inf, np.inf)
    normal, two, three = thresholds
    found = 0
    if clip:
        network = merge_exchange(nints if clip_per_group else n)
        for y0, y1 in ramp.row_blocks():
            clip_differences(data, groupdq, gain, float(normal), clip_per_group, network, width, y0, y1)
            ramp.release()
        for i0, i1 in ramp.integration_blocks():
            unflag_full_groups(groupdq, i0, i1)
        for y0, y1 in ramp.row_blocks():
            found += int(count_and_mark(data, groupdq, gain, noise2, nframes, low, high, width, y0, y1).sum())
            ramp.release()
    else:
        limits = np.array([np.inf, np.inf, two, three, normal])
        one_pass = bool(usable.min() - 1 >= one_pass_from)
        for y0, y1 in ramp.row_blocks():
            rows = flag_differences(
                data, groupdq, gain, noise2, nframes, limits, one_pass, low, high, merge_exchange(n), width, y0, y1
            )
            found += int(rows.sum())
            ramp.release()
    _extend(ramp, data, groupdq, gain, neighbours is not None, after, width)
    return found


def _extend(ramp: Ramp, data, groupdq, gain, neighbours: bool, after, width: int) -> None:
    """Flag neighbours of marked jumps and groups after large ones."""
    if neighbours:
        for i0, i1 in ramp.integration_blocks():
            spread_to_neighbours(groupdq, i0, i1)
            ramp.release()
    if any(span > 0 for _, span in after):
        pairs = (*after, (np.inf, 0))[:2]
        sizes, spans = np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.int64)
        for y0, y1 in ramp.row_blocks():
            flag_after_jumps(data, groupdq, gain, sizes, spans, width, y0, y1)
            ramp.release()


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
    rejection_threshold : float
        Limit for pixels with 4 or more usable differences [sigma].
    three_group_rejection_threshold : float
        Limit for pixels with 2 usable differences (3 groups) [sigma].
    four_group_rejection_threshold : float
        Limit for pixels with 3 usable differences (4 groups) [sigma].
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
        Usable differences from which all are tested at once.
    max_extended_radius : int
        Largest radius of a flagged ellipse [pixel].
    minimum_groups : int
        No effect: 3 usable groups are needed, as in the official step.
    minimum_sigclip_groups : int
        Integrations (or groups, see only_use_ints) from which sigma clipping replaces the two-point difference.
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
    spans = [int(time // tgroup) for time in (after_jump_flag_time1, after_jump_flag_time2)]
    usual_gain = float(np.nanmedian(gain)) if max(spans) > 0 else np.nan
    after = tuple((dn * usual_gain, n) for dn, n in zip((after_jump_flag_dn1, after_jump_flag_dn2), spans, strict=True))
    hits = find_jumps(
        ramp,
        gain,
        noise,
        thresholds=(rejection_threshold, three_group_rejection_threshold, four_group_rejection_threshold),
        neighbours=(min_jump_to_flag_neighbors, max_jump_to_flag_neighbors) if flag_4_neighbors else None,
        after=after,
        one_pass_from=min_diffs_single_pass,
        clip_from=minimum_sigclip_groups,
        clip_per_group=only_use_ints,
    )
    if hits is None:
        log.warning("jump: an integration has fewer than %d usable groups; no single hits are looked for", _MIN_GROUPS)
    groupdq = np.asarray(ramp.groupdq)
    for i0, i1 in ramp.integration_blocks():
        tidy_flags(groupdq, i0, i1)
        ramp.release()
    events = 0
    if expand_large_events:
        next_groups = int(snowball_time_masked_next_int // tgroup) if mask_snowball_core_next_int else 0
        settings = LargeEvents(
            min_jump_area, min_sat_area, expand_factor, sat_required_snowball, min_sat_radius_extend,
            2 * sat_expand, edge_size, 2 * max_extended_radius, next_groups,
        )  # fmt: skip
        events = flag_large_events(groupdq, settings, ramp.release)
        log.info("jump: %d snowballs", events)
    if find_showers:
        settings = Showers(
            extend_snr_threshold, extend_min_area, extend_inner_radius, extend_outer_radius,
            extend_ellipse_expand_ratio, 2 * max_extended_radius, int(time_masked_after_shower // tgroup),
            max_shower_amplitude * tgroup, minimum_sigclip_groups,
        )  # fmt: skip
        noise2 = noise * noise / np.float32(ramp.readout.nframes)
        events = flag_showers(ramp, gain, noise2, settings)
        log.info("jump: %d showers", events)
    _record_rates(ramp, hits, events)
    return ramp
