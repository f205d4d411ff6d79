"""dark_current: subtract the signal that gathers without light.

The reference holds a dark ramp, frame by frame. It is rebuilt into the groups of the exposure (frames averaged, frames
between groups dropped) and subtracted group by group.

Source: official description of the ``dark_current`` step and its behaviour in jwst 3.0.0.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.core.compiled import njit, prange
from jwstsm.errors import ReferenceError_
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._dark_ramp import DarkRamp, missing_groups
from jwstsm.step import Skipped, step

__all__ = ["dark_current", "dark_integrations", "subtract_group_inplace"]

log = logging.getLogger(__name__)


@njit(parallel=True)
def subtract_group_inplace(data, first, stop, group, dark):
    """Subtract one image from one group of several integrations.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32 [DN]
        Changed in place.
    first, stop : int
        First integration and the one after the last.
    group : int
    dark : (ny, nx) float32 [DN]
        NaN counts as 0.
    """
    _, _, ny, nx = data.shape
    zero = np.float32(0)
    for y in prange(ny):
        level = dark[y]
        for i in range(first, stop):
            values = data[i, group, y]
            for x in range(nx):
                values[x] -= level[x] if level[x] == level[x] else zero


def dark_integrations(nints: int, first_integration: int, int_start: int, stored: int) -> list[tuple[int, int, int]]:
    """Say which integration of the dark serves which integrations of the exposure.

    Parameters
    ----------
    nints : int
        Integrations in memory.
    first_integration : int
        0-based number in the file of the first of them.
    int_start : int
        1-based number in the exposure of the first integration of the file.
    stored : int
        Integrations of the dark.

    Returns
    -------
    list of (first, stop, dark)
        Runs of integrations in memory. The first integrations of an exposure take the dark integration of the same
        number, all others the last one. Segments after the first take the last one throughout.
    """
    runs: list[tuple[int, int, int]] = []
    for i in range(nints):
        number = first_integration + i
        dark = number if int_start == 1 and number < stored else stored - 1
        if runs and runs[-1][2] == dark:
            runs[-1] = (runs[-1][0], i + 1, dark)
        else:
            runs.append((i, i + 1, dark))
    return runs


@step("S_DARK", references=["dark"], scope="integration")
def dark_current(
    ramp: Ramp, refs: References, *, dark_output: str | None = None, average_dark_current: float | None = None
) -> Ramp:
    """Subtract the dark ramp, group by group.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN], ``pixeldq`` and ``average_dark_current`` are changed in place.
    refs : References
        ``dark``: ``SCI`` (ngroups, ny, nx), for MIRI (nints, ngroups, ny, nx) [DN], ``DQ``, optionally ``AVDRKCUR``;
        keywords ``NFRAMES``, ``GROUPGAP``, ``AVDRKCUR``.
    dark_output : str, optional
        Path of a FITS file to write the dark to, as it was subtracted.
    average_dark_current : float, optional
        Mean dark current for the Poisson noise, instead of what the reference says [e-/s].

    Returns
    -------
    Ramp

    Raises
    ------
    ReferenceError_
        If the dark is shorter than the exposure and has too few groups to be prolonged.

    Notes
    -----
    ``data -= dark``, NaN of the reference taken as 0; ``pixeldq |= DQ`` of the reference (all its planes together).
    A dark shorter than the exposure is prolonged along the line through its last two groups. A dark whose groups
    average more frames, or drop more, than the exposure's cannot be rebuilt, and nothing is subtracted. The same
    holds for one that is neither stored frame by frame nor in the exposure's own grouping; the official step would
    average the wrong frames there. The zero frame is left alone. ``average_dark_current`` is taken from the
    parameter, else the ``AVDRKCUR`` image, else the ``AVDRKCUR`` keyword, else 0.
    """
    reference = refs["dark"]
    if reference is None:
        return Skipped(ramp, "no DARK reference")
    # also where nothing is subtracted: the dark's own noise is in the data either way
    ramp.average_dark_current = _average_dark(reference, average_dark_current)
    shape = reference.shape("SCI")
    head, readout = reference.header(0), ramp.readout
    stored_groups, stored_ints = shape[-3], shape[0] if len(shape) == 4 else 1
    nframes, groupgap = int(head.get("NFRAMES", 1)), int(head.get("GROUPGAP", 0))
    if nframes > readout.nframes or groupgap > readout.groupgap:
        return Skipped(
            ramp,
            f"the dark averages {nframes} and drops {groupgap} frames per group, the exposure only "
            f"{readout.nframes} and {readout.groupgap}",
        )
    same = (nframes, groupgap) == (readout.nframes, readout.groupgap)
    if not same and (nframes, groupgap) != (1, 0):
        return Skipped(
            ramp,
            f"the dark averages {nframes} and drops {groupgap} frames per group and cannot be rebuilt into groups of "
            f"{readout.nframes} frames with {readout.groupgap} dropped",
        )
    ngroups = ramp.data.shape[1]
    extra = missing_groups((ngroups, readout.nframes, readout.groupgap), (stored_groups, nframes, groupgap))
    if extra:
        log.warning("dark %s is prolonged by %d groups to last as long as the exposure", reference.name, extra)
        if stored_groups < 2:
            raise ReferenceError_(f"reference dark {reference.name} has one group, it cannot be prolonged to {ngroups}")
    dark = DarkRamp(
        lambda i, k: _plane(reference, len(shape), i, k),
        stored_groups,
        *((1, 1) if same else (readout.nframes, readout.nframes + readout.groupgap)),
    )
    runs = dark_integrations(ramp.data.shape[0], ramp.first_integration, readout.int_start, stored_ints)
    for first, stop, integration in runs:
        for g in range(ngroups):
            subtract_group_inplace(ramp.data, first, stop, g, dark.group(integration, g))
    flags = _flags(reference)
    if flags is not None:
        ramp.pixeldq |= flags
    if dark_output is not None and ramp.first_integration == 0:
        _write_dark(dark_output, dark, reference, flags, (stored_ints, ngroups), readout)
    return ramp


def _plane(reference, ndim: int, integration: int, plane: int) -> np.ndarray:
    """Return one stored plane, (ny, nx) float32, cut to the exposure's window."""
    lead = (slice(plane, plane + 1),) if ndim == 3 else (slice(integration, integration + 1), slice(plane, plane + 1))
    out = reference.array("SCI", lead=lead)
    return out.reshape(out.shape[-2:])


