"""Arrays that may be larger than memory: plain while they are small, a mapped scratch file once they are not.

The scratch file has no name on disk (it is unlinked as soon as it is open), so a killed job leaves nothing behind.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile

import numpy as np

__all__ = ["allocate", "in_memory_limit", "is_mapped", "release"]

_DEFAULT_LIMIT = 420_000_000  # bytes; a full frame of 2048 x 2048 x 25 groups in float32


def in_memory_limit() -> int:
    """Return the size in bytes above which an array goes to scratch (``JWSTSM_MEMORY_LIMIT`` changes it)."""
    return int(os.environ.get("JWSTSM_MEMORY_LIMIT", _DEFAULT_LIMIT))


def allocate(shape: tuple[int, ...], dtype, limit: int | None = None) -> np.ndarray:
    """Return a zeroed C-contiguous array, in memory or mapped from a scratch file (folder ``JWSTSM_SCRATCH``).

    ``limit`` is the size in bytes above which it is mapped, default :func:`in_memory_limit`.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes <= (in_memory_limit() if limit is None else limit) or nbytes == 0:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=os.environ.get("JWSTSM_SCRATCH"), prefix="jwstsm-") as file:
        file.truncate(nbytes)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def is_mapped(array: np.ndarray | None) -> bool:
    """Whether an array is (part of) a mapped scratch file."""
    return _mapping(array) is not None


def release(array: np.ndarray | None) -> None:
    """Hand the mapped pages of a scratch array back to the page cache; its contents stay. No effect on other arrays."""
    mapping = _mapping(array)
    if mapping is not None:
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: np.ndarray | None) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array
