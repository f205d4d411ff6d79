"""A distorted camera, its reference files and a pointed exposure, for the tests of world coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jwstsm.references import References, Window
from jwstsm.wcs import asdftext, codec
from jwstsm.wcs.transforms import Mapping, Polynomial2D, Shift, Transform, chain, parallel
from tests.builders import make_slope

POINTING = {
    "V2_REF": -120.6,
    "V3_REF": -527.5,
    "RA_REF": 359.9995,
    "DEC_REF": -69.5,
    "ROLL_REF": 33.3,
    "VA_SCALE": 1.000045,
    "V3I_YANG": -0.3,
    "VPARITY": -1,
}
SCALE = 0.063  # arcsec per pixel


def polynomial_pair(degree: int, scale: float, bend: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two tables of coefficients: a scaled, slightly turned plane with terms that fall with the degree."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((2, degree + 1, degree + 1))
    x[1, 0], x[0, 1], y[1, 0], y[0, 1] = -scale, 0.003 * scale, 0.004 * scale, 1.01 * scale
    for power in range(2, degree + 1):
        for j in range(power + 1):
            x[power - j, j], y[power - j, j] = rng.normal(0, bend * scale / 1000.0 ** (power - 1), 2)
    return x, y


def distortion(degree: int = 4, bend: float = 0.002, box=None, centre: float = 1023.5) -> Transform:
    """Return pixel -> V2, V3 [arcsec] of a full frame, with a fitted inverse good to a few thousandths of a pixel."""
    cx, cy = polynomial_pair(degree, SCALE, bend, 5)
    forward = chain(
        parallel(Shift(-centre), Shift(-centre)),
        Mapping((0, 1, 0, 1)),
        parallel(Polynomial2D(cx), Polynomial2D(cy)),
        parallel(Shift(-120.6), Shift(-527.5)),
    )
    grid = np.linspace(-60, 2108, 41)
    x, y = (g.ravel() for g in np.meshgrid(grid, grid))
    v2, v3 = forward(x, y)
    u, v = (v2 + 120.6) / 60, (v3 + 527.5) / 60
    powers = [(i, j) for i in range(6) for j in range(6 - i)]
    design = np.column_stack([u**i * v**j for i, j in powers])
    tables = np.zeros((2, 6, 6))
    for table, target in zip(tables, (x - centre, y - centre), strict=True):
        for (i, j), value in zip(powers, np.linalg.lstsq(design, target, rcond=None)[0], strict=True):
            table[i, j] = value / 60.0 ** (i + j)
    inverse = chain(
        parallel(Shift(120.6), Shift(527.5)),
        Mapping((0, 1, 0, 1)),
        parallel(Polynomial2D(tables[0]), Polynomial2D(tables[1])),
        parallel(Shift(centre), Shift(centre)),
    )
    forward.box = box
    return forward.with_inverse(inverse)


def write_distortion(path: Path, **options) -> Path:
    """Write a distortion reference."""
    asdftext.write(path, {"meta": {"reftype": "distortion"}, "model": codec.to_tree(distortion(**options))})
    return path


def write_offsets(path: Path, rows) -> Path:
    """Write a filter-offset reference."""
    asdftext.write(path, {"meta": {"reftype": "filteroffset"}, "filters": rows})
    return path


OFFSETS = [
    {"filter": "F444W", "pupil": "CLEAR", "column_offset": 1.25, "row_offset": -0.75},
    {"filter": "F200W", "pupil": "CLEAR", "column_offset": 0.5, "row_offset": 0.25},
]


def exposure(tmp_path: Path, ny: int = 2048, nx: int = 2048, nints=None, offsets=None, box=None, **keywords):
    """Return an exposure and its references."""
    slope = make_slope(ny, nx, nints, **(POINTING | keywords))
    files = {
        "distortion": write_distortion(tmp_path / "distortion.asdf", box=box),
        "filteroffset": write_offsets(tmp_path / "filteroffset.asdf", offsets) if offsets is not None else None,
    }
    return slope, References(files, Window.of(slope.readout), "jwst_test.pmap")


def apart_mas(a, b) -> float:
    """Return the largest separation of two sets of sky positions [mas]."""
    d_ra = (np.asarray(a[0]) - b[0] + 180) % 360 - 180
    d_dec = np.asarray(a[1]) - b[1]
    return float(np.nanmax(np.hypot(d_ra * np.cos(np.deg2rad(b[1])), d_dec)) * 3.6e6)
