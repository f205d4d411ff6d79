"""emicorr, joint fit: the wave whose subtraction makes the ramps of quiet pixels straightest.

Pixels that see the wave at the same phase share its values in all groups, so that their ramps are summed first, into
``nphases`` ramps per integration. For a trial phase the sum over pixels of chi square of straight lines is a parabola in
the amplitude, ``a c**2 + b c``; its coefficients are sums over those ramps. 500 trial phases are tried and the best is
refined. Source: the official ``emicorr`` step (jwst 3.0.0), after T. Brandt's method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np

from jwstsm.core import scratch
from jwstsm.core.compiled import njit, prange
from jwstsm.core.scratch import allocate
from jwstsm.core.stats import median
from jwstsm.stage1._emicorr_clock import OUTPUTS, Clock, Wave
from jwstsm.stage1._emicorr_spline import WaveSpline

__all__ = ["fit_phase", "remove_wave_inplace", "sum_by_phase", "trial_coefficients"]

log = logging.getLogger(__name__)

_TRIALS = 500
_QUIET = 2.0
_FLAT = 1e-8
_HIDDEN = 1e-6
_SMALL = 4_000_000
_BAD_COLUMNS = (1, 2)


@njit(inline="always")
def _evaluate(steps, phase):
    """Value of the wave at a phase (any real number)."""
    place = (phase - np.floor(phase)) * (steps.shape[0] - 1) + 0.5
    k = int(place)
    t = place - k
    return steps[k, 0] + t * (steps[k, 1] + t * (steps[k, 2] + t * steps[k, 3]))


@njit(parallel=True)
def scatter_of_ramps(data, out):
    """Standard deviation of each pixel over its groups.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32
    out : (nints, ny, nx) float32
        Overwritten.
    """
    nints, _, ny, nx = data.shape
    for y in prange(ny):
        mean = np.empty(nx)
        square = np.empty(nx)
        for i in range(nints):
            _scatter_of_row(data[i], y, mean, square, out[i, y])


@njit
def _scatter_of_row(groups, y, mean, square, out):
    """Standard deviation over groups of row ``y`` of (ngroups, ny, nx); ``mean`` and ``square`` are scratch."""
    ngroups, _, nx = groups.shape
    for x in range(nx):
        mean[x] = 0.0
        square[x] = 0.0
    for g in range(ngroups):
        row = groups[g, y]
        for x in range(nx):
            mean[x] += row[x]
    for x in range(nx):
        mean[x] /= ngroups
    for g in range(ngroups):
        row = groups[g, y]
        for x in range(nx):
            d = row[x] - mean[x]
            square[x] += d * d
    for x in range(nx):
        out[x] = np.sqrt(square[x] / ngroups)


@njit(parallel=True)
def sum_by_phase(groups, quiet, index, sums):
    """Sum the ramps of quiet pixels that see the wave at the same phase.

    Parameters
    ----------
    groups : (ngroups, ny, nx) float32
        One integration [DN].
    quiet : (ny, nx) bool
        Pixels to use.
    index : (ny, nx/4) int32
        Step of phase of each sample in the first group.
    sums : (ngroups, nphases) float64
        Overwritten.
    """
    ngroups, ny, nx = groups.shape
    for g in prange(ngroups):
        mine = sums[g]
        mine[:] = 0.0
        for y in range(ny):
            row = groups[g, y]
            good = quiet[y]
            for k in range(nx // 4):
                x = 4 * k
                total = np.float64(row[x]) if good[x] else 0.0
                total += np.float64(row[x + 1]) if good[x + 1] else 0.0
                total += np.float64(row[x + 2]) if good[x + 2] else 0.0
                total += np.float64(row[x + 3]) if good[x + 3] else 0.0
                mine[index[y, k]] += total


@njit
def count_by_phase(quiet, index, counts):
    """Count the quiet pixels of each step of phase, (nphases,) float64."""
    ny, nx = quiet.shape
    counts[:] = 0.0
    for y in range(ny):
        for x in range(nx):
            if quiet[y, x]:
                counts[index[y, x // 4]] += 1.0


@njit
def _shifted_wave(steps, shift, out):
    """Write the wave at the middles of all steps of phase, moved on by ``shift`` steps."""
    n = out.size
    whole = np.floor(shift)
    # the place inside a step is the same for all of them, so that one pass over the steps has no further rounding
    t = shift - whole
    first = 0 if t >= 0.5 else 1
    place = (int(whole) + 1 - first) % n
    for p in range(n):
        k = first + place
        out[p] = steps[k, 0] + t * (steps[k, 1] + t * (steps[k, 2] + t * steps[k, 3]))
        place += 1
        if place == n:
            place = 0


@njit(parallel=True)
def trial_coefficients(sums, counts, steps, group_step, trials):
    """Coefficients ``a, b`` of chi square in the amplitude, for each integration and trial phase.

    Parameters
    ----------
    sums : (nints, ngroups, nphases) float64
        Summed ramps.
    counts : (nints, nphases) float64
        Pixels in each.
    steps : (nphases + 1, 4) float64
        The wave.
    group_step : float
        Phase from one group to the next.
    trials : int
        Number of trial phases.

    Returns
    -------
    (2, trials, nints) float64

    Notes
    -----
    With z the wave in the groups of a ramp, n groups at t = 0, 1, ..., D = n S_tt - S_t^2 and lines fitted to y - c z:
    a = sum N (S_zz - (S_tt S_z^2 - 2 S_t S_z S_tz + n S_tz^2) / D), and b is the same bilinear form of z and -2 y.
    """
    out = np.empty((2, trials, sums.shape[0]))
    for k in prange(trials):
        _one_trial(sums, counts, steps, group_step, k / trials, out[:, k])
    return out


@njit
def _one_trial(sums, counts, steps, group_step, phase, out):
    """Write ``a, b`` (2, nints) of one trial phase."""
    nints, ngroups, nphases = sums.shape
    s_t = ngroups * (ngroups - 1) / 2.0
    s_tt = (ngroups - 1) * ngroups * (2 * ngroups - 1) / 6.0
    delta = ngroups * s_tt - s_t * s_t
    z = np.empty((ngroups, nphases))
    s_z, s_tz, s_zz = np.zeros(nphases), np.zeros(nphases), np.zeros(nphases)
    for g in range(ngroups):
        row = z[g]
        _shifted_wave(steps, nphases * ((g * group_step) % 1.0 + phase), row)
        for p in range(nphases):
            s_z[p] += row[p]
            s_tz[p] += g * row[p]
            s_zz[p] += row[p] * row[p]
    for p in range(nphases):
        quadratic = s_tt * s_z[p] ** 2 - 2.0 * s_t * s_z[p] * s_tz[p] + ngroups * s_tz[p] ** 2
        s_zz[p] -= quadratic / delta
    for g in range(ngroups):
        row = z[g]
        for p in range(nphases):
            line = (s_tt * s_z[p] - s_t * s_tz[p] + g * (ngroups * s_tz[p] - s_t * s_z[p])) / delta
            row[p] = 2.0 * (line - row[p])
    part = np.empty(nphases)
    for i in range(nints):
        total = 0.0
        for p in range(nphases):
            total += counts[i, p] * s_zz[p]
            part[p] = 0.0
        out[0, i] = total
        for g in range(ngroups):
            row, mine = z[g], sums[i, g]
            for p in range(nphases):
                part[p] += row[p] * mine[p]
        total = 0.0
        for p in range(nphases):
            total += part[p]
        out[1, i] = total


@njit(parallel=True)
def subtract_wave(groups, phase, steps, amplitude, start, group_step):
    """Subtract the wave from one integration.

    Parameters
    ----------
    groups : (ngroups, ny, nx) float32 [DN]
        Changed in place.
    phase : (ny, nx/4) float64
        Phase of each sample relative to the first of its frame.
    steps : (nphases + 1, 4) float64
        The wave [DN].
    amplitude, start, group_step : float
        Factor of the wave, phase of the first sample, phase from one group to the next.
    """
    ngroups, ny, nx = groups.shape
    for y in prange(ny):
        for g in range(ngroups):
            row = groups[g, y]
            offset = start + g * group_step
            for k in range(nx // 4):
                level = amplitude * _evaluate(steps, phase[y, k] + offset)
                x = 4 * k
                row[x] = np.float32(row[x] - level)
                row[x + 1] = np.float32(row[x + 1] - level)
                row[x + 2] = np.float32(row[x + 2] - level)
                row[x + 3] = np.float32(row[x + 3] - level)


def fit_phase(coefficients: np.ndarray, shifts: np.ndarray, least: float = _FLAT) -> tuple[float, float]:
    """Find phase and amplitude of the smallest chi square.

    Parameters
    ----------
    coefficients : (2, trials, nints) float64
        From :func:`trial_coefficients`.
    shifts : (nints,) float64
        Phase of each integration relative to the one that the result refers to.
    least : float
        Smallest coefficient ``a`` from which an amplitude is taken.

    Returns
    -------
    phase, amplitude : float
        Amplitude 0 if no wave of this shape can be told from straight ramps.

    Notes
    -----
    The minimum is that of a parabola through the best trial and its neighbours, across the end of the period where need
    be; the official step fits that parabola to phases that jump there. The amplitude is that of the next trial phase.
    """
    trials = coefficients.shape[1]
    a, b = _combine(coefficients, shifts, np.arange(trials) / trials)
    usable = (np.abs(a) > least) & np.isfinite(a) & np.isfinite(b)
    chi = np.where(usable, -(b**2) / np.where(usable, 4 * a, 1.0), np.nan)
    if not usable.any():
        return 0.0, 0.0
    best = int(np.nanargmin(chi))
    left, middle, right = chi[best - 1], chi[best], chi[(best + 1) % trials]
    bend = left - 2 * middle + right
    step = 0.5 * (left - right) / bend if np.isfinite(bend) and bend > 0 else 0.0
    phase = (best + step) / trials
    a, b = _combine(coefficients, shifts, np.array([phase]))
    return phase, float(-b[0] / (2 * a[0])) if abs(a[0]) > least else 0.0


def _combine(coefficients: np.ndarray, shifts: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Sum the coefficients over integrations, each at the trial phase that is not before its own."""
    trials = coefficients.shape[1]
    place = (phases[:, None] + shifts) * trials
    nearest = np.ceil(place - 1e-6).astype(np.int64) % trials
    return coefficients[:, nearest, np.arange(shifts.size)].sum(axis=-1)


