"""A mosaic of a hundred full frames through the whole of image3: time and peak memory of each step, ours alone.

The frames are simulated, with errors of pointing, on a square raster. Each step runs as the workflow runs it: a process
per gathering step, and a process per exposure for the outliers, two at a time.

Usage: ``python -m benchmarks.large SCRATCH_FOLDER [--frames 100] [--step 0.33]``. A calibrated exposure is removed when
its cleaned one has been written, so that 100 frames need 17 GB of disk, and everything at the end unless ``--keep``.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import math
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import ROOT, Measured, measure

log = logging.getLogger("benchmarks.large")

_WIDTH = 129.0  # of a frame [arcsec]
_GROUPS = 3
_SIDE_BY_SIDE = 2  # jobs of one exposure each
_ACID = "o001"
_PRESET = "best"  # the official alignment leaves alone what does not overlap with the first frame


def raster(count: int, step: float) -> tuple[tuple[float, float], ...]:
    """Return offsets of a square raster [arcsec], ``step`` widths of a frame apart."""
    side = math.ceil(math.sqrt(count))
    places = itertools.islice(itertools.product(range(side), repeat=2), count)
    return tuple((step * _WIDTH * (x - (side - 1) / 2), step * _WIDTH * (y - (side - 1) / 2)) for y, x in places)


def make_frames(folder: Path, count: int, step: float) -> None:
    """Simulate and calibrate the exposures; write the lock of their references."""
    from jwstsm import config, tables
    from jwstsm.calibrate import calibrate_exposure
    from jwstsm.headers import parse_header
    from jwstsm.references import References
    from jwstsm.references.lock import Sums, lock_exposure
    from jwstsm.references.select import Selector
    from jwstsm.references.types import reference_types
    from jwstsm.sim import simulate_program
    from jwstsm.sim.presets import PRESETS

    preset = PRESETS["bench3"]
    (observation,) = preset.observations
    observation = dataclasses.replace(observation, ngroups=_GROUPS, dithers=raster(count, step))
    simulate_program(folder, dataclasses.replace(preset, observations=(observation,)))
    cache = folder / "crds_cache"
    selector = Selector(next((cache / "mappings" / "jwst").glob("*.pmap")).name, cache, server=None)
    sums = Sums(folder / "checksums.json")
    for uncal in sorted((folder / "uncal").glob("*_uncal.fits")):
        header, path = parse_header(uncal), uncal
        for pipeline, suffix in (("detector1", "rate"), ("image2", "cal"), ("image3", "")):
            names = tables.sequence(pipeline, header)
            types = reference_types([(pipeline, names)], {s: config.reference_types_of(s) for s in names})
            lock = lock_exposure(uncal.name, header, types, selector, sums)
            if not suffix:
                (folder / "lock.json").write_text(json.dumps(lock))
                continue
            paths = {kind: entry and entry["path"] for kind, entry in lock["files"].items()}
            refs = References(paths, None, selector.context)
            made = calibrate_exposure(pipeline, path, folder, references=refs, options={"resample": {"skip": True}})
            path.unlink()
            path = made[suffix]
            for extra in set(made) - {suffix}:
                made[extra].unlink()
        (folder / "truth" / uncal.name.replace("_uncal.fits", "_truth.npz")).unlink()


def run_job(step: str, folder: Path, member: str | None = None) -> None:
    """Run one job of the workflow in this process."""
    from jwstsm import config, gather
    from jwstsm.core.compiled import set_threads
    from jwstsm.members import Association, Context
    from jwstsm.references.select import load_lock

    set_threads(1 if member else 2)
    files = {name: folder / f"mosaic_{name}" for name in ("tweakreg.json", "skymatch.json", "median.fits", "i2d.fits")}
    align, sky = files["tweakreg.json"], files["skymatch.json"]
    sidecars = {"skymatch": {"alignment": align}, "outlier_median": {"alignment": align, "sky": sky}}
    sidecars["outlier_detection"] = sidecars["outlier_median"]
    suffix = {"resample": f"{_ACID}_crf", "source_catalog": "i2d"}.get(step, "cal")
    members = [folder / member] if member else sorted(folder.glob(f"*_{suffix}.fits"))
    references, lock = load_lock(folder / "lock.json")
    pars = config.parameters_of(lock, "image3")
    association = Association("mosaic", members, _ACID, **sidecars.get(step, {}))
    context = Context(association, references, pars=pars, preset=_PRESET)
    if step == "tweakreg":
        gather.align(context, align)
    elif step == "skymatch":
        gather.match_sky(context, sky)
    elif step == "outlier_median":
        gather.make_median(context, files["median.fits"])
    elif step == "outlier_detection":
        output = folder / members[0].name.replace("_cal.fits", f"_{_ACID}_crf.fits")
        gather.clean_exposure(context, members[0], files["median.fits"], output)
        members[0].unlink()
    elif step == "resample":
        gather.combine(context, files["i2d.fits"])
    else:
        gather.catalog_sources(context, files["i2d.fits"], folder / "mosaic_cat.ecsv", folder / "mosaic_segm.fits")
    log.info("%s %s", step, [(r["status"], round(r["seconds"], 1)) for r in context.records])


def measure_job(step: str, folder: Path, member: str | None = None) -> Measured:
    """Run one job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", folder, "--job", step, *(("--member", member) if member else ())]
    return measure(command, cwd=ROOT)


