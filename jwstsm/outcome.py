"""How a run of the workflow ended, in a few lines: what was made, what failed and why, what to do.

Snakemake's own messages are long; these lines are the last, so they are what is seen.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwstsm.workflow import Program

__all__ = ["Failure", "cause", "failures", "report_unfinished", "say_outcome"]

log = logging.getLogger(__name__)

_ERROR = re.compile(r"^Error in (?:\w+ )?(?:rule|checkpoint) (?P<rule>\w+):\n(?P<body>(?: {4}.*\n)*)", re.M)
_FINISHED = re.compile(r"^Finished job(?:id:)? (\d+)", re.M)
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?P<level>[A-Z]+) +(?P<message>.*)$")
_MOST = 20
"""Failures that are told one by one; of more, only the number."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """A job that failed and was not made good by another attempt: rule, what it works on, its log, and the cause."""

    rule: str
    subject: str
    log: str
    cause: str


def failures(text: str, folder: str | Path = ".") -> list[Failure]:
    """Return the jobs that failed, from Snakemake's log and the logs of the jobs.

    Parameters
    ----------
    text : str
        Snakemake's log of the run.
    folder : path
        Program directory, for the logs of the jobs.
    """
    found: dict[str, tuple[int, Failure]] = {}
    for match in _ERROR.finditer(text):
        fields = dict(re.findall(r"^ {4}([\w ]+): (.*)$", match["body"], re.M))
        path = re.sub(r" \(check log file.*", "", fields.get("log", "")).split(", ")[0]
        job = fields.get("jobid", path)
        found[job] = (
            match.end(),
            Failure(match["rule"], _subject(path, match["rule"]), path, cause(Path(folder) / path) if path else ""),
        )
    last_success = {match[1]: match.end() for match in _FINISHED.finditer(text)}
    return [failure for job, (end, failure) in found.items() if last_success.get(job, -1) < end]


def _subject(path: str, rule: str) -> str:
    name = Path(path).stem
    return "" if name == rule else name


def cause(path: str | Path) -> str:
    """Return why a job failed, from its log: the last error and what belongs to it."""
    try:
        lines = Path(path).read_text(errors="replace").rstrip().splitlines()
    except OSError:
        lines = []
    errors = [i for i, line in enumerate(lines) if (m := _STAMP.match(line)) and m["level"] in ("ERROR", "CRITICAL")]
    if not errors:
        if any(line.startswith("Traceback") for line in lines):
            return lines[-1].strip()
        return "it ended without a word: killed, or out of memory or time; see the scheduler's or the kernel's messages"
    message = _STAMP.match(lines[errors[-1]])["message"]
    rest = lines[errors[-1] + 1 :]
    if any(line.startswith("Traceback") for line in rest):
        return f"{rest[-1].strip()} (unexpected; the log has the details)"
    shown = [line for line in rest if line.startswith("  ")]
    more = [f"    ... and {len(shown) - 10} more lines"] if len(shown) > 10 else []
    return "\n".join([message, *("  " + line for line in shown[:10]), *more])


def warnings_in(folder: str | Path, since: float) -> dict[str, int]:
    """Return the warnings of the jobs' logs that were written since a time: message to how many logs have it."""
    found: dict[str, int] = {}
    for path in Path(folder, "logs").rglob("*.log"):
        if path.stat().st_mtime >= since:
            lines = (_STAMP.match(line) for line in path.read_text(errors="replace").splitlines())
            for message in {_plain(m["message"]) for m in lines if m and m["level"] == "WARNING"}:
                found[message] = found.get(message, 0) + 1
    return dict(sorted(found.items(), key=lambda row: -row[1]))


def _plain(message: str) -> str:
    """Return a message without what differs between exposures, so that equal ones are counted together."""
    return re.sub(r"\bjw\d{5}[\w.-]*", "<file>", message)[:160]