def remove_wave_inplace(
    data: np.ndarray,
    pixeldq: np.ndarray,
    wave: Wave,
    clock: Clock,
    separately: bool = False,
    blocks: Callable[[], Iterator[tuple[int, int]]] | None = None,
    release: Callable[[], None] = lambda: None,
) -> list[tuple[float, float]]:
    """Fit a wave of known shape to ramps and subtract it.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place; may be a mapped file.
    pixeldq : (ny, nx) uint32
        Pixels with any flag are not fitted.
    wave : Wave
    clock : Clock
    separately : bool
        Fit phase and amplitude of each integration on its own instead of those of all together.
    blocks : callable, optional
        Gives the ``(first, stop)`` integrations to hold in memory at a time.
    release : callable, optional
        Called after each block.

    Returns
    -------
    list of (phase, amplitude)
        Of each integration, at its first sample.
    """
    nints = data.shape[0]
    blocks = blocks or (lambda: iter([(0, nints)]))
    spline = WaveSpline(wave.shape)
    phase = (clock.ticks() / wave.period) % 1
    group_step = (clock.frame / wave.period) % 1
    shifts = np.arange(nints) * (group_step * clock.ngroups + clock.resetclocks / wave.period)
    coefficients, pixels = _coefficients(data, pixeldq, spline, phase, group_step, blocks, release)
    # a frame that lasts whole periods shows the same wave in every group: only rounding tells it from the bias
    least = _HIDDEN * pixels * clock.ngroups * wave.shape.var()
    if separately:
        own = zip(np.split(coefficients, nints, axis=2), shifts[:, None], least, strict=True)
        found = [fit_phase(*each) for each in own]
    else:
        found = [fit_phase(coefficients, shifts, least.sum())] * nints
    placed = [((start + shift) % 1, amplitude) for (start, amplitude), shift in zip(found, shifts, strict=True)]
    for i0, i1 in blocks():
        for i in range(i0, i1):
            start, amplitude = placed[i]
            subtract_wave(data[i], phase, spline.steps, amplitude, start, group_step)
        release()
    return placed


