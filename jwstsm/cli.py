"""The command line: ``jwstsm init | run | info | mask | asn | sim | demo``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import jwstsm
from jwstsm.errors import ConfigError, InputError, JwstsmError

__all__ = ["entry", "main"]

_SNAKEFILE = """\
from jwstsm.workflow import snakefile
include: snakefile()
rule program: input: rules.all.input
"""

_ROOMS = {
    "asn": ("associations", "make and look at associations: which exposures belong together"),
    "fetch": ("archive", "list and download the uncal files of a proposal from the archive (MAST)"),
    "refs": ("references", "reference files: list, fetch, lock, verify, compare contexts"),
    "sim": ("sim", "simulate a program with known truth and the references it needs"),
}
"""Command -> the room that declares it in its ``cli`` module, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(argv[0] if argv else "")
    arguments, rest = parser.parse_known_args(argv)
    if rest and not getattr(arguments, "takes_options", False):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    arguments.rest = rest
    from jwstsm.job import setup_logging

    setup_logging()
    try:
        return int(arguments.function(arguments) or 0)
    except JwstsmError as error:
        sys.stderr.write(f"jwstsm: {error}\n")
        return 1
    except BrokenPipeError:
        return 0


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Return the parser; a room that has commands of its own declares them only if ``wanted`` is one of them."""
    parser = argparse.ArgumentParser(prog="jwstsm", description="JWST calibration from uncal to science products.")
    parser.add_argument("--version", action="version", version=f"jwstsm {jwstsm.__version__}")
    sub = parser.add_subparsers(required=True, metavar="command")

    one = sub.add_parser("init", help="make a folder ready: config.yaml and Snakefile")
    one.add_argument("folder", type=Path)
    one.add_argument("--context", default="jwst_1464.pmap", help="CRDS context to pin (default %(default)s)")
    one.add_argument("--crds-path", default="~/crds_cache", help="folder of the CRDS cache (default %(default)s)")
    one.add_argument("--crds-server", default="https://jwst-crds.stsci.edu", help="empty: never use the network")
    one.add_argument("--force", action="store_true", help="write over an existing config.yaml")
    one.set_defaults(function=_init)

    one = sub.add_parser("demo", help="simulate a small NIRCam program in a folder and make it ready to run")
    one.add_argument("folder", type=Path)
    one.add_argument("--preset", default="demo", help="size of the simulated program (default %(default)s)")
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(function=_demo)

    one = sub.add_parser(
        "run",
        help="run a pipeline or one step on a file",
        description="Run a pipeline (detector1, image2, image3) or a single step on one file. Parameters of the "
        "steps are given as --step.parameter value, those of a single step also as --parameter value.",
    )
    one.add_argument("what", help="pipeline or step")
    one.add_argument("file", type=Path, help="input product, or for image3 an association")
    one.add_argument("--output-dir", type=Path, default=Path("."), help="where products are written (default here)")
    one.add_argument("--config", type=Path, help="config.yaml to take parameters and CRDS settings from")
    one.add_argument("--preset", help="parameter set (default official)")
    one.add_argument("--context", help="CRDS context (default: config, or CRDS_CONTEXT)")
    one.add_argument("--crds-path", help="CRDS cache (default: config, or CRDS_PATH)")
    one.add_argument("--lock", type=Path, help="references of a program: its references/<exposure>_<pipeline>.json")
    one.add_argument("--threads", type=int)
    one.add_argument("--record", type=Path, help="write a JSON record of the steps")
    one.set_defaults(function=_run, takes_options=True)

    one = sub.add_parser("info", help="say what a product is and how it was made")
    one.add_argument("file", type=Path)
    one.add_argument(
        "--verify", action="store_true", help="does it still match its inputs and references? (exit code 1: no)"
    )
    one.add_argument("--look-in", type=Path, action="append", default=[], help="folder of inputs or own references")
    one.add_argument("--crds-path", help="CRDS cache (default: the program's config.yaml, or CRDS_PATH)")
    one.set_defaults(function=_info)

    one = sub.add_parser("mask", help="masks of a mosaic's sources for each exposure, for clean_flicker_noise (user_mask)")
    one.add_argument("segments", type=Path, help="segmentation map of the mosaic (segm)")
    one.add_argument("exposures", type=Path, nargs="+", help="its exposures, aligned (crf) or as calibrated (cal)")
    one.add_argument("--output-dir", type=Path, default=Path("masks"), help="where to (default %(default)s)")
    one.add_argument("--grow", type=int, default=2, help="pixels by which sources are grown (default %(default)s)")
    one.set_defaults(function=_mask)

    one = sub.add_parser("warmup", help="compile the numerical kernels now, once per installation, not in the first job")
    one.add_argument("--preset", default="official", help="also what this parameter set uses (default %(default)s)")
    one.set_defaults(function=_warmup)

    for command, (room, what) in _ROOMS.items():
        if command == wanted:
            importlib.import_module(f"jwstsm.{room}.cli").add_parser(sub)
        else:
            sub.add_parser(command, help=what, add_help=False)
    return parser


def _mask(arguments) -> None:
    from jwstsm.masks import write_masks

    for path in write_masks(arguments.segments, arguments.exposures, arguments.output_dir, arguments.grow):
        sys.stdout.write(f"{path}\n")


def _warmup(arguments) -> None:
    from jwstsm.config import check_preset
    from jwstsm.warmup import ensure_kernels

    check_preset(arguments.preset)
    ensure_kernels(arguments.preset)


def _init(arguments) -> None:
    from jwstsm.workflow import root

    folder: Path = arguments.folder
    config = folder / "config.yaml"
    if config.exists() and not arguments.force:
        raise ConfigError(f"{config} exists already; use --force to write over it")
    (folder / "uncal").mkdir(parents=True, exist_ok=True)
    write_config(config, arguments.context, arguments.crds_path, arguments.crds_server)
    (folder / "Snakefile").write_text(_SNAKEFILE)
    for name in ("default", "slurm"):
        profile = folder / "profiles" / name / "config.yaml"
        profile.parent.mkdir(parents=True, exist_ok=True)
        if not profile.exists() or arguments.force:
            profile.write_text((root() / "profiles" / name / "config.yaml").read_text())
    sys.stdout.write(
        f"wrote {config}, Snakefile and profiles (this computer, SLURM)\n"
        f"put *_uncal.fits files into {folder / 'uncal'}, then: cd {folder} && snakemake --cores 4\n"
    )


def write_config(path: Path, context: str, crds_path: str, server: str) -> None:
    """Write a commented ``config.yaml``: the workflow's own, with another context, cache and server."""
    import re

    from jwstsm.workflow import root

    text = (root() / "config.yaml").read_text()
    for key, value in (("context", context), ("path", crds_path), ("server", server or '""')):
        text = re.sub(rf"(?m)^  {key}: \S+", f"  {key}: {value}", text, count=1)
    path.write_text(text)


