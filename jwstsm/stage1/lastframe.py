"""lastframe: leave the last group of MIRI ramps out.

The last group is drawn down by the reset of the neighbouring rows. Source: official description of the ``lastframe`` step
(jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.dq import DO_NOT_USE
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Skipped, step

__all__ = ["lastframe"]

_INSTRUMENTS = ("MIRI",)
_LEAST_GROUPS = 3


@step("S_LASTFR", scope="integration")
def lastframe(ramp: Ramp, refs: References) -> Ramp:
    """Flag the last group of each integration of MIRI as not to be used.

    Removes the group that the reset at the end of the integration has already touched.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq`` is changed in place.
    refs : References
        None are used.

    Returns
    -------
    Ramp

    Notes
    -----
    With more than 2 groups, DO_NOT_USE is set in the last one. No bits are read.
    """
    if ramp.readout.instrument not in _INSTRUMENTS:
        return Skipped(ramp, "only detectors of MIRI have this effect")
    if ramp.data.shape[1] < _LEAST_GROUPS:
        return Skipped(ramp, f"fewer than {_LEAST_GROUPS} groups, none can be spared")
    ramp.groupdq[:, -1] |= np.uint8(DO_NOT_USE)
    return ramp
