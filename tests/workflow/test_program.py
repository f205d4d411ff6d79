"""A small program through real Snakemake: all is made, an edit redoes exactly its rules, a kill loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest
from astropy.io import fits

from jwstsm.cli import main
from tests.workflow.conftest import BIN, planned, science, snakemake

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

AFTER_RATE = {
    "image2",
    "tweakreg",
    "skymatch",
    "outlier_median",
    "outlier_detection",
    "resample",
}
AFTER_RATE |= {"source_catalog", "describe_mosaic", "report", "program"}
AFTER_MOSAIC = {"source_catalog", "describe_mosaic", "report", "program"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A program of two visits and two detectors, run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    main(["demo", str(folder), "--preset", "small"])
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def edited(folder, old, new):
    """Return what a dry run would redo after an edit of the configuration, which is taken back."""
    config = folder / "config.yaml"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    try:
        return set(planned(folder))
    finally:
        config.write_text(text)


def test_every_product_is_there(finished):
    names = sorted(p.name for p in (finished / "stage3").iterdir())
    assert sum(n.endswith("_i2d.fits") for n in names) == 4
    assert sum(n.endswith("_cat.ecsv") for n in names) == 4
    assert sum(n.endswith("_crf.fits") for n in names) == 12
    assert not [n for n in names if n.endswith(".part") or "median" in n]
    page = (finished / "report" / "index.html").read_text()
    assert page.count("data:image/webp") == 16
    lock = json.loads((finished / "references" / "lock.json").read_text())
    assert any("dark" in name for name in lock["files"])
    assert planned(finished) == {}


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ("    # rejection_threshold: 4.0 ", "    rejection_threshold: 5.0 ", {"detector1"} | AFTER_RATE),
        ("    # pixfrac: 1.0 ", "    pixfrac: 0.8 ", None),
        (
            "overrides: []",
            "overrides: [{match: {pipeline: image3}, steps: {resample: {pixfrac: 0.8}}}]",
            {"resample"} | AFTER_MOSAIC,
        ),
        ("  source_catalog:\n    # skip: false", "  source_catalog:\n    snr_threshold: 5", AFTER_MOSAIC),
        (
            "  skymatch:\n    # skip: false",
            "  skymatch:\n    skymethod: local",
            {"skymatch", "outlier_median", "outlier_detection", "resample"} | AFTER_MOSAIC,
        ),
        ("# Associations: your", "# Associations, your", set()),
    ],
)
def test_an_edit_redoes_exactly_what_depends_on_it(finished, old, new, rules):
    if rules is None:  # resample without a pipeline is that of stage 2 or 3: both are redone
        assert {"image2", "resample"} <= edited(finished, old, new)
    else:
        assert edited(finished, old, new) == rules


def test_an_override_touches_only_the_matching_exposures(finished):
    config = finished / "config.yaml"
    text = config.read_text()
    config.write_text(
        text.replace("overrides: []", "overrides: [{match: {FILTER: F444W}, steps: {jump: {rejection_threshold: 5}}}]")
    )
    try:
        assert planned(finished)["detector1"] == 4
    finally:
        config.write_text(text)


def test_another_version_of_the_code_makes_everything_again(finished, tmp_path, monkeypatch):
    """The first jobs are the selections of references and associations, on which the others wait; then all of them."""
    (tmp_path / "sitecustomize.py").write_text("import jwstsm\n\njwstsm.__version__ = '99.0'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert planned(finished).keys() >= {"references", "associations", "report"}
    done = snakemake(finished, "references/lock.json", "asn/index.json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert planned(finished).keys() == {"detector1", "outlier_detection"} | AFTER_RATE
    monkeypatch.delenv("PYTHONPATH")
    done = snakemake(finished, "references/lock.json", "asn/index.json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert planned(finished) == {}


def test_a_changed_exposure_redoes_only_what_it_is_part_of(finished):
    """Who delivers an uncal file again gets its own products and mosaics again; other exposures are left alone."""
    uncal = sorted((finished / "uncal").glob("*_nrcblong_uncal.fits"))[0]
    before = {p: p.stat().st_mtime_ns for p in finished.glob("stage[12]/*.fits")}
    with fits.open(uncal, mode="update") as hdus:
        hdus["SCI"].data[..., 80, 80] += 5
    done = snakemake(finished)
    assert done.returncode == 0, done.stderr[-3000:]
    name = uncal.name.removesuffix("_uncal.fits")
    again = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert again == {f"{name}_{suffix}.fits" for suffix in ("rate", "rateints", "cal")} | {f"{name}_i2d.fits"}
    assert planned(finished) == {}


def test_a_killed_run_resumes_and_ends_with_the_same_bits(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    for name in ("uncal", "crds_cache"):
        (folder / name).symlink_to(finished / name)
    for name in ("config.yaml", "Snakefile"):
        (folder / name).write_text((finished / name).read_text())
    (folder / "profiles").symlink_to(finished / "profiles")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [BIN / "snakemake", "--cores", "2"]
    for _ in range(3):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        before = len(list(folder.glob("stage*/*")))
        deadline = time.time() + 120
        while len(list(folder.glob("stage*/*"))) < before + 3 and process.poll() is None and time.time() < deadline:
            time.sleep(0.2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert science(folder) == science(finished)
    assert not list(folder.rglob("*.part"))


def test_a_damaged_exposure_fails_alone(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "crds_cache").symlink_to(finished / "crds_cache")
    (folder / "Snakefile").write_text((finished / "Snakefile").read_text())
    (folder / "config.yaml").write_text((finished / "config.yaml").read_text().replace("stages: [1, 2, 3]", "stages: [1]"))
    (folder / "uncal").mkdir()
    files = sorted((finished / "uncal").glob("*_uncal.fits"))[:2]
    for file in files:
        (folder / "uncal" / file.name).write_bytes(file.read_bytes())
    bad = folder / "uncal" / files[0].name
    bad.write_bytes(bad.read_bytes()[:-30000])
    done = snakemake(folder, "--keep-going", "stage1")
    assert done.returncode != 0
    assert "truncated" in done.stderr
    assert len(list((folder / "stage1").glob("*_rate.fits"))) == 1
