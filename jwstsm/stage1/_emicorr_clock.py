"""When each pixel of a MIRI subarray is read, counted in ticks of 10 microseconds.

The four outputs are read together, so that a row of ``nx`` pixels is ``nx / 4`` samples. A row takes ``rowclocks`` ticks;
frames of subarrays wait for the rows outside; after each integration one frame is read for the reset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["FALLBACK_CLOCKS", "Clock", "Wave", "case_name", "select_waves"]

OUTPUTS = 4
TICK_S = 10e-6
_ROWS = 1024
_TICKS_PER_SKIPPED_ROW = 7
_LAST_SAMPLE = 258
_LATE_TICKS = 3

#: Read patterns whose frames can be timed -> speed, and whether a frame is read between integrations.
READ_PATTERNS: dict[str, tuple[str, bool]] = {
    "FAST": ("FAST", False),
    "FASTR1": ("FAST", True),
    "SLOW": ("SLOW", False),
    "SLOWR1": ("SLOW", True),
}

#: Ticks per row and per frame where no reference file says so: subarray -> (rowclocks, frameclocks).
FALLBACK_CLOCKS: dict[str, tuple[int, int]] = {
    "FULL_FAST": (271, 277504),
    "FULL_SLOW": (2333, 2388992),
    "BRIGHTSKY": (162, 86528),
    "SUB256": (96, 29952),
    "SUB128": (44, 11904),
    "SUB64": (28, 8512),
    "SLITLESSPRISM": (28, 15904),
    "MASKLYOT": (90, 32400),
    "MASK1065": (82, 23968),
    "MASK1140": (82, 23968),
    "MASK1550": (82, 23968),
}


class Wave(NamedTuple):
    """A frequency to remove and the shape of its wave, if it is known.

    Attributes
    ----------
    name : str
    frequency_hz : float
    shape : (nphases,) float64 or None
        One period [DN], sampled at the middles of equal steps of phase.
    """

    name: str
    frequency_hz: float
    shape: np.ndarray | None

    @property
    def period(self) -> float:
        """Period [ticks]."""
        return (1.0 / self.frequency_hz) / TICK_S


@dataclass(frozen=True)
class Clock:
    """Timing of one exposure.

    Attributes
    ----------
    ny, nx, ngroups : int
        Rows and columns of the window, groups of an integration.
    rowclocks : int
        Ticks from one row to the next.
    samples : int
        A/D samples per pixel, which are the ticks from one pixel to the next.
    resetclocks : int
        Ticks of the frame between integrations; 0 if there is none.
    xstart : int
        1-based first column of the window on the detector.
    """

    ny: int
    nx: int
    ngroups: int
    rowclocks: int
    samples: int
    resetclocks: int
    xstart: int = 1

    @property
    def waiting(self) -> int:
        """Ticks that a frame waits for the rows outside the window."""
        return (_ROWS - self.ny) * _TICKS_PER_SKIPPED_ROW

    @property
    def frame(self) -> int:
        """Ticks from one group to the next."""
        return self.ny * self.rowclocks + self.waiting

    @property
    def integration(self) -> int:
        """Ticks from one integration to the next."""
        return self.ngroups * self.frame + self.resetclocks

    def ticks(self) -> np.ndarray:
        """Return the tick at which each sample of a frame is read, (ny, nx/4) int64."""
        return np.arange(self.ny)[:, None] * self.rowclocks + np.arange(self.nx // OUTPUTS) * self.samples

    @property
    def late_column(self) -> int:
        """Column (in samples) that the reference pixels at the end of a row delay, or -1."""
        ends_at_edge = self.nx // OUTPUTS + self.xstart - 1 == _LAST_SAMPLE
        return self.nx // OUTPUTS - 1 if ends_at_edge else -1

    @property
    def late_ticks(self) -> int:
        """Ticks of that delay."""
        return _LATE_TICKS


def case_name(subarray: str, readpatt: str) -> str:
    """Return the name under which the reference file keeps the clocks of a subarray."""
    return f"{subarray}_{READ_PATTERNS[readpatt][0]}" if "FULL" in subarray else subarray


def select_waves(tree: dict, subarray: str, readpatt: str, detector: str) -> tuple[int, int, list[Wave]] | None:
    """Look a configuration up in the tree of an EMICORR reference.

    Returns
    -------
    rowclocks, frameclocks : int
    waves : list of Wave
        In the order in which they are removed; None instead of all three if the reference does not know this
        configuration.
    """
    speed = READ_PATTERNS[readpatt][0]
    case = tree.get("subarray_cases", {}).get(case_name(subarray, readpatt))
    names = (case or {}).get("freqs", {}).get(speed)
    if isinstance(names, dict):
        names = names.get(detector)
    if not names:
        return None
    waves = []
    for name in names:
        entry = tree["frequencies"][name]
        shape = np.asarray(entry["phase_amplitudes"], np.float64)
        waves.append(Wave(name, float(entry["frequency"]), shape))
    return int(case["rowclocks"]), int(case["frameclocks"]), waves
