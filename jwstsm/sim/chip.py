"""What stays the same about a detector: gain, bias, dark, response, nonlinearity, full well and bad pixels.

All maps are functions of the seed, the detector and the full-frame pixel, so a subarray is cut out of the same chip
and the reference files of both agree.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jwstsm.core import dq
from jwstsm.sim import rng
from jwstsm.sim.instruments import DETECTORS, DetectorRow

__all__ = ["Chip", "Region", "build_chip", "readout_view"]

ADC_MAX = 65535


class Region(NamedTuple):
    """A rectangle of full-frame pixels in DMS orientation, 0-based corner."""

    x0: int
    y0: int
    nx: int
    ny: int

    @property
    def shape(self) -> tuple[int, int]:
        """The (ny, nx) of arrays over the region."""
        return self.ny, self.nx


def readout_view(plane: np.ndarray, fast_axis: int, slow_axis: int) -> np.ndarray:
    """Return a view of a (..., ny, nx) DMS plane as (..., slow, fast) in the order of readout.

    ``fast_axis`` and ``slow_axis`` are the FASTAXIS and SLOWAXIS keywords: 1 is x, 2 is y, the sign the direction.
    """
    if abs(fast_axis) == 2:
        plane = np.swapaxes(plane, -1, -2)
    return plane[..., :: 1 if slow_axis > 0 else -1, :: 1 if fast_axis > 0 else -1]


class BadPixelKind(NamedTuple):
    """One class of bad pixels: share of all pixels, DQ name, whether it is unusable, and what it does."""

    flag: str
    share: float
    unusable: bool
    response: float
    extra_dark_e_s: float
    """Upper end of a log-uniform range that starts at a tenth of it; 0 for none."""


BAD_PIXELS = (
    BadPixelKind("DEAD", 6e-4, True, 0.0, 0.0),
    BadPixelKind("HOT", 8e-4, True, 1.0, 300.0),
    BadPixelKind("WARM", 1.5e-3, False, 1.0, 6.0),
    BadPixelKind("LOW_QE", 4e-4, False, 0.35, 0.0),
    BadPixelKind("RC", 2e-4, True, 1.0, 0.0),
    BadPixelKind("TELEGRAPH", 3e-4, False, 1.0, 0.0),
    BadPixelKind("OPEN", 1e-4, True, 0.02, 0.0),
    BadPixelKind("OTHER_BAD_PIXEL", 2e-4, True, 1.0, 0.0),
    BadPixelKind("UNRELIABLE_BIAS", 2e-4, False, 1.0, 0.0),
    BadPixelKind("NO_LIN_CORR", 1e-4, False, 1.0, 0.0),
    BadPixelKind("NO_SAT_CHECK", 1e-4, False, 1.0, 0.0),
    BadPixelKind("NO_FLAT_FIELD", 2e-4, False, 1.0, 0.0),
)


@dataclass
class Chip:
    """The static maps of one detector over a region, DMS orientation, shape (ny, nx)."""

    row: DetectorRow
    region: Region
    outputs: int
    seed: int
    gain: np.ndarray
    """Conversion [e-/DN]."""
    read_noise: np.ndarray
    """Noise of one read [e-]."""
    bias: np.ndarray
    """Level after reset [DN]."""
    dark: np.ndarray
    """Dark current, hot pixels included [e-/s]."""
    response: np.ndarray
    """Pixel-to-pixel quantum efficiency relative to 1; 0 in reference pixels."""
    full_well: np.ndarray
    """Charge at which a pixel is full [e-]."""
    quadratic: np.ndarray
    """Second coefficient of the linearity polynomial [1/DN]."""
    cubic: np.ndarray
    """Third coefficient [1/DN**2]."""
    flags: np.ndarray
    """uint32 in the project's DQ bits."""
    ipc: float

    @property
    def reference_pixels(self) -> np.ndarray:
        """Boolean map of reference pixels."""
        return (self.flags & dq.REFERENCE_PIXEL) != 0

    @property
    def saturation_dn(self) -> np.ndarray:
        """Raw level [DN] above which a pixel is saturated: 98 % of the measured full well, below the A/D limit."""
        charge = self.full_well / self.gain
        inside = self.row.array.bias_inside
        level = 0.98 * self.measured(self.bias + charge) if inside else self.bias + 0.98 * self.measured(charge)
        return np.minimum(level, ADC_MAX - 1000.0)

    def measured(self, linear_dn: np.ndarray) -> np.ndarray:
        """Invert the linearity polynomial: signal in linear DN -> what the detector shows [DN]."""
        signal = linear_dn - self.quadratic * linear_dn**2
        for _ in range(5):
            value = signal + self.quadratic * signal**2 + self.cubic * signal**3
            signal = signal - (value - linear_dn) / (1 + 2 * self.quadratic * signal + 3 * self.cubic * signal**2)
        return signal


