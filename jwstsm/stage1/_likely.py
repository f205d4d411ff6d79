"""Likelihood slopes of all pixels: the best line through correlated group differences, with its own search for jumps.

The scaled differences ``d_k`` of neighbouring groups share read noise and, where frames are averaged, photon noise: their
covariance is tridiagonal. Its factors ``L D L^T`` give everything in one walk along the ramp: with ``u = L^-1 1`` and
``v = L^-1 d``,

    A = sum v^2 / D,  B = sum u v / D,  C = sum u^2 / D,  slope = B / C,  chi^2 = A - B^2 / C,

and a difference that is not used simply has ``1 / D = 0``. How much chi^2 drops when one or two differences are left out
follows from the same factors without fitting again.

Source: Brandt 2024, PASP 136, 045004 (fit) and 045005 (jumps).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, SATURATED
from jwstsm.stage1._columns import median_of_sorted, select_median, sort_columns

__all__ = ["MIN_GROUPS", "Sampling", "fit_rows", "jump_limits"]

#: Groups that the fit needs.
MIN_GROUPS = 4

_DNU = np.uint8(DO_NOT_USE)
_SAT = np.uint8(SATURATED)
_JUMP = np.uint8(JUMP_DET)
_BAD = np.uint8(DO_NOT_USE | SATURATED)
_NO_GAIN = np.uint32(NO_GAIN_VALUE | DO_NOT_USE)
_TINY = 1.0e-10


@dataclass(frozen=True)
class Sampling:
    """When a ramp is read, as the covariance of its differences needs it.

    Attributes
    ----------
    table : (5, ndiffs) float64
        Rows: time between the means of neighbouring groups [s]; diagonal of the covariance per unit of photon noise and
        of read noise; entries beside it, ``k`` with ``k - 1`` (the first is 0).
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
        table = np.zeros((5, step.size))
        table[0] = step
        table[1] = (tau[:-1] + tau[1:] - 2 * mean[:-1]) / step**2
        table[2] = (1 / number[:-1] + 1 / number[1:]) / step**2
        table[3, 1:] = (mean[1:-1] - tau[1:-1]) / (step[1:] * step[:-1])
        table[4, 1:] = -1 / (number[1:-1] * step[1:] * step[:-1])
        return cls(table, np.concatenate([[False], number[1:-1] > 1]), zero_frame)


def jump_limits(sigma: float | None) -> tuple[float, float]:
    """Return how much chi^2 must drop when one and two differences are left out, at equal false-alarm rate.

    Parameters
    ----------
    sigma : float or None
        Limit for one difference [sigma]; None for no search.
    """
    if sigma is None:
        return np.inf, np.inf
    probability = math.erfc(sigma / math.sqrt(2))
    two = round(-2 * math.log(probability), 1) if probability > 0 else sigma**2 + 10
    return sigma**2, two


@njit
def _factor(diffs, use, n, photon, read, table, inverse, couple, u, v):
    """Walk along the ramp; return A, B, C (see the module's docstring).

    ``photon`` and ``read`` scale the two parts of the covariance; ``inverse`` (1/D), ``couple`` (the entry of L that ties
    a difference to the one before it), ``u`` and ``v`` (n) are filled.
    """
    a_sum = 0.0
    b_sum = 0.0
    c_sum = 0.0
    for k in range(n):
        pivot = photon * table[1, k] + read * table[2, k]
        u[k] = 1.0
        v[k] = diffs[k]
        couple[k] = 0.0
        if not use[k]:
            inverse[k] = 0.0
            continue
        if k > 0 and use[k - 1]:
            beside = photon * table[3, k] + read * table[4, k]
            tie = beside * inverse[k - 1]
            pivot -= tie * beside
            u[k] -= tie * u[k - 1]
            v[k] -= tie * v[k - 1]
            couple[k] = tie
        inverse[k] = 1.0 / pivot
        a_sum += v[k] * v[k] * inverse[k]
        b_sum += u[k] * v[k] * inverse[k]
        c_sum += u[k] * u[k] * inverse[k]
    return a_sum, b_sum, c_sum


@njit
def _variances(n, c_sum, photon, read, table, inverse, couple, u):
    """Variances of the slope from photon and read noise, after :func:`_factor` with the same arguments."""
    var_p = 0.0
    var_r = 0.0
    after = 0.0
    for k in range(n - 1, -1, -1):
        weight = u[k] * inverse[k] - (couple[k + 1] * after if k + 1 < n else 0.0)
        var_p += weight * weight * table[1, k]
        var_r += weight * weight * table[2, k]
        if k + 1 < n:
            var_p += 2.0 * weight * after * table[3, k + 1]
            var_r += 2.0 * weight * after * table[4, k + 1]
        after = weight
    return var_p * photon / (c_sum * c_sum), var_r * read / (c_sum * c_sum)


