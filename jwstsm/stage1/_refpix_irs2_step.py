"""refpix for a ramp of IRS2 frames: bad reference pixels, the correction, and the cut to the science pixels."""

from __future__ import annotations

import logging
import weakref
from typing import NamedTuple

import numpy as np

from jwstsm.core import dq
from jwstsm.errors import InputError
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._irs2 import FRAME_ROWS, NORMAL, REFERENCE, FrameLayout, science_rows
from jwstsm.stage1._refpix_irs2 import Weights, subtract_irs2_inplace, weights_from_table
from jwstsm.stage1._refpix_irs2_pixels import (
    apply_replacements,
    find_bad_rows,
    replacements,
    subtract_levels_of_sections,
    table_replacements,
)
from jwstsm.step import Skipped

__all__ = ["Irs2Options", "correct_irs2"]

log = logging.getLogger(__name__)

# weights take a while to read; a long exposure comes here once per block of integrations
_READ: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Irs2Options(NamedTuple):
    """Choices of the correction; see the parameters of the ``refpix`` step."""

    outlier_limit: float
    mean_subtraction: bool
    odd_even: bool
    siglimit: float
    preserve: bool


def correct_irs2(ramp: Ramp, refs: References, options: Irs2Options) -> Ramp | Skipped:
    """Subtract the noise that the reference pixels of IRS2 frames show, and cut the frames to 2048 rows.

    Bad reference pixels are looked for in each integration, and replaced in that one.
    """
    if refs["refpix"] is None:
        return Skipped(ramp, "no REFPIX reference")
    _check(ramp)
    weights, table = _weights(refs["refpix"])
    if weights is None:
        return Skipped(ramp, "the weights of the REFPIX reference are not for frames of 712 x 2048 clocks")
    readout = ramp.readout
    backwards = readout.fastaxis < 0
    layout = FrameLayout.of(readout.fastaxis, readout.slowaxis)
    flagged = np.zeros(FRAME_ROWS, bool)
    for planes in ramp.data:
        bad = find_bad_rows(planes, ramp.pixeldq, options.outlier_limit)
        flagged |= bad
        if options.mean_subtraction:
            flags = ramp.pixeldq | np.where(bad, np.uint32(dq.DO_NOT_USE), np.uint32(0))[:, None]
            subtract_levels_of_sections(
                planes, flags, odd_even=options.odd_even, limit=options.siglimit, fast_backwards=backwards
            )
        apply_replacements(planes, replacements(bad))
        apply_replacements(planes, table_replacements(table, bad, backwards))
        subtract_irs2_inplace(planes, layout, weights, options.preserve)
    log.info("%s: %d rows of bad reference pixels", ramp.name, np.count_nonzero(flagged))
    ramp.pixeldq[flagged] |= np.uint32(dq.BAD_REF_PIXEL | dq.DO_NOT_USE)
    if not options.preserve:
        _cut(ramp)
    return ramp


def _check(ramp: Ramp) -> None:
    """Refuse interleaved frames of another make than the one in use."""
    readout = ramp.readout
    mode = (int(ramp.key("NRS_NORM", NORMAL)), int(ramp.key("NRS_REF", REFERENCE)))
    known = mode == (NORMAL, REFERENCE) and ramp.data.shape[2:] == (FRAME_ROWS, 2048)
    if not (known and abs(readout.fastaxis) == 2 and abs(readout.slowaxis) == 1):
        raise InputError(
            f"{ramp.name}: frames of {ramp.data.shape[2:]} with NRS_NORM, NRS_REF = {mode} and FASTAXIS {readout.fastaxis} "
            f"are not of the IRS2 mode in use ({FRAME_ROWS} x 2048, {NORMAL}, {REFERENCE}), the only one that is known"
        )


def _weights(reference) -> tuple[Weights | None, dict[str, np.ndarray] | None]:
    """Return the weights of a REFPIX reference and its table of bad reference pixels, if it has one."""
    if reference not in _READ:
        table = None
        if reference.has("DQ"):
            # column by column: unsigned integers are stored with an offset
            records = reference.table("DQ")
            table = {name.lower(): np.array(records[name], np.int64) for name in records.dtype.names}
        _READ[reference] = weights_from_table(reference.table("IRS2")), table
        reference.close()  # its 93 MB stay mapped otherwise
    return _READ[reference]


def _cut(ramp: Ramp) -> None:
    """Keep the science rows only, within the memory the ramp has."""
    rows = science_rows(ramp)
    ramp.data, ramp.groupdq = _compact(ramp.data, rows), _compact(ramp.groupdq, rows)
    if ramp.zeroframe is not None:
        ramp.zeroframe = _compact(ramp.zeroframe, rows)
    ramp.pixeldq = np.ascontiguousarray(ramp.pixeldq[rows])
    ramp.__dict__.pop("readout", None)  # it knows the number of rows


def _compact(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Move rows to the front of the memory of an array (..., ny, nx); ``rows`` are increasing."""
    *lead, ny, nx = array.shape
    flat = array.reshape(-1, ny, nx)
    lines = flat.reshape(-1, nx)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    place = 0
    for k in range(len(flat)):
        for run in runs:
            start = k * ny + int(run[0])
            if start != place:
                lines[place : place + run.size] = lines[start : start + run.size]
            place += run.size
    return lines[:place].reshape(*lead, rows.size, nx)
