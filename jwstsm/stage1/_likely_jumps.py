"""Jumps found by the likelihood fit: differences whose omission makes a ramp much more probable.

How much chi^2 drops when one or two differences are left out follows from the factors of the covariance without fitting
again. Source: Brandt 2024, PASP 136, 045005.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from jwstsm.core.compiled import njit

__all__ = ["drop_jumps", "jump_limits", "search_limits", "search_strip"]

_TINY = 1.0e-10


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


def search_limits(sigma: float) -> np.ndarray:
    """Return the drops of chi^2 that make a jump so that a difference is flagged by chance as often as a Gaussian.

    Parameters
    ----------
    sigma : float
        Limit for one difference [sigma].

    Returns
    -------
    (3,) float64 ndarray
        Without one difference; without two neighbouring ones, which flags two and comes on top of the first test, so that
        it is passed an eighth as often; without the larger of only two, as a single test decides about both and may be
        passed twice as often.
    """
    probability = math.erfc(sigma / math.sqrt(2))
    two = -2 * math.log(probability / 8) if probability > 0 else sigma**2 + 10
    larger = NormalDist().inv_cdf(min(probability, 0.5)) ** 2 if probability > 0 else sigma**2
    return np.array([sigma**2, two, larger])


@njit
def _factor(diffs, use, n, photon, read, table, inverse, couple, u, v):
    """Walk along the ramp; return A, B, C (see the module's docstring).

    ``photon`` and ``read`` scale the two parts of the covariance; ``inverse`` (1/D), ``couple`` (the entry of L that
    ties a difference to the one before it), ``u`` and ``v`` (n) are filled.
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
def _best_omission(diffs, n, b_sum, c_sum, inverse, couple, u, v, use, pairs, one, two):
    """Find the one or two differences whose omission lowers chi^2 most.

    With ``x = S 1``, ``z = S d`` and ``S`` the inverse covariance, leaving out difference ``k`` lowers chi^2 by
    ``q^2 / P``, ``q = z_k - slope x_k``, ``P = S_kk - x_k^2 / C``; two neighbours by the same form with a 2 x 2 matrix.
    Where all choices leave a single difference, the larger ones go.

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
                drop = b * q + c * q_after
                # of three differences any two neighbours leave one, which fits; the larger two hold the hit
                larger = at2 >= 0 and diffs[k] + diffs[k + 1] > diffs[at2] + diffs[at2 + 1]
                if drop > best2 if used > 3 or at2 < 0 else larger:
                    best2 = drop
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
def drop_jumps(diffs, use, n, slope, photon, read, table, pairs, one, two, last, least, inverse, couple, u, v):
    """Leave out differences until no omission lowers chi^2 enough or at most ``least`` are left.

    Of two differences the larger one goes if that lowers chi^2 by more than ``last``. ``use`` (n) is changed; the slope
    of what is left is returned.
    """
    left = 0
    for k in range(n):
        left += 1 if use[k] else 0
    for _ in range(n):
        _, b_sum, c_sum = _factor(diffs, use, n, photon, read, table, inverse, couple, u, v)
        limit = one if left > 2 else last
        first, number, without = _best_omission(diffs, n, b_sum, c_sum, inverse, couple, u, v, use, pairs, limit, two)
        if first < 0:
            break
        slope = without
        for k in range(first, first + number):
            use[k] = False
        left -= number
        if left <= least:
            break
    return slope


@njit
def search_strip(diffs, keep, n, width, photon, read, table, pairs, one, two, sums, slope, column, used):
    """Leave out jumps of the pixels of a strip that have any; renew their slope and ``keep``."""
    for x in range(width):
        # no omission can lower chi^2 by more than all of it
        if not sums[0, x] - sums[1, x] * slope[x] > min(one, two):
            continue
        count = 0
        for k in range(n):
            column[0, k] = diffs[k, x]
            used[k] = keep[k, x] > 0.0
            count += 1 if used[k] else 0
        if count < 2:
            continue
        slope[x] = drop_jumps(
            column[0], used, n, slope[x], photon[x], read[x], table, pairs, one, two, one, 3,
            column[1], column[2], column[3], column[4],
        )  # fmt: skip
        for k in range(n):
            keep[k, x] = 1.0 if used[k] else 0.0
