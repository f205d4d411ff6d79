"""The point-spread function: diffraction at a segmented aperture, sampled finely and integrated over pixels.

The truth of every flux is exact by construction: a star's light is spread with a table of cumulative light whose
differences over pixels add up to one wherever the star falls inside a pixel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import integrate, ndimage

from jwstsm.core.compiled import njit

__all__ = ["PointSpread", "encircled_energy", "full_width", "point_spread", "render_points"]

OVERSAMPLE = 5
"""Fine cells per pixel; odd, so that the star sits in the middle of a cell."""
JITTER_ARCSEC = 0.007
_SEGMENT_FLAT_M = 1.32
_RADIUS_STEP = 0.04  # pixel
_ANGLES = 360


@dataclass(frozen=True)
class PointSpread:
    """A point-spread function on fine cells.

    ``fine`` is (n, n), sums to one and is centred on its middle cell; ``cumulative`` is its integral from the lower
    left corner, (n + 5, n + 5), with two constant cells around for interpolation.
    """

    fine: np.ndarray
    cumulative: np.ndarray
    pixel_arcsec: float
    radius: int
    """Support in pixels; all light falls inside."""


def _pupil(samples: int, width_m: float) -> np.ndarray:
    """Eighteen hexagonal segments without the centre, crossed by three struts."""
    grid = (np.arange(samples) - (samples - 1) / 2) * width_m / samples
    x, y = np.meshgrid(grid, grid)
    pitch = _SEGMENT_FLAT_M + 0.007
    clear = np.zeros((samples, samples))
    for q in range(-2, 3):
        for r in range(max(-2, -2 - q), min(2, 2 - q) + 1):
            if q == r == 0:
                continue
            dx, dy = x - pitch * np.sqrt(3) / 2 * q, y - pitch * (r + q / 2)
            reach = np.max([np.abs(dy), np.abs(dx * np.sqrt(3) / 2 + dy / 2), np.abs(dx * np.sqrt(3) / 2 - dy / 2)], 0)
            clear[reach <= _SEGMENT_FLAT_M / 2] = 1.0
    for angle in np.radians([90, 238, 302]):
        along = x * np.cos(angle) + y * np.sin(angle)
        across = np.abs(-x * np.sin(angle) + y * np.cos(angle))
        clear[(along > 0) & (across < 0.06)] = 0.0
    return clear


@functools.lru_cache(maxsize=16)
def point_spread(pivot_um: float, width_um: float, pixel_arcsec: float, radius: int = 70) -> PointSpread:
    """Compute the point-spread function of a filter.

    Parameters
    ----------
    pivot_um, width_um : float
        Centre and width of the filter [um]; five wavelengths across it are added up.
    pixel_arcsec : float
        Size of a detector pixel on the sky [arcsec].
    radius : int
        Support [pixel]; the light fades out over its last fifth and is normalised to one.

    Notes
    -----
    A matrix Fourier transform gives the diffraction pattern directly on the fine cells (Soummer et al. 2007).
    Pointing jitter is a Gaussian of 7 mas.
    """
    width_m = 6.9
    pupil = _pupil(256, width_m)
    size = (2 * radius + 1) * OVERSAMPLE
    cell_rad = pixel_arcsec / OVERSAMPLE * np.pi / 180 / 3600
    angle = (np.arange(size) - (size - 1) / 2) * cell_rad
    position = (np.arange(256) - 127.5) * width_m / 256
    fine = np.zeros((size, size))
    for wavelength in pivot_um + width_um * np.linspace(-0.4, 0.4, 5):
        kernel = np.exp(-2j * np.pi / (wavelength * 1e-6) * np.outer(angle, position))
        fine += np.abs(kernel @ pupil @ kernel.T) ** 2 / wavelength**2
    fine = ndimage.gaussian_filter(fine, JITTER_ARCSEC / pixel_arcsec * OVERSAMPLE)
    r = np.hypot(*np.meshgrid(angle, angle)) / cell_rad / OVERSAMPLE
    fine *= 0.5 + 0.5 * np.cos(np.pi * np.clip((r - 0.8 * radius) / (0.2 * radius), 0, 1))
    fine /= fine.sum()
    cumulative = np.pad(np.cumsum(np.cumsum(fine, 0), 1), ((1, 0), (1, 0)))
    return PointSpread(fine, np.pad(cumulative, 2, mode="edge"), pixel_arcsec, radius)


@njit
def _cubic_weights(f, out):
    """Four-point Lagrange weights at the fraction f between the second and third point."""
    out[0] = -f * (f - 1.0) * (f - 2.0) / 6.0
    out[1] = (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0
    out[2] = -(f + 1.0) * f * (f - 2.0) / 2.0
    out[3] = (f + 1.0) * f * (f - 1.0) / 6.0


@njit
def _spread(image, cumulative, radius, oversample, xs, ys, fluxes):
    ny, nx = image.shape
    wx, wy = np.empty(4), np.empty(4)
    edge = np.empty((2, 2 * radius + 3))
    for s in range(len(xs)):
        left, low = int(np.floor(xs[s] + 0.5)) - radius, int(np.floor(ys[s] + 0.5)) - radius
        # fine coordinate of the lower edge of the first pixel; whole pixels further on, the fraction is the same
        fx = (left - 0.5 - xs[s] + radius + 0.5) * oversample
        fy = (low - 0.5 - ys[s] + radius + 0.5) * oversample
        ix, iy = int(np.floor(fx)), int(np.floor(fy))
        _cubic_weights(fx - ix, wx)
        _cubic_weights(fy - iy, wy)
        top = cumulative.shape[0] - 1
        for j in range(2 * radius + 2):
            row = j % 2
            for i in range(2 * radius + 2):
                total = 0.0
                for a in range(4):
                    ya = min(max(iy + j * oversample + a + 1, 0), top)
                    part = 0.0
                    for b in range(4):
                        xb = min(max(ix + i * oversample + b + 1, 0), top)
                        part += wx[b] * cumulative[ya, xb]
                    total += wy[a] * part
                edge[row, i] = total
            y = low + j - 1
            if j == 0 or y < 0 or y >= ny:
                continue
            for i in range(2 * radius + 1):
                x = left + i
                if 0 <= x < nx:
                    light = edge[row, i + 1] - edge[row, i] - edge[1 - row, i + 1] + edge[1 - row, i]
                    image[y, x] += fluxes[s] * light


def render_points(image: np.ndarray, spread: PointSpread, x, y, flux) -> None:
    """Add point sources to an image.

    Parameters
    ----------
    image : (ny, nx) float64 ndarray
        Changed in place.
    spread : PointSpread
    x, y : (n,) arrays
        Positions in 0-based pixels of the image; sources off the edge give what falls inside.
    flux : (n,) array
        Total flux of each, in the unit of the image.
    """
    x, y, flux = (np.asarray(a, float) for a in (x, y, flux))
    near = (np.abs(x - image.shape[1] / 2) < image.shape[1] / 2 + spread.radius + 1) & (
        np.abs(y - image.shape[0] / 2) < image.shape[0] / 2 + spread.radius + 1
    )
    _spread(image, spread.cumulative, spread.radius, OVERSAMPLE, x[near], y[near], flux[near])


def encircled_energy(spread: PointSpread, resampled: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return radii [pixel] and the share of a star's light that aperture photometry finds within them.

    Notes
    -----
    What smooths the light, on average over the places of a star in its pixel, are boxes of one pixel: its integration
    over pixels, the sharing of the pixels at the rim of an aperture, and for ``resampled`` images two more, from
    drizzling full-size drops onto pixels of the same size. The sum over the circle is taken in polar coordinates.
    """
    light = spread.fine * OVERSAMPLE**2
    for _ in range(4 if resampled else 2):
        light = ndimage.uniform_filter(light, OVERSAMPLE, mode="constant")
    radius = np.arange(0, spread.radius + 0.5, _RADIUS_STEP)
    angle = (np.arange(_ANGLES) + 0.5) * (2 * np.pi / _ANGLES)
    middle = (light.shape[0] - 1) / 2
    places = [middle + OVERSAMPLE * np.outer(radius, wave) for wave in (np.sin(angle), np.cos(angle))]
    profile = ndimage.map_coordinates(light, places, order=3, mode="constant").mean(axis=1)
    return radius, integrate.cumulative_simpson(2 * np.pi * radius * profile, x=radius, initial=0)


def full_width(spread: PointSpread) -> float:
    """Return the full width at half maximum of a star in an image [pixel], from the area above half the peak."""
    light = ndimage.uniform_filter(spread.fine, OVERSAMPLE, mode="constant")
    return float(2 * np.sqrt((light > 0.5 * light.max()).sum() / np.pi) / OVERSAMPLE)