@functools.lru_cache(maxsize=3)
def build_chip(detector: str, region: Region, outputs: int, seed: int, ipc: float | None = None) -> Chip:
    """Make the maps of one detector. The last few are remembered: nobody may change them.

    Parameters
    ----------
    detector : str
        Name as in the DETECTOR keyword.
    region : Region
        The part of the full frame that is read.
    outputs : int
        Number of amplifiers used.
    seed : int
        Seed of the program; the same seed gives the same chip.
    ipc : float, optional
        Coupling to each of the four neighbours; the detector's typical value if None.
    """
    row = DETECTORS[detector]

    def normal(name):
        return rng.normal_field(rng.key(seed, detector, name), *region)

    border = _border(row, region)
    flags, unusable, response, extra_dark = _bad_pixels(row, region, seed, border)
    response *= (1 + 0.006 * normal("qe")).clip(0.8, 1.2)
    dark = row.dark_e_s * np.exp(0.25 * normal("dark")) * (1 + 0.3 * _smooth(seed, detector, "glow", region))
    dark += extra_dark
    dark[border] = 0.0
    chip = Chip(
        row=row,
        region=region,
        outputs=outputs,
        seed=seed,
        gain=(row.gain_e_dn * (1 + 0.01 * _smooth(seed, detector, "gain", region))).astype(np.float32),
        read_noise=(row.read_noise_e * np.exp(0.06 * normal("read noise"))).astype(np.float32),
        bias=_bias(row, region, outputs, seed),
        dark=dark.astype(np.float32),
        response=np.where(border, 0, response).astype(np.float32),
        full_well=(row.full_well_e * (1 + 0.02 * normal("full well")).clip(0.8, 1.2)).astype(np.float32),
        quadratic=(1.1e-6 * (1 + 0.06 * normal("quadratic"))).astype(np.float32),
        cubic=(1.5e-11 * (1 + 0.05 * normal("cubic"))).astype(np.float32),
        flags=flags | np.where(unusable, np.uint32(dq.DO_NOT_USE), np.uint32(0)),
        ipc=row.ipc if ipc is None else ipc,
    )
    chip.bias[(flags & dq.UNRELIABLE_BIAS) != 0] += 400.0
    return chip


def _border(row: DetectorRow, region: Region) -> np.ndarray:
    """Reference pixels inside the region."""
    x = region.x0 + np.arange(region.nx)
    y = region.y0 + np.arange(region.ny)
    edge_x = (x < row.border) | (x >= row.size - row.border)
    edge_y = row.array.border_rows & ((y < row.border) | (y >= row.shape[0] - row.border))
    return edge_x[None, :] | edge_y[:, None]


def _smooth(seed: int, detector: str, name: str, region: Region) -> np.ndarray:
    """A smooth map of order unity: a cubic in both axes with random coefficients."""
    generator = np.random.default_rng(int(rng.key(seed, detector, name, "smooth")))
    coefficients = generator.normal(0, 0.35, (4, 4)) / (1 + np.add.outer(np.arange(4), np.arange(4)))
    x = (region.x0 + np.arange(region.nx)) / 1024.0 - 1
    y = (region.y0 + np.arange(region.ny)) / 1024.0 - 1
    return np.polynomial.legendre.leggrid2d(y, x, coefficients).astype(np.float32)


def _bias(row: DetectorRow, region: Region, outputs: int, seed: int) -> np.ndarray:
    """Superbias [DN]: pedestal, fixed amplifier levels, odd and even columns, pixel scatter."""
    generator = np.random.default_rng(int(rng.key(seed, row.name, "amplifiers")))
    level = generator.normal(0, 350, row.outputs)
    parity = generator.normal(0, 60, row.outputs)
    bias = row.array.bias_dn + 130.0 * rng.normal_field(rng.key(seed, row.name, "bias"), *region)
    bias += 150.0 * _smooth(seed, row.name, "bias", region)
    # fixed pattern follows the full-frame column in readout order, whichever subarray is read
    fast_is_x = abs(row.fast_axis) == 1
    start, count = (region.x0, region.nx) if fast_is_x else (region.y0, region.ny)
    column = np.arange(start, start + count)
    column = column if row.fast_axis > 0 else row.size - 1 - column
    if row.array.interleaved:
        amplifier, parity = column % row.outputs, np.zeros(row.outputs)
    else:
        amplifier = column // (row.size // row.outputs) if outputs > 1 else np.zeros(count, int)
    pattern = level[amplifier] + parity[amplifier] * np.where(column % 2, 0.5, -0.5)
    bias += pattern[None, :] if fast_is_x else pattern[:, None]
    return bias.astype(np.float32)


def _bad_pixels(row: DetectorRow, region: Region, seed: int, border: np.ndarray):
    """Draw the bad pixels.

    Returns
    -------
    flags : (ny, nx) ndarray of uint32
    unusable : (ny, nx) ndarray of bool
    response : (ny, nx) ndarray of float32
    extra_dark : (ny, nx) ndarray of float32 [e-/s]
    """
    draw = rng.uniform_field(rng.key(seed, row.name, "bad pixels"), *region)
    level = rng.uniform_field(rng.key(seed, row.name, "bad pixel level"), *region)
    flags = np.where(border, np.uint32(dq.REFERENCE_PIXEL), np.uint32(0))
    unusable = np.zeros(region.shape, bool)
    response = np.ones(region.shape, np.float32)
    extra_dark = np.zeros(region.shape, np.float32)
    edge = 0.0
    for kind in BAD_PIXELS:
        here = (draw >= edge) & (draw < edge + kind.share) & ~border
        edge += kind.share
        flags[here] |= np.uint32(dq.FLAGS[kind.flag].value)
        unusable |= here & kind.unusable
        response[here] = kind.response
        if kind.extra_dark_e_s:
            extra_dark[here] = 0.1 * kind.extra_dark_e_s * 10.0 ** level[here]
    # the four neighbours of an open pixel receive its charge
    is_open = (flags & dq.OPEN) != 0
    neighbours = np.zeros_like(is_open)
    neighbours[1:] |= is_open[:-1]
    neighbours[:-1] |= is_open[1:]
    neighbours[:, 1:] |= is_open[:, :-1]
    neighbours[:, :-1] |= is_open[:, 1:]
    neighbours &= ~border & ~is_open
    flags[neighbours] |= np.uint32(dq.ADJ_OPEN)
    response[neighbours] *= 1.2
    return flags, unusable | neighbours, response, extra_dark
