"""Compile the numerical kernels of an installation once, before jobs run side by side.

A tiny simulated program goes through the pipelines. Compiled code is kept on disk, so jobs that start later find it; a
marker beside it says that this has been done. Jobs that start together on a new installation wait for the one of them
that compiles (a file lock), instead of all compiling the same. What a preset uses beyond the default one is compiled for
those who use it: that takes half as long again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import jwstsm
from jwstsm.core import kernel_cache

__all__ = ["compile_half", "compile_kernels", "ensure_kernels"]

log = logging.getLogger(__name__)

DEFAULT_PRESET = "official"

HALVES = ("exposures", "mosaics")
"""What is compiled side by side: stage 1; and stages 2 and 3."""


def ensure_kernels(preset: str = DEFAULT_PRESET) -> None:
    """Compile the kernels if that has not been done with this installation; wait if another process is at it.

    Parameters
    ----------
    preset : str
        Preset whose kernels are to be there, beside those of the default one.
    """
    kernel_cache.settle()
    if os.environ.get("JWSTSM_NUMBA_CACHE") == "0":
        return
    for name in dict.fromkeys((DEFAULT_PRESET, preset)):
        _ensure(name, _marker(name))


def _ensure(preset: str, marker: Path) -> None:
    if marker.exists():
        return
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.with_suffix(".lock").open("w") as lock:
        log.info("waiting for the kernels: they are compiled once for a new installation, which takes a few minutes")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            compile_kernels(preset)
            marker.touch()


def compile_kernels(preset: str = DEFAULT_PRESET) -> None:
    """Compile the kernels of all imaging pipelines, in two processes; of another preset those of stage 1."""
    halves = HALVES if preset == DEFAULT_PRESET else HALVES[:1]
    workers = [subprocess.Popen([sys.executable, "-m", "jwstsm.warmup", half, preset]) for half in halves]
    if any([worker.wait() for worker in workers]):  # noqa: C419  (all are waited for)
        # a job compiles what it misses by itself: slower, but no reason to fail
        log.warning("compiling the kernels ahead failed; jobs compile what they need")
    else:
        log.info("kernels are compiled")


def _marker(preset: str) -> Path:
    """Return the file that says that the kernels have been compiled: for this code, interpreter, processor and preset."""
    package = Path(__file__).parent
    if os.environ.get("NUMBA_CACHE_DIR"):
        folder = Path(os.environ["NUMBA_CACHE_DIR"])
    else:
        folder = package / "__pycache__" if os.access(package, os.W_OK) else Path.home() / ".cache" / "jwstsm"
    text = f"{jwstsm.__version__} {package} {sys.version} {version('numba')} {_processor()}"
    text += "" if preset == DEFAULT_PRESET else f" {preset}"
    return folder / f"kernels-{hashlib.sha1(text.encode()).hexdigest()[:10]}.ok"


def _processor() -> str:
    """Return the processor's name: compiled code is of one kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def compile_half(half: str, preset: str = DEFAULT_PRESET) -> None:
    """Run some of the pipelines on a tiny program.

    Parameters
    ----------
    half : {"exposures", "mosaics"}
        Stage 1 from uncal files; or stages 2 and 3 from slopes made by hand.
    preset : str
        Parameters of stage 1.
    """
    from jwstsm.sim.program import simulate_program

    with tempfile.TemporaryDirectory(prefix="jwstsm-kernels-") as scratch:
        folder = Path(scratch)
        # one integration, and two with frame averages and zero frames
        simulate_program(
            folder,
            preset="small",
            seed=1,
            detectors=(("NRCBLONG", "F444W"),),
            dithers=((0.0, 0.0), (0.61, 0.47)),
            workers=1,
        )
        files = sorted((folder / "uncal").glob("*_uncal.fits"))
        if half == "exposures":
            _correct_borders()
            for path in files[::2]:
                _run("detector1", path, folder, preset)
            return
        members = [_run("image2", _slopes_by_hand(path), folder)["cal"] for path in files[:2]]
        _combine(members, folder)


def _correct_borders() -> None:
    """Correct frames by their border of reference pixels, which the windows of the tiny program do not have."""
    import numpy as np

    from jwstsm.core.detector import DetectorWindow
    from jwstsm.stage1._refpix_nir import BorderOptions, correct_border_inplace

    for axes in ((-1, 2), (2, 1)):
        planes, flags = np.zeros((2, 32, 32), np.float32), np.zeros((32, 32), np.uint32)
        correct_border_inplace(planes, flags, DetectorWindow(*axes, 0, 0, size=32), BorderOptions())


def _slopes_by_hand(uncal: Path) -> Path:
    """Write a rate file from the first and the last group of an uncal file, without the kernels of stage 1."""
    import numpy as np

    from jwstsm.products import Slope, read
    from jwstsm.products.fitsio import write

    ramp = read(uncal)
    seconds = ramp.readout.group_time_s * (ramp.data.shape[1] - 1)
    data = (ramp.data[0, -1].astype(np.float32) - ramp.data[0, 0]) / np.float32(seconds)
    noise = np.full_like(data, 0.05)
    slope = Slope(
        **ramp.headers_copy(),
        suffix="rate",
        data=data,
        dq=np.zeros(data.shape, np.uint32),
        err=noise,
        var_poisson=noise**2 / 2,
        var_rnoise=noise**2 / 2,
    )
    return write(slope, uncal.parent / uncal.name.replace("_uncal", "_rate"), "rate")


def _combine(members: list[Path], folder: Path) -> None:
    """Run image3 on two calibrated exposures."""
    from jwstsm.gather import run_association

    asn = folder / "out" / "tiny_asn.json"
    entries = [{"expname": m.name, "exptype": "science"} for m in members]
    asn.write_text(json.dumps({"asn_id": "a3001", "products": [{"name": "tiny", "members": entries}]}))
    run_association("image3", asn, folder / "out", selector=_selector(folder))


def _selector(folder: Path):
    from jwstsm.references.select import Selector

    cache = folder / "crds_cache"
    context = next((cache / "mappings" / "jwst").glob("*.pmap")).name
    return Selector(context, cache, server=None)


def _run(pipeline: str, path: Path, folder: Path, preset: str = DEFAULT_PRESET) -> Mapping[str, Path]:
    """Run a pipeline on one file, with the references of the tiny program."""
    from jwstsm import tables
    from jwstsm.calibrate import calibrate_exposure
    from jwstsm.config import reference_types_of
    from jwstsm.headers import parse_header
    from jwstsm.references import References
    from jwstsm.references.types import reference_types

    selector = _selector(folder)
    header = parse_header(path)
    steps = tables.sequence(pipeline, header)
    files, _ = selector.select(header, reference_types([(pipeline, steps)], {s: reference_types_of(s) for s in steps}))
    paths = {k: f and selector.locate(f) for k, f in files.items() if not k.startswith("pars-")}
    references = References(paths, None, selector.context)
    return calibrate_exposure(pipeline, path, folder / "out", references=references, preset=preset)


if __name__ == "__main__":
    compile_half(*sys.argv[1:])
