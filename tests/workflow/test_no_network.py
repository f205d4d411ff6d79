"""Compute jobs need no network: with it cut off they run, and they do not even try to reach it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.workflow.conftest import BIN, snakemake

pytestmark = pytest.mark.filterwarnings("ignore")

# read by every Python that starts with it on its path: connections to other hosts fail and leave a line
REFUSE = """
import os, socket

_connect, _resolve = socket.socket.connect, socket.getaddrinfo

def refuse(what):
    with open(os.environ["NETWORK_ATTEMPTS"], "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
    raise OSError(101, f"the network is cut off for this test: {what}")

def connect(self, address):
    if self.family == socket.AF_UNIX:
        return _connect(self, address)
    refuse(address)

socket.socket.connect = connect
socket.socket.connect_ex = connect
socket.getaddrinfo = lambda host, *rest, **more: refuse(host)
"""


def namespace() -> list[str]:
    """Return the words before a command that take the network away; none where that is not permitted."""
    words = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        return []
    return words


def without_network(folder, tmp_path, *words, cut=()):
    """Run a command whose Pythons have no network; return how it ended and the attempts to reach it."""
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(REFUSE)
    attempts = tmp_path / "attempts"
    attempts.write_text("")
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": f"{tmp_path / 'site'}",
        "NETWORK_ATTEMPTS": str(attempts),
    }
    done = subprocess.run([*cut, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, attempts.read_text().splitlines()


def test_the_way_of_cutting_off_works(tmp_path):
    """An attempt fails and is counted, so that none being counted means something."""
    code = "import urllib.request; urllib.request.urlopen('https://jwst-crds.stsci.edu', timeout=3)"
    done, attempts = without_network(tmp_path, tmp_path, sys.executable, "-c", code, cut=namespace())
    assert done.returncode != 0
    assert len(attempts) == 1
    assert "jwst-crds.stsci.edu" in attempts[0]


@pytest.fixture
def locked(program):
    """A program whose references are selected already: what is left are the jobs that compute."""
    done = snakemake(program, "references/lock.json")
    assert done.returncode == 0, done.stderr[-3000:]
    return program


def rates_and_cals(program):
    name = next((program / "uncal").glob("*_uncal.fits")).name.removesuffix("_uncal.fits")
    return [f"stage1/{name}_rate.fits", f"stage2/{name}_cal.fits"]


def run_jobs(program, tmp_path, cut):
    wanted = rates_and_cals(program)
    done, attempts = without_network(program, tmp_path, "snakemake", "--cores", "2", *wanted, cut=cut)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert all((program / path).exists() for path in wanted)
    assert attempts == []


def test_detector1_and_image2_run_in_a_namespace_without_network(locked, tmp_path):
    cut = namespace()
    if not cut:
        pytest.skip("unshare is not permitted here: the network is cut off by refusing sockets alone (the next test)")
    run_jobs(locked, tmp_path, cut)


def test_detector1_and_image2_run_with_sockets_refused(locked, tmp_path):
    run_jobs(locked, tmp_path, [])
