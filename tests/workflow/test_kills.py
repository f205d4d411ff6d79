"""A run that is killed at random points, fifty times, ends with the bits of one that was left alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.planning import make_program
from tests.workflow.conftest import BIN, planned, science, snakemake

pytestmark = pytest.mark.slow

KILLS = 50
MADE = ("stage1", "stage2", "stage3", "asn", "references", "report", "logs", "benchmarks", ".snakemake", ".jwstsm")


def workflow(folder: Path) -> subprocess.Popen:
    """Start Snakemake in a process group of its own."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with open(folder / "run.txt", "w") as said:
        return subprocess.Popen(
            [BIN / "snakemake", "--cores", "2"],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def children(process: subprocess.Popen) -> list[int]:
    """Return the jobs that a run has started."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def kill(process: subprocess.Popen, what: str) -> None:
    """Kill one of Snakemake's jobs if there is one (Snakemake then ends by itself), it alone, or all (a power cut)."""
    jobs = children(process) if what == "job" else []
    with contextlib.suppress(ProcessLookupError):
        if jobs:
            os.kill(jobs[0], signal.SIGKILL)
        elif what == "controller":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(300)


def forget(folder: Path) -> None:
    """Remove what a run has made."""
    for name in MADE:
        shutil.rmtree(folder / name, ignore_errors=True)


@pytest.mark.filterwarnings("ignore")
def test_fifty_kills_at_random_points_change_nothing(tmp_path):
    """Whatever is killed whenever, the same command goes on; the products are those of an undisturbed run, no more."""
    folder = make_program(tmp_path / "program", count=4, mosaics=2)
    forget(folder)
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    undisturbed = science(folder)
    assert len(undisturbed) > 20
    rng = np.random.default_rng(50)
    forget(folder)
    kills, passes = 0, 0
    while kills < KILLS or passes == 0:
        process = workflow(folder)
        try:
            code = process.wait(rng.uniform(1.0, 14.0) if kills < KILLS else 600)
        except subprocess.TimeoutExpired:
            assert kills < KILLS, "the last run does not end"
            kill(process, rng.choice(["power", "power", "controller", "job"]))
            kills += 1
            continue
        assert code == 0, (folder / "run.txt").read_text()[-3000:]
        time.sleep(3)  # a job that outlived its controller has ended by then
        assert science(folder) == undisturbed
        assert not [path for path in folder.rglob("*.part") if ".snakemake" not in path.parts]
        assert planned(folder) == {}
        passes += 1
        if kills < KILLS:
            forget(folder)
    assert passes >= 2
