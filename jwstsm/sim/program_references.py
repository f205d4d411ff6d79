"""Which reference files a program needs, for which data they are selected, and the cache that holds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from jwstsm.sim import niriss_fgs
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.crds_cache import AFTER_PROGRAM, BEFORE_LAUNCH, PARKEYS, CacheBuilder
from jwstsm.sim.instruments import INSTRUMENTS
from jwstsm.sim.miri_references import MIRI_WRITERS
from jwstsm.sim.nirspec import IRS2_PATTERNS
from jwstsm.sim.nirspec_references import NIRSPEC_WRITERS
from jwstsm.sim.optics import filter_spread
from jwstsm.sim.parameter_references import PARAMETER_ROWS, parameter_tree
from jwstsm.sim.psf import full_width
from jwstsm.sim.reference_files import write_asdf
from jwstsm.sim.references import WRITERS, Setup

__all__ = ["write_cache"]

OWN_WRITERS = {"MIRI": MIRI_WRITERS, "NIRSPEC": NIRSPEC_WRITERS}
"""Instrument -> writers of files that differ from those of the others."""

ASDF_TYPES = ("abvegaoffset", "filteroffset", "distortion", "sirskernel", "emicorr")

REGION_TYPES = {
    "H2RG": ("mask", "saturation", "superbias", "dark", "linearity", "gain", "readnoise"),
    "SIAS": ("mask", "saturation", "dark", "linearity", "gain", "readnoise", "reset"),
}
"""Kind of detector array -> types of its pixels."""

PATTERN_TYPES = dict.fromkeys(IRS2_PATTERNS, ("refpix",))
"""Read pattern -> further types; N/A for the others."""

REGION_KEYWORDS = {("MIRI", "linearity"): ("DETECTOR", "SUBARRAY"), ("FGS", "mask"): ("DETECTOR", "SUBARRAY")}
"""Types whose rules leave some of their keywords open."""

ALL_OR_NOTHING = ("apcorr",)
"""Types that are N/A for the instrument's other types of exposure."""

ALWAYS_TYPES = {"H2RG": (), "SIAS": ("rscd", "emicorr")}
"""Kind of detector array -> small types that every exposure needs."""

_SHARED = """
NIRCAM flat DETECTOR FILTER PUPIL
NIRCAM area DETECTOR EXP_TYPE
NIRCAM photom DETECTOR
NIRCAM distortion DETECTOR EXP_TYPE CHANNEL
NIRCAM filteroffset CHANNEL MODULE
NIRCAM apcorr EXP_TYPE
NIRCAM abvegaoffset EXP_TYPE
NIRCAM sirskernel
MIRI flat DETECTOR FILTER SUBARRAY
MIRI area DETECTOR EXP_TYPE
MIRI photom DETECTOR
MIRI distortion DETECTOR EXP_TYPE
MIRI filteroffset DETECTOR EXP_TYPE
MIRI apcorr EXP_TYPE
MIRI abvegaoffset EXP_TYPE
"""
SHARED = [
    (line.split()[0], line.split()[1], tuple(line.split()[2:]))
    for line in (_SHARED.strip() + niriss_fgs.SHARED.rstrip()).splitlines()
]
"""Instrument, type that images need, and the keywords that tell its files apart here."""

SPECTRA_TOO = {("NIRISS", "flat")}
"""Instrument and type of those that spectra need as well."""

_OTHER_TYPES = """
    amplifier bkg drizpars emicorr extract1d fringe fringefreq barshadow cubepar dflat fflat sflat psfmask persat
    regions reset rscd refpix specwcs trapdensity trappars tsophot wavelengthrange wcsregions wfssbkg camera
    collimator disperser fore fpa ifufore ifupost ifuslicer msa ote pictureframe pastasoss lastframe msaoper
    pathloss mrsptcorr mrsxartcorr speckernel specprofile psf wavecorr throughput nrm chromcorr
"""
"""Types without a file here. The official pipeline asks for every type a step names, whatever the instrument."""

