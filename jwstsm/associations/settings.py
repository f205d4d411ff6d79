"""The configuration section ``asn``: which exposures are grouped how, from the pool to the last edit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jwstsm.associations.edits import apply_settings
from jwstsm.associations.generate import Outcome, decide
from jwstsm.associations.naming import exposure_root
from jwstsm.associations.pool import Pool, from_headers, read_pool
from jwstsm.errors import ConfigError

log = logging.getLogger(__name__)

_NAMES = {"type": "array", "items": {"type": "string"}}
_NUMBERS = {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 1}
# JSON schema of the section, for the configuration's schema.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Associations: where the pool comes from, what is grouped, edits, files written by hand.",
    "additionalProperties": False,
    "properties": {
        "pool": {
            "type": "string",
            "description": "Pool file of the archive, instead of the headers of the uncal files.",
        },
        "candidates": {
            "type": "object",
            "description": "Groups of observations: c1000: {type: background, observations: [1, 2], program: 1234}.",
            "additionalProperties": {
                "type": "object",
                "required": ["type", "observations"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string"},
                    "observations": _NUMBERS,
                    "program": {"type": ["integer", "string"]},
                },
            },
        },
        "overrides": {
            "type": "array",
            "description": "Pool columns that headers do not know: {files: 'jw01234002*', is_imprt: t}.",
            "items": {"type": "object", "required": ["files"]},
        },
        "ids": {**_NAMES, "description": "Only these candidates, e.g. [o001, c1000]."},
        "candidate_types": {**_NAMES, "description": "Only candidates of these types, e.g. [observation]."},
        "discover": {"type": "boolean", "description": "Only groups across candidates."},
        "all_candidates": {"type": "boolean", "description": "Only groups of the candidates."},
        "merge": {"type": "boolean", "description": "One level 2 association per candidate and type."},
        "levels": {"type": "array", "items": {"enum": [2, 3]}, "description": "Levels to make."},
        "version_id": {
            "type": ["string", "boolean", "null"],
            "description": "Stamp in the file names; true: the time.",
        },
        "edits": {
            "type": "array",
            "description": "Changes, done in order: drop, remove, rename, merge, add, role.",
            "items": {"type": "object"},
        },
        "files": {**_NAMES, "description": "Association files written by hand."},
    },
}
_OPTIONS = ("ids", "discover", "all_candidates", "merge", "levels", "version_id")


def pool_with(headers: Iterable[tuple[Any, Mapping]], settings: Mapping[str, Any], folder: str | Path = ".") -> Pool:
    """Return the pool of the exposures at hand.

    Parameters
    ----------
    headers : iterable of (path, mapping)
        The uncal files and their primary headers.
    settings : mapping
        Section ``asn``: with ``pool`` the rows come from that file, for the files at hand; else from the headers
        with ``candidates`` and ``overrides``.
    folder : path
        What relative file names start from.
    """
    _check(settings)
    name = settings.get("pool")
    if name is None:
        return from_headers(headers, candidates=settings.get("candidates"), overrides=settings.get("overrides"))
    if settings.get("candidates") or settings.get("overrides"):
        raise ConfigError("asn: candidates and overrides are for pools from headers; edit the pool file instead")
    pool = read_pool(Path(folder) / name)
    at_hand = {exposure_root(str(Path(path).name).lower()) for path, _ in headers}
    rows = [row for row in pool.rows if exposure_root(row["filename"]) in at_hand]
    if not rows:
        raise ConfigError(f"asn: none of the exposures in the pool {name} is among the uncal files")
    unknown = at_hand - {exposure_root(row["filename"]) for row in rows}
    if unknown:
        log.warning("%d files are not in the pool %s and are in no association: %s", len(unknown), name, min(unknown))
    if len(rows) < len(pool):
        log.info("%d of the %d exposures in the pool %s are not at hand", len(pool) - len(rows), len(pool), name)
    return Pool(rows, pool.columns, pool.name)


def decide_with(pool: Pool, settings: Mapping[str, Any], folder: str | Path = ".") -> Outcome:
    """Return what `decide` makes of a pool with the options, edits and files of the section ``asn``."""
    _check(settings)
    options = {name: settings[name] for name in _OPTIONS if settings.get(name) is not None}
    outcome = decide(pool, candidates=settings.get("candidate_types"), **options)
    outcome.associations = apply_settings(outcome.associations, settings, folder)
    return outcome


def _check(settings: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings) - set(SCHEMA["properties"]))
    if unknown:
        raise ConfigError(f"asn: unknown option {', '.join(unknown)}; known: {', '.join(SCHEMA['properties'])}")
    if settings.get("ids") is not None and (settings.get("discover") or settings.get("all_candidates")):
        raise ConfigError("asn: ids cannot be combined with discover or all_candidates")
