"""linearity: straighten the response of each pixel with a polynomial in its counts.

Where the reference also holds the inverse polynomial and groups are averages of frames, the frames of a group are
modelled first: a straight ramp through the first and the last good group is bent by the inverse polynomial, shifted to
the measured average, corrected frame by frame, and averaged again. The correction of an average is not the average of
the corrections.

Source: official description of the ``linearity`` step and its behaviour in jwst 3.0.0.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Skipped, step

__all__ = ["clean_coefficients_row", "linearity", "linearize_frames_inplace", "linearize_inplace"]

_NO_LIN_CORR = np.uint32(dq.NO_LIN_CORR)
_SATURATED = np.uint8(dq.SATURATED)
_CLEAR = np.uint8(0)


@njit
def clean_coefficients_row(coefficients, flags, pixeldq, y):
    """Return the coefficients of one detector row, made harmless where they cannot be used, and flag those pixels.

    Parameters
    ----------
    coefficients : (ncoeffs, ny, nx) float32
    flags : (ny, nx) uint32
        DQ of the reference.
    pixeldq : (ny, nx) uint32
        NO_LIN_CORR is set in row ``y``, in place.
    y : int

    Returns
    -------
    (nterms, nx) float32
        Highest order first, with zeros before it that make ``nterms`` a multiple of 4. The identity where the
        reference flags NO_LIN_CORR, a coefficient is NaN or the linear one is 0.
    """
    ncoeffs, _, nx = coefficients.shape
    nterms = 4 * ((ncoeffs + 3) // 4)
    out = np.zeros((nterms, nx), np.float32)
    bad = np.zeros(nx, np.uint8)
    for k in range(ncoeffs):
        line = coefficients[k, y]
        term = out[nterms - 1 - k]
        for x in range(nx):
            term[x] = line[x]
            bad[x] |= np.uint8(line[x] != line[x])
    linear = out[nterms - 2]
    any_bad = np.uint8(0)
    for x in range(nx):
        bad[x] |= np.uint8(linear[x] == 0) | np.uint8((flags[y, x] & _NO_LIN_CORR) != 0)
        any_bad |= bad[x]
    if any_bad:
        for x in range(nx):
            if bad[x]:
                pixeldq[y, x] |= _NO_LIN_CORR
                for k in range(nterms):
                    out[k, x] = np.float32(0)
                linear[x] = np.float32(1)
    return out


@njit
def _polynomial_row(values, terms, out):
    """Write the polynomial of a row of values by Horner's rule, in the precision of ``values`` and ``out``.

    Four terms are taken at a time, so that the row is passed fewer times; float32 rows give the same bits as term by
    term arithmetic.
    """
    for x in range(values.size):
        out[x] = np.float32(0)
    for k in range(0, terms.shape[0], 4):
        a, b, c, d = terms[k], terms[k + 1], terms[k + 2], terms[k + 3]
        for x in range(values.size):
            v = values[x]
            out[x] = (((out[x] * v + a[x]) * v + b[x]) * v + c[x]) * v + d[x]


@njit
def _keep_saturated(values, state, straight):
    """Replace the values of a row that are not flagged SATURATED."""
    for x in range(values.size):
        values[x] = straight[x] if (state[x] & _SATURATED) == _CLEAR else values[x]


@njit
def _keep_zeros(values, straight):
    """Replace the values of a row that are not exactly 0."""
    zero = np.float32(0)
    for x in range(values.size):
        values[x] = straight[x] if values[x] != zero else zero


@njit(parallel=True)
def linearize_inplace(data, groupdq, zeroframe, coefficients, flags, pixeldq):
    """Apply the polynomial to every group that is not saturated, and to the zero frame.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place.
    groupdq : (nints, ngroups, ny, nx) uint8
        SATURATED is read; such groups keep their counts.
    zeroframe : (nints or 0, ny, nx) float32 [DN]
        Changed in place; 0 marks an unusable pixel and stays 0.
    coefficients : (ncoeffs, ny, nx) float32
        ``c_k`` in ``sum_k c_k S**k``.
    flags : (ny, nx) uint32
    pixeldq : (ny, nx) uint32
        NO_LIN_CORR is set in place where no correction can be made.
    """
    nints, ngroups, ny, nx = data.shape
    for y in prange(ny):
        terms = clean_coefficients_row(coefficients, flags, pixeldq, y)
        straight = np.empty(nx, np.float32)
        for i in range(nints):
            for g in range(ngroups):
                _polynomial_row(data[i, g, y], terms, straight)
                _keep_saturated(data[i, g, y], groupdq[i, g, y], straight)
        for i in range(zeroframe.shape[0]):
            _polynomial_row(zeroframe[i, y], terms, straight)
            _keep_zeros(zeroframe[i, y], straight)


@njit
def _straight_ramp_row(ramp, state, terms, nframes, start, slope):
    """Write the straightened counts of the first group and their growth per frame for each pixel of a row."""
    ngroups, nx = ramp.shape
    measured = np.empty(nx, np.float32)
    straight = np.empty(nx, np.float32)
    _polynomial_row(ramp[0], terms, straight)
    for x in range(nx):
        start[x] = ramp[0, x] if (state[0, x] & _SATURATED) != _CLEAR else straight[x]
    last = np.zeros(nx, np.int64)
    for x in range(nx):
        usable = 0
        for g in range(ngroups):
            if (state[g, x] & _SATURATED) == _CLEAR:
                usable += 1
        last[x] = max(usable - 1, 2) - 1
        measured[x] = ramp[last[x], x]
    _polynomial_row(measured, terms, straight)
    for x in range(nx):
        end = measured[x] if (state[last[x], x] & _SATURATED) != _CLEAR else straight[x]
        slope[x] = (end - start[x]) / (last[x] * nframes)


@njit(parallel=True)
def linearize_frames_inplace(data, groupdq, coefficients, inverse, flags, pixeldq, nframes):
    """Apply the polynomial frame by frame to groups that average ``nframes`` frames.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place; at least two groups.
    groupdq : (nints, ngroups, ny, nx) uint8
        SATURATED is read; such groups keep their counts.
    coefficients, inverse : (ncoeffs, ny, nx) float32
        Polynomials from measured to straight counts and back; their orders may differ.
    flags, pixeldq
        As in :func:`linearize_inplace`.
    nframes : int

    Notes
    -----
    The straight ramp runs from the first group to the last but one of the unsaturated groups (at least to the second),
    in units of frames; frames dropped between groups are not counted, as in the official step.
    """
    nints, ngroups, ny, nx = data.shape
    for y in prange(ny):
        forward = clean_coefficients_row(coefficients, flags, pixeldq, y)
        back = clean_coefficients_row(inverse, flags, pixeldq, y)
        start, slope, frame, mean, total = np.empty((5, nx), np.float64)
        bent = np.empty((nframes, nx), np.float64)
        for i in range(nints):
            ramp, state = data[i, :, y], groupdq[i, :, y]
            _straight_ramp_row(ramp, state, forward, nframes, start, slope)
            for g in range(ngroups):
                mean[:] = 0.0
                for f in range(nframes):
                    since = g * nframes + f - 0.5 * (nframes - 1)
                    for x in range(nx):
                        frame[x] = start[x] + slope[x] * since
                    _polynomial_row(frame, back, bent[f])
                    for x in range(nx):
                        mean[x] += bent[f, x]
                total[:] = 0.0
                for f in range(nframes):
                    for x in range(nx):
                        bent[f, x] += ramp[g, x] - mean[x] / nframes
                    _polynomial_row(bent[f], forward, frame)
                    for x in range(nx):
                        total[x] += frame[x]
                for x in range(nx):
                    if (state[g, x] & _SATURATED) == _CLEAR:
                        ramp[g, x] = np.float32(total[x] / nframes)


@step("S_LINEAR", references=["linearity"], scope="integration")
def linearity(ramp: Ramp, refs: References) -> Ramp:
    """Correct the counts of every unsaturated group for the non-linear response of its pixel.

    Parameters
    ----------
    ramp : Ramp
        ``data``, ``zeroframe`` [DN] and ``pixeldq`` are changed in place.
    refs : References
        ``linearity``: ``COEFFS``, ``DQ`` and, in some files, ``INV_COEFFS``.

    Returns
    -------
    Ramp

    Notes
    -----
    ``S' = sum_k c_k S**k``. Reads SATURATED of ``groupdq``: such groups keep their counts. ``pixeldq |= DQ`` of the
    reference, plus NO_LIN_CORR where a coefficient is NaN or the linear one is 0; those pixels and the ones that the
    reference flags NO_LIN_CORR keep their counts. With ``INV_COEFFS`` and more than one frame per group, see
    :func:`linearize_frames_inplace`; the zero frame, a single frame, always takes the plain polynomial.
    """
    reference = refs["linearity"]
    if reference is None:
        return Skipped(ramp, "no LINEARITY reference")
    coefficients, flags = reference.array("COEFFS"), reference.dq("DQ")
    if flags is None:
        flags = np.zeros(coefficients.shape[1:], np.uint32)
        flags.flags.writeable = False  # like arrays of references, so that no kernel is compiled twice
    ramp.pixeldq |= flags
    zeroframe = ramp.zeroframe if ramp.zeroframe is not None else np.zeros((0, *flags.shape), np.float32)
    data, groupdq = ramp.data, ramp.groupdq
    # a single group gives no slope, so its frames cannot be told apart
    if reference.has("INV_COEFFS") and ramp.readout.nframes > 1 and data.shape[1] > 1:
        inverse = reference.array("INV_COEFFS")
        linearize_frames_inplace(data, groupdq, coefficients, inverse, flags, ramp.pixeldq, ramp.readout.nframes)
        data, groupdq = data[:0], groupdq[:0]
    linearize_inplace(data, groupdq, zeroframe, coefficients, flags, ramp.pixeldq)
    return ramp
