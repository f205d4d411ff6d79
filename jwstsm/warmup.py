"""Compile the numerical kernels once: a tiny simulated program goes through every pipeline.

Compiled code is kept on disk, so jobs that start later find it. Many jobs that compile the same kernel at once would
waste time and can get in each other's way.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from jwstsm import tables
from jwstsm.calibrate import calibrate_exposure
from jwstsm.config import reference_types_of
from jwstsm.gather import run_association
from jwstsm.headers import parse_header
from jwstsm.references import References
from jwstsm.references.select import Selector
from jwstsm.references.types import reference_types

__all__ = ["compile_kernels"]

log = logging.getLogger(__name__)


def compile_kernels(preset: str = "official", options: Mapping[str, Mapping] | None = None) -> None:
    """Run every imaging pipeline on a tiny program.

    Parameters
    ----------
    preset : str
    options : mapping, optional
        What the user set for the steps: other algorithms have other kernels.
    """
    from jwstsm.sim.program import simulate_program

    with tempfile.TemporaryDirectory(prefix="jwstsm-kernels-") as scratch:
        folder = Path(scratch)
        # one integration, and two with frame averages and zero frames
        simulate_program(
            folder, preset="small", seed=1, detectors=(("NRCBLONG", "F444W"),), dithers=((0.0, 0.0), (0.61, 0.47))
        )
        cache = folder / "crds_cache"
        context = next((cache / "mappings" / "jwst").glob("*.pmap")).name
        selector = Selector(context, cache, server=None)
        members = [
            _calibrate(path, folder, selector, preset, options or {})
            for path in sorted((folder / "uncal").glob("*_uncal.fits"))
        ]
        entries = [{"expname": m.name, "exptype": "science"} for m in members]
        asn = folder / "out" / "tiny_asn.json"
        asn.write_text(json.dumps({"asn_id": "a3001", "products": [{"name": "tiny", "members": entries}]}))
        run_association("image3", asn, folder / "out", selector=selector)
    log.info("kernels are compiled")


def _calibrate(path: Path, folder: Path, selector: Selector, preset: str, options: Mapping[str, Mapping]) -> Path:
    """Run stages 1 and 2; return the calibrated image."""
    # files of the user's own may not fit the tiny exposures
    plain = {s: {k: v for k, v in o.items() if not isinstance(v, str) or "." not in v} for s, o in options.items()}
    rate = _run("detector1", path, folder, selector, preset, plain)["rate"]
    return _run("image2", rate, folder, selector, preset, {})["cal"]


def _run(
    pipeline: str, path: Path, folder: Path, selector: Selector, preset: str, options: Mapping[str, Mapping]
) -> dict[str, Path]:
    header = parse_header(path)
    steps = tables.sequence(pipeline, header)
    files, _ = selector.select(header, reference_types([(pipeline, steps)], {s: reference_types_of(s) for s in steps}))
    paths = {k: f and selector.locate(f) for k, f in files.items() if not k.startswith("pars-")}
    references = References(paths, None, selector.context)
    return calibrate_exposure(pipeline, path, folder / "out", references=references, preset=preset, options=options)
