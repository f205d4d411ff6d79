"""One exposure that fails does not take the others with it, and the page says so until it is mended."""

from __future__ import annotations

import json
import shutil

import pytest

from jwstsm import config
from jwstsm.cli import main
from tests.workflow.conftest import snakemake


def test_the_report_shows_what_is_there_and_what_failed(program):
    """With --keep-going the good exposure is calibrated and reported; once the bad one is mended the page is whole."""
    good = next((program / "uncal").glob("*_uncal.fits"))
    bad = good.with_name(good.name.replace("_00001_", "_00002_"))
    bad.write_bytes(good.read_bytes()[:-20000])
    done = snakemake(program, "--keep-going")
    page = program / "report" / "index.html"
    text = page.read_text()
    assert done.returncode == 1
    assert f"report of what is done: {page}" in done.stderr
    assert (program / "stage2" / good.name.replace("_uncal", "_cal")).exists()
    assert "the run did not finish" in text
    assert f"detector1 {bad.name.removesuffix('_uncal.fits')} failed" in text
    assert good.name.replace("_uncal", "_cal") in text
    assert bad.name.replace("_uncal", "_cal") not in text

    shutil.copy(good, bad)
    done = snakemake(program)
    assert done.returncode == 0, done.stderr[-3000:]
    text = page.read_text()
    assert "the run did not finish" not in text
    assert bad.name.replace("_uncal", "_cal") in text


def test_an_exposure_whose_references_cannot_be_selected_fails_alone(program):
    """A file that is no FITS has no references; the good exposure goes on, and a good file in its place is taken."""
    good = next((program / "uncal").glob("*_uncal.fits"))
    bad = good.with_name(good.name.replace("_00001_", "_00002_"))
    bad.write_text("<html>404</html>")
    done = snakemake(program, "stage1", "--keep-going")
    assert done.returncode == 1
    assert (program / "stage1" / good.name.replace("_uncal", "_rate")).exists()
    assert f"detector1 {bad.name.removesuffix('_uncal.fits')}: {bad.name}: " in done.stderr
    assert bad.name in (program / "references" / "problems.txt").read_text()
    assert "--keep-going makes" not in done.stderr, "what is advised has been done"
    shutil.copy(good, bad)
    done = snakemake(program, "stage1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (program / "stage1" / bad.name.replace("_uncal", "_rate")).exists()
    assert not (program / "references" / "problems.txt").exists()


@pytest.mark.parametrize("options", [(), ("--keep-going",)])
def test_a_reference_that_arrives_later_is_taken(program, tmp_path, options):
    """Whether the run went on without it or not, the next run selects again; nothing has to be deleted by hand."""
    text = (program / "config.yaml").read_text()
    path = config.load(program / "config.yaml")["crds"]["path"]
    shutil.copytree(path, tmp_path / "cache")
    (program / "config.yaml").write_text(text.replace(path, str(tmp_path / "cache")))
    gain = next((tmp_path / "cache").rglob("*_gain_*.fits"))
    gain.rename(tmp_path / gain.name)
    done = snakemake(program, "stage1", *options)
    assert done.returncode == 1
    assert f"reference gain {gain.name} is not in the cache" in done.stderr
    (tmp_path / gain.name).rename(gain)
    done = snakemake(program, "references/lock.json")
    assert done.returncode == 0, done.stderr[-3000:]
    locks = [json.loads(file.read_text()) for file in (program / "references").glob("jw*.json")]
    assert locks
    assert not any(one["problems"] for one in locks)


def test_a_key_that_is_there_twice_is_an_error(program, capsys):
    """YAML takes the last and forgets what was set at the first: the user's parameters, without a word."""
    text = (program / "config.yaml").read_text()
    (program / "config.yaml").write_text(text.replace("\nsteps:\n", "\nsteps:\n  jump: {rejection_threshold: 5}\n", 1))
    done = snakemake(program, "--dry-run")
    assert done.returncode == 1
    assert "config.yaml: 'jump' is there twice, in lines" in done.stdout + done.stderr
    uncal = next((program / "uncal").glob("*_uncal.fits"))
    assert main(["run", "detector1", str(uncal), "--config", str(program / "config.yaml")]) == 1
    assert "'jump' is there twice" in capsys.readouterr().err
