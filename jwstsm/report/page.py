"""The report: one self-contained HTML page for a program, from the descriptions of its products."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import jwstsm
from jwstsm.files import atomic
from jwstsm.report import summary
from jwstsm.report.jobs import read_jobs, summarize, timeline
from jwstsm.report.pictures import dots, scatter

__all__ = ["write_page"]

# key, words (UNIT is the product's), format, factor
EXPOSURE_NAMES = [
    ("background", "background [UNIT]", "%.4g", 1),
    ("noise", "noise of the sky [UNIT]", "%.3g", 1),
    ("noise_over_error", "noise / reported error", "%.2f", 1),
    ("jumps", "pixels hit by cosmic rays [%]", "%.2f", 100),
    ("jumps_per_cm2_s", "pixels hit per cm² s", "%.2f", 1),
    ("saturated", "saturated [%]", "%.3f", 100),
    ("unusable", "unusable [%]", "%.2f", 100),
]
MOSAIC_NAMES = [
    ("width", "width [pixel]", "%d", 1),
    ("height", "height [pixel]", "%d", 1),
    ("deepest", "inputs on the deepest pixel", "%d", 1),
    ("sources", "sources in the catalog", "%d", 1),
    ("background", "background [UNIT]", "%.4g", 1),
    ("noise", "noise of the sky [UNIT]", "%.3g", 1),
    ("noise_over_error", "noise / reported error", "%.2f", 1),
    ("covered", "covered by inputs [%]", "%.1f", 100),
]


def write_page(
    output: str | Path,
    *,
    exposures: Iterable[str | Path],
    mosaics: Iterable[str | Path],
    lock: str | Path,
    folder: str | Path = ".",
    preset: str = "official",
    problems: Iterable[str] = (),
) -> None:
    """Write the page.

    Parameters
    ----------
    output : path
    exposures, mosaics : iterables of path
        Descriptions written by :mod:`jwstsm.report.quality`.
    lock : path
        ``references/lock.json``.
    folder : path
        Program directory; ``benchmarks`` and ``logs`` are read from it.
    preset : str
    problems : iterable of str
        What the reader must know first.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    folder = Path(folder)
    shown = [json.loads(Path(p).read_text()) for p in exposures]
    big = [json.loads(Path(p).read_text()) for p in mosaics]
    for item in shown:
        _add_seconds(item, folder)
    for item in big:
        item["alignment_note"], item["alignment_plot"] = _alignment(item.get("alignment") or {})
    locked = json.loads(Path(lock).read_text())
    environment = Environment(loader=PackageLoader("jwstsm", "report"), autoescape=select_autoescape(["j2", "html"]))
    jobs = _jobs(folder / "benchmarks")
    text = environment.get_template("page.html.j2").render(
        title=_title(shown),
        exposures=shown,
        mosaics=big,
        overview=_overview(shown),
        context=locked["context"],
        references=locked["files"],
        preset=preset,
        version=jwstsm.__version__,
        exposure_names=EXPOSURE_NAMES,
        mosaic_names=MOSAIC_NAMES,
        jobs=jobs,
        timeline=_memory_plot(jobs),
        problems=list(problems),
    )
    with atomic(output) as part:
        part.write_text(text)


def _title(shown: list[dict]) -> str:
    programs = sorted({str(i["keywords"].get("PROGRAM", "")).lstrip("0") for i in shown} - {""})
    return f"JWST program {', '.join(programs)}" if programs else "JWST exposures"


def _overview(shown: list[dict]) -> list[dict[str, Any]]:
    """Return one row per target, instrument and filter."""
    rows: dict[tuple, dict] = {}
    for item in shown:
        k = item["keywords"]
        optics = " ".join(str(k[x]) for x in ("FILTER", "PUPIL", "GRATING") if k.get(x) not in (None, "CLEAR", "N/A"))
        key = (k.get("TARGPROP") or k.get("TARGNAME") or "?", k.get("INSTRUME"), optics)
        row = rows.setdefault(key, {"count": 0, "detectors": set(), "first": "9", "seconds": 0.0})
        row["count"] += 1
        row["detectors"].add(k.get("DETECTOR", "?"))
        row["first"] = min(row["first"], f"{k.get('DATE-OBS', '')} {str(k.get('TIME-OBS', ''))[:8]}")
        row["seconds"] = float(k.get("EFFEXPTM") or 0)
    return [
        {**row, "target": t, "instrument": i, "filter": f, "detectors": ", ".join(sorted(row["detectors"]))}
        for (t, i, f), row in sorted(rows.items(), key=str)
    ]


def _add_seconds(item: dict, folder: Path) -> None:
    """Put the seconds that each step took beside it, from the records of the jobs."""
    name = item["file"].rpartition("_")[0]
    seconds: dict[str, float] = {}
    for record in folder.glob(f"logs/*/{name}.json"):
        for one in json.loads(record.read_text()).get("steps", []):
            seconds[one["name"]] = one["seconds"]
    for one in item["steps"]:
        if one["name"] in seconds and one["status"] == "COMPLETE":
            one["seconds"] = seconds[one["name"]]


def _alignment(sidecar: Mapping[str, Any]) -> tuple[str, str]:
    """Return a sentence and a plot of the alignment residuals."""
    if sidecar.get("status") != "COMPLETE":
        return f"Not aligned: {sidecar.get('reason') or 'tweakreg did not run'}.", ""
    last = {group["group"]: group for group in sidecar.get("groups", [])}.values()
    fitted = [group for group in last if group.get("residuals")]
    used = [np.asarray(group["residuals"]["used"], bool) for group in fitted]
    east, north = (
        np.concatenate([np.asarray(g["residuals"][axis])[u] for g, u in zip(fitted, used, strict=True)] or [[]])
        for axis in ("east", "north")
    )
    shifts = [1000 * float(np.hypot(*group["shift_arcsec"])) for group in fitted]
    note = f"Aligned: {len(fitted)} of {len(last)} exposures fitted"
    note += f", shifts up to {max(shifts):.0f} mas." if shifts else "."
    if sidecar.get("absolute"):
        note += f" Absolute catalog {Path(sidecar['absolute']['catalog']).name}: {sidecar['absolute']['status'].lower()}."
    return note, scatter(east, north, label="alignment residuals, east and north", unit="mas") if east.size else ""


def _jobs(folder: Path) -> list[dict[str, Any]]:
    """Return a row per rule from Snakemake's benchmark files."""
    found: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.stem if path.parent == folder else path.parent.name
        with open(path) as file:
            for row in csv.DictReader(file, delimiter="\t"):
                memory = row.get("max_rss", "-")
                found.setdefault(rule, []).append(
                    (float(row["s"]), float(memory) if memory not in ("-", "NA", "") else 0.0)
                )
    return [
        {
            "rule": rule,
            "count": len(rows),
            "median": statistics.median(r[0] for r in rows),
            "longest": max(r[0] for r in rows),
            "memory": max(r[1] for r in rows),
        }
        for rule, rows in found.items()
    ]


def _memory_plot(jobs: list[dict]) -> str:
    rows = [(f"{j['rule']} ({j['count']})", 0.0, j["longest"]) for j in jobs]
    return bar_chart(rows, unit="s", label="longest job of each rule")
