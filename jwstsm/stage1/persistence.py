"""persistence: flag the afterglow of saturated pixels for some time, within an exposure and from one to the next.

A pixel opens its window when it saturates, or exceeds a threshold. Until the window ends its groups are flagged. The
ends of the windows are a map in seconds of Unix time; written to a file it is the start of the next exposure of the
same detector.

Source: description of the official ``persistence`` step (jwst 3.0.0).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, PERSISTENCE, SATURATED
from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.step import Range, step

__all__ = ["flag_windows_inplace", "group_end_times", "persistence", "read_windows", "write_windows"]

log = logging.getLogger(__name__)

_SAT = np.uint8(SATURATED)
_UNIX_EPOCH_MJD = 40587.0
_DAY_S = 86400.0


def group_end_times(ramp: Ramp) -> np.ndarray:
    """Return the end of every group as Unix time [s], (nints, ngroups).

    Integrations start as the ``INT_TIMES`` table says, else one integration time after the other from ``EXPSTART`` on.
    """
    nints, ngroups = ramp.data.shape[:2]
    start = (float(ramp.require("EXPSTART")) - _UNIX_EPOCH_MJD) * _DAY_S
    starts = start + np.arange(nints) * float(ramp.require("EFFINTTM"))
    table = ramp.tables.get("INT_TIMES")
    if table is not None and len(table):
        known = min(len(table), nints)
        starts[:known] = (np.asarray(table["int_start_MJD_UTC"][:known], float) - _UNIX_EPOCH_MJD) * _DAY_S
    return starts[:, None] + ramp.readout.group_time_s * np.arange(1, ngroups + 1)


@njit(parallel=True)
def flag_windows_inplace(data, groupdq, ends, times, duration, threshold, flag, i0, i1):
    """Follow the windows of all pixels through integrations ``i0`` to ``i1`` and flag the groups inside them.

    Parameters
    ----------
    data, groupdq : (nints, ngroups, ny, nx) float32 [DN], uint8
        ``groupdq`` is changed.
    ends : (ny, nx) float64
        End of each pixel's window [s]; 0 for none. Changed.
    times : (nints, ngroups) float64
        End of every group [s].
    duration : float
        Length of a window [s].
    threshold : float
        A value above it opens a window where none is open [DN]; inf for none.
    flag : uint8
        Flags to set.
    i0, i1 : int
        Integrations.
    """
    _, ngroups, ny, nx = data.shape
    for y in prange(ny):
        for i in range(i0, i1):
            saturated = np.zeros(nx, np.int64)
            for g in range(ngroups):
                now = times[i, g]
                end = now + duration
                for x in range(nx):
                    until = ends[y, x]
                    until = until if until >= now else 0.0
                    saturated[x] += 1 if groupdq[i, g, y, x] & _SAT != 0 else 0
                    # the window starts anew until a second group is saturated
                    until = end if saturated[x] == 1 else until
                    until = end if data[i, g, y, x] > threshold and not until > 0.0 else until
                    # a window that opened in the future, from an exposure that is not earlier, is none
                    until = until if until <= end else 0.0
                    ends[y, x] = until
                    if until > 0.0:
                        groupdq[i, g, y, x] |= flag


def read_windows(path: str | Path, detector: str, duration: float, readout) -> np.ndarray:
    """Return the windows that an earlier exposure of a detector left behind.

    Parameters
    ----------
    path : str or Path
        ASDF file as :func:`write_windows` makes it. Without one, or without this detector in it, no window is open.
    detector : str
    duration : float
        Windows of another length are not taken over [s].
    readout : Readout
        Window of this exposure on the detector; files that do not say where theirs was are taken to be the same.

    Returns
    -------
    (ny, nx) float64 ndarray
        End of each pixel's window, Unix time [s]; 0 for none.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    import asdf

    ends = np.zeros((readout.ny, readout.nx))
    path = Path(path)
    if not path.exists():
        log.info("persistence: %s does not exist; no window is open at the start", path)
        return ends
    try:
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            known = file.tree.get(detector)
    except Exception as error:  # asdf raises many kinds for a damaged file
        raise InputError(f"persistence_array_file {path} cannot be read ({error}); make it again") from error
    if known is None or known["pers_time"] != duration:
        log.info("persistence: %s has no windows of %g s for %s", path, duration, detector)
        return ends
    rows = np.asarray(known["rows"]) + known.get("substrt2", readout.ystart) - readout.ystart
    cols = np.asarray(known["cols"]) + known.get("substrt1", readout.xstart) - readout.xstart
    inside = (rows >= 0) & (rows < readout.ny) & (cols >= 0) & (cols < readout.nx)
    ends[rows[inside], cols[inside]] = np.asarray(known["vals"])[inside]
    return ends