_STEP_CLASSES = """
    adaptivetracemodelstep alignrefsstep amianalyzestep aminormalizestep assignmtwcsstep assignwcsstep backgroundstep
    badpixselfcalstep barshadowstep chargemigrationstep cleanflickernoisestep combine1dstep cubebuildstep
    darkcurrentstep darkpipeline detector1pipeline dqinitstep emicorrstep extract1dstep extract2dstep firstframestep
    flatfieldstep fringestep gainscalestep groupscalestep guidercdsstep guiderpipeline image2pipeline image3pipeline
    imprintstep ipcstep jumpstep klipstep lastframestep linearitystep masterbackgroundstep
    masterbackgroundmosstep msaflagopenstep outlierdetectionstep pathlossstep persistencestep photomstep
    pictureframestep pixelreplacestep rampfitstep refpixstep resamplespecstep resamplestep resetstep
    residualfringestep rscdstep saturationstep skymatchstep sourcecatalogstep sourcetypestep spec2pipeline
    spec3pipeline spectralleakstep srctypestep stackrefsstep straylightstep superbiasstep targcentroidstep
    tso3pipeline tsophotometrystep tweakregstep wavecorrstep wfsscontamstep whitelightstep
"""
"""Steps and pipelines that the official package looks for parameters of."""


def write_cache(root: Path, tasks: list, preset) -> None:
    """Write all reference files a program needs and the mappings that select them.

    Parameters
    ----------
    root : Path
        Folder of the cache (CRDS_PATH).
    tasks : list of Task
        The exposures.
    preset : Preset
        The program, for its effects and options.
    """
    builder = CacheBuilder(root)
    regions: dict[str, set] = {}
    for task in tasks:
        regions.setdefault(task.spec.row.name, set()).add(task.region)
    several = {name for name, found in regions.items() if len(found) > 1}
    done: set = set()
    for task in tasks:
        setup = _setup(task, tasks, preset)
        whole = _whole(setup) if task.spec.row.name in several else setup
        _write_region_types(builder, setup, whole, task.spec.row.name in several, done)
        _write_chip_truth(root.parent / "truth", setup, done)
        _write_shared_types(builder, whole, preset, done)
    for instrument in {task.spec.row.instrument for task in tasks}:
        _write_parameters(builder, instrument, _views(tasks, instrument))
    parameter_types = [f"pars-{name}" for name in _STEP_CLASSES.split()]
    builder.write(_OTHER_TYPES.split() + parameter_types)


def _setup(task, tasks: list, preset) -> Setup:
    spec = task.spec
    chip = build_chip(*task.chip_key)
    same = [t.spec for t in tasks if t.spec.row == spec.row and t.region == task.region]
    frames = max(s.readout.ngroups * (s.readout.nframes + s.readout.groupgap) for s in same)
    views = _views(tasks, spec.row.instrument)
    stripes = spec.readout.stripes
    if stripes is not None and stripes.count:
        frames *= stripes.repeats  # each becomes a group
    return Setup(
        chip,
        spec.camera,
        spec.filter,
        spec.subarray,
        spec.readpatt,
        frames,
        spec.readout.frame_s,
        any(s.readout.nframes > 1 for s in same),
        preset.effects,
        spec.exp_type,
        tuple(views.items()),
        stripes,
    )


def _views(tasks: list, instrument: str) -> dict:
    """Each filter of an instrument with a camera it is seen through."""
    return {task.spec.filter: task.spec.camera for task in tasks if task.spec.row.instrument == instrument}


def _whole(setup: Setup) -> Setup:
    row = setup.chip.row
    chip = build_chip(row.name, Region(0, 0, *row.shape[::-1]), row.outputs, setup.chip.seed)
    return dataclasses.replace(setup, chip=chip, subarray="FULL")


def _write(builder: CacheBuilder, setup: Setup, reftype: str) -> str:
    path = builder.path(setup.instrument, reftype, "asdf" if reftype in ASDF_TYPES else "fits")
    writers = WRITERS | OWN_WRITERS.get(setup.instrument, {})
    return writers[reftype](setup, path).name


