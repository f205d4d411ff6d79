"""A small program through a real SLURM, on scratch copies, with a job cancelled and the controller killed in the middle."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from jwstsm.cli import main
from jwstsm.sim import simulate_program
from tests.workflow.conftest import BIN, science, snakemake

pytestmark = [pytest.mark.slurm, pytest.mark.filterwarnings("ignore")]

# one node without accounting that answers at once: see the note on such clusters in the README
OPTIONS = (
    "--profile",
    "profiles/slurm",
    "--slurm-no-account",
    "--slurm-status-command",
    "squeue",
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--seconds-between-status-checks",
    "3",
    "--latency-wait",
    "10",
)


def program(folder: Path) -> Path:
    """Make a program of four exposures in two mosaics."""
    simulate_program(folder, "small", 3, detectors=(("NRCBLONG", "F444W"),), dithers=((0.0, 0.0), (0.61, 0.47)))
    context = next((folder / "crds_cache" / "mappings" / "jwst").glob("*.pmap")).name
    main(["init", str(folder), "--context", context, "--crds-path", str(folder / "crds_cache"), "--crds-server", ""])
    return folder


def wait_for(condition, seconds: float, process: subprocess.Popen) -> None:
    end = time.time() + seconds
    while not condition() and process.poll() is None:
        assert time.time() < end, "nothing happened in time"
        time.sleep(0.3)


def test_a_program_survives_a_cancelled_job_and_a_dead_controller(cluster, tmp_path):
    """Both disturbances cost time only: every product is made, with the bits of an undisturbed local run without scratch.

    What the cancelled job had copied to the node's disk is removed by those that follow it. The folder there is named by a
    variable that only the jobs have.
    """
    undisturbed = program(tmp_path / "local")
    done = snakemake(undisturbed)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name in ("uncal", "crds_cache"):
        (folder / name).symlink_to(undisturbed / name)
    for name in ("config.yaml", "Snakefile"):
        (folder / name).write_text((undisturbed / name).read_text())
    profile = folder / "profiles" / "slurm" / "config.yaml"
    profile.parent.mkdir(parents=True)
    scratch = tmp_path / "node-jwstsm"
    text = (undisturbed / "profiles" / "slurm" / "config.yaml").read_text()
    line = "# scratch: /scratch/$USER"
    assert line in text
    profile.write_text(text.replace(line, f"scratch: {tmp_path}/node-$SLURM_CLUSTER_NAME"))
    environment = {**cluster.env, "PATH": f"{BIN}:{cluster.env['PATH']}"}
    log = tmp_path / "snakemake.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [BIN / "snakemake", *OPTIONS], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            running = ["squeue", "-h", "-t", "RUNNING", "-o", "%A"]
            wait_for(lambda: (folder / "asn" / "index.json").exists(), 120, process)
            wait_for(lambda: any(scratch.glob("*/*/*_uncal.fits")) and cluster.command(*running).strip(), 120, process)
            cancelled = cluster.command(*running).split()[0]
            cluster.command("scancel", cancelled)
            wait_for(lambda: any(folder.glob("stage2/*_cal.fits")), 400, process)
            cluster.kill_controller()
            time.sleep(8)
            cluster.start_controller()
            assert process.wait(600) == 0, log.read_text()[-4000:] + cluster.tail()
        finally:
            process.kill()
    text = log.read_text()
    assert "Trying to restart job" in text, text[-3000:]
    assert science(folder) == science(undisturbed)
    assert not list(folder.rglob("*.part"))
    assert not list(scratch.iterdir())
    logs = [path.read_text() for path in (folder / "logs" / "detector1").glob("*.log")]
    assert logs
    assert all(f"copied to {scratch}" in text for text in logs)
