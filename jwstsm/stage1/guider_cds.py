"""guider_cds: turn the frames of the fine guidance sensor into count rates by correlated double sampling.

Source: official description of the ``guider_cds`` step (jwst 3.0.0).
"""

from __future__ import annotations

import logging

import numpy as np

from jwstsm.errors import InputError, ReferenceError_
from jwstsm.products import Guider, Ramp
from jwstsm.references import ReferenceFile, References
from jwstsm.step import Skipped, step

__all__ = ["difference_frames", "guider_cds", "rate_errors"]

log = logging.getLogger(__name__)

_READS = 4

#: EXP_TYPE -> how its frames are differenced: "pair" (second minus first group of each integration), "lowest" (the
#: smaller of the pairs of the first two integrations), "sets" (mean of the last four groups minus that of the first four).
METHODS: dict[str, str] = {
    "FGS_ID-IMAGE": "lowest",
    "FGS_ID-STACK": "lowest",
    "FGS_ACQ1": "pair",
    "FGS_ACQ2": "pair",
    "FGS_TRACK": "pair",
    "FGS_FINEGUIDE": "sets",
}
#: EXP_TYPEs whose images are strips put together, to which no window of a reference belongs.
STACKED = ("FGS_ID-STACK",)
_GROUPS_NEEDED = {"pair": 2, "lowest": 2, "sets": 2 * _READS}


def difference_frames(data: np.ndarray, method: str) -> np.ndarray:
    """Return the signal between the reads.

    Parameters
    ----------
    data : (nints, ngroups, ny, nx) float32
        Raw counts [DN].
    method : {"pair", "lowest", "sets"}
        See :data:`METHODS`.

    Returns
    -------
    (nints, ny, nx) or, for ``lowest``, (1, ny, nx) float32
        Differences [DN].
    """
    if method == "sets":
        return data[:, -_READS:].mean(axis=1) - data[:, :_READS].mean(axis=1)
    change = data[:, 1] - data[:, 0]
    return change[:2].min(axis=0, keepdims=True) if method == "lowest" else change


def rate_errors(change: np.ndarray, gain: np.ndarray, readnoise: np.ndarray, group_time_s: float) -> np.ndarray:
    """Return the errors of count rates.

    Parameters
    ----------
    change : (nplanes, ny, nx) float32
        Signal between the reads [DN].
    gain, readnoise : (ny, nx) float32
        Gain [e-/DN] and noise of a difference of two reads [DN].
    group_time_s : float
        Time between the reads [s].

    Returns
    -------
    (nplanes, ny, nx) float32
        ``sqrt(2 (readnoise / t)**2 + max(change / (gain t), 0))`` [DN/s]. The photon term is the official one; for
        photon noise alone it would be divided by ``t`` once more.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        photons = change / (gain * group_time_s)
        photons[photons < 0] = 0
        return np.sqrt(2 * (readnoise / group_time_s) ** 2 + photons).astype(np.float32)


def _plane(reference: ReferenceFile, shape: tuple[int, int], stacked: bool) -> np.ndarray:
    """Return a reference image for the window; for stacked strips, which have none, its mean."""
    if not stacked:
        return reference.array("SCI")
    try:
        found = reference.array("SCI")
        if found.shape == shape:
            return found
    except ReferenceError_:
        pass
    log.info("the mean of %s serves all pixels of stacked strips", reference.name)
    return np.full(shape, np.nanmean(reference.array("SCI", cut=False), dtype=np.float64), np.float32)


@step("S_GUICDS", references=["gain", "readnoise"], scope="exposure")
def guider_cds(ramp: Ramp, refs: References) -> Guider:
    """Difference the frames of a guide-star exposure and divide by the time between them.

    Removes the bias level of each pixel and gives count rates.

    Parameters
    ----------
    ramp : Ramp
        Raw guide-star data [DN].
    refs : References
        ``gain`` and ``readnoise``: ``SCI``.

    Returns
    -------
    dict of str to Guider
        ``cal``: count rates [DN/s].

    Raises
    ------
    InputError
        If there are fewer groups than the mode needs.

    Notes
    -----
    Identification: the smaller difference of two integrations, which rejects cosmic rays. Acquisition and track: the
    difference of the two groups of each integration. Fine guide: the mean of the last four groups minus that of the
    first four. ``dq`` is that of the ramp.
    """
    exp_type = ramp.readout.exp_type
    method = METHODS.get(exp_type)
    if method is None:
        return Skipped(ramp, f"{exp_type} is not guide-star data")
    if refs["gain"] is None or refs["readnoise"] is None:
        return Skipped(ramp, "no GAIN or no READNOISE reference")
    if ramp.data.shape[1] < _GROUPS_NEEDED[method]:
        raise InputError(
            f"{ramp.name}: NGROUPS is {ramp.data.shape[1]}, but {exp_type} has at least {_GROUPS_NEEDED[method]}; "
            "the file is not a complete archive product, download it again"
        )
    shape, stacked = ramp.data.shape[2:], exp_type in STACKED
    gain, noise = (_plane(refs[kind], shape, stacked) for kind in ("gain", "readnoise"))
    change = difference_frames(ramp.data, method)
    time_s = ramp.readout.group_time_s
    found = Guider(
        **ramp.headers_copy(),
        suffix="cal",
        data=change / np.float32(time_s),
        err=rate_errors(change, gain, noise, time_s),
        dq=ramp.pixeldq,
    )
    found.sci["BUNIT"] = ("DN/s", "physical units of the array values")
    return {"cal": found}
