"""group_scale: undo an on-board average that was divided by the wrong number.

Frames of a group are summed on board and divided by ``FRMDIVSR``, always a power of two. Where the number of frames is
not one, every group is too large or too small by the same factor.

Source: official description of the ``group_scale`` step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.products import Ramp
from jwstsm.step import Skipped, step

__all__ = ["group_scale", "scale_inplace"]


def scale_inplace(data: np.ndarray, factor: float) -> None:
    """Multiply ``data`` (any shape, float32) by ``factor``."""
    np.multiply(data, np.float32(factor), out=data)


@step("S_GRPSCL", scope="integration")
def group_scale(ramp: Ramp, refs) -> Ramp:
    """Rescale groups whose frames were averaged by a number that is not ``NFRAMES``.

    Parameters
    ----------
    ramp : Ramp
        ``data`` is changed in place [DN].
    refs : References
        Not used.

    Returns
    -------
    Ramp

    Notes
    -----
    ``data *= FRMDIVSR / NFRAMES``. Does not apply where the two are equal or one is missing. The zero frame is a single
    frame and is left alone. DQ is neither read nor set.
    """
    nframes, divisor = ramp.key("NFRAMES"), ramp.key("FRMDIVSR")
    if nframes is None:
        return Skipped(ramp, "NFRAMES is not in the header")
    if divisor is None:
        if int(nframes) & (int(nframes) - 1) == 0:
            return Skipped(ramp, f"NFRAMES = {nframes} is a power of two")
        return Skipped(ramp, "FRMDIVSR is not in the header")
    if nframes == divisor:
        return Skipped(ramp, f"NFRAMES and FRMDIVSR are both {nframes}")
    scale_inplace(ramp.data, float(divisor) / nframes)
    return ramp