def _demo(arguments) -> None:
    from jwstsm.sim.program import simulate_program

    folder: Path = arguments.folder
    simulate_program(folder, preset=arguments.preset, seed=arguments.seed)
    contexts = sorted(p.name for p in (folder / "crds_cache" / "mappings" / "jwst").glob("*.pmap"))
    arguments.context, arguments.crds_path, arguments.crds_server = contexts[-1], "crds_cache", ""
    arguments.force = True
    _init(arguments)


def _run(arguments) -> None:
    from jwstsm import config, tables
    from jwstsm.headers import parse_header

    settings = config.load(arguments.config) if arguments.config else config.check({})
    preset = arguments.preset or settings["preset"]
    pipeline = arguments.what
    if pipeline in tables.sequences() and tables.stage_of(pipeline) == "stage3":
        from jwstsm.gather import run_association

        options = config.merge(settings["steps"], parse_options(arguments.rest, tables.sequence(pipeline), ""))
        written = run_association(
            pipeline,
            arguments.file,
            arguments.output_dir,
            selector=_selector(arguments, settings),
            options=options,
            preset=preset,
            threads=arguments.threads,
            record=arguments.record,
        )
    else:
        header = parse_header(arguments.file)
        tables.exposure_type(header, arguments.file.name)
        names = None
        if pipeline not in tables.sequences():
            step = pipeline
            pipeline, names = tables.pipeline_of(step, header), [step]
        steps = names or tables.sequence(pipeline, header)
        given = parse_options(arguments.rest, steps, names[0] if names else "")
        name = arguments.file.name.rpartition("_")[0]
        options = config.merge(config.options_for(settings, steps, header, pipeline=pipeline, exposure=name), given)
        if arguments.lock:
            chosen = {"lock": _checked_lock(arguments.lock, name)}
        else:
            chosen = {"references": _references(arguments, settings, pipeline, steps, header)}
        from jwstsm.calibrate import calibrate_exposure

        written = calibrate_exposure(
            pipeline,
            arguments.file,
            arguments.output_dir,
            **chosen,
            options=options,
            preset=preset,
            names=names,
            threads=arguments.threads,
            record=arguments.record,
        )
    for path in written.values():
        sys.stdout.write(f"{path}\n")


def parse_options(rest: Sequence[str], steps: Sequence[str], single: str) -> dict[str, dict]:
    """Read ``--step.parameter value`` (or ``--parameter value`` of a single step) from the command line.

    Raises
    ------
    ConfigError
        If a word is not an option, or its step or parameter does not exist.
    """
    from jwstsm.config import check_steps

    out: dict[str, dict] = {}
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"command line: '{word}' is not an option; write --step.parameter value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        step, dot, name = key.partition(".")
        if not dot:
            step, name = single, key
        if not step or step not in steps:
            raise ConfigError(f"command line: '{word}' names no step of this run; steps are {', '.join(steps)}")
        out.setdefault(step, {})[name.replace("-", "_")] = value
    return check_steps(out, "command line")


