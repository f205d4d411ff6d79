"""``jwstsm refs``: what a program needs, fetching it, locking it, and holding a run to the lock."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from astropy.io import fits

from jwstsm import config
from jwstsm.cli import main
from jwstsm.references.lock import lock_program
from jwstsm.workflow import Program
from tests.workflow.conftest import planned, snakemake
from tests.workflow.crds_server import crds_server

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def own(program, tmp_path):
    """A program with a CRDS cache of its own, which a test may damage."""
    cache = tmp_path / "cache"
    old = config.load(program / "config.yaml")["crds"]["path"]
    shutil.copytree(old, cache)
    edit(program, f"path: {old}", f"path: {cache}")
    return program, cache


def edit(program, old, new):
    path = program / "config.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def reference(cache, kind):
    return next((cache / "references" / "jwst").rglob(f"jwst_nircam_{kind}_*"))


def refs(program, capsys, *words):
    """Run ``jwstsm refs`` in this process; return exit code, what it says, and its complaints."""
    capsys.readouterr()
    code = main(["refs", *map(str, words), "--program", str(program)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_list_says_what_is_needed_and_what_the_cache_lacks(own, capsys):
    program, cache = own
    code, text, _ = refs(program, capsys, "list")
    assert code == 0
    assert re.search(r"^dark +jwst_nircam_dark_0001.fits .* there +1$", text, re.M)
    assert "0 of them missing" in text
    reference(cache, "dark").unlink()
    code, text, _ = refs(program, capsys, "list", "--exposures")
    assert re.search(r"^dark +jwst_nircam_dark_0001.fits +missing +1 +jw09001\S+nrcblong$", text, re.M)
    assert "1 of them missing" in text


def test_list_works_on_a_folder_of_exposures_and_writes_nothing_into_it(own, capsys):
    program, cache = own
    words = ("--context", "jwst_9001.pmap", "--crds-path", cache)
    code, text, _ = refs(program / "uncal", capsys, "list", *words)
    assert code == 0
    assert "for 1 exposure under jwst_9001.pmap" in text
    assert not [p for p in (program / "uncal").iterdir() if not p.name.endswith("_uncal.fits")]


def run_refs(program, *words, **environment):
    """Run ``jwstsm refs`` in a process of its own: the crds package keeps the server it has first seen."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CRDS_")}
    return subprocess.run(
        [sys.executable, "-m", "jwstsm.cli", "refs", *words, "--program", program],
        env={**clean, "CRDS_CLIENT_RETRY_DELAY_SECONDS": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_fetch_fills_the_cache_and_says_what_could_not_be_had(own, simulated):
    program, cache = own
    with crds_server(simulated / "crds_cache") as server:
        edit(program, 'server: ""', f"server: {server.url}")
        wanted = [reference(cache, kind) for kind in ("dark", "gain", "flat")]
        content = {path: path.read_bytes() for path in wanted}
        for path in wanted:
            path.unlink()
        server.gone, server.damaged = {wanted[1].name}, {wanted[2].name}
        done = run_refs(program, "fetch")
        assert done.returncode == 1
        assert "fetched 1 of 3 missing files" in done.stdout
        assert re.search(rf"{wanted[1].name} cannot be fetched: .*404", done.stderr)
        assert re.search(rf"{wanted[2].name} cannot be fetched: .*sha1sum", done.stderr)
        assert [path.exists() for path in wanted] == [True, False, False]
        server.gone, server.damaged = set(), set()
        done = run_refs(program, "fetch")
        assert done.returncode == 0, done.stderr
        assert {path: path.read_bytes() for path in wanted} == content
        server.asked.clear()
        assert run_refs(program, "fetch").returncode == 0
        assert server.asked == []


def test_fetch_without_a_server_that_answers_says_so_in_a_line(own):
    program, cache = own
    edit(program, 'server: ""', "server: http://127.0.0.1:9")
    reference(cache, "dark").unlink()
    done = run_refs(program, "fetch")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"dark_0001.fits cannot be fetched: .*127.0.0.1:9.*refused", done.stderr)


def flip(path):
    """Change one bit of a file and nothing else, not even its size."""
    before = hashlib.sha1(path.read_bytes()).hexdigest()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return before, hashlib.sha1(data).hexdigest()


def test_verify_names_a_changed_file_with_both_checksums(own, capsys):
    program, cache = own
    assert refs(program, capsys, "lock")[0] == 0
    code, text, _ = refs(program, capsys, "verify")
    assert code == 0
    assert "are as references.lock.json says" in text
    dark = reference(cache, "dark")
    before, after = flip(dark)
    code, _, complaint = refs(program, capsys, "verify")
    assert code == 1
    for word in (str(dark), before, after, "refs fetch"):
        assert word in complaint


def test_a_lock_is_not_written_when_files_are_missing(own, capsys):
    program, cache = own
    reference(cache, "dark").unlink()
    code, _, complaint = refs(program, capsys, "lock")
    assert code == 1
    assert "dark_0001.fits is not in the cache" in complaint
    assert not (program / "references.lock.json").exists()


def test_the_lock_of_a_run_is_that_of_the_command(own, capsys, monkeypatch):
    program, _ = own
    assert refs(program, capsys, "lock")[0] == 0
    monkeypatch.chdir(program)
    found = Program(config.load("config.yaml"))
    (program / "references").mkdir(exist_ok=True)
    lock_program(found.uncal_files(), found.config["crds"], found.all_reference_types(), "references/lock.json")
    assert json.loads((program / "references" / "lock.json").read_text()) == json.loads(
        (program / "references.lock.json").read_text()
    )


def test_a_run_is_held_to_the_committed_lock(own, capsys):
    """Unchanged, it runs; with one reference changed it stops before anything is computed; without the lock it runs."""
    program, cache = own
    assert refs(program, capsys, "lock")[0] == 0
    edit(program, "  # lock: references.lock.json", "  lock: references.lock.json")
    done = snakemake(program, "references/lock.json")
    assert done.returncode == 0, done.stdout + done.stderr
    flat = reference(cache, "flat")
    before, after = flip(flat)
    done = snakemake(program, "references/lock.json", "--forcerun", "references")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    for word in (str(flat), before, after, "references.lock.json", "refs fetch"):
        assert word in said
    assert not (program / "stage1").exists()
    edit(program, "  lock: references.lock.json", "  # lock: references.lock.json")
    assert snakemake(program, "references/lock.json").returncode == 0


def test_a_lock_that_is_not_there_is_an_error_that_says_how_to_make_it(program):
    edit(program, "  # lock: references.lock.json", "  lock: references.lock.json")
    done = snakemake(program, "--dry-run")
    assert done.returncode != 0
    assert "references.lock.json does not exist; make it with 'jwstsm refs lock'" in done.stdout + done.stderr


def derive(folder, name, changes, number=9002):
    """Write a copy of a CRDS mapping with some words replaced, another number and its checksum right."""
    text = (folder / name).read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r"    'sha1sum' : .*\n", "", text)
    checksum = hashlib.sha1(text.encode()).hexdigest()
    head, rest = text.split("\n}\n", 1)
    (folder / name.replace("_9001", f"_{number}")).write_text(f"{head}\n    'sha1sum' : '{checksum}',\n}}\n{rest}")


