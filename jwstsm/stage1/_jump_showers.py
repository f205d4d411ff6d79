"""Showers of the MIRI detectors: faint, wide patches of extra signal in one group, found in a smoothed difference.

Each difference is compared with the pixel's usual one in units of its noise, smoothed with a ring that leaves the
pixel itself out, and patches above a threshold are flagged as ellipses for some time. Flags that would change a pixel's
rate by more than a shower can are taken back.

Source: description of the official jump step, "showers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, REFERENCE_PIXEL, SATURATED
from jwstsm.core.rows import row_blocks
from jwstsm.stage1._columns import merge_exchange, select_median, sort_columns, strip_width
from jwstsm.stage1._jump_large_events import expanded_axes
from jwstsm.stage1._jump_planes import all_flagged, usable_groups
from jwstsm.stage1._jump_regions import draw_ellipse, find_ellipses, new_mask
from jwstsm.stage1._jump_sigma_clip import clipped_moments

__all__ = ["Showers", "flag_showers", "ring_spans", "smooth_ring"]

_BAD = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)
_ANY = np.uint8(DO_NOT_USE | SATURATED | JUMP_DET)
_DNU = np.uint8(DO_NOT_USE)

#: Differences in the exposure, below which no shower is looked for.
_MIN_DIFFERENCES = 10


@dataclass(frozen=True)
class Showers:
    """What counts as a shower and how far it is flagged.

    Attributes
    ----------
    threshold : float
        Smoothed signal-to-noise ratio.
    min_area : float
        Smallest patch [pixel].
    inner_radius, ring_width : float
        Ring of the smoothing [pixel].
    expand_ratio : float
        Growth of the flagged ellipse.
    max_width : float
        Longest full axis of a flagged ellipse [pixel].
    after_groups : int
        Groups flagged after the one with the shower.
    max_amplitude : float
        Largest change of the mean difference that is believed [e-/group].
    clip_from : int
        Integrations from which noise is taken from sigma clipping over them.
    """

    threshold: float = 1.2
    min_area: float = 90.0
    inner_radius: float = 1.0
    ring_width: float = 2.6
    expand_ratio: float = 1.1
    max_width: float = 400.0
    after_groups: int = 0
    max_amplitude: float = 4.0
    clip_from: int = 100


def flag_showers(ramp, gain: np.ndarray, noise2: np.ndarray, settings: Showers) -> int:
    """Flag showers of a whole exposure; return how many there are.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN], ``groupdq`` (changed) and ``pixeldq``. Read: JUMP_DET, SATURATED, DO_NOT_USE. Set: JUMP_DET.
    gain : (ny, nx) float32
        Gain [e-/DN].
    noise2 : (ny, nx) float32
        Variance of a difference from read noise [e-^2].
    settings : Showers

    Returns
    -------
    int
        Number of patches, counted in every group; 0 when the exposure has too few differences to tell.
    """
    data, groupdq = np.asarray(ramp.data), np.asarray(ramp.groupdq)
    nints = data.shape[0]
    if usable_groups(groupdq).sum() - nints < _MIN_DIFFERENCES:
        return 0
    centre, sigma = _usual_differences(ramp, gain, noise2, settings.clip_from)
    reference = ramp.pixeldq == np.uint32(REFERENCE_PIXEL)
    excluded = reference | (ramp.pixeldq & np.uint32(_ANY) != 0)
    total = 0
    for i in range(nints):
        original = groupdq[i].copy()
        patches = _find_patches(data[i], groupdq[i], excluded, gain, centre, sigma, settings)
        for g, ellipses in patches:
            for ellipse in ellipses:
                _flag_patch(groupdq[i], g, ellipse, settings)
            total += len(ellipses)
        if patches:
            restore_unlikely(data[i], original, groupdq[i], gain, reference, float(settings.max_amplitude))
        ramp.release()
    return total


def ring_spans(inner_radius: float, ring_width: float) -> np.ndarray:
    """Return the ring as spans of columns per row, for :func:`smooth_ring`.

    Returns
    -------
    (nspans, 3) int64 ndarray
        Row offset, first and last column offset of each span; pixels with
        ``inner_radius <= distance <= inner_radius + ring_width``.
    """
    reach = int(np.ceil(inner_radius + ring_width))
    offsets = np.arange(-reach, reach + 1)
    distance = np.hypot(offsets[:, None], offsets[None, :])
    ring = (distance <= inner_radius + ring_width) & (distance >= inner_radius)
    spans = []
    for dy, row in zip(offsets, ring, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        spans.extend((dy, offsets[a], offsets[b - 1]) for a, b in zip(edges[::2], edges[1::2], strict=True))
    return np.array(spans, np.int64).reshape(-1, 3)


def _usual_differences(ramp, gain: np.ndarray, noise2: np.ndarray, clip_from: int):
    """Return centre and noise of every pixel's differences: (1 or ngroups - 1, ny, nx) float32 each [e-]."""
    nints, ngroups, ny, nx = ramp.data.shape
    clipped = nints >= clip_from
    centre = np.empty((ngroups - 1 if clipped else 1, ny, nx), np.float32)
    sigma = np.empty_like(centre)
    n = nints * (ngroups - 1)
    for _, arrays in row_blocks(read=(ramp.data, ramp.groupdq, gain), made=(centre, sigma) if clipped else (centre,)):
        if clipped:
            clipped_moments(*arrays[:3], 5.0, *arrays[3:])
        else:
            median_differences(*arrays[:3], merge_exchange(n), strip_width(n), arrays[3])
    if not clipped:
        sigma[0] = np.sqrt(np.abs(centre[0]) + noise2)
    return centre, sigma


