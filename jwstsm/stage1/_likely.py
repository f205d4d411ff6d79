"""Likelihood slopes of all pixels: the best line through correlated group differences, with its own jump search.

The scaled differences ``d_k`` of neighbouring groups share read noise and, where frames are averaged, photon noise:
their covariance is tridiagonal. Its factors ``L D L^T`` give everything in one walk along the ramp: with
``u = L^-1 1`` and ``v = L^-1 d``,

    A = sum v^2 / D,  B = sum u v / D,  C = sum u^2 / D,  slope = B / C,  chi^2 = A - B^2 / C,

and a difference that is not used simply has ``1 / D = 0``.

Source: Brandt 2024, PASP 136, 045004 (fit) and 045005 (jumps).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, SATURATED
from jwstsm.products.readout import Readout
from jwstsm.stage1._columns import select_median
from jwstsm.stage1._likely_jumps import search_strip
from jwstsm.stage1._likely_strip import fit_strip, guess_line, guess_median, load_strip, strip_differences, variance_strip

__all__ = ["MIN_GROUPS", "Sampling", "fit_rows"]

#: Groups that the fit needs.
MIN_GROUPS = 4

_DNU = np.uint8(DO_NOT_USE)
_JUMP = np.uint8(JUMP_DET)
_PASSED_ON = np.uint8(JUMP_DET | SATURATED)
_NO_GAIN = np.uint32(NO_GAIN_VALUE | DO_NOT_USE)


@dataclass(frozen=True)
class Sampling:
    """When a ramp is read, as the covariance of its differences needs it.

    Attributes
    ----------
    table : (6, ndiffs) float64
        Rows: time between the means of neighbouring groups [s]; diagonal of the covariance per unit of photon noise and
        of read noise; entries beside it, ``k`` with ``k - 1`` (the first is 0); weights of an unweighted line.
    pairs : (ndiffs,) bool
        Whether a hit within group ``k`` spoils two differences, ``k - 1`` and ``k``: the group averages frames.
    zero_frame : bool
        The zero frame is a group of its own.
    """

    table: np.ndarray
    pairs: np.ndarray
    zero_frame: bool

    @classmethod
    def of(cls, read_pattern: list[list[int]], frame_time_s: float, zero_frame: bool = False) -> Sampling:
        """Return the sampling of groups that average the given frames (1-based).

        Parameters
        ----------
        read_pattern : list of list of int
            Frames of each group.
        frame_time_s : float
        zero_frame : bool
            Split the first frame off the first group, if that has more than one.
        """
        groups = [np.asarray(frames, float) * frame_time_s for frames in read_pattern]
        zero_frame = zero_frame and len(groups[0]) > 1
        if zero_frame:
            groups = [groups[0][:1], groups[0][1:], *groups[1:]]
        mean = np.array([times.mean() for times in groups])
        number = np.array([len(times) for times in groups])
        # variance-weighted mean time: the first frames of a group are in all later ones
        tau = np.array([(times * (2 * np.arange(len(times), 0, -1) - 1)).sum() / len(times) ** 2 for times in groups])
        step = np.diff(mean)
        table = np.zeros((6, step.size))
        table[0] = step
        table[1] = (tau[:-1] + tau[1:] - 2 * mean[:-1]) / step**2
        table[2] = (1 / number[:-1] + 1 / number[1:]) / step**2
        table[3, 1:] = (mean[1:-1] - tau[1:-1]) / (step[1:] * step[:-1])
        table[4, 1:] = -1 / (number[1:-1] * step[1:] * step[:-1])
        table[5] = step * (mean - mean.mean())[:0:-1].cumsum()[::-1]
        return cls(table, np.concatenate([[False], number[1:-1] > 1]), zero_frame)

    @classmethod
    def of_readout(cls, readout: Readout, zero_frame: bool = False) -> Sampling:
        """Return the sampling of an exposure, evenly spaced or not."""
        if readout.read_times_s:
            return cls.of(readout.read_times_s, 1.0, zero_frame)
        return cls.of(readout.read_pattern, readout.frame_time_s, zero_frame)

    def repeated(self, nints: int) -> Sampling:
        """Return the sampling of the differences of several integrations in a row."""
        return Sampling(np.tile(self.table, nints), np.tile(self.pairs, nints), self.zero_frame)


@njit(parallel=True)
def fit_rows(
    data, groupdq, pixeldq, gain, readnoise, dark, zeroframe, nframes, table, pairs, one, two, robust,
    network, width, rate, ratedq, slope, slopedq, var_p, var_r, err, chisq,
):  # fmt: skip
    """Fit all ramps.

    Parameters
    ----------
    data, groupdq : (nints, ngroups, ny, nx) float32 [DN], uint8
    pixeldq : (ny, nx) uint32
    gain, readnoise : (ny, nx) float32
        Gain [e-/DN]; noise of the difference of two frames [DN].
    dark : (ny, nx) or (1, 1) float32
        Average dark current [DN/s].
    zeroframe : (nints, ny, nx) float32
        Zero frames [DN]; empty for none.
    nframes : int
        Frames per group.
    table, pairs
        From :class:`Sampling`.
    one, two : float
        From :func:`jump_limits`.
    robust : bool
        Guess the noise from unflagged differences (from a line if there is no search), and keep the difference after a
        jump.
    network, width
        From :func:`merge_exchange`; pixels per strip.
    rate : (5, ny, nx) float32
        Filled if there are several integrations: slope [DN/s], variances from photon and read noise [(DN/s)^2], error
        [DN/s], chi^2 of the exposure.
    ratedq : (ny, nx) uint32
        Likewise.
    slope, slopedq, var_p, var_r, err, chisq : (nints, ny, nx)
        Filled: the same for each integration.
    """
    nints, ngroups, ny, nx = data.shape
    n = table.shape[1]
    searches = np.isfinite(one)
    ranked = searches or not robust
    for j in prange(ny):
        y = np.int64(j)  # j is unsigned, which does not mix with other integers
        values = np.empty((n + 1, width), np.float32)
        flags = np.empty((n + 1, width), np.uint8)
        diffs = np.empty((n, width), np.float64)
        keep = np.empty((n, width), np.float64)
        ordered = np.empty((n, width), np.float32)
        space = np.empty((5, n, width), np.float64)
        pixel = np.empty((7, width), np.float64)  # gain, read noise^2, dark, slope, photon noise, its two variances
        sums = np.empty((3, width), np.float64)
        kept = np.empty(width, np.float64)
        seen = np.empty(width, np.uint8)
        bad = np.empty(width, np.int64)
        column = np.empty((5, n), np.float64)
        used = np.empty(n, np.bool_)
        rates = np.empty(nints, np.float64)
        factor, read, current, fitted, photon, noise_p, noise_r = (
            pixel[0], pixel[1], pixel[2], pixel[3], pixel[4], pixel[5], pixel[6],
        )  # fmt: skip
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            _constants(gain, readnoise, dark, y, x0, w, factor, read, current)
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, y, x0, w, nframes, values, flags, seen, bad)
                strip_differences(values, flags, n, w, table, robust, factor, diffs, keep, ranked, ordered)
                if not ranked:
                    guess_line(diffs, keep, n, w, table, kept, fitted)
                else:
                    guess_median(ordered, network, n, w, fitted)
                    _photon_noise(fitted, current, 0.0, factor, w, photon)
                    fit_strip(diffs, keep, n, w, photon, read, table, space, sums[0], sums[1], sums[2])
                    for x in range(w):
                        fitted[x] = sums[1, x] / sums[2, x]
                if searches:
                    _count_kept(keep, n, w, kept)
                    search_strip(diffs, keep, n, w, photon, read, table, pairs, one, two, sums, fitted, column, used)
                _photon_noise(fitted, current, 1.0, factor, w, photon)
                fit_strip(diffs, keep, n, w, photon, read, table, space, sums[0], sums[1], sums[2])
                for x in range(w):
                    fitted[x] = sums[1, x] / sums[2, x]
                variance_strip(n, w, photon, sums[2], table, space, noise_p, noise_r)
                row = slice(x0, x0 + w)
                _write(fitted, w, slope[i, y, row])
                _write(noise_p, w, var_p[i, y, row])
                _write(noise_r, w, var_r[i, y, row])
                _chisq_and_error(sums, fitted, w, chisq[i, y, row], err[i, y, row])
                _integration_flags(pixeldq[y, row], seen, bad, factor, ngroups, w, slopedq[i, y, row])
                if searches:
                    _flag_dropped(keep, n, w, kept, slopedq[i, y, row])
            if nints == 1:
                continue
            for xx in range(x0, x0 + w):
                _combine(slope, slopedq, var_p, var_r, err, chisq, y, xx, rates, rate, ratedq)


@njit
def _constants(gain, readnoise, dark, y, x0, width, factor, read, current):
    """Gain, variance of the read noise of a frame [DN^2] and dark current of a strip."""
    dy = y if dark.shape[0] > 1 else 0
    for x in range(width):
        factor[x] = gain[y, x0 + x]
        read[x] = np.float64(readnoise[y, x0 + x]) ** 2 / 2.0
        current[x] = dark[dy, x0 + x if dark.shape[1] > 1 else 0]


@njit
def _chisq_and_error(sums, slope, width, chisq, err):
    """Write chi^2 and the error of the slopes of a strip; NaN where nothing counts."""
    for x in range(width):
        chisq[x] = sums[0, x] - sums[1, x] * slope[x]
    for x in range(width):
        err[x] = np.sqrt(1.0 / sums[2, x]) if sums[2, x] > 0.0 else np.nan


@njit
def _write(values, width, row):
    """Copy a strip to a row of the results."""
    for x in range(width):
        row[x] = values[x]


@njit
def _integration_flags(pixel, seen, bad, gain, ngroups, width, dq):
    """DQ of a strip in one integration before its own jumps are added."""
    for x in range(width):
        dq[x] = pixel[x] | np.uint32(seen[x] & _PASSED_ON)
    for x in range(width):
        dq[x] |= np.uint32(_DNU) if bad[x] == ngroups else np.uint32(0)
    for x in range(width):
        dq[x] |= np.uint32(0) if gain[x] > 0.0 else _NO_GAIN


@njit
def _photon_noise(slope, dark, share, gain, width, photon):
    """Scale of the photon noise of a strip: positive slope, and ``share`` of the dark current, per gain."""
    for x in range(width):
        photon[x] = ((slope[x] if slope[x] > 0.0 else 0.0) + share * dark[x]) / gain[x]


@njit
def _count_kept(keep, n, width, kept):
    """Number of differences that count in each pixel, into ``kept``."""
    for x in range(width):
        kept[x] = 0.0
    for k in range(n):
        row = keep[k]
        for x in range(width):
            kept[x] += row[x]


@njit
def _flag_dropped(keep, n, width, before, dq):
    """Set JUMP_DET where fewer differences count than ``before``."""
    for k in range(n):
        row = keep[k]
        for x in range(width):
            before[x] -= row[x]
    for x in range(width):
        dq[x] |= np.uint32(_JUMP) if before[x] > 0.0 else np.uint32(0)


@njit
def _combine(slope, slopedq, var_p, var_r, err, chisq, y, x, column, rate, ratedq):
    """Combine the integrations of a pixel: mean of the slopes, weighted by variances that share one photon noise."""
    nints = slope.shape[0]
    unusable = np.uint32(_DNU)
    dq = np.uint32(0)
    common = unusable
    known = 0
    rate[4, y, x] = 0.0
    for i in range(nints):
        dq |= slopedq[i, y, x]
        common &= slopedq[i, y, x]
        rate[4, y, x] += chisq[i, y, x]
        if slope[i, y, x] == slope[i, y, x]:
            column[known] = slope[i, y, x]
            known += 1
    ratedq[y, x] = dq & ~unusable | common
    mean = select_median(column, known)
    photon = np.nan
    read = np.nan
    for _ in range(2):
        total = 0.0
        top = 0.0
        photon = 0.0
        read = 0.0
        for i in range(nints):
            one = np.float64(slope[i, y, x])
            share = mean / one
            share = share if 0.0 <= share < np.inf else 0.0
            noise = np.float64(var_p[i, y, x]) * share
            weight = 1.0 / (noise + np.float64(var_r[i, y, x]))
            if one == one and weight == weight:
                total += weight
                top += weight * one
                photon += weight * weight * noise
                read += weight * weight * var_r[i, y, x]
        mean = top / total if known > 0 else np.nan
        photon = photon / (total * total) if known > 0 else np.nan
        read = read / (total * total) if known > 0 else np.nan
    rate[0, y, x] = mean
    rate[1, y, x] = photon
    rate[2, y, x] = read
    rate[3, y, x] = np.sqrt(photon + read)
