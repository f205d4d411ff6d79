"""An exposing detector: which effects are on, how it is read, and its state from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jwstsm.core import dq
from jwstsm.products.stripes import Stripes
from jwstsm.sim import cosmic_rays, rng
from jwstsm.sim.chip import Chip, readout_view
from jwstsm.sim.interleaving import Irs2Effects
from jwstsm.sim.miri_chain import MiriEffects

__all__ = ["Effects", "Exposed", "Pixels", "Readout"]


@dataclass(frozen=True)
class Effects:
    """Which effects are on and how strong; zero switches an effect off."""

    poisson: bool = True
    read_noise: float = 1.0
    """Factor on the chip's read noise."""
    flicker_dn: float = 1.2
    """Rms of the 1/f noise of each amplifier in one frame [DN]."""
    common_flicker_dn: float = 0.8
    """Rms of the 1/f noise all amplifiers share [DN]."""
    amplifier_drift_dn: float = 4.0
    """Random walk of each amplifier's level in 10 s [DN]; it grows as the square root of time."""
    odd_even_drift_dn: float = 1.5
    """The same for the difference between odd and even columns [DN]."""
    reset_noise_dn: float = 8.0
    """Pedestal left by the reset, new in every integration [DN]."""
    telegraph_dn: float = 60.0
    nonlinearity: bool = True
    ipc: bool = True
    dark: bool = True
    cosmic_rays_cm2_s: float = 5.0
    snowballs_s: float = 0.02
    """Rate on a full 2048 x 2048 detector [1/s]."""
    persistence: float = 0.0
    """Share of the charge that traps hold after a reset, released with 200 s."""
    charge_migration: float = 0.0
    """Share of the charge arriving in a pixel beyond ``migration_level_e`` that moves to each of its neighbours."""
    migration_level_e: float = 45000.0
    wisps_dn_s: float = 0.0
    """Brightness of the brightest part of the wisps [DN/s]."""
    miri: MiriEffects = field(default_factory=MiriEffects)
    """What only MIRI has."""
    irs2: Irs2Effects = field(default_factory=Irs2Effects)
    """What only frames with interleaved reference pixels have."""


class Readout(NamedTuple):
    """How an exposure is read."""

    nints: int
    ngroups: int
    nframes: int
    groupgap: int
    frame_s: float
    zero_frame: bool = False
    subarray: str = "FULL"
    readpatt: str = ""
    stripes: Stripes | None = None

    @property
    def group_s(self) -> float:
        """Time between groups [s]."""
        return (self.nframes + self.groupgap) * self.frame_s

    @property
    def integration_s(self) -> float:
        """Time from the reset to the last read [s]."""
        return ((self.ngroups - 1) * (self.nframes + self.groupgap) + self.nframes) * self.frame_s


@dataclass
class Pixels:
    """An exposing detector."""

    chip: Chip
    effects: Effects
    rate: np.ndarray
    """Charge rate, light and dark together [e-/s], (ny, nx) float32."""
    seed: int
    readout: Readout | None = None
    hits: cosmic_rays.HitList = field(default_factory=cosmic_rays.HitList)
    charge: np.ndarray | None = None
    before: np.ndarray | None = None
    """Charge at the frame read before, kept where charge migrates [e-]."""
    pedestal: np.ndarray | None = None
    trapped: np.ndarray | None = None
    amplifier_level: np.ndarray | None = None
    integration: int = 0
    group: int = 0
    frame: int = 0
    interval_s: float = 0.0
    """Time since the frame read before [s]."""
    reference: np.ndarray = field(init=False)
    telegraph: tuple = field(init=False)

    def __post_init__(self):
        self.reference = self.chip.reference_pixels
        self.telegraph = np.nonzero(self.chip.flags & dq.TELEGRAPH)

    @property
    def has_reference(self) -> bool:
        """Whether reference pixels are read."""
        return bool(self.reference.any())

    def generator(self, effect: str) -> np.random.Generator:
        """A random generator of its own for this effect in this frame."""
        return np.random.default_rng(int(rng.key(self.seed, effect, self.integration, self.frame)))

    def readout_view(self, plane: np.ndarray) -> np.ndarray:
        """The plane as (slow, fast) in readout order."""
        return readout_view(plane, self.chip.row.fast_axis, self.chip.row.slow_axis)


class Exposed(NamedTuple):
    """What comes out: counts as in the file, and the truth about particles."""

    data: np.ndarray
    """(nints, ngroups, ny, nx) uint16 [DN]."""
    zero_frame: np.ndarray | None
    """(nints, ny, nx) uint16 [DN], the first frame."""
    hits: cosmic_rays.HitList