def write_windows(path: str | Path, ends: np.ndarray, duration: float, readout, filename: str) -> Path:
    """Add the windows of a detector to a file, or replace them; other detectors in it stay.

    Parameters
    ----------
    path : str or Path
        ASDF file; the ending becomes ``.asdf``.
    ends : (ny, nx) float64
        End of each pixel's window, Unix time [s]; 0 for none.
    duration : float
        Length of the windows [s].
    readout : Readout
        Detector, and window of the exposure on it.
    filename : str
        The exposure, for the record.

    Returns
    -------
    Path
        The file.
    """
    import asdf

    path = Path(path).with_suffix(".asdf")
    tree = {}
    if path.exists():
        with asdf.open(path, lazy_load=False, memmap=False) as file:
            tree = {key: value for key, value in file.tree.items() if key not in ("asdf_library", "history")}
    rows, cols = np.nonzero(ends)
    tree[readout.detector] = {
        "filename": filename,
        "rows": rows,
        "cols": cols,
        "vals": ends[rows, cols],
        "pers_time": duration,
        "substrt1": readout.xstart,
        "substrt2": readout.ystart,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    asdf.AsdfFile(tree).write_to(part)
    os.replace(part, path)
    return path


@step("S_PERSIS", scope="exposure")
def persistence(
    ramp: Ramp,
    refs: References,
    *,
    save_persistence: str | None = None,
    persistence_time: Annotated[int, Range(min=1)] | None = None,
    dn_threshold: float | None = None,
    persistence_array_file: str | None = None,
    persistence_dnu: bool = False,
    skip: bool = True,
) -> Ramp:
    """Flag groups that may hold the afterglow of an earlier saturation.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) [DN]; ``groupdq`` is changed.
    refs : References
        Not used.
    save_persistence : str, optional
        ASDF file to which the windows open at the end are written, for the next exposure.
    persistence_time : int, optional
        How long a window lasts [s]. Needed when the step is on.
    dn_threshold : float, optional
        A value above this opens a window as well [DN].
    persistence_array_file : str, optional
        ASDF file with the windows open at the start, from the exposure before.
    persistence_dnu : bool
        Flag DO_NOT_USE as well.
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    GROUPDQ: reads SATURATED; sets PERSISTENCE, and DO_NOT_USE if asked, in every group that ends inside the window of
    its pixel, the group that opens it included. The file has the official layout (rows, columns, ends of the windows by
    detector) and adds the corner of the subarray, so that windows pass between subarrays of different size.
    """
    if persistence_time is None:
        raise ConfigError("persistence: 'persistence_time' is not set; give the seconds that persistence lasts")
    readout = ramp.readout
    data, groupdq = np.asarray(ramp.data), np.asarray(ramp.groupdq)
    if persistence_array_file:
        ends = read_windows(persistence_array_file, readout.detector, persistence_time, readout)
    else:
        ends = np.zeros(data.shape[2:])
    times = group_end_times(ramp)
    flag = np.uint8(PERSISTENCE | DO_NOT_USE if persistence_dnu else PERSISTENCE)
    threshold = np.inf if dn_threshold is None else float(dn_threshold)
    for i0, i1 in ramp.integration_blocks():
        flag_windows_inplace(data, groupdq, ends, times, float(persistence_time), threshold, flag, i0, i1)
        ramp.release()
    if save_persistence:
        path = write_windows(save_persistence, ends, persistence_time, readout, ramp.name)
        log.info("persistence: %d windows are open, written to %s", np.count_nonzero(ends), path)
    return ramp
