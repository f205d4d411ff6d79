"""What MIRI adds to its ramps beside light and dark: interference, reset anomaly, decay after the reset, last frame.

Each effect is a function that adds it to integrations [DN] in place, and a writer of the reference file that undoes it.
The shapes are simple and smooth; sizes are of the order of those seen in flight.

Timing of the readout: the four outputs are sampled together, one sample every ``samples`` ticks of 10 microseconds; a row
takes ``rowclocks`` ticks, a frame waits 7 ticks for each row of the detector outside the subarray, and one frame is read
without being kept between integrations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jwstsm.sim import rng
from jwstsm.sim.reference_files import dq_hdus, reference_header, write_asdf, write_fits

__all__ = [
    "EMI_CASES",
    "EMI_WAVES",
    "EmiCase",
    "EmiWave",
    "ResetAnomaly",
    "add_emi",
    "add_emi_frame",
    "add_last_frame",
    "add_reset_anomaly",
    "add_reset_decay",
    "write_emicorr",
    "write_reset",
    "write_rscd",
]

_TICK_S = 10e-6
_ROWS = 1024
_SKIPPED_ROW_TICKS = 7
_OUTPUTS = 4


@dataclass(frozen=True)
class EmiCase:
    """Clocks of a subarray and the names of the waves it sees, strongest first.

    Attributes
    ----------
    rowclocks, frameclocks : int
        Ticks of a row and of a frame.
    fast, slow : tuple of str
        Waves in fast and in slow readout.
    """

    rowclocks: int
    frameclocks: int
    fast: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()


#: Subarray (full frames by their speed) -> clocks and waves.
EMI_CASES: dict[str, EmiCase] = {
    # a full frame lasts 1084 periods of 390.625 Hz: that wave is the same in every group and cannot be told from the bias
    "FULL_FAST": EmiCase(271, 277504, ("Hz10",)),
    "FULL_SLOW": EmiCase(2333, 2388992, (), ("Hz218", "Hz10")),
    "BRIGHTSKY": EmiCase(162, 86528, ("Hz390", "Hz10")),
    "SUB256": EmiCase(96, 29952, ("Hz390", "Hz10")),
    "SUB128": EmiCase(44, 11904, ("Hz390", "Hz10")),
    "SUB64": EmiCase(28, 8512, ("Hz390", "Hz10")),
    "SLITLESSPRISM": EmiCase(28, 15904, ("Hz390", "Hz10"), ("Hz390", "Hz10")),
    "MASKLYOT": EmiCase(90, 32400, ("Hz390", "Hz10")),
    "MASK1550": EmiCase(82, 23968, ("Hz390", "Hz10")),
    "MASK1140": EmiCase(82, 23968, ("Hz390", "Hz10")),
    "MASK1065": EmiCase(82, 23968, ("Hz390", "Hz10")),
}
_DETECTORS = ("MIRIMAGE", "MIRIFULONG", "MIRIFUSHORT")


@dataclass(frozen=True)
class EmiWave:
    """A wave: its frequency and its harmonics as (order, amplitude [DN], phase [periods]).

    Attributes
    ----------
    frequency_hz : float
    harmonics : tuple
    phases : int
        Samples of a period in the reference file.
    """

    frequency_hz: float
    harmonics: tuple[tuple[int, float, float], ...]
    phases: int = 500

    def value(self, phase: np.ndarray) -> np.ndarray:
        """Return the wave [DN] at phases [periods]."""
        return sum(size * np.sin(2 * np.pi * (order * phase + offset)) for order, size, offset in self.harmonics)

    def table(self) -> np.ndarray:
        """Return one period at the middles of equal steps of phase, (phases,) float64 [DN]."""
        return self.value((np.arange(self.phases) + 0.5) / self.phases)


EMI_WAVES: dict[str, EmiWave] = {
    "Hz390": EmiWave(390.625, ((1, 4.0, 0.0), (2, 1.5, 0.2), (5, 0.5, 0.7)), 255),
    "Hz218": EmiWave(218.52055, ((1, 3.0, 0.1), (3, 0.8, 0.4)), 457),
    "Hz10": EmiWave(10.039216, ((1, 2.0, 0.3), (2, 1.2, 0.9), (4, 0.6, 0.1))),
}


def sample_ticks(
    shape: tuple[int, int, int, int],
    case: EmiCase,
    samples: int,
    reset_frame: bool,
    integration: int,
    group: int | None = None,
) -> np.ndarray:
    """Return the tick of each sample of an integration, or of one of its groups, counted from the first of the exposure.

    Parameters
    ----------
    shape : tuple of int
        (nints, ngroups, ny, nx).
    case : EmiCase
    samples : int
        Ticks from one pixel to the next (1 fast, 9 slow).
    reset_frame : bool
        Whether a frame is read between integrations.
    integration, group : int
        0-based numbers.

    Returns
    -------
    (ngroups, ny, nx/4) or (ny, nx/4) int64
    """
    _, ngroups, ny, nx = shape
    frame = ny * case.rowclocks + (_ROWS - ny) * _SKIPPED_ROW_TICKS
    start = integration * (ngroups * frame + (case.frameclocks if reset_frame else 0))
    row, sample = np.ogrid[:ny, : nx // _OUTPUTS]
    groups = np.arange(ngroups)[:, None, None] if group is None else group
    return start + groups * frame + row * case.rowclocks + sample * samples


def add_emi(
    data: np.ndarray,
    case: EmiCase,
    waves: Mapping[str, tuple[float, float]],
    *,
    samples: int = 1,
    reset_frame: bool = True,
    first: int = 0,
) -> None:
    """Add waves of interference to all outputs alike, see :func:`add_emi_frame` for single frames.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place.
    case : EmiCase
    waves : mapping of str to (float, float)
        Name in :data:`EMI_WAVES` -> factor of its amplitude and phase at the first sample of the exposure [periods].
    samples, reset_frame
        As in :func:`sample_ticks`.
    first : int
        0-based number in the exposure of the first integration here.
    """
    for i in range(data.shape[0]):
        for group, plane in enumerate(data[i]):
            add_emi_frame(plane, data.shape, case, waves, first + i, group, samples=samples, reset_frame=reset_frame)


def add_emi_frame(
    plane: np.ndarray,
    shape: tuple[int, int, int, int],
    case: EmiCase,
    waves: Mapping[str, tuple[float, float]],
    integration: int,
    group: int,
    *,
    samples: int = 1,
    reset_frame: bool = True,
) -> None:
    """Add waves of interference to one frame (ny, nx) float32 of an exposure of a ``shape``, in place."""
    ticks = sample_ticks(shape, case, samples, reset_frame, integration, group)
    for name, (factor, phase) in waves.items():
        wave = EMI_WAVES[name]
        level = factor * wave.value(ticks * (_TICK_S * wave.frequency_hz) + phase)
        for output in range(_OUTPUTS):
            plane[:, output::_OUTPUTS] += level


@dataclass(frozen=True)
class ResetAnomaly:
    """Settling after a reset: ``-size * exp(-group / decay)``, stronger in the first integration.

    Attributes
    ----------
    size : (ny, nx) float32
        Depth in the first group of later integrations [DN].
    decay : float
        Groups to fall to 1/e.
    first_factor : float
        Factor of the first integration of an exposure.
    groups, integrations : int
        How many the reference file holds.
    """

    size: np.ndarray
    decay: float = 3.0
    first_factor: float = 1.6
    groups: int = 15
    integrations: int = 2

    @classmethod
    def of(cls, shape: tuple[int, int], *key: str) -> ResetAnomaly:
        """Return a smooth pattern for a detector."""
        ny, nx = shape
        y, x = np.mgrid[:ny, :nx].astype(np.float32)
        grain = rng.normal_field(rng.key("reset", *key), 0, 0, nx, ny)
        return cls((12.0 + 6.0 * np.cos(x / nx * 3) + 4.0 * y / ny + 0.5 * grain).astype(np.float32))

    def plane(self, integration: int, group: int) -> np.ndarray:
        """Return the anomaly of one group (both 0-based), (ny, nx) float32 [DN]."""
        factor = -(self.first_factor if integration == 0 else 1.0) * np.exp(-group / self.decay)
        return np.float32(factor) * self.size

    def integration(self, number: int) -> np.ndarray:
        """Return the anomaly of an integration (0-based), (groups, ny, nx) float32 [DN]."""
        factor = -(self.first_factor if number == 0 else 1.0) * np.exp(-np.arange(self.groups) / self.decay)
        return factor[:, None, None].astype(np.float32) * self.size


def add_reset_anomaly(data: np.ndarray, anomaly: ResetAnomaly, first: int = 0) -> None:
    """Add the settling after the reset to (nints, ngroups, ny, nx) float32 [DN], in place."""
    for i in range(data.shape[0]):
        curve = anomaly.integration(first + i)[: data.shape[1]]
        data[i, : len(curve)] += curve


def add_reset_decay(data: np.ndarray, first: int = 0, size: float = 40.0, decay: float = 1.2) -> None:
    """Add the decay after the reset switch (RSCD) to integrations after the first, in proportion to the signal, in place.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
    first : int
        0-based number in the exposure of the first integration here.
    size : float
        Drop in the first group of a ramp that gathers 10000 DN [DN].
    decay : float
        Groups to fall to 1/e.
    """
    curve = -size * np.exp(-np.arange(data.shape[1], dtype=np.float32) / decay)
    for i in range(data.shape[0]):
        if first + i > 0:
            signal = (data[i, -1] - data[i, 0]) / 10000.0
            data[i] += curve[:, None, None].astype(np.float32) * signal


def add_last_frame(data: np.ndarray, share: float = 0.5) -> None:
    """Draw the last group down, by a share of the last difference in even rows, in place."""
    data[:, -1, ::2] -= np.float32(share) * (data[:, -1, ::2] - data[:, -2, ::2])


def write_emicorr(path: Path, waves: Mapping[str, EmiWave] = EMI_WAVES, cases: Mapping[str, EmiCase] = EMI_CASES) -> Path:
    """Write the EMICORR reference (ASDF): waves by name, clocks and wave names by subarray."""
    described = {}
    for name, case in cases.items():
        freqs = {}
        if case.fast:
            freqs["FAST"] = list(case.fast)
        if case.slow:
            freqs["SLOW"] = {detector: list(case.slow) for detector in _DETECTORS}
        described[name] = {"rowclocks": case.rowclocks, "frameclocks": case.frameclocks, "freqs": freqs}
    frequencies = {name: {"frequency": wave.frequency_hz, "phase_amplitudes": wave.table()} for name, wave in waves.items()}
    return write_asdf(path, "emicorr", "MIRI", {"frequencies": frequencies, "subarray_cases": described})


def write_reset(path: Path, anomaly: ResetAnomaly, flags: np.ndarray, **keywords) -> Path:
    """Write the RESET reference: the anomaly of the first integrations and their DQ; keywords go to the header."""
    ramps = np.stack([anomaly.integration(i) for i in range(anomaly.integrations)])
    header = reference_header(
        "reset",
        "ResetModel",
        "MIRI",
        NINTS=anomaly.integrations,
        NGROUPS=anomaly.groups,
        NFRAMES=1,
        GROUPGAP=0,
        **keywords,
    )
    return write_fits(path, header, ("SCI", ramps), ("ERR", np.zeros_like(ramps)), *dq_hdus(flags, "reset"))


def write_rscd(path: Path, rows: Sequence[tuple[str, str, int, int]], **keywords) -> Path:
    """Write the RSCD reference; ``rows`` are (subarray, readpatt, groups to skip in integration 1, in later ones)."""
    table = np.array(list(rows), [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", ">i4"), ("group_skip", ">i4")])
    return write_fits(path, reference_header("rscd", "RSCDModel", "MIRI", **keywords), ("RSCD_GROUP_SKIP", table))
