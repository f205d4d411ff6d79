"""Simulated IRS2 frames and multistripe readouts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.products.stripes import Stripes
from jwstsm.sim import interleaving
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.exposing import Effects, Pixels, Readout
from jwstsm.sim.frames import lay_out
from jwstsm.sim.multistripe import cut_lines
from jwstsm.stage1._irs2 import FrameLayout

SILENT = interleaving.Irs2Effects(common_dn=0, own_dn=0, level_dn=0, bad_dn=0)


def test_the_layout_is_that_which_the_step_knows():
    """Written down twice, from the description: rows and clocks of all samples agree."""
    rows, clocks, science = interleaving._order()
    layout = FrameLayout.of(2, 1)
    np.testing.assert_array_equal(rows, layout.rows)
    np.testing.assert_array_equal(clocks, layout.clocks)
    np.testing.assert_array_equal(np.flatnonzero(science), layout.science_samples)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_science_pixels_keep_their_order_and_reference_pixels_lie_between(detector):
    chip = build_chip(detector, Region(0, 0, 2048, 2048), 5, 1)
    readout = Readout(1, 1, 1, 0, 14.6, readpatt="NRSIRS2RAPID")
    pixels = Pixels(chip, Effects(read_noise=0.0, irs2=SILENT), np.zeros((2048, 2048), np.float32), 1, readout)
    plane = np.arange(2048, dtype=np.float32)[:, None] * np.ones(2048, np.float32)
    frame = lay_out(pixels, plane)
    flags = interleaving.interleaved_flags(chip, np.zeros((2048, 2048), np.uint32))
    science = (flags[:, 0] & dq.REFERENCE_PIXEL) == 0
    assert frame.shape == (3200, 2048)
    np.testing.assert_array_equal(frame[science], plane)
    assert np.abs(frame[~science].mean() - 9500) < 5
    # the reference output comes first on the detector
    assert not (science[:640] if detector == "NRS1" else science[-640:]).any()


def test_the_noise_has_the_size_asked_for_and_no_power_above_its_band():
    noise = interleaving._band_noise(np.random.default_rng(1), 5000, 7.0)
    assert np.std(noise) == pytest.approx(7.0, rel=0.3)
    spectrum = np.abs(np.fft.rfft(noise.ravel()))
    assert spectrum[5001:].max() < 1e-3 * spectrum[1:5000].max()


def test_dark_lines_of_moving_stripes_are_all_that_they_pass_over():
    plane = np.arange(2048)[:, None] * np.ones(4, int)
    stripes = Stripes(1, 10, 2, 0, False, False, 2, 3, 0, 3)
    assert cut_lines(plane, stripes, 2)[:, 0].tolist() == list(range(11, 17))
    assert cut_lines(plane, stripes, -2)[:, 0].tolist() == [2047 - v for v in range(16, 10, -1)]
    still = dataclasses.replace(stripes, count=0)
    assert cut_lines(plane, still, 2)[:, 0].tolist() == [0, 11, 12]
