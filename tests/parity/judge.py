"""The official package as judge: where its environment is, and running it on simulated programs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

__all__ = ["JUDGE", "crds_env", "needs_judge", "run_official", "run_ours"]

JUDGE = Path(os.environ.get("JWSTSM_JUDGE", ROOT / ".judge" / "bin" / "python"))

needs_judge = pytest.mark.skipif(
    not JUDGE.exists(), reason="the official package is not installed beside the project (make judge)"
)


def crds_env(folder: Path) -> dict[str, str]:
    """Return the environment in which both packages use the CRDS cache of a simulated program, without network."""
    cache = folder / "crds_cache"
    context = sorted(p.name for p in (cache / "mappings" / "jwst").glob("*.pmap"))[-1]
    return {
        "CRDS_PATH": str(cache),
        "CRDS_CONTEXT": context,
        "CRDS_SERVER_URL": "https://crds-serverless-mode.stsci.edu",
    }


def _run(command: list, env: dict, cwd: Path) -> None:
    done = subprocess.run(
        [str(c) for c in command], env={**os.environ, **env}, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


def run_official(pipeline: str, file: Path, out: Path, env: dict, steps: dict | None = None) -> None:
    """Run an official pipeline in its own environment."""
    out.mkdir(parents=True, exist_ok=True)
    _run([JUDGE, ROOT / "benchmarks" / "official.py", pipeline, file, out, json.dumps(steps or {})], env, out)


def run_ours(pipeline: str, file: Path, out: Path, env: dict, steps: dict | None = None) -> None:
    """Run ours from the command line."""
    import sys

    out.mkdir(parents=True, exist_ok=True)
    command = [Path(sys.executable).parent / "jwstsm", "run", pipeline, file, "--output-dir", out]
    for step, options in (steps or {}).items():
        for key, value in options.items():
            command += [f"--{step}.{key}", json.dumps(value) if not isinstance(value, str) else value]
    _run(command, env, out)
