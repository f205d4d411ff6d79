"""Layout of NIRSpec IRS2 frames: science pixels with reference pixels read in between.

Along the fast axis (y in the files) an IRS2 frame begins with the reference output, then holds four outputs in which
after every ``n`` science pixels ``r`` reference pixels were read, the first time after ``n / 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

__all__ = ["FRAME_ROWS", "NORMAL", "REFERENCE", "ROW_CLOCKS", "SECTION_ROWS", "FrameLayout", "is_irs2", "science_rows"]

_LONGEST_NORMAL = 2048

#: Science pixels between reference pixels, and reference pixels at a time, of the mode that is in use.
NORMAL, REFERENCE = 16, 4
#: Rows of a frame, and of each of its five sections.
FRAME_ROWS, SECTION_ROWS = 3200, 640
#: Clocks of 10 us that a detector row takes in each output.
ROW_CLOCKS = 712


def is_irs2(ramp) -> bool:
    """Whether the frames still hold interleaved reference pixels (``refpix`` takes them out)."""
    return max(ramp.data.shape[-2:]) > _LONGEST_NORMAL


def science_rows(ramp, nnormal: int | None = None, nreference: int | None = None) -> np.ndarray:
    """Return the rows of a frame that hold science pixels.

    Parameters
    ----------
    ramp : Ramp
    nnormal, nreference : int, optional
        Science pixels between reference pixels, and reference pixels at a time; default from the header
        (``NRS_NORM``, ``NRS_REF``) or 16 and 4.

    Returns
    -------
    (nrows,) int64 ndarray
        Increasing; all rows of a frame that is not IRS2.
    """
    ny = ramp.data.shape[-2]
    if not is_irs2(ramp):
        return np.arange(ny)
    n = nnormal or int(ramp.key("NRS_NORM", 16))
    r = nreference or int(ramp.key("NRS_REF", 4))
    reference_output = 512 + 512 // n * r
    length = (ny - reference_output) // 4
    science = np.ones(length, bool)
    for start in range(n // 2, length + 1, n + r):
        science[start : start + r] = False
    nscience = length - length // (n + r) * r
    # outputs are read in alternating directions; that shows only where an output is not a whole number of cycles
    backwards = science if nscience % n == 0 else science[::-1]
    frame = np.concatenate([np.zeros(reference_output, bool), science, backwards, science, backwards])
    if ramp.readout.fastaxis < 0:
        frame = frame[::-1]
    return np.flatnonzero(frame)


@dataclass(frozen=True)
class FrameLayout:
    """Where the samples of an IRS2 frame lie in the file and in time.

    A frame has five *sections*, read at the same time: the reference output and four quarters of the detector. A
    section reads, per detector row, 512 science and 128 reference *samples*; on the way to and from the reference pixels,
    and at the end of a row, clocks pass without a sample, so that a row takes :data:`ROW_CLOCKS` clocks.

    Attributes
    ----------
    rows : (5, 640) int64
        File row of each sample, in the order of reading.
    slow_backwards : bool
        Detector rows run against x of the file.
    """

    rows: np.ndarray
    slow_backwards: bool

    science_samples: ClassVar[np.ndarray] = np.arange(512) + REFERENCE * ((np.arange(512) + NORMAL // 2) // NORMAL)
    reference_samples: ClassVar[np.ndarray] = np.arange(128) + NORMAL * (np.arange(128) // REFERENCE) + NORMAL // 2
    science_clocks: ClassVar[np.ndarray] = np.arange(512) + (REFERENCE + 2) * ((np.arange(512) + NORMAL // 2) // NORMAL)
    reference_clocks: ClassVar[np.ndarray] = np.arange(128) + (NORMAL + 2) * (np.arange(128) // REFERENCE) + NORMAL // 2 + 1

    @classmethod
    def of(cls, fastaxis: int, slowaxis: int) -> FrameLayout:
        """Return the layout for the readout directions of a file (along y: fast, along x: slow)."""
        rows = np.arange(FRAME_ROWS).reshape(5, SECTION_ROWS)
        rows[::2] = rows[::2, ::-1]  # outputs are read in alternating directions
        return cls(FRAME_ROWS - 1 - rows if fastaxis < 0 else rows, slowaxis < 0)

    @property
    def clocks(self) -> np.ndarray:
        """Clock of each of the 640 samples within a row."""
        out = np.empty(SECTION_ROWS, np.int64)
        out[self.science_samples], out[self.reference_samples] = self.science_clocks, self.reference_clocks
        return out
