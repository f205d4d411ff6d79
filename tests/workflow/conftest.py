"""A small simulated program and a function that runs Snakemake in it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.cli import main

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """A program of one exposure of a small subarray, with its CRDS cache."""
    folder = tmp_path_factory.mktemp("simulated")
    main(["demo", str(folder), "--preset", "tiny"])
    return folder


@pytest.fixture
def program(simulated, tmp_path) -> Path:
    """A fresh copy of the small program that shares its CRDS cache."""
    folder = tmp_path / "program"
    shutil.copytree(simulated, folder, ignore=shutil.ignore_patterns("crds_cache", "truth", ".snakemake", ".jwstsm"))
    config = folder / "config.yaml"
    text = config.read_text().replace("path: crds_cache", f"path: {simulated / 'crds_cache'}")
    config.write_text(text)
    return folder


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a program directory."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = [BIN / "snakemake", "--cores", "2", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run announces."""
    done = snakemake(folder, "--dry-run", *options)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-3000:]
    if "Nothing to be done" in text:
        return {}
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", text, re.S).group(1)
    return {row.split()[0]: int(row.split()[1]) for row in table.splitlines() if not row.startswith("total")}


def science(folder) -> dict[str, str]:
    """Return a checksum of the arrays of every product of a program."""
    out = {}
    for path in sorted(folder.glob("stage*/*.fits")):
        digest = hashlib.sha256()
        with fits.open(path) as hdus:
            for hdu in hdus:
                if hdu.is_image and hdu.data is not None:
                    digest.update(np.ascontiguousarray(hdu.data).tobytes())
        out[str(path.relative_to(folder))] = digest.hexdigest()
    return out
