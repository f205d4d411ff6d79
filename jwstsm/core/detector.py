"""Geometry of the detectors: full size, reference-pixel border, amplifiers, and the way to detector orientation.

Files hold images in the orientation of the sky instruments (x to the right, y up). The electronics see *detector*
orientation: columns run along the fast readout axis, rows along the slow one. ``FASTAXIS`` and ``SLOWAXIS``
(1 is x, 2 is y, negative is against the axis) tell how one becomes the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["FULL_DETECTORS", "DetectorWindow", "FullDetector", "full_detector", "reference_borders"]


class FullDetector(NamedTuple):
    """Size and reference pixels of a whole detector, in the orientation of the files."""

    nx: int
    ny: int
    border_x: int
    """Reference columns on the left and on the right."""
    border_y: int
    """Reference rows at the bottom and at the top."""
    outputs: int
    """Amplifiers of a full-frame readout."""


# one row per detector family; the family is the instrument unless the detector has a row of its own
FULL_DETECTORS: dict[str, FullDetector] = {
    "NIRCAM": FullDetector(2048, 2048, 4, 4, 4),
    "NIRISS": FullDetector(2048, 2048, 4, 4, 4),
    "NIRSPEC": FullDetector(2048, 2048, 4, 4, 4),
    "FGS": FullDetector(2048, 2048, 4, 4, 4),
    "MIRI": FullDetector(1032, 1024, 4, 0, 4),
}


def full_detector(instrument: str) -> FullDetector:
    """Return the row of an instrument (any unknown name: a near-infrared detector)."""
    return FULL_DETECTORS.get(instrument, FULL_DETECTORS["NIRCAM"])


def reference_borders(full: FullDetector, xstart: int, ystart: int, nx: int, ny: int) -> tuple[int, int, int, int]:
    """Return how many reference rows and columns a window holds.

    Parameters
    ----------
    full : FullDetector
    xstart, ystart : int
        1-based corner of the window on the full detector.
    nx, ny : int
        Size of the window [pixel].

    Returns
    -------
    bottom, top, left, right : int
    """
    x0, y0 = xstart - 1, ystart - 1
    return (
        max(0, full.border_y - y0),
        max(0, y0 + ny - (full.ny - full.border_y)),
        max(0, full.border_x - x0),
        max(0, x0 + nx - (full.nx - full.border_x)),
    )


@dataclass(frozen=True)
class DetectorWindow:
    """A window of a square detector, seen in detector orientation.

    Attributes
    ----------
    fastaxis, slowaxis : int
        Readout directions, as in the header.
    row0, col0 : int
        0-based corner of the window on the full detector, in detector orientation.
    size : int
        Rows and columns of the full detector.
    border : int
        Width of the frame of reference pixels.
    outputs : int
        Amplifiers that share the columns of the full detector evenly.
    """

    fastaxis: int
    slowaxis: int
    row0: int
    col0: int
    size: int = 2048
    border: int = 4
    outputs: int = 4

    @classmethod
    def of(cls, readout, size: int = 2048, border: int = 4, outputs: int = 4) -> DetectorWindow:
        """Return the window of a :class:`~jwstsm.products.Readout`."""
        start = {1: readout.xstart - 1, 2: readout.ystart - 1}
        length = {1: readout.nx, 2: readout.ny}

        def first(axis: int) -> int:
            low = start[abs(axis)]
            return low if axis > 0 else size - low - length[abs(axis)]

        fast, slow = readout.fastaxis, readout.slowaxis
        return cls(fast, slow, first(slow), first(fast), size, border, outputs)

    @property
    def transposed(self) -> bool:
        """Whether detector columns run along y of the file."""
        return abs(self.fastaxis) == 2

    def view(self, planes: np.ndarray) -> np.ndarray:
        """Return ``(..., ny, nx)`` as a ``(..., row, column)`` view in detector orientation; no copy is made."""
        fast, slow = np.sign(self.fastaxis), np.sign(self.slowaxis)
        if self.transposed:
            return np.swapaxes(planes[..., ::fast, ::slow], -2, -1)
        return planes[..., ::slow, ::fast]

    def file_columns(self, values: np.ndarray) -> np.ndarray:
        """Return values along detector columns (last axis) in the order of the file, C-contiguous."""
        return np.ascontiguousarray(values[..., :: np.sign(self.fastaxis)])

    def file_rows(self, values: np.ndarray) -> np.ndarray:
        """Return values along detector rows (last axis) in the order of the file, C-contiguous."""
        return np.ascontiguousarray(values[..., :: np.sign(self.slowaxis)])
