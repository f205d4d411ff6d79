"""Stage 1 rows beside near-infrared imaging: detector1 of other instruments and readouts, whole processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.imaging import Case
from benchmarks.measure import Measured

__all__ = ["CASES", "MIRI_SERIES", "likelihood_rows", "rows", "step_options"]


class Row(NamedTuple):
    """One input of detector1 and what both packages do with it.

    Attributes
    ----------
    what : str
        Words in the table.
    preset : str
        Simulated program; its first exposure is taken.
    changes : dict
        Fields of its observations to replace.
    steps : dict
        Step parameters, the same for both packages.
    """

    what: str
    preset: str
    changes: dict
    steps: dict


# operations run emicorr and leave refpix out; both are said here, because the simulated context has no such parameter file
_MIRI = {"emicorr": {"skip": False}, "refpix": {"skip": True}}
MIRI_SERIES = _MIRI | {"lastframe": {"skip": False}, "rscd": {"skip": False}}

CASES = (
    Row("detector1, MIRI imager, 1032 x 1024 x 30 groups", "miri_bench", {}, _MIRI),
    Row("detector1, MIRI imager, 30 groups, showers", "miri_bench", {}, _MIRI | {"jump": {"find_showers": True}}),
    Row("detector1, MIRI prism series, 100 integrations of 12 groups", "miri_prism", {"nints": 100}, MIRI_SERIES),
    Row("detector1, NIRSpec IRS2, 3200 x 2048 x 10 groups", "nirspec_bench", {}, {}),
    Row("detector1, NIRSpec SUB512 series, 100 integrations of 10 groups", "nirspec_series", {}, {}),
)


def step_options(steps: dict) -> list[str]:
    """Return the arguments of the command line for ``{step: {parameter: value}}``."""
    return [word for step, values in steps.items() for n, v in values.items() for word in (f"--{step}.{n}", json.dumps(v))]


def rows(folder: Path, simulate: Callable, count: int = 3) -> list[tuple[str, Measured, Measured]]:
    """Return ``(what, ours, official)`` of the rows of :data:`CASES`.

    Parameters
    ----------
    folder : Path
        Scratch folder.
    simulate : callable
        ``simulate(folder, preset=..., **changes)`` makes a program.
    count : int
        Runs of ours to take the best of; the official package runs once per row.
    """
    out = []
    for row in CASES:
        case = Case(folder / row.preset)
        if not (case.folder / "uncal").exists():
            simulate(case.folder, preset=row.preset, **row.changes)
        uncal = sorted((case.folder / "uncal").glob("*_uncal.fits"))[0]
        ours = case.ours("detector1", uncal, count, *step_options(row.steps))
        out.append((row.what, ours, case.official("detector1", uncal, 1, row.steps)))
    return out


def likelihood_rows(folder: Path, simulate: Callable, count: int = 3) -> list[tuple[str, Measured, Measured | None]]:
    """Return the rows of the likelihood fit of one near-infrared full frame, and of the preset that uses it.

    Parameters
    ----------
    folder, simulate, count
        As for :func:`rows`. The frame is that of the imaging rows.
    """
    case = Case(folder / "bench")
    if not (case.folder / "uncal").exists():
        simulate(case.folder, preset="bench")
    uncal = min((case.folder / "uncal").glob("*_uncal.fits"))
    large = step_options({"jump": {"expand_large_events": True}})
    case.ours("detector1", uncal, 1, *large, "--jump.save_results", "true")
    best = case.ours("detector1", uncal, count, *large, "--preset", "best")
    ramp = case.out("ours") / uncal.name.replace("_uncal", "_jump")
    fits = [case.ours("ramp_fit", ramp, count, "--algorithm", "LIKELY")]
    fits.append(case.official("ramp_fit", ramp, 1, {"ramp_fit": {"algorithm": "LIKELY"}}))
    ramp.unlink()
    return [
        ("ramp_fit alone, LIKELY, 2048 x 2048 x 10 groups: read, fit, write", *fits),
        ("detector1, 2048 x 2048 x 10 groups, preset best", best, None),
    ]
