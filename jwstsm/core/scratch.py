"""Arrays that may be larger than memory: plain while they are small, a mapped scratch file once they are not.

The scratch file has no name on disk (it is unlinked as soon as it is open), so a killed job leaves nothing behind.

Pages of a mapped file that have been touched count as memory of the process until they are handed back (they stay in the
page cache, from where the next touch takes them). Loops over an array do that by :func:`release`; one pass of a kernel
over an array that is itself larger than memory cannot, so a thread does it while any array is mapped.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import threading
import time
import weakref

import numpy as np

__all__ = ["allocate", "filled", "in_memory_limit", "is_mapped", "place", "release"]

_DEFAULT_LIMIT = 420_000_000  # bytes; a full frame of 2048 x 2048 x 25 groups in float32
_GROWTH = 1 << 20  # bytes
_PAUSE = 0.004  # s; what two threads touch meanwhile is small beside what is held

_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_files: weakref.WeakKeyDictionary[mmap.mmap, tuple[int, int]] = weakref.WeakKeyDictionary()
_keeper: threading.Thread | None = None
_starting = threading.Lock()


def in_memory_limit() -> int:
    """Return the size in bytes above which an array goes to scratch (``JWSTSM_MEMORY_LIMIT`` changes it)."""
    return int(os.environ.get("JWSTSM_MEMORY_LIMIT", _DEFAULT_LIMIT))


def allocate(shape: tuple[int, ...], dtype, limit: int | None = None, scattered: bool = False) -> np.ndarray:
    """Return a zeroed C-contiguous array, in memory or mapped from a scratch file (folder ``JWSTSM_SCRATCH``).

    ``limit`` is the size in bytes above which it is mapped, default :func:`in_memory_limit`. Of a ``scattered`` one, a row
    of every plane may be touched at a time without much more of it being mapped; to fill it takes longer.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes <= (in_memory_limit() if limit is None else limit) or nbytes == 0:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=os.environ.get("JWSTSM_SCRATCH"), prefix="jwstsm-") as file:
        file.truncate(nbytes)
        # a plain view of it: the subclass is of no use, and compiled code takes longer to look at it
        array = np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))
        descriptor = os.dup(file.fileno())
    mapping = _mapping(array)
    weakref.finalize(mapping, os.close, descriptor)
    _files[mapping] = descriptor, array.ctypes.data
    if scattered:
        # no reading ahead while it is filled: the system would fill its cache by pieces of up to 2 MB, of which one touch
        # maps all, so that a row of every plane would make the whole array this process's memory
        mapping.madvise(mmap.MADV_RANDOM)
    _mappings.add(mapping)
    _keep_small()
    return array


def is_mapped(array: np.ndarray | None) -> bool:
    """Whether an array is (part of) a mapped scratch file."""
    return _mapping(array) is not None


def release(array: np.ndarray | None) -> None:
    """Hand the mapped pages of a scratch array back to the page cache; its contents stay. No effect on other arrays."""
    mapping = _mapping(array)
    if mapping is not None:
        mapping.madvise(mmap.MADV_DONTNEED)


def place(array: np.ndarray) -> tuple[int, int]:
    """Return the file descriptor of a mapped array and where in the file it begins [byte]."""
    descriptor, start = _files[_mapping(array)]
    return descriptor, array.ctypes.data - start


def filled(array: np.ndarray | None) -> None:
    """Say that a scattered array has been filled once: parts of it that go to the disk are read back in longer pieces."""
    mapping = _mapping(array)
    if mapping is not None:
        mapping.madvise(mmap.MADV_NORMAL)


def _mapping(array: np.ndarray | None) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array


def _keep_small() -> None:
    """Start the thread that hands pages back, unless it runs."""
    global _keeper
    with _starting:
        if _keeper is None or not _keeper.is_alive():
            _keeper = threading.Thread(target=_keep, name="jwstsm-scratch", daemon=True)
            _keeper.start()


def _keep() -> None:
    """Hand back the pages of all mapped arrays each time a third of the limit has been touched, while there are any."""
    global _keeper
    least = _mapped_bytes()
    while True:
        time.sleep(_PAUSE)
        with _starting:
            mappings = list(_mappings)
            if not mappings or least is None:
                _keeper = None
                return
        now = _mapped_bytes()
        if now > least + in_memory_limit() // 3:
            for mapping in mappings:
                mapping.madvise(mmap.MADV_DONTNEED)
            # other files may be mapped by and by, but what has been touched meanwhile is not to be taken for them
            least = min(_mapped_bytes(), least + _GROWTH)
        least = min(least, now)
        mappings.clear()
        mapping = None  # an array that is not used any more goes at once


def _mapped_bytes() -> int | None:
    """Return the bytes of files that are mapped and in memory of this process; None where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * mmap.PAGESIZE
    except (OSError, IndexError, ValueError):
        return None
