"""ipc moves signal back to the pixel that it leaked from; reference pixels neither give nor take."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import ReferenceError_
from jwstsm.references import Window
from jwstsm.stage1.ipc import ipc
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

# no two elements alike, so that a flipped or transposed kernel shows
KERNEL = np.array([[0.01, 0.02, 0.03], [0.04, 1.5, 0.05], [0.06, 0.07, 0.08]])
INSIDE = {"SUBSTRT1": 500, "SUBSTRT2": 700}


def test_a_point_becomes_the_kernel_around_it():
    ramp = make_ramp(2, 2, 7, 8, **INSIDE)
    ramp.data[1, 0, 3, 4] = 100.0
    ipc(ramp, FakeReferences({"ipc": {"SCI": KERNEL}}))
    expected = np.zeros((2, 2, 7, 8))
    expected[1, 0, 2:5, 3:6] = 100.0 * KERNEL
    np.testing.assert_allclose(ramp.data, expected, rtol=1e-6)


def test_signal_beyond_the_edges_counts_as_zero():
    ramp = make_ramp(1, 1, 3, 3, **INSIDE)
    ramp.data[:] = 1.0
    ipc(ramp, FakeReferences({"ipc": {"SCI": KERNEL}}))
    assert ramp.data[0, 0, 1, 1] == pytest.approx(KERNEL.sum(), rel=1e-6)
    # the corner sees itself and the three neighbours that exist; the kernel is flipped, as in a convolution
    assert ramp.data[0, 0, 0, 0] == pytest.approx(KERNEL[:2, :2].sum(), rel=1e-6)


def test_reference_pixels_are_left_out():
    ramp = make_ramp(1, 1, 8, 9)  # the corner of the detector: 4 reference rows and columns
    ramp.data[0, 0, :4] = ramp.data[0, 0, :, :4] = 1000.0
    ramp.data[0, 0, 4, 4] = 10.0
    before = ramp.data.copy()
    ipc(ramp, FakeReferences({"ipc": {"SCI": KERNEL}}))
    np.testing.assert_array_equal(ramp.data[0, 0, :4], before[0, 0, :4])
    np.testing.assert_array_equal(ramp.data[0, 0, :, :4], before[0, 0, :, :4])
    assert ramp.data[0, 0, 4, 4] == pytest.approx(15.0)
    assert ramp.data[0, 0, 5, 5] == pytest.approx(0.8)


def test_a_kernel_per_pixel_is_cut_to_the_subarray():
    ramp = make_ramp(1, 1, 5, 6, SUBSTRT1=7, SUBSTRT2=9)
    ramp.data[0, 0, 2, 3] = 100.0
    field = np.zeros((3, 3, 30, 30))
    field[1, 1] = 1.0
    field[0, 1, 8 + 1, 6 + 3] = 0.25  # the pixel below the bright one takes from above
    ipc(ramp, FakeReferences({"ipc": {"SCI": field}}, Window.of(ramp.readout)))
    assert ramp.data[0, 0, 1, 3] == pytest.approx(25.0)
    assert ramp.data[0, 0, 2, 3] == pytest.approx(100.0)
    assert np.count_nonzero(ramp.data) == 2


def test_an_even_kernel_is_an_error_and_none_skips():
    with pytest.raises(ReferenceError_, match="odd"):
        ipc(make_ramp(1, 1, 5, 5, **INSIDE), FakeReferences({"ipc": {"SCI": np.ones((2, 3))}}))
    assert isinstance(ipc(make_ramp(1, 1, 5, 5), FakeReferences({"ipc": None})), Skipped)
