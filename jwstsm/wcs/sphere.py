"""Transforms on the sphere: direction vectors, rotations, the gnomonic projection, the linear FITS image WCS.

Angles are in degrees.

Source: ASDF transform schemas; FITS WCS paper II (Calabretta & Greisen 2002, A&A 395, 1077) for the projection and the
rotation between native and celestial coordinates.
"""

from __future__ import annotations

import functools

import numpy as np

from jwstsm.wcs.transforms import Affine, Scale, Shift, Transform, chain, parallel

__all__ = [
    "CartesianToSpherical",
    "CosinesToPlane",
    "FitsImaging",
    "PlaneToCosines",
    "RotationSequence",
    "SkyRotation",
    "SphericalToCartesian",
    "Tangent",
    "WheelRotation",
]


def _passive_rotation(angle_deg: float, axis: str) -> np.ndarray:
    """Return the matrix that turns the axes by ``angle_deg`` about ``axis``."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = s, -s
    return matrix


class RotationSequence(Transform):
    """Rotations of the axes about x, y and z in the given order, applied to a direction vector."""

    n_inputs = n_outputs = 3

    def __init__(self, angles, axes_order: str):
        self.angles, self.axes_order = [float(a) for a in angles], str(axes_order)

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """The (3, 3) matrix of the whole sequence."""
        out = np.eye(3)
        for angle, axis in zip(self.angles, self.axes_order, strict=True):
            out = _passive_rotation(angle, axis) @ out
        return out

    def _evaluate(self, x, y, z):
        return tuple(row[0] * x + row[1] * y + row[2] * z for row in self.matrix)

    def _analytic_inverse(self):
        return RotationSequence([-a for a in self.angles[::-1]], self.axes_order[::-1])


class WheelRotation(RotationSequence):
    """The same rotations as NIRSpec's chain stores them, under a name of its own."""

    def _analytic_inverse(self):
        return WheelRotation([-a for a in self.angles[::-1]], self.axes_order[::-1])


class PlaneToCosines(Transform):
    """Slopes x, y of a ray -> its direction cosines."""

    n_inputs, n_outputs = 2, 3

    def _evaluate(self, x, y):
        length = np.sqrt(1.0 + x * x + y * y)
        return x / length, y / length, 1.0 / length

    def _analytic_inverse(self):
        return CosinesToPlane()


class CosinesToPlane(Transform):
    """Direction cosines of a ray -> its slopes x, y."""

    n_inputs, n_outputs = 3, 2

    def _evaluate(self, x, y, z):
        return x / z, y / z

    def _analytic_inverse(self):
        return PlaneToCosines()


class SphericalToCartesian(Transform):
    """Longitude, latitude -> unit vector."""

    n_inputs, n_outputs = 2, 3

    def __init__(self, wrap_lon_at: int = 360):
        self.wrap_lon_at = int(wrap_lon_at)

    def _evaluate(self, lon, lat):
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
        cos = np.cos(lat)
        return cos * np.cos(lon), cos * np.sin(lon), np.sin(lat)

    def _analytic_inverse(self):
        return CartesianToSpherical(self.wrap_lon_at)


class CartesianToSpherical(Transform):
    """Vector -> longitude, latitude; the longitude lies in [0, 360) or (-180, 180]."""

    n_inputs, n_outputs = 3, 2

    def __init__(self, wrap_lon_at: int = 360):
        self.wrap_lon_at = int(wrap_lon_at)

    def _evaluate(self, x, y, z):
        lon = np.rad2deg(np.arctan2(y, x))
        if self.wrap_lon_at != 180:
            lon = np.mod(lon, 360.0)
        return lon, np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    def _analytic_inverse(self):
        return SphericalToCartesian(self.wrap_lon_at)


class Tangent(Transform):
    """Gnomonic projection: plane coordinates -> native longitude and latitude, or back (``to_sky=False``)."""

    n_inputs = n_outputs = 2

    def __init__(self, to_sky: bool = True):
        self.to_sky = to_sky

    def _evaluate(self, a, b):
        if self.to_sky:
            return np.rad2deg(np.arctan2(a, -np.asarray(b))), np.rad2deg(np.arctan2(np.rad2deg(1.0), np.hypot(a, b)))
        phi, theta = np.deg2rad(a), np.deg2rad(b)
        with np.errstate(divide="ignore", invalid="ignore"):
            # the half of the sky behind the observer has no image
            radius = np.where(theta > 0, np.rad2deg(1.0) / np.tan(theta), np.nan)
        return radius * np.sin(phi), -radius * np.cos(phi)

    def _analytic_inverse(self):
        return Tangent(not self.to_sky)


class SkyRotation(Transform):
    """Native spherical coordinates of a projection -> celestial ones, or back (``to_sky=False``).

    ``lon``, ``lat`` are the celestial coordinates of the native pole, ``lon_pole`` the native longitude of the
    celestial pole.
    """

    n_inputs = n_outputs = 2

    def __init__(self, lon: float, lat: float, lon_pole: float, to_sky: bool = True):
        self.lon, self.lat, self.lon_pole, self.to_sky = float(lon), float(lat), float(lon_pole), to_sky

    def _evaluate(self, a, b):
        start, end = (self.lon_pole, self.lon) if self.to_sky else (self.lon, self.lon_pole)
        d, t = np.deg2rad(np.asarray(a) - start), np.deg2rad(b)
        pole = np.deg2rad(self.lat)
        x = np.sin(t) * np.cos(pole) - np.cos(t) * np.sin(pole) * np.cos(d)
        y = -np.cos(t) * np.sin(d)
        z = np.sin(t) * np.sin(pole) + np.cos(t) * np.cos(pole) * np.cos(d)
        lon = end + np.rad2deg(np.arctan2(y, x))
        lon = np.mod(lon, 360.0) if self.to_sky else np.mod(lon + 180.0, 360.0) - 180.0
        return lon, np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    def _analytic_inverse(self):
        return SkyRotation(self.lon, self.lat, self.lon_pole, not self.to_sky)


class FitsImaging(Transform):
    """The linear FITS image WCS: 0-based reference pixel, PC matrix, CDELT, gnomonic projection, CRVAL."""

    n_inputs = n_outputs = 2

    def __init__(self, crpix, crval, cdelt, pc):
        self.crpix, self.crval, self.cdelt = (np.array(v, dtype=np.float64).reshape(2) for v in (crpix, crval, cdelt))
        self.pc = np.array(pc, dtype=np.float64).reshape(2, 2)

    @functools.cached_property
    def parts(self) -> Transform:
        """The same as a chain of elementary transforms."""
        lon_pole = 0.0 if self.crval[1] >= 90 else 180.0
        return chain(
            parallel(Shift(-self.crpix[0]), Shift(-self.crpix[1])),
            Affine(self.pc),
            parallel(Scale(self.cdelt[0]), Scale(self.cdelt[1])),
            Tangent(),
            SkyRotation(self.crval[0], self.crval[1], lon_pole),
        )

    def _evaluate(self, x, y):
        return self.parts(x, y)

    def _analytic_inverse(self):
        return self.parts.inverse
