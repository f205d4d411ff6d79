"""A lock that a killed run left is removed; that of a living one is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

from jwstsm.running import clear_stale_lock, note_running


def locked(folder, pid):
    (folder / ".snakemake" / "locks").mkdir(parents=True)
    lock = folder / ".snakemake" / "locks" / "0.output.lock"
    lock.write_text("stage1/x_rate.fits")
    (folder / ".jwstsm").mkdir()
    (folder / ".jwstsm" / "running.json").write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
    return lock


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_dead_process_is_removed(tmp_path):
    lock = locked(tmp_path, dead_process())
    assert clear_stale_lock(tmp_path)
    assert not lock.exists()


def test_the_lock_of_a_living_process_stays_and_so_does_its_note(tmp_path):
    lock = locked(tmp_path, os.getppid())
    note_running(tmp_path)
    assert not clear_stale_lock(tmp_path)
    assert lock.exists()
    assert json.loads((tmp_path / ".jwstsm" / "running.json").read_text())["pid"] == os.getppid()


def test_without_a_note_nothing_is_touched(tmp_path):
    lock = locked(tmp_path, dead_process())
    (tmp_path / ".jwstsm" / "running.json").unlink()
    assert not clear_stale_lock(tmp_path)
    assert lock.exists()