@njit
def _best_omission(diffs, n, b_sum, c_sum, inverse, couple, u, v, use, pairs, one, two):
    """Find the one or two differences whose omission lowers chi^2 most.

    With ``x = S 1``, ``z = S d`` and ``S`` the inverse covariance, leaving out difference ``k`` lowers chi^2 by
    ``q^2 / P``, ``q = z_k - slope x_k``, ``P = S_kk - x_k^2 / C``; two neighbours by the same form with a 2 x 2 matrix.
    Of only two differences the larger one is left out.

    Returns
    -------
    first : int
        The difference to leave out, or -1.
    number : int
        1 or 2 (then also the next one).
    slope : float
        Slope without them.
    """
    used = 0
    for k in range(n):
        used += 1 if use[k] else 0
    slope = b_sum / c_sum
    best1 = 0.0
    best2 = 0.0
    at1 = -1
    at2 = -1
    slope1 = slope
    slope2 = slope
    x_after = 0.0
    q_after = 0.0
    s_after = 0.0
    z_after = 0.0
    p_after = 0.0
    for k in range(n - 1, -1, -1):
        tie = couple[k + 1] if k + 1 < n else 0.0
        x = u[k] * inverse[k] - tie * x_after
        z = v[k] * inverse[k] - tie * z_after
        s = inverse[k] + tie * tie * s_after
        q = z - slope * x
        p = s - x * x / c_sum
        fits = use[k] and p > _TINY * s
        # of two differences either may go; the larger one holds the hit
        if fits and (q * q / p > best1 if used > 2 or at1 < 0 else diffs[k] > diffs[at1]):
            best1 = q * q / p
            at1 = k
            slope1 = (b_sum - q / p * x) / c_sum
        if k + 1 < n and pairs[k + 1] and fits and use[k + 1] and used >= 3:
            off = -tie * s_after - x * x_after / c_sum
            determinant = p * p_after - off * off
            if determinant > _TINY * p * p_after:
                b = (q * p_after - q_after * off) / determinant
                c = (q_after * p - q * off) / determinant
                if b * q + c * q_after > best2:
                    best2 = b * q + c * q_after
                    at2 = k
                    slope2 = (b_sum - b * x - c * x_after) / c_sum
        x_after = x
        z_after = z
        s_after = s
        q_after = q
        p_after = p
    if best1 - one > best2 - two:
        return (at1 if best1 > one else -1), 1, slope1
    return (at2 if best2 > two else -1), 2, slope2


@njit
def _drop_jumps(diffs, use, n, slope, photon, read, table, pairs, one, two, inverse, couple, u, v):
    """Leave out differences until no omission lowers chi^2 enough; return the slope of what is left."""
    for _ in range(n):
        _, b_sum, c_sum = _factor(diffs, use, n, photon, read, table, inverse, couple, u, v)
        first, number, without = _best_omission(diffs, n, b_sum, c_sum, inverse, couple, u, v, use, pairs, one, two)
        if first < 0:
            break
        slope = without
        left = 0
        for k in range(first, first + number):
            use[k] = False
        for k in range(n):
            left += 1 if use[k] else 0
        if left <= 3:
            break
    return slope


@njit
def _load_strip(data, groupdq, zeroframe, i, y, x0, width, nframes, values, flags, seen, bad):
    """Copy an integration of a strip; the zero frame, if there is one, becomes a group before the first.

    ``values`` and ``flags`` (ngroups, width) are filled; NaN is flagged DO_NOT_USE. ``seen`` (width) is the union of the
    flags, ``bad`` (width) the number of saturated or unusable groups.
    """
    ngroups = data.shape[1]
    shift = 1 if zeroframe.shape[0] > 0 else 0
    for x in range(width):
        seen[x] = 0
        bad[x] = 0
    for g in range(ngroups):
        row = values[g + shift]
        marks = flags[g + shift]
        for x in range(width):
            value = data[i, g, y, x0 + x]
            mark = groupdq[i, g, y, x0 + x]
            row[x] = value
            marks[x] = mark if value == value else mark | _DNU
            seen[x] |= mark
            bad[x] += 1 if marks[x] & _BAD != 0 else 0
    if shift == 1:
        frames = np.float32(nframes)
        for x in range(width):
            zero = zeroframe[i, y, x0 + x]
            values[0, x] = zero
            flags[0, x] = flags[1, x] if zero == zero else flags[1, x] | _DNU
            values[1, x] = (values[1, x] * frames - zero) / (frames - np.float32(1))


@njit
def _differences(values, flags, n, width, table, robust, network, diffs, use, ordered, usable, guess):
    """Scaled differences [DN/s] of a strip, which of them count, and a first guess of the slope.

    The guess is the median of all differences, or with ``robust`` of those that count.
    """
    inf = np.float32(np.inf)
    for x in range(width):
        usable[x] = 0
    for k in range(n):
        scale = table[0, k]
        for x in range(width):
            step = values[k + 1, x] - values[k, x]
            # a jump lies before its group: it spoils the difference that leads to the group, not the next
            before = flags[k, x] & ~_JUMP if robust else flags[k, x]
            counts = before | flags[k + 1, x] == 0
            known = step == step
            use[k, x] = counts and known
            diffs[k, x] = np.float64(step) / scale if known else 0.0
            known = use[k, x] if robust else known
            ordered[k, x] = diffs[k, x] if known else inf
            usable[x] += 1 if known else 0
    if network.shape[0] > 0:
        sort_columns(ordered, network, width)
    else:
        for x in range(width):
            ordered[:n, x] = np.sort(ordered[:n, x])
    for x in range(width):
        guess[x] = max(0.0, median_of_sorted(ordered, x, usable[x])) if usable[x] > 0 else 0.0


