"""Photometry of a source list in circular apertures, and DAOFIND's shape statistics, as compiled loops over sources.

The overlap of circle and pixels is exact. The numbers are those of photutils' ``aperture_photometry`` and annulus
masks with the method ``center``, which the official source catalog uses; the tests hold the two against each other.
"""

from __future__ import annotations

import math

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.starfind import StarKernel, smooth, symmetry

__all__ = ["annulus_background", "aperture_sums", "circle_overlap", "nearest_neighbours", "star_shapes"]

_ROUNDS = 5
_SIGMA = 3.0


@njit
def _half_disc(x, r):
    """Area of the upper half disc of radius ``r`` left of ``x``."""
    x = min(max(x, -r), r)
    return 0.5 * (x * math.sqrt(r * r - x * x) + r * r * (math.asin(x / r) + 0.5 * math.pi))


@njit
def _corner(x, y, r):
    """Area of the disc of radius ``r`` left of ``x`` and below ``y``."""
    if y >= r:
        return 2.0 * _half_disc(x, r)
    if y <= -r:
        return 0.0
    c = math.sqrt(r * r - y * y)
    b = min(max(x, -c), c)
    area = y * (b + c) + _half_disc(b, r) - _half_disc(-c, r)
    if y > 0:
        area += 2.0 * _half_disc(min(x, -c), r)
        if x > c:
            area += 2.0 * (_half_disc(x, r) - _half_disc(c, r))
    return area


@njit
def circle_overlap(x0, x1, y0, y1, r):
    """Area of the part of a rectangle that lies in a circle of radius ``r`` about the origin."""
    near_x, near_y = max(x0, -x1, 0.0), max(y0, -y1, 0.0)
    if near_x * near_x + near_y * near_y >= r * r:
        return 0.0
    far_x, far_y = max(-x0, x1), max(-y0, y1)
    if far_x * far_x + far_y * far_y <= r * r:
        return (x1 - x0) * (y1 - y0)
    return max(0.0, _corner(x1, y1, r) - _corner(x0, y1, r) - _corner(x1, y0, r) + _corner(x0, y0, r))


@njit(parallel=True)
def aperture_sums(data, error, x, y, radius):
    """Sum an image and its variance in circles.

    Parameters
    ----------
    data, error : ndarray, (ny, nx) float32
        The image and its error [any unit].
    x, y : ndarray, (n,) float64
        Centres [pixel from 0]; those that are not finite give NaN.
    radius : float
        Radius [pixel].

    Returns
    -------
    ndarray, (n, 2) float64
        Sum and its error; NaN outside the image and where a pixel has no data.
    """
    ny, nx = data.shape
    out = np.full((x.size, 2), np.nan)
    for k in prange(x.size):
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        j0, j1 = math.floor(y[k] - radius + 0.5), math.floor(y[k] + radius + 0.5)
        i0, i1 = math.floor(x[k] - radius + 0.5), math.floor(x[k] + radius + 0.5)
        if j1 < 0 or i1 < 0 or j0 >= ny or i0 >= nx:
            continue
        total, variance = 0.0, 0.0
        for j in range(max(j0, 0), min(j1, ny - 1) + 1):
            for i in range(max(i0, 0), min(i1, nx - 1) + 1):
                part = circle_overlap(i - 0.5 - x[k], i + 0.5 - x[k], j - 0.5 - y[k], j + 0.5 - y[k], radius)
                if part > 0:
                    total += part * data[j, i]
                    variance += part * float(error[j, i]) ** 2
        out[k, 0], out[k, 1] = total, math.sqrt(variance)
    return out


