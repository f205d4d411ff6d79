"""The median over integrations, scaled to each of them, as background of clean_flicker_noise."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.rows import row_blocks
from jwstsm.core.scratch import allocate
from jwstsm.core.selection import median_inplace
from jwstsm.core.stats import median
from jwstsm.errors import InputError
from jwstsm.products import Ramp, Slope

__all__ = ["MedianRamp", "median_over_integrations"]

#: EXP_TYPE patterns of time series whose integrations are scaled by a light curve from an extraction.
_LIGHT_CURVE = ("NIS_SOSS", "NRS_BRIGHTOBJ", "NRC_TSGRISM", "NRC_TSIMAGE")


@njit(parallel=True)
def median_over_integrations(block, out):
    """Median over integrations, without NaN; NaN where there is none.

    Parameters
    ----------
    block : (nints, ngroups, ny, nx) float32
    out : (ngroups, ny, nx) float32
        Overwritten.
    """
    nints, ngroups, ny, nx = block.shape
    for y in prange(ny):
        values = np.empty(nints, np.float32)
        for g in range(ngroups):
            for x in range(nx):
                n = 0
                for i in range(nints):
                    v = block[i, g, y, x]
                    values[n] = v
                    n += v == v
                out[g, y, x] = median_inplace(values, n) if n > 0 else np.float32(np.nan)


@dataclass(frozen=True)
class MedianRamp:
    """The median integration and the relative brightness of each integration.

    Attributes
    ----------
    groups : (ngroups, ny, nx) float32 [DN]
    scale : (nints,) float32
    """

    groups: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, ramp: Ramp, rateints: Slope) -> MedianRamp:
        """Make it from a ramp and its count rates per integration.

        Raises
        ------
        InputError
            For time series that need a light curve to be scaled with, and where no integration has a finite flux.
        """
        exp_type = ramp.readout.exp_type
        if any(fnmatchcase(exp_type, pattern) for pattern in _LIGHT_CURVE) or ramp.key("TSOVISIT", False):
            raise InputError(
                f"{ramp.name}: background_method 'median_image' scales time series of {exp_type} by a light curve, which "
                "takes an extraction that stage 1 does not have; use 'median' or 'model'"
            )
        flux = np.array([median(plane) for plane in rateints.data], np.float32)
        good = np.isfinite(flux)
        if not good.any() or np.median(flux[good]) == 0:
            raise InputError(f"{ramp.name}: no integration has a flux that a median image could be scaled with")
        scale = flux / np.median(flux[good])
        scale[~good] = np.median(scale[good])
        groups = allocate(ramp.data.shape[1:], np.float32)
        for _, (data, out) in row_blocks(read=(ramp.data,), made=(groups,)):
            median_over_integrations(data, out)
        return cls(groups, scale)

    def group(self, integration: int, group: int) -> np.ndarray:
        """Return the scaled group (ny, nx) float32 of an integration."""
        return self.scale[integration] * self.groups[group]