def run(folder: Path) -> dict[str, Measured]:
    """Run every step of image3 on the frames in a folder; memory is that of all jobs that run at once."""
    out: dict[str, Measured] = {}
    for step in ("tweakreg", "skymatch", "outlier_median", "outlier_detection", "resample", "source_catalog"):
        if step == "outlier_detection":
            start = time.perf_counter()
            with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
                cals = [p.name for p in sorted(folder.glob("*_cal.fits"))]
                jobs = list(pool.map(lambda name: measure_job("outlier_detection", folder, name), cals))
            seconds, cpu = time.perf_counter() - start, sum(job.cpu for job in jobs)
            out[step] = Measured(seconds, min(_SIDE_BY_SIDE, len(jobs)) * max(job.peak_mb for job in jobs), cpu)
            (folder / "mosaic_median.fits").unlink()
        else:
            out[step] = measure_job(step, folder)
        one = out[step]
        log.info("%-18s %6.1f s, processor %6.1f s, %5.0f MB", step, one.seconds, one.cpu, one.peak_mb)
    return out


def rows(folder: Path, count: int = 100, step: float = 0.33, keep: bool = False) -> list[tuple[str, Measured, None]]:
    """Return rows of the table of benchmarks: the whole of image3, and each step."""
    from astropy.io import fits

    if not list(folder.glob("*_cal.fits")):
        make_frames(folder, count, step)
    steps = run(folder)
    header = fits.getheader(folder / "mosaic_i2d.fits", "SCI")
    whole = Measured(
        sum(m.seconds for m in steps.values()), max(m.peak_mb for m in steps.values()), sum(m.cpu for m in steps.values())
    )
    what = (
        f"image3, {count} frames of 2048 x 2048 on {header['NAXIS1']} x {header['NAXIS2']} pixels, the jobs of the workflow"
    )
    if not keep:
        shutil.rmtree(folder)
    return [(what, whole, None), *((f"- {name}", one, None) for name, one in steps.items())]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--step", type=float, default=0.33)
    parser.add_argument("--keep", action="store_true", help="keep the products")
    parser.add_argument("--job", help="run one step only (used by the benchmark itself)")
    parser.add_argument("--member", help="exposure of that job")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO if not arguments.job else logging.WARNING, format="%(message)s")
    if arguments.job:
        run_job(arguments.job, arguments.folder, arguments.member)
        return 0
    from benchmarks.__main__ import table

    sys.stdout.write(table(rows(arguments.folder, arguments.frames, arguments.step, arguments.keep)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