def _find_patches(data, groupdq, excluded, gain, centre, sigma, settings: Showers) -> list:
    """Return ``(group, ellipses)`` of one integration, before anything is flagged in it."""
    ngroups, ny, nx = data.shape
    first = next((g for g in range(ngroups) if not all_flagged(groupdq[g], _DNU)), 0)
    spans = ring_spans(settings.inner_radius, settings.ring_width)
    ratio, mask = np.empty((ny, nx), np.float32), new_mask(ny, nx)
    patches = []
    for g in range(first + 1, ngroups):
        k = g - 1 if centre.shape[0] > 1 else 0
        excess_ratio(data, groupdq, excluded, gain, centre[k], sigma[k], g, ratio)
        smooth_ring(ratio, spans, float(settings.threshold), mask)
        ellipses = find_ellipses(mask, settings.min_area)
        if len(ellipses):
            patches.append((g, ellipses))
    return patches


def _flag_patch(cube: np.ndarray, g: int, ellipse: np.ndarray, settings: Showers) -> None:
    """Flag the grown ellipse of a shower in its group and those after it, as long as a pixel is not saturated."""
    axes = expanded_axes(ellipse, settings.expand_ratio, settings.max_width)
    window, inside = draw_ellipse(ellipse, *(2 * round(a / 2) for a in axes), cube.shape[1:])
    for group in range(g, min(g + settings.after_groups + 1, cube.shape[0])):
        part = cube[group][window]
        inside &= part & np.uint8(SATURATED) == 0
        part[inside] |= _JUMP


@njit
def _usable(flags):
    """Whether a group of these flags counts: neither bad nor nothing but a jump."""
    return flags & _BAD == 0 and flags != _JUMP


@njit(parallel=True)
def median_differences(data, groupdq, gain, network, width, median):
    """Median over all integrations of the usable differences [e-], into ``median`` (1, ny, nx)."""
    nints, ngroups, ny, nx = data.shape
    n = nints * (ngroups - 1)
    inf = np.float32(np.inf)
    for y in prange(ny):
        ordered = np.empty((n, width), np.float32)
        column = np.empty(n, np.float32)
        usable = np.empty(width, np.int64)
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            usable[:] = 0
            for i in range(nints):
                for g in range(1, ngroups):
                    for x in range(w):
                        xx = x0 + x
                        step = data[i, g, y, xx] * gain[y, xx] - data[i, g - 1, y, xx] * gain[y, xx]
                        good = _usable(groupdq[i, g, y, xx]) and _usable(groupdq[i, g - 1, y, xx]) and step == step
                        ordered[i * (ngroups - 1) + g - 1, x] = step if good else inf
                        usable[x] += 1 if good else 0
            if network.shape[0] > 0:
                sort_columns(ordered, network, w)
            for x in range(w):
                count = usable[x]
                if network.shape[0] > 0:
                    half = count // 2
                    low = ordered[max(half - 1 + count % 2, 0), x]
                    high = ordered[half if half < n else 0, x]
                    middle = (low + high) / np.float32(2.0)
                else:
                    kept = 0
                    for k in range(n):
                        if ordered[k, x] != inf:
                            column[kept] = ordered[k, x]
                            kept += 1
                    middle = np.float32(select_median(column, kept))
                median[0, y, x0 + x] = middle if count > 0 else np.float32(np.nan)


