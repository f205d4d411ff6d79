"""emicorr: subtract electromagnetic interference of known frequencies from MIRI ramps.

The electronics of the observatory leave waves of fixed frequencies in the data, seen as slanted stripes that move from
group to group. Phase and amplitude of each wave are fitted to the exposure, the shape comes from a reference file or from
the exposure itself.

Source: official description of the ``emicorr`` step (jwst 3.0.0).
"""

from __future__ import annotations

import datetime
import logging
import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jwstsm.errors import InputError
from jwstsm.products import Ramp
from jwstsm.products.names import split_name
from jwstsm.references import ReferenceFile, References
from jwstsm.stage1 import _emicorr_joint as joint
from jwstsm.stage1 import _emicorr_sequential as sequential
from jwstsm.stage1._emicorr_clock import FALLBACK_CLOCKS, READ_PATTERNS, Clock, Wave, case_name, select_waves
from jwstsm.step import Skipped, step

__all__ = ["emicorr"]

log = logging.getLogger(__name__)

_INSTRUMENTS = ("MIRI",)
_LEAST_GROUPS = 3
_SEQUENTIAL_GROUPS = 10


class Folding(NamedTuple):
    """How ``sequential`` folds: integrations or periods (None: not said), steps of phase, whether to scale."""

    integrations: int | None
    cycles: int | None
    nbins: int | None
    scale: bool

    def count(self, wave: Wave, clock: Clock, frameclocks: int, nints: int) -> int:
        """Return how many integrations are folded."""
        asked = self.integrations
        if asked is None:
            asked = nints if self.cycles is None else math.ceil(self.cycles * wave.period / (frameclocks * clock.ngroups))
        return max(1, min(asked, nints))


@step("S_MIREMI", references=["emicorr"], scope="exposure")
def emicorr(
    ramp: Ramp,
    refs: References,
    *,
    algorithm: Literal["sequential", "joint"] = "joint",
    nints_to_phase: int | None = None,
    nbins: int | None = None,
    scale_reference: bool = True,
    onthefly_corr_freq: list[float] | None = None,
    use_n_cycles: int | None = 3,
    fit_ints_separately: bool = False,
    user_supplied_reffile: str | None = None,
    save_intermediate_results: bool = False,
    skip: bool = True,
) -> Ramp:
    """Subtract waves of electromagnetic interference from MIRI ramps.

    Removes periodic noise picked up from the electronics, one frequency after the other.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN] is changed in place.
    refs : References
        ``emicorr``: ASDF with ``frequencies`` (waves) and ``subarray_cases`` (clocks).
    algorithm : {"sequential", "joint"}
        ``joint`` fits straight ramps and the reference wave together, from 3 groups on. ``sequential`` takes straight
        ramps off and folds what is left by phase; it needs 10 groups or more to be reliable, but no reference wave.
    nints_to_phase : int, optional
        Integrations that ``sequential`` folds; default as many as hold ``use_n_cycles`` periods.
    nbins : int, optional
        Steps of phase of ``sequential``; default half the period in ticks of 10 microseconds, at most 500.
    scale_reference : bool
        Scale the reference wave to the folded one (``sequential``).
    onthefly_corr_freq : list of float, optional
        Frequencies to remove [Hz] without a reference file; their waves come from the exposure (``sequential``).
    use_n_cycles : int, optional
        Periods that ``sequential`` folds, rounded up to integrations; empty for all integrations.
    fit_ints_separately : bool
        Fit each integration on its own (``joint``).
    user_supplied_reffile : str, optional
        Path of a reference file; deprecated, use ``override_emicorr``.
    save_intermediate_results : bool
        With ``onthefly_corr_freq``, write the waves as a reference file ``<exposure>_emi_ref_waves.asdf`` to the current
        folder.
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp

    Notes
    -----
    Only the read patterns ``FAST FASTR1 SLOW SLOWR1`` with 3 groups or more are corrected. Pixels with any flag in
    ``pixeldq`` take no part in the ``joint`` fit; no flags are set. No variances exist yet.
    """
    readout = ramp.readout
    if readout.instrument not in _INSTRUMENTS:
        return Skipped(ramp, "only detectors of MIRI have this effect")
    if readout.readpatt not in READ_PATTERNS:
        return Skipped(ramp, f"the timing of read pattern {readout.readpatt} is not known")
    ngroups = ramp.data.shape[1]
    if ngroups < _LEAST_GROUPS:
        return Skipped(ramp, f"fewer than {_LEAST_GROUPS} groups")
    if onthefly_corr_freq:
        found = _clocks_without_reference(ramp, onthefly_corr_freq)
        algorithm = "sequential"
    else:
        reference = ReferenceFile(user_supplied_reffile, "emicorr") if user_supplied_reffile else refs["emicorr"]
        if reference is None:
            return Skipped(ramp, "no EMICORR reference")
        found = select_waves(reference.asdf(), readout.subarray, readout.readpatt, readout.detector)
    if found is None:
        return Skipped(ramp, f"no waves are known for {readout.subarray}, {readout.readpatt}, {readout.detector}")
    if algorithm == "sequential" and ngroups < _SEQUENTIAL_GROUPS:
        log.warning("%s: algorithm 'sequential' is not reliable with %d groups; use 'joint'", ramp.name, ngroups)
    _remove_waves_inplace(
        ramp,
        found,
        algorithm,
        fit_ints_separately,
        Folding(nints_to_phase, use_n_cycles, nbins, scale_reference),
    )
    if save_intermediate_results and onthefly_corr_freq:
        _write_waves(ramp, *found)
    return ramp


