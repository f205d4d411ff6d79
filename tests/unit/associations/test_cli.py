"""``jwstsm asn`` on the command line."""

from __future__ import annotations

import argparse
import json

import pytest
from astropy.io import fits

from jwstsm.associations import write_pool
from jwstsm.associations.cli import add_parser
from jwstsm.errors import InputError
from tests.unit.associations.rows import pool, row


@pytest.fixture
def asn():
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))

    def run(*words) -> int:
        arguments = parser.parse_args(["asn", *map(str, words)])
        return arguments.function(arguments)

    return run


@pytest.fixture
def pool_file(tmp_path):
    rows = [row("miri", n, obs_num=o) for o in (1, 2) for n in (1, 2)] + [row("coron", 3, obs_num=2)]
    return write_pool(pool(*rows), tmp_path / "pool.csv")


def test_generate_writes_the_files_and_prints_the_table(asn, pool_file, tmp_path, capsys):
    assert asn("generate", pool_file, "-o", tmp_path / "out", "--why") == 0
    text = capsys.readouterr().out
    assert "jw01234-o001_t001_miri_f770w" in text
    assert "no PSF exposure" in text
    assert text.endswith("8 associations of 5 exposures\n")
    assert len(list((tmp_path / "out").glob("*_asn.json"))) == 8


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["-i", "o001"], 3),
        (["--discover"], 1),
        (["--all-candidates"], 7),
        (["--level", 3], 3),
        (["--candidates", "group"], 1),
        (["--merge"], 5),
        (["--version-id", "v1"], 8),
    ],
)
def test_options_choose_what_is_made(asn, pool_file, tmp_path, options, count):
    asn("generate", pool_file, "-o", tmp_path / "out", *options)
    files = list((tmp_path / "out").glob("*_asn.json"))
    assert len(files) == count
    assert all(("_v1_" in file.name) == ("v1" in options) for file in files)


def test_a_dry_run_writes_nothing(asn, pool_file, tmp_path, capsys):
    asn("generate", pool_file, "-o", tmp_path / "out", "-n")
    assert "LEVEL" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_uncal_files_are_grouped_by_their_headers(asn, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the header cache is made here
    (tmp_path / "uncal").mkdir()
    for number in (1, 2):
        header = fits.Header({"PROGRAM": "01234", "OBSERVTN": "001", "EXP_TYPE": "MIR_IMAGE", "INSTRUME": "MIRI",
                              "DETECTOR": "MIRIMAGE", "FILTER": "F770W", "SUBARRAY": "FULL",
                              "TARGNAME": "M33"})  # fmt: skip
        name = f"jw01234001001_02101_0000{number}_mirimage_uncal.fits"
        fits.PrimaryHDU(header=header).writeto(tmp_path / "uncal" / name)
    config = tmp_path / "config.yaml"
    config.write_text("asn:\n  edits:\n    - {drop: '*_00002_mirimage'}\n")
    asn("generate", tmp_path / "uncal", "-o", tmp_path, "--config", config, "--save-pool", tmp_path / "pool.csv")
    assert "2 associations of 2 exposures" in capsys.readouterr().out
    assert (tmp_path / "pool.csv").read_text().count("\n") == 3


def test_list_and_show_print_what_is_in_the_files(asn, pool_file, tmp_path, capsys):
    asn("generate", pool_file, "-o", tmp_path / "out")
    capsys.readouterr()
    asn("list", tmp_path / "out")
    assert len(capsys.readouterr().out.splitlines()) == 9
    asn("show", tmp_path / "out" / "jw01234-o001_image3_00001_asn.json")
    text = capsys.readouterr().out
    assert "in common: program=1234; instrume=miri" in text
    assert text.count("_cal.fits") == 2


def test_from_list_writes_one_association(asn, tmp_path):
    files = ["jw01234_1_cal.fits", "jw01234_2_cal.fits"]
    out = tmp_path / "mine_asn.json"
    asn("from-list", *files, "-o", out, "--product-name", "mine", "--role", "*_2_*=background")
    (product,) = json.loads(out.read_text())["products"]
    assert product["name"] == "mine"
    assert [m["exptype"] for m in product["members"]] == ["science", "background"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "a.csv", "b.csv"], "give one pool file"),
        (["generate", "nowhere.csv"], "no such pool file"),
        (["generate", "."], r"no \*_uncal.fits files"),
        (["generate", "x.fits"], r"x\.fits"),
        (["generate", "a.csv", "--config", "nowhere.yaml"], "no such configuration file"),
        (["list", "."], r"no \*_asn.json files"),
        (["show", "nowhere_asn.json"], "no such association file"),
        (["from-list", "a.fits", "-o", "x.json", "--role", "psf"], "write PATTERN=ROLE"),
    ],
)
def test_wrong_use_is_one_clear_line(asn, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        asn(*words)
