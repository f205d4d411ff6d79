"""The ways of installing give the same versions: lock file, conda file, and what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines) -> dict[str, str]:
    found = (re.match(r"([A-Za-z0-9_.-]+)(?:\[.*\])?==([^\s;]+)", line) for line in lines)
    return {plain(match[1]): match[2] for match in found if match}


def locked() -> dict[str, str]:
    return pins((ROOT / "envs" / "requirements.lock").read_text().splitlines())


def conda() -> dict:
    return yaml.safe_load((ROOT / "envs" / "jwstsm.yaml").read_text())


def asked() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {plain(re.match(r"[A-Za-z0-9_.-]+", text)[0]) for text in project["dependencies"]}


def test_the_conda_file_has_the_versions_of_the_lock():
    (pip,) = (d["pip"] for d in conda()["dependencies"] if isinstance(d, dict))
    assert len(pins(pip)) == len(pip)
    lock = locked()
    assert {name: version for name, version in pins(pip).items() if lock.get(name) != version} == {}
    assert asked() <= set(pins(pip))


def test_the_lock_has_everything_that_is_asked_for():
    assert asked() <= set(locked())


def test_python_is_the_one_that_the_project_is_tested_with():
    recipe = (ROOT / "envs" / "Dockerfile").read_text()
    assert "python=3.11" in conda()["dependencies"]
    assert "FROM python:3.11" in recipe
    assert "requirements.lock" in recipe
