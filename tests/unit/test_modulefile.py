"""The modulefile puts an installation on the path, and unloading it takes everything away again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import jwstsm

TREE = Path(__file__).resolve().parents[2] / "envs" / "modulefiles"
LMOD = [Path("/usr/share/lmod/lmod/init/bash"), Path("/opt/apps/lmod/lmod/init/bash")]


@pytest.fixture
def lmod():
    found = next((path for path in LMOD if path.exists()), None)
    if found is None or shutil.which("bash") is None:
        pytest.skip("needs Lmod (apt-get install lmod)")
    return found


def test_the_modulefile_is_named_by_the_version():
    assert [path.stem for path in (TREE / "jwstsm").iterdir()] == [jwstsm.__version__]


def test_loading_and_unloading(lmod, tmp_path):
    """After loading, jwstsm is the installation's, foreign Python settings are gone; after unloading PATH is as before."""
    program = tmp_path / "here" / ".venv" / "bin" / "jwstsm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho installation, PYTHONPATH=$PYTHONPATH, kernels $NUMBA_CACHE_DIR\n")
    program.chmod(0o755)
    shutil.copytree(TREE, tmp_path / "modulefiles")
    (file,) = (tmp_path / "modulefiles" / "jwstsm").iterdir()
    text = file.read_text().replace('"/opt/jwstsm"', f'"{tmp_path / "here"}"')
    file.write_text(text.replace("kernels = nil", 'kernels = "/kernels"'))
    script = f"""
        source {lmod}
        module use {tmp_path / "modulefiles"}
        before=$PATH
        module load jwstsm && jwstsm
        module -t list 2>&1 | grep jwstsm
        module unload jwstsm
        test "$PATH" = "$before" && echo as before
    """
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": "/foreign", "LMOD_ALLOW_ROOT_USE": "yes"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "installation, PYTHONPATH=, kernels /kernels",
        f"jwstsm/{jwstsm.__version__}",
        "as before",
    ], done.stderr
