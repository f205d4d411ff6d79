"""Jobs that work on copies on a scratch disk make the same products and leave nothing there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from jwstsm.products.provenance import content_sha1
from tests.workflow.conftest import planned, snakemake


def made(folder: Path) -> dict[str, str]:
    """Return the checksums of everything that a run has made, without the dates of writing."""
    files = [path for stage in folder.glob("stage*") for path in stage.iterdir()] + list(folder.glob("report/data/*.json"))
    return {str(path.relative_to(folder)): content_sha1(path) for path in files}


def test_a_program_on_scratch_has_the_bytes_of_one_without(program, tmp_path, monkeypatch):
    """Every product, sidecar, catalog and their provenance; to change between the two redoes nothing."""
    other = tmp_path / "other"
    shutil.copytree(program, other)
    done = snakemake(program)
    assert done.returncode == 0, done.stderr[-3000:]
    scratch = tmp_path / "scratch"
    left = scratch / "jwstsm-job-killed" / "0" / "x_uncal.fits"
    left.parent.mkdir(parents=True)
    left.touch()
    monkeypatch.setenv("NODE_DISK", str(scratch))
    option = ("--default-resources", "scratch=$NODE_DISK")
    done = snakemake(other, *option)
    assert done.returncode == 0, done.stderr[-3000:]
    assert made(other) == made(program)
    assert os.listdir(scratch) == []
    for rule in ("detector1", "image2", "outlier_detection", "resample", "source_catalog"):
        (log,) = (other / "logs" / rule).glob("*.log")
        assert f"copied to {scratch}" in log.read_text(), rule
    assert planned(program, *option) == {}
    assert planned(other) == {}
