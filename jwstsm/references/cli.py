"""``jwstsm refs list | fetch | lock | verify | diff``."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jwstsm import config
from jwstsm.errors import ConfigError
from jwstsm.headers import HeaderCache
from jwstsm.references.needs import Need, files_of, first_pipeline, program_needs

__all__ = ["add_parser"]

LOCK = "references.lock.json"


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Add the command ``refs`` to the subparsers of ``jwstsm``; each parser sets ``function``."""
    parser = subparsers.add_parser("refs", help="reference files: list, fetch, lock, verify, compare contexts")
    commands = parser.add_subparsers(required=True, metavar="action")

    one = _command(commands, "list", _list, "which reference files the program needs, and which the cache has")
    one.add_argument("--exposures", action="store_true", help="name the exposures of each file")

    _command(commands, "fetch", _fetch, "download what the cache lacks")

    one = _command(commands, "lock", _lock, "write a lock to keep with the program: files, checksums, who uses what")
    one.add_argument("-o", "--output", type=Path, default=Path(LOCK), help="default %(default)s, in the program")

    one = _command(commands, "verify", _verify, "does the cache still hold what the lock says? (exit code 1: no)")
    one.add_argument("--lock", type=Path, help=f"default that of config.yaml (crds: lock), or {LOCK}")

    one = _command(commands, "diff", _diff, "which files differ under another context, and what would be redone")
    one.add_argument("new", help="the other context, such as jwst_1500.pmap")
    return parser


def _command(commands, name: str, function, what: str) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    one.add_argument("--program", type=Path, default=Path("."), help="folder with config.yaml, or with *_uncal.fits files")
    one.add_argument("--context", help="CRDS context instead of that of config.yaml")
    one.add_argument("--crds-path", help="CRDS cache instead of that of config.yaml")
    one.set_defaults(function=_in_program(function))
    return one


def _in_program(function):
    """Return a function that runs in the folder of the program, where the paths of its configuration hold."""

    def run(arguments: argparse.Namespace) -> int:
        if not arguments.program.is_dir():
            raise ConfigError(f"--program: there is no folder {arguments.program}")
        for name in ("crds_path", "lock"):
            if getattr(arguments, name, None):
                setattr(arguments, name, str(Path(getattr(arguments, name)).expanduser().absolute()))
        with contextlib.chdir(arguments.program):
            return function(arguments)

    return run


class _Program:
    """The uncal files of a folder and the CRDS settings that apply to them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        has_config = Path("config.yaml").exists()
        settings = config.load("config.yaml") if has_config else config.check({"uncal": "*_uncal.fits"})
        patterns = settings["uncal"]
        patterns = [patterns] if isinstance(patterns, str) else patterns
        self.uncal = sorted({f for p in patterns for f in glob.glob(os.path.expanduser(p), recursive=True)})
        if not self.uncal:
            raise ConfigError(f"no file matches {', '.join(patterns)} in {Path.cwd()}; name the folder with --program")
        crds = dict(settings["crds"])
        environment = {} if has_config else {"context": "CRDS_CONTEXT", "path": "CRDS_PATH", "server": "CRDS_SERVER_URL"}
        crds |= {key: os.environ[name] for key, name in environment.items() if name in os.environ}
        crds["context"] = arguments.context or crds["context"]
        crds["path"] = arguments.crds_path or crds["path"]
        if not crds["context"]:
            raise ConfigError("no CRDS context is pinned; give --context jwst_NNNN.pmap, or a folder with config.yaml")
        self.crds = crds
        # without a configuration the folder is somebody's data: nothing is written into it
        self.headers, self.errors = HeaderCache().get(self.uncal) if has_config else _headers(self.uncal)

    def selector(self, context: str | None = None):
        """Return the selector of the pinned context, or of another one."""
        from jwstsm.references.select import Selector

        return Selector(context or self.crds["context"], self.crds["path"], self.crds["server"])

    def needs(self, selector) -> list[Need]:
        """Return what each exposure needs under a context."""
        return program_needs(self.headers, selector)

    def problems(self, needs: Sequence[Need]) -> list[str]:
        """Return what is wrong with the files and with the references that they need."""
        return list(self.errors.values()) + [text for need in needs for text in need.problems]


def _headers(files: Sequence[str]) -> tuple[dict[str, dict], dict[str, str]]:
    from jwstsm.errors import InputError
    from jwstsm.headers import parse_header

    headers, errors = {}, {}
    for file in files:
        try:
            headers[file] = parse_header(file)
        except InputError as error:
            errors[file] = str(error)
    return headers, errors


def _list(arguments: argparse.Namespace) -> int:
    program = _Program(arguments)
    selector = program.selector()
    needs = program.needs(selector)
    rows = []
    for file, (kinds, exposures) in files_of(needs).items():
        path = selector.locate(file)
        there = path.exists()
        rows.append(
            {
                "type": ", ".join(sorted(kinds)),
                "file": file,
                "MB": f"{path.stat().st_size / 1e6:.1f}" if there else "",
                "cache": "there" if there else "missing",
                "exposures": str(len(exposures)),
                "which": " ".join(sorted(exposures)) if arguments.exposures else "",
            }
        )
    missing = sum(row["cache"] == "missing" for row in rows)
    _say(_table(rows))
    _say(f"{len(rows)} files for {len(needs)} exposure{'s' * (len(needs) != 1)} under {selector.context}; ")
    _say(f"{missing} of them missing in {selector.path}\n")
    if missing:
        _say("fetch them with 'jwstsm refs fetch', or run the workflow, which does it\n")
    return _complain(program.problems(needs))


def _fetch(arguments: argparse.Namespace) -> int:
    program = _Program(arguments)
    selector = program.selector()
    needs = program.needs(selector)
    missing = [file for file in files_of(needs) if not selector.locate(file).exists()]
    problems = selector.fetch(missing)
    got = [file for file in missing if file not in problems]
    size = sum(selector.locate(file).stat().st_size for file in got) / 1e6
    _say(f"fetched {len(got)} of {len(missing)} missing files ({size:.1f} MB) into {selector.path}\n")
    return _complain([f"{name} {text}" for name, text in problems.items()] + program.problems(needs))


def _locked(program: _Program, selector) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the locks of all exposures, as the workflow makes them, and all problems."""
    from jwstsm.products.names import split_name
    from jwstsm.references.lock import Sums, lock_exposure
    from jwstsm.references.needs import types_of

    sums = Sums()
    contents, problems = [], list(program.errors.values())
    for path, header in program.headers.items():
        name = split_name(path)[0]
        contents.append(lock_exposure(name, header, types_of(header, path), selector, sums))
        problems += contents[-1]["problems"]
    if Path("config.yaml").exists():
        sums.save()
    return contents, problems


