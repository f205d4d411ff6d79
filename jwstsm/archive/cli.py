"""The command ``jwstsm fetch PROPOSAL``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jwstsm.archive.download import Result, download_all
from jwstsm.archive.listing import choose, list_uncal
from jwstsm.archive.web import SERVER, Web
from jwstsm.errors import ConfigError, InputError

__all__ = ["add_parser", "fetch_program"]


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Add ``fetch`` to the subcommands of ``jwstsm``."""
    parser = subparsers.add_parser(
        "fetch",
        help="list and download the uncal files of a proposal from the archive (MAST)",
        description="List and download the uncal files of a proposal from the archive (MAST). What is there is not fetched "
        "again, an interrupted download is continued. Data that are not public need a token in MAST_API_TOKEN.",
    )
    parser.add_argument("proposal", type=int, help="proposal (program) number")
    parser.add_argument("--obs", type=int, nargs="+", default=[], help="only these observations")
    parser.add_argument("--match", nargs="+", default=[], metavar="PATTERN", help="only these names, such as '*nrcb*'")
    parser.add_argument("--folder", type=Path, default=Path("uncal"), help="where to (default %(default)s)")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--check", action="store_true", help="compute the checksums of what is there again")
    parser.add_argument("--jobs", type=int, default=3, help="downloads at a time (default %(default)s)")
    parser.add_argument("--server", default=os.environ.get("MAST_SERVER_URL", SERVER), help=argparse.SUPPRESS)
    parser.set_defaults(function=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    web = Web(arguments.server)
    files = choose(list_uncal(web, arguments.proposal), arguments.obs, arguments.match)
    total = sum(file.size for file in files) / 1e9
    if arguments.list:
        for file in files:
            access = "" if file.public else "  not public"
            sys.stdout.write(f"{file.size / 1e6:9.1f} MB  {file.name}{access}\n")
        sys.stdout.write(f"{len(files)} uncal files of proposal {arguments.proposal}, {total:.2f} GB\n")
        return 0
    if not files:
        raise InputError(f"proposal {arguments.proposal} has no uncal files that --obs and --match take; see --list")
    results = download_all(
        web, files, arguments.folder, jobs=arguments.jobs, check=arguments.check, say=lambda line: print_line(line)
    )
    return _summary(results, arguments.folder)


def print_line(line: str) -> None:
    """Write a line at once, so that it is seen while the rest goes on."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _summary(results: list[Result], folder: Path) -> int:
    count = {status: sum(r.status == status for r in results) for status in ("fetched", "there", "failed")}
    sys.stdout.write(
        f"{count['fetched']} files fetched into {folder}, {count['there']} were there, {count['failed']} failed\n"
    )
    for result in results:
        if result.status == "failed":
            sys.stderr.write(f"jwstsm: {result.reason}\n")
    return int(count["failed"] > 0)


def fetch_program(settings: Mapping[str, Any], server: str | None = None) -> None:
    """Fetch what the section ``archive`` of a configuration asks for.

    Parameters
    ----------
    settings : mapping
        ``proposal``, ``observations``, ``match`` and ``folder``.
    server : str, optional
        Default MAST, or ``MAST_SERVER_URL``.

    Raises
    ------
    ConfigError
        If it asks for nothing.
    InputError
        If a file could not be had, with the reason of each.
    """
    if not settings:
        raise ConfigError("config.yaml: archive: is empty, so there is nothing to fetch; name a proposal there")
    web = Web(server or os.environ.get("MAST_SERVER_URL", SERVER))
    files = choose(list_uncal(web, settings["proposal"]), settings["observations"], settings["match"])
    if not files:
        raise InputError(f"proposal {settings['proposal']} has no uncal files that observations and match take")
    failed = [r.reason for r in download_all(web, files, settings["folder"]) if r.status == "failed"]
    if failed:
        raise InputError("not everything could be fetched:\n  " + "\n  ".join(failed) + "\n  the same command goes on")
