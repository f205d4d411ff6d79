"""What the jobs took: seconds and memory of every job, and when they ran, from Snakemake's benchmark files."""

from __future__ import annotations

import csv
import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Job", "last_run", "read_jobs", "summarize", "timeline"]

_PAUSE_S = 1800.0
"""Between jobs of one run there is no longer pause [s]."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One job: rule, wildcards as its files' name, start and end [s since 1970], seconds, largest memory [MB]."""

    rule: str
    name: str
    end: float
    seconds: float
    memory_mb: float
    cpu_s: float

    @property
    def start(self) -> float:
        """When it started."""
        return self.end - self.seconds


def read_jobs(folder: str | Path) -> list[Job]:
    """Return the jobs that have a benchmark file below a folder, in the order of their start.

    A benchmark file is written when its job ends: its time is the job's end.
    """
    folder = Path(folder)
    found = []
    for path in folder.rglob("*.tsv"):
        rule = path.stem if path.parent == folder else path.parent.name
        with open(path) as file:
            for row in csv.DictReader(file, delimiter="\t"):
                numbers = [_number(row.get(key)) for key in ("s", "max_rss", "cpu_time")]
                found.append(Job(rule, path.stem, path.stat().st_mtime, *numbers))
    return sorted(found, key=lambda job: (job.start, job.rule, job.name))


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0  # Snakemake writes "-" and "NA" for jobs too short to be looked at


def summarize(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return one row per rule: how many jobs, their seconds and memory, in the order in which they first ran."""
    rows: dict[str, list[Job]] = {}
    for job in jobs:
        rows.setdefault(job.rule, []).append(job)
    return [
        {
            "rule": rule,
            "count": len(of),
            "median": statistics.median(j.seconds for j in of),
            "longest": max(j.seconds for j in of),
            "total": sum(j.seconds for j in of),
            "memory": max(j.memory_mb for j in of),
            "colour": colour(i),
        }
        for i, (rule, of) in enumerate(rows.items())
    ]


def colour(number: int) -> str:
    """Return a colour that differs well from that of the next numbers, readable on light and dark ground."""
    return f"hsl({(number * 137.5) % 360:.0f} 55% 52%)"


def last_run(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs after the last long pause."""
    out: list[Job] = []
    reached = float("-inf")
    for job in jobs:
        if job.start - reached > _PAUSE_S:
            out = []
        out.append(job)
        reached = max(reached, job.end)
    return out


def _lanes(jobs: Sequence[Job]) -> list[int]:
    """Return a lane for each job such that jobs in one lane do not overlap."""
    ends: list[float] = []
    lanes = []
    for job in jobs:
        free = next((i for i, end in enumerate(ends) if end <= job.start + 0.05), len(ends))
        if free == len(ends):
            ends.append(0.0)
        ends[free] = job.end
        lanes.append(free)
    return lanes


def memory_steps(jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """Return ``(time, MB)`` where the memory of the jobs that run together changes; each counts with its largest."""
    changes = sorted([(j.start, j.memory_mb) for j in jobs] + [(j.end, -j.memory_mb) for j in jobs])
    out, level = [], 0.0
    for time, change in changes:
        level = max(0.0, level + change)
        if out and out[-1][0] == time:
            out.pop()
        out.append((time, level))
    return out


def timeline(jobs: Sequence[Job], width: int = 1000) -> str:
    """Return the jobs of the last run as SVG: bars over time in lanes, coloured by rule, and below the memory in use."""
    shown = last_run(jobs)
    if not shown:
        return ""
    numbers = {rule: i for i, rule in enumerate(dict.fromkeys(j.rule for j in jobs))}
    first, last = min(j.start for j in shown), max(j.end for j in shown)
    scale = (width - 60) / max(last - first, 1e-3)
    lanes = _lanes(shown)
    bar = 14 if max(lanes) < 12 else 6
    height = (max(lanes) + 1) * (bar + 2)
    body = []
    for job, lane in zip(shown, lanes, strict=True):
        x, y = 50 + (job.start - first) * scale, lane * (bar + 2)
        body.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, job.seconds * scale):.1f}" height="{bar}" rx="2" '
            f'fill="{colour(numbers[job.rule])}"><title>{job.rule} {job.name}\n{job.seconds:.1f} s, '
            f"{job.memory_mb:.0f} MB</title></rect>"
        )
    steps = memory_steps(shown)
    top = max(mb for _, mb in steps) or 1.0
    base = height + 110
    points, level = [f"50,{base}"], 0.0
    for time, mb in steps:
        x = 50 + (time - first) * scale
        points += [f"{x:.1f},{base - level / top * 80:.1f}", f"{x:.1f},{base - mb / top * 80:.1f}"]
        level = mb
    body.append(f'<polygon points="{" ".join(points)}" class="area"/>')
    body.append(
        f'<text x="46" y="{base - 76}" text-anchor="end">{top:.0f}</text><text x="46" y="{base}" text-anchor="end">0</text>'
    )
    body.append(f'<text x="50" y="{base - 88}">memory of the jobs that run together [MB]</text>')
    for k in range(5):
        x = 50 + (last - first) * scale * k / 4
        anchor = "start" if k == 0 else "end" if k == 4 else "middle"
        body.append(f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{base}" class="axis"/>')
        body.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="{anchor}">{_span((last - first) * k / 4)}</text>')
    label = f"{len(shown)} jobs over {_span(last - first)}"
    box = f"0 0 {width} {base + 24}"
    return f'<svg class="plot wideplot" viewBox="{box}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
