"""Arrays on scratch files stay out of this process's memory, whoever touches them, and keep what is in them."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

from jwstsm.core import scratch

SIZE = 64_000_000
LIMIT = 12_000_000
HELD = LIMIT // 3 + 2_000_000


def settled(most: int) -> bool:
    """Wait, some seconds at most, until no more bytes of files than ``most`` are in memory."""
    end = time.monotonic() + 10
    while scratch._mapped_bytes() > most and time.monotonic() < end:
        time.sleep(0.01)
    return scratch._mapped_bytes() <= most


@pytest.fixture
def before(monkeypatch):
    """Bytes of files in memory before an array is made, with a small limit."""
    if scratch._mapped_bytes() is None:
        pytest.skip("the system does not tell the memory of a process")
    monkeypatch.setenv("JWSTSM_MEMORY_LIMIT", str(LIMIT))
    return scratch._mapped_bytes()


def test_what_one_pass_touches_is_handed_back_without_a_word_and_stays(before):
    array = scratch.allocate((SIZE // 4,), np.float32)
    assert scratch.is_mapped(array)
    array[:] = np.arange(SIZE // 4)
    assert settled(before + HELD)
    assert (array == np.arange(SIZE // 4, dtype=np.float32)).all()
    assert settled(before + HELD)


def test_a_row_of_every_plane_does_not_map_all_planes(before):
    planes = scratch.allocate((SIZE // 1_000_000, 500, 500), np.float32, scattered=True)
    planes[:] = 1
    assert settled(before + HELD)
    low = scratch._mapped_bytes()
    assert planes[:, 0, 0].sum() == len(planes)
    assert scratch._mapped_bytes() < max(low, before) + SIZE // 4


def test_the_thread_ends_with_the_last_array(before):
    array = scratch.allocate((SIZE // 4,), np.float32)
    assert any(thread.name == "jwstsm-scratch" for thread in threading.enumerate())
    del array
    gc.collect()
    end = time.monotonic() + 10
    while any(thread.name == "jwstsm-scratch" for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(thread.name == "jwstsm-scratch" for thread in threading.enumerate())


def test_small_arrays_are_plain_memory(before):
    assert not scratch.is_mapped(scratch.allocate((10, 10), np.float32))
