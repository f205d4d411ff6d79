"""Charge that particles leave: tracks of ordinary cosmic rays and snowballs.

Every deposit is kept as a list entry, which is the truth that jump detection is compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.sim.chip import Chip
from jwstsm.sim.rng import next_poisson, next_uniform

__all__ = ["HitList", "draw_snowballs", "draw_tracks"]

PIXEL_CM2 = (18e-4) ** 2
LAYER_PIXELS = 0.4
"""Thickness of the sensitive layer in units of the pixel size."""


@dataclass
class HitList:
    """Deposits of one exposure: parallel lists, and one row per snowball."""

    integration: list = field(default_factory=list)
    group: list = field(default_factory=list)
    y: list = field(default_factory=list)
    x: list = field(default_factory=list)
    electrons: list = field(default_factory=list)
    snowballs: list = field(default_factory=list)
    """(integration, group, y, x, core radius, halo radius), pixels."""

    def add(self, integration: int, group: int, y, x, electrons) -> None:
        """Record deposits; ``group`` is the first group that shows them."""
        count = len(y)
        self.integration.append(np.full(count, integration, np.int16))
        self.group.append(np.full(count, group, np.int16))
        self.y.append(np.asarray(y, np.int16))
        self.x.append(np.asarray(x, np.int16))
        self.electrons.append(np.asarray(electrons, np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """Join the lists: ``cr_integration``, ``cr_group``, ``cr_y``, ``cr_x``, ``cr_electrons`` and ``snowballs``."""
        names = ("integration", "group", "y", "x", "electrons")
        kinds = (np.int16, np.int16, np.int16, np.int16, np.float32)
        joined = {
            f"cr_{name}": np.concatenate(getattr(self, name)) if getattr(self, name) else np.empty(0, kind)
            for name, kind in zip(names, kinds, strict=True)
        }
        joined["snowballs"] = np.array(self.snowballs, float).reshape(-1, 6)
        return joined


@njit
def _tracks(count, ny, nx, median_e, spread, state):
    """Draw ``count`` straight tracks; return flat pixel indices and charges, one entry per step of a track."""
    index = np.empty(count * 40, np.int64)
    charge = np.empty(count * 40, np.float64)
    used = 0
    for _ in range(count):
        x = next_uniform(state) * nx - 0.5
        y = next_uniform(state) * ny - 0.5
        azimuth = 2.0 * math.pi * next_uniform(state)
        # isotropic flux through a plane: the projected rate goes with cos(theta) d(cos theta)
        cosine = math.sqrt(next_uniform(state))
        length = min(LAYER_PIXELS * math.sqrt(1.0 - cosine * cosine) / cosine, 9.0)
        radius = math.sqrt(-2.0 * math.log(next_uniform(state)))
        total = median_e * math.exp(spread * radius * math.cos(2.0 * math.pi * next_uniform(state)))
        total *= math.sqrt(1.0 + (length / LAYER_PIXELS) ** 2) / 1.6
        steps = int(length * 4) + 3
        for s in range(steps):
            along = length * (s + 0.5) / steps
            radius = 0.22 * math.sqrt(-2.0 * math.log(next_uniform(state)))
            angle = 2.0 * math.pi * next_uniform(state)
            px = math.floor(x + along * math.cos(azimuth) + radius * math.cos(angle) + 0.5)
            py = math.floor(y + along * math.sin(azimuth) + radius * math.sin(angle) + 0.5)
            if 0 <= px < nx and 0 <= py < ny:
                index[used] = py * nx + px
                charge[used] = next_poisson(total / steps, state)
                used += 1
    return index[:used], charge[:used]


def draw_tracks(chip: Chip, interval_s: float, rate_cm2_s: float, stream: np.uint64, median_e: float = 1800.0):
    """Draw the cosmic rays of an interval.

    Parameters
    ----------
    chip : Chip
    interval_s : float
        Length of the interval [s].
    rate_cm2_s : float
        Rate of particles [1/(cm2 s)].
    stream : uint64
        Key of the random stream.
    median_e : float
        Median deposit of a particle at normal incidence [e-]; the distribution is log-normal with 1.1 in the log.

    Returns
    -------
    y, x : (n,) ndarrays of int
        Pixels of the region, each once.
    electrons : (n,) ndarray of float
        Charge deposited [e-].
    """
    state = np.array([stream], np.uint64)
    ny, nx = chip.region.shape
    count = int(next_poisson(rate_cm2_s * interval_s * ny * nx * PIXEL_CM2, state))
    index, charge = _tracks(count, ny, nx, median_e, 1.1, state)
    pixel, inverse = np.unique(index, return_inverse=True)
    electrons = np.bincount(inverse, weights=charge, minlength=len(pixel))
    y, x = np.divmod(pixel, nx)
    keep = (electrons > 0) & (chip.response[y, x] > 0)
    return y[keep], x[keep], electrons[keep]


def draw_snowballs(chip: Chip, interval_s: float, rate_full_frame_s: float, generator: np.random.Generator):
    """Draw the snowballs of an interval: round, a full core and a halo that falls off.

    Yields
    ------
    y, x : (n,) ndarrays of int
    electrons : (n,) ndarray of float [e-]
    shape : (centre y, centre x, core radius, halo radius), pixels
    """
    ny, nx = chip.region.shape
    for _ in range(generator.poisson(rate_full_frame_s * interval_s * ny * nx / np.prod(chip.row.shape))):
        cy, cx = generator.uniform(0, ny), generator.uniform(0, nx)
        core = float(np.clip(generator.lognormal(np.log(3.5), 0.45), 2.0, 14.0))
        scale = core * generator.uniform(0.6, 1.2)
        level = generator.uniform(2500, 9000)
        reach = core + scale * np.log(level / 40.0)
        y0, y1 = max(0, int(cy - reach)), min(ny, int(cy + reach) + 2)
        x0, x1 = max(0, int(cx - reach)), min(nx, int(cx + reach) + 2)
        y, x = np.mgrid[y0:y1, x0:x1]
        radius = np.hypot(y - cy, x - cx)
        mean = np.where(radius <= core, 2.0 * chip.row.full_well_e, level * np.exp(-(radius - core) / scale))
        inside = (radius <= reach) & (chip.response[y0:y1, x0:x1] > 0)
        yield y[inside], x[inside], generator.poisson(mean[inside]).astype(float), (cy, cx, core, reach)
