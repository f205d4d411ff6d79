"""The chain of effects of MIRI's arrays, frame by frame; the shapes of most are in :mod:`jwstsm.sim.miri_effects`.

The four amplifiers take turns along a row, reference pixels are columns at both sides, and the bias is part of what the
linearity correction works on.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from jwstsm.sim.chip import Chip, Region
from jwstsm.sim.instruments import DetectorRow
from jwstsm.sim.miri_effects import EMI_CASES, ResetAnomaly, add_emi_frame

__all__ = [
    "MiriEffects",
    "add_interleaved_drift",
    "add_settling",
    "draw_last_frame",
    "hear_interference",
    "hit_by_showers",
    "reset_anomaly",
]

_OUTPUTS = 4


@dataclass(frozen=True)
class MiriEffects:
    """Which of MIRI's effects are on and how strong; zero switches one off."""

    emi: float = 1.0
    """Factor on the waves of interference."""
    emi_phase: float = 0.37
    """Phase of the first wave at the first sample of an exposure [periods]; those of the others follow from it."""
    reset_anomaly: float = 1.0
    """Factor on the settling after a reset that the RESET reference holds."""
    reset_decay_dn: float = 40.0
    """Drop in the first group after a reset of a ramp that gathers 10000 DN [DN]; not in the first integration."""
    reset_decay_groups: float = 1.2
    last_frame: float = 0.5
    """Share of the last difference by which even rows of the last group are drawn down."""
    showers_s: float = 0.01
    """Rate on a full detector [1/s]."""
    drift_dn: float = 3.0
    """Random walk of each amplifier's level, odd and even rows apart, in 10 s [DN]."""


def reset_anomaly(chip: Chip, effects: MiriEffects) -> ResetAnomaly:
    """Return the settling of a chip after a reset."""
    return _reset_anomaly(chip.row, chip.region, effects.reset_anomaly)


@functools.lru_cache(maxsize=2)
def _reset_anomaly(row: DetectorRow, region: Region, factor: float) -> ResetAnomaly:
    full = ResetAnomaly.of(row.shape, row.name)
    x0, y0, nx, ny = region
    return ResetAnomaly(np.ascontiguousarray(full.size[y0 : y0 + ny, x0 : x0 + nx] * np.float32(factor)))


def hit_by_showers(pixels, interval_s: float) -> None:
    """Showers: faint, wide patches of charge from secondary particles, without a saturated core."""
    rate = pixels.effects.miri.showers_s
    if rate <= 0:
        return
    chip, generator = pixels.chip, pixels.generator("showers")
    ny, nx = chip.region.shape
    share = ny * nx / np.prod(chip.row.shape)
    for _ in range(generator.poisson(rate * interval_s * share)):
        cy, cx = generator.uniform(0, ny), generator.uniform(0, nx)
        major, ratio, angle = generator.uniform(18, 45), generator.uniform(0.5, 1.0), generator.uniform(0, np.pi)
        y0, y1 = max(0, int(cy - 3 * major)), min(ny, int(cy + 3 * major) + 1)
        x0, x1 = max(0, int(cx - 3 * major)), min(nx, int(cx + 3 * major) + 1)
        y, x = np.mgrid[y0:y1, x0:x1]
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / ratio
        mean = generator.uniform(60, 200) * np.exp(-0.5 * (along**2 + across**2) / (0.6 * major) ** 2)
        electrons = generator.poisson(mean) * (chip.response[y0:y1, x0:x1] > 0)
        pixels.charge[y0:y1, x0:x1] += electrons.astype(np.float32)
        pixels.hits.snowballs.append((pixels.integration, pixels.group, cy, cx, 0.0, major))


def add_interleaved_drift(pixels, plane: np.ndarray) -> None:
    """Level of each amplifier wanders, odd and even rows apart.

    Where no reference pixel is read, nothing could tell the drift from light, and it is left out.
    """
    if not pixels.has_reference:
        return
    generator = pixels.generator("drift")
    step = pixels.effects.miri.drift_dn * np.sqrt(pixels.interval_s / 10.0)
    # amplifier_level is (2, outputs): the parity of rows takes the place of that of columns
    pixels.amplifier_level += step * generator.standard_normal(pixels.amplifier_level.shape)
    start = pixels.chip.region.x0
    for parity in range(2):
        for k in range(_OUTPUTS):
            plane[parity::2, (k - start) % _OUTPUTS :: _OUTPUTS] += np.float32(pixels.amplifier_level[parity, k])


def add_settling(pixels, plane: np.ndarray) -> None:
    """Reset anomaly, and after the first integration the decay that follows the switch of the reset."""
    effects = pixels.effects.miri
    anomaly = reset_anomaly(pixels.chip, effects)
    if effects.reset_anomaly > 0 and pixels.group < anomaly.groups:
        plane += anomaly.plane(pixels.integration, pixels.group)
    if pixels.integration > 0 and effects.reset_decay_dn > 0:
        gathered = pixels.rate * np.float32(pixels.readout.integration_s / 10000.0) / pixels.chip.gain
        drop = effects.reset_decay_dn * np.exp(-pixels.group / effects.reset_decay_groups)
        plane -= np.float32(drop) * np.minimum(gathered, 6.0) * (pixels.chip.response > 0)


def draw_last_frame(pixels, plane: np.ndarray) -> None:
    """Even rows of the last group feel the reset of their neighbours."""
    effects, readout = pixels.effects.miri, pixels.readout
    if effects.last_frame > 0 and pixels.group == readout.ngroups - 1:
        step = pixels.rate * np.float32(effects.last_frame * readout.group_s) / pixels.chip.gain
        plane[::2] -= step[::2]


def hear_interference(pixels, plane: np.ndarray) -> None:
    """Waves of interference, the same in all four outputs."""
    from jwstsm.sim.timing import miri_case

    effects, readout = pixels.effects.miri, pixels.readout
    if effects.emi <= 0:
        return
    case = EMI_CASES[miri_case(readout.subarray, readout.readpatt)]
    slow = readout.readpatt.startswith("SLOW")
    names = case.slow if slow else case.fast
    waves = {name: (effects.emi, effects.emi_phase + 0.21 * k) for k, name in enumerate(names)}
    shape = (readout.nints, readout.ngroups, *plane.shape)
    add_emi_frame(
        plane,
        shape,
        case,
        waves,
        pixels.integration,
        pixels.group,
        samples=9 if slow else 1,
        reset_frame=readout.readpatt.endswith("R1"),
    )
