"""Planning row: a dry run of Snakemake over 2,000 exposures in 20 mosaics, when associations and references are there.

``python -m benchmarks.planning`` measures only this.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from astropy.io import fits

from benchmarks.measure import Measured, best_of
from jwstsm.cli import main

__all__ = ["make_program", "rows"]

_COUNT, _MOSAICS = 2000, 20


def make_program(folder: Path, count: int = _COUNT, mosaics: int = _MOSAICS) -> Path:
    """Make a program of many exposures of one small subarray in ``mosaics`` observations of different fields.

    All have the pixels of one simulated exposure; the headers name the observation, exposure and target of each.
    The associations and the selection of references are made.
    """
    if not folder.exists():
        main(["demo", str(folder), "--preset", "tiny"])
        first, *others = sorted((folder / "uncal").glob("*_uncal.fits"))
        with fits.open(first) as hdus:
            header = hdus[0].header.copy()
        pixels = first.read_bytes()[len(header.tostring()) :]
        for file in (first, *others):
            file.unlink()
        detector = first.name.split("_")[3]
        for i in range(count):
            observation, exposure = i * mosaics // count + 1, i % (count // mosaics) + 1
            name = f"jw09001{observation:03d}001_02101_{exposure:05d}_{detector}_uncal.fits"
            header["OBSERVTN"], header["EXPOSURE"] = f"{observation:03d}", f"{exposure:05d}"
            header["OBS_ID"], header["VISIT_ID"] = f"V09001{observation:03d}001P0000000002101", f"09001{observation:03d}001"
            header["TARGPROP"] = header["TARGNAME"] = f"FIELD{observation}"
            header["TARG_RA"] = 80 + 0.2 * observation
            header["FILENAME"] = name
            (folder / "uncal" / name).write_bytes(header.tostring().encode("ascii") + pixels)
        for rule in ("references", "associations"):
            subprocess.run([*_snakemake(), rule], cwd=folder, check=True, capture_output=True)
    return folder


def _snakemake() -> list[str]:
    return [str(Path(sys.executable).with_name("snakemake")), "--cores", "2"]


def rows(folder: Path, runs: int = 2) -> list[tuple[str, Measured, None]]:
    """Return the row of the table."""
    program = make_program(folder / "planning")
    best = best_of(runs, [*_snakemake(), "--dry-run", "--quiet", "all"], cwd=program)
    return [(f"dry run of {_COUNT:,} exposures in {_MOSAICS} mosaics", best, None)]


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="jwstsm-planning-"))
    sys.stdout.write(f"{rows(place)}\n")
    shutil.rmtree(place)