@njit(parallel=True)
def annulus_background(data, x, y, inner, outer):
    """Measure the background in rings around sources.

    Parameters
    ----------
    data : ndarray, (ny, nx) float32
        The image [any unit]; NaN pixels are left out.
    x, y : ndarray, (n,) float64
        Centres [pixel from 0].
    inner, outer : float
        Radii of the ring [pixel]; a pixel belongs to it when its centre does.

    Returns
    -------
    ndarray, (n, 2) float64
        Median and its standard error, sqrt(pi / 2 N) times the standard deviation, of the N pixels that 5 rounds of
        clipping at 3 sigma leave.
    """
    ny, nx = data.shape
    out = np.full((x.size, 2), np.nan)
    reach = math.ceil(outer) + 1
    for k in prange(x.size):
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        values = np.empty((2 * reach + 1) ** 2)
        n = 0
        jc, ic = math.floor(y[k] + 0.5), math.floor(x[k] + 0.5)
        for j in range(max(jc - reach, 0), min(jc + reach, ny - 1) + 1):
            for i in range(max(ic - reach, 0), min(ic + reach, nx - 1) + 1):
                d2 = (j - y[k]) ** 2 + (i - x[k]) ** 2
                if d2 < outer * outer and not d2 < inner * inner and np.isfinite(data[j, i]):
                    values[n] = data[j, i]
                    n += 1
        if n == 0:
            continue
        ordered = np.sort(values[:n])
        median, std, left = _clipped(ordered)
        out[k, 0] = median
        out[k, 1] = math.sqrt(math.pi / (2.0 * left)) * std
    return out


@njit
def _clipped(ordered):
    """Clip ordered values; return median, standard deviation and number of what is left."""
    low, high, done = 0, ordered.size, 0
    while True:
        n = high - low
        half = (low + high) // 2
        median = ordered[half] if n % 2 else 0.5 * (ordered[half - 1] + ordered[half])
        mean = ordered[low:high].mean()
        std = math.sqrt(((ordered[low:high] - mean) ** 2).mean())
        if done == _ROUNDS:
            return median, std, n
        new_low, new_high = low, high
        while ordered[new_low] < median - _SIGMA * std:
            new_low += 1
        while ordered[new_high - 1] > median + _SIGMA * std:
            new_high -= 1
        done += 1
        if new_low == low and new_high == high:
            return median, std, n
        low, high = new_low, new_high


def star_shapes(data: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return DAOFIND's sharpness and roundness of sources.

    Parameters
    ----------
    data : ndarray, (ny, nx) float32
        The image [any unit].
    x, y : ndarray, (n,) float64
        Centres [pixel from 0].
    fwhm : float
        Full width at half maximum of the kernel [pixel].

    Returns
    -------
    sharpness, roundness : ndarray, (n,)
        Height of the middle pixel above its surroundings over that of the best Gaussian; two-fold over four-fold
        symmetry of the smoothed image. NaN for sources without a position.
    """
    kernel = StarKernel(fwhm)
    half, size = kernel.half, 2 * kernel.half + 1
    place = np.isfinite(x) & np.isfinite(y)
    # halves are rounded down, as astropy's extract_array does
    xc = np.where(place, np.ceil(np.where(place, x, 0) - size / 2.0), 0).astype(int) + half
    yc = np.where(place, np.ceil(np.where(place, y, 0) - size / 2.0), 0).astype(int) + half
    step = np.arange(-half, half + 1)
    yy, xx = yc[:, None, None] + step[None, :, None], xc[:, None, None] + step[None, None, :]
    inside = (yy >= 0) & (yy < data.shape[0]) & (xx >= 0) & (xx < data.shape[1]) & place[:, None, None]
    where = yy.clip(0, data.shape[0] - 1), xx.clip(0, data.shape[1] - 1)
    cut = np.where(inside, data[where], np.float32(0))
    conv = np.where(inside, smooth(data, kernel)[where], np.float32(0))
    peak = cut[:, half, half]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = ((cut * kernel.mask).sum(axis=(1, 2), dtype=np.float64) - peak) / (kernel.mask.sum() - 1)
        sharpness = (peak - mean) / conv[:, half, half]
    roundness = np.asarray(symmetry(conv))
    roundness[~place] = np.nan
    return sharpness, roundness


def nearest_neighbours(x: np.ndarray, y: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return label and distance [pixel] of the nearest other source; -1 and NaN where there is none."""
    nearest, distance = np.full(x.size, -1, label.dtype), np.full(x.size, np.nan)
    place = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if place.size > 1:
        from scipy.spatial import cKDTree

        xy = np.stack([x[place], y[place]], axis=1)
        d, i = cKDTree(xy).query(xy, k=[2])
        nearest[place], distance[place] = label[place[i[:, 0]]], d[:, 0]
    return nearest, distance