@njit(parallel=True)
def excess_ratio(data, groupdq, excluded, gain, centre, sigma, g, ratio):
    """Distance of difference ``g - 1`` from the usual one in units of its noise, into ``ratio``; NaN where unusable.

    ``data`` and ``groupdq`` are one integration; ``excluded`` is (ny, nx) bool, the rest (ny, nx) float32.
    """
    _, ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            now = groupdq[g, y, x]
            value = np.float32(np.nan)
            if now & _ANY == 0 and not excluded[y, x] and _usable(groupdq[g - 1, y, x]):
                step = data[g, y, x] * gain[y, x] - data[g - 1, y, x] * gain[y, x]
                value = np.abs(step - centre[y, x]) / sigma[y, x]
            ratio[y, x] = value


@njit(parallel=True)
def smooth_ring(ratio, spans, threshold, mask):
    """Mark in ``mask`` (ny, nx padded) where the mean of ``ratio`` over a ring exceeds a threshold.

    Pixels that are not finite neither count nor are marked; beyond the edge lie zeros that count. Sums over a span come
    from running sums along the row, so that the cost does not grow with the ring.
    """
    ny, nx = ratio.shape
    sums = np.empty((ny, nx + 1), np.float64)
    counts = np.empty((ny, nx + 1), np.int32)
    for y in prange(ny):
        sums[y, 0] = 0.0
        counts[y, 0] = 0
        for x in range(nx):
            good = np.isfinite(ratio[y, x])
            sums[y, x + 1] = sums[y, x] + (np.float64(ratio[y, x]) if good else 0.0)
            counts[y, x + 1] = counts[y, x] + (1 if good else 0)
    for y in prange(ny):
        for x in range(nx):
            mask[y, x] = 0
            if not np.isfinite(ratio[y, x]):
                continue
            total = 0.0
            count = 0
            for s in range(spans.shape[0]):
                yy = y + spans[s, 0]
                first = x + spans[s, 1]
                last = x + spans[s, 2] + 1
                if yy < 0 or yy >= ny:
                    count += last - first
                    continue
                a = min(max(first, 0), nx)
                b = min(max(last, 0), nx)
                total += sums[yy, b] - sums[yy, a]
                count += counts[yy, b] - counts[yy, a] + (last - first) - (b - a)
            if count > 0 and total / count > threshold:
                mask[y, x] = 1


@njit(parallel=True)
def restore_unlikely(data, before, groupdq, gain, reference, largest):
    """Take new flags back in reference pixels and where the mean difference is lost or changes by over ``largest`` [e-].

    ``data``, ``before`` (flags to go back to) and ``groupdq`` are one integration (ngroups, ny, nx).
    """
    ngroups, ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            changed = False
            for g in range(ngroups):
                changed |= before[g, y, x] != groupdq[g, y, x]
            if not changed:
                continue
            away = np.abs(_mean_step(data, before, gain, y, x) - _mean_step(data, groupdq, gain, y, x))
            if reference[y, x] or not away <= largest:
                for g in range(ngroups):
                    groupdq[g, y, x] = before[g, y, x]


@njit
def _mean_step(data, groupdq, gain, y, x):
    """Mean of a pixel's differences [e-] whose groups have no flag; NaN if there is none."""
    total = 0.0
    count = 0
    for g in range(1, data.shape[0]):
        if (groupdq[g, y, x] | groupdq[g - 1, y, x]) & _ANY == 0:
            step = data[g, y, x] * gain[y, x] - data[g - 1, y, x] * gain[y, x]
            if step == step:
                total += step
                count += 1
    return total / count if count > 0 else np.nan
