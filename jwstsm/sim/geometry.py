"""Where on the sky a pixel looks: apertures, distortion and pointing of the simulated telescope.

The chain is detector pixel -> (filter offset) -> distortion -> V2, V3 -> velocity aberration -> sky. It is written
down here once more, apart from :mod:`jwstsm.wcs`, so that the truth does not share the code it is there to test.

Source: SIAF of the ``pysiaf`` package; JWST-STScI-000095 for the aberration, JWST-STScI-001550 for the frames.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np

from jwstsm.sim.nirspec import PIXEL_ARCSEC

__all__ = ["Aperture", "Attitude", "Camera", "aperture", "attitude_at", "unit_vector"]

ARCSEC = np.pi / 180 / 3600
LIGHT_SPEED_KM_S = 299792.458
_LINEAR_ARCSEC = {"NIRSPEC": PIXEL_ARCSEC}
"""Instrument whose polynomials do not lead to the sky -> scale of a pixel."""


@dataclass(frozen=True)
class Aperture:
    """One SIAF aperture, as numbers.

    ``corner`` is the 1-based full-frame pixel (x, y) of its first pixel and ``shape`` its (ny, nx). The polynomials
    map science pixels relative to the reference pixel to the ideal frame [arcsec]: ``coefficients_x[i, j]`` is the
    factor of x**i y**j.
    """

    name: str
    shape: tuple[int, int]
    corner: tuple[int, int]
    reference: tuple[float, float]
    v2_ref: float
    v3_ref: float
    v3_ideal_y_deg: float
    parity: int
    coefficients_x: np.ndarray
    coefficients_y: np.ndarray

    @property
    def full_frame_reference(self) -> tuple[float, float]:
        """The reference pixel in 1-based full-frame pixels (x, y)."""
        return tuple(r + c - 1 for r, c in zip(self.reference, self.corner, strict=True))

    def ideal_matrix(self) -> np.ndarray:
        """The (2, 2) matrix from ideal coordinates to V2, V3 offsets."""
        angle = np.radians(self.v3_ideal_y_deg)
        return np.array([[self.parity * np.cos(angle), np.sin(angle)], [-self.parity * np.sin(angle), np.cos(angle)]])


@functools.cache
def _siaf(instrument: str):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("pysiaf").setLevel(logging.ERROR)
        import pysiaf

        return pysiaf.Siaf(instrument)


def _polynomials(row) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients from science pixels to the ideal frame."""
    degree = int(row.Sci2IdlDeg)
    cx, cy = np.zeros((2, degree + 1, degree + 1))
    for power in range(degree + 1):
        for j in range(power + 1):
            cx[power - j, j] = getattr(row, f"Sci2IdlX{power}{j}")
            cy[power - j, j] = getattr(row, f"Sci2IdlY{power}{j}")
    return cx, cy


@functools.cache
def aperture(instrument: str, name: str) -> Aperture:
    """Read one aperture from the SIAF."""
    row = _siaf(instrument)[name]
    if instrument in _LINEAR_ARCSEC:
        cx, cy = np.zeros((2, 2, 2))
        cx[1, 0] = cy[0, 1] = _LINEAR_ARCSEC[instrument]
    else:
        cx, cy = _polynomials(row)
    corner = tuple(int(c) for c in row.dms_corner())
    return Aperture(
        name,
        (int(row.YSciSize), int(row.XSciSize)),
        corner,
        (float(row.XSciRef), float(row.YSciRef)),
        float(row.V2Ref),
        float(row.V3Ref),
        float(row.V3IdlYAngle),
        int(row.VIdlParity),
        cx,
        cy,
    )


