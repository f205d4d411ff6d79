"""refpix: subtract the drifts of the electronics, as the reference pixels see them.

Reference pixels have no light-sensitive layer but the same electronics. Near-infrared detectors have a frame of them, 4
wide: the rows at both ends give the level of each amplifier, the columns at both sides the drift from row to row.
The mid-infrared ones have columns at both sides only.

Source: official description of the ``refpix`` step and its behaviour in jwst 3.0.0.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import numpy as np

from jwstsm.core import dq, scratch
from jwstsm.core.detector import DetectorWindow, FullDetector, full_detector
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._irs2 import is_irs2
from jwstsm.stage1._refpix_miri import correct_side_columns_inplace
from jwstsm.stage1._refpix_nir import BorderOptions, correct_border_inplace, correct_flagged_inplace
from jwstsm.stage1._refpix_sirs import kernels_from_tree
from jwstsm.step import Range, Skipped, step

__all__ = ["refpix"]

log = logging.getLogger(__name__)

# windows without reference pixels whose first and last columns are dark enough to stand in for them
_EDGELESS_SUBARRAYS = frozenset({"SUB32", "SUB512", "SUB512S"})
_EDGELESS_WIDTH = 4

_PIECE = 1 << 26  # bytes of planes on a scratch file that are corrected at a time


@step("S_REFPIX", references=["refpix", "sirskernel"], scope="integration")
def refpix(
    ramp: Ramp,
    refs: References,
    *,
    odd_even_columns: bool = True,
    use_side_ref_pixels: bool = True,
    side_smoothing_length: Annotated[int, Range(min=1)] = 11,
    side_gain: float = 1.0,
    odd_even_rows: bool = True,
    ovr_corr_mitigation_ftr: float = 3.0,
    preserve_irs2_refpix: bool = False,
    irs2_mean_subtraction: bool = False,
    refpix_algorithm: Literal["median", "sirs"] = "median",
    sigreject: float = 4.0,
    gaussmooth: float = 1.0,
    halfwidth: Annotated[int, Range(min=1)] = 30,
    siglimit: float = 3.0,
) -> Ramp:
    """Subtract bias drifts and slow noise that the reference pixels show.

    Parameters
    ----------
    ramp : Ramp
        ``data`` and ``zeroframe`` [DN] are changed in place.
    refs : References
        ``sirskernel`` for the ``sirs`` algorithm. ``refpix`` for IRS2: tables ``IRS2`` (weights) and ``DQ`` (bad pixels).
    odd_even_columns : bool
        Find the level of odd and even detector columns apart.
    use_side_ref_pixels : bool
        Correct each row by the reference columns at the sides.
    side_smoothing_length : int
        Rows in the window of the running median of the side columns.
    side_gain : float
        Factor applied to the running median before it is subtracted.
    odd_even_rows : bool
        MIRI: find the level of odd and even rows apart.
    ovr_corr_mitigation_ftr : float
        IRS2: limit above which an interleaved reference pixel is taken as bad [standard deviations].
    preserve_irs2_refpix : bool
        IRS2: keep the interleaved reference pixels in the product.
    irs2_mean_subtraction : bool
        IRS2: subtract the level of each amplifier before the IRS2 correction.
    refpix_algorithm : {"median", "sirs"}
        How full frames use the side columns: running median, or optimal convolution (needs a SIRSKERNEL reference).
    sigreject : float
        ``sirs``: side pixels farther from their median are left out [standard deviations].
    gaussmooth : float
        ``sirs``: standard deviation of the smoothing of the kernel [row].
    halfwidth : int
        ``sirs``: half-width of the kernel [row].
    siglimit : float
        Clipping limit of the mean of reference pixels [standard deviations].

    Returns
    -------
    Ramp

    Notes
    -----
    In detector orientation, for each group and amplifier: ``data -= (bottom + top) / 2``, clipped means of the
    reference rows, odd and even columns apart; then ``data -= side_gain * (left + right) / 2``, running medians of
    the reference columns so corrected. Ends and sides that a window does not hold are left out. Windows read
    through one amplifier take one clipped mean of all pixels flagged REFERENCE_PIXEL instead. Full frames of
    detectors without reference rows (MIRI) take the clipped means of the side columns of each amplifier, odd and
    even rows apart, of the difference to the first group, which is kept. Reads REFERENCE_PIXEL and DO_NOT_USE of
    ``pixeldq``; sets nothing. Zero frames are treated like groups; values of exactly 0 in them stay 0. Sums and
    means are float64.

    IRS2 frames lose the part of their noise that their interleaved reference pixels and the reference output predict
    (see ``_refpix_irs2``), and are cut from 3200 rows to the 2048 of the detector. Reads BAD_REF_PIXEL there; sets it and
    DO_NOT_USE in rows of bad reference pixels, which stay in the product only with ``preserve_irs2_refpix``; no later
    step takes such a product.
    """
    if is_irs2(ramp):
        from jwstsm.stage1._refpix_irs2_step import Irs2Options, correct_irs2  # Fourier transforms are a slow import

        levels = Irs2Options(
            ovr_corr_mitigation_ftr, irs2_mean_subtraction, odd_even_columns, siglimit, preserve_irs2_refpix
        )
        return correct_irs2(ramp, refs, levels)
    full = full_detector(ramp.readout.instrument)
    if full.border_y == 0:
        return _correct_by_side_columns(ramp, full, odd_even_rows, siglimit)
    kernels = _sirs_kernels(ramp, refs, full, gaussmooth, halfwidth) if refpix_algorithm == "sirs" else None
    options = BorderOptions(
        odd_even_columns=odd_even_columns,
        use_side_ref_pixels=use_side_ref_pixels,
        side_smoothing_length=side_smoothing_length,
        side_gain=side_gain,
        siglimit=siglimit,
        sigreject=sigreject,
        kernels=kernels,
    )
    return _correct_by_border(ramp, full, options)


def _is_whole(ramp: Ramp, full: FullDetector) -> bool:
    return ramp.data.shape[2:] == (full.ny, full.nx)


def _correct_by_side_columns(ramp: Ramp, full: FullDetector, odd_even_rows: bool, siglimit: float) -> Ramp:
    """Correct a detector that has reference columns only."""
    if not _is_whole(ramp, full):
        return Skipped(ramp, "windows of a detector without reference rows are not corrected")
    done = correct_side_columns_inplace(
        ramp.data,
        ramp.pixeldq,
        border=full.border_x,
        outputs=full.outputs,
        odd_even_rows=odd_even_rows,
        limit=siglimit,
    )
    return ramp if done else Skipped(ramp, "no usable reference pixels")


def _correct_by_border(ramp: Ramp, full: FullDetector, options: BorderOptions) -> Ramp:
    """Correct groups and zero frames of a detector with a frame of reference pixels."""
    readout = ramp.readout
    ny, nx = ramp.data.shape[2:]
    x1, y1 = readout.xstart + nx - 1, readout.ystart + ny - 1
    outside = readout.xstart < 1 or readout.ystart < 1 or x1 > full.nx or y1 > full.ny
    if outside and readout.stripes is None:
        return Skipped(ramp, "the window does not lie on the detector")
    window = DetectorWindow.of(readout, full.nx, full.border_x, full.outputs)
    whole = _is_whole(ramp, full)
    flags = ramp.pixeldq
    if readout.subarray in _EDGELESS_SUBARRAYS and not whole:
        flags = _declare_edges(flags)
    stacks = [(planes, False) for planes in _pieces(ramp.data.reshape(-1, ny, nx))]
    if ramp.zeroframe is not None:
        stacks.append((ramp.zeroframe, True))
    for planes, keep_zeros in stacks:
        if readout.stripes is not None:
            done = correct_flagged_inplace(planes, flags, window, options, by_amplifier=True, keep_zeros=keep_zeros)
        elif whole or readout.noutputs == full.outputs:
            done = correct_border_inplace(planes, flags, window, options, keep_zeros=keep_zeros)
        else:
            done = correct_flagged_inplace(planes, flags, window, options, keep_zeros=keep_zeros)
        ramp.release()
        if not done:
            return Skipped(ramp, "no usable reference pixels")
    return ramp


def _pieces(planes: np.ndarray) -> list[np.ndarray]:
    """Cut planes of a scratch file into pieces: taking the side columns of a plane maps all of it."""
    if not scratch.is_mapped(planes):
        return [planes]
    return np.array_split(planes, max(1, min(len(planes), planes.nbytes // _PIECE)))


def _declare_edges(pixeldq: np.ndarray) -> np.ndarray:
    """Return flags with the first and last columns of the window declared reference pixels."""
    flags = pixeldq.copy()
    flags[:, :_EDGELESS_WIDTH] |= np.uint32(dq.REFERENCE_PIXEL)
    flags[:, -_EDGELESS_WIDTH:] |= np.uint32(dq.REFERENCE_PIXEL)
    return flags


def _sirs_kernels(ramp: Ramp, refs: References, full: FullDetector, gaussmooth: float, halfwidth: int):
    """Return the convolution kernels, or None where running medians are to be used instead."""
    if not (_is_whole(ramp, full) and "FULL" in ramp.readout.subarray):
        log.info("the sirs algorithm is for full frames; running medians are used")
        return None
    if refs["sirskernel"] is None:
        log.warning("there is no SIRSKERNEL reference; running medians are used")
        return None
    kernels = kernels_from_tree(
        refs["sirskernel"].asdf(), ramp.readout.detector, gaussmooth=gaussmooth, halfwidth=halfwidth
    )
    if kernels is None:
        log.warning("the SIRSKERNEL reference does not know %s; running medians are used", ramp.readout.detector)
    return kernels
