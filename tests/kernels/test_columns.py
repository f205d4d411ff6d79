"""Medians of columns: network, quickselect and numpy agree for every number of values."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage1 import _columns


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 100, _columns.NETWORK_MAX])
def test_the_network_sorts_columns_of_any_length(n):
    values = np.random.default_rng(n).integers(-9, 9, (n, 13)).astype(np.float32)
    values[0, 3] = np.inf
    out = values.copy()
    _columns.sort_columns(out, _columns.merge_exchange(n), 11)
    np.testing.assert_array_equal(out[:, :11], np.sort(values[:, :11], axis=0))
    np.testing.assert_array_equal(out[:, 11:], values[:, 11:])


def test_a_network_sorts_every_order_of_zeros_and_ones():
    # by the zero-one principle a network that sorts these sorts everything
    for n in range(2, 11):
        patterns = ((np.arange(2**n)[None, :] >> np.arange(n)[:, None]) & 1).astype(np.float32)
        out = patterns.copy()
        _columns.sort_columns(out, _columns.merge_exchange(n), out.shape[1])
        assert (np.diff(out, axis=0) >= 0).all()


def test_plain_python_sorts_and_selects_the_same():
    values = np.random.default_rng(2).normal(size=(9, 5)).astype(np.float32)
    compiled, plain = values.copy(), values.copy()
    _columns.sort_columns(compiled, _columns.merge_exchange(9), 5)
    _columns.sort_columns.py_func(plain, _columns.merge_exchange(9), 5)
    np.testing.assert_array_equal(compiled, plain)
    for x in range(5):
        assert _columns.median_of_sorted(compiled, x, 9) == _columns.median_of_sorted.py_func(plain, x, 9)
        assert _columns.select_median(values[:, x].copy(), 9) == _columns.median_of_sorted(compiled, x, 9)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 1000])
def test_quickselect_gives_the_median_with_many_equal_values(n):
    values = np.random.default_rng(n).integers(0, 5, n).astype(np.float32)
    assert _columns.select_median(values.copy(), n) == np.median(values)
    ordered = np.sort(values)[:, None].copy()
    assert _columns.median_of_sorted(ordered, 0, n) == np.median(values)


def test_no_values_have_no_median():
    assert np.isnan(_columns.select_median(np.zeros(3, np.float32), 0))
    assert np.isnan(_columns.median_of_sorted(np.zeros((3, 1), np.float32), 0, 0))


def test_strips_stay_in_the_cache_and_long_columns_have_no_network():
    assert _columns.strip_width(9) == _columns.WIDTH
    assert _columns.strip_width(10**6) == 8
    assert len(_columns.merge_exchange(_columns.NETWORK_MAX + 1)) == 0
