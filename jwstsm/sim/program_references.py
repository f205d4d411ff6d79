"""Which reference files a program needs, for which data they are selected, and the cache that holds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.crds_cache import AFTER_PROGRAM, BEFORE_LAUNCH, FIRST_USE, PARKEYS, CacheBuilder
from jwstsm.sim.reference_files import write_asdf
from jwstsm.sim.references import PARAMETER_FILES, WRITERS, Setup

__all__ = ["write_cache"]

ASDF_TYPES = ("abvegaoffset", "filteroffset", "distortion", "sirskernel")
REGION_TYPES = ("mask", "saturation", "superbias", "dark", "linearity", "gain", "readnoise")
FILTER_TYPES = ("flat",)
DETECTOR_TYPES = ("photom", "area", "distortion", "ipc")
IMAGING = "NRC_IMAGE|NRC_TSIMAGE|NRC_FOCUS|NRC_TACONFIRM|NRC_TACQ"

OTHER_TYPES = {
    "NIRCAM": """
        amplifier bkg drizpars emicorr extract1d fringe fringefreq barshadow cubepar dflat fflat sflat psfmask persat
        regions reset rscd refpix specwcs trapdensity trappars tsophot wavelengthrange wcsregions wfssbkg camera
        collimator disperser fore fpa ifufore ifupost ifuslicer msa ote pictureframe pastasoss lastframe msaoper
        pathloss mrsptcorr mrsxartcorr speckernel specprofile psf wavecorr throughput nrm chromcorr
    """.split()
}
"""Types without a file here. The official pipeline asks for every type a step names, whatever the instrument."""

STEP_CLASSES = """
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
""".split()


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
        _write_shared_types(builder, whole, preset, done)
    for instrument in {task.spec.row.instrument for task in tasks}:
        _write_parameters(builder, instrument)
    parameter_types = [f"pars-{name}" for name in STEP_CLASSES]
    builder.write({name: types + parameter_types for name, types in OTHER_TYPES.items()})


def _setup(task, tasks: list, preset) -> Setup:
    spec = task.spec
    chip = build_chip(*task.chip_key)
    same = [t.spec for t in tasks if t.spec.row == spec.row and t.region == task.region]
    frames = max(s.readout.ngroups * (s.readout.nframes + s.readout.groupgap) for s in same)
    # the area map and the flat belong to the reference filter's light path
    camera = dataclasses.replace(spec.camera, filter_offset=spec.camera.filter_offset)
    return Setup(chip, camera, spec.filter, spec.subarray, spec.readpatt, frames, preset.effects)


def _whole(setup: Setup) -> Setup:
    row = setup.chip.row
    chip = build_chip(row.name, Region(0, 0, row.size, row.size), row.outputs, setup.chip.seed)
    return dataclasses.replace(setup, chip=chip, subarray="FULL")


def _write(builder: CacheBuilder, setup: Setup, reftype: str) -> str:
    path = builder.path(setup.instrument, reftype, "asdf" if reftype in ASDF_TYPES else "fits")
    return WRITERS[reftype](setup, path).name


def _write_region_types(builder: CacheBuilder, setup: Setup, whole: Setup, several: bool, done: set) -> None:
    """Types of a detector's pixels: cut to the subarray, or full frame where nothing selects by subarray."""
    row = setup.chip.row
    for reftype in REGION_TYPES:
        keywords = PARKEYS[setup.instrument, reftype]
        match = {
            "DETECTOR": row.name,
            "SUBARRAY": setup.subarray,
            "READPATT": setup.readpatt,
            "NOUTPUTS": str(setup.chip.outputs),
            "EXP_TYPE": IMAGING,
        }
        match = {keyword: match[keyword] for keyword in keywords}
        identity = (reftype, *sorted(match.items()))
        if identity in done:
            continue
        done.add(identity)
        cut = several and "SUBARRAY" not in keywords
        name = _write(builder, whole if cut else setup, reftype)
        builder.add(setup.instrument, reftype, match, name)
        # a rule that was valid before launch and one that is not valid yet
        builder.add(setup.instrument, reftype, match, f"jwst_nircam_{reftype}_old.fits", BEFORE_LAUNCH)
        builder.add(setup.instrument, reftype, match, f"jwst_nircam_{reftype}_new.fits", AFTER_PROGRAM)


def _write_shared_types(builder: CacheBuilder, setup: Setup, preset, done: set) -> None:
    """Types of a filter, of a detector and of the instrument."""
    row, instrument = setup.chip.row, setup.instrument
    alternatives = f"{setup.filter.filter}|{setup.filter.filter}_SPARE"

    def once(reftype: str, *identity) -> bool:
        known = (reftype, *identity) in done
        done.add((reftype, *identity))
        return not known

    if once("flat", row.name, setup.filter):
        match = {"DETECTOR": row.name, "FILTER": alternatives, "PUPIL": setup.filter.pupil}
        builder.add(instrument, "flat", match, _write(builder, setup, "flat"))
    if once("area", row.name):
        name = _write(builder, setup, "area")
        builder.add(instrument, "area", {"DETECTOR": row.name, "EXP_TYPE": IMAGING}, name)
    if once("photom", row.name):
        builder.add(instrument, "photom", {"DETECTOR": row.name}, _write(builder, setup, "photom"))
    if once("distortion", row.name):
        match = {"DETECTOR": row.name, "EXP_TYPE": IMAGING, "CHANNEL": row.channel}
        builder.add(instrument, "distortion", match, _write(builder, setup, "distortion"))
    if once("filteroffset", row.channel, row.module):
        match = {"CHANNEL": row.channel, "MODULE": row.module}
        builder.add(instrument, "filteroffset", match, _write(builder, setup, "filteroffset"))
    if once("ipc", row.name):
        corrected = row.name in preset.ipc_references
        builder.add(instrument, "ipc", {"DETECTOR": row.name}, _write(builder, setup, "ipc") if corrected else "N/A")
    if once("apcorr", instrument):
        name = _write(builder, setup, "apcorr")
        builder.add(instrument, "apcorr", {"EXP_TYPE": IMAGING}, name)
        builder.add(instrument, "apcorr", {"EXP_TYPE": "NRC_WFSS"}, "N/A")
        builder.add(instrument, "abvegaoffset", {"EXP_TYPE": IMAGING}, _write(builder, setup, "abvegaoffset"))
        builder.add(instrument, "sirskernel", {}, _write(builder, setup, "sirskernel"))


def _write_parameters(builder: CacheBuilder, instrument: str) -> None:
    for reftype, tree in PARAMETER_FILES.items():
        path = builder.path(instrument, reftype, "asdf")
        write_asdf(path, reftype, instrument, tree)
        builder.add(instrument, reftype, {}, path.name, FIRST_USE)
