"""Which reference files a product was made with, and their checksums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jwstsm import tables
from jwstsm.references.select import checksum
from jwstsm.references.types import pars_type

__all__ = ["used_references"]


def used_references(
    records: Iterable[Mapping[str, Any]], paths: Mapping[str, Any], locked: Mapping[str, Any], pipeline: str
) -> dict[str, dict[str, str]]:
    """Return ``{type: {file, sha1}}`` of the reference files that some steps used, parameter files included.

    Parameters
    ----------
    records : iterable of mapping
        Of the steps, with ``references`` (type to ``crds://name``) and ``parameters``.
    paths : mapping
        Reference type to path.
    locked : mapping
        ``files`` of the lock of the exposure; a checksum that it lacks is computed.
    pipeline : str
        Whose parameter files count.
    """
    known = {entry["file"]: entry["sha1"] for entry in locked.values() if entry and "sha1" in entry}
    found: dict[str, dict[str, str]] = {}
    for record in records:
        own = record.get("parameters") or {}
        for kind, name in (record.get("references") or {}).items():
            file = str(name).removeprefix("crds://")
            override = own.get(f"override_{kind}")
            path = override or paths.get(kind)
            if name == "N/A" or path is None:
                continue
            sha1 = None if override else known.get(file)
            found[kind] = {"file": file, "sha1": sha1 or checksum(path)}
    kinds = {pars_type(pipeline, True), *(pars_type(name) for name in tables.sequence(pipeline))}
    for kind in kinds & set(locked):
        entry = locked[kind]
        if entry and "sha1" in entry:
            found[kind] = {"file": entry["file"], "sha1": entry["sha1"]}
    return dict(sorted(found.items()))
