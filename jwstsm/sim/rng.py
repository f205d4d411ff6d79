"""Random numbers that depend on a key and a position only, not on the order or number of threads.

``uniform_field`` and ``normal_field`` give each pixel of the full detector its own value, so that a subarray is cut
out of the same chip. ``accumulate_poisson`` runs one stream per detector row.

Source: SplitMix64 (Steele, Lea & Flood 2014) for the streams; the transformed rejection of Hormann (1993, PTRS) for
Poisson deviates.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["accumulate_poisson", "key", "normal_field", "uniform_field"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 1.0 / 9007199254740992.0
_SMALL_MEAN = 12.0


def key(*words) -> np.uint64:
    """Return a 64-bit key that is a function of the words' text, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


@njit
def _mix(z):
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@njit
def next_uniform(state):
    """Advance ``state[0]`` and return a double in the open interval (0, 1)."""
    state[0] += _GOLDEN
    return (np.float64(_mix(state[0]) >> _S11) + 0.5) * _TO_UNIT


@njit
def next_poisson(mean, state):
    """Return a Poisson deviate of the given mean, 0 for a mean that is not positive."""
    if not mean > 0.0:
        return 0.0
    if mean < _SMALL_MEAN:
        limit = math.exp(-mean)
        count = 0.0
        product = next_uniform(state)
        while product > limit:
            count += 1.0
            product *= next_uniform(state)
        return count
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    quick = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    while True:
        u = next_uniform(state) - 0.5
        v = next_uniform(state)
        us = 0.5 - abs(u)
        count = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= quick:
            return count
        if count < 0.0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= count * log_mean - mean - math.lgamma(count + 1.0):
            return count


@njit(parallel=True)
def accumulate_poisson(charge, rate, interval_s, stream):
    """Add to ``charge`` the electrons collected in an interval.

    Parameters
    ----------
    charge : (ny, nx) float32 ndarray
        Charge in the pixels [e-]; changed in place.
    rate : (ny, nx) float32 ndarray
        Mean charge rate [e-/s].
    interval_s : float
        Length of the interval [s].
    stream : uint64
        Key of the random stream, see :func:`key`. Row y uses its own sub-stream.
    """
    ny, nx = charge.shape
    for y in prange(ny):
        state = np.empty(1, np.uint64)
        state[0] = _mix(stream + np.uint64(y + 1) * _MIX2)
        for x in range(nx):
            charge[y, x] += np.float32(next_poisson(np.float64(rate[y, x]) * interval_s, state))


@njit(parallel=True)
def uniform_field(stream, x0, y0, nx, ny):
    """Return (ny, nx) float32 uniform values of the full-frame pixels that start at column x0, row y0."""
    out = np.empty((ny, nx), np.float32)
    for y in prange(ny):
        for x in range(nx):
            index = np.uint64((y0 + y) * 65536 + x0 + x + 1)
            out[y, x] = np.float32((np.float64(_mix(stream + index * _GOLDEN) >> _S11) + 0.5) * _TO_UNIT)
    return out


@njit(parallel=True)
def normal_field(stream, x0, y0, nx, ny):
    """Return (ny, nx) float32 standard normal values of the full-frame pixels that start at column x0, row y0."""
    out = np.empty((ny, nx), np.float32)
    for y in prange(ny):
        state = np.empty(1, np.uint64)
        for x in range(nx):
            state[0] = _mix(stream ^ (np.uint64((y0 + y) * 65536 + x0 + x + 1) * _MIX1))
            radius = math.sqrt(-2.0 * math.log(next_uniform(state)))
            out[y, x] = np.float32(radius * math.cos(2.0 * math.pi * next_uniform(state)))
    return out
