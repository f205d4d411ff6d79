"""Reference files of NIRSpec that differ from those of other near-infrared detectors: frames of IRS2, subarray gain."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jwstsm.core import dq
from jwstsm.sim import interleaving
from jwstsm.sim.reference_files import dq_hdus, write_fits
from jwstsm.sim.references import Setup

__all__ = ["NIRSPEC_WRITERS", "SUBARRAY_GAIN_FACTOR"]

SUBARRAY_GAIN_FACTOR = 0.96
"""What subarrays' count rates are multiplied by: they are read at another gain."""


def _interleaved(setup: Setup) -> bool:
    return setup.readpatt in interleaving.PATTERNS


def write_mask(setup: Setup, path: Path) -> Path:
    """Bad pixels, interleaved reference pixels among them."""
    flags = setup.chip.flags & ~np.uint32(dq.NO_LIN_CORR | dq.NO_SAT_CHECK | dq.NO_FLAT_FIELD)
    if _interleaved(setup):
        flags = interleaving.interleaved_flags(setup.chip, flags)
    return write_fits(path, setup.header("mask", "MaskModel", READPATT=setup.readpatt), *dq_hdus(flags, "mask"))


def write_superbias(setup: Setup, path: Path) -> Path:
    """Level after reset [DN]; pixels with an unreliable bias are wrong by design and flagged."""
    flags = setup.flags("UNRELIABLE_BIAS")
    bias = setup.chip.bias - np.where(flags != 0, np.float32(400), np.float32(0))
    if _interleaved(setup):
        bias = interleaving.interleaved_bias(setup.chip, bias)
        flags = interleaving.spread_rows(flags, setup.chip.row.fast_axis)
    header = setup.header("superbias", "SuperBiasModel", READPATT=setup.readpatt)
    extensions = (("SCI", bias), ("ERR", np.full_like(bias, 0.5)))
    return write_fits(path, header, *extensions, *dq_hdus(flags, "superbias"))


def write_readnoise(setup: Setup, path: Path) -> Path:
    """Noise of the difference of two reads [DN]: what remains of the outputs' noise in IRS2 frames is a few per cent."""
    chip, effects = setup.chip, setup.effects
    white = effects.read_noise * chip.read_noise / chip.gain
    rest = 0.1 * white**2 if _interleaved(setup) else effects.flicker_dn**2 + effects.common_flicker_dn**2
    header = setup.header("readnoise", "ReadnoiseModel", READPATT=setup.readpatt, BUNIT="DN")
    return write_fits(path, header, ("SCI", np.sqrt(2.0 * (white**2 + rest)).astype(np.float32)))


def write_gain(setup: Setup, path: Path) -> Path:
    """Conversion [e-/DN], and the factor between subarrays and full frames."""
    factor = 1.0 if setup.subarray == "FULL" else SUBARRAY_GAIN_FACTOR
    return write_fits(path, setup.header("gain", "GainModel", GAINFACT=factor), ("SCI", setup.chip.gain))


def write_refpix(setup: Setup, path: Path) -> Path:
    """Fourier weights of the IRS2 correction, real and imaginary parts in turn, and the bad reference pixels."""
    alpha, beta = interleaving.fourier_weights()
    table = np.zeros(2 * alpha.shape[1], [(f"{kind}_{k}", ">f4") for kind in ("alpha", "beta") for k in range(4)])
    for k in range(4):
        table[f"alpha_{k}"][::2], table[f"beta_{k}"][::2] = alpha[k], beta[k]
    masks: dict[tuple[int, int], int] = {}
    for output, pair, group in interleaving.BAD_PAIRS:
        masks[output, pair] = masks.get((output, pair), 0) | 1 << group
    bad = np.array(
        [(output, pair, mask) for (output, pair), mask in masks.items()],
        [("output", ">u2"), ("odd_even", ">u2"), ("mask", ">u4")],
    )
    return write_fits(path, setup.header("refpix", "IRS2Model", READPATT=setup.readpatt), ("IRS2", table), ("DQ", bad))


NIRSPEC_WRITERS = {
    "mask": write_mask,
    "superbias": write_superbias,
    "readnoise": write_readnoise,
    "gain": write_gain,
    "refpix": write_refpix,
}
