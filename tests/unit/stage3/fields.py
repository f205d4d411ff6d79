"""Star fields seen by a distorted camera whose reported pointing can be wrong, for the tests of alignment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jwstsm.core.frames import MemoryFrame
from jwstsm.stage3._groups import Image
from jwstsm.wcs.correction import TangentPlane
from jwstsm.wcs.imaging import Pointing, aberration, telescope_to_sky
from jwstsm.wcs.model import Wcs, detector_frame, plane_frame, sky_frame
from tests.unit.wcs.scenes import distortion

RA, DEC, ROLL = 53.1, -27.8, 33.0
V2, V3 = -120.6, -527.5
SCALE = 0.063


@lru_cache
def _distortion(size: int):
    return distortion(centre=(size - 1) / 2)


def camera(size: int, east: float = 0.0, north: float = 0.0, roll: float = 0.0) -> Wcs:
    """Return the WCS of a square camera pointed ``east``, ``north`` [arcsec] and turned by ``roll`` [deg]."""
    pointing = Pointing(V2, V3, RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600, ROLL + roll, 1.00005)
    wcs = Wcs(
        [
            (detector_frame(), _distortion(size)),
            (plane_frame("v2v3"), aberration(pointing)),
            (plane_frame("v2v3vacorr"), telescope_to_sky(pointing)),
            (sky_frame(), None),
        ],
        pixel_shape=(size, size),
    )
    wcs.bounding_box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    return wcs


@dataclass
class Exposure:
    """Where an exposure looks, and by how much its header is wrong."""

    east: float = 0.0
    north: float = 0.0
    error: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def wcs(self, size: int) -> tuple[Wcs, Wcs]:
        """Return the true WCS and the reported one."""
        de, dn, dr = self.error
        return camera(size, self.east + de, self.north + dn, dr), camera(size, self.east, self.north)


def stars(n: int, width: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascension and declination [deg] of stars in a square of ``width`` arcsec, 1.2 arcsec apart."""
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(np.sqrt(1.3 * n)))
    chosen = rng.choice(cells * cells, n, replace=False)
    free = max(width / cells - 1.2, 0.0)
    east, north = (np.array(np.unravel_index(chosen, (cells, cells))) + 0.5) * width / cells - width / 2
    east, north = east + rng.uniform(-free / 2, free / 2, n), north + rng.uniform(-free / 2, free / 2, n)
    return RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600


def listed(
    exposure: Exposure, ra, dec, size: int, name: str, scatter: float = 0.03, seed: int = 2, false: int = 0
) -> Image:
    """Return an image whose source list holds the stars in its field with a scatter [pixel], and false sources."""
    rng = np.random.default_rng(seed)
    true, reported = exposure.wcs(size)
    x, y = true.invert(ra, dec, with_bounding_box=True, refine=True)
    inside = np.isfinite(x)
    x, y = x[inside] + rng.normal(0, scatter, inside.sum()), y[inside] + rng.normal(0, scatter, inside.sum())
    x, y = np.concatenate([x, rng.uniform(0, size, false)]), np.concatenate([y, rng.uniform(0, size, false)])
    return Image(name, TangentPlane(reported, V2, V3, ROLL), x, y, reported.bounding_box)


def photographed(
    exposure: Exposure, ra, dec, size: int, name: str, flux=200.0, noise: float = 0.05, seed: int = 3, **header
) -> MemoryFrame:
    """Return a frame with pixels: Gaussian stars of 2.2 pixels FWHM on a flat background, with the reported WCS."""
    rng = np.random.default_rng(seed)
    true, reported = exposure.wcs(size)
    image = rng.normal(0.4, noise, (size, size))
    x, y = true.invert(ra, dec, with_bounding_box=False, refine=True)
    sigma = 2.2 / 2.3548
    for xi, yi, f in zip(x, y, np.broadcast_to(flux, x.shape), strict=True):
        rows, cols = (np.arange(max(0, int(c) - 8), min(size, int(c) + 9)) for c in (yi, xi))
        if rows.size and cols.size and -8 < xi < size + 8 and -8 < yi < size + 8:
            spot = np.exp(-((cols[None] - xi) ** 2 + (rows[:, None] - yi) ** 2) / 2 / sigma**2)
            image[np.ix_(rows, cols)] += f * spot / (2 * np.pi * sigma**2)
    dq = np.zeros(image.shape, np.uint32)
    bad = rng.random(image.shape) < 0.002
    dq[bad], image[bad] = 1, np.nan
    dq[:4] = dq[-4:] = dq[:, :4] = dq[:, -4:] = 513
    keywords = {"V2_REF": V2, "V3_REF": V3, "ROLL_REF": ROLL, "DATE-OBS": "2025-03-01", "MJD-AVG": 60735.5}
    return MemoryFrame({"data": image.astype(np.float32), "dq": dq}, reported, keywords | header, name, group_id=name)


def distance_mas(a: tuple, b: tuple) -> np.ndarray:
    """Return the distances of positions [mas]."""
    d = np.radians(b[1])
    return np.hypot((np.asarray(a[0]) - b[0]) * np.cos(d), np.asarray(a[1]) - b[1]) * 3.6e6