def _remove_waves_inplace(
    ramp: Ramp, found: tuple[int, int, list[Wave]], algorithm: str, separately: bool, folding: Folding
) -> None:
    """Subtract one wave after the other; ``sequential`` replaces their shapes by what it folded."""
    rowclocks, frameclocks, waves = found
    clock = _clock(ramp, rowclocks, frameclocks)
    for n, wave in enumerate(waves):
        if algorithm == "joint":
            placed = joint.remove_wave_inplace(
                ramp.data, ramp.pixeldq, wave, clock, separately, ramp.integration_blocks, ramp.release
            )
            log.info(
                "%s: %s (%g Hz): amplitude %.3f of the reference", ramp.name, wave.name, wave.frequency_hz, placed[0][1]
            )
            continue
        folded = sequential.remove_wave_inplace(
            ramp.data,
            wave,
            clock,
            integrations=folding.count(wave, clock, frameclocks, ramp.data.shape[0]),
            nbins=folding.nbins,
            scale=folding.scale,
            blocks=ramp.integration_blocks,
            release=ramp.release,
        )
        waves[n] = wave._replace(shape=folded)


def _clock(ramp: Ramp, rowclocks: int, frameclocks: int) -> Clock:
    readout = ramp.readout
    return Clock(
        ny=readout.ny,
        nx=readout.nx,
        ngroups=ramp.data.shape[1],
        rowclocks=rowclocks,
        samples=int(ramp.require("NSAMPLES")),
        resetclocks=frameclocks if READ_PATTERNS[readout.readpatt][1] else 0,
        xstart=readout.xstart,
    )


def _clocks_without_reference(ramp: Ramp, frequencies: list[float]) -> tuple[int, int, list[Wave]] | None:
    clocks = FALLBACK_CLOCKS.get(case_name(ramp.readout.subarray, ramp.readout.readpatt))
    if clocks is None:
        return None
    for frequency in frequencies:
        if not 0 < frequency < math.inf:
            raise InputError(f"onthefly_corr_freq: {frequency} is not a frequency; give numbers of Hz above 0")
    return (*clocks, [Wave(repr(float(f)), float(f), None) for f in frequencies])


def _write_waves(ramp: Ramp, rowclocks: int, frameclocks: int, waves: list[Wave]) -> None:
    """Write waves that were found in an exposure as a reference file."""
    import asdf

    readout = ramp.readout
    speed = READ_PATTERNS[readout.readpatt][0]
    names = [f"Hz{wave.name}" for wave in waves]
    case = {
        "rowclocks": rowclocks,
        "frameclocks": frameclocks,
        "freqs": {speed: names if speed == "FAST" else {readout.detector: names}},
    }
    meta = {
        "reftype": "emicorr",
        "telescope": "JWST",
        "author": "jwstsm",
        "pedigree": "GROUND",
        "description": f"Waves found in {ramp.name}",
        "useafter": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "instrument": {"name": readout.instrument, "detector": readout.detector},
    }
    tree = {
        "meta": meta,
        "frequencies": {
            name: {"frequency": wave.frequency_hz, "phase_amplitudes": np.asarray(wave.shape)}
            for name, wave in zip(names, waves, strict=True)
        },
        "subarray_cases": {case_name(readout.subarray, readout.readpatt): case},
    }
    path = Path.cwd() / f"{split_name(ramp.name)[0]}_emi_ref_waves.asdf"
    asdf.AsdfFile(tree).write_to(path)
    log.info("wrote %s", path)
