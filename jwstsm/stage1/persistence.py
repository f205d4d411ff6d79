"""persistence: flag the groups in which a pixel may still release charge that an earlier bright source left in traps.

From the first saturated group of a pixel (or the first above a threshold) a window of given length is open, across
integrations and, with a file handed from exposure to exposure, across exposures. The file holds the end of the window
of each pixel as seconds since 1970, in the form of the official step.

Source: official description of the ``persistence`` step (jwst 3.0.0).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, PERSISTENCE, SATURATED
from jwstsm.files import atomic
from jwstsm.products import Ramp
from jwstsm.step import Range, Skipped, step
from jwstsm.wcs import asdftext

__all__ = ["flag_persistence_inplace", "persistence", "read_windows", "write_windows"]

log = logging.getLogger(__name__)

_SATURATED = np.uint8(SATURATED)
_MJD_1970 = 40587.0
_DAY_S = 86400.0


@njit(parallel=True)
def flag_persistence_inplace(data, groupdq, window_end, start_s, group_time_s, length_s, threshold, flag):
    """Flag one integration and move the windows on.

    Parameters
    ----------
    data : (ngroups, ny, nx) float32 [DN]
    groupdq : (ngroups, ny, nx) uint8
        Changed in place.
    window_end : (ny, nx) float64
        End of each pixel's window [s since 1970], 0 where none is open; changed in place.
    start_s : float
        Start of the integration [s since 1970].
    group_time_s : float
    length_s : float
        Length of a window.
    threshold : float
        Signal that opens a window as saturation does [DN]; infinite for none.
    flag : uint8
        What is set while a window is open.
    """
    ngroups, ny, nx = data.shape
    for y in prange(ny):
        for x in range(nx):
            end = window_end[y, x]
            saturated = 0
            for g in range(ngroups):
                now = start_s + (g + 1) * group_time_s
                if end < now:
                    end = 0.0
                if groupdq[g, y, x] & _SATURATED:
                    saturated += 1
                if saturated == 1:
                    end = now + length_s
                if data[g, y, x] > threshold and not end > 0.0:
                    end = now + length_s
                # a window that ends later than one opened now comes from a later exposure: out of order
                if end > now + length_s:
                    end = 0.0
                if end > 0.0:
                    groupdq[g, y, x] |= flag
            window_end[y, x] = end


@step("S_PERSIS", scope="exposure")
def persistence(
    ramp: Ramp,
    refs,
    *,
    save_persistence: str | None = None,
    persistence_time: Annotated[int | None, Range(min=1)] = None,
    dn_threshold: float | None = None,
    persistence_array_file: str | None = None,
    persistence_dnu: bool = False,
    skip: bool = True,
) -> Ramp:
    """Flag the groups that follow a saturated one within a time window.

    Marks charge that is released from traps after a bright source, in this integration, the following ones, and, with
    the file of the exposure before, the following exposures.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq`` is changed in place.
    refs : References
        Not used.
    save_persistence : str
        ASDF file to write the open windows to; other detectors' entries in it are kept.
    persistence_time : int
        Length of the window [s]. The step does nothing without it.
    dn_threshold : float
        Signal above which a group opens a window, as a saturated one does [DN].
    persistence_array_file : str
        ASDF file with the windows that the exposure before left open.
    persistence_dnu : bool
        Flag the groups DO_NOT_USE as well.
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    DQ bits read: SATURATED; set: PERSISTENCE, and DO_NOT_USE if asked. The time of a group is that of its end: start of
    the integration (``INT_TIMES``, else ``EXPSTART`` and ``EFFINTTM``) plus group times.
    """
    if persistence_time is None:
        return Skipped(ramp, "no persistence_time is given")
    nints, _, ny, nx = ramp.data.shape
    detector = str(ramp.require("DETECTOR"))
    corner = (ramp.readout.xstart, ramp.readout.ystart)
    windows = read_windows(persistence_array_file, detector, (ny, nx), persistence_time, corner)
    flag = np.uint8(PERSISTENCE | (DO_NOT_USE if persistence_dnu else 0))
    threshold = np.inf if dn_threshold is None else dn_threshold
    starts = _starts_s(ramp, nints)
    for first, last in ramp.integration_blocks():
        for i in range(first, last):
            flag_persistence_inplace(
                ramp.data[i],
                ramp.groupdq[i],
                windows,
                starts[i],
                ramp.readout.group_time_s,
                float(persistence_time),
                threshold,
                flag,
            )
        ramp.release()
    if save_persistence:
        outside = windows_outside(persistence_array_file, detector, (ny, nx), persistence_time, corner, starts[0])
        write_windows(save_persistence, detector, windows, persistence_time, ramp.name, corner, outside)
    return ramp


def _starts_s(ramp: Ramp, nints: int) -> np.ndarray:
    """Return the start of each integration [s since 1970]."""
    table = ramp.tables.get("INT_TIMES")
    start = (float(ramp.require("EXPSTART")) - _MJD_1970) * _DAY_S
    starts = start + np.arange(nints) * float(ramp.key("EFFINTTM", 0.0))
    if table is not None:
        known = (np.asarray(table["int_start_MJD_UTC"], float)[:nints] - _MJD_1970) * _DAY_S
        starts[: known.size] = known
    return starts


def read_windows(
    path: str | Path | None,
    detector: str,
    shape: tuple[int, int],
    length_s: int,
    corner: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the open windows of a detector, (ny, nx) float64; zeros where the file has none for it.

    Parameters
    ----------
    path : path or None
    detector : str
    shape : (ny, nx)
    length_s : int
        Windows of another length are not used, with a warning.
    corner : (int, int), optional
        1-based (x, y) corner of this subarray on the detector. Windows from a subarray with another corner are moved;
        a file of the official step does not say its corner and is taken as it is.
    """
    windows = np.zeros(shape)
    rows, columns, values, inside = _entries(path, detector, shape, length_s, corner)
    windows[rows[inside], columns[inside]] = values[inside]
    return windows


