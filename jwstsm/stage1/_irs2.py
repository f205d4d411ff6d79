"""Layout of NIRSpec IRS2 frames: science pixels with reference pixels read in between.

Along the fast axis (y in the files) an IRS2 frame begins with the reference output, then holds four outputs in which
after every ``n`` science pixels ``r`` reference pixels were read, the first time after ``n / 2``.
"""

from __future__ import annotations

import numpy as np

__all__ = ["is_irs2", "science_rows"]

_LONGEST_NORMAL = 2048


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
