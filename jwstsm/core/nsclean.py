"""Low frequencies of 1/f noise, fitted to the dark pixels of a NIRSpec image and subtracted (NSClean).

Each readout line is a time series with gaps where light falls. A few complex exponentials are fitted to what is left, by
weighted least squares with weights that even out the density of samples; the sum of the exponentials, faded out towards
the highest frequency, is the noise. Source: B. Rauscher, "NSClean: An Algorithm for Removing Correlated Noise from JWST
NIRSpec Images" (2024, PASP 136, 015001), in the variants that the official ``clean_flicker_noise`` step uses.

Since the basis functions are powers of one exponential, the normal matrix depends on differences of frequencies only
(it is a Hermitian Toeplitz matrix): ``nvec`` sums per line instead of ``nvec**2``.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.selection import median_inplace

__all__ = ["clean_full_frame_inplace", "fade_out", "full_frame_weights", "solve_hermitian"]

# full frame; frequencies in 1/pixel along a line
_HALF_POWER = 1 / 256
_FADE_WIDTH = _HALF_POWER / 4
_DENSITY_SIGMA = 32.0
_REJECT = 3.0
_SMOOTH_SIGMA = 1.5
_SMOOTH_REACH = 10
_BORDER = 4
# the kernels of the published method are centred one pixel past the middle, which shifts what they smooth; kept
_OFFSET = 1
_SINGULAR = 1e-7


def fade_out(n: int, half_power: float = _HALF_POWER, width: float = _FADE_WIDTH) -> np.ndarray:
    """Return the factors of the frequencies ``k / n`` (in 1/pixel): 1, a cosine step down, then left out.

    Returns
    -------
    (nvec,) float64
        One factor for each frequency that is fitted, from 0 on.
    """
    frequency = np.fft.rfftfreq(n)
    step = (1 + np.cos(np.pi * (frequency - half_power) / width + np.pi / 2)) / 2
    factor = np.where(frequency <= half_power - width / 2, 1.0, step)
    factor[frequency > half_power + width / 2] = 0.0
    return factor[: np.count_nonzero(factor > 0)]


def full_frame_weights(keep: np.ndarray, sigma: float = _DENSITY_SIGMA) -> np.ndarray:
    """Return the inverse density of samples along each line.

    Parameters
    ----------
    keep : (nlines, nx) bool
        Usable pixels (True), one readout line per row.
    sigma : float
        Width of the Gaussian that the density is measured with [pixel].

    Returns
    -------
    (nlines, nx) float32
        At least 0; at most the weight of a sample without neighbours.

    Notes
    -----
    As in the official step the density of a line is that of the line before it, seen from one pixel further on.
    """
    from scipy import fft

    nx = keep.shape[1]
    x = np.arange(nx, dtype=np.float32)
    kernel = np.exp(-((x - nx // 2 - _OFFSET) ** 2) / sigma**2 / 2) / sigma / np.sqrt(2 * np.pi)
    spectrum = fft.rfft(np.fft.ifftshift(kernel).astype(np.float32))
    density = fft.irfft(fft.rfft(keep.astype(np.float32), axis=1) * spectrum, nx, axis=1)
    return _invert_density(density, np.float32(kernel.max()), _OFFSET)


@njit(parallel=True)
def _invert_density(density, least, offset):
    nlines, nx = density.shape
    out = np.empty((nlines, nx), np.float32)
    for y in prange(nlines):
        source = density[(y - offset) % nlines]
        for x in range(nx):
            # a sample always sees itself; less than that is rounding, or an empty line before this one
            out[y, x] = np.float32(1) / max(source[x], least)
    return out


@njit
def solve_hermitian(matrix, right, n, smallest):
    """Solve ``matrix x = right`` in place for a positive Hermitian matrix, by Cholesky's method.

    Parameters
    ----------
    matrix : (>= n, >= n) complex128
        Lower triangle is read; overwritten.
    right : (>= n,) complex128
        Overwritten by the solution.
    n : int
    smallest : float
        A pivot below this fraction of its diagonal element means that the samples do not determine the solution.

    Returns
    -------
    bool
        Whether there is a solution.
    """
    for j in range(n):
        diagonal = matrix[j, j].real
        pivot = diagonal
        for k in range(j):
            pivot -= matrix[j, k].real ** 2 + matrix[j, k].imag ** 2
        if not pivot > smallest * diagonal:
            return False
        pivot = np.sqrt(pivot)
        matrix[j, j] = pivot
        for i in range(j + 1, n):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * np.conj(matrix[j, k])
            matrix[i, j] = value / pivot
    for i in range(n):
        value = right[i]
        for k in range(i):
            value -= matrix[i, k] * right[k]
        right[i] = value / matrix[i, i].real
    for i in range(n - 1, -1, -1):
        value = right[i]
        for k in range(i + 1, n):
            value -= np.conj(matrix[k, i]) * right[k]
        right[i] = value / matrix[i, i].real
    return True


@njit
def _replace_outliers(value, scratch, n, reject):
    """Set values far from the median of ``value[:n]`` to the median."""
    for k in range(n):
        scratch[k] = value[k]
    middle = median_inplace(scratch, n)
    for k in range(n):
        scratch[k] = abs(value[k] - middle)
    limit = np.float32(reject) * (np.float32(1.4826) * median_inplace(scratch, n))
    for k in range(n):
        if not (middle - limit <= value[k] and value[k] <= middle + limit):
            value[k] = middle


@njit
def _fit_line(line, keep, weight, wave, wave_by_order, factor, reject, model):
    """Fit one line and write the model to ``model``; leave it alone if the samples do not determine the fit."""
    nx = line.size
    nvec = factor.size
    value = np.empty(nx, np.float32)
    place = np.empty(nx, np.int64)
    n = 0
    for x in range(nx):
        value[n] = line[x]
        place[n] = x
        n += keep[x]
    if n == 0:
        return
    _replace_outliers(value, np.empty(n, np.float32), n, reject)
    sums = np.zeros(2 * nvec)
    right = np.zeros(2 * nvec)
    for k in range(n):
        p = np.float64(weight[place[k]])
        p *= p
        pv = p * value[k]
        w = wave[place[k]]
        for j in range(2 * nvec):
            sums[j] += p * w[j]
            right[j] += pv * w[j]
    matrix = np.empty((nvec, nvec), np.complex128)
    solution = np.empty(nvec, np.complex128)
    for i in range(nvec):
        solution[i] = complex(right[i], -right[nvec + i])
        for j in range(i + 1):
            matrix[i, j] = complex(sums[i - j], -sums[nvec + i - j])
    if not solve_hermitian(matrix, solution, nvec, _SINGULAR):
        return
    for j in range(nvec):
        double = factor[j] * (2.0 if j > 0 else 1.0)
        sums[j] = double * solution[j].real
        sums[nvec + j] = -double * solution[j].imag
    total = np.zeros(nx)
    for j in range(2 * nvec):
        row = wave_by_order[j]
        for x in range(nx):
            total[x] += sums[j] * row[x]
    for x in range(nx):
        model[x] = total[x]


@njit(parallel=True)
def _fit_lines(lines, keep, weight, wave, wave_by_order, factor, border, reject):
    """Fit each line; return the model (nlines, nx) float32. ``wave`` is (nx, 2 nvec): cosines, then sines; and turned."""
    nlines, nx = lines.shape
    model = np.zeros((nlines, nx), np.float32)
    for y in prange(border, nlines - border):
        _fit_line(lines[y], keep[y], weight[y], wave, wave_by_order, factor, reject, model[y])
    return model


@njit(parallel=True)
def _subtract_smoothed(lines, model, taps, offset):
    """Subtract the model, smoothed across lines by ``taps`` and shifted by ``offset``, from the lines in place."""
    nlines, nx = lines.shape
    reach = taps.size // 2
    for y in prange(nlines):
        level = np.zeros(nx)
        for t in range(taps.size):
            source = model[(y - offset - (t - reach)) % nlines]
            for x in range(nx):
                level[x] += taps[t] * source[x]
        for x in range(nx):
            lines[y, x] = np.float32(lines[y, x] - level[x - offset])


@njit(parallel=True)
def _transpose(image, out, flip):
    """Copy ``image.T`` (its rows reversed if ``flip``) to ``out``, in tiles."""
    ny, nx = image.shape
    tile = 32
    for b in prange((ny + tile - 1) // tile):
        y0, y1 = b * tile, min(ny, (b + 1) * tile)
        for x0 in range(0, nx, tile):
            for x in range(x0, min(nx, x0 + tile)):
                row = nx - 1 - x if flip else x
                for y in range(y0, y1):
                    out[row, y] = image[y, x]


@njit(parallel=True)
def _transpose_back(lines, out, flip):
    """Undo :func:`_transpose`."""
    ny, nx = out.shape
    tile = 32
    for b in prange((ny + tile - 1) // tile):
        y0, y1 = b * tile, min(ny, (b + 1) * tile)
        for x0 in range(0, nx, tile):
            for x in range(x0, min(nx, x0 + tile)):
                row = nx - 1 - x if flip else x
                for y in range(y0, y1):
                    out[y, x] = lines[row, y]


def to_lines(image: np.ndarray, flip: bool) -> np.ndarray:
    """Return an image whose columns are readout lines as (nlines, npixels), in order of readout."""
    out = np.empty(image.shape[::-1], image.dtype)
    _transpose(image, out, flip)
    return out


def from_lines(lines: np.ndarray, out: np.ndarray, flip: bool) -> None:
    """Write lines back to the columns of ``out``."""
    _transpose_back(lines, out, flip)


def clean_full_frame_inplace(image: np.ndarray, keep: np.ndarray, flip: bool) -> None:
    """Fit the low frequencies of every column of an image and subtract them.

    Parameters
    ----------
    image : (ny, nx) float32
        Image without its background [any unit], in the orientation of the files: a readout line is a column. Changed in
        place.
    keep : (ny, nx) bool
        Pixels that the fit may use (True).
    flip : bool
        Whether columns are read from right to left.

    Notes
    -----
    The first and last four columns are not fitted. Values further than 3 standard deviations (from the median absolute
    deviation) from the median of their line count as the median. The model is smoothed across lines (Gaussian, 1.5
    lines) before it is subtracted. A line whose samples do not determine the fit is not corrected; the official step
    subtracts whatever its inverse in single precision gives there.
    """
    lines, usable = to_lines(image, flip), to_lines(keep, flip)
    nx = lines.shape[1]
    factor = fade_out(nx)
    angle = 2 * np.pi * np.arange(nx)[:, None] * np.arange(factor.size) / nx
    wave = np.concatenate((np.cos(angle), np.sin(angle)), axis=1)
    weight = full_frame_weights(usable)
    model = _fit_lines(lines, usable, weight, wave, np.ascontiguousarray(wave.T), factor, _BORDER, _REJECT)
    reach = np.arange(-_SMOOTH_REACH, _SMOOTH_REACH + 1)
    taps = np.exp(-((reach / _SMOOTH_SIGMA) ** 2) / 2) / _SMOOTH_SIGMA / np.sqrt(2 * np.pi)
    _subtract_smoothed(lines, model, taps, _OFFSET)
    from_lines(lines, image, flip)
