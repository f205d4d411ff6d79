"""Passes over the planes of an image that several steps of stage 2 make: scale them, blank the invalid pixels."""

from __future__ import annotations

import math

import numpy as np

from jwstsm.core import dq as dqbits
from jwstsm.core.compiled import njit, prange

__all__ = ["as_cube", "scale_planes"]

_DO_NOT_USE = np.uint32(dqbits.DO_NOT_USE)


def as_cube(array: np.ndarray | None) -> np.ndarray:
    """Return a view (nplanes, ny, nx) of an image or a stack of images; an absent array is one without pixels."""
    if array is None:
        return np.empty((0, 0, 0), np.float32)
    if not array.flags.c_contiguous:
        raise ValueError("planes must be C-contiguous to be changed in place")
    return array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:])


@njit(parallel=True)
def _scale_rows(data, err, dq, var_poisson, var_rnoise, var_flat, factor):
    nplanes, ny, nx = data.shape
    has_poisson, has_rnoise, has_flat = var_poisson.size > 0, var_rnoise.size > 0, var_flat.size > 0
    square = factor * factor
    for y in prange(ny):
        for i in range(nplanes):
            for x in range(nx):
                d = data[i, y, x] * factor
                e = err[i, y, x] * factor
                p = var_poisson[i, y, x] * square if has_poisson else 0.0
                r = var_rnoise[i, y, x] * square if has_rnoise else 0.0
                f = var_flat[i, y, x] * square if has_flat else 0.0
                # a sum is NaN when any of its terms is (infinite terms of both signs do not occur in variances)
                if np.isnan(d) or np.isnan(e + p + r + f) or dq[i, y, x] & _DO_NOT_USE:
                    dq[i, y, x] |= _DO_NOT_USE
                    d = e = p = r = f = np.nan
                data[i, y, x] = d
                err[i, y, x] = e
                if has_poisson:
                    var_poisson[i, y, x] = p
                if has_rnoise:
                    var_rnoise[i, y, x] = r
                if has_flat:
                    var_flat[i, y, x] = f


def scale_planes(slope, factor: float) -> None:
    """Multiply an image and its errors by a factor, its variances by the square, in place.

    Pixels that are NaN in one plane or are flagged DO_NOT_USE become both in all planes.

    Parameters
    ----------
    slope : Slope
        Arrays (ny, nx) or (nints, ny, nx).
    factor : float
    """
    planes = [as_cube(getattr(slope, name)) for name in ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat")]
    _scale_rows(*planes, np.float64(factor))
