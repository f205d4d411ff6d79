"""Kernels are compiled once per installation, those of another preset when it is first asked for."""

from __future__ import annotations

import pytest

from jwstsm import warmup


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """What is compiled, in order; nothing really is."""
    done = []
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("JWSTSM_NUMBA_CACHE", raising=False)
    monkeypatch.setattr(warmup, "compile_kernels", done.append)
    return done


def test_the_default_preset_is_compiled_once(compiled):
    warmup.ensure_kernels()
    warmup.ensure_kernels()
    assert compiled == ["official"]


def test_another_preset_is_compiled_beside_the_default_one_and_once(compiled):
    warmup.ensure_kernels()
    warmup.ensure_kernels("best")
    warmup.ensure_kernels("best")
    assert compiled == ["official", "best"]


def test_a_first_job_with_another_preset_compiles_both(compiled):
    warmup.ensure_kernels("best")
    assert compiled == ["official", "best"]


def test_nothing_is_compiled_where_nothing_is_kept(compiled, monkeypatch):
    monkeypatch.setenv("JWSTSM_NUMBA_CACHE", "0")
    warmup.ensure_kernels("best")
    assert compiled == []
