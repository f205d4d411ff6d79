"""refpix for IRS2: the slow noise of each output predicted from its reference pixels and the reference output.

In time order an output is a series with a sample per clock. Its noise is the sum of two convolutions: of its own
interleaved reference pixels, and of the reference output, which was read at the same time. The convolutions are
multiplications of Fourier transforms by the complex weights ``beta`` and ``alpha`` of the reference file.

A frame of 712 x 2048 clocks is transformed as a matrix: along the slow axis, which is contiguous in the file, a twiddle
factor, then along the fast axis. Clocks without a science or reference sample need no transform along the slow axis,
and since the series are real, half of the slow frequencies are enough: that and short transforms that stay in the cache
make it several times faster than one long transform. Gaps of the reference output are filled by a low-pass
filter applied several times; for each slow frequency that is a small matrix, the same for all of them.

Source: Rauscher et al. 2017 (PASP 129, 105003) and the behaviour of the official ``refpix`` step (jwst 3.0.0).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from scipy import fft

from jwstsm.core.compiled import njit, prange
from jwstsm.stage1._irs2 import NORMAL, REFERENCE, ROW_CLOCKS, FrameLayout

__all__ = ["Weights", "subtract_irs2_inplace", "weights_from_table"]

_ROWS = 2048
_CLOCKS = ROW_CLOCKS * _ROWS
_SLOW = _ROWS // 2 + 1
_HALF_WINDOW = 15
_FILL_PASSES = 3


@dataclass(frozen=True)
class Weights:
    """Fourier weights of the reference output and of the interleaved reference pixels, one row per output.

    Attributes
    ----------
    alpha, beta : (4, 712, 1025) complex64
        Frequency ``slow + 2048 * fast`` [cycles per frame], fast frequencies along the first axis. Made Hermitian: the
        part of a weight that would give an imaginary correction is dropped.
    """

    alpha: np.ndarray
    beta: np.ndarray


@njit(parallel=True)
def _hermitian_half(words, columns, out):
    """Read pairs of (real, imaginary) rows of big-endian floats; see :class:`Weights` for the result."""
    nfast, nslow = out.shape[1:]
    nrows = 2 * (nslow - 1)
    for q in prange(nfast):
        bits = np.empty(4, np.uint32)
        values = bits.view(np.float32)
        for r in range(nslow):
            here = q * nrows + r
            mirror = (nfast * nrows - here) % (nfast * nrows)
            for k in range(columns.size):
                for j in range(4):
                    word = words[2 * (here if j < 2 else mirror) + j % 2, columns[k]]
                    bits[j] = (word >> 24) | ((word >> 8) & 0xFF00) | ((word & 0xFF00) << 8) | ((word & 0xFF) << 24)
                real = np.float32(0.5) * (values[0] + values[2])
                out[k, q, r] = complex(real, np.float32(0.5) * (values[1] - values[3]))


def weights_from_table(table: np.ndarray) -> Weights | None:
    """Read the ``IRS2`` table of a REFPIX reference.

    Parameters
    ----------
    table : (2 * 712 * 2048,) record array
        Columns ``alpha_0`` ... ``beta_3``, float32: real and imaginary parts in turn.

    Returns
    -------
    Weights, or None if the table has another length.
    """
    if len(table) != 2 * _CLOCKS:
        return None
    names = [n.lower() for n in table.dtype.names]
    plain = np.asarray(table).view(np.ndarray)
    if any(plain.dtype[k] != np.dtype(">f4") for k in range(len(names))):
        plain = plain.astype([(n, ">f4") for n in names])
    words = np.ascontiguousarray(plain).view(np.uint32).reshape(len(plain), len(names))
    found = []
    for kind in ("alpha", "beta"):
        columns = np.array([names.index(f"{kind}_{k}") for k in range(4)])
        out = np.empty((4, ROW_CLOCKS, _SLOW), np.complex64)
        _hermitian_half(words, columns, out)
        found.append(out)
    return Weights(*found)


@njit(parallel=True)
def mean_of_groups(planes, out):
    """Average the groups of every pixel: ``planes`` (ngroups, ny, nx) float32 -> ``out`` (ny, nx) float64 [DN]."""
    ngroups, ny, nx = planes.shape
    for y in prange(ny):
        total = out[y]
        for x in range(nx):
            total[x] = 0.0
        for g in range(ngroups):
            for x in range(nx):
                total[x] += planes[g, y, x]
        for x in range(nx):
            total[x] /= ngroups


@njit
def fit_line(plane, mean, rows, clocks, slow, edges):
    """Fit a line in time to the pixels at both ends of the slow axis, of the difference to the mean of the groups.

    Parameters
    ----------
    plane : (ny, nx) float32 [DN]
    mean : (ny, nx) float64 [DN]
    rows, clocks : (nsamples,) int64
        File row and clock of each sample of a section.
    slow : (nx,) int64
        Place of each file column along the slow axis.
    edges : (nedges,) int64
        File columns that are used.

    Returns
    -------
    level [DN], slope [DN / clock]
        About the middle of the frame. Differences of exactly 0 mark missing samples.
    """
    count, st, sd, stt, std = 0, 0.0, 0.0, 0.0, 0.0
    middle = (plane.shape[1] * ROW_CLOCKS - 1) / 2.0
    for k in range(rows.size):
        for x in edges:
            value = np.float32(plane[rows[k], x] - mean[rows[k], x])
            if value != 0:
                t = slow[x] * ROW_CLOCKS + clocks[k] - middle
                count += 1
                st += t
                sd += value
                stt += t * t
                std += t * value
    spread = stt - st * st / count if count > 1 else 0.0
    if not spread > 0:
        return (sd / count if count else 0.0), 0.0
    slope = (std - st * sd / count) / spread
    return (sd - slope * st) / count, slope


@njit
def _take_series(plane, mean, rows, clocks, slow, level, slope, out):
    """Copy samples without their mean and line, columns in order of time; missing ones are exactly 0."""
    middle = (plane.shape[1] * ROW_CLOCKS - 1) / 2.0
    for k in range(rows.size):
        for x in range(plane.shape[1]):
            value = np.float32(plane[rows[k], x] - mean[rows[k], x])
            if value != 0:
                value = np.float32(value - (level + slope * (slow[x] * ROW_CLOCKS + clocks[k] - middle)))
            out[k, slow[x]] = value


@njit
def _fill_missing(series, filled):
    """Fill clocks without a value by a mean of their neighbours in time, weighted by a half cosine wave.

    ``series`` and ``filled`` are (712, 2048) float32: clock within the row, row. The frame is taken as periodic.
    """
    nclocks, nrows = series.shape
    weight = np.sin(np.arange(-_HALF_WINDOW, _HALF_WINDOW + 1) * np.pi / (2 * _HALF_WINDOW + 2) + np.pi / 2)
    for c in range(nclocks):
        for x in range(nrows):
            filled[c, x] = series[c, x]
            if series[c, x] == 0:
                total, norm = 0.0, 0.0
                for k in range(-_HALF_WINDOW, _HALF_WINDOW + 1):
                    cc, xx = c + k, x
                    if cc < 0:
                        cc, xx = cc + nclocks, (x - 1) % nrows
                    elif cc >= nclocks:
                        cc, xx = cc - nclocks, (x + 1) % nrows
                    value = series[cc, xx]
                    if value != 0:
                        total += weight[k + _HALF_WINDOW] * value
                        norm += weight[k + _HALF_WINDOW]
                if norm > 0:
                    filled[c, x] = np.float32(total / norm)


@njit
def _subtract(plane, mean, rows, clocks, slow, level, slope, correction, keep_mean):
    """Subtract line and correction (nsamples, 2048) from the samples ``rows``, and their mean unless it is kept."""
    middle = (plane.shape[1] * ROW_CLOCKS - 1) / 2.0
    for k in range(rows.size):
        for x in range(plane.shape[1]):
            base = mean[rows[k], x]
            value = np.float64(np.float32(plane[rows[k], x] - base))
            if value != 0:
                value -= level + slope * (slow[x] * ROW_CLOCKS + clocks[k] - middle)
            value -= correction[k, slow[x]]
            plane[rows[k], x] = np.float32(value + base if keep_mean else value)


def _pass_band() -> np.ndarray:
    """Return the filter that fills the reference output: (712, 1025) float32, fast and slow frequency.

    It passes the lowest and the highest frequencies with tapers of half a cosine wave.
    """
    period = NORMAL + REFERENCE + 2
    taper = 110000 // period
    flat = ROW_CLOCKS // period * _ROWS // 2 - taper // 2
    edge = (np.cos(np.arange(taper) * np.pi / taper) + 1.0) / 2.0
    half = np.zeros(_CLOCKS // 2)
    half[:flat], half[flat : flat + taper] = 1.0, edge
    half = np.maximum(half, half[::-1])
    # of frequency and negative frequency; the highest one passes
    whole = np.concatenate([half, half[:1], half[:0:-1]])
    return whole.reshape(ROW_CLOCKS, _ROWS)[:, :_SLOW].astype(np.float32)


class _Transform:
    """Transforms of series given clock by clock, and the fill of the reference output; made once per exposure."""

    def __init__(self) -> None:
        clocks = np.arange(ROW_CLOCKS)
        self.twiddle = np.exp(-2j * np.pi / _CLOCKS * np.outer(clocks, np.arange(_SLOW))).astype(np.complex64)
        band = _pass_band()
        passed = np.flatnonzero(band.any(axis=1))
        self.band = band[passed]
        self.known = FrameLayout.science_clocks
        self.unknown = np.setdiff1d(clocks, self.known)
        wave = np.exp(-2j * np.pi / ROW_CLOCKS * (np.outer(passed, clocks) % ROW_CLOCKS))
        self.from_known = np.ascontiguousarray(wave[:, self.known], np.complex64)
        self.from_unknown = np.ascontiguousarray(wave[:, self.unknown], np.complex64)
        self.to_unknown = np.ascontiguousarray(wave[:, self.unknown].conj().T / ROW_CLOCKS, np.complex64)
        self.masked = (wave[:, self.unknown] @ wave[:, self.unknown].conj().T / ROW_CLOCKS).astype(np.complex64)
        # each reference sample stands for two: places of samples (0, 2, 0, 2, 1, 3, 1, 3) about its own four
        blocks = np.arange(ROW_CLOCKS // (NORMAL + REFERENCE + 2))[:, None]
        order = np.tile(np.arange(REFERENCE).reshape(2, -1).T, (1, 2)).ravel()
        self.widened = (blocks * REFERENCE + order).ravel()
        first = (NORMAL - REFERENCE) // 2 + 1
        self.places = (blocks * (NORMAL + REFERENCE + 2) + first + np.arange(2 * REFERENCE)).ravel()

    def reference_output(self, series: np.ndarray) -> np.ndarray:
        """Fill the gaps and reference samples of the reference output.

        Parameters
        ----------
        series : (712, 2048) float32
            With a first guess in the gaps.

        Returns
        -------
        (712, 1025) complex64
            Transformed along the slow axis, twiddled.
        """
        mixed = fft.rfft(series, axis=1)
        mixed *= self.twiddle
        known = self.from_known @ mixed[self.known]
        low = self.band * (known + self.from_unknown @ mixed[self.unknown])
        for _ in range(_FILL_PASSES - 1):
            low = self.band * (known + self.masked @ low)
        mixed[self.unknown] = self.to_unknown @ low
        return mixed

    def references(self, series: np.ndarray) -> np.ndarray:
        """Transform the interleaved reference samples (128, 2048) of an output; (712, 1025) complex64."""
        mixed = np.zeros((ROW_CLOCKS, _SLOW), np.complex64)
        mixed[self.places] = fft.rfft(series, axis=1)[self.widened]
        mixed *= self.twiddle
        return fft.fft(mixed, axis=0, overwrite_x=True)

    def back(self, mixed: np.ndarray, clocks: np.ndarray) -> np.ndarray:
        """Return some clocks of a series that is transformed along the slow axis; (nclocks, 2048) float32."""
        return fft.irfft(mixed[clocks] * self.twiddle[clocks].conj(), n=_ROWS, axis=1)


def subtract_irs2_inplace(planes: np.ndarray, layout: FrameLayout, weights: Weights, preserve: bool = False) -> None:
    """Subtract the predicted noise from the groups of one integration.

    Parameters
    ----------
    planes : (ngroups, 3200, 2048) float32 [DN]
        Changed in place: the science pixels of the four outputs. Their mean over the groups stays. Values that equal
        their mean over the groups count as missing.
    layout : FrameLayout
    weights : Weights
    preserve : bool
        Correct the interleaved reference pixels too, without giving their mean back, and leave the filled reference output
        in its place.
    """
    mean = np.empty(planes.shape[1:])
    mean_of_groups(planes, mean)
    slow = np.arange(_ROWS)[:: -1 if layout.slow_backwards else 1].copy()
    transform = _Transform()
    job = _Job(layout, weights, transform, mean, slow, preserve)
    with ThreadPoolExecutor(max(1, numba.get_num_threads())) as pool:
        # one group at a time: each is a job of its own, whatever the number of threads
        list(pool.map(job, planes))


@dataclass
class _Job:
    """The correction of one plane."""

    layout: FrameLayout
    weights: Weights
    transform: _Transform
    mean: np.ndarray
    slow: np.ndarray
    preserve: bool

    def __call__(self, plane: np.ndarray) -> None:
        layout, mean, slow = self.layout, self.mean, self.slow
        edges = np.r_[0:4, _ROWS - 4 : _ROWS]
        lines = [fit_line(plane, mean, rows, layout.clocks, slow, edges) for rows in layout.rows]
        mixed = self._reference_output(plane, lines[0])
        spectrum = fft.fft(mixed, axis=0)
        for section in range(1, 5):
            rows = layout.rows[section]
            series = np.empty((layout.reference_samples.size, _ROWS), np.float32)
            clocks = layout.reference_clocks
            _take_series(plane, mean, rows[layout.reference_samples], clocks, slow, *lines[section], series)
            noise = self.transform.references(series)
            noise *= self.weights.beta[section - 1]
            noise += self.weights.alpha[section - 1] * spectrum
            noise = fft.ifft(noise, axis=0, overwrite_x=True)
            self._subtract(plane, noise, rows[layout.science_samples], layout.science_clocks, lines[section], True)
            if self.preserve:
                self._subtract(plane, noise, rows[layout.reference_samples], clocks, lines[section], False)

    def _reference_output(self, plane, line) -> np.ndarray:
        """Return the transform of the reference output along the slow axis, gaps filled."""
        layout, rows = self.layout, self.layout.rows[0]
        series = np.zeros((ROW_CLOCKS, _ROWS), np.float32)
        samples = np.empty((rows.size, _ROWS), np.float32)
        _take_series(plane, self.mean, rows, layout.clocks, self.slow, *line, samples)
        series[layout.clocks] = samples
        filled = np.empty_like(series)
        _fill_missing(series, filled)
        mixed = self.transform.reference_output(filled)
        if self.preserve:
            filled[layout.reference_clocks] = self.transform.back(mixed, layout.reference_clocks)
            plane[rows] = filled[layout.clocks][:, self.slow] + self.mean[rows]
        return mixed

    def _subtract(self, plane, noise, rows, clocks, line, keep_mean: bool) -> None:
        correction = self.transform.back(noise, clocks)
        _subtract(plane, self.mean, rows, clocks, self.slow, *line, correction, keep_mean)
