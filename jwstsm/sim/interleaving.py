"""NIRSpec's IRS2 readout: reference pixels read between the science pixels, and noise that they tell of.

A frame gets the noise of its outputs in order of time: a part that the reference output hears too, and a part of each
output that its interleaved reference pixels hear. Both have less power above a band, so that weights exist that take
all of it away: :func:`fourier_weights`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import fft

from jwstsm.core import dq
from jwstsm.sim import rng
from jwstsm.sim.nirspec import IRS2_PATTERNS

__all__ = [
    "BAD_PAIRS",
    "FRAME_SHAPE",
    "PATTERNS",
    "Irs2Effects",
    "fourier_weights",
    "interleave",
    "interleaved_bias",
    "interleaved_flags",
    "spread_rows",
]

PATTERNS = IRS2_PATTERNS
FRAME_SHAPE = (3200, 2048)
ROW_CLOCKS = 712
_CLOCKS = ROW_CLOCKS * 2048
_SAMPLED = 256 / ROW_CLOCKS
"""Share of the clocks that have a value when each reference sample stands for two."""

# cycles per frame: noise of each output, and where its weights end; the same for the common noise
_OWN_BAND, _OWN_END = 5000, 8000
_COMMON_BAND, _COMMON_END = 25000, 30000
SHARES = (0.9, 0.7, 1.1, 0.8)
"""How much of the reference output's noise each output has."""

BAD_PAIRS = ((2, 1, 3), (2, 1, 17), (4, 2, 9))
"""(output, pair, group of four) of reference pixels that the reference file knows as bad."""
_NOISY_ROW = 1788
"""First row of a pair, in detector order, that is noisy without being known for it."""


@dataclass(frozen=True)
class Irs2Effects:
    """Noise of the outputs in IRS2 frames."""

    common_dn: float = 9.0
    """Rms of the 1/f noise that the reference output hears too [DN]."""
    own_dn: float = 7.0
    """Rms of the 1/f noise of each output [DN]."""
    level_dn: float = 15.0
    """Rms of the level of each output, new in every frame [DN]."""
    bad_dn: float = 60.0
    """Rms of the noise of bad reference pixels [DN]."""


@functools.cache
def _order() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in detector order of each section's samples, in order of time; their clocks; which samples are science."""
    science, clock, place = [], [], 0
    for _ in range(32):
        for part, count in (("science", 8), ("reference", 4), ("science", 8)):
            # one clock passes on the way to the reference pixels and one on the way back
            place += 1 if part == "reference" else 0
            science += [part == "science"] * count
            clock += list(range(place, place + count))
            place += count + (1 if part == "reference" else 0)
    rows = np.arange(3200).reshape(5, 640)
    rows[::2] = rows[::2, ::-1]
    return rows, np.array(clock), np.array(science)


def _science(fast_axis: int) -> np.ndarray:
    """Rows of a frame, in file order, that hold science pixels."""
    rows, _, science = _order()
    found = np.sort(rows[1:, science].ravel())
    return found if fast_axis > 0 else np.sort(3199 - found)


def spread_rows(plane: np.ndarray, fast_axis: int, fill=0) -> np.ndarray:
    """Put a (2048, 2048) plane into the science rows of a (3200, 2048) frame."""
    out = np.full(FRAME_SHAPE, fill, plane.dtype)
    out[_science(fast_axis)] = plane
    return out


@functools.lru_cache(maxsize=2)
def _reference_bias(detector: str, seed: int, fast_axis: int) -> np.ndarray:
    bias = 9500.0 + 60.0 * rng.normal_field(rng.key(seed, detector, "interleaved bias"), 0, 0, *FRAME_SHAPE[::-1])
    bias[_science(fast_axis)] = 0.0
    return bias.astype(np.float32)


def interleaved_bias(chip, bias: np.ndarray | None = None) -> np.ndarray:
    """Return the bias of a whole frame, (3200, 2048) float32 [DN]; ``bias`` is that of the science pixels."""
    frame = _reference_bias(chip.row.name, chip.seed, chip.row.fast_axis).copy()
    frame[_science(chip.row.fast_axis)] = chip.bias if bias is None else bias
    return frame


def interleaved_flags(chip, flags: np.ndarray) -> np.ndarray:
    """Return flags of a whole frame: those of the science pixels, and REFERENCE_PIXEL."""
    return spread_rows(flags, chip.row.fast_axis, np.uint32(dq.REFERENCE_PIXEL))


def _band_noise(generator: np.random.Generator, band: int, rms: float) -> np.ndarray:
    """A frame of 1/f noise below ``band`` cycles per frame; (2048, 712) float32 in order of time."""
    spectrum = np.zeros(_CLOCKS // 2 + 1, np.complex64)
    amplitude = 1.0 / np.sqrt(np.arange(1, band))
    spectrum[1:band] = generator.standard_normal(2 * (band - 1)).view(complex) * amplitude
    scale = rms * _CLOCKS / np.sqrt(4.0 * np.sum(amplitude**2))
    return fft.irfft(spectrum * np.float32(scale), n=_CLOCKS).reshape(2048, ROW_CLOCKS)


def interleave(pixels, plane: np.ndarray) -> np.ndarray:
    """Return the frame (3200, 2048) [DN] of a plane of science pixels, with the noise of the outputs."""
    row, effects = pixels.chip.row, pixels.effects.irs2
    generator = pixels.generator("outputs")
    frame = _reference_bias(row.name, pixels.chip.seed, row.fast_axis).copy()
    rows, clocks, science = _order()
    frame[_science(row.fast_axis)] = plane
    # a view in detector order: rows along the fast axis, columns in order of time
    view = frame[:: 1 if row.fast_axis > 0 else -1, :: 1 if row.slow_axis > 0 else -1]
    common = _band_noise(generator, _COMMON_BAND, effects.common_dn)
    white = row.read_noise_e / row.gain_e_dn * pixels.effects.read_noise
    for section in range(5):
        noise = common.copy() if section == 0 else SHARES[section - 1] * common
        if section:
            noise += _band_noise(generator, _OWN_BAND, effects.own_dn)
        noise += np.float32(generator.normal(0, effects.level_dn))
        view[rows[section]] += noise[:, clocks].T
        dark = rows[section] if section == 0 else rows[section, ~science]
        view[dark] += np.float32(white) * generator.standard_normal((dark.size, 2048), dtype=np.float32)
    bad = [_bad_row(*pair) for pair in BAD_PAIRS] + [_NOISY_ROW]
    for first in bad:
        view[first : first + 2] += np.float32(effects.bad_dn) * generator.standard_normal((2, 2048), dtype=np.float32)
    return frame


def _bad_row(output: int, pair: int, group: int) -> int:
    """First row, in detector order, of a pair as the DQ table names it."""
    pair = 3 - pair if output % 2 == 0 else pair
    return 640 * output + 8 + 20 * group + 2 * (pair - 1)


def _low_pass(frequency: np.ndarray, start: int, end: int) -> np.ndarray:
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((frequency - start) / (end - start), 0, 1))


def fourier_weights() -> tuple[np.ndarray, np.ndarray]:
    """Return what takes the noise away: weights of the reference output (4, n) and of the reference pixels (4, n)."""
    frequency = np.abs(np.fft.fftfreq(_CLOCKS, 1 / _CLOCKS))
    own = _low_pass(frequency, _OWN_BAND, _OWN_END)
    common = _low_pass(frequency, _COMMON_BAND, _COMMON_END) * (1 - own)
    return np.outer(SHARES, common), np.outer(np.ones(4), own / _SAMPLED)
