"""Fetching from the archive: complete listings, downloads that go on after interruptions, nothing half or wrong kept."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.archive.cli import fetch_program
from jwstsm.archive.download import download_all
from jwstsm.archive.listing import choose, list_uncal
from jwstsm.archive.web import Web
from jwstsm.cli import main
from jwstsm.errors import InputError
from tests.unit.archive.mast import Mast, mast_server

NAMES = [f"jw01234{obs:03d}001_02101_{n:05d}_nrc{d}_uncal.fits" for obs in (1, 2) for n in (1, 2) for d in ("b1", "blong")]


def content(seed: int) -> bytes:
    """Return a FITS file of a few hundred kB."""
    path = io_bytes()
    data = np.random.default_rng(seed).integers(0, 60000, (300, 300), np.int32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")]).writeto(path)
    return path.getvalue()


def io_bytes():
    import io

    return io.BytesIO()


@pytest.fixture
def mast():
    files = {name: content(i) for i, name in enumerate(NAMES)}
    files["jw09999001001_02101_00001_nrcb1_uncal.fits"] = content(99)
    with mast_server(Mast(files)) as served:
        yield served


@pytest.fixture
def web(mast):
    return Web(mast.url, token="", attempts=3, delay_s=0.0, timeout_s=5)


def sums(folder):
    return {p.name: hashlib.sha1(p.read_bytes()).hexdigest() for p in folder.glob("*.fits")}


def right(mast, names):
    return {name: hashlib.sha1(mast.files[name]).hexdigest() for name in names}


def leftovers(folder):
    return [p.name for p in folder.iterdir() if ".part" in p.name]


def fetch(web, folder, **options):
    return {r.file.name: r.status for r in download_all(web, list_uncal(web, 1234), folder, **options)}


def test_the_listing_has_every_uncal_file_of_the_proposal_over_all_pages_and_nothing_else(mast, web):
    mast.busy = 2
    found = list_uncal(web, 1234)
    assert [file.name for file in found] == sorted(NAMES)
    assert all(file.size == len(mast.files[file.name]) for file in found)


def test_observations_and_patterns_choose(web):
    found = list_uncal(web, 1234)
    assert {file.observation for file in choose(found, [2])} == {2}
    assert len(choose(found, [2], ["*nrcb1*"])) == 2
    assert choose(found, [3]) == []


def test_an_unknown_proposal_is_an_error(web):
    with pytest.raises(InputError, match="no JWST observations of proposal 77"):
        list_uncal(web, 77)


def test_everything_is_fetched_with_a_manifest_and_only_once(mast, web, tmp_path):
    assert set(fetch(web, tmp_path).values()) == {"fetched"}
    assert sums(tmp_path) == right(mast, NAMES)
    manifest = json.loads((tmp_path / "archive.json").read_text())
    assert {name: row["sha1"] for name, row in manifest.items()} == right(mast, NAMES)
    mast.log.clear()
    assert set(fetch(web, tmp_path).values()) == {"there"}
    assert mast.log == []
    assert leftovers(tmp_path) == []


def test_an_interrupted_download_goes_on_where_it_ended(mast, web, tmp_path):
    name = NAMES[0]
    mast.cut = {name: [100_000, 50_000, 0, 120_000]}
    assert fetch(web, tmp_path, jobs=1)[name] == "fetched"
    assert sums(tmp_path) == right(mast, NAMES)
    asked = [r for n, r in mast.log if n == name]
    assert asked == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-", "bytes=270000-"]
    assert leftovers(tmp_path) == []


def test_a_later_call_goes_on_after_a_failure_that_lasted(mast, web, tmp_path):
    name = NAMES[0]
    mast.cut = {name: [100_000, 0, 0, 0]}
    files = [file for file in list_uncal(web, 1234) if file.name == name]
    (result,) = download_all(web, files, tmp_path)
    assert result.status == "failed"
    assert "100000 of" in result.reason
    assert not (tmp_path / name).exists()
    mast.log.clear()
    (result,) = download_all(web, files, tmp_path)
    assert result.status == "fetched"
    assert mast.log == [(name, "bytes=100000-")]
    assert sums(tmp_path) == right(mast, [name])


def test_a_file_that_has_changed_in_the_archive_is_not_glued_to_the_old_part(mast, web, tmp_path):
    name = NAMES[0]
    mast.cut = {name: [100_000, 0, 0, 0]}
    files = [file for file in list_uncal(web, 1234) if file.name == name]
    download_all(web, files, tmp_path)
    mast.files[name] = content(1000)
    (result,) = download_all(web, files, tmp_path)
    assert result.status == "fetched"
    assert sums(tmp_path) == right(mast, [name])


def test_a_server_without_ranges_is_asked_for_the_whole_again(mast, web, tmp_path):
    mast.ranges = False
    mast.cut = {NAMES[0]: [100_000]}
    assert fetch(web, tmp_path)[NAMES[0]] == "fetched"
    assert sums(tmp_path) == right(mast, NAMES)


def test_a_wrong_size_is_refused_and_nothing_of_it_kept(mast, web, tmp_path):
    name = NAMES[3]
    mast.listed = {name: len(mast.files[name]) + 2880}
    found = {r.file.name: r for r in download_all(web, list_uncal(web, 1234), tmp_path)}
    assert found[name].status == "failed"
    assert f"{len(mast.files[name])} bytes came, but the archive lists {len(mast.files[name]) + 2880}" in found[name].reason
    assert sums(tmp_path) == right(mast, set(NAMES) - {name})
    assert leftovers(tmp_path) == []
    assert name not in json.loads((tmp_path / "archive.json").read_text())


def test_a_page_of_words_of_the_right_size_is_refused(mast, web, tmp_path):
    mast.files[NAMES[0]] = b"<html>down for maintenance</html>" * 1000
    found = {r.file.name: r for r in download_all(web, list_uncal(web, 1234), tmp_path)}
    assert "is not FITS" in found[NAMES[0]].reason or "is not a FITS file" in found[NAMES[0]].reason
    assert not (tmp_path / NAMES[0]).exists()
    assert leftovers(tmp_path) == []


def test_a_server_in_trouble_is_asked_again_but_not_for_ever(mast, web, tmp_path):
    mast.refuse = {NAMES[0]: [503, 500], NAMES[1]: [503] * 9, NAMES[2]: [404]}
    found = {r.file.name: r for r in download_all(web, list_uncal(web, 1234), tmp_path, jobs=1)}
    assert found[NAMES[0]].status == "fetched"
    assert "HTTP 503" in found[NAMES[1]].reason
    assert "3 times" in found[NAMES[1]].reason
    assert "HTTP 404" in found[NAMES[2]].reason
    assert sum(n == NAMES[2] for n, _ in mast.log) == 1


def test_data_that_are_not_public_need_a_token(mast, web, tmp_path):
    mast.closed = {NAMES[0]}
    found = {r.file.name: r for r in download_all(web, list_uncal(web, 1234), tmp_path)}
    assert "MAST_API_TOKEN" in found[NAMES[0]].reason
    assert fetch(Web(mast.url, token="secret", delay_s=0.0), tmp_path)[NAMES[0]] == "fetched"


def test_no_server_is_one_line(tmp_path):
    with pytest.raises(InputError, match="refused"):
        list_uncal(Web("http://127.0.0.1:9", token="", attempts=2, delay_s=0.0), 1234)


def test_check_finds_what_has_changed_on_disk(mast, web, tmp_path):
    fetch(web, tmp_path)
    path = tmp_path / NAMES[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert fetch(web, tmp_path)[NAMES[0]] == "there"
    assert fetch(web, tmp_path, check=True)[NAMES[0]] == "fetched"
    assert sums(tmp_path) == right(mast, NAMES)


def test_a_full_disk_is_said_before_anything_is_fetched(mast, web, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match="room for"):
        fetch(web, tmp_path)
    assert mast.log == []


def test_the_command_lists_and_fetches(mast, tmp_path, capsys):
    words = ["fetch", "1234", "--obs", "2", "--match", "*nrcb1*", "--folder", str(tmp_path), "--server", mast.url]
    assert main([*words, "--list"]) == 0
    assert "2 uncal files of proposal 1234" in capsys.readouterr().out
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 of 2: jw01234002001_" in said
    assert "2 files fetched" in said
    assert sums(tmp_path) == right(mast, [n for n in NAMES if n.startswith("jw01234002") and "nrcb1_" in n])


def test_the_workflow_fetches_what_the_configuration_asks_for_or_says_what_is_missing(mast, tmp_path):
    settings = {"proposal": 1234, "observations": [1], "match": [], "folder": str(tmp_path)}
    mast.refuse = {NAMES[0]: [404]}
    with pytest.raises(InputError, match="not everything could be fetched") as error:
        fetch_program(settings, mast.url)
    assert NAMES[0] in str(error.value) or "HTTP 404" in str(error.value)
    fetch_program(settings, mast.url)
    assert sums(tmp_path) == right(mast, NAMES[:4])
