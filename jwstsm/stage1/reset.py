"""reset: subtract the slow settling of MIRI ramps after a reset.

Source: official description of the ``reset`` step (jwst 3.0.0).
"""

from __future__ import annotations

from jwstsm.errors import ReferenceError_
from jwstsm.products import Ramp
from jwstsm.references import ReferenceFile, References
from jwstsm.stage1.dark_current import subtract_group_inplace
from jwstsm.step import Skipped, step

__all__ = ["reset", "reset_integrations"]

_INSTRUMENTS = ("MIRI",)


def reset_integrations(nints: int, first: int, stored: int) -> list[tuple[int, int, int]]:
    """Say which integration of the reference serves which integrations in memory.

    Parameters
    ----------
    nints : int
        Integrations in memory.
    first : int
        0-based number in the exposure of the first of them.
    stored : int
        Integrations of the reference.

    Returns
    -------
    list of (first, stop, reference)
        Integrations take the one of the same number, and the last one once there are no more.
    """
    runs: list[tuple[int, int, int]] = []
    for i in range(nints):
        source = min(first + i, stored - 1)
        if runs and runs[-1][2] == source:
            runs[-1] = (runs[-1][0], i + 1, source)
        else:
            runs.append((i, i + 1, source))
    return runs


@step("S_RESET", references=["reset"], scope="integration")
def reset(ramp: Ramp, refs: References) -> Ramp:
    """Subtract the reset anomaly from the first groups of each integration of MIRI.

    Removes the curve by which the first ten or so groups approach the straight ramp; it differs between the first
    integration of an exposure and those after it.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN] and ``pixeldq`` are changed in place.
    refs : References
        ``reset``: ``SCI`` (nints, ngroups, ny, nx) [DN] and ``DQ``.

    Returns
    -------
    Ramp

    Raises
    ------
    ReferenceError_
        If the reference is not a ramp.

    Notes
    -----
    ``data -= reset``, NaN of the reference taken as 0, for as many groups as the reference has; the last integration of
    the reference serves all further ones. ``pixeldq |= DQ`` of the reference. No bits are read.
    """
    readout = ramp.readout
    if readout.instrument not in _INSTRUMENTS:
        return Skipped(ramp, "only detectors of MIRI have this effect")
    reference = refs["reset"]
    if reference is None:
        return Skipped(ramp, "no RESET reference")
    stored, groups = _extent(reference)
    first = readout.int_start - 1 + ramp.first_integration
    for start, stop, source in reset_integrations(ramp.data.shape[0], first, stored):
        for group in range(min(groups, ramp.data.shape[1])):
            lead = (slice(source, source + 1), slice(group, group + 1))
            subtract_group_inplace(ramp.data, start, stop, group, reference.array("SCI", lead=lead)[0, 0])
    flags = reference.dq("DQ")
    if flags is not None:
        ramp.pixeldq |= flags
    return ramp


def _extent(reference: ReferenceFile) -> tuple[int, int]:
    """Return integrations and groups of the reference: what its header says, within what its array has."""
    shape = reference.shape("SCI")
    if len(shape) != 4:
        raise ReferenceError_(
            f"reference reset {reference.name}: SCI has {len(shape)} axes, not 4 (nints, ngroups, ny, nx); "
            "give another file with override_reset"
        )
    header = reference.header()
    return tuple(min(int(header.get(key, n)), n) for key, n in zip(("NINTS", "NGROUPS"), shape[:2], strict=True))
