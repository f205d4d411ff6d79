"""Wisps: light that reaches a detector past the mirrors, in the same curls in every exposure, a little brighter or fainter.

The shape is ours; real ones differ from detector to detector and from filter to filter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.sim.chip import Region

__all__ = ["wisp_pattern", "write_wisp_template"]

_ARMS = ((0.0, 1.0), (2.2, 0.7), (3.9, 0.5))  # phase [rad] and brightness of each


def wisp_pattern(region: Region, centre: tuple[float, float] = (1350.0, 750.0), size: float = 380.0) -> np.ndarray:
    """Return the pattern over a part of the detector, (ny, nx) float32, 1 where the full pattern is brightest.

    Parameters
    ----------
    region : Region
    centre : (float, float)
        Column and row of the detector about which the arms wind [pixel].
    size : float
        Scale of the pattern [pixel].
    """
    y, x = np.indices((region.ny, region.nx), dtype=np.float64)
    x, y = (x + region.x0 - centre[0]) / size, (y + region.y0 - centre[1]) / size
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    arms = sum(b * np.exp(6.0 * (np.cos(angle - 2.5 * radius - phase) - 1.0)) for phase, b in _ARMS)
    ring = radius * np.exp(-(radius**2))
    return (arms * ring / (np.exp(-0.5) / np.sqrt(2.0))).astype(np.float32)


def write_wisp_template(path: str | Path, region: Region, **shape) -> None:
    """Write a template as users have it: an image in ``SCI``."""
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(wisp_pattern(region, **shape), name="SCI")]).writeto(
        path, overwrite=True
    )
