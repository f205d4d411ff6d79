"""Static properties of the simulated detectors."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.sim.chip import Region, build_chip, readout_view
from jwstsm.sim.instruments import DETECTORS, frame_time_s


def test_a_subarray_is_a_cut_of_the_full_frame():
    full = build_chip("NRCB1", Region(0, 0, 2048, 2048), 4, 3)
    region = Region(0, 1888, 160, 160)
    cut = build_chip("NRCB1", region, 4, 3)
    window = np.s_[region.y0 : region.y0 + region.ny, region.x0 : region.x0 + region.nx]
    for name in ("gain", "bias", "dark", "response", "full_well", "quadratic", "read_noise"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(full, name)[window], err_msg=name)
    # flags of open pixels' neighbours reach one pixel over the edge
    np.testing.assert_array_equal(cut.flags[1:-1, 1:-1], full.flags[window][1:-1, 1:-1])


def test_reference_pixels_are_four_wide_and_blind():
    chip = build_chip("NRCB1", Region(0, 1888, 160, 160), 1, 3)
    expected = np.zeros((160, 160), bool)
    expected[:, :4] = expected[-4:] = True
    np.testing.assert_array_equal(chip.reference_pixels, expected)
    assert not chip.response[expected].any()
    assert not chip.dark[expected].any()


def test_linearity_polynomial_and_its_inverse_agree():
    chip = build_chip("NRCALONG", Region(500, 500, 40, 40), 1, 3)
    linear = np.linspace(0, 45000, 12)[:, None, None] * np.ones((1, 40, 40))
    measured = chip.measured(linear)
    restored = measured + chip.quadratic * measured**2 + chip.cubic * measured**3
    np.testing.assert_allclose(restored, linear, atol=0.05)
    assert (measured[-1] < 0.97 * linear[-1]).all()


def test_bad_pixels_come_in_the_stated_shares():
    chip = build_chip("NRCA1", Region(100, 100, 1000, 1000), 1, 3)
    for name, share in (("DEAD", 6e-4), ("HOT", 8e-4), ("TELEGRAPH", 3e-4)):
        count = np.count_nonzero(chip.flags & dq.FLAGS[name].value)
        assert count == pytest.approx(share * 1e6, abs=5 * np.sqrt(share * 1e6))
    dead = (chip.flags & dq.DEAD) != 0
    assert not chip.response[dead].any()
    assert (chip.flags[dead] & dq.DO_NOT_USE).all()


@pytest.mark.parametrize(("fast", "slow"), [(1, 2), (-1, 2), (1, -2), (2, 1), (-2, -1), (2, -1)])
def test_readout_view_puts_the_first_read_pixel_first(fast, slow):
    plane = np.arange(12).reshape(3, 4)
    view = readout_view(plane, fast, slow)
    assert np.shares_memory(view, plane)
    position = {1: 0, 2: 0, -1: 3, -2: 2}
    x = position[fast] if abs(fast) == 1 else position[slow]
    y = position[slow] if abs(slow) == 2 else position[fast]
    assert view[0, 0] == plane[y, x]
    step = np.argwhere(plane == view[0, 1])[0] - np.argwhere(plane == view[0, 0])[0]
    assert step[1 if abs(fast) == 1 else 0] == np.sign(fast)


@pytest.mark.parametrize(
    ("nx", "ny", "outputs", "seconds"),
    [(2048, 2048, 4, 10.73677), (160, 160, 1, 0.27864), (64, 64, 1, 0.05016), (640, 640, 1, 4.18584)],
)
def test_frame_times_are_those_of_flight(nx, ny, outputs, seconds):
    assert frame_time_s(nx, ny, outputs) == pytest.approx(seconds, abs=1e-9)


def test_axes_of_each_detector_are_orthogonal():
    for row in DETECTORS.values():
        assert {abs(row.fast_axis), abs(row.slow_axis)} == {1, 2}