def _coefficients(data, pixeldq, spline: WaveSpline, phase, group_step: float, blocks, release):
    """Return the coefficients of all integrations, (2, trials, nints), and how many pixels each rests on."""
    nints, ngroups, ny, nx = data.shape
    scatter = allocate((nints, ny, nx), np.float32, scratch.in_memory_limit() // 8)
    for i0, i1 in blocks():
        scatter_of_ramps(data[i0:i1], scatter[i0:i1])
        release()
        scratch.release(scatter)
    limit = _QUIET * _median(scatter)
    scratch.release(scatter)
    index = (phase * spline.size).astype(np.int32)
    usable = pixeldq == 0
    for k in _BAD_COLUMNS:
        usable[:, OUTPUTS * k : OUTPUTS * (k + 1)] = False
    out, pixels = np.empty((2, _TRIALS, nints)), np.empty(nints)
    for i0, i1 in blocks():
        sums = np.empty((i1 - i0, ngroups, spline.size))
        counts = np.empty((i1 - i0, spline.size))
        for i in range(i0, i1):
            quiet = usable & (scatter[i] < limit)
            sum_by_phase(data[i], quiet, index, sums[i - i0])
            count_by_phase(quiet, index, counts[i - i0])
        pixels[i0:i1] = counts.sum(axis=1)
        out[:, :, i0:i1] = trial_coefficients(sums, counts, spline.steps, group_step, _TRIALS)
        release()
        scratch.release(scatter)
    return out, pixels


def _median(values: np.ndarray) -> float:
    """Median, by selection where a copy is small and by counting where it would not be."""
    return float(np.median(values)) if values.size <= _SMALL else median(values)
