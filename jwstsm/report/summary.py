"""What a whole program is, from the descriptions of its products: tables of the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["changed_parameters", "optics", "overview", "reference_rows", "skipped", "software", "title"]


def title(items: Iterable[Mapping]) -> str:
    """Return the heading of the page."""
    programs = sorted({str(i["keywords"].get("PROGRAM", "")).lstrip("0") for i in items} - {""})
    return f"JWST program {', '.join(programs)}" if programs else "JWST exposures"


def optics(keywords: Mapping[str, Any]) -> str:
    """Return filter, pupil and grating in words, without what is clear or not there."""
    found = [str(keywords[x]) for x in ("FILTER", "PUPIL", "GRATING") if keywords.get(x) not in (None, "CLEAR", "N/A")]
    return " ".join(found) or "-"


def target(keywords: Mapping[str, Any]) -> str:
    """Return the name of the target, the proposer's before the archive's."""
    return str(keywords.get("TARGPROP") or keywords.get("TARGNAME") or "?")


def overview(exposures: Sequence[Mapping], mosaics: Sequence[Mapping]) -> list[dict[str, Any]]:
    """Return one row per target, instrument and filter: exposures, detectors, time, dates, mosaics."""
    rows: dict[tuple, dict] = {}
    for item in exposures:
        k = item["keywords"]
        key = (target(k), str(k.get("INSTRUME", "?")), optics(k))
        row = rows.setdefault(key, {"detectors": set(), "seconds": {}, "dates": set(), "exposures": 0})
        row["exposures"] += 1
        row["detectors"].add(str(k.get("DETECTOR", "?")))
        row["dates"].add(str(k.get("DATE-OBS", "?")))
        # the detectors of one exposure look at the same time
        when = (k.get("DATE-OBS"), k.get("TIME-OBS"))
        row["seconds"][when] = float(k.get("EFFEXPTM") or 0)
    out = []
    for key, row in sorted(rows.items()):
        dates = sorted(row["dates"])
        out.append(
            {
                "target": key[0],
                "instrument": key[1],
                "filter": key[2],
                "exposures": row["exposures"],
                "detectors": ", ".join(sorted(row["detectors"])),
                "seconds": sum(row["seconds"].values()),
                "dates": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
                "mosaics": [m for m in mosaics if _same(m["keywords"], key)],
            }
        )
    return out


def _same(keywords: Mapping, key: tuple) -> bool:
    return (target(keywords), str(keywords.get("INSTRUME", "?")), optics(keywords)) == key


def skipped(items: Iterable[Mapping]) -> list[dict[str, Any]]:
    """Return which steps did not run, why, and for how many products; in the order of the steps."""
    rows: dict[tuple[str, str], list[str]] = {}
    for item in items:
        for one in item["steps"]:
            if one["status"] != "COMPLETE":
                rows.setdefault((one["name"], one.get("reason") or one["status"].lower()), []).append(item["file"])
    # what is off by default says least, so it comes last
    order = sorted(rows.items(), key=lambda row: row[0][1] == "switched off")
    return [{"step": s, "reason": r, "count": len(files), "files": files} for (s, r), files in order]


def changed_parameters(items: Iterable[Mapping], defaults: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the parameters that some products have otherwise than by default: step, name, value, default, products."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in items:
        for one in item["steps"]:
            known = defaults.get(one["name"], {})
            for name, value in (one.get("parameters") or {}).items():
                if name in known and value != known[name]:
                    key = (one["name"], name, repr(value))
                    row = rows.setdefault(key, {"value": value, "default": known[name], "files": []})
                    row["files"].append(item["file"])
    return [
        {"step": step, "name": name, **row, "count": len(set(row["files"]))}
        for (step, name, _), row in sorted(rows.items())
    ]


def reference_rows(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the reference files of a lock: type, file, checksum, number of exposures."""
    kinds: dict[str, set[str]] = {}
    count: dict[str, int] = {}
    for group in lock.get("selections", []):
        for kind, file in group["files"].items():
            if file is not None:
                kinds.setdefault(file, set()).add(kind)
                count[file] = count.get(file, 0) + len(group["exposures"])
    rows = [
        {"type": ", ".join(sorted(kinds.get(file, {"?"}))), "file": file, "sha1": sha1, "exposures": count.get(file, 0)}
        for file, sha1 in lock["files"].items()
    ]
    return sorted(rows, key=lambda row: (row["type"], row["file"]))


def software(items: Iterable[Mapping]) -> list[str]:
    """Return each set of versions that products were made with, as a line."""
    found = {
        ", ".join(f"{name} {version}" for name, version in run["software"].items() if name != "context")
        for item in items
        for run in item.get("runs", [])
    }
    # a run that did not load a library says nothing about it: the longest of several that agree is enough
    return sorted(text for text in found if not any(text != other and _part_of(text, other) for other in found))


def _part_of(text: str, other: str) -> bool:
    return set(text.split(", ")) < set(other.split(", "))
