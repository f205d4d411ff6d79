"""emicorr, sequential fit: fold what is left of straight ramps by the phase of the wave, then subtract the folded wave.

Each step of phase gets the clipped mean of its samples. That wave is subtracted as it is, or replaced by the reference
wave, shifted to the phase where both correlate best and scaled to the same amplitude. Source: the official ``emicorr``
step (jwst 3.0.0), after E. Bergeron's ``fix_miri_emi``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from jwstsm.core import scratch
from jwstsm.core.compiled import njit, prange
from jwstsm.core.selection import clip_inplace, median_inplace
from jwstsm.stage1._columns import merge_exchange, sort_columns, strip_width
from jwstsm.stage1._emicorr_clock import OUTPUTS, Clock, Wave

__all__ = ["folded_wave", "lookup_table", "match_reference", "remove_wave_inplace", "stretch"]

_MOST_STEPS = 500
_SIGMA = 3.0
_ROUNDS = 5
_BINS = 16  # steps of phase that are clipped at a time


@njit(parallel=True)
def residuals_of_ramps(groups, network, width, out):
    """Take a straight line and the median off each pixel's ramp and average the four outputs.

    Parameters
    ----------
    groups : (ngroups >= 3, ny, nx) float32
        One integration [DN].
    network : (ncomparators, 2) int64
        Sorts ``ngroups - 2`` values; empty for quickselect.
    width : int
        Pixels to work on side by side; a multiple of 4.
    out : (ngroups, ny, nx/4) float32
        Overwritten.

    Notes
    -----
    Line and median are those of all groups but the first and the last; for up to 2 such groups the smaller value
    replaces the median. Samples 1 and 2 of a row, which are bad, get the mean of samples 0 and 3.
    """
    for y in prange(groups.shape[1]):
        _one_row(groups, y, network, width, out)


@njit
def _one_row(groups, y, network, width, out):
    """Do row ``y``: ramps (ngroups, ny, nx) to samples (ngroups, ny, nx/4)."""
    ngroups, _, nx = groups.shape
    rest = np.empty((ngroups, width), np.float32)
    scratch = np.empty((ngroups, width), np.float32)
    level = np.empty(width, np.float32)
    column = np.empty(ngroups, np.float32)
    for x0 in range(0, nx, width):
        w = min(width, nx - x0)
        _take_lines(groups, y, x0, rest, w)
        _middle_levels(rest, scratch, column, network, w, level)
        for g in range(ngroups):
            row = rest[g]
            for x in range(w):
                row[x] -= level[x]
            for k in range(w // 4):
                x = 4 * k
                total = row[x] + row[x + 1] + row[x + 2] + row[x + 3]
                out[g, y, x0 // 4 + k] = total / np.float32(4)
    for g in range(ngroups):
        middle = (out[g, y, 0] + out[g, y, 3]) / np.float32(2)
        out[g, y, 1] = middle
        out[g, y, 2] = middle


@njit
def _take_lines(groups, y, x0, rest, width):
    """Write ramps from pixel ``x0`` of row ``y`` on, less the slope of their inner groups, to ``rest``."""
    n = groups.shape[0] - 2
    s_x = n * (n - 1) / 2.0
    s_xx = (n - 1) * n * (2 * n - 1) / 6.0
    delta = n * s_xx - s_x * s_x
    s_y, s_xy = np.zeros(width), np.zeros(width)
    for g in range(n):
        row = groups[g + 1, y, x0 : x0 + width]
        for x in range(width):
            s_y[x] += row[x]
            s_xy[x] += g * np.float64(row[x])
    for x in range(width):
        s_y[x] = (n * s_xy[x] - s_x * s_y[x]) / delta
    for g in range(groups.shape[0]):
        row = groups[g, y, x0 : x0 + width]
        for x in range(width):
            rest[g, x] = np.float32(row[x] - s_y[x] * g)


@njit
def _middle_levels(rest, scratch, column, network, width, level):
    """Median (smaller value of up to 2) of the inner groups of each column, NaN left out."""
    n = rest.shape[0] - 2
    clean = True
    for g in range(n):
        for x in range(width):
            scratch[g, x] = rest[g + 1, x]
            clean &= scratch[g, x] == scratch[g, x]
    if clean and n > 2 and network.shape[0] > 0:
        sort_columns(scratch, network, width)
        for x in range(width):
            upper = scratch[n // 2, x]
            level[x] = upper if n % 2 == 1 else (scratch[n // 2 - 1, x] + upper) / np.float32(2)
        return
    for x in range(width):
        count = 0
        for g in range(n):
            v = scratch[g, x]
            column[count] = v
            count += v == v
        if count == 0:
            level[x] = np.nan
        elif n <= 2:
            level[x] = min(column[0], column[count - 1])
        else:
            level[x] = median_inplace(column, count)


@njit(parallel=True)
def group_levels(rest):
    """Median of each group of (ngroups, ny, nx/4) float32; NaN if any value is."""
    ngroups, ny, nx4 = rest.shape
    out = np.empty(ngroups, np.float32)
    for g in prange(ngroups):
        out[g] = _level(rest[g], np.empty(ny * nx4, np.float32))
    return out


@njit
def _level(image, scratch):
    """Median of an image; NaN if any value is."""
    n = 0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            scratch[n] = image[y, x]
            if scratch[n] != scratch[n]:
                return np.float32(np.nan)
            n += 1
    return median_inplace(scratch, n)


@njit(inline="always")
def _tick(y, k, g, first, rowclocks, samples, frame, late_column, late_ticks):
    """Tick at which a sample is read, counted from the first sample of the exposure."""
    tick = first + g * frame + y * rowclocks + k * samples
    return tick + late_ticks if k == late_column else tick


@njit(inline="always")
def _step_of(phase, steps):
    """Step k with k/steps < phase <= (k+1)/steps; -1 for phase 0."""
    k = int(np.ceil(phase * steps)) - 1
    if k >= 0 and phase <= k / steps:
        k -= 1
    elif phase > (k + 1) / steps:
        k += 1
    return k


@njit(parallel=True)
def bin_counts(ngroups, ny, nx4, first, timing, period, steps):
    """Count the samples of each group in each step of phase, (ngroups, steps) int64."""
    rowclocks, samples, frame, late_column, late_ticks = timing
    counts = np.zeros((ngroups, steps), np.int64)
    for g in prange(ngroups):
        for y in range(ny):
            for k in range(nx4):
                place = _tick(y, k, g, first, rowclocks, samples, frame, late_column, late_ticks) / period
                b = _step_of(place - np.floor(place), steps)
                if b >= 0:
                    counts[g, b] += 1
    return counts


@njit(parallel=True)
def deal_to_bins(rest, level, first, timing, period, place, out):
    """Write samples less the level of their group to their steps; ``place`` (ngroups, steps) is where each begins."""
    rowclocks, samples, frame, late_column, late_ticks = timing
    ngroups, ny, nx4 = rest.shape
    steps = place.shape[1]
    for g in prange(ngroups):
        mine = place[g]
        for y in range(ny):
            for k in range(nx4):
                at = _tick(y, k, g, first, rowclocks, samples, frame, late_column, late_ticks) / period
                b = _step_of(at - np.floor(at), steps)
                if b >= 0:
                    out[mine[b]] = rest[g, y, k] - level[g]
                    mine[b] += 1


@njit
def _clipped_mean(values, sigma, rounds):
    """Mean of the finite values after clipping; NaN if there are none."""
    n = 0
    for k in range(values.size):
        if np.isfinite(values[k]):
            values[n] = values[k]
            n += 1
    return clip_inplace(values, n, sigma, rounds)[1]


@njit(parallel=True)
def clipped_means(values, start, sigma, rounds):
    """Mean of each run of values after clipping about its median; NaN for an empty one. ``values`` is reordered."""
    steps = start.size - 1
    out = np.empty(steps)
    for b in prange(steps):
        out[b] = _clipped_mean(values[start[b] : start[b + 1]], sigma, rounds)
    return out


@njit(parallel=True)
def subtract_table(groups, table, first, timing, period):
    """Subtract the value of a table at each sample's phase from one integration (ngroups, ny, nx), in place."""
    rowclocks, samples, frame, late_column, late_ticks = timing
    ngroups, ny, nx = groups.shape
    for y in prange(ny):
        for g in range(ngroups):
            row = groups[g, y]
            for k in range(nx // 4):
                place = _tick(y, k, g, first, rowclocks, samples, frame, late_column, late_ticks) / period
                level = table[int((place - np.floor(place)) * period)]
                x = 4 * k
                row[x] = np.float32(row[x] - level)
                row[x + 1] = np.float32(row[x + 1] - level)
                row[x + 2] = np.float32(row[x + 2] - level)
                row[x + 3] = np.float32(row[x + 3] - level)


def stretch(values: np.ndarray, length: float) -> np.ndarray:
    """Resample to ``length`` (rounded up) values, each the one at or before its place."""
    step = len(values) / length
    count = math.ceil(len(values) / step)
    return values[(np.arange(count) * step).astype(np.int64)]


def match_reference(folded: np.ndarray, shape: np.ndarray, period: float, scale: bool) -> np.ndarray:
    """Return the table of the reference wave at the phase, and if asked the amplitude, of a folded wave."""
    target = stretch(folded, len(shape))
    centred = shape - shape.mean()
    rolled = np.stack([np.roll(centred, i) for i in range(len(shape))])
    best = int(np.argmax(rolled @ (target - target.mean())))
    table = stretch(np.roll(shape, best), period)
    if scale:
        own = stretch(folded, period)
        table = table * np.polyfit(table, own, 1)[0]
    return table


def lookup_table(folded: np.ndarray, wave: Wave, scale: bool) -> np.ndarray:
    """Return what to subtract at each tick of the period [DN]; zeros where the folded wave is not known."""
    if not np.isfinite(folded).all():
        return np.zeros(math.ceil(wave.period) + 1)
    table = stretch(folded, wave.period) if wave.shape is None else match_reference(folded, wave.shape, wave.period, scale)
    table = np.where(np.isfinite(table), table, 0.0)
    # one more, for phases that round up to the full period
    return np.append(table, table[-1])


def steps_of(wave: Wave, nbins: int | None) -> int:
    """Return the number of steps of phase: what is asked for, or half the period, at most 500."""
    steps = int(wave.period / 2.0) if nbins is None else nbins
    return min(steps, _MOST_STEPS) if steps > _MOST_STEPS + 1 else steps


def folded_wave(data: np.ndarray, wave: Wave, clock: Clock, steps: int) -> np.ndarray:
    """Fold integrations by the phase of a wave.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Integrations to use, from the first of the exposure on.
    wave : Wave
    clock : Clock
    steps : int
        Steps of phase.

    Returns
    -------
    (steps,) float64
        Clipped mean of each step, less their median [DN]; NaN throughout if a step is empty.
    """
    nints, ngroups, ny, nx = data.shape
    nx4, timing = nx // OUTPUTS, _timing(clock)

    def counts(i: int) -> np.ndarray:
        return bin_counts(ngroups, ny, nx4, i * clock.integration, timing, wave.period, steps)

    start = np.concatenate(([0], np.cumsum(sum(counts(i).sum(axis=0) for i in range(nints)))))
    begin = start[:-1]
    values = scratch.allocate((int(start[-1]),), np.float32)
    rest = np.empty((ngroups, ny, nx4), np.float32)
    for i in range(nints):
        residuals_of_ramps(data[i], merge_exchange(ngroups - 2), strip_width(ngroups) & ~3, rest)
        level = group_levels(rest)
        ends = begin + np.cumsum(own := counts(i), axis=0)
        deal_to_bins(rest, level, i * clock.integration, timing, wave.period, ends - own, values)
        begin = ends[-1]
        scratch.release(data)
        scratch.release(values)
    means = np.empty(steps)
    for b in range(0, steps, _BINS):
        means[b : b + _BINS] = clipped_means(values, start[b : b + _BINS + 1], _SIGMA, _ROUNDS)
        scratch.release(values)
    return means - np.median(means)


def _timing(clock: Clock) -> tuple[int, int, int, int, int]:
    return clock.rowclocks, clock.samples, clock.frame, clock.late_column, clock.late_ticks


def remove_wave_inplace(
    data: np.ndarray,
    wave: Wave,
    clock: Clock,
    *,
    integrations: int,
    nbins: int | None = None,
    scale: bool = True,
    blocks: Callable[[], Iterator[tuple[int, int]]] | None = None,
    release: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Fold the ramps by the phase of a wave and subtract what comes out.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place; may be a mapped file.
    wave : Wave
        Without a shape the folded wave itself is subtracted.
    clock : Clock
    integrations : int
        Integrations to fold.
    nbins : int, optional
        Steps of phase; default half the period in ticks, at most 500.
    scale : bool
        Scale the reference wave to the amplitude of the folded one.
    blocks : callable, optional
        Gives the ``(first, stop)`` integrations to hold in memory at a time.
    release : callable, optional
        Called after each block.

    Returns
    -------
    (steps,) float64
        The folded wave [DN].
    """
    folded = folded_wave(data[:integrations], wave, clock, steps_of(wave, nbins))
    table = lookup_table(folded, wave, scale)
    release()
    for i0, i1 in blocks() if blocks else [(0, data.shape[0])]:
        for i in range(i0, i1):
            subtract_table(data[i], table, i * clock.integration, _timing(clock), wave.period)
        release()
    return folded
