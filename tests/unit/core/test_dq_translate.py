"""Reference DQ planes are translated through their own definitions."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq


def definitions(*rows):
    return np.rec.array(
        [(0, v, n, "") for v, n in rows], dtype=[("BIT", int), ("VALUE", int), ("NAME", "U20"), ("D", "U4")]
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint32, np.int64])
def test_bits_become_the_pipelines_and_unknown_names_are_dropped(kind):
    table = definitions((1, "HOT"), (2, "SOMETHING_ELSE"), (4, "DO_NOT_USE"), (8, "DEAD"))
    plane = np.array([[0, 1, 2], [4, 5, 7]], kind)
    out = dq.translate(plane, table)
    assert out.dtype == np.uint32
    np.testing.assert_array_equal(out, [[0, dq.HOT, 0], [dq.DO_NOT_USE, dq.HOT | 1, dq.HOT | 1]])
    assert plane[1, 2] == 7


def test_the_highest_bit_survives_signed_storage_and_a_swapped_order():
    table = definitions((2**31, "HOT"), (2048, "REFERENCE_PIXEL"))
    plane = np.array([2**31, 2048, 2**31 + 2048], np.uint32).view(np.int32)
    expected = [dq.HOT, dq.REFERENCE_PIXEL, dq.HOT | dq.REFERENCE_PIXEL]
    np.testing.assert_array_equal(dq.translate(plane, table), expected)


def test_the_pipelines_own_bits_and_no_table_pass_through_and_an_empty_plane_is_fine():
    plane = np.array([5, 2048], np.uint32)
    np.testing.assert_array_equal(dq.translate(plane, None), plane)
    np.testing.assert_array_equal(dq.translate(plane, definitions((1, "DO_NOT_USE"), (2048, "HOT"))), [1, 2048])
    assert dq.translate(np.zeros((0, 4), np.uint32), definitions((1, "HOT"))).shape == (0, 4)
