"""Products say what they were made of, and ``info --verify`` finds what has changed since."""

from __future__ import annotations

import hashlib
import re

import pytest
from astropy.io import fits

from jwstsm.cli import main
from jwstsm.errors import InputError
from jwstsm.products import read, write
from jwstsm.products.provenance import Inputs, content_sha1, describe_run
from jwstsm.references.used import used_references
from jwstsm.verify import read_runs, verify_product
from tests.builders import make_slope


def sha1(path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def test_the_checksum_leaves_out_the_date_of_writing_and_nothing_else(tmp_path):
    path = write(make_slope(4, 6, value=2.5), tmp_path / "a_rate.fits")
    first = content_sha1(path)
    fits.setval(path, "DATE", value="2031-01-01T00:00:00.000")
    assert content_sha1(path) == first
    fits.setval(path, "DATE-OBS", value="2031-01-01")
    assert content_sha1(path) != first


def test_a_changed_pixel_changes_the_checksum(tmp_path):
    path = write(make_slope(4, 6, value=2.5), tmp_path / "a_rate.fits")
    first = content_sha1(path)
    with fits.open(path, mode="update") as hdus:
        hdus["SCI"].data[2, 3] = 2.5000002
    assert content_sha1(path) != first


def test_the_checksum_of_another_file_is_the_ordinary_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"{}" * 5000)
    assert content_sha1(path) == sha1(path)


@pytest.fixture
def made(tmp_path):
    """A rate image made of an uncal file with one reference, and a calibrated image made of it."""
    for folder in ("uncal", "stage1", "stage2", "crds/references/jwst/nircam"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("crds: {context: jwst_0001.pmap, path: crds}\n")
    uncal = tmp_path / "uncal" / "x_uncal.fits"
    uncal.write_bytes(b"as it came" * 1000)
    dark = tmp_path / "crds/references/jwst/nircam/dark_1.fits"
    dark.write_bytes(b"dark")
    rate = make_slope(4, 6, value=1.0)
    rate.runs = [_run("detector1", uncal, {"dark": {"file": dark.name, "sha1": sha1(dark)}})]
    path = write(rate, tmp_path / "stage1" / "x_rate.fits")
    cal = read(path)
    cal.runs = [*cal.runs, _run("image2", path, {})]
    write(cal, tmp_path / "stage2" / "x_cal.fits", "cal")
    return tmp_path


def _run(pipeline, source, references):
    return describe_run(pipeline, "official", "jwst_0001.pmap", Inputs([source]).sums(), references)


def states(path, *folders):
    return {f.file: f.state for f in verify_product(path, folders)}


def test_a_product_matches_what_it_was_made_of(made, capsys):
    cal = made / "stage2" / "x_cal.fits"
    assert states(cal) == {"x_uncal.fits": "same", "dark_1.fits": "same", "x_rate.fits": "same"}
    assert main(["info", str(cal), "--verify"]) == 0
    assert "matches the 3 files" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["uncal/x_uncal.fits", "crds/references/jwst/nircam/dark_1.fits", "stage1/x_rate.fits"])
def test_a_changed_or_missing_file_is_named(made, capsys, name):
    cal = made / "stage2" / "x_cal.fits"
    file = made / name
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert states(cal)[file.name] == "changed"
    assert main(["info", str(cal), "--verify"]) == 1
    said = capsys.readouterr().out
    assert re.search(rf"^  changed +{'dark' if 'dark' in name else 'input'} +{file.name}", said, re.M)
    assert "1 changed of" in said
    file.unlink()
    assert states(cal)[file.name] == "missing"
    assert main(["info", str(cal), "--verify"]) == 1


def test_a_file_is_looked_for_where_one_says(made, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    uncal = made / "uncal" / "x_uncal.fits"
    uncal.rename(elsewhere / uncal.name)
    cal = made / "stage2" / "x_cal.fits"
    assert states(cal)["x_uncal.fits"] == "missing"
    assert states(cal, elsewhere)["x_uncal.fits"] == "same"


def test_a_product_without_a_record_says_so(tmp_path):
    path = write(make_slope(4, 6), tmp_path / "a_rate.fits")
    assert read_runs(path) == []
    with pytest.raises(InputError, match="no record"):
        verify_product(path)


def test_the_record_names_what_the_steps_used_with_the_checksums_of_the_lock(tmp_path):
    own = tmp_path / "mine.fits"
    own.write_bytes(b"mine")
    records = [
        {"name": "dark_current", "references": {"dark": "crds://d.fits"}, "parameters": {}},
        {"name": "flat_field", "references": {"flat": "crds://mine.fits"}, "parameters": {"override_flat": str(own)}},
        {"name": "ipc", "references": {"ipc": "N/A"}},
    ]
    locked = {
        "dark": {"file": "d.fits", "sha1": "1"},
        "flat": {"file": "f.fits", "sha1": "2"},
        "pars-jumpstep": {"file": "p.asdf", "sha1": "3"},
        "pars-photomstep": {"file": "q.asdf", "sha1": "4"},
    }
    used = used_references(records, {"dark": "d", "flat": "f", "ipc": None}, locked, "detector1")
    assert used == {
        "dark": {"file": "d.fits", "sha1": "1"},
        "flat": {"file": "mine.fits", "sha1": sha1(own)},
        "pars-jumpstep": {"file": "p.asdf", "sha1": "3"},
    }