def _write_region_types(builder: CacheBuilder, setup: Setup, whole: Setup, several: bool, done: set) -> None:
    """Types of a detector's pixels: cut to the subarray, or full frame where nothing selects by subarray."""
    lower, values = setup.instrument.lower(), _values(setup)
    own = PATTERN_TYPES.get(setup.readpatt, ())
    for reftype in own:
        builder.add(setup.instrument, reftype, {}, "N/A")
    for reftype in (*REGION_TYPES[setup.kind.chain], *own):
        keywords = REGION_KEYWORDS.get((setup.instrument, reftype), PARKEYS[setup.instrument, reftype])
        match = {keyword: values[keyword] for keyword in keywords}
        identity = (reftype, *sorted(match.items()))
        if identity in done:
            continue
        done.add(identity)
        cut = several and "SUBARRAY" not in keywords
        name = _write(builder, whole if cut else setup, reftype)
        builder.add(setup.instrument, reftype, match, name)
        # a rule that was valid before launch and one that is not valid yet
        builder.add(setup.instrument, reftype, match, f"jwst_{lower}_{reftype}_old.fits", BEFORE_LAUNCH)
        builder.add(setup.instrument, reftype, match, f"jwst_{lower}_{reftype}_new.fits", AFTER_PROGRAM)


def _write_shared_types(builder: CacheBuilder, setup: Setup, preset, done: set) -> None:
    """Types of a filter, of a detector and of the instrument."""
    row, instrument = setup.chip.row, setup.instrument
    values = _values(setup) | {"FILTER": f"{setup.filter.filter}|{setup.filter.filter}_SPARE"}
    shared = [(r, keys) for i, r, keys in SHARED if i == instrument and (setup.imaging or (i, r) in SPECTRA_TOO)]
    always = [(r, PARKEYS[instrument, r]) for r in ALWAYS_TYPES[setup.kind.chain]]
    for reftype, keywords in (*shared, *always):
        match = {keyword: values[keyword] for keyword in keywords}
        identity = (reftype, *sorted(match.items()))
        if identity in done:
            continue
        done.add(identity)
        builder.add(instrument, reftype, match, _write(builder, setup, reftype))
        if "EXP_TYPE" in match and reftype in ALL_OR_NOTHING:
            builder.add(instrument, reftype, {"EXP_TYPE": setup.kind.other_types}, "N/A")
    if ("ipc", row.name) not in done:
        done.add(("ipc", row.name))
        corrected = row.name in preset.ipc_references
        builder.add(instrument, "ipc", {"DETECTOR": row.name}, _write(builder, setup, "ipc") if corrected else "N/A")


def _values(setup: Setup) -> dict[str, str]:
    """What the matching keywords are for a setup."""
    row = setup.chip.row
    return {
        "DETECTOR": row.name,
        "CHANNEL": row.channel,
        "MODULE": row.module,
        "FILTER": setup.filter.filter,
        "PUPIL": setup.filter.pupil,
        "SUBARRAY": setup.subarray,
        "READPATT": setup.readpatt,
        "NOUTPUTS": str(setup.chip.outputs),
        "EXP_TYPE": setup.kind.imaging_types,
    }


def _write_chip_truth(folder: Path, setup: Setup, done: set) -> None:
    """Save the maps that no reference file holds as they are: dark current [DN/s] and the flags of every pixel."""
    path = folder / f"{setup.chip.row.name.lower()}_{setup.subarray.lower()}_chip.npz"
    if path in done:
        return
    done.add(path)
    dark = (setup.chip.dark / setup.chip.gain).astype("float32")
    np.savez(path, dark_dn_s=dark, flags=setup.chip.flags, response=setup.chip.response)


def _write_parameters(builder: CacheBuilder, instrument: str, views: dict) -> None:
    """Parameter references of an instrument; ``views`` are its filters, each with a camera."""
    imaging = INSTRUMENTS[instrument].imaging_types
    for row in PARAMETER_ROWS:
        targets = views.items() if row.by_filter else [(None, None)]
        for chosen, camera in targets:
            width = full_width(filter_spread(camera, chosen)) if chosen else None
            path = builder.path(instrument, row.reftype, "asdf")
            write_asdf(path, row.reftype, instrument, parameter_tree(row, width))
            match = {"FILTER": chosen.filter, "PUPIL": chosen.pupil, "EXP_TYPE": imaging} if chosen else {}
            match = {keyword: value for keyword, value in match.items() if keyword in PARKEYS[instrument, row.reftype]}
            builder.add(instrument, row.reftype, match, path.name)
