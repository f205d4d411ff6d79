"""Kernels are kept where they can be: a read-only folder of a container image is no reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jwstsm.core import kernel_cache


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """A home, and no settings from outside; what the test sets is undone."""
    for name in ("NUMBA_CACHE_DIR", "JWSTSM_NUMBA_CACHE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return monkeypatch


def test_a_folder_that_can_be_written_to_stays(environment, tmp_path):
    environment.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    kernel_cache.settle()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "kernels")


def test_none_asked_for_is_left_to_numba(environment):
    kernel_cache.settle()
    assert "NUMBA_CACHE_DIR" not in os.environ
    assert "JWSTSM_NUMBA_CACHE" not in os.environ


def test_the_users_own_takes_the_place_of_a_read_only_one(environment, tmp_path):
    (tmp_path / "file").touch()  # nothing can be made below a file, whoever tries
    environment.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    kernel_cache.settle()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "home" / ".cache" / "jwstsm")


def test_without_any_folder_kernels_compile_and_are_not_kept(environment, tmp_path):
    (tmp_path / "home").touch()
    environment.setenv("NUMBA_CACHE_DIR", str(tmp_path / "home" / "kernels"))
    code = "from jwstsm.core.compiled import njit; print(njit(lambda x: x + 1)(41))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "42"
