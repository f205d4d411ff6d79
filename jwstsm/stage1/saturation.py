"""saturation: flag groups whose counts reached the level where the detector or its converter stops.

Method: the first group at or above the threshold is found for every pixel and integration, spread to the neighbours
(charge spills over) as a running minimum, and everything from that group on is flagged. That equals flagging and
growing plane by plane, but reads the ramp once. Frame-averaged groups in which only the last frames saturated are
then looked for with a threshold lowered by the dilution.

Source: official description of the ``saturation`` step and its behaviour in jwst 3.0.0.
"""

from __future__ import annotations

import logging
from typing import Annotated

import numpy as np

from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._irs2 import is_irs2, science_rows
from jwstsm.stage1._saturation_kernels import (
    find_first_saturated,
    flag_groups,
    grow_single_groups,
    usable_threshold,
    zero_bad_zeroframe,
)
from jwstsm.step import Range, Skipped, step

__all__ = ["dilution_factors", "flag_saturation_inplace", "saturation"]

log = logging.getLogger(__name__)


def dilution_factors(ngroups: int, nframes: int) -> np.ndarray:
    """Return, for each group, the mean frame number of the group over its last one.

    A signal that grows evenly from the reset and crosses the threshold in the last frame of a group shows this fraction
    of the threshold in the group's average. Frames dropped between groups are not counted, as in the official step.

    Returns
    -------
    (ngroups,) float64 ndarray
    """
    last = (np.arange(ngroups) + 1.0) * nframes
    return (last - (nframes - 1) / 2.0) / last


def flag_saturation_inplace(
    data, groupdq, threshold, bias, rows, *, grow: int = 1, nframes: int | None = 1, embedded: bool = False
) -> np.ndarray:
    """Flag saturation and the A/D floor of a ramp.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
    groupdq : (nints, ngroups, ny, nx) uint8
        Changed in place.
    threshold : (nrows, nx) float32 [DN]
        From :func:`usable_threshold`.
    bias : (nrows, nx) float32 [DN]
    rows : (nrows,) int64
        Rows of the frame that are science pixels.
    grow : int
        Layers of neighbours that are flagged too.
    nframes : int or None
        Frames per group; None turns the rules for averaged groups off.
    embedded : bool
        Rule for frames with reference pixels in between (IRS2): the second-group rule flags SATURATED and its
        neighbours, and no other group is searched for partial saturation.

    Returns
    -------
    (nints, nrows, nx) uint16 ndarray
        First flagged group of each pixel; ``ngroups`` where there is none.
    """
    nints, ngroups, _, nx = data.shape
    shape = (nints, rows.size, nx)
    first, spread, single = (np.empty(shape, np.uint16) for _ in range(3))
    some = np.zeros(shape[:2], np.bool_)
    find_first_saturated(data, groupdq, threshold, rows, first)
    averaged = nframes is not None
    dilution = dilution_factors(ngroups, nframes or 1)
    flag_groups(
        data,
        groupdq,
        threshold,
        bias,
        rows,
        first,
        grow,
        dilution,
        nframes or 1,
        averaged,
        embedded,
        spread,
        single,
        some,
    )
    if some.any():
        grow_single_groups(groupdq, single, some, rows, grow, embedded)
    return spread


@step("S_SATURA", references=["saturation", "superbias"], scope="integration")
def saturation(
    ramp: Ramp, refs: References, *, n_pix_grow_sat: Annotated[int, Range(min=0)] = 1, use_readpatt: bool = True
) -> Ramp:
    """Flag saturated groups and groups at the floor of the converter.

    Groups from the first saturated one on cannot be used in a slope; groups at or below zero counts carry no signal.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq``, ``pixeldq`` and ``zeroframe`` are changed in place; ``data`` [DN] is read.
    refs : References
        ``saturation``: threshold ``SCI`` [DN] and ``DQ``. ``superbias``: ``SCI`` [DN], for the second-group rule.
    n_pix_grow_sat : int
        Layers of pixels around a saturated one that are flagged as well.
    use_readpatt : bool
        Use the frames per group to find groups in which only some frames were saturated.

    Returns
    -------
    Ramp

    Notes
    -----
    Sets, in ``groupdq``: SATURATED from the first group at or above the threshold on, for the pixel and its neighbours;
    AD_FLOOR and DO_NOT_USE in groups at or below 0. With ``use_readpatt``, DO_NOT_USE in the group before the first
    saturated one where it is above threshold times :func:`dilution_factors` and not flagged yet, with neighbours; and
    DO_NOT_USE in the second group of a pixel saturated from the third on, if the first group did not promise that and
    the step to the second exceeds the range left divided by the frames of a group.
    ``pixeldq |= DQ`` of the reference, plus NO_SAT_CHECK where the threshold is NaN; those pixels are never found
    saturated themselves. Zero-frame pixels that are saturated (with neighbours) or at or below 0 become 0.
    Flags that ``groupdq`` already has are kept, and SATURATED ones among them are not grown again.
    """
    reference = refs["saturation"]
    bias_reference = refs["superbias"]
    if reference is None:
        return Skipped(ramp, "no SATURATION reference")
    rows = science_rows(ramp)
    threshold, flags = usable_threshold(reference.array("SCI"), _flags(reference))
    bias = np.zeros(threshold.shape, np.float32) if bias_reference is None else bias_reference.array("SCI")
    if is_irs2(ramp) and bias_reference is not None:
        bias = bias[rows]
    bias.flags.writeable = False  # like arrays of references, so that no kernel is compiled twice
    nframes = ramp.readout.nframes if use_readpatt else None
    spread = flag_saturation_inplace(
        ramp.data, ramp.groupdq, threshold, bias, rows, grow=n_pix_grow_sat, nframes=nframes, embedded=is_irs2(ramp)
    )
    ramp.pixeldq[rows] |= flags
    if ramp.zeroframe is not None:
        zero_bad_zeroframe(ramp.zeroframe, threshold, rows, n_pix_grow_sat)
    log.info("%d pixels are saturated in some group", np.count_nonzero((spread < ramp.data.shape[1]).any(axis=0)))
    return ramp


def _flags(reference) -> np.ndarray:
    """Return the DQ plane of a reference, zeros if it has none."""
    flags = reference.dq("DQ")
    if flags is None:
        flags = np.zeros(reference.array("SCI").shape, np.uint32)
        flags.flags.writeable = False
    return flags
