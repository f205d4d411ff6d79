"""Bad input gives one line that names the file, the keyword or the option, and what to do; nothing is left behind."""

from __future__ import annotations

import shutil

import pytest
from astropy.io import fits

from jwstsm import config
from jwstsm.cli import main
from jwstsm.errors import ConfigError
from jwstsm.workflow import Program
from tests.workflow.conftest import snakemake


@pytest.fixture
def uncal(program):
    return next((program / "uncal").glob("*_uncal.fits"))


def run(program, capsys, *words):
    """Run the command line with the program's configuration; return exit code and what it says."""
    capsys.readouterr()
    code = main(["run", *map(str, words), "--output-dir", str(program / "out"), "--config", str(program / "config.yaml")])
    return code, capsys.readouterr().err.strip().splitlines()[-1]


def nothing_left(program):
    return not list((program / "out").glob("*")) if (program / "out").exists() else True


def test_a_truncated_file(program, uncal, capsys):
    uncal.write_bytes(uncal.read_bytes()[:-20000])
    code, line = run(program, capsys, "detector1", uncal)
    assert code == 1
    assert uncal.name in line
    assert "truncated" in line
    assert "download" in line
    assert nothing_left(program)


def test_a_file_that_is_not_fits(program, uncal, capsys):
    uncal.write_text("<html>404</html>")
    code, line = run(program, capsys, "detector1", uncal)
    assert code == 1
    assert uncal.name in line


@pytest.mark.parametrize("keyword", ["EXP_TYPE", "NFRAMES", "TFRAME", "FASTAXIS"])
def test_a_missing_keyword(program, uncal, capsys, keyword):
    with fits.open(uncal, mode="update") as hdus:
        del hdus[0].header[keyword]
    code, line = run(program, capsys, "detector1", uncal)
    assert code == 1
    assert keyword in line
    assert uncal.name in line
    assert nothing_left(program)


def test_an_unknown_exposure_type(program, uncal, capsys):
    fits.setval(uncal, "EXP_TYPE", value="NRC_PARTY")
    code, line = run(program, capsys, "detector1", uncal)
    assert code == 1
    assert "NRC_PARTY" in line


def test_a_misspelt_option_names_the_nearest(program, uncal, capsys):
    code, line = run(program, capsys, "detector1", uncal, "--jump.rejection_treshold", "5")
    assert code == 1
    assert "did you mean 'rejection_threshold'" in line


def test_an_out_of_range_value(program, uncal, capsys):
    code, line = run(program, capsys, "detector1", uncal, "--jump.rejection_threshold", "-1")
    assert code == 1
    assert "at least 0" in line


def test_the_selection_of_a_program_serves_a_single_run_of_its_own_exposure_only(program, uncal, capsys):
    """What ``snakemake`` has selected is taken as it is; that of another exposure, or no such file, is refused."""
    assert snakemake(program, "references/lock.json").returncode == 0
    lock = next((program / "references").glob("*_detector1.json"))
    code, line = run(program, capsys, "detector1", uncal, "--lock", lock)
    assert code == 0, line
    other = lock.with_name("other.json")
    other.write_text(lock.read_text().replace(uncal.name[:20], "jw00001001001_02101_"))
    code, line = run(program, capsys, "detector1", uncal, "--lock", other)
    assert code == 1
    assert "not of" in line
    code, line = run(program, capsys, "detector1", uncal, "--lock", program / "references" / "lock.json")
    assert code == 1
    assert "is no file of references" in line


def test_an_absent_reference_file(program, uncal, capsys, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(next(iter(config_cache(program))), cache)
    for gone in (cache / "references" / "jwst" / "nircam").glob("*dark*"):
        gone.unlink()
    text = (program / "config.yaml").read_text()
    (program / "config.yaml").write_text(text.replace(str(next(iter(config_cache(program)))), str(cache)))
    code, line = run(program, capsys, "detector1", uncal)
    assert code == 1
    assert "dark" in line
    assert "not in the cache" in line


def config_cache(program):
    """Yield the CRDS cache that a program's configuration names."""
    yield config.load(program / "config.yaml")["crds"]["path"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"uncall": "x"}, "did you mean 'uncal'"),
        ({"steps": {"jmp": {}}}, "did you mean 'jump'"),
        ({"steps": {"jump": {"rejection_threshold": "high"}}}, "a number"),
        ({"steps": {"ramp_fit": {"algorithm": "OLS"}}}, "OLS_C"),
        ({"steps": {"jump": {"override_dark": "x.fits"}}}, "gain"),
        ({"overrides": [{"match": {}, "steps": {}}]}, "match"),
        ({"stages": [4]}, "1, 2 and 3"),
        ({"preset": "finest"}, "official"),
        ({"crds": {"contxt": "x"}}, "did you mean 'context'"),
    ],
)
def test_a_wrong_configuration_is_explained(content, message):
    with pytest.raises(ConfigError, match=message):
        config.check(content)


def test_no_uncal_files_say_where_they_were_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"uncal/\*_uncal.fits"):
        Program({})


def test_one_damaged_header_does_not_stop_the_others(program, uncal, monkeypatch):
    (program / "uncal" / "jw99999001001_02101_00001_nrcb1_uncal.fits").write_text("not FITS")
    monkeypatch.chdir(program)
    found = Program(config.load("config.yaml"))
    assert len(found.exposures) == 2
    assert [e.name for e in found.exposures.values() if e.error] == ["jw99999001001_02101_00001_nrcb1"]
    assert any("jw99999001001" in note for note in found.notes())


def test_a_lost_selection_of_references_is_made_again(program):
    """Who deletes the references of one exposure gets them selected again, not an error about a missing input."""
    assert snakemake(program, "references/lock.json").returncode == 0
    lock, *_ = (program / "references").glob("jw*.json")
    lock.unlink()
    done = snakemake(program, "stage1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert lock.exists()