@njit(parallel=True)
def fit_rows(
    data, groupdq, pixeldq, gain, readnoise, dark, zeroframe, nframes, table, pairs, one, two, robust,
    network, width, y0, y1, rate, ratedq, slope, slopedq, var_p, var_r, err, chisq,
):  # fmt: skip
    """Fit all ramps of rows ``y0`` to ``y1``.

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
        Guess the noise from unflagged differences, keep the difference after a jump, and fit a third time.
    network, width, y0, y1
        From :func:`merge_exchange`; pixels per strip; rows.
    rate : (5, ny, nx) float32
        Filled: slope [DN/s], variances from photon and read noise [(DN/s)^2], error [DN/s], chi^2 of the exposure.
    ratedq : (ny, nx) uint32
    slope, slopedq, var_p, var_r, err, chisq : (nints, ny, nx)
        Filled: the same per integration.
    """
    nints, ngroups, _, nx = data.shape
    n = table.shape[1]
    searches = np.isfinite(one)
    for j in prange(y1 - y0):
        y = y0 + j
        values = np.empty((n + 1, width), np.float32)
        flags = np.empty((n + 1, width), np.uint8)
        diffs = np.empty((n, width), np.float64)
        use = np.empty((n, width), np.bool_)
        ordered = np.empty((n, width), np.float32)
        usable = np.empty(width, np.int64)
        guess = np.empty(width, np.float64)
        seen = np.empty(width, np.uint8)
        bad = np.empty(width, np.int64)
        ramp = np.empty(n, np.float64)
        keep = np.empty(n, np.bool_)
        inverse = np.empty(n, np.float64)
        couple = np.empty(n, np.float64)
        u = np.empty(n, np.float64)
        v = np.empty(n, np.float64)
        column = np.empty(nints, np.float64)
        dy = y if dark.shape[0] > 1 else 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            for i in range(nints):
                _load_strip(data, groupdq, zeroframe, i, y, x0, w, nframes, values, flags, seen, bad)
                _differences(values, flags, n, w, table, robust, network, diffs, use, ordered, usable, guess)
                for x in range(w):
                    xx = x0 + x
                    factor = np.float64(gain[y, xx])
                    dq = pixeldq[y, xx] | np.uint32(seen[x] & (_SAT | _JUMP))
                    dq |= np.uint32(_DNU) if bad[x] == ngroups else np.uint32(0)
                    dq |= np.uint32(0) if factor > 0.0 else _NO_GAIN
                    read = np.float64(readnoise[y, xx]) ** 2 / 2.0
                    count = 0
                    for k in range(n):
                        ramp[k] = diffs[k, x]
                        keep[k] = use[k, x]
                        count += 1 if keep[k] else 0
                    fitted = np.nan
                    photon_var = np.nan
                    read_var = np.nan
                    error = np.nan
                    misfit = np.nan
                    if count > 0 and factor > 0.0:
                        photon = guess[x] / factor
                        a_sum, b_sum, c_sum = _factor(ramp, keep, n, photon, read, table, inverse, couple, u, v)
                        fitted = b_sum / c_sum
                        # no omission can lower chi^2 by more than all of it
                        if searches and count >= 2 and a_sum - b_sum * fitted > min(one, two):
                            fitted = _drop_jumps(
                                ramp, keep, n, fitted, photon, read, table, pairs, one, two, inverse, couple, u, v
                            )
                            for k in range(n):
                                dq |= np.uint32(_JUMP) if use[k, x] and not keep[k] else np.uint32(0)
                        current = np.float64(dark[dy, xx if dark.shape[1] > 1 else 0])
                        for _ in range(2 if robust else 1):
                            photon = (max(fitted, 0.0) + current) / factor
                            a_sum, b_sum, c_sum = _factor(ramp, keep, n, photon, read, table, inverse, couple, u, v)
                            fitted = b_sum / c_sum
                        photon_var, read_var = _variances(n, c_sum, photon, read, table, inverse, couple, u)
                        error = np.sqrt(1.0 / c_sum)
                        misfit = a_sum - b_sum * fitted
                    slope[i, y, xx] = fitted
                    slopedq[i, y, xx] = dq
                    var_p[i, y, xx] = photon_var
                    var_r[i, y, xx] = read_var
                    err[i, y, xx] = error
                    chisq[i, y, xx] = misfit
            for xx in range(x0, x0 + w):
                _combine(slope, slopedq, var_p, var_r, err, chisq, y, xx, column, rate, ratedq)


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
    if nints == 1:
        rate[0, y, x] = slope[0, y, x]
        rate[1, y, x] = var_p[0, y, x]
        rate[2, y, x] = var_r[0, y, x]
        rate[3, y, x] = err[0, y, x]
        return
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
            noise = var_p[i, y, x] * share
            weight = 1.0 / (noise + var_r[i, y, x])
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