def describe(
    text: str, succeeded: bool, exposures: int, folder: str | Path = ".", since: float = 0.0, page: Path | None = None
) -> str:
    """Return the last words of a run.

    Parameters
    ----------
    text : str
        Snakemake's log.
    succeeded : bool
    exposures : int
        How many the program has.
    folder : path
    since : float
        When the run began [s since 1970].
    page : path, optional
        The report, if there is one.
    """
    folder = Path(folder)
    done = len(set(_FINISHED.findall(text)))
    lines = []
    if succeeded:
        lines.append(f"jwstsm: all is done: {exposures} exposures; {done} jobs in this run")
    else:
        failed = failures(text, folder)
        lines.append(f"jwstsm: {len(failed)} job{'s' * (len(failed) != 1)} failed, {done} were done in this run")
        for one in failed[:_MOST]:
            lines.append(f"  {one.rule} {one.subject}".rstrip() + f": {one.cause}")
            lines += [f"    log: {one.log}"] if one.log else []
        if len(failed) > _MOST:
            lines.append(f"  ... and {len(failed) - _MOST} more")
        stopped = failed and os.environ.get("JWSTSM_KEEP_GOING") != "1"
        hint = "; --keep-going makes what does not depend on it" if stopped else ""
        lines.append(f"  what is done is kept: when the cause is removed, the same command goes on{hint}")
    told = warnings_in(folder, since)
    for message, count in list(told.items())[:5]:
        lines.append(f"  warning in {count} log{'s' * (count != 1)}: {message}")
    if len(told) > 5:
        lines.append(f"  ... and {len(told) - 5} other warnings; see logs/")
    if page and page.exists():
        lines.append(f"  report{'' if succeeded else ' of what is done'}: {page.resolve()}")
    return "\n".join(lines) + "\n"


def report_unfinished(program: Program, failed: Sequence[Failure], folder: str | Path = ".") -> Path | None:
    """Write the report of what is there after a run that failed, with the failures at its head.

    The page is dated before all products, so that the rule ``report`` makes it again when there is more.

    Returns
    -------
    Path or None
        The page; None if nothing is there to be shown.
    """
    folder = Path(folder)
    data, lock, page = folder / "report" / "data", folder / "references" / "lock.json", folder / "report" / "index.html"
    exposures = []
    for name in program.named("detector1"):
        described = (data / f"{name}_{suffix}.json" for suffix in ("cal", "rate"))
        exposures += [path for path in described if path.exists()][:1]
    mosaics = sorted(data.glob("*_i2d.json"))
    if not lock.exists() or not (exposures or mosaics):
        return None
    from jwstsm.config import default_values
    from jwstsm.report.page import write_page

    told = [f"{one.rule} {one.subject} failed: {one.cause}" for one in failed]
    write_page(
        page,
        exposures=exposures,
        mosaics=mosaics,
        lock=lock,
        folder=folder,
        preset=program.config["preset"],
        committed=program.config["crds"]["lock"],
        defaults=default_values(),
        problems=["the run did not finish; this page shows what is there", *told, *program.notes()],
    )
    os.utime(page, (1, 1))
    return page


def say_outcome(logfiles: str | Path | Sequence[str | Path], succeeded: bool, program: Program) -> None:
    """Write how a run ended; called by the Snakefile when it has. It never makes a run fail."""
    try:
        # Snakemake hands over a list of logs, its own first
        path = Path(logfiles if isinstance(logfiles, (str, Path)) else next(iter(logfiles), ""))
        text = path.read_text(errors="replace") if path.is_file() else ""
        page = Path("report/index.html") if succeeded else report_unfinished(program, failures(text))
        sys.stderr.write("\n" + describe(text, succeeded, len(program.exposures), since=_began(path), page=page))
    except Exception:
        log.exception("the outcome could not be told")


def _began(path: Path) -> float:
    """Return when a run began, from the name of its log."""
    import datetime

    try:
        return datetime.datetime.strptime(path.name.split(".")[0], "%Y-%m-%dT%H%M%S").timestamp()
    except ValueError:
        return 0.0
