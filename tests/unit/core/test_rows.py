"""Blocks of rows of mapped arrays are copies in little memory, and what is written to them arrives."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import scratch
from jwstsm.core.rows import row_blocks

SHAPE = (3, 4, 11, 5)


@pytest.fixture(params=[0, 10**9], ids=["mapped", "in memory"])
def arrays(request):
    """A ramp, its flags, and empty results per integration."""
    rng = np.random.default_rng(1)
    data = scratch.allocate(SHAPE, np.float32, request.param)
    flags = scratch.allocate(SHAPE, np.uint8, request.param)
    data[:], flags[:] = rng.normal(size=SHAPE), rng.integers(0, 256, SHAPE)
    return data, flags, scratch.allocate((3, 11, 5), np.float32, request.param)


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_all_rows_are_visited_once_and_written_back(arrays, rows_at_once):
    data, flags, sums = arrays
    image = np.arange(55.0).reshape(11, 5)
    before, marked = data.copy(), flags | 1
    other = np.zeros((0, 0, 0), np.float32)
    limit = rows_at_once * (data.nbytes + flags.nbytes + sums.nbytes) // 11
    seen = []
    for rows, blocks in row_blocks((data, image, other), (flags,), (sums,), limit=limit):
        values, part, empty, bits, out = blocks
        assert all(block.flags.c_contiguous and not scratch.is_mapped(block) for block in blocks)
        assert empty.shape == other.shape
        np.testing.assert_array_equal(part, image[rows])
        bits |= 1
        out[:] = values.sum(axis=1) + part
        seen += range(11)[rows]
    assert seen == list(range(11))
    np.testing.assert_array_equal(flags, marked)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_allclose(sums, before.sum(axis=1) + image, rtol=1e-6)


def test_images_that_are_made_are_written_in_place():
    data = scratch.allocate(SHAPE, np.float32, 0)
    total = np.zeros((11, 5))
    for _, (_, part) in row_blocks(read=(data,), made=(total,), limit=1):
        part += 1
    assert (total == 1).all()


def test_a_few_long_rows_become_more_and_shorter_ones():
    data = scratch.allocate((3, 4, 5, 8), np.float32, 0)
    data[:] = np.arange(data.size).reshape(data.shape)
    before, total, dark = data.copy(), np.zeros((5, 8)), np.ones((1, 1))
    for _, (one, values, part) in row_blocks(read=(dark,), changed=(data,), made=(total,), limit=1):
        assert one.shape == (1, 1)
        assert values.shape == (3, 4, 8, 1)
        assert part.shape == (8, 1)
        part[:] = values.sum(axis=(0, 1))
        values += one
    np.testing.assert_array_equal(total, before.sum(axis=(0, 1)))
    np.testing.assert_array_equal(data, before + 1)


def test_arrays_in_memory_are_handed_through_uncopied():
    data = np.zeros(SHAPE, np.float32)
    blocks = list(row_blocks(changed=(data,), limit=1))
    assert len(blocks) == 1
    assert blocks[0][1][0] is data
