"""A mosaic of a hundred full frames: time and peak memory of ours alone.

The frames are links to a few calibrated exposures, whose world coordinates are moved so that they cover a square: memory
depends on the number of frames and on the size of the mosaic, not on what is in the pixels.

Usage: ``python -m benchmarks.large CAL_FOLDER SCRATCH_FOLDER [--frames 100] [--step 0.55]``.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import math
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from jwstsm.core.frames import FitsFrame, Stage3Inputs
from jwstsm.products.fitsio import read_wcs, write
from jwstsm.stage3.outlier_detection import Outliers, find_outliers, make_median
from jwstsm.stage3.resample import resample
from jwstsm.stage3.skymatch import skymatch
from jwstsm.wcs.correction import Correction, correct_wcs

log = logging.getLogger("benchmarks.large")


def moved_frames(cals: list[Path], folder: Path, count: int, step: float) -> list[FitsFrame]:
    """Return frames on a square raster.

    Parameters
    ----------
    cals : list of Path
        Calibrated exposures of one detector.
    folder : Path
        Where the links are made.
    count : int
        Number of frames.
    step : float
        Distance of neighbours, in widths of a frame.
    """
    side = math.ceil(math.sqrt(count))
    frames = []
    for k, (row, column) in enumerate(itertools.islice(itertools.product(range(side), repeat=2), count)):
        cal = cals[k % len(cals)]
        link = folder / f"frame{k:03d}_cal.fits"
        link.unlink(missing_ok=True)
        link.symlink_to(cal.resolve())
        frame = FitsFrame(link, group_id=f"frame{k:03d}")
        wcs = read_wcs(link)
        edge = wcs(np.array([0.0, frame.shape[1]]), np.zeros(2), with_bounding_box=False)
        width = 3600 * np.hypot(np.diff(edge[0])[0] * np.cos(np.radians(edge[1][0])), np.diff(edge[1])[0])
        plane = [float(frame.header[word]) for word in ("V2_REF", "V3_REF", "ROLL_REF")]
        shift = (step * width * (column - side / 2), step * width * (row - side / 2))
        frame.wcs_source = correct_wcs(wcs, Correction(*plane, shift=shift))
        frames.append(frame)
    return frames


def run(frames: list[FitsFrame], folder: Path) -> None:
    """Match the sky, find outliers and combine the frames; every step streams."""
    inputs = Stage3Inputs(frames, "large")
    start = time.perf_counter()

    def done(what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        log.warning("%-20s after %6.1f s, peak %5.0f MB", what, time.perf_counter() - start, peak)

    levels = skymatch(inputs).levels
    for frame in frames:
        frame.sky_level = levels[frame.name]
    done("skymatch")
    median = make_median(inputs)
    done("median")
    found = Outliers()
    for frame in frames:
        sky = frame.sky_level or 0.0
        found.add(frame.name, find_outliers(frame.read("data"), frame.read("err"), frame.wcs, median, background=sky))
    done("outlier_detection")
    del median
    mosaic = resample(inputs)
    done(f"resample {mosaic.data.shape[1]} x {mosaic.data.shape[0]}")
    write(mosaic, folder / "large_i2d.fits", "i2d")
    done("written")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cals", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--step", type=float, default=0.55)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("JWSTSM_SCRATCH", str(arguments.folder))
    cals = sorted(arguments.cals.glob("*_cal.fits"))
    run(moved_frames(cals, arguments.folder, arguments.frames, arguments.step), arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
