"""gain_scale multiplies rates by the gain factor, variances by its square."""

from __future__ import annotations

import numpy as np

from jwstsm.stage1.gain_scale import gain_scale
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_slope


def test_rates_errors_and_variances_scale_and_the_factor_is_recorded():
    slope = make_slope(3, 4, nints=2, value=10.0)
    slope.data[0, 0, 0] = np.nan
    slope.dq[0, 0, 0] = 5
    errors, poisson, read = slope.err.copy(), slope.var_poisson.copy(), slope.var_rnoise.copy()
    gain_scale(slope, FakeReferences({"gain": {"header": {"GAINFACT": 1.5}}}))
    assert np.isnan(slope.data[0, 0, 0])
    assert slope.dq[0, 0, 0] == 5
    assert slope.data[1, 2, 3] == 15.0
    np.testing.assert_allclose(slope.err, 1.5 * errors, rtol=1e-6)
    np.testing.assert_allclose(slope.var_poisson, 2.25 * poisson, rtol=1e-6)
    np.testing.assert_allclose(slope.var_rnoise, 2.25 * read, rtol=1e-6)
    assert slope.primary["GAINFACT"] == 1.5


def test_the_exposures_own_factor_goes_before_the_reference():
    slope = make_slope(2, 2, value=1.0, GAINFACT=3.0)
    gain_scale(slope, FakeReferences({"gain": {"header": {"GAINFACT": 1.5}}}))
    assert np.all(slope.data == 3.0)


def test_without_a_factor_nothing_is_changed():
    for content in ({"gain": {"header": {}}}, {"gain": None}):
        slope = make_slope(2, 2, value=1.0)
        result = gain_scale(slope, FakeReferences(content))
        assert isinstance(result, Skipped)
        assert np.all(slope.data == 1.0)
        assert "GAINFACT" not in slope.primary