def _rotation(axis: int, angle_rad: float) -> np.ndarray:
    """The active rotation matrix about axis 0, 1 or 2."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def unit_vector(lon_rad, lat_rad) -> np.ndarray:
    """Return the (3, ...) unit vectors of longitudes and latitudes."""
    return np.array([np.cos(lon_rad) * np.cos(lat_rad), np.sin(lon_rad) * np.cos(lat_rad), np.sin(lat_rad)])


@dataclass(frozen=True)
class Attitude:
    """The rotation from the V frame to ICRS."""

    matrix: np.ndarray

    def to_sky(self, v2, v3):
        """V2, V3 [arcsec] -> right ascension, declination [deg]."""
        vector = unit_vector(np.asarray(v2) * ARCSEC, np.asarray(v3) * ARCSEC)
        x, y, z = np.tensordot(self.matrix, vector, axes=1)
        return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))

    def from_sky(self, ra, dec):
        """Right ascension, declination [deg] -> V2, V3 [arcsec]."""
        vector = unit_vector(np.radians(ra), np.radians(dec))
        x, y, z = np.tensordot(self.matrix.T, vector, axes=1)
        return np.arctan2(y, x) / ARCSEC, np.arctan2(z, np.hypot(x, y)) / ARCSEC

    def roll_at(self, v2: float, v3: float) -> float:
        """Position angle of the V3 direction, North over East [deg], at a point of the V frame [arcsec]."""
        lon, lat = v2 * ARCSEC, v3 * ARCSEC
        up = self.matrix @ np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        ra, dec = np.radians(self.to_sky(v2, v3))
        north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
        east = np.array([-np.sin(ra), np.cos(ra), 0.0])
        return float(np.degrees(np.arctan2(up @ east, up @ north)) % 360)

    def disturbed(self, v2: float, v3: float, shift_v2: float, shift_v3: float, roll_deg: float) -> Attitude:
        """Return the attitude that sees, at ``(v2, v3)`` [arcsec], what lies ``(shift_v2, shift_v3)`` away.

        The field is also turned by ``roll_deg`` about that point.
        """
        old = _rotation(2, v2 * ARCSEC) @ _rotation(1, -v3 * ARCSEC)
        new = _rotation(2, (v2 + shift_v2) * ARCSEC) @ _rotation(1, -(v3 + shift_v3) * ARCSEC)
        return Attitude(self.matrix @ new @ _rotation(0, np.radians(-roll_deg)) @ old.T)


def attitude_at(v2: float, v3: float, ra: float, dec: float, roll_deg: float) -> Attitude:
    """Return the attitude that puts the point (v2, v3) [arcsec] at (ra, dec) [deg] with the V3 axis at ``roll_deg``."""
    sky = _rotation(2, np.radians(ra)) @ _rotation(1, -np.radians(dec)) @ _rotation(0, -np.radians(roll_deg))
    return Attitude(sky @ _rotation(1, v3 * ARCSEC) @ _rotation(2, -v2 * ARCSEC))


@dataclass(frozen=True)
class Camera:
    """One detector behind one filter, pointed at the sky.

    Pixel coordinates are 0-based full-frame pixels (x, y), the centre of the first pixel at (0, 0).
    """

    full: Aperture
    """The full-frame aperture, which carries the distortion."""
    attitude: Attitude
    v2_ref: float
    v3_ref: float
    """The point about which velocity aberration scales the field [arcsec]."""
    va_scale: float = 1.0
    filter_offset: tuple[float, float] = (0.0, 0.0)

    def with_attitude(self, attitude: Attitude) -> Camera:
        """The same camera pointed elsewhere."""
        return replace(self, attitude=attitude)

    def pixel_to_v(self, x, y):
        """Pixels -> V2, V3 [arcsec], before aberration."""
        dx = np.asarray(x, float) + self.filter_offset[0] + 1 - self.full.reference[0]
        dy = np.asarray(y, float) + self.filter_offset[1] + 1 - self.full.reference[1]
        ideal = [np.polynomial.polynomial.polyval2d(dx, dy, c) for c in self._polynomials]
        offset = np.tensordot(self.full.ideal_matrix(), np.array(ideal), axes=1)
        return offset[0] + self.full.v2_ref, offset[1] + self.full.v3_ref

    def jacobian(self, x, y) -> np.ndarray:
        """d(V2, V3)/d(x, y) [arcsec/pixel], shape (2, 2, ...)."""
        dx = np.asarray(x, float) + self.filter_offset[0] + 1 - self.full.reference[0]
        dy = np.asarray(y, float) + self.filter_offset[1] + 1 - self.full.reference[1]
        poly = np.polynomial.polynomial
        ideal = np.array(
            [[poly.polyval2d(dx, dy, poly.polyder(c, axis=axis)) for axis in (0, 1)] for c in self._polynomials]
        )
        return np.tensordot(self.full.ideal_matrix(), ideal, axes=1)

    @property
    def _polynomials(self):
        return self.full.coefficients_x, self.full.coefficients_y

    def v_to_pixel(self, v2, v3):
        """V2, V3 [arcsec] -> pixels, by Newton steps on the forward polynomial (to 1e-9 pixel)."""
        v2, v3 = np.broadcast_arrays(np.asarray(v2, float), np.asarray(v3, float))
        centre = np.array(self.full.reference) - 1
        inverse = np.linalg.inv(self.jacobian(*centre))
        start = np.tensordot(inverse, np.array([v2 - self.full.v2_ref, v3 - self.full.v3_ref]), axes=1)
        x, y = start[0] + centre[0], start[1] + centre[1]
        for _ in range(6):
            u, v = self.pixel_to_v(x, y)
            (a, b), (c, d) = self.jacobian(x, y)
            determinant = a * d - b * c
            x = x + (d * (v2 - u) - b * (v3 - v)) / determinant
            y = y + (a * (v3 - v) - c * (v2 - u)) / determinant
        return x, y

    def pixel_to_sky(self, x, y):
        """Pixels -> right ascension, declination [deg]."""
        v2, v3 = self.pixel_to_v(x, y)
        return self.attitude.to_sky(
            self.v2_ref + self.va_scale * (v2 - self.v2_ref), self.v3_ref + self.va_scale * (v3 - self.v3_ref)
        )

    def sky_to_pixel(self, ra, dec):
        """Right ascension, declination [deg] -> pixels.

        Positions on the far side of the sky give NaN: the polynomial means nothing out there.
        """
        v2, v3 = self.attitude.from_sky(ra, dec)
        v2 = self.v2_ref + (v2 - self.v2_ref) / self.va_scale
        v3 = self.v3_ref + (v3 - self.v3_ref) / self.va_scale
        near = np.hypot(v2 - self.full.v2_ref, v3 - self.full.v3_ref) < 2.0 * self.field_arcsec
        x, y = self.v_to_pixel(np.where(near, v2, self.full.v2_ref), np.where(near, v3, self.full.v3_ref))
        return np.where(near, x, np.nan), np.where(near, y, np.nan)

    @property
    def field_arcsec(self) -> float:
        """Diagonal of the full frame [arcsec]."""
        ny, nx = self.full.shape
        return float(np.hypot(nx, ny) * np.sqrt(self.pixel_area_arcsec2))

    @property
    def pixel_area_arcsec2(self) -> float:
        """Area of the reference pixel [arcsec**2]."""
        x, y = np.array(self.full.reference) - 1
        return float(abs(np.linalg.det(self.jacobian(x, y))))

    def relative_area(self, x0: int = 0, y0: int = 0, nx: int | None = None, ny: int | None = None) -> np.ndarray:
        """Return the (ny, nx) float32 map of pixel areas relative to the reference pixel."""
        from scipy.interpolate import RectBivariateSpline

        ny, nx = ny or self.full.shape[0], nx or self.full.shape[1]
        knots = np.linspace(-8, self.full.shape[1] + 8, 33)
        gx, gy = np.meshgrid(knots, knots)
        area = np.abs(np.linalg.det(np.moveaxis(self.jacobian(gx, gy), (0, 1), (-2, -1))))
        spline = RectBivariateSpline(knots, knots, area / self.pixel_area_arcsec2)
        return spline(np.arange(y0, y0 + ny), np.arange(x0, x0 + nx)).astype(np.float32)
