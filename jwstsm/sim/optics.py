"""From the sky to the charge rate in each pixel: distortion, point-spread function, throughput.

Flux convention, as in the archive's products: a pixel of relative area A sees the surface brightness
``flux / (A PIXAR_SR)``, and a rate of one DN/s in a flat-fielded image is PHOTMJSR MJy/sr. The flat field holds
everything that differs between pixels: response, gain, illumination and pixel area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy import fft

from jwstsm.sim import rng
from jwstsm.sim.chip import Chip, Region
from jwstsm.sim.geometry import ARCSEC, Camera
from jwstsm.sim.instruments import FilterRow
from jwstsm.sim.psf import OVERSAMPLE, PointSpread, point_spread, render_points
from jwstsm.sim.sky import flux_jy

__all__ = ["Throughput", "flat_field", "illumination", "render_light", "throughput"]

GALAXY_SPREAD_PIXELS = 24


@dataclass(frozen=True)
class Throughput:
    """Photometric constants of a detector behind a filter."""

    filter: FilterRow
    gain_e_dn: float
    pixel_area_sr: float

    @property
    def electrons_s_per_jy(self) -> float:
        """Charge rate of a source of one Jy [e-/s]."""
        return self.gain_e_dn / (self.pixel_area_sr * self.filter.photmjsr * 1e6)

    @property
    def electrons_s_per_mjysr(self) -> float:
        """Charge rate in a pixel of nominal area of a brightness of one MJy/sr [e-/s]."""
        return self.gain_e_dn / self.filter.photmjsr


def throughput(chip: Chip, camera: Camera, row: FilterRow) -> Throughput:
    """Collect the constants of a chip behind a filter."""
    return Throughput(row, chip.row.gain_e_dn, camera.pixel_area_arcsec2 * ARCSEC**2)


def filter_spread(camera: Camera, row: FilterRow) -> PointSpread:
    """The point-spread function of a filter on a camera."""
    # rounded, so that detectors of one channel share their tables
    pixel = round(float(np.sqrt(camera.pixel_area_arcsec2)), 4)
    return point_spread(row.pivot_um, row.width_um, pixel)


def illumination(row: FilterRow, detector: str, region: Region, seed: int) -> np.ndarray:
    """Return the smooth part of the flat field, a few per cent, as (ny, nx) float32."""
    generator = np.random.default_rng(int(rng.key(seed, detector, row.filter, row.pupil, "illumination")))
    coefficients = generator.normal(0, 0.012, (3, 3))
    coefficients[0, 0] = 1.0
    x = (region.x0 + np.arange(region.nx)) / 1024.0 - 1
    y = (region.y0 + np.arange(region.ny)) / 1024.0 - 1
    return np.polynomial.legendre.leggrid2d(y, x, coefficients).astype(np.float32)


def flat_field(chip: Chip, camera: Camera, row: FilterRow) -> np.ndarray:
    """Return the counts [DN/s] under uniform light relative to nominal, (ny, nx) float32, 0 in reference pixels."""
    flat = chip.response * illumination(row, chip.row.name, chip.region, chip.seed)
    flat *= camera.relative_area(*chip.region)
    return flat * (chip.row.gain_e_dn / chip.gain)


def render_light(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """Return the charge rate that the sky causes, (ny, nx) float32 [e-/s], response included.

    Parameters
    ----------
    chip : Chip
        The detector region that is read.
    camera : Camera
        Its view of the sky.
    row : FilterRow
        The filter.
    catalog : Table
        Sources as :func:`jwstsm.sim.sky.draw_catalog` makes them.
    background_mjysr : float
        Uniform surface brightness [MJy/sr].
    """
    constants = throughput(chip, camera, row)
    x, y = camera.sky_to_pixel(catalog["ra"], catalog["dec"])
    x, y = x - chip.region.x0, y - chip.region.y0
    flux = flux_jy(catalog, row.pivot_um) * constants.electrons_s_per_jy
    spread = filter_spread(camera, row)
    image = np.zeros(chip.region.shape)
    near = np.isfinite(x) & (x > -99) & (x < chip.region.nx + 99) & (y > -99) & (y < chip.region.ny + 99)
    stars = near & (catalog["kind"] == "star")
    render_points(image, spread, x[stars], y[stars], flux[stars])
    for k in np.flatnonzero(near & (catalog["kind"] == "galaxy")):
        _add_galaxy(image, spread, camera, catalog[k], (x[k], y[k]), flux[k], chip.region)
    image += background_mjysr * constants.electrons_s_per_mjysr * camera.relative_area(*chip.region)
    image *= chip.response
    image *= illumination(row, chip.row.name, chip.region, chip.seed)
    return image.astype(np.float32)


def _sky_per_pixel(camera: Camera, x: float, y: float) -> np.ndarray:
    """The (2, 2) matrix from pixel offsets to East and North [arcsec]."""
    ra, dec = camera.pixel_to_sky(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    east = (ra[1:] - ra[0] + 180) % 360 - 180
    return np.array([east * np.cos(np.radians(dec[0])), dec[1:] - dec[0]]) * 3600


def _add_galaxy(image, spread, camera, source, position, flux, region: Region) -> None:
    """Add one Sersic galaxy: profile on fine cells, convolved, summed into pixels, total flux exact."""
    matrix = _sky_per_pixel(camera, position[0] + region.x0, position[1] + region.y0)
    reach = int(np.clip(6 * source["half_light_arcsec"] / spread.pixel_arcsec, 6, 60))
    # few sizes, so that the transforms of the point-spread function are found ready
    reach += -reach % 6
    left, low = (int(np.floor(p + 0.5)) - reach - GALAXY_SPREAD_PIXELS for p in position)
    fine = (np.arange((2 * reach + 1) * OVERSAMPLE) + 0.5) / OVERSAMPLE - 0.5 + GALAXY_SPREAD_PIXELS
    dx, dy = np.meshgrid(fine + left - position[0], fine + low - position[1])
    east, north = matrix[0, 0] * dx + matrix[0, 1] * dy, matrix[1, 0] * dx + matrix[1, 1] * dy
    pa = np.radians(source["pa_deg"])
    major = east * np.sin(pa) + north * np.cos(pa)
    minor = (east * np.cos(pa) - north * np.sin(pa)) / source["axis_ratio"]
    n = source["sersic"]
    # Ciotti & Bertin (1999) to second order
    b = 2 * n - 1 / 3 + 4 / (405 * n)
    profile = np.exp(-b * ((major**2 + minor**2) / source["half_light_arcsec"] ** 2) ** (0.5 / n))
    profile[dx**2 + dy**2 > reach**2] = 0.0
    size = 2 * (reach + GALAXY_SPREAD_PIXELS) + 1
    length, kernel = _spread_transform(spread, size * OVERSAMPLE)
    light = fft.irfft2(fft.rfft2(profile, (length, length)) * kernel, (length, length))
    light = light[: size * OVERSAMPLE, : size * OVERSAMPLE]
    light = light.reshape(size, OVERSAMPLE, size, OVERSAMPLE).sum((1, 3))
    light *= flux / light.sum()
    y0, y1 = max(0, low), min(image.shape[0], low + size)
    x0, x1 = max(0, left), min(image.shape[1], left + size)
    if y0 < y1 and x0 < x1:
        image[y0:y1, x0:x1] += light[y0 - low : y1 - low, x0 - left : x1 - left]


_TRANSFORMS: dict[tuple[int, int], tuple[int, np.ndarray]] = {}


def _spread_transform(spread: PointSpread, size: int) -> tuple[int, np.ndarray]:
    """The length of a transform for images of ``size`` cells, and the transformed core of the point-spread function."""
    key = (id(spread.fine), size)
    if key not in _TRANSFORMS:
        length = fft.next_fast_len(size, real=True)
        centre, half = spread.fine.shape[0] // 2, GALAXY_SPREAD_PIXELS * OVERSAMPLE
        core = spread.fine[centre - half : centre + half + 1, centre - half : centre + half + 1]
        _TRANSFORMS[key] = length, fft.rfft2(core, (length, length))
    return _TRANSFORMS[key]