def _checked_lock(path: Path, exposure: str) -> Path:
    """Return the file with the references of an exposure, if it is that."""
    import json

    try:
        of = json.loads(path.read_text())["exposure"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--lock {path}: is no file of references/<exposure>_<pipeline>.json of a program") from None
    if of != exposure:
        raise ConfigError(f"--lock {path}: has the references of {of}, not of {exposure}")
    return path


def _selector(arguments, settings):
    import os

    from jwstsm.references.select import Selector

    crds = settings["crds"]
    context = arguments.context or crds["context"] or os.environ.get("CRDS_CONTEXT")
    path = arguments.crds_path or (crds["path"] if arguments.config else os.environ.get("CRDS_PATH", crds["path"]))
    if not context:
        raise ConfigError("no CRDS context is pinned; give --context jwst_NNNN.pmap, --config, or set CRDS_CONTEXT")
    server = crds["server"] if arguments.config else os.environ.get("CRDS_SERVER_URL", crds["server"])
    return Selector(context, path, None if server and "serverless" in server else server)


def _references(arguments, settings, pipeline: str, steps: Sequence[str], header) -> Callable:
    """Start to select the references of one file, as the rule ``references`` does for a program; return what waits.

    The crds package takes as long to import as the compiler and the steps: another process does that meanwhile.
    """
    from concurrent.futures import ProcessPoolExecutor

    from jwstsm import tables
    from jwstsm.config import parameters_of
    from jwstsm.step import load_step

    other = ProcessPoolExecutor(1)
    selection = other.submit(_lock, arguments, settings, pipeline, steps, header)
    other.shutdown(wait=False)  # nothing more is asked of it

    def wait():
        from jwstsm.references.reader import References

        for step in steps:
            load_step(tables.stage_of(pipeline, step), step)
        lock = selection.result()
        paths = {kind: None if entry is None else entry["path"] for kind, entry in lock["files"].items()}
        return References(paths, None, lock["context"]), parameters_of(lock, pipeline)

    return wait


def _lock(arguments, settings, pipeline: str, steps: Sequence[str], header) -> dict:
    from jwstsm.config import reference_types_of
    from jwstsm.errors import ReferenceError_
    from jwstsm.references.lock import lock_exposure
    from jwstsm.references.types import reference_types

    types = reference_types([(pipeline, steps)], {s: reference_types_of(s) for s in steps})
    lock = lock_exposure(arguments.file.name, header, types, _selector(arguments, settings), sums=None)
    if lock["problems"]:
        raise ReferenceError_("; ".join(lock["problems"]))
    return lock


def _info(arguments) -> int:
    if arguments.verify:
        from jwstsm.verify import say_verified

        text, same = say_verified(arguments.file, arguments.look_in, arguments.crds_path)
        sys.stdout.write(text)
        return 0 if same else 1
    from astropy.io import fits

    from jwstsm.products import asdf_block

    if not arguments.file.exists():
        raise InputError(f"{arguments.file}: no such file")
    with fits.open(arguments.file) as hdus:
        head = hdus[0].header
        sci = hdus["SCI"].header if "SCI" in hdus else {}
        record = asdf_block.read_record(hdus["ASDF"]) if "ASDF" in hdus else {}
        arrays = [(h.name, h.shape, h.header.get("BUNIT", "")) for h in hdus[1:] if getattr(h, "is_image", False)]
        # an archive product has no record of ours; its status keywords say as much as there is
        keywords = {k: head[k] for k in head if k.startswith("S_")}
    out = [f"{arguments.file.name}: {head.get('DATAMODL', '?')}, {head.get('INSTRUME')} {head.get('DETECTOR')} "]
    out[0] += (
        f"{head.get('FILTER', '')} {head.get('PUPIL', '')}, {head.get('EXP_TYPE')}, target {head.get('TARGNAME', '?')}"
    )
    out += [f"  {name:<12} {' x '.join(map(str, shape[::-1])):<22} {unit}" for name, shape, unit in arrays]
    out.append(
        f"  calibrated by {head.get('CAL_VER', '-')} under {head.get('CRDS_CTX', '-')}; unit {sci.get('BUNIT', '-')}"
    )
    steps = record.get("steps") or [{"name": k, "status": v} for k, v in keywords.items()]
    for one in steps:
        out.append(f"  {one['name']:<20} {one['status']:<9} {one.get('reason', '')}".rstrip())
        for key, value in (one.get("parameters") or {}).items():
            out.append(f"      {key} = {value}")
        for key, value in (one.get("references") or {}).items():
            out.append(f"      reference {key}: {value}")
    for run in record.get("runs", []):
        versions = ", ".join(f"{name} {version}" for name, version in run["software"].items())
        out.append(f"  run of {run['pipeline']}, preset {run['preset']}, {run['context']}; {versions}")
        out += [f"      input {name}  sha1 {sha1}" for name, sha1 in run["inputs"].items()]
        out += [f"      reference {e['file']}  sha1 {e['sha1']}" for e in run["references"].values()]
    sys.stdout.write("\n".join(out) + "\n")
    return 0


def entry() -> NoReturn:
    """Run the command line as a process of its own."""
    code = main()
    if code:
        sys.exit(code)
    from jwstsm.job import leave

    leave()


if __name__ == "__main__":
    entry()
