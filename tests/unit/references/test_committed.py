"""A run that is held to a lock agrees with it, or says in which file it does not."""

from __future__ import annotations

import json

import pytest

import jwstsm
from jwstsm import config
from jwstsm.errors import ConfigError
from jwstsm.references.committed import CommittedLock, differences, lock_content

A, B = "a" * 40, "b" * 40
FLAT = {"file": "flat_1.fits", "path": "/cache/flat_1.fits", "sha1": A}


def exposure(name="x1", dark="dark_1.fits", sha1=A, **more):
    files = {"dark": {"file": dark, "path": f"/cache/{dark}", "sha1": sha1}, "ipc": None, **more}
    return {"exposure": name, "files": files, "problems": []}


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "references.lock.json"
    selections = {name: {"dark": "dark_1.fits", "ipc": None} for name in ("x2", "x1")}
    path.write_text(json.dumps(lock_content("jwst_1.pmap", None, selections, {"dark_1.fits": A})))
    return path


def test_a_run_that_agrees_has_no_differences(lock):
    assert differences(CommittedLock(lock), "jwst_1.pmap", [exposure("x1"), exposure("x2")]) == []


def test_exposures_with_the_same_files_are_told_once(lock):
    content = json.loads(lock.read_text())
    assert [group["exposures"] for group in content["selections"]] == [["x1", "x2"]]


@pytest.mark.parametrize(
    ("context", "contents", "words"),
    [
        ("jwst_2.pmap", [exposure()], ["jwst_2.pmap", "jwst_1.pmap", "crds: context"]),
        ("jwst_1.pmap", [exposure(sha1=B)], ["/cache/dark_1.fits", A, B, "jwstsm refs fetch"]),
        ("jwst_1.pmap", [exposure(dark="dark_2.fits")], ["x1: the dark", "dark_2.fits", "says dark_1.fits"]),
        ("jwst_1.pmap", [exposure("x9")], ["x9: is not in the lock", "jwstsm refs lock"]),
        ("jwst_1.pmap", [exposure(flat=FLAT)], ["the flat reference is flat_1.fits", "says none"]),
    ],
)
def test_each_difference_is_one_line_that_says_what_to_do(lock, context, contents, words):
    found = differences(CommittedLock(lock), context, contents)
    assert len(found) == 1
    for word in [*words, str(lock)]:
        assert word in found[0]


def test_another_version_of_the_package_is_a_difference(lock, monkeypatch):
    monkeypatch.setattr(jwstsm, "__version__", "9.9")
    (found,) = differences(CommittedLock(lock), "jwst_1.pmap", [exposure()])
    assert "this is jwstsm 9.9" in found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"context": "jwst_1.pmap", "files": {}}'])
def test_what_is_no_lock_is_refused(tmp_path, text):
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not a lock"):
        CommittedLock(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        CommittedLock(tmp_path / "absent.json")


def test_the_lock_that_each_run_writes_cannot_be_the_one_it_is_held_to():
    with pytest.raises(ConfigError, match="copy it out"):
        config.check({"crds": {"lock": "references/lock.json"}})