def test_diff_says_which_files_differ_and_which_exposures_would_be_redone(own, capsys):
    program, cache = own
    folder = cache / "mappings" / "jwst"
    kinds = ("dark", "photom")
    for kind in kinds:
        changes = {f"{kind}_0001.fits": f"{kind}_0077.fits", f"{kind}_9001.rmap": f"{kind}_9002.rmap"}
        derive(folder, f"jwst_nircam_{kind}_9001.rmap", changes)
    changes = {f"{kind}_9001.rmap": f"{kind}_9002.rmap" for kind in kinds}
    derive(folder, "jwst_nircam_9001.imap", {"nircam_9001.imap": "nircam_9002.imap", **changes})
    derive(folder, "jwst_9001.pmap", {"_9001": "_9002"})
    code, text, said = refs(program, capsys, "diff", "jwst_9002.pmap")
    assert code == 0, said
    assert re.search(r"^type +jwst_9001.pmap +jwst_9002.pmap +exposures$", text, re.M)
    assert re.search(r"^dark +jwst_nircam_dark_0001.fits +jwst_nircam_dark_0077.fits +1$", text, re.M)
    assert re.search(r"^photom +\S+0001.fits +\S+0077.fits +1$", text, re.M)
    assert "1 of 1 exposures would be reprocessed" in text
    assert re.search(r"^from detector1 on: jw09001\S+$", text, re.M)
    assert "2 files of jwst_9002.pmap are not in the cache" in text
    same = refs(program, capsys, "diff", "jwst_9001.pmap")[1]
    assert "0 of 1 exposures" in same


def new_context(cache, number, changed):
    """Write a context in which some types of one reference each have a new file with another number."""
    folder = cache / "mappings" / "jwst"
    renamed = {f"{kind}_9001.rmap": f"{kind}_{number}.rmap" for kind in changed}
    for kind in changed:
        derive(folder, f"jwst_nircam_{kind}_9001.rmap", {f"{kind}_0001": f"{kind}_0077", **renamed}, number)
        old = reference(cache, kind)
        shutil.copy(old, old.with_name(old.name.replace("_0001", "_0077")))
    derive(folder, "jwst_nircam_9001.imap", {"nircam_9001.imap": f"nircam_{number}.imap", **renamed}, number)
    derive(folder, "jwst_9001.pmap", {"_9001": f"_{number}"}, number)


def test_a_new_context_redoes_only_what_its_references_touch(own):
    """A context with another flux calibration leaves stage 1 alone; one that changes nothing leaves everything alone."""
    program, cache = own
    assert snakemake(program).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in program.glob("stage*/*.fits")}
    new_context(cache, 9002, [])
    new_context(cache, 9003, ["photom"])
    for number, redone in ((9002, set()), (9003, {"stage2", "stage3"})):
        edit(program, f"jwst_{number - 1}.pmap", f"jwst_{number}.pmap")
        done = snakemake(program)
        assert done.returncode == 0, done.stderr[-3000:]
        assert {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns != time} == redone
        assert {path.parent.name for path, time in before.items() if path.stat().st_mtime_ns == time} == {
            "stage1",
            "stage2",
            "stage3",
        } - redone
        assert json.loads((program / "references" / "lock.json").read_text())["context"] == f"jwst_{number}.pmap"
    cal = next((program / "stage2").glob("*_cal.fits"))
    assert fits.getval(cal, "R_PHOTOM").endswith("photom_0077.fits")
    assert fits.getval(cal, "CRDS_CTX") == "jwst_9003.pmap"


def test_a_changed_file_of_ones_own_redoes_what_reads_it(own):
    """Who gives a flat of their own and then improves it under the same name gets the calibrated images again."""
    program, cache = own
    flat = program / "own_flat.fits"
    shutil.copy(reference(cache, "flat"), flat)
    rule = "{match: {INSTRUME: NIRCAM}, steps: {flat_field: {override_flat: own_flat.fits}}}"
    edit(program, "overrides: []", f"overrides: [{rule}]")
    assert snakemake(program).returncode == 0
    assert planned(program) == {}
    flip(flat)
    assert planned(program).keys() >= {"image2", "resample"}
    assert "detector1" not in planned(program)
