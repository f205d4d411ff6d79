"""Which reference file serves which exposure: the ``crds`` package under a pinned context, and its lock file."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from jwstsm.errors import ConfigError, ReferenceError_
from jwstsm.references.reader import References, Window

__all__ = ["Selector", "checksum", "keyword_of", "load_lock"]

log = logging.getLogger(__name__)

DEFAULT_SERVER = "https://jwst-crds.stsci.edu"


@functools.cache
def _parkeys() -> dict[str, str]:
    text = resources.files("jwstsm.references").joinpath("parkeys.csv").read_text()
    return {row["keyword"]: row["parkey"] for row in csv.DictReader(text.splitlines())}


@functools.cache
def _keywords() -> dict[str, str]:
    text = resources.files("jwstsm.references").joinpath("keywords.csv").read_text()
    return {row["type"]: row["keyword"] for row in csv.DictReader(text.splitlines())}


def keyword_of(kind: str) -> str | None:
    """Return the header keyword that records a reference type, such as ``R_DARK``; None for parameter files."""
    return _keywords().get(kind)


class Selector:
    """Best references under one pinned context.

    Parameters
    ----------
    context : str
        Such as ``jwst_1464.pmap``.
    path : str or Path
        The CRDS cache (``CRDS_PATH``).
    server : str, optional
        Where missing files are fetched from. With ``offline`` nothing is fetched.
    offline : bool

    Raises
    ------
    ConfigError
        If the context is not a ``.pmap`` name.
    ReferenceError_
        If the context's mappings are neither in the cache nor to be had.
    """

    _path_in_use: Path | None = None

    def __init__(self, context: str, path: str | Path, server: str | None = DEFAULT_SERVER, offline: bool = False) -> None:
        if not str(context).endswith(".pmap"):
            raise ConfigError(f"config.yaml: crds: context is '{context}'; give a pinned context such as 'jwst_1464.pmap'")
        self.context, self.path = str(context), Path(path).expanduser().resolve()
        self.offline = offline or not server
        # the crds package takes these from the environment, and reads them when it is imported
        os.environ["CRDS_PATH"] = str(self.path)
        os.environ["CRDS_SERVER_URL"] = server if not self.offline else "https://crds-serverless-mode.stsci.edu"
        os.environ["CRDS_CONTEXT"] = self.context
        os.environ.setdefault("CRDS_READONLY_CACHE", "1" if self.offline else "0")
        os.environ.setdefault("CRDS_CLIENT_RETRY_COUNT", "3")
        os.environ.setdefault("CRDS_CLIENT_RETRY_DELAY_SECONDS", "3")
        self._mapping = self._load()

    def _load(self):
        from crds.core import heavy_client, utils
        from crds.core import log as crds_log

        crds_log.set_verbose(-3)
        if Selector._path_in_use not in (None, self.path):
            utils.clear_function_caches()  # the package remembers mappings by their names alone
        Selector._path_in_use = self.path
        try:
            return heavy_client.get_symbolic_mapping(self.context, cached=True)
        except Exception as error:
            if self.offline:
                raise ReferenceError_(
                    f"CRDS context {self.context} is not in the cache {self.path}: {_one_line(error)}; "
                    f"fill the cache (jwstsm refs fetch --context {self.context}) or correct crds: path in config.yaml"
                ) from error
        from crds.client import api

        try:
            api.dump_mappings(self.context)
            return heavy_client.get_symbolic_mapping(self.context, cached=True)
        except Exception as error:
            raise ReferenceError_(
                f"CRDS context {self.context} cannot be fetched from {os.environ['CRDS_SERVER_URL']}: {_one_line(error)}"
            ) from error

    def select(self, header: Mapping[str, Any], types: Iterable[str]) -> tuple[dict[str, str | None], dict[str, str]]:
        """Return ``({type: file name or None for N/A}, {type: problem})`` for the header of an exposure."""
        from crds.core import utils

        parkeys = dict.fromkeys(self._required(str(header.get("INSTRUME", "")).lower()), "UNDEFINED")
        for keyword, parkey in _parkeys().items():
            if keyword in header:
                parkeys[parkey] = utils.condition_value(header[keyword])
        files: dict[str, str | None] = {}
        problems: dict[str, str] = {}
        try:
            found = self._mapping.get_best_references(parkeys, include=list(types))
        except Exception as error:
            return {}, {"all": f"context {self.context} cannot serve this exposure: {_one_line(error)}"}
        for kind in types:
            value = found.get(kind, "NOT FOUND n/a")
            if str(value).upper().startswith("NOT FOUND"):
                reason = str(value)[9:].strip()
                if reason.lower() == "n/a" or kind.startswith("pars-"):
                    files[kind] = None
                else:
                    problems[kind] = f"context {self.context} has no {kind} reference for it ({reason or 'no match'})"
            else:
                files[kind] = None if str(value).upper() in ("N/A", "UNDEFINED") else str(value)
        return files, problems

    @functools.cache  # noqa: B019 - a selector lives as long as the process
    def _required(self, instrument: str) -> list[str]:
        try:
            return [k.upper() for k in self._mapping.get_imap(instrument).get_required_parkeys()]
        except Exception:
            return []

    def locate(self, name: str) -> Path:
        """Return where a reference file is, or belongs, in the cache."""
        from crds.core import config

        return Path(config.locate_file(name, "jwst"))

    def fetch(self, names: Iterable[str]) -> dict[str, str]:
        """Download the files that the cache lacks; return ``{name: problem}`` of those that could not be had."""
        missing = [n for n in dict.fromkeys(names) if not self.locate(n).exists()]
        if not missing:
            return {}
        total = len(missing)
        if self.offline:
            return dict.fromkeys(missing, f"is not in the cache {self.path}; fetch it with 'jwstsm refs fetch'")
        from crds.client import api

        problems = {}
        for number, name in enumerate(missing, 1):
            log.info("fetching %s (%d of %d)", name, number, total)
            try:
                api.dump_references(self.context, [name])
            except Exception as error:
                # the crds package leaves a file in the cache that it found to be wrong after the download
                self.locate(name).unlink(missing_ok=True)
                problems[name] = f"cannot be fetched: {_one_line(error)}"
        return problems

    def references(self, files: Mapping[str, str | None], window: Window | None) -> References:
        """Open the selected files for one exposure."""
        paths = {kind: None if name is None else self.locate(name) for kind, name in files.items()}
        return References(paths, window, self.context)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def checksum(path: str | Path) -> str:
    """Return the SHA-1 of a file, the checksum that CRDS itself keeps; each version of a file is read once."""
    return checksum_later(path).result()


def checksum_later(path: str | Path) -> Future:
    """Start to compute the SHA-1 of a file beside other work."""
    stat = os.stat(path)
    return _checksum(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _checksum(path: str, size: int, mtime_ns: int) -> Future:
    return _pool().submit(_sha1, path)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="checksums")


def _sha1(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def load_lock(path: str | Path, window: Window | None = None) -> tuple[References, dict]:
    """Open the references that the lock of one exposure names.

    Parameters
    ----------
    path : str or Path
        ``references/<exposure>_<pipeline>.json``, as the rule ``references`` writes it.
    window : Window, optional

    Returns
    -------
    refs : References
    lock : dict
        The lock: ``context``, ``files`` (type to ``{file, path, sha1}`` or None), ``parameters``.

    Raises
    ------
    ReferenceError_
        If the lock records a problem, or a file is gone or has another size than when it was locked.
    """
    lock = json.loads(Path(path).read_text())
    if lock.get("problems"):
        raise ReferenceError_(f"{lock['exposure']}: " + "; ".join(lock["problems"]))
    paths: dict[str, Any] = {}
    for kind, entry in lock["files"].items():
        if entry is not None:
            file = Path(entry["path"])
            if not file.exists() or file.stat().st_size != entry["size"]:
                raise ReferenceError_(
                    f"{lock['exposure']}: reference {kind} {file} is gone or has changed since it was locked; "
                    "restore it, or make the lock again (delete the references folder)"
                )
        paths[kind] = None if entry is None else entry["path"]
    return References(paths, window, lock["context"]), lock
