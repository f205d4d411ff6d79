"""IRS2 frames with noise of known make: what refpix leaves is the white noise of single reads, and slopes stay true."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.references import Window
from jwstsm.sim import interleaving
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.detector import expose
from jwstsm.sim.exposing import Effects, Readout
from jwstsm.stage1._irs2 import science_rows
from jwstsm.stage1.refpix import refpix
from tests.builders import FakeReferences, make_ramp

pytestmark = pytest.mark.slow

FRAME_S = 14.5889
NGROUPS = 4
QUIET = Effects(
    poisson=False, dark=False, ipc=False, nonlinearity=False, telegraph_dn=0.0, cosmic_rays_cm2_s=0.0, snowballs_s=0.0
)
DIRECTIONS = {"NRS1": {"FASTAXIS": 2, "SLOWAXIS": 1}, "NRS2": {"FASTAXIS": -2, "SLOWAXIS": -1}}


def references(window):
    """Return the weights and the bad pixels that belong to the simulated noise."""
    alpha, beta = interleaving.fourier_weights()
    table = np.zeros(2 * alpha.shape[1], [(f"{kind}_{k}", ">f4") for kind in ("alpha", "beta") for k in range(4)])
    for k in range(4):
        table[f"alpha_{k}"][::2], table[f"beta_{k}"][::2] = alpha[k], beta[k]
    bad = [(output, pair, 1 << group) for output, pair, group in interleaving.BAD_PAIRS]
    bad = np.array(bad, [("output", "u2"), ("odd_even", "u2"), ("mask", "u4")])
    return FakeReferences({"refpix": {"IRS2": table, "DQ": bad}, "sirskernel": None}, window)


@pytest.fixture(scope="module", params=["NRS1", "NRS2"])
def exposure(request):
    """Four groups of light that grows along the slow axis, before and after refpix."""
    chip = build_chip(request.param, Region(0, 0, 2048, 2048), 5, 11)
    light = np.broadcast_to(np.linspace(0.5, 40, 2048, dtype=np.float32), (2048, 2048)) * ~chip.reference_pixels
    readout = Readout(1, NGROUPS, 1, 0, FRAME_S, readpatt="NRSIRS2RAPID")
    data = expose(chip, light, readout, QUIET, 5).data.astype(np.float32)
    data -= interleaving.interleaved_bias(chip)
    keywords = {"INSTRUME": "NIRSPEC", "DETECTOR": request.param, "READPATT": "NRSIRS2RAPID", "SUBARRAY": "FULL"}
    ramp = make_ramp(data=data, ngroups=NGROUPS, ny=3200, nx=2048, **keywords, **DIRECTIONS[request.param])
    before = data[0][:, science_rows(ramp)]
    after = refpix(ramp, references(Window.of(ramp.readout))).data[0]
    true = light / chip.gain
    return {
        "before": before,
        "after": after,
        "true": true,
        "white": chip.read_noise / chip.gain,
        "dark": chip.reference_pixels,
    }


def noise(planes, true):
    """Scatter of single reads [DN], from the differences of neighbouring groups without the light."""
    return np.std(np.diff(planes, axis=0) - true * FRAME_S) / np.sqrt(2)


def test_the_noise_left_is_that_of_single_reads(exposure):
    """Before, correlated noise makes it 1.5 times as large and more; after, less than a tenth is added."""
    white = np.sqrt(np.mean(exposure["white"] ** 2))
    assert noise(exposure["before"], exposure["true"]) > 1.5 * white
    assert noise(exposure["after"], exposure["true"]) < 1.1 * white


def test_stripes_along_the_fast_axis_are_gone(exposure):
    """The mean over half an output, of each detector row: white noise alone would leave 1 / 16 of a read's noise."""

    def stripes(planes):
        differences = np.diff(planes, axis=0) - exposure["true"] * FRAME_S
        return np.std(differences.reshape(len(differences), 8, 256, 2048).mean(axis=2)) / np.sqrt(2)

    white = np.sqrt(np.mean(exposure["white"] ** 2))
    assert stripes(exposure["before"]) > 0.8 * white
    assert stripes(exposure["after"]) < 0.25 * white


def test_slopes_are_unbiased(exposure):
    """In bins of brightness the mean slope is true to three standard errors, or 0.3 %."""
    planes, true = exposure["after"], exposure["true"]
    times = (np.arange(NGROUPS) - (NGROUPS - 1) / 2) * FRAME_S
    slope = np.tensordot(times / np.sum(times**2), planes, axes=1)
    error = exposure["white"] / np.sqrt(np.sum(times**2))
    light = ~exposure["dark"]
    for low, high in ((0.4, 5), (5, 15), (15, 25), (25, 40)):
        use = light & (true >= low) & (true < high)
        deviation = (slope - true)[use].mean()
        # noise that is common to many pixels does not average out like white noise
        assert abs(deviation) < max(0.003 * true[use].mean(), 3 * error[use].mean() / np.sqrt(use.sum()), 0.004), (
            low,
            deviation,
        )
