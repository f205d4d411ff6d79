"""flat_field: divide images by the response of the detector's pixels.

Source: the official step ``flat_field``, imaging part.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from jwstsm.core import dq as dqbits
from jwstsm.core.compiled import njit, prange
from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Slope
from jwstsm.references import ReferenceFile, References
from jwstsm.stage2._planes import as_cube
from jwstsm.step import Skipped, step

__all__ = ["divide_by_flat_inplace", "flat_field"]

log = logging.getLogger(__name__)

_DO_NOT_USE = np.uint32(dqbits.DO_NOT_USE)
_NO_FLAT = np.uint32(dqbits.NO_FLAT_FIELD)

# Exposure types whose flat is put together for every spectrum from three references; they are not plain images.
COMPOSITE_FLAT = frozenset({"NRS_AUTOWAVE", "NRS_BRIGHTOBJ", "NRS_FIXEDSLIT", "NRS_IFU", "NRS_LAMP", "NRS_MSASPEC"})
# Exposure types that are never flat-fielded.
NO_FLAT = frozenset({"NRS_AUTOFLAT", "NRS_VERIFY"})


@njit
def _effective_flat(value, flags):
    """Return the divisor and the flags of one pixel of the flat: unusable ones divide by 1."""
    if np.isnan(value) or value == 0.0:
        flags |= _DO_NOT_USE | _NO_FLAT
    if flags & _NO_FLAT:
        flags |= _DO_NOT_USE
    if flags & _DO_NOT_USE:
        return 1.0, flags
    return np.float64(value), flags


@njit(parallel=True)
def _divide_rows(data, err, dq, var_poisson, var_rnoise, var_flat, flat, flat_err, flat_dq):
    nplanes, ny, nx = data.shape
    for y in prange(ny):
        for i in range(nplanes):
            for x in range(nx):
                f, flags = _effective_flat(flat[y, x], flat_dq[y, x])
                square = f * f
                d = data[i, y, x] / f
                p = var_poisson[i, y, x] / square
                r = var_rnoise[i, y, x] / square
                relative = d * flat_err[y, x] / f
                v = relative * relative
                e = np.sqrt(p + r + v)
                flags |= dq[i, y, x]
                if np.isnan(d) or np.isnan(e) or flags & _DO_NOT_USE:
                    flags |= _DO_NOT_USE
                    d = e = p = r = v = np.nan
                data[i, y, x] = d
                err[i, y, x] = e
                dq[i, y, x] = flags
                var_poisson[i, y, x] = p
                var_rnoise[i, y, x] = r
                var_flat[i, y, x] = v


@njit(parallel=True)
def _multiply_rows(data, err, dq, var_poisson, var_rnoise, var_flat, flat, flat_dq):
    nplanes, ny, nx = data.shape
    for y in prange(ny):
        for i in range(nplanes):
            for x in range(nx):
                f, flags = _effective_flat(flat[y, x], flat_dq[y, x])
                square = f * f
                d = data[i, y, x] * f
                p = var_poisson[i, y, x] * square
                r = var_rnoise[i, y, x] * square
                e = np.sqrt(p + r)
                v = 0.0
                flags |= dq[i, y, x]
                if np.isnan(d) or np.isnan(e) or flags & _DO_NOT_USE:
                    flags |= _DO_NOT_USE
                    d = e = p = r = v = np.nan
                data[i, y, x] = d
                err[i, y, x] = e
                dq[i, y, x] = flags
                var_poisson[i, y, x] = p
                var_rnoise[i, y, x] = r
                var_flat[i, y, x] = v


@njit(parallel=True)
def _divide_plain_rows(data, err, dq, flat, flat_err, flat_dq, inverse):
    nplanes, ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            f, flags = _effective_flat(flat[y, x], flat_dq[y, x])
            # one plane of flags serves all planes of data: a value lost in one of them is no flag for the others
            dq[y, x] |= flags
            for i in range(nplanes):
                e = np.float64(err[i, y, x])
                if inverse:
                    d = data[i, y, x] * f
                else:
                    d = data[i, y, x] / f
                    relative = d * flat_err[y, x] / f
                    e = np.sqrt(e * e + relative * relative)
                if np.isnan(d) or np.isnan(e):
                    d = e = np.nan
                data[i, y, x] = d
                err[i, y, x] = e


def divide_by_flat_inplace(
    data, err, dq, var_poisson, var_rnoise, flat, flat_err, flat_dq, inverse: bool = False
) -> np.ndarray | None:
    """Divide images by a flat, in place.

    Parameters
    ----------
    data, err : (ny, nx) or (nints, ny, nx) float32
        [any unit]
    dq : same shape, uint32
        Without variances (ny, nx), for all planes.
    var_poisson, var_rnoise : same shape, float32, or None
        Without them only ``err`` is propagated (guide-star images, which were not fitted).
    flat, flat_err : (ny, nx) float32
    flat_dq : (ny, nx) uint32
    inverse : bool
        Multiply instead.

    Returns
    -------
    ndarray or None
        The variance that the flat's error adds, of the shape of ``data``; None without the other variances.
    """
    if var_poisson is None or var_rnoise is None:
        _divide_plain_rows(as_cube(data), as_cube(err), dq, flat, flat_err, flat_dq, inverse)
        return None
    var_flat = np.empty_like(data)
    planes = [as_cube(a) for a in (data, err, dq, var_poisson, var_rnoise, var_flat)]
    if inverse:
        _multiply_rows(*planes, flat, flat_dq)
    else:
        _divide_rows(*planes, flat, flat_err, flat_dq)
    return var_flat


def _flat_reference(refs: References, path: str | None) -> ReferenceFile | None:
    if path is None:
        return refs["flat"]
    if not Path(path).exists():
        raise ConfigError(f"flat_field: user_supplied_flat {path} does not exist")
    refs.used["flat"] = Path(path).name
    return ReferenceFile(path, "flat", refs.window)


@step("S_FLAT", references=["flat", "fflat", "sflat", "dflat"])
def flat_field(
    slope: Slope,
    refs: References,
    *,
    save_interpolated_flat: bool = False,
    user_supplied_flat: str | None = None,
    inverse: bool = False,
) -> Slope:
    """Divide an image by the flat.

    Removes the differences in sensitivity between pixels, and what the optics shade and brighten, so that equal
    surface brightness gives equal counts.

    Parameters
    ----------
    slope : Slope
        Rate image (ny, nx) or one plane per integration; changed in place.
    refs : References
        ``flat``.
    save_interpolated_flat : bool
        Save the flat that is put together for NIRSpec spectra; no effect on images.
    user_supplied_flat : str or None
        Path of a flat to use instead of the reference.
    inverse : bool
        Multiply by the flat, to undo the step.

    Returns
    -------
    Slope
        With ``var_flat``.

    Raises
    ------
    InputError
        For spectra whose flat is put together from several references.

    Notes
    -----
    With flat F and its error e: S' = S / F, var_poisson' = var_poisson / F^2, var_rnoise' = var_rnoise / F^2,
    var_flat = (S' e / F)^2, err = sqrt of their sum. DQ bits of the flat are added. Pixels where the flat is NaN, zero
    or flagged NO_FLAT_FIELD get NO_FLAT_FIELD and DO_NOT_USE and are not divided. Pixels that are NaN in one plane or
    are flagged DO_NOT_USE become both in all planes. With ``inverse`` var_flat is zero. Guide-star data have no variances
    and one plane of flags: their err becomes sqrt(err^2 + (S' e / F)^2), and flagged pixels keep their values.
    """
    exp_type = str(slope.require("EXP_TYPE"))
    if exp_type in COMPOSITE_FLAT:
        raise InputError(f"{slope.name}: the flat of {exp_type} spectra is put together per spectrum; skip flat_field")
    if exp_type in NO_FLAT:
        return Skipped(slope, f"there is no flat for {exp_type} exposures")
    reference = _flat_reference(refs, user_supplied_flat)
    if reference is None:
        return Skipped(slope, "no flat reference (N/A)")
    size, wanted = reference.shape("SCI")[-2:], slope.data.shape[-2:]
    if size[0] < wanted[0] or size[1] < wanted[1]:
        return Skipped(slope, f"the flat {reference.name} is smaller than the image ({size} < {wanted})")
    flat = reference.array("SCI")
    flat_err = reference.array("ERR") if reference.has("ERR") else np.zeros_like(flat)
    flat_dq = reference.dq("DQ")
    if flat_dq is None:
        flat_dq = np.zeros(flat.shape, np.uint32)
    slope.var_flat = divide_by_flat_inplace(
        slope.data, slope.err, slope.dq, slope.var_poisson, slope.var_rnoise, flat, flat_err, flat_dq, inverse
    )
    return slope
