"""Walking an exposure by rows of the detector, where the arrays may lie in scratch files.

What compares the integrations of a pixel needs a few rows of every plane. Touching them in the mapped file would make
the kernel map some pages around each, which takes longer than to copy them, and all of those count as this process's
memory, more with every integration. So the rows are read from the file, and what changed is written back to it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jwstsm.core import scratch

__all__ = ["row_blocks"]

_ROWS = 16  # rows that keep the threads busy


def row_blocks(
    read: Sequence[np.ndarray] = (),
    changed: Sequence[np.ndarray] = (),
    made: Sequence[np.ndarray] = (),
    limit: int | None = None,
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Walk arrays by blocks of rows; all at once if none is mapped.

    Parameters
    ----------
    read, changed, made : sequence of (..., ny, nx) ndarray
        C-contiguous arrays that are read only, read and changed, and filled. The last one of all gives ``ny``; an array
        with another number of rows is handed through whole.
    limit : int, optional
        Bytes of a block, default a half of :func:`jwstsm.core.scratch.in_memory_limit`.

    Yields
    ------
    rows : slice
        Rows of the detector.
    blocks : list of (..., rows, nx) ndarray
        These rows of each array, C-contiguous, in the order of the arguments; what is written to them goes back to
        ``changed`` and ``made`` when the loop goes on. The next round uses the same memory. A few long rows are handed out
        as more and shorter ones: what works on them knows no neighbours, and runs parallel over rows.
    """
    arrays = [np.asarray(array) for array in (*read, *changed, *made)]
    ny = arrays[-1].shape[-2]
    if not any(map(scratch.is_mapped, arrays)):
        yield slice(0, ny), arrays
        return
    # an image needs no copy: its rows are contiguous as they are
    copied = [array.ndim > 2 and array.shape[-2] == ny for array in arrays]
    one = sum(array.nbytes // ny for array, is_copied in zip(arrays, copied, strict=True) if is_copied)
    size = min(ny, max(1, (limit or scratch.in_memory_limit() // 2) // one))
    space = [np.empty(a.size // ny * size, a.dtype) if c else None for a, c in zip(arrays, copied, strict=True)]
    for y0 in range(0, ny, size):
        rows = slice(y0, min(ny, y0 + size))
        blocks = [_block(array, rows, ny, buffer) for array, buffer in zip(arrays, space, strict=True)]
        for k in range(len(read) + len(changed)):
            if copied[k]:
                _read(blocks[k], arrays[k], rows)
        yield rows, _more_rows(blocks, [array.shape[-2] == ny for array in arrays], rows.stop - rows.start)
        for k in range(len(read), len(arrays)):
            if copied[k]:
                _write(blocks[k], arrays[k], rows)


def _planes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, *array.shape[-2:])


def _block(array: np.ndarray, rows: slice, ny: int, space: np.ndarray | None) -> np.ndarray:
    """Return room for rows of an array, or if it is not copied these rows themselves."""
    if space is None:
        return array[rows] if array.shape[-2] == ny else array
    shape = (*array.shape[:-2], rows.stop - rows.start, array.shape[-1])
    return space[: math.prod(shape)].reshape(shape)


def _more_rows(blocks: list[np.ndarray], cut: list[bool], count: int) -> list[np.ndarray]:
    """Cut few long rows into more and shorter ones, if those of all arrays are of the same length."""
    lengths = {block.shape[-1] for block, is_cut in zip(blocks, cut, strict=True) if is_cut}
    nx = lengths.pop()
    parts = math.gcd(nx, _ROWS)
    if lengths or count >= _ROWS or parts == 1:
        return blocks
    return [
        block.reshape(*block.shape[:-2], count * parts, nx // parts) if is_cut else block
        for block, is_cut in zip(blocks, cut, strict=True)
    ]


def _read(block: np.ndarray, array: np.ndarray, rows: slice) -> None:
    if scratch.is_mapped(array):
        _transfer(os.preadv, block, array, rows)
    else:
        _planes(block)[:] = _planes(array)[:, rows]


def _write(block: np.ndarray, array: np.ndarray, rows: slice) -> None:
    if scratch.is_mapped(array):
        _transfer(os.pwritev, block, array, rows)
    else:
        _planes(array)[:, rows] = _planes(block)


def _transfer(call: Callable, block: np.ndarray, array: np.ndarray, rows: slice) -> None:
    """Read rows of every plane of a mapped array into a block (``os.preadv``), or write them (``os.pwritev``)."""
    descriptor, start = scratch.place(array)
    *_, ny, nx = array.shape
    line = nx * array.itemsize
    length = (rows.stop - rows.start) * line
    content = memoryview(block.reshape(-1).view(np.uint8))
    for k in range(block.nbytes // length):
        done, place = 0, start + k * ny * line + rows.start * line
        while done < length:
            moved = call(descriptor, [content[k * length + done : (k + 1) * length]], place + done)
            if moved == 0:
                raise OSError("a scratch file ends before its array does")
            done += moved
