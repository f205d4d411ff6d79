"""The committed lock: with ``crds: lock:`` a run uses exactly the reference files of that lock, or fails and says why.

``references/lock.json``, which every run writes, and what ``jwstsm refs lock`` writes have the same form: the context, the
version of this package, the SHA-1 of every file, and which file serves which exposure (exposures with the same files are
told once). It holds no paths and no times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jwstsm
from jwstsm.errors import ConfigError

__all__ = ["CommittedLock", "lock_content"]


def lock_content(
    context: str, server: str | None, selections: Mapping[str, Mapping[str, str | None]], sums: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of a program's lock.

    Parameters
    ----------
    context : str
    server : str or None
    selections : mapping
        Exposure to ``{type: file name or None for N/A}``.
    sums : mapping
        File name to SHA-1.
    """
    groups: dict[str, list[str]] = {}
    for exposure, files in selections.items():
        groups.setdefault(json.dumps({k: files[k] for k in sorted(files)}), []).append(exposure)
    return {
        "context": context,
        "server": server,
        "jwstsm": jwstsm.__version__,
        "files": dict(sorted(sums.items())),
        "selections": [{"exposures": sorted(names), "files": json.loads(files)} for files, names in groups.items()],
    }


class CommittedLock:
    """A lock that a run must agree with.

    Parameters
    ----------
    path : path

    Raises
    ------
    ConfigError
        If it cannot be read, or is no lock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            content = json.loads(self.path.read_text())
            self.context: str = content["context"]
            self.version: str = content["jwstsm"]
            self.sums: dict[str, str] = dict(content["files"])
            self.selections = {name: group["files"] for group in content["selections"] for name in group["exposures"]}
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}); make it with 'jwstsm refs lock', "
                "or take 'crds: lock' out of config.yaml if it names it"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"crds: lock: {path} is not a lock of jwstsm; make it again with 'jwstsm refs lock'"
            ) from None

    def check_run(self, context: str) -> list[str]:
        """Return what is wrong with the run as a whole: its context, the version of this package."""
        problems = []
        if context != self.context:
            problems.append(
                f"the context is {context}, but the lock {self.path} is of {self.context}; "
                f"set crds: context: {self.context}, or make the lock again (jwstsm refs lock)"
            )
        if self.version != jwstsm.__version__:
            problems.append(
                f"this is jwstsm {jwstsm.__version__}, but the lock {self.path} is of {self.version}, whose results may "
                f"differ; install jwstsm {self.version}, or make the lock again (jwstsm refs lock)"
            )
        return problems

    def check_selection(self, exposure: str, files: Mapping[str, str | None]) -> list[str]:
        """Return how the files that serve an exposure differ from those of the lock."""
        locked = self.selections.get(exposure)
        if locked is None:
            return [f"{exposure}: is not in the lock {self.path}; add it with 'jwstsm refs lock', or take its file away"]
        return [
            f"{exposure}: the {kind} reference is {_say(files, kind)}, but the lock {self.path} says {_say(locked, kind)}; "
            "restore what was changed, or make the lock again (jwstsm refs lock)"
            for kind in sorted({*files, *locked})
            if files.get(kind) != locked.get(kind)
        ]

    def check_sums(self, sums: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
        """Return which files are not, byte for byte, those of the lock.

        Parameters
        ----------
        sums : mapping
            File name to SHA-1.
        places : mapping
            File name to path.
        """
        return [
            f"{places.get(name, name)} has SHA-1 {sha1}, but the lock {self.path} says {self.sums[name]}; "
            "delete the file and fetch it again (jwstsm refs fetch), or make the lock again (jwstsm refs lock)"
            for name, sha1 in sorted(sums.items())
            if name in self.sums and self.sums[name] != sha1
        ]


def _say(files: Mapping[str, str | None], kind: str) -> str:
    return (files[kind] or "N/A") if kind in files else "none"


def differences(lock: CommittedLock, context: str, contents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return everything in which the locks of exposures differ from a committed lock.

    Parameters
    ----------
    lock : CommittedLock
    context : str
    contents : iterable of mapping
        Locks of exposures: ``exposure``, ``files`` (type to ``{file, path, sha1}`` or None), ``problems``.
    """
    problems = lock.check_run(context)
    sums: dict[str, str] = {}
    places: dict[str, str] = {}
    for content in contents:
        if not content.get("problems"):
            problems += lock.check_selection(
                content["exposure"], {kind: entry and entry["file"] for kind, entry in content["files"].items()}
            )
        for entry in content["files"].values():
            if entry:
                sums[entry["file"]], places[entry["file"]] = entry["sha1"], entry["path"]
    return problems + lock.check_sums(sums, places)