def _lock(arguments: argparse.Namespace) -> int:
    from jwstsm.files import atomic
    from jwstsm.references.lock import summary_of

    program = _Program(arguments)
    contents, problems = _locked(program, program.selector())
    if problems:
        _say("no lock was written:\n")
        return _complain(problems)
    content = summary_of(contents, program.crds)
    with atomic(arguments.output) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
    files, context = len(content["files"]), content["context"]
    exposures = f"{len(contents)} exposure{'s' * (len(contents) != 1)}"
    _say(f"wrote {arguments.output}: {files} files for {exposures} under {context}\n")
    if program.crds.get("lock") != str(arguments.output):
        _say(f"to hold every run to it, set in config.yaml:  crds: {{lock: {arguments.output}}}\n")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from jwstsm.references.committed import CommittedLock, differences

    program = _Program(arguments)
    path = arguments.lock or program.crds.get("lock") or LOCK
    lock = CommittedLock(path)
    with contextlib.suppress(OSError):
        Path(".jwstsm/checksums.json").unlink()  # nothing is believed that was computed before
    contents, problems = _locked(program, program.selector())
    problems += differences(lock, program.crds["context"], contents)
    if not problems:
        _say(f"{len(lock.sums)} files and the selection for {len(contents)} exposures are as {path} says\n")
    return _complain(problems)


def _diff(arguments: argparse.Namespace) -> int:
    program = _Program(arguments)
    old = program.selector()
    before = program.needs(old)
    new = program.selector(arguments.new)
    after = program.needs(new)
    rows: dict[tuple[str, str, str], set[str]] = {}
    first: dict[str, str] = {}
    for one, other in zip(before, after, strict=True):
        for kind in sorted({*one.files, *other.files}):
            was, now = (_name(need, kind) for need in (one, other))
            if was == now:
                continue
            rows.setdefault((kind, was, now), set()).add(one.exposure)
            pipeline = first_pipeline(kind, one.header)
            stages = _stages(one.header)
            if one.exposure not in first or stages.index(pipeline) < stages.index(first[one.exposure]):
                first[one.exposure] = pipeline
    if rows:
        _say(
            _table(
                [
                    {"type": kind, old.context: was, new.context: now, "exposures": str(len(names))}
                    for (kind, was, now), names in sorted(rows.items())
                ]
            )
        )
    _say(f"{len(first)} of {len(before)} exposures would be reprocessed under {new.context}\n")
    for pipeline in sorted({*first.values()}):
        names = sorted(name for name, p in first.items() if p == pipeline)
        _say(f"from {pipeline} on: {' '.join(names)}\n")
    missing = [name for name in files_of(after) if not new.locate(name).exists()]
    if missing:
        _say(f"{len(missing)} files of {new.context} are not in the cache: {' '.join(missing)}\n")
    return _complain(program.problems(after))


def _stages(header: Mapping[str, Any]) -> list[str]:
    from jwstsm.references.needs import pipelines_of

    return [*pipelines_of(header), ""]


def _name(need: Need, kind: str) -> str:
    if kind not in need.files:
        return "none"
    return need.files[kind] or "N/A"


def _complain(problems: Sequence[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"jwstsm: {problem}\n")
    return int(bool(problems))


def _say(text: str) -> None:
    sys.stdout.write(text)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as aligned columns under their names; empty columns are left out, numbers stand right."""
    names = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    right = {name for name in names if all(row[name].replace(".", "").isdigit() or not row[name] for row in rows)}

    def line(cells: Mapping[str, str]) -> str:
        texts = [cells[n].rjust(widths[n]) if n in right else cells[n].ljust(widths[n]) for n in names]
        return "  ".join(texts).rstrip() + "\n"

    return line({name: name for name in names}) + "".join(line(row) for row in rows) if rows else ""
