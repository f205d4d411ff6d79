"""Where a product comes from: the runs that led to it, each with the checksums of its inputs and reference files.

The record travels in the product (``ASDF`` extension, ``jwstsm: runs``), one entry per pipeline. It holds names and
checksums, no paths and no times: the same inputs give the same record anywhere.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwstsm

__all__ = ["Inputs", "content_sha1", "describe_run", "software"]

_BLOCK = 2880
_PIECE = 1 << 22


def content_sha1(path: str | Path) -> str:
    """Return the SHA-1 of what a file holds; of a FITS file, without the card that says when it was written.

    A product that is made again from the same inputs has another ``DATE`` and nothing else: it is the same product.
    Other files have their ordinary SHA-1. Each version of a file is read once.
    """
    stat = os.stat(path)
    return _content_sha1(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _content_sha1(path: str, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with open(path, "rb") as file:
        first = file.read(_BLOCK)
        if first.startswith(b"SIMPLE  ="):
            block, ended = first, False
            while block and not ended:
                cards = [block[i : i + 80] for i in range(0, len(block), 80)]
                ended = any(card.startswith(b"END     ") for card in cards)
                digest.update(b"".join(card for card in cards if not card.startswith(b"DATE    =")))
                block = b"" if ended else file.read(_BLOCK)
        else:
            digest.update(first)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


class Inputs:
    """Checksums of the inputs of a job, computed beside its work.

    Parameters
    ----------
    paths : iterable of path
        Files that exist.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checksums")
        self._sums = {Path(p).name: self._pool.submit(content_sha1, p) for p in paths}
        self._pool.shutdown(wait=False)

    def sums(self) -> dict[str, str]:
        """Return ``{file name: checksum}``; waits for what is not done yet."""
        return {name: future.result() for name, future in sorted(self._sums.items())}


def software() -> dict[str, str]:
    """Return the versions of what computes: this package, Python, and the libraries that have been loaded."""
    found = {"jwstsm": jwstsm.__version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "numba", "astropy"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version:
            found[name] = version
    return found


def describe_run(
    pipeline: str, preset: str, context: str, inputs: Mapping[str, str], references: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Return the record of one run, as it is written into its products."""
    return {
        "pipeline": pipeline,
        "preset": preset,
        "context": context,
        "software": software(),
        "inputs": dict(inputs),
        "references": {kind: dict(entry) for kind, entry in references.items()},
    }
