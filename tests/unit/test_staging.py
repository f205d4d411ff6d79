"""Copies on a node's scratch disk: off by default, of the same content, gone afterwards, never the cause of a failure."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from jwstsm import staging
from jwstsm.errors import InputError
from jwstsm.files import atomic

HOLDER = """
import sys, time
from jwstsm.staging import copies, on_scratch
with on_scratch(sys.argv[1]):
    print(copies(sys.argv[2]), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "shared" / "x_uncal.fits"
    path.parent.mkdir()
    path.write_bytes(os.urandom(5000))
    return path


def test_nothing_is_copied_unless_asked_for(source, place):
    assert staging.copies(source) == source
    with staging.on_scratch(None):
        assert staging.copies([source]) == [source]
        assert staging.draft(source) is None
    assert not list(place.iterdir())


def test_copies_have_name_and_content_and_end_with_the_job(source, place, monkeypatch):
    """Two inputs of the same name do not meet, and the place may be named by a variable of the node."""
    twin = source.parent / "more" / source.name
    twin.parent.mkdir()
    twin.write_bytes(b"other")
    monkeypatch.setenv("NODE_DISK", str(place))
    monkeypatch.delenv("JWSTSM_SCRATCH", raising=False)
    with staging.on_scratch("$NODE_DISK"):
        one, two = staging.copies([source, twin])
        assert {place in path.parents for path in (one, two)} == {True}
        assert one.name == two.name == source.name
        assert (one.read_bytes(), two.read_bytes()) == (source.read_bytes(), b"other")
        assert os.environ["JWSTSM_SCRATCH"] == str(place)
    assert "JWSTSM_SCRATCH" not in os.environ
    assert not list(place.iterdir())
    assert staging.copies(source) == source


def test_products_are_written_on_scratch_and_arrive_whole(source, place, tmp_path):
    """A product has its name only when it is complete; a failure leaves neither a draft nor a part."""
    target = tmp_path / "stage1" / "x_rate.fits"
    with staging.on_scratch(str(place)):
        staging.copies(source)
        with atomic(target) as part:
            assert place in part.parents
            part.write_text("rate")
            assert not target.exists()
        assert target.read_text() == "rate"
        with contextlib.suppress(RuntimeError), atomic(target) as part:
            part.write_text("half")
            raise RuntimeError
        assert not [path for path in place.rglob("*") if path.is_file() and path.name == target.name]
    assert target.read_text() == "rate"
    assert list(target.parent.iterdir()) == [target]


def test_a_job_that_copied_nothing_writes_as_without_scratch(place, tmp_path):
    """Small jobs, and those on the computer where Snakemake runs, need no scratch disk."""
    with staging.on_scratch(str(place / "not" / "there")):
        with atomic(tmp_path / "a.json") as part:
            assert part.parent == tmp_path
            part.write_text("{}")


@pytest.mark.parametrize("fault", ["full", "absent", "unset", "fills"])
def test_without_room_inputs_are_read_where_they_are(source, place, monkeypatch, caplog, fault):
    where = {"absent": place / "not" / "there", "unset": place / "$NO_SUCH_VARIABLE"}.get(fault, place)
    if fault == "full":
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    if fault == "fills":

        def full(*paths):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shutil, "copyfile", full)
    with caplog.at_level(logging.WARNING), staging.on_scratch(str(where)):
        assert staging.copies([source]) == [source]
    assert "inputs are read where they are" in caplog.text
    assert not list(place.iterdir())


def test_a_copy_of_another_size_is_not_used(source, place, tmp_path, monkeypatch, caplog):
    """Not for inputs, which are then read in place, and not for a product, which fails."""
    target = tmp_path / "x_rate.fits"
    with staging.on_scratch(str(place)):
        staging.copies(source)
        monkeypatch.setattr(shutil, "copyfile", lambda a, b: b.write_bytes(a.read_bytes()[:-1]))
        assert staging.copies([source]) == [source]
        with pytest.raises(OSError, match="arrived"), atomic(target) as part:
            part.write_text("rate")
    assert not target.exists()


def test_a_full_disk_is_said_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"x_rate.fits: the disk of .* is full"), atomic(tmp_path / "x_rate.fits"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_the_next_job_removes_what_a_killed_one_left_and_nothing_else(source, place):
    mine = place / "somebody_elses"
    mine.mkdir()
    job = subprocess.Popen([sys.executable, "-c", HOLDER, place, source], stdout=subprocess.PIPE, text=True)
    try:
        held = job.stdout.readline().strip()
        with staging.on_scratch(str(place)):
            staging.copies(source)
        assert os.path.exists(held), "the copy of a job that lives was removed"
    finally:
        job.kill()
        job.wait()
        job.stdout.close()
    assert os.path.exists(held)
    with staging.on_scratch(str(place)):
        staging.copies(source)
    assert list(place.iterdir()) == [mine]
