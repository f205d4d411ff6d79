"""The workflow fetches uncal files when it is asked by name, from a program that has none yet, and never otherwise."""

from __future__ import annotations

import json

import pytest

from jwstsm import config
from jwstsm.errors import ConfigError
from tests.unit.archive.mast import Mast, mast_server
from tests.workflow.conftest import planned, snakemake


@pytest.fixture
def mast(simulated):
    files = {p.name: p.read_bytes() for p in (simulated / "uncal").glob("*_uncal.fits")}
    with mast_server(Mast(files)) as served:
        yield served


def test_snakemake_fetch_fills_an_empty_program_which_then_can_be_planned(program, mast, monkeypatch):
    monkeypatch.setenv("MAST_SERVER_URL", mast.url)
    for path in (program / "uncal").iterdir():
        path.unlink()
    path = program / "config.yaml"
    path.write_text(path.read_text().replace("archive: {}", "archive: {proposal: 9001}", 1))
    done = snakemake(program, "--dry-run")
    assert done.returncode != 0
    assert "snakemake fetch" in done.stdout + done.stderr
    assert mast.log == []
    done = snakemake(program, "fetch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {p.name: p.read_bytes() for p in (program / "uncal").glob("*.fits")} == mast.files
    assert set(json.loads((program / "uncal" / "archive.json").read_text())) == set(mast.files)
    assert "fetch" not in planned(program)


def test_without_the_section_nothing_is_fetched(program, mast, monkeypatch):
    monkeypatch.setenv("MAST_SERVER_URL", mast.url)
    assert "fetch" not in planned(program)
    done = snakemake(program, "fetch")
    assert done.returncode != 0
    assert "archive: is empty" in done.stdout + done.stderr
    assert mast.log == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"propsal": 1}, "did you mean 'proposal'"),
        ({"proposal": "x"}, "number of a proposal"),
        ({"proposal": 1, "observations": "1"}, "list of numbers"),
        ([1], "mapping"),
    ],
)
def test_a_wrong_section_is_explained(section, message):
    with pytest.raises(ConfigError, match=message):
        config.check({"archive": section})
