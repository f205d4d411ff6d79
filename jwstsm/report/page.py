"""The report: an HTML page for a program and one for each of its products, from the descriptions of the products.

The pages need no network and open from disk: styles, scripts and pictures are in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
    ("half_complete", "half of the true sources found to [AB mag]", "%.1f", 1),
    ("purity", "sources that are true [%]", "%.1f", 100),
    ("flux_bias", "fluxes of stars against truth [%]", "%+.1f", 100),
]
# key, words: plotted over the exposures; the value that is right, where there is one
PLOTS = [
    ("noise_over_error", "noise of the sky over reported error", 1.0),
    ("background", "background", None),
    ("jumps_per_cm2_s", "pixels hit by cosmic rays per cm² s", None),
]


def write_page(
    output: str | Path,
    *,
    exposures: Iterable[str | Path],
    mosaics: Iterable[str | Path],
    lock: str | Path,
    folder: str | Path = ".",
    products: str | Path | None = None,
    preset: str = "official",
    committed: str | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    problems: Iterable[str] = (),
) -> None:
    """Write the page of a program, and those of its products.

    Parameters
    ----------
    output : path
    exposures, mosaics : iterables of path
        Descriptions written by :mod:`jwstsm.report.quality`.
    lock : path
        ``references/lock.json``.
    folder : path
        Program directory; ``benchmarks`` and ``logs`` are read from it.
    products : path, optional
        Folder of the pages of the products; default ``products`` beside ``output``.
    preset : str
    committed : str, optional
        The lock that the run was held to.
    defaults : mapping, optional
        Step to its parameters at their defaults.
    problems : iterable of str
        What the reader must know first.
    """
    folder, output = Path(folder), Path(output)
    products = output.parent / "products" if products is None else Path(products)
    shown = sorted((json.loads(Path(p).read_text()) for p in exposures), key=_when)
    big = [json.loads(Path(p).read_text()) for p in mosaics]
    for item in [*shown, *big]:
        item |= {"target": summary.target(item["keywords"]), "optics": summary.optics(item["keywords"])}
        item["page"] = f"{products.name}/{item['file'].removesuffix('.fits')}.html"
        _add_seconds(item, folder)
    for item in big:
        item["alignment_note"], item["alignment_plot"] = _alignment(item.get("alignment") or {})
        item["alignment_rows"] = _alignment_rows(item.get("alignment") or {})
        points = {
            kind: [(mag, ratio, f"{mag:.2f} mag") for mag, ratio in own]
            for kind, own in item.get("truth", {}).get("points", {}).items()
        }
        item["truth_plot"] = dots(points, label="measured over true flux, bright to faint", unit="", line=1.0)
    locked = json.loads(Path(lock).read_text())
    jobs = read_jobs(folder / "benchmarks")
    everything = [*big, *shown]
    shared = {"title": summary.title(shown), "version": jwstsm.__version__, "defaults": defaults or {}}
    _write(
        output,
        "page.html.j2",
        **shared,
        exposures=shown,
        groups=_groups(shown),
        mosaics=big,
        overview=summary.overview(shown, big),
        noise=_noise(shown),
        skipped=summary.skipped(everything),
        total=len(everything),
        changed=summary.changed_parameters(everything, defaults or {}),
        software=summary.software(everything),
        references=summary.reference_rows(locked),
        context=locked["context"],
        committed=committed,
        preset=preset,
        exposure_names=EXPOSURE_NAMES,
        mosaic_names=MOSAIC_NAMES,
        jobs=summarize(jobs),
        timeline=timeline(jobs),
        problems=list(problems),
    )
    for sequence, names in ((big, MOSAIC_NAMES), (shown, EXPOSURE_NAMES)):
        _write_products(products, sequence, names, shared)


def _write_products(folder: Path, items: Sequence[dict], names: Sequence, shared: Mapping[str, Any]) -> None:
    pages = ["", *(Path(item["page"]).name for item in items), ""]
    for i, item in enumerate(items):
        _write(
            folder / pages[i + 1],
            "product.html.j2",
            **shared,
            item=item,
            names=names,
            before=pages[i],
            after=pages[i + 2],
        )


def _write(output: Path, template: str, **values: Any) -> None:
    with atomic(output) as part:
        part.write_text(_templates().get_template(template).render(**values))


def _templates():
    from jinja2 import Environment, PackageLoader, select_autoescape
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("jwstsm", "report"),
        autoescape=select_autoescape(["j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # a long name is broken at its underscores, not in its numbers
    made.filters["breakable"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    made.globals |= {"optics": summary.optics, "duration": _duration}
    return made


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.2f} h"


def _when(item: Mapping) -> tuple:
    k = item["keywords"]
    return str(k.get("DATE-OBS", "")), str(k.get("TIME-OBS", "")), item["file"]


def _groups(shown: Sequence[dict]) -> list[tuple[str, list[dict]]]:
    """Return the exposures by target and filter, in the order in which these were first observed."""
    found: dict[str, list[dict]] = {}
    for item in shown:
        name = f"{item['target']}, {item['keywords'].get('INSTRUME', '?')} {item['optics']}"
        found.setdefault(name, []).append(item)
    return list(found.items())


def _noise(shown: Sequence[dict]) -> list[str]:
    """Return plots of what tells good exposures from bad ones, one colour per filter."""
    units = {item["unit"] for item in shown}
    plots = []
    for key, words, right in PLOTS:
        groups: dict[str, list[tuple[float, float, str]]] = {}
        for i, item in enumerate(shown):
            value = item["numbers"].get(key)
            if value is not None:
                groups.setdefault(item["optics"], []).append((i, float(value), item["file"]))
        unit = next(iter(units)) if key == "background" and len(units) == 1 else ""
        plots.append(dots(groups, label=words, unit=unit, line=right))
    return [plot for plot in plots if plot]


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
    if not sidecar:
        return "", ""
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


def _alignment_rows(sidecar: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per group of exposures that was aligned."""
    return [
        {
            **{key: group.get(key, "") for key in ("group", "stage", "status", "note", "used", "matched")},
            "shift": 1000 * float(np.hypot(*(group.get("shift_arcsec") or (0, 0)))),
            "rotation": 3600 * float(group.get("rotation_deg") or 0),
            "rms": " × ".join(f"{value:.1f}" for value in group.get("rms_mas") or []) or "-",
        }
        for group in sidecar.get("groups", [])
    ]
