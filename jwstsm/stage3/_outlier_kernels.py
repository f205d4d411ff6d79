"""Kernels of outlier detection: medians over a stack, comparison with a reference image, blanking of what was found."""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq as dqbits
from jwstsm.core.compiled import njit, prange

__all__ = ["blank_unusable", "flag_against", "flag_resampled", "rolling_median", "stack_median"]

_DO_NOT_USE = np.uint32(dqbits.DO_NOT_USE)
_FOUND = np.uint32(dqbits.DO_NOT_USE | dqbits.OUTLIER)
_INSERTION = 40  # longer lists are partitioned instead of sorted


@njit
def _middle(values, count):
    """Return the median of the first values of a buffer, which is reordered; the mean of two is taken in float32."""
    if count == 0:
        return np.float32(np.nan)
    if count > _INSERTION:
        return np.float32(np.median(values[:count]))
    for k in range(1, count):
        v = values[k]
        p = k - 1
        while p >= 0 and values[p] > v:
            values[p + 1] = values[p]
            p -= 1
        values[p + 1] = v
    if count % 2:
        return values[count // 2]
    return (values[count // 2 - 1] + values[count // 2]) * np.float32(0.5)


@njit(parallel=True)
def stack_median(stack, out):
    """Take the median of each pixel over a stack (n, ny, nx) float32, NaN left out, into ``out`` (ny, nx)."""
    for y in prange(out.shape[0]):
        values = np.empty(stack.shape[0], np.float32)
        for x in range(out.shape[1]):
            count = 0
            for k in range(stack.shape[0]):
                v = stack[k, y, x]
                if not np.isnan(v):
                    values[count] = v
                    count += 1
            out[y, x] = _middle(values, count)


@njit
def _steepest(image, y, x):
    """Return the largest absolute difference from a pixel to its four neighbours; those that are NaN do not count."""
    centre = image[y, x]
    out = np.float32(0.0)
    if np.isnan(centre):
        return centre
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        j, i = y + dy, x + dx
        if 0 <= j < image.shape[0] and 0 <= i < image.shape[1]:
            step = abs(image[j, i] - centre)
            if step > out and step < np.inf:
                out = step
    return out


@njit(parallel=True)
def flag_resampled(data, err, reference, snr, scale, background, first, found):
    """Mark pixels that differ from the blotted median by more than its gradient and the noise allow.

    A pixel is an outlier if ``|data - reference - background| > scale[1] * gradient + snr[1] * err`` and one of its
    3 x 3 neighbourhood passes the same test with ``scale[0]`` and ``snr[0]``.

    Parameters
    ----------
    data, err, reference : (ny, nx) float32
    snr, scale : (2,) float32
    background : float32
    first : (ny, nx) bool
        Scratch.
    found : (ny, nx) bool
        Result.
    """
    ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            noise = err[y, x] if not np.isnan(err[y, x]) else np.float32(0.0)
            gradient = _steepest(reference, y, x)
            excess = abs(data[y, x] - reference[y, x] - background)
            first[y, x] = excess > scale[0] * gradient + snr[0] * noise  # NaN compares false
            found[y, x] = excess > scale[1] * gradient + snr[1] * noise
    for y in prange(ny):
        for x in range(nx):
            if found[y, x]:
                near = False
                for j in range(max(y - 1, 0), min(y + 2, ny)):
                    for i in range(max(x - 1, 0), min(x + 2, nx)):
                        near = near or first[j, i]
                found[y, x] = near


@njit(parallel=True)
def flag_against(data, err, reference, snr, found):
    """Mark pixels of planes (n, ny, nx) that differ from a reference (n or 1, ny, nx) by more than ``snr * err``."""
    for y in prange(data.shape[1]):
        for k in range(data.shape[0]):
            r = k if reference.shape[0] > 1 else 0
            for x in range(data.shape[2]):
                noise = err[k, y, x] if not np.isnan(err[k, y, x]) else np.float32(0.0)
                found[k, y, x] = abs(data[k, y, x] - reference[r, y, x]) > snr * noise


@njit
def _slot(window, size, value):
    """Return where ``value`` belongs in the first ``size`` ascending values."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(parallel=True)
def rolling_median(cube, width, out):
    """Take the median of each pixel over ``width`` integrations around each of (nints, ny, nx) float32, into ``out``.

    A window that holds a NaN gives NaN. At both ends the first (last) whole window serves.
    """
    nints, ny, nx = cube.shape
    half = width // 2
    for y in prange(ny):
        window = np.empty(width, np.float32)  # the finite values of the window in ascending order
        for x in range(nx):
            size, missing = 0, 0
            for k in range(nints):
                v = cube[k, y, x]
                if np.isnan(v):
                    missing += 1
                else:
                    p = _slot(window, size, v)
                    for q in range(size, p, -1):
                        window[q] = window[q - 1]
                    window[p] = v
                    size += 1
                if k < width - 1:
                    continue
                middle = np.float32(np.nan)
                if missing == 0:
                    middle = window[half]
                    if width % 2 == 0:
                        middle = (window[half - 1] + middle) * np.float32(0.5)
                out[k - width + 1 + half, y, x] = middle
                old = cube[k - width + 1, y, x]
                if np.isnan(old):
                    missing -= 1
                else:
                    size -= 1
                    for q in range(_slot(window, size + 1, old), size):
                        window[q] = window[q + 1]
            last = nints - width + half
            for k in range(half):
                out[k, y, x] = out[half, y, x]
            for k in range(last + 1, nints):
                out[k, y, x] = out[last, y, x]


@njit(parallel=True)
def blank_unusable(found, dq, data, err, var_poisson, var_rnoise, var_flat):
    """Flag the pixels found, and make NaN in one plane, DO_NOT_USE and NaN in all planes the same set of pixels.

    All arrays are (n, ny, nx); absent errors have size 0. DQ bits set: DO_NOT_USE, OUTLIER.
    """
    has_err = err.size > 0
    has_poisson, has_rnoise, has_flat = var_poisson.size > 0, var_rnoise.size > 0, var_flat.size > 0
    for y in prange(data.shape[1]):
        for k in range(data.shape[0]):
            for x in range(data.shape[2]):
                if found[k, y, x]:
                    dq[k, y, x] |= _FOUND
                bad = np.isnan(data[k, y, x]) or dq[k, y, x] & _DO_NOT_USE != 0
                bad = bad or (has_err and np.isnan(err[k, y, x]))
                bad = bad or (has_poisson and np.isnan(var_poisson[k, y, x]))
                bad = bad or (has_rnoise and np.isnan(var_rnoise[k, y, x]))
                bad = bad or (has_flat and np.isnan(var_flat[k, y, x]))
                if not bad:
                    continue
                dq[k, y, x] |= _DO_NOT_USE
                data[k, y, x] = np.nan
                if has_err:
                    err[k, y, x] = np.nan
                if has_poisson:
                    var_poisson[k, y, x] = np.nan
                if has_rnoise:
                    var_rnoise[k, y, x] = np.nan
                if has_flat:
                    var_flat[k, y, x] = np.nan
