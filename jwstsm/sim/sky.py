"""The simulated sky: stars, galaxies and a smooth background, with fluxes in Jy and positions in ICRS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

__all__ = ["Crowd", "ab_mag_to_jy", "draw_catalog", "flux_jy"]


@dataclass(frozen=True)
class Crowd:
    """How many sources of which brightness are drawn."""

    stars_arcmin2: float = 60.0
    galaxies_arcmin2: float = 12.0
    star_mag: tuple[float, float] = (18.5, 24.5)
    """AB magnitude range at 2 um; the counts rise as 10**(0.25 mag)."""
    galaxy_mag: tuple[float, float] = (20.5, 25.0)
    separation_arcsec: float = 1.5
    """Least distance between any two sources, so that aperture photometry has a truth."""
    background: float = 1.0
    """Factor on the typical background of each filter."""


def ab_mag_to_jy(mag):
    """AB magnitude -> flux density [Jy]."""
    return 3631.0 * 10.0 ** (-0.4 * np.asarray(mag))


def flux_jy(catalog: Table, wavelength_um: float) -> np.ndarray:
    """Return the flux density [Jy] of each source at a wavelength: a power law through its flux at 2 um."""
    return np.asarray(catalog["flux_2um"]) * (wavelength_um / 2.0) ** np.asarray(catalog["slope"])


def draw_catalog(ra: float, dec: float, radius_arcsec: float, crowd: Crowd, generator: np.random.Generator) -> Table:
    """Draw the sources in a circle on the sky.

    Parameters
    ----------
    ra, dec : float
        Centre [deg].
    radius_arcsec : float
        Radius of the circle [arcsec].
    crowd : Crowd
        Densities, brightness and least separation.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Table
        Columns ``id``, ``kind`` (``star`` or ``galaxy``), ``ra``, ``dec`` [deg], ``flux_2um`` [Jy], ``slope``
        (flux ~ wavelength**slope), ``half_light_arcsec``, ``sersic``, ``axis_ratio``, ``pa_deg`` (East of North),
        brightest first.
    """
    area = np.pi * (radius_arcsec / 60.0) ** 2
    stars, galaxies = (generator.poisson(n * area) for n in (crowd.stars_arcmin2, crowd.galaxies_arcmin2))
    total = stars + galaxies
    is_star = np.arange(total) < stars
    mag = np.where(
        is_star,
        _rising(crowd.star_mag, total, generator),
        _rising(crowd.galaxy_mag, total, generator),
    )
    order = np.argsort(mag, kind="stable")
    is_star, mag = is_star[order], mag[order]
    east, north = _scatter(total, radius_arcsec, crowd.separation_arcsec, generator)
    placed = np.isfinite(east)
    offset = np.hypot(east, north)[placed]
    angle = np.arctan2(east, north)[placed]
    lon, lat = _offset_by(np.radians(ra), np.radians(dec), angle, np.radians(offset / 3600))
    count = int(placed.sum())
    star = is_star[placed]

    def drawn(values):
        return np.where(star, 0.0, values)

    catalog = Table(
        {
            "id": np.arange(1, count + 1),
            "kind": np.where(star, "star", "galaxy"),
            "ra": np.degrees(lon) % 360,
            "dec": np.degrees(lat),
            "flux_2um": ab_mag_to_jy(mag[placed]),
            "slope": np.where(star, generator.uniform(-1.8, -0.4, count), generator.uniform(-0.8, 0.8, count)),
            "half_light_arcsec": drawn(np.exp(generator.normal(np.log(0.28), 0.35, count))),
            "sersic": drawn(generator.uniform(0.8, 3.0, count)),
            "axis_ratio": drawn(generator.uniform(0.35, 1.0, count)),
            "pa_deg": drawn(generator.uniform(0, 180, count)),
        }
    )
    for name, unit in (("ra", "deg"), ("dec", "deg"), ("flux_2um", "Jy"), ("half_light_arcsec", "arcsec")):
        catalog[name].unit = unit
    return catalog


def _rising(limits, count, generator):
    """Magnitudes whose number rises as 10**(0.25 mag) between limits."""
    low, high = (10.0 ** (0.25 * m) for m in limits)
    return 4.0 * np.log10(generator.uniform(low, high, count))


def _scatter(count, radius, separation, generator):
    """Positions in a disc [arcsec], none nearer than ``separation`` to another; NaN where there was no room."""
    from scipy.spatial import cKDTree

    r = radius * np.sqrt(generator.random(count))
    angle = generator.uniform(0, 2 * np.pi, count)
    position = np.column_stack([r * np.sin(angle), r * np.cos(angle)])
    pairs = cKDTree(position).query_pairs(separation, output_type="ndarray") if count else np.empty((0, 2), int)
    drop = np.zeros(count, bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        # the brighter of a pair comes first in the list and stays
        if not drop[first]:
            drop[second] = True
    position[drop] = np.nan
    return position.T


def _offset_by(lon, lat, angle, distance):
    """The point at an angle (East of North) and distance from another, all in radians."""
    sin_lat = np.sin(lat) * np.cos(distance) + np.cos(lat) * np.sin(distance) * np.cos(angle)
    east = np.sin(angle) * np.sin(distance) * np.cos(lat)
    north = np.cos(distance) - np.sin(lat) * sin_lat
    return lon + np.arctan2(east, north), np.arcsin(sin_lat)
