"""gain_scale: bring count rates read at another gain setting to the standard one.

Source: official description of the ``gain_scale`` step (jwst 3.0.0).
"""

from __future__ import annotations

import numpy as np

from jwstsm.core import scratch
from jwstsm.products import Slope
from jwstsm.step import Skipped, step

__all__ = ["gain_scale", "scale_slope_inplace"]


def scale_slope_inplace(factor: float, linear: list[np.ndarray | None], variances: list[np.ndarray | None]) -> None:
    """Multiply rates and errors by ``factor`` and variances by its square; entries that are None are passed over."""
    for arrays, power in ((linear, 1), (variances, 2)):
        for array in arrays:
            if array is not None:
                # plane by plane: those of a long series are in scratch files
                for plane in array if array.ndim > 2 else [array]:
                    plane *= np.float32(factor**power)
                    scratch.release(array)


@step("S_GANSCL", references=["gain"], scope="exposure")
def gain_scale(slope: Slope, refs) -> Slope:
    """Multiply count rates by the factor of a non-standard gain setting.

    Parameters
    ----------
    slope : Slope
        ``data``, ``err`` [DN/s] and the variances [(DN/s)^2] are changed in place.
    refs : References
        ``gain``: only the keyword ``GAINFACT`` of its primary header is read. A ``GAINFACT`` in the exposure's own
        header goes before it.

    Returns
    -------
    Slope
        With ``GAINFACT`` in its primary header.

    Notes
    -----
    ``data *= f``, ``err *= f``, ``var *= f**2``. DQ is neither read nor set. Does not apply where neither header has
    the keyword, which is so for all but some NIRSpec subarrays.
    """
    factor = slope.key("GAINFACT")
    if factor is None and refs["gain"] is not None:
        factor = refs["gain"].header(0).get("GAINFACT")
    if factor is None:
        return Skipped(slope, "GAINFACT is not in the gain reference")
    scale_slope_inplace(float(factor), [slope.data, slope.err], [slope.var_poisson, slope.var_rnoise, slope.var_flat])
    slope.primary["GAINFACT"] = (float(factor), "Gain scale factor")
    return slope
