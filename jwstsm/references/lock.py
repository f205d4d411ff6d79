"""The lock: which reference file serves which exposure, for a whole program, with checksums."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jwstsm import tables
from jwstsm.core.progress import told
from jwstsm.errors import JwstsmError, ReferenceError_
from jwstsm.files import atomic
from jwstsm.headers import HeaderCache
from jwstsm.products.names import LOCK_PROBLEMS, lock_file, split_name
from jwstsm.references.committed import CommittedLock, differences, lock_content
from jwstsm.references.needs import by_pipeline
from jwstsm.references.pars import read_pars
from jwstsm.references.select import Selector, checksum

__all__ = ["Sums", "lock_exposure", "lock_program", "summary_of"]

log = logging.getLogger(__name__)


class Sums:
    """Checksums of reference files, computed once per file version and kept beside the cache of headers."""

    def __init__(self, path: Path = Path(".jwstsm/checksums.json")) -> None:
        self.path = path
        try:
            self._rows = json.loads(path.read_text())
        except (OSError, ValueError):
            self._rows = {}

    def entry(self, path: Path) -> dict[str, Any]:
        """Return ``{file, path, size, sha1}`` of a file."""
        stat = path.stat()
        row = self._rows.get(str(path))
        if row is None or row["size"] != stat.st_size or row["mtime"] != stat.st_mtime_ns:
            row = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "sha1": checksum(path)}
            self._rows[str(path)] = row
        return {"file": path.name, "path": str(path), "size": row["size"], "sha1": row["sha1"]}

    def save(self) -> None:
        """Write the cache."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._rows))


def lock_exposure(
    name: str, header: Mapping[str, Any], types: Iterable[str], selector: Selector, sums: Sums | None
) -> dict:
    """Return the lock of one exposure.

    Parameters
    ----------
    name : str
    header : mapping
        Of the uncal file.
    types : iterable of str
        Reference types to select, ``pars-*`` among them.
    selector : Selector
    sums : Sums or None
        None leaves checksums out.

    Returns
    -------
    dict
        ``exposure``, ``context``, ``files`` (type to ``{file, path, size, sha1}`` or None for N/A), ``parameters``
        (what the ``pars-*`` files set) and ``problems`` (texts; empty when all is well).
    """
    found, missing = selector.select(header, types)
    problems = [f"{name}: {text}" for text in missing.values()]
    unavailable = selector.fetch(n for n in found.values() if n)
    files: dict[str, dict | None] = {}
    parameters: dict[str, dict] = {}
    for kind, file in sorted(found.items()):
        if file is None:
            if not kind.startswith("pars-"):
                files[kind] = None
            continue
        if file in unavailable:
            problems.append(f"{name}: reference {kind} {file} {unavailable[file]}")
            continue
        path = selector.locate(file)
        if kind.startswith("pars-"):
            try:
                pipeline = kind.endswith("pipeline")
                given = read_pars(path, None if pipeline else _step_of(kind))
            except JwstsmError as error:
                problems.append(f"{name}: {error}")
                continue
            where = kind.removeprefix("pars-").removesuffix("pipeline") if pipeline else ""
            parameters.setdefault(where, {})
            for step, options in given.items():
                # a step's own file lies below what its pipeline's file says
                parameters[where][step] = {**options, **parameters[where].get(step, {})}
        files[kind] = sums.entry(path) if sums else {"path": str(path)}
    return {
        "exposure": name,
        "context": selector.context,
        "files": files,
        "parameters": parameters,
        "problems": problems,
    }


def _step_of(kind: str) -> str:
    from jwstsm.config import step_parameters
    from jwstsm.references.types import pars_type

    return next(step for step in step_parameters() if pars_type(step) == kind)


def summary_of(contents: Iterable[Mapping[str, Any]], crds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lock of a program from those of its exposures."""
    contents = list(contents)
    entries = [entry for content in contents for entry in content["files"].values() if entry]
    selections = {c["exposure"]: {k: e and e["file"] for k, e in c["files"].items()} for c in contents}
    sums = {entry["file"]: entry["sha1"] for entry in entries}
    return lock_content(crds["context"], crds.get("server"), selections, sums)


def _write_lock(path: Path, content: Mapping[str, Any]) -> None:
    """Write the lock of an exposure; one that differs in its context alone keeps its time, so that no job is done again."""
    try:
        stat, old = path.stat(), json.loads(path.read_text())
    except (OSError, ValueError):
        old = None
    if old == content:
        return
    with atomic(path) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        if old and {**old, "context": ""} == {**content, "context": ""}:
            os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def lock_program(
    uncal: Iterable[str],
    crds: Mapping[str, Any],
    types: Mapping[str, Iterable[str]],
    lock: str | Path,
) -> None:
    """Write the lock of every exposure of a program and the lock of the program.

    Parameters
    ----------
    uncal : iterable of path
    crds : mapping
        ``context``, ``path`` and ``server``; with ``lock`` the files must be, byte for byte, those of that lock.
    types : mapping
        "INSTRUMENT EXP_TYPE TSO" to the reference types such an exposure asks for.
    lock : path
        The program's lock (JSON, see :mod:`jwstsm.references.committed`). It holds no paths, so that it can be kept
        with a paper, and a run years later be held to it. What each pipeline asks for on each exposure is written beside
        it, as ``<exposure>_<pipeline>.json``: only where it changes, so that only that is calibrated again.

    Raises
    ------
    ReferenceError_
        If references are missing or are not those of the committed lock, with the problems of all exposures. With
        ``--keep-going`` they are only reported: the exposures concerned fail in their own jobs, the others go on.
    """
    committed = CommittedLock(crds["lock"]) if crds.get("lock") else None
    selector = Selector(crds["context"], crds["path"], crds.get("server"))
    headers, errors = HeaderCache().get(uncal)
    sums = Sums()
    contents: list[dict[str, Any]] = []
    for source in told(list(uncal), "references of exposures selected"):
        name = split_name(source)[0]
        content: dict[str, Any] = {"exposure": name, "context": selector.context, "files": {}, "parameters": {}}
        try:
            if source in errors:
                raise ReferenceError_(errors[source])
            header = headers[source]
            row = tables.exposure_type(header, Path(source).name)
            key = f"{header.get('INSTRUME')} {row.exp_type} {tables.is_tso(header)}"
            content = lock_exposure(name, header, types[key], selector, sums)
        except JwstsmError as error:
            content["problems"] = [str(error)]
        if committed:
            content["problems"] += differences(committed, selector.context, [content])
        contents.append(content)
        for pipeline, part in by_pipeline(content, headers.get(source, {})).items():
            _write_lock(Path(lock).parent / lock_file(name, pipeline), part)
    sums.save()
    summary = summary_of(contents, crds)
    Path(lock).write_text(json.dumps(summary, indent=1) + "\n")
    problems = list(dict.fromkeys(problem for content in contents for problem in content["problems"]))
    for problem in problems:
        log.error("%s", problem)
    log.info("%d reference files for %d exposures under %s", len(summary["files"]), len(headers), selector.context)
    told_later = Path(lock).with_name(LOCK_PROBLEMS)
    told_later.unlink(missing_ok=True)
    if problems and os.environ.get("JWSTSM_KEEP_GOING") == "1":
        told_later.write_text("\n".join(problems) + "\n")
    elif problems:
        raise ReferenceError_(
            "references are missing or wrong:\n  "
            + "\n  ".join(problems)
            + "\n  nothing has been computed yet; with --keep-going the other exposures are processed"
        )
