"""Aperture photometry of simulated stars, whose light in any circle is known."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry

__all__ = ["star_ratios", "stars_of"]


def stars_of(folder):
    """Return the true stars of a simulated program."""
    sources = Table.read(folder / "truth" / "sources.ecsv")
    return sources[sources["kind"] == "star"]


def star_ratios(image, x, y, flux, energy, radius=5.0, ring=(11.0, 16.0)):
    """Ratio of measured to true flux of isolated stars; the share of light in aperture and ring is known."""
    radii, share = energy
    ny, nx = image.shape
    inside = (x > 20) & (x < nx - 21) & (y > 20) & (y < ny - 21)
    x, y, flux = x[inside], y[inside], flux[inside]
    positions = np.column_stack([x, y])
    bad = ~np.isfinite(image)
    aperture = CircularAperture(positions, radius)
    sky = ApertureStats(image, CircularAnnulus(positions, *ring), mask=bad).median
    inner, light_in, light_out = np.interp([radius, *ring], radii, share)
    density = (light_out - light_in) / (np.pi * (ring[1] ** 2 - ring[0] ** 2))
    total = aperture_photometry(image, aperture, mask=bad)["aperture_sum"] - sky * aperture.area
    whole = aperture_photometry(bad.astype(float), aperture)["aperture_sum"] == 0
    return np.asarray(total / (inner - density * aperture.area) / flux)[np.asarray(whole)]
