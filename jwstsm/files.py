"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from jwstsm import staging
from jwstsm.errors import InputError

__all__ = ["atomic", "parse_yaml"]


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` if the block succeeds, remove it otherwise.

    The name is this process's own: a job that outlived its killed workflow does not write into the file of the one that
    follows it. What such a job or a killed one has left is removed; if it is still at work, it fails when it is done.
    Where the job works on the scratch disk of its node (:mod:`jwstsm.staging`), the temporary name given is there; the file
    is brought beside ``path`` before it is renamed.

    Raises
    ------
    InputError
        If a disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        left.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft = staging.draft(path) or part
    try:
        yield draft
        if draft != part:
            staging.bring(draft, part)
        os.replace(part, path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = " or ".join(str(folder) for folder in dict.fromkeys((path.parent, draft.parent)))
        raise InputError(f"{path.name}: the disk of {where} is full; make room and try again") from error
    finally:
        draft.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def parse_yaml(text: str) -> Any:
    """Parse a YAML document by the compiled parser, where PyYAML has it (ten times faster)."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
