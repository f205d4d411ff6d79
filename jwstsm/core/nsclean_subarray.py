"""NSClean for subarrays: the lines of a section, with the pauses between them, are one time series.

The image is cut along the slow axis into overlapping sections of about 512 usable pixels. Each section is fitted by
frequencies below a limit (1/f noise) and by those next to the highest one (alternating columns); the sections' models
are blended with weights that are largest in the middle of a section. Source: see :mod:`jwstsm.core.nsclean`.
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import get_num_threads

from jwstsm.core.compiled import njit
from jwstsm.core.nsclean import from_lines, solve_hermitian, to_lines

__all__ = ["PASS_BANDS", "clean_subarray_inplace", "drop_outliers_inplace", "sections"]

log = logging.getLogger(__name__)

_PAUSE = 12  # ticks between two lines
_TICK_S = np.float32(10e-6)
_REJECT = 4.0
_SECTION = 512
_LEAST_SHARE = 0.05
_SINGULAR = 1e-7
_KERNEL_REACH = 9.0

#: Where the filter falls to 0 and rises again [Hz], by subarray; None is any other.
PASS_BANDS: dict[str | None, tuple[int, int, int, int]] = {
    "ALLSLITS": (150, 200, 49943, 49957),
    None: (1061, 1211, 49943, 49957),
}


@functools.lru_cache(maxsize=4096)
def pass_factors(ticks: int, band: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies (as ``k`` of ``k / ticks``) that are fitted and their factors (int64, float64)."""
    frequency = (np.arange(ticks // 2 + 1) / (ticks * float(_TICK_S))).astype(np.float32)
    f0, f1, f2, f3 = (np.float32(f) for f in band)
    factor = np.zeros(frequency.size, np.float32)
    factor[frequency < f0] = 1
    down = (f0 <= frequency) & (frequency < f1)
    factor[down] = 0.5 * (np.cos(np.pi / (f1 - f0) * (frequency[down] - f0)) + 1)
    up = (f2 <= frequency) & (frequency < f3)
    factor[up] = 0.5 * (np.cos(np.pi / (f3 - f2) * (frequency[up] - f2) + np.pi) + 1)
    factor[frequency >= f3] = 1
    used = np.flatnonzero(factor > 0)
    return used, factor[used].astype(np.float64)


def drop_outliers_inplace(lines: np.ndarray, keep: np.ndarray, reject: float = _REJECT) -> None:
    """Drop from a mask the pixels far from the median of the image, and their four neighbours."""
    centre = np.median(lines[keep])
    away = np.abs(lines - centre)
    outlier = keep & (away > reject * (1.4825 * np.median(away[keep])))
    keep &= ~outlier
    keep[1:] &= ~outlier[:-1]
    keep[:-1] &= ~outlier[1:]
    keep[:, 1:] &= ~outlier[:, :-1]
    keep[:, :-1] &= ~outlier[:, 1:]


def sections(keep: np.ndarray, size: int = _SECTION) -> list[tuple[int, int]]:
    """Return ``(first, stop)`` lines of overlapping sections with about ``size`` usable pixels each.

    Notes
    -----
    A section starts half a section after the one before it. When fewer than 1.5 ``size`` pixels are left, the section
    goes to the end.
    """
    rows = np.flatnonzero(keep.any(axis=1))
    if rows.size == 0:
        return []
    before = np.concatenate(([0], np.cumsum(keep.sum(axis=1))))
    first, end = int(rows[0]), int(rows[-1]) + 1
    found = []
    while first < end:
        stop = end
        if before[-1] - before[first] > 1.5 * size:
            stop = min(end, int(np.searchsorted(before, before[first] + size, side="right")))
        stop = max(stop, first + 1)
        found.append((first, stop))
        if stop == end:
            break
        first += max(round((stop - first) / 2), 1)
    return found


@njit
def _section_density(tick, n, ticks, sigma, reach):
    """Inverse density of samples (sorted ticks, circular) at each of them, with the official offset of one tick."""
    low = max(-(ticks // 2) - 1, -reach)
    high = min(ticks - ticks // 2 - 2, reach)
    inside = np.zeros(2 * ticks)
    for k in range(n):
        inside[tick[k]] = 1.0
        inside[tick[k] + ticks] = 1.0
    density = np.zeros(ticks)
    norm = 1.0 / (sigma * np.sqrt(2.0 * np.pi))
    for j in range(low, high + 1):
        share = norm * np.exp(-0.5 * (j / sigma) ** 2)
        source = inside[(-1 - j) % ticks :]
        for t in range(ticks):
            density[t] += share * source[t]
    out = np.empty(n)
    for k in range(n):
        total = density[tick[k]]
        out[k] = 1.0 / total if total > 0.0 else 0.0
    return out


@njit
def _normal_equations(tick, value, weight, n, used, cosine, sine, matrix, right):
    """Fill matrix and right side; sums over the samples are made once for each difference of frequencies."""
    ticks = cosine.size
    nvec = used.size
    known = np.zeros(ticks, np.bool_)
    sums = np.zeros(ticks, np.complex128)
    for i in range(nvec):
        re, im = 0.0, 0.0
        for k in range(n):
            t = (tick[k] * used[i]) % ticks
            p = weight[k] * weight[k] * value[k]
            re += p * cosine[t]
            im -= p * sine[t]
        right[i] = complex(re, im)
        for j in range(i + 1):
            step = used[i] - used[j]
            if not known[step]:
                re, im = 0.0, 0.0
                for k in range(n):
                    t = (tick[k] * step) % ticks
                    p = weight[k] * weight[k]
                    re += p * cosine[t]
                    im -= p * sine[t]
                sums[step] = complex(re, im)
                known[step] = True
            matrix[i, j] = sums[step]


@njit
def _evaluate(model, solution, used, factor, cosine, sine, pause):
    """Write the real series of the faded frequencies to the pixels of the section."""
    ny, nx = model.shape
    ticks = cosine.size
    for j in range(used.size):
        double = 1.0 if used[j] == 0 or 2 * used[j] == ticks else 2.0
        re = double * factor[j] * solution[j].real
        im = double * factor[j] * solution[j].imag
        for y in range(ny):
            for x in range(nx):
                t = ((y * (nx + pause) + x) * used[j]) % ticks
                model[y, x] += re * cosine[t] - im * sine[t]


@njit
def _fit_section(lines, keep, used, factor, sigma, reach, pause, singular, model):
    """Write the model of one section, (nlines, nx) float64; return whether its samples determine it."""
    ny, nx = lines.shape
    ticks = ny * (nx + pause)
    tick = np.empty(ny * nx, np.int64)
    value = np.empty(ny * nx)
    n = 0
    for y in range(ny):
        for x in range(nx):
            model[y, x] = 0.0
            if keep[y, x]:
                tick[n] = y * (nx + pause) + x
                value[n] = lines[y, x]
                n += 1
    cosine, sine = np.empty(ticks), np.empty(ticks)
    for t in range(ticks):
        cosine[t], sine[t] = np.cos(2.0 * np.pi * t / ticks), np.sin(2.0 * np.pi * t / ticks)
    weight = _section_density(tick, n, ticks, sigma, reach)
    nvec = used.size
    matrix = np.empty((nvec, nvec), np.complex128)
    right = np.empty(nvec, np.complex128)
    _normal_equations(tick, value, weight, n, used, cosine, sine, matrix, right)
    if not solve_hermitian(matrix, right, nvec, singular):
        return False
    _evaluate(model, right, used, factor, cosine, sine, pause)
    return True


def clean_subarray_inplace(
    image: np.ndarray, keep: np.ndarray, flip: bool, band: tuple[int, int, int, int] = PASS_BANDS[None]
) -> bool:
    """Fit and subtract the correlated noise of a subarray, section by section.

    Parameters
    ----------
    image : (ny, nx) float32
        Image without its background [any unit], in the orientation of the files: a readout line is a column. Changed in
        place.
    keep : (ny, nx) bool
        Pixels that the fit may use (True).
    flip : bool
        Whether columns are read from right to left.
    band : tuple of int
        The four corners of the filter [Hz]: 1 below the first, 0 between the second and third, 1 above the fourth.

    Returns
    -------
    bool
        False if no pixel is usable; the image is unchanged then.
    """
    lines, usable = to_lines(image, flip), to_lines(keep, flip)
    if usable.any():
        drop_outliers_inplace(lines, usable)
    found = sections(usable)
    if not found:
        return False
    # a section with too few pixels gets a model of zeros, and its share of the weight
    fitted = [(a, b) for a, b in found if usable[a:b].mean() > _LEAST_SHARE]
    models = dict(zip(fitted, _models(lines, usable, fitted, band), strict=True))
    total, weights = np.zeros(lines.shape), np.zeros(lines.shape)
    for a, b in found:
        weight = 1.001 - np.abs(np.linspace(-1, 1, b - a))[:, None]
        if (a, b) in models:
            total[a:b] += weight * models[a, b]
        weights[a:b] += weight
    weights[total == 0] = 1
    lines -= total / weights
    from_lines(lines, image, flip)
    return True


def _models(lines: np.ndarray, usable: np.ndarray, parts: list[tuple[int, int]], band) -> list[np.ndarray]:
    """Return the models of sections, (nlines, nx) each; zeros where the samples do not determine one."""
    sigma = 1 / ((band[0] + band[1]) / 2) / float(_TICK_S) / 2 / 4
    reach = int(np.ceil(_KERNEL_REACH * sigma))

    def fit(part: tuple[int, int]) -> tuple[np.ndarray, bool]:
        first, stop = part
        model = np.empty((stop - first, lines.shape[1]))
        used, factor = pass_factors((stop - first) * (lines.shape[1] + _PAUSE), band)
        here = lines[first:stop], usable[first:stop]
        return model, _fit_section(*here, used, factor, sigma, reach, _PAUSE, _SINGULAR, model)

    # sections are independent of each other, and the compiled fit lets other threads run
    with ThreadPoolExecutor(get_num_threads()) as pool:
        found = list(pool.map(fit, parts))
    failed = sum(not solved for _, solved in found)
    if failed:
        log.warning("%d of %d sections have too few background pixels and stay as they are", failed, len(parts))
    return [model for model, _ in found]
