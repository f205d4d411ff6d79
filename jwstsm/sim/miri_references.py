"""Reference files of MIRI that differ from those of near-infrared detectors.

The dark has integrations; the settling after a reset, the groups to leave out and the interference have types of their own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jwstsm.sim import miri_effects
from jwstsm.sim.miri_chain import reset_anomaly
from jwstsm.sim.reference_files import dq_hdus, write_fits
from jwstsm.sim.references import Setup

__all__ = ["MIRI_WRITERS"]

_SUBARRAYS = ("FULL", "BRIGHTSKY", "SUB256", "SUB128", "SUB64", "SLITLESSPRISM", "MASKLYOT", "MASK1065")
_SKIPPED_GROUPS = {"FASTR1": (1, 4), "FAST": (1, 4), "SLOWR1": (1, 2)}


def write_dark(setup: Setup, path: Path) -> Path:
    """Dark ramps of the first two integrations [DN]; the first lies lower, as in flight."""
    chip = setup.chip
    current = (chip.dark / chip.gain).astype(np.float32) if setup.effects.dark else np.zeros_like(chip.dark)
    time = (np.arange(setup.frames, dtype=np.float32) + 1) * np.float32(setup.frame_s)
    ramp = np.empty((2, setup.frames, *chip.region.shape), np.float32)
    ramp[:] = time[:, None, None] * current
    flags = np.stack([setup.flags("HOT", "WARM")[None]] * 2)
    header = setup.header(
        "dark",
        "DarkMIRIModel",
        READPATT=setup.readpatt,
        EXP_TYPE=setup.kind.dark_type,
        NINTS=2,
        NGROUPS=setup.frames,
        NFRAMES=1,
        GROUPGAP=0,
        TFRAME=setup.frame_s,
        TGROUP=setup.frame_s,
        AVDRKCUR=chip.row.dark_e_s if setup.effects.dark else None,
    )
    return write_fits(path, header, ("SCI", ramp), *dq_hdus(flags, "dark"))


def write_reset(setup: Setup, path: Path) -> Path:
    """Settling after the reset [DN]."""
    anomaly = reset_anomaly(setup.chip, setup.effects.miri)
    row, region = setup.chip.row, setup.chip.region
    place = {"SUBSTRT1": region.x0 + 1, "SUBSTRT2": region.y0 + 1, "SUBSIZE1": region.nx, "SUBSIZE2": region.ny}
    return miri_effects.write_reset(
        path,
        anomaly,
        setup.flags("UNRELIABLE_BIAS"),
        DETECTOR=row.name,
        SUBARRAY=setup.subarray,
        READPATT=setup.readpatt,
        FASTAXIS=row.fast_axis,
        SLOWAXIS=row.slow_axis,
        **place,
    )


def write_rscd(setup: Setup, path: Path) -> Path:
    """Groups to leave out after a reset, by subarray and read pattern."""
    rows = [(name, pattern, *skip) for name in _SUBARRAYS for pattern, skip in _SKIPPED_GROUPS.items()]
    return miri_effects.write_rscd(path, rows, DETECTOR=setup.chip.row.name)


def write_emicorr(setup: Setup, path: Path) -> Path:
    """Waves of interference and the clocks of all subarrays."""
    return miri_effects.write_emicorr(path)


MIRI_WRITERS = {"dark": write_dark, "reset": write_reset, "rscd": write_rscd, "emicorr": write_emicorr}
"""Type -> writer."""
