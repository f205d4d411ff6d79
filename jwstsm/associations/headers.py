"""A pool from the primary headers of uncal files.

Most columns are header keywords (table ``columns.yaml``). The few that the archive fills from its own planning
database are derived here:

- ``asn_candidate``: the observation, plus the groups that the configuration declares;
- ``targetid``: targets are numbered per program in file name order of their first exposure;
- ``expspcin``: number of the activity (visit, visit group, sequence, activity) within its observation;
- ``dithptin``: the dither position ``PATT_NUM``.

Source: the official pool maker for the first two (it numbers targets over all programs together and leaves the
last two undefined, with which no NIRSpec slit or MSA association can be made).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

import yaml

from jwstsm.associations.pool import UNDEFINED, Pool, PoolError, parse_candidates

_TRUE = frozenset({"t", "true", "1", "y", "yes"})
_CANDIDATE_ID = re.compile(r"c\d{4}$")
# Keywords without which an exposure cannot be placed, and why.
_NEEDED = {
    "program": "which program it belongs to",
    "obs_num": "which observation it belongs to",
    "exp_type": "what kind of exposure it is",
    "instrume": "which instrument took it",
    "detector": "which detector took it",
}


@lru_cache(maxsize=1)
def column_table() -> dict[str, tuple[str | None, str | None, str]]:
    """Return column -> (FITS keyword, default, form) from ``columns.yaml``."""
    text = (Path(__file__).with_name("columns.yaml")).read_text(encoding="utf-8")
    table = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: tuple(entry) for name, entry in table.items()}


def pool_from_headers(
    headers: Iterable[tuple[str | os.PathLike[str], Mapping]],
    *,
    candidates: Mapping[str, Mapping] | None = None,
    overrides: Iterable[Mapping] | None = None,
    name: str = "pool.csv",
) -> Pool:
    """Make a pool from the primary headers of uncal files.

    Parameters
    ----------
    headers : iterable of (path, mapping)
        File path and its primary header (``astropy.io.fits.Header`` or any mapping of keyword -> value).
    candidates : mapping, optional
        Groups of observations beyond the observations themselves, as the archive's planners would define them:
        ``{"c1000": {"type": "background", "observations": [1, 2], "program": 1234}}`` (``program`` optional).
    overrides : iterable of mapping, optional
        Column values that the headers do not know, e.g. ``{"files": "jw01234002*", "is_imprt": "t"}``: every
        column but ``files`` is set in the rows whose file name matches the pattern.
    name : str
        Name of the pool, written to the associations.

    Returns
    -------
    Pool

    Raises
    ------
    PoolError
        If a header lacks a keyword without which the exposure cannot be placed, a candidate definition is
        malformed, or an override names an unknown column.
    """
    table = column_table()
    groups = _checked_candidates(candidates or {})
    rows = sorted(
        (_row(Path(path).name.lower(), header, table, path) for path, header in headers),
        key=lambda row: row["filename"],
    )
    _number_targets(rows)
    _number_activities(rows)
    for row in rows:
        row["asn_candidate"] = _candidate_text(row, groups)
    _apply_overrides(rows, overrides or (), table)
    return Pool(rows, list(table), name)


def _row(filename: str, header: Mapping, table: Mapping, path) -> dict[str, str]:
    row = {"filename": filename}
    for column, (keyword, default, form) in table.items():
        value = header.get(keyword) if keyword else None
        row.setdefault(column, _text(value, form) or default or "null")
    for column, meaning in _NEEDED.items():
        if row[column] in UNDEFINED:
            keyword = table[column][0]
            raise PoolError(
                f"{path}: the primary header has no {keyword}, so it is unknown {meaning}; repair the "
                f"keyword or leave the file out"
            )
    if row["dithptin"] == "1" and row["patt_num"] not in UNDEFINED:
        row["dithptin"] = row["patt_num"]
    return row


def _text(value, form: str) -> str:
    if value is None:
        return ""
    if form == "flag":
        return "t" if str(value).strip().lower() in _TRUE else "f"
    text = str(value).strip().lower()
    if form == "whole" and text.isdigit():
        text = str(int(text))
    return text


def _number_targets(rows: list[dict[str, str]]) -> None:
    """Number the targets of each program; a nameless target is its observation, so that fields never merge."""
    numbers: dict[str, dict[tuple[str, str], int]] = {}
    for row in rows:
        known = numbers.setdefault(row["program"], {})
        label = next((row[c] for c in ("targname", "targprop") if row[c] not in UNDEFINED | {"unknown"}), None)
        key = ("name", label) if label else ("observation", row["obs_num"])
        row["targetid"] = str(known.setdefault(key, len(known) + 1))


def _number_activities(rows: list[dict[str, str]]) -> None:
    activities: dict[tuple[str, str], set[tuple[int | str, ...]]] = {}

    def activity(row):
        return (row["visit"].zfill(3), row["visitgrp"].zfill(2), row["seq_id"], row["act_id"].zfill(2))

    for row in rows:
        activities.setdefault((row["program"], row["obs_num"]), set()).add(activity(row))
    ranks = {key: {act: n for n, act in enumerate(sorted(found), 1)} for key, found in activities.items()}
    for row in rows:
        if row["expspcin"] in UNDEFINED:
            row["expspcin"] = str(ranks[row["program"], row["obs_num"]][activity(row)])


def _checked_candidates(candidates: Mapping[str, Mapping]) -> list[tuple[str, str, set[str], str | None]]:
    checked = []
    for name, entry in candidates.items():
        unknown = set(entry) - {"type", "observations", "program"}
        if not _CANDIDATE_ID.match(str(name)) or unknown or not {"type", "observations"} <= set(entry):
            raise PoolError(
                f"asn candidate {name!r}: {dict(entry)}; write it as c1000: {{type: background, observations: "
                "[1, 2], program: 1234}} with an id of 'c' and four digits (program is optional)"
            )
        program = str(int(entry["program"])) if "program" in entry else None
        checked.append((str(name), str(entry["type"]).lower(), {str(int(o)) for o in entry["observations"]}, program))
    return checked


def _candidate_text(row: Mapping[str, str], groups) -> str:
    pairs = [(f"o{row['obs_num'].zfill(3)}", "observation")]
    pairs += [
        (name, kind)
        for name, kind, observations, program in groups
        if row["obs_num"] in observations and program in (None, row["program"])
    ]
    return str(pairs)


def _apply_overrides(rows: list[dict[str, str]], overrides: Iterable[Mapping], table: Mapping) -> None:
    for entry in overrides:
        values = {column: value for column, value in entry.items() if column != "files"}
        unknown = [column for column in values if column not in table or column == "filename"]
        if unknown or "files" not in entry or not values:
            raise PoolError(
                f"pool override {dict(entry)}: write {{files: 'jw01234002*', column: value}} with columns "
                f"of the pool{f'; unknown: {unknown}' if unknown else ''}"
            )
        for row in rows:
            if fnmatch(row["filename"], str(entry["files"]).lower()):
                for column, value in values.items():
                    form = "flag" if isinstance(value, bool) else table[column][2]
                    row[column] = _text(value, form) or "null"
                parse_candidates(row["asn_candidate"])
