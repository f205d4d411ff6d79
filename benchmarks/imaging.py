"""Imaging rows: detector1, image2 and image3 on full frames, ours and the official package's, whole processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from benchmarks import large
from benchmarks.measure import ROOT, Measured, best_of, judge_python

__all__ = ["Case", "rows"]

_SELECT = """
import json, sys
from jwstsm.references.lock import lock_program
from jwstsm.workflow import Program
program = Program(json.loads(sys.argv[1]), "headers.json")
lock_program(program.uncal_files(), program.config["crds"], program.all_reference_types(), "lock.json")
"""


@dataclass
class Case:
    """A simulated program and the places where both packages write."""

    folder: Path

    @property
    def cache(self) -> Path:
        """The CRDS cache."""
        return self.folder / "crds_cache"

    @property
    def context(self) -> str:
        """The newest context in the cache."""
        return sorted(p.name for p in (self.cache / "mappings" / "jwst").glob("*.pmap"))[-1]

    @property
    def env(self) -> dict[str, str]:
        """Environment of the official package: this cache, no network."""
        return {
            "CRDS_PATH": str(self.cache),
            "CRDS_CONTEXT": self.context,
            "CRDS_SERVER_URL": "https://crds-serverless-mode.stsci.edu",
        }

    def out(self, who: str) -> Path:
        """Return the output folder of ``ours`` or ``official``, made as needed."""
        place = self.folder / who
        place.mkdir(exist_ok=True)
        return place

    def ours(self, pipeline: str, file: Path, count: int, *options: str) -> Measured:
        """Measure our command line (with compiled kernels: the first run is thrown away)."""
        command = [Path(sys.executable).parent / "jwstsm", "run", pipeline, file, "--output-dir", self.out("ours")]
        command += ["--context", self.context, "--crds-path", self.cache, *options]
        best_of(1, command, env=self.env)
        return best_of(count, command, env=self.env)

    def lock(self, pipeline: str, uncal: Path) -> Path:
        """Select the references of an exposure for a pipeline, as the workflow does, in a process of its own."""
        place = self.out("ours") / "references"
        place.mkdir(exist_ok=True)
        crds = {"context": self.context, "path": str(self.cache), "server": "", "lock": None}
        command = [sys.executable, "-c", _SELECT, json.dumps({"uncal": str(uncal), "crds": crds})]
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        return place / f"{uncal.name.removesuffix('_uncal.fits')}_{pipeline}.json"

    def official(self, pipeline: str, file: Path, count: int, steps: dict | None = None) -> Measured:
        """Measure the official pipeline in its own environment."""
        script = ROOT / "benchmarks" / "official.py"
        command = [judge_python(), script, pipeline, file, self.out("official"), json.dumps(steps or {})]
        return best_of(count, command, env=self.env, cwd=self.out("official"))


def write_association(folder: Path, cals: list[Path], name: str = "mosaic") -> Path:
    """Write an image3 association of calibrated exposures into a folder that holds (links to) them."""
    members = [{"expname": p.name, "exptype": "science"} for p in cals]
    path = folder / f"{name}_asn.json"
    content = {
        "asn_type": "image3",
        "asn_id": "a3001",
        "asn_pool": "none",
        "products": [{"name": name, "members": members}],
    }
    path.write_text(json.dumps(content))
    return path


def rows(folder: Path, simulate: Callable, count: int = 3) -> list[tuple[str, Measured, Measured | None]]:
    """Return ``(what, ours, official)`` of the imaging rows.

    Parameters
    ----------
    folder : Path
        Scratch folder.
    simulate : callable
        ``simulate(folder, preset=...)`` makes a program.
    count : int
        Runs of ours to take the best of; the official package runs once per row.
    """
    out = []
    small = Case(folder / "bench_small")
    if not (small.folder / "uncal").exists():
        simulate(small.folder, preset="tiny")
    uncal = next((small.folder / "uncal").glob("*_uncal.fits"))
    row = small.ours("detector1", uncal, count), small.official("detector1", uncal, 1)
    out.append(("fixed cost of a job: detector1, 64 x 64", *row))
    record, lock = small.out("ours") / "record.json", small.lock("detector1", uncal)
    began = []
    for _ in range(count):
        small.ours("detector1", uncal, 1, "--lock", lock, "--record", record)
        began.append(min(one["began"] for one in json.loads(record.read_text())["steps"] if one["status"] == "COMPLETE"))
    out.append(("start of a job to its first step on data, as the workflow runs it", Measured(min(began), 0.0), None))
    case = Case(folder / "bench")
    if not (case.folder / "uncal").exists():
        simulate(case.folder, preset="bench")
    uncal = sorted((case.folder / "uncal").glob("*_uncal.fits"))
    options = {"jump": {"expand_large_events": True}}
    large = ["--jump.expand_large_events", "true"]
    out.append(
        (
            "detector1, 2048 x 2048 x 10 groups",
            case.ours("detector1", uncal[0], count, *large),
            case.official("detector1", uncal[0], 1, options),
        )
    )
    lock = case.lock("image2", uncal[0])
    rate = case.out("official") / uncal[0].name.replace("_uncal", "_rate")
    out.append(("image2, 2048 x 2048", case.ours("image2", rate, count), case.official("image2", rate, 1)))
    row = case.ours("image2", rate, count, "--lock", lock), out[-1][2]
    out.append(("the same as the workflow runs it, references selected before", *row))
    mosaic = Case(folder / "bench_mosaic")
    if not (mosaic.folder / "uncal").exists():
        simulate(mosaic.folder, preset="bench3")
    cals = []
    for file in sorted((mosaic.folder / "uncal").glob("*_uncal.fits")):
        base = file.name.removesuffix("_uncal.fits")
        mosaic.ours("detector1", file, 1)
        mosaic.ours("image2", mosaic.out("ours") / f"{base}_rate.fits", 1)
        cal = mosaic.out("ours") / f"{base}_cal.fits"
        cals.append(Path(shutil.copy(cal, mosaic.out("official") / cal.name)))
    for what, members in ((f"{len(cals)} frames", cals), (f"{4 * len(cals)} frames", repeated(cals, 4))):
        folders = [mosaic.out(who) for who in ("ours", "official")]
        ours, official = (write_association(place, members, f"mosaic{len(members)}") for place in folders)
        for member in members:
            if not (folders[0] / member.name).exists():
                (folders[0] / member.name).symlink_to(member.resolve())
        row = mosaic.ours("image3", ours, count), mosaic.official("image3", official, 1)
        out.append((f"image3, {what} of 2048 x 2048", *row))
    return out


def repeated(cals: list[Path], times: int) -> list[Path]:
    """Return exposures and copies of them under other exposure numbers, beside the originals."""
    out = list(cals)
    for number in range(len(cals), times * len(cals)):
        source = cals[number % len(cals)]
        old, new = (f"_{k + 1:05d}_" for k in (number % len(cals), number))
        out.append(source.with_name(source.name.replace(old, new)))
        shutil.copy(source, out[-1])
        with fits.open(out[-1], mode="update", memmap=True) as hdus:
            hdus[0].header["EXPOSURE"] = f"{number + 1}"
            hdus[0].header["FILENAME"] = out[-1].name
    return out


def hundred(folder: Path) -> list[tuple[str, Measured, None]]:
    """Return the rows of a mosaic of a hundred frames, ours alone: the whole of image3 and its steps."""
    return large.rows(folder / "large")
