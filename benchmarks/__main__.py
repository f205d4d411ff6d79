"""Run the benchmarks and print the table: ``python -m benchmarks [--folder DIR] [--runs N]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

from benchmarks import associations, imaging, long, planning, stage1
from benchmarks.measure import Measured


def table(rows: list[tuple[str, Measured, Measured | None]]) -> str:
    """Return the rows as a Markdown table with ratios."""
    lines = [
        "| what | ours [s] | official [s] | faster | processor | ours [MB] | official [MB] | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for what, ours, official in rows:
        if official is None:
            lines.append(f"| {what} | {ours.seconds:.2f} | | | | {ours.peak_mb:.0f} | | |")
            continue
        lines.append(
            f"| {what} | {ours.seconds:.2f} | {official.seconds:.2f} | {official.seconds / ours.seconds:.1f} x "
            f"| {official.cpu / ours.cpu:.1f} x | {ours.peak_mb:.0f} | {official.peak_mb:.0f} "
            f"| {ours.peak_mb / official.peak_mb:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and keep the table in ``benchmarks/results``."""
    from jwstsm.sim.program import simulate_program

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the simulated programs are made (kept and used again)")
    parser.add_argument("--runs", type=int, default=3, help="runs of ours to take the best of")
    parser.add_argument("--all", action="store_true", help="the slow rows too (official associations: minutes)")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="jwstsm-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows = imaging.rows(folder, simulate_program, arguments.runs)
    rows += stage1.rows(folder, simulate_program, arguments.runs)
    rows += stage1.likelihood_rows(folder, simulate_program, arguments.runs)
    rows += planning.rows(folder)
    if arguments.all:
        rows += imaging.hundred(folder)
        rows += long.rows(folder, simulate_program)
        rows += associations.rows(folder, arguments.runs)
    text = f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}\n\n{table(rows)}\n"
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / f"{date.today()}.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
