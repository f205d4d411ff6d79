"""How long a frame takes, by kind of detector array; a further kind is one more function in :data:`FRAME_TIMES`."""

from __future__ import annotations

from jwstsm.sim.instruments import INSTRUMENTS, DetectorRow, frame_time_s
from jwstsm.sim.miri_effects import EMI_CASES
from jwstsm.sim.nirspec import IRS2_PATTERNS

__all__ = ["FRAME_TIMES", "frame_time", "miri_case"]

_TICK_S = 1e-5
_IRS2_CLOCKS = 712 * 2048 + 714


def miri_case(subarray: str, readpatt: str) -> str:
    """Return the name in :data:`~jwstsm.sim.miri_effects.EMI_CASES` of a subarray and read pattern."""
    return f"FULL_{readpatt[:4]}" if subarray == "FULL" else subarray


def _h2rg(row: DetectorRow, nx: int, ny: int, observation) -> float:
    if observation.readpatt in IRS2_PATTERNS:
        return _IRS2_CLOCKS * _TICK_S
    # rows run along the fast axis
    columns, rows = (nx, ny) if abs(row.fast_axis) == 1 else (ny, nx)
    return frame_time_s(columns, rows, observation.outputs)


def _sias(row: DetectorRow, nx: int, ny: int, observation) -> float:
    return EMI_CASES[miri_case(observation.subarray, observation.readpatt)].frameclocks * _TICK_S


FRAME_TIMES = {"H2RG": _h2rg, "SIAS": _sias}


def frame_time(row: DetectorRow, nx: int, ny: int, observation) -> float:
    """Return the time between frames [s] of a window of ``nx`` by ``ny`` pixels, read as an observation says."""
    return FRAME_TIMES[INSTRUMENTS[row.instrument].chain](row, nx, ny, observation)
