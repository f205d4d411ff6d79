"""Random numbers of the simulator."""

from __future__ import annotations

import types

import numpy as np
import pytest

from jwstsm.core.compiled import set_threads
from jwstsm.sim import rng


@pytest.mark.parametrize("mean", [0.02, 3.0, 11.9, 12.1, 80.0, 4e4])
def test_poisson_has_the_mean_variance_and_skewness_of_its_law(mean):
    charge = np.zeros((512, 512), np.float32)
    rng.accumulate_poisson(charge, np.full_like(charge, mean / 2), 2.0, rng.key("law", mean))
    error = np.sqrt(mean / charge.size)
    assert abs(charge.mean(dtype=float) - mean) < 5 * error
    assert charge.var(dtype=float) / mean == pytest.approx(1, abs=5 * np.sqrt((2 + 1 / mean) / charge.size))
    skewness = np.mean((charge.astype(float) - mean) ** 3) / mean**1.5
    assert skewness == pytest.approx(mean**-0.5, abs=0.05 + 0.03 * mean**-0.5)
    np.testing.assert_array_equal(charge, np.rint(charge))


def test_compiled_poisson_is_plain_python_poisson():
    rate = np.array([[0.1, 3.0, 11.0, 13.0, 500.0, 2e5]] * 6, np.float32)
    compiled, plain = np.zeros_like(rate), np.zeros_like(rate)
    rng.accumulate_poisson(compiled, rate, 1.5, rng.key("judge"))
    with np.errstate(over="ignore"):
        for y in range(len(rate)):
            state = np.array([rng._mix.py_func(rng.key("judge") + np.uint64(y + 1) * rng._MIX2)])
            for x in range(rate.shape[1]):
                plain[y, x] = _plain_poisson(float(rate[y, x]) * 1.5, state)
    np.testing.assert_array_equal(compiled, plain)


def _plain_poisson(mean, state):
    """The sampler without compilation, its helpers too."""
    scope = dict(rng.next_poisson.py_func.__globals__)
    scope["_mix"] = rng._mix.py_func
    scope["next_uniform"] = types.FunctionType(rng.next_uniform.py_func.__code__, scope)
    return types.FunctionType(rng.next_poisson.py_func.__code__, scope)(mean, state)


def test_poisson_of_nothing_is_nothing():
    charge = np.zeros((2, 3), np.float32)
    rate = np.array([[0, -1, np.nan]] * 2, np.float32)
    rng.accumulate_poisson(charge, rate, 10.0, rng.key(1))
    np.testing.assert_array_equal(charge, 0)


def test_streams_do_not_depend_on_the_number_of_threads():
    results = []
    for threads in (1, 2):
        set_threads(threads)
        charge = np.zeros((64, 64), np.float32)
        rng.accumulate_poisson(charge, np.full_like(charge, 7.0), 3.0, rng.key("threads"))
        results.append((charge, rng.normal_field(rng.key("field"), 5, 9, 40, 30)))
    set_threads(None)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("make", [rng.uniform_field, rng.normal_field])
def test_a_subarray_is_cut_out_of_the_same_field(make):
    full = make(rng.key("cut"), 0, 0, 200, 100)
    np.testing.assert_array_equal(make(rng.key("cut"), 30, 40, 50, 20), full[40:60, 30:80])


def test_normal_field_is_normal_and_uncorrelated():
    field = rng.normal_field(rng.key("white"), 0, 0, 512, 512).astype(float)
    assert abs(field.mean()) < 5 / 512
    assert field.std() == pytest.approx(1, abs=5 / 512 / np.sqrt(2))
    assert np.mean(field**4) == pytest.approx(3, abs=0.1)
    for shifted, base in ((field[1:], field[:-1]), (field[:, 1:], field[:, :-1])):
        assert abs(np.mean(shifted * base)) < 5 / 512


def test_keys_tell_words_apart():
    assert rng.key("a", "bc") != rng.key("ab", "c")
    assert rng.key(1, "x") == rng.key("1", "x")
