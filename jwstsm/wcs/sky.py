"""Sky positions of all pixels, the tangent plane about a point, separations, and the sizes of pixels.

Source: spherical trigonometry; the gnomonic projection of FITS WCS paper II.
"""

from __future__ import annotations

import numpy as np

from jwstsm.errors import InputError
from jwstsm.wcs.model import as_wcs
from jwstsm.wcs.surrogate import fit_surrogate

__all__ = [
    "mean_pixel_area_sr",
    "pixel_scale_deg",
    "pixel_to_sky",
    "separation_deg",
    "tangent_from_sky",
    "tangent_to_sky",
]


def tangent_from_sky(ra, dec, ra0: float, dec0: float):
    """Project sky positions [deg] on the plane tangent at ``(ra0, dec0)``.

    Returns
    -------
    (ndarray, ndarray)
        Standard coordinates, east and north [rad]; NaN for positions 90 degrees away or more.
    """
    d_ra, dec, dec0 = np.deg2rad(np.asarray(ra) - ra0), np.deg2rad(dec), np.deg2rad(dec0)
    depth = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(d_ra)
    depth = np.where(depth > 0, depth, np.nan)
    north = np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(d_ra)
    return np.cos(dec) * np.sin(d_ra) / depth, north / depth


def tangent_to_sky(east, north, ra0: float, dec0: float):
    """Return the sky positions [deg] of standard coordinates [rad] about ``(ra0, dec0)``."""
    sin0, cos0 = np.sin(np.deg2rad(dec0)), np.cos(np.deg2rad(dec0))
    x = cos0 - np.asarray(north) * sin0
    ra = ra0 + np.rad2deg(np.arctan2(east, x))
    dec = np.rad2deg(np.arctan2(sin0 + north * cos0, np.hypot(x, east)))
    return np.mod(ra, 360.0), dec


def separation_deg(ra1, dec1, ra2, dec2):
    """Return the angle between positions [deg], accurate at every size (Vincenty's formula)."""
    d_ra, a, b = np.deg2rad(np.asarray(ra2) - ra1), np.deg2rad(dec1), np.deg2rad(dec2)
    across = np.hypot(np.cos(b) * np.sin(d_ra), np.cos(a) * np.sin(b) - np.sin(a) * np.cos(b) * np.cos(d_ra))
    return np.rad2deg(np.arctan2(across, np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(d_ra)))


def pixel_scale_deg(wcs, ra: float, dec: float) -> float:
    """Return the pixel scale at a sky position [deg]: geometric mean of the steps by one pixel in x and in y."""
    wcs = as_wcs(wcs)
    x, y = wcs.invert(ra, dec, with_bounding_box=False)
    lon, lat = wcs(x + np.array([0.0, 1.0, 0.0]), y + np.array([0.0, 0.0, 1.0]), with_bounding_box=False)
    steps = separation_deg(lon[0], lat[0], lon[1:], lat[1:])
    return float(np.sqrt(steps[0] * steps[1]))


def mean_pixel_area_sr(wcs, shape) -> float:
    """Return the mean solid angle of the pixels of an image [sr].

    The outline through the centres of its outer pixels (within the bounding box) is projected by Lambert's equal-area
    projection, where a polygon has the area that it has on the sky.

    Parameters
    ----------
    wcs : Wcs or gwcs.wcs.WCS
    shape : (int, int)
        (ny, nx).

    Returns
    -------
    float

    Raises
    ------
    InputError
        If the image is smaller than two pixels or its outline has no position.
    """
    wcs = as_wcs(wcs)
    ny, nx = shape[-2:]
    (x0, x1), (y0, y1) = wcs.bounding_box or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    x0, x1 = max(0, int(x0 + 0.5)), min(nx - 1, int(x1 - 0.5))
    y0, y1 = max(0, int(y0 + 0.5)), min(ny - 1, int(y1 - 0.5))
    if x1 <= x0 or y1 <= y0:
        raise InputError("an image of less than 2 x 2 pixels has no mean pixel area")
    along_x = np.linspace(x0, x1, max(5, (x1 - x0) // 15 + 2))[:-1]
    along_y = np.linspace(y0, y1, max(5, (y1 - y0) // 15 + 2))[:-1]
    x = np.concatenate([along_x, np.full(along_y.size, x1), x1 + x0 - along_x, np.full(along_y.size, x0)])
    y = np.concatenate([np.full(along_x.size, y0), along_y, np.full(along_x.size, y1), y1 + y0 - along_y])
    ra, dec = wcs(x, y, with_bounding_box=False)
    if not np.isfinite(ra).all():
        raise InputError("the outline of the image has no sky position; its world coordinates are broken")
    east, north = tangent_from_sky(ra, dec, *wcs(0.5 * (x0 + x1), 0.5 * (y0 + y1), with_bounding_box=False))
    # gnomonic radius tan(r) -> equal-area radius 2 sin(r / 2)
    radius = np.hypot(east, north)
    factor = 2 * np.sin(0.5 * np.arctan(radius)) / radius
    east, north = east * factor, north * factor
    area = 0.5 * abs(np.sum(east * np.roll(north, -1) - np.roll(east, -1) * north))
    return float(area / ((x1 - x0) * (y1 - y0)))


def pixel_to_sky(wcs, shape, y0: int = 0, y1: int | None = None, tolerance: float = 1e-4):
    """Return the sky positions of the centres of all pixels of an image, or of some rows.

    Positions are interpolated with an error that is measured (see :mod:`jwstsm.wcs.surrogate`).

    Parameters
    ----------
    wcs : Wcs or gwcs.wcs.WCS
    shape : (int, int)
        (ny, nx).
    y0, y1 : int
        First row and last row + 1.
    tolerance : float
        Largest error accepted [pixel].

    Returns
    -------
    (ra, dec) : two (y1 - y0, nx) float64
        [deg]; defined outside the bounding box too.
    """
    wcs = as_wcs(wcs)
    ny, nx = shape[-2:]
    y1 = ny if y1 is None else y1
    middle = 0.5 * (nx - 1), 0.5 * (ny - 1)
    ra0, dec0 = wcs(*middle, with_bounding_box=False)
    near = wcs(middle[0] + np.array([1.0, 0.0]), middle[1] + np.array([0.0, 1.0]), with_bounding_box=False)
    allowed = tolerance * float(np.min(separation_deg(ra0, dec0, *near)))
    ranges = (0.0, nx - 1.0), (0.0, ny - 1.0)
    x, y = np.arange(float(nx)), np.arange(float(y0), float(y1))

    def offsets(x, y):
        ra, dec = wcs(x, y, with_bounding_box=False)
        return np.mod(ra - ra0 + 180.0, 360.0) - 180.0, dec

    def plane(x, y):
        return tangent_from_sky(*wcs(x, y, with_bounding_box=False), ra0, dec0)

    # right ascension and declination are smooth themselves, except about the poles
    if (series := fit_surrogate(offsets, *ranges, allowed)) is not None:
        ra, dec = series.on_grid(x, y)
        ra += ra0
        return np.mod(ra, 360.0, out=ra), dec
    if (series := fit_surrogate(plane, *ranges, np.deg2rad(allowed))) is not None:
        return tangent_to_sky(*series.on_grid(x, y), ra0, dec0)
    return wcs(*np.meshgrid(x, y), with_bounding_box=False)
