"""A whole simulated program: uncal files, the CRDS cache that calibrates them, and the truth."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jwstsm.products.stripes import Stripes
from jwstsm.sim import geometry, headers, rng
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.detector import Effects, Readout, expose
from jwstsm.sim.extensions import asdf_block, group_table, int_times_table
from jwstsm.sim.instruments import DETECTORS, INSTRUMENTS, DetectorRow, find_filter, pattern
from jwstsm.sim.optics import throughput
from jwstsm.sim.presets import PRESETS, Observation, Preset
from jwstsm.sim.program_references import write_cache
from jwstsm.sim.scenes import render
from jwstsm.sim.sky import draw_catalog, flux_jy
from jwstsm.sim.timing import frame_time
from jwstsm.sim.wisps import wisp_pattern

__all__ = ["ProgramPaths", "plan_exposures", "simulate_program"]

log = logging.getLogger(__name__)

START_MJD = 60245.25
OVERHEAD_S = 75.0


@dataclass(frozen=True)
class ProgramPaths:
    """Where a simulated program lies."""

    folder: Path
    uncal: tuple[Path, ...]
    crds_cache: Path
    catalog: Path
    pointing: Path
    truth: tuple[Path, ...]


@dataclass(frozen=True)
class Task:
    """One exposure of one detector with all that is needed to take it."""

    spec: headers.ExposureSpec
    true_camera: geometry.Camera
    error: tuple[float, float, float]
    """Injected shift in V2 and V3 [arcsec] and roll [deg]."""
    effects: Effects
    seed: int
    background: float

    @property
    def region(self) -> Region:
        """The part of the detector that is read."""
        if self.spec.readout.stripes is not None:
            return Region(0, 0, *self.spec.row.shape[::-1])
        (ny, nx), corner = self.spec.aperture.shape, self.spec.aperture.corner
        return Region(corner[0] - 1, corner[1] - 1, nx, ny)

    @property
    def chip_key(self) -> tuple:
        """Arguments of :func:`jwstsm.sim.chip.build_chip`."""
        return (self.spec.row.name, self.region, self.spec.outputs, self.seed)


def _field(tasks: list[Task]) -> tuple[float, float, float]:
    """Centre [deg] and radius [arcsec] of a circle around all footprints."""
    vectors = []
    for task in tasks:
        x0, y0, nx, ny = task.region
        x, y = np.array([x0, x0 + nx, x0, x0 + nx]), np.array([y0, y0, y0 + ny, y0 + ny])
        ra, dec = task.true_camera.pixel_to_sky(x, y)
        vectors.append(geometry.unit_vector(np.radians(ra), np.radians(dec)))
    vectors = np.concatenate(vectors, axis=1)
    centre = vectors.mean(axis=1)
    centre /= np.linalg.norm(centre)
    radius = np.degrees(np.arccos(np.clip(centre @ vectors, -1, 1)).max()) * 3600
    ra, dec = np.degrees(np.arctan2(centre[1], centre[0])) % 360, np.degrees(np.arcsin(centre[2]))
    return float(ra), float(dec), float(radius) + 1.0


def plan_exposures(preset: Preset, seed: int) -> list[Task]:
    """Lay out the exposures of a program in time and on the sky.

    Parameters
    ----------
    preset : Preset
        The program.
    seed : int
        Seed of the pointing errors.

    Returns
    -------
    list of Task
        One per exposure and detector.
    """
    tasks, mjd = [], START_MJD
    for number, observation in enumerate(preset.observations, 1):
        mjd = _plan_visit(tasks, preset, observation, number, mjd, seed) + 0.02
    return tasks


def _plan_visit(tasks: list, preset: Preset, observation: Observation, number: int, mjd: float, seed: int) -> float:
    """Append the exposures of one visit; return the time of its end."""
    generator = np.random.default_rng(int(rng.key(seed, "pointing", number)))
    error = preset.pointing
    visit_shift = generator.normal(0, error.visit_arcsec, 2)
    visit_roll = generator.normal(0, error.visit_roll_deg)
    prime = _window(DETECTORS[observation.detectors[0][0]], observation)
    readout = _readout(observation, prime)
    start, visit = mjd, []
    for dither, offset in enumerate(observation.dithers):
        shift = visit_shift + generator.normal(0, error.exposure_arcsec, 2)
        roll = visit_roll + generator.normal(0, error.exposure_roll_deg)
        v2, v3 = np.array([prime.v2_ref, prime.v3_ref]) + prime.ideal_matrix() @ np.array(offset)
        nominal = geometry.attitude_at(v2, v3, preset.ra, preset.dec, preset.roll_deg)
        true = nominal.disturbed(prime.v2_ref, prime.v3_ref, *shift, roll)
        for detector, filter_name in observation.detectors:
            spec = _spec(preset, observation, number, detector, filter_name, nominal, readout)
            spec = dataclasses.replace(
                spec, exposure=dither + 1, dither=dither, offset=offset, start_mjd=mjd, visit_start_mjd=start - 0.01
            )
            background = preset.crowd.background * spec.filter.background_mjysr
            injected = (*map(float, shift), float(roll))
            camera = spec.camera.with_attitude(true)
            visit.append(Task(spec, camera, injected, preset.effects, seed, background))
        mjd += (spec.duration_s + OVERHEAD_S) / headers.DAY_S
    tasks += [dataclasses.replace(task, spec=dataclasses.replace(task.spec, visit_end_mjd=mjd)) for task in visit]
    return mjd


def _aperture(row: DetectorRow, suffix: str) -> geometry.Aperture:
    return geometry.aperture(row.instrument, f"{row.siaf}_{suffix}")


def _window(row: DetectorRow, observation: Observation) -> geometry.Aperture:
    """The aperture of an observation, with another window where the observation names one."""
    place = _aperture(row, observation.aperture)
    if observation.window is None:
        return place
    x, y, nx, ny = observation.window
    reference = (place.full_frame_reference[0] - x + 1, place.full_frame_reference[1] - y + 1)
    return dataclasses.replace(place, shape=(ny, nx), corner=(x, y), reference=reference)


def _readout(observation: Observation, prime: geometry.Aperture) -> Readout:
    """The timing of an observation; the first frame is kept apart where frames are averaged."""
    row = DETECTORS[observation.detectors[0][0]]
    averaging = pattern(row.instrument, observation.readpatt)
    ny, nx = prime.shape
    return Readout(
        observation.nints,
        observation.ngroups,
        averaging.nframes,
        averaging.groupgap,
        frame_time(row, nx, ny, observation),
        averaging.nframes > 1 and INSTRUMENTS[row.instrument].zero_frames,
        observation.subarray,
        observation.readpatt,
        _stripes(observation, row, prime) if observation.stripes else None,
    )


def _stripes(observation: Observation, row: DetectorRow, prime: geometry.Aperture) -> Stripes:
    """The lines of the detector that are read, from the keywords of the observation."""
    axis = 0 if abs(row.slow_axis) == 2 else 1
    key = (dict(observation.keywords) | {"SUBARRAY": observation.subarray}).get
    return Stripes.from_header(key, prime.shape[axis], prime.corner[1 - axis], row.slow_axis, row.shape[axis], "simulator")


def _spec(preset, observation, number, detector, filter_name, attitude, readout) -> headers.ExposureSpec:
    """Describe an exposure of one detector at a nominal attitude; times and dither are still those of the first."""
    row = DETECTORS[detector]
    chosen = find_filter(row.instrument, filter_name)
    place = _window(row, observation)
    camera = geometry.Camera(
        geometry.aperture(row.instrument, row.full_aperture),
        attitude,
        place.v2_ref,
        place.v3_ref,
        headers.velocity_scale(preset.ra, preset.dec),
        (chosen.column_offset, chosen.row_offset),
    )
    return headers.ExposureSpec(
        program=preset.program,
        observation=number,
        visit=1,
        group="02",
        sequence="1",
        activity="01",
        exposure=1,
        row=row,
        filter=chosen,
        subarray=observation.subarray,
        aperture=place,
        camera=camera,
        readout=readout,
        readpatt=observation.readpatt,
        outputs=observation.outputs,
        start_mjd=0.0,
        visit_start_mjd=0.0,
        visit_end_mjd=0.0,
        visit_exposures=len(observation.dithers),
        dither=0,
        dithers=len(observation.dithers),
        offset=(0.0, 0.0),
        target=("SIM-FIELD", preset.ra, preset.dec),
        exp_type=observation.exp_type or INSTRUMENTS[row.instrument].exp_type,
        keywords=observation.keywords,
    )


def take_exposure(task: Task, catalog: Table, folder: Path) -> tuple[Path, Path]:
    """Simulate one exposure and write its uncal file and its truth; returns both paths."""
    spec = task.spec
    chip = build_chip(*task.chip_key)
    light = render(spec.exp_type, chip, task.true_camera, spec.filter, catalog, task.background)
    if task.effects.wisps_dn_s > 0:
        light = light + np.float32(task.effects.wisps_dn_s) * wisp_pattern(chip.region) * chip.gain * chip.response
    exposed = expose(chip, light, spec.readout, task.effects, int(rng.key(task.seed, spec.file_root)) >> 1)
    hdus = [fits.PrimaryHDU(header=headers.primary_header(spec))]
    science = fits.ImageHDU(exposed.data, name="SCI")
    science.header.extend(headers.science_header(spec), end=True)
    hdus.append(science)
    if exposed.zero_frame is not None:
        hdus.append(fits.ImageHDU(exposed.zero_frame, name="ZEROFRAME"))
    hdus += [group_table(spec), int_times_table(spec), asdf_block(spec)]
    path = folder / "uncal" / f"{spec.file_root}_uncal.fits"
    temporary = path.with_suffix(".tmp")
    fits.HDUList(hdus).writeto(temporary, overwrite=True, output_verify="silentfix")
    os.replace(temporary, path)
    truth = folder / "truth" / f"{spec.file_root}_truth.npz"
    np.savez(
        truth,
        rate_dn_s=(light / chip.gain).astype(np.float32),
        **exposed.hits.arrays(),
    )
    log.info("%s simulated", path.name)
    return path, truth


def write_truth_tables(folder: Path, tasks: list[Task], catalog: Table) -> tuple[Path, Path]:
    """Write the source catalogue, with a flux column per filter, the pointing errors, and the stars for astrometry."""
    catalog = catalog.copy()
    for row in dict.fromkeys(task.spec.filter for task in tasks):
        catalog[f"flux_{row.name}"] = flux_jy(catalog, row.pivot_um)
        catalog[f"flux_{row.name}"].unit = "Jy"
    sources = folder / "truth" / "sources.ecsv"
    catalog.write(sources, overwrite=True)
    names = ("exposure", "filter", "shift_v2", "shift_v3", "roll", "ra_true", "dec_true", "background", "dn_s_per_jy")
    rows = []
    for task in tasks:
        spec = task.spec
        ra, dec = task.true_camera.attitude.to_sky(spec.aperture.v2_ref, spec.aperture.v3_ref)
        constants = throughput(_Gain(spec.row), task.true_camera, spec.filter)
        per_jy = constants.electrons_s_per_jy / spec.row.gain_e_dn
        rows.append((spec.file_root, spec.filter.name, *task.error, float(ra), float(dec), task.background, per_jy))
    table = Table(rows=rows, names=names)
    units = ("", "", "arcsec", "arcsec", "deg", "deg", "deg", "MJy/sr", "DN/(s Jy)")
    for name, unit in zip(names, units, strict=True):
        table[name].unit = unit or None
    stars = catalog[catalog["kind"] == "star"]
    reference = Table({"RA": stars["ra"], "DEC": stars["dec"]})
    reference.write(folder / "truth" / "refcat.ecsv", overwrite=True)
    pointing = folder / "truth" / "pointing.ecsv"
    table.write(pointing, overwrite=True)
    return sources, pointing


class _Gain:
    """Stands in for a chip where only its row counts."""

    def __init__(self, row):
        self.row = row


def simulate_program(
    folder: Path | str, preset: str | Preset = "demo", seed: int = 1, workers: int | None = None, **options
) -> ProgramPaths:
    """Simulate a program.

    Parameters
    ----------
    folder : path
        Gets ``uncal/``, ``crds_cache/`` and ``truth/``.
    preset : str or Preset
        Name in :data:`jwstsm.sim.presets.PRESETS`, or a program of one's own.
    seed : int
        Same seed, same arrays.
    workers : int, optional
        Processes that simulate exposures side by side; by default one per core for full frames, else one.
    **options
        Fields of :class:`~jwstsm.sim.presets.Preset` to replace (``effects=...``, ``crowd=...``), or of its
        observations (``ngroups=...``, ``nints=...``, ``dithers=...``, ``readpatt=...``, ``detectors=...``).

    Returns
    -------
    ProgramPaths
    """
    folder = Path(folder)
    preset = _with_options(PRESETS[preset] if isinstance(preset, str) else preset, options)
    for name in ("uncal", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tasks = plan_exposures(preset, seed)
    generator = np.random.default_rng(int(rng.key(seed, "sky")))
    catalog = draw_catalog(*_field(tasks), preset.crowd, generator)
    sources, pointing = write_truth_tables(folder, tasks, catalog)
    if workers is None:
        large = max(task.region.nx * task.region.ny for task in tasks) > 1024**2
        workers = min(os.cpu_count() or 1, len(tasks)) if large else 1
    # the longest job first, so that the processes end together
    jobs = [functools.partial(write_cache, folder / "crds_cache", tasks, preset)]
    jobs += [functools.partial(take_exposure, task, catalog, folder) for task in tasks]
    results = _run(jobs, workers)[1:]
    return ProgramPaths(
        folder,
        tuple(path for path, _ in results),
        folder / "crds_cache",
        sources,
        pointing,
        tuple(truth for _, truth in results),
    )


def _with_options(preset: Preset, options: dict) -> Preset:
    """Replace fields of the preset or of all its observations."""
    own = {field.name for field in dataclasses.fields(Preset)}
    nested = {field.name for field in dataclasses.fields(Observation)}
    unknown = set(options) - own - nested
    if unknown:
        raise TypeError(f"unknown simulator option {sorted(unknown)}; known are {sorted(own | nested)}")
    inner = {name: value for name, value in options.items() if name in nested}
    preset = dataclasses.replace(preset, **{name: value for name, value in options.items() if name in own})
    changed = tuple(dataclasses.replace(observation, **inner) for observation in preset.observations)
    return dataclasses.replace(preset, observations=changed)


def _run(jobs: list, workers: int) -> list:
    """Run the jobs, in processes of their own if there is more than one worker, results in order."""
    if workers <= 1:
        return [job() for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_call, job, max(1, (os.cpu_count() or 1) // workers)) for job in jobs]
        return [future.result() for future in futures]


def _call(job, threads: int):
    from jwstsm.core.compiled import set_threads

    set_threads(threads)
    return job()