def windows_outside(
    path: str | Path | None,
    detector: str,
    shape: tuple[int, int],
    length_s: int,
    corner: tuple[int, int] | None,
    start_s: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and ends of the windows that lie outside this exposure and are open when it starts.

    They are handed on to a later, larger exposure. Other parameters as in :func:`read_windows`.
    """
    rows, columns, values, inside = _entries(path, detector, shape, length_s, corner)
    carried = ~inside & (values > start_s)
    return rows[carried], columns[carried], values[carried]


def _entries(path, detector, shape, length_s, corner) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns (0-based in this exposure) and ends of a file's windows, and which are inside of it."""
    none = np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0, bool)
    if not path or not Path(path).exists():
        if path:
            log.info("%s does not exist: no persistence comes from earlier exposures", path)
        return none
    entry = asdftext.load(Path(path)).get(detector)
    if entry is None:
        log.info("%s has no entry for %s", path, detector)
        return none
    if entry["pers_time"] != length_s:
        log.warning("%s: windows are %s s long, not %s s; they are not used", path, entry["pers_time"], length_s)
        return none
    rows, columns = (np.asarray(entry[k], int) for k in ("rows", "cols"))
    if corner is not None and "corner" in entry:
        columns, rows = columns + (entry["corner"][0] - corner[0]), rows + (entry["corner"][1] - corner[1])
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows, columns, np.asarray(entry["vals"], float), inside


def write_windows(
    path: str | Path,
    detector: str,
    windows: np.ndarray,
    length_s: int,
    exposure: str,
    corner: tuple[int, int] | None = None,
    outside: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> None:
    """Write the open windows of a detector into a file, beside those of other detectors (see :func:`read_windows`).

    ``outside`` has rows, columns and ends of windows that this exposure, a subarray, did not read.
    """
    path = Path(path).with_suffix(".asdf")
    tree = asdftext.load(path) if path.exists() else {}
    rows, columns = np.nonzero(windows)
    values = windows[rows, columns]
    if outside is not None:
        rows, columns, values = (np.concatenate(pair) for pair in zip((rows, columns, values), outside, strict=True))
    entry = {"filename": exposure, "rows": rows, "cols": columns, "vals": values, "pers_time": length_s}
    if corner is not None:
        entry["corner"] = [int(c) for c in corner]
    tree[detector] = entry
    with atomic(path) as part:
        asdftext.write(part, tree)