def _flags(reference) -> np.ndarray | None:
    """Return the DQ of the dark as one (ny, nx) plane."""
    flags = reference.dq("DQ")
    return flags if flags is None or flags.ndim == 2 else np.bitwise_or.reduce(flags, axis=tuple(range(flags.ndim - 2)))


def _average_dark(reference, given: float | None) -> float | np.ndarray:
    """Return the mean dark current, one value or an image."""
    if given is not None:
        return float(given)
    if reference.has("AVDRKCUR"):
        image = reference.array("AVDRKCUR")
        if image.sum(dtype=np.float64) != 0.0:
            return image
    return float(reference.header(0).get("AVDRKCUR", 0.0))


def _write_dark(path: str, dark: DarkRamp, reference, flags, size: tuple[int, int], readout) -> None:
    """Write the rebuilt dark as a reference file of its own."""
    nints, ngroups = size
    cube = np.stack([[np.nan_to_num(dark.group(i, g), nan=0.0) for g in range(ngroups)] for i in range(nints)])
    primary = fits.PrimaryHDU(header=reference.header(0).copy())
    primary.header["NGROUPS"] = ngroups
    primary.header["NFRAMES"], primary.header["GROUPGAP"] = readout.nframes, readout.groupgap
    primary.header["SUBSTRT1"], primary.header["SUBSTRT2"] = readout.xstart, readout.ystart
    primary.header["SUBSIZE1"], primary.header["SUBSIZE2"] = readout.nx, readout.ny
    many = len(reference.shape("SCI")) == 4
    hdus = [primary, fits.ImageHDU(cube if many else cube[0], name="SCI")]
    if flags is not None:
        hdus.append(fits.ImageHDU(flags, name="DQ"))
    target = Path(path) if Path(path).suffix else Path(path).with_suffix(".fits")
    fits.HDUList(hdus).writeto(target, overwrite=True)
