"""The chain of detector effects."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.sim import noise
from jwstsm.sim.chip import Region, build_chip
from jwstsm.sim.detector import Effects, Readout, expose

SILENT = Effects(
    poisson=False,
    read_noise=0,
    flicker_dn=0,
    common_flicker_dn=0,
    amplifier_drift_dn=0,
    odd_even_drift_dn=0,
    reset_noise_dn=0,
    telegraph_dn=0,
    nonlinearity=False,
    ipc=False,
    dark=False,
    cosmic_rays_cm2_s=0,
    snowballs_s=0,
)
READOUT = Readout(nints=1, ngroups=6, nframes=1, groupgap=0, frame_s=2.0)


@pytest.fixture(scope="module")
def chip():
    return build_chip("NRCALONG", Region(600, 700, 200, 200), 1, 11)


def _with(**changes):
    return dataclasses.replace(SILENT, **changes)


def _good(chip):
    return (chip.flags & (dq.DEAD | dq.OPEN | dq.ADJ_OPEN | dq.HOT | dq.TELEGRAPH)) == 0


def test_without_noise_the_ramp_is_bias_plus_rate_times_time(chip):
    light = np.full(chip.region.shape, 50, np.float32)
    data = expose(chip, light, READOUT, SILENT, 1).data[0].astype(float)
    time = READOUT.frame_s * np.arange(1, 7)
    expected = chip.bias + (light / chip.gain) * time[:, None, None]
    np.testing.assert_allclose(data, expected, atol=0.51)


def test_linearity_coefficients_undo_the_nonlinearity(chip):
    light = np.full(chip.region.shape, 5000, np.float32)
    data = expose(chip, light, READOUT, _with(nonlinearity=True), 1).data[0].astype(float) - chip.bias
    linear = data + chip.quadratic * data**2 + chip.cubic * data**3
    expected = (light / chip.gain) * (READOUT.frame_s * np.arange(1, 7))[:, None, None]
    np.testing.assert_allclose(linear, expected, atol=0.7)
    assert data[-1].mean() < 0.98 * expected[-1].mean()


def test_noise_of_a_read_is_the_noise_asked_for(chip):
    dark = np.zeros(chip.region.shape, np.float32)
    data = expose(chip, dark, Readout(1, 60, 1, 0, 2.0), _with(read_noise=1.0), 1).data[0].astype(float)
    expected = np.sqrt((chip.read_noise / chip.gain) ** 2 + 1 / 12)
    ratio = data.var(axis=0, ddof=1) / expected**2
    assert ratio.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / 59 / ratio.size))


def test_photon_transfer_gives_the_gain(chip):
    light = np.full(chip.region.shape, 3000, np.float32)
    readout = Readout(2, 2, 1, 0, 2.0)
    data = expose(chip, light, readout, _with(poisson=True), 1).data.astype(float)
    signal = data[:, 1] - data[:, 0]
    good = _good(chip)
    variance = ((signal[1] - signal[0]) ** 2 / 2 - 1 / 6)[good].mean()
    gain = signal.mean(0)[good].mean() / variance
    assert gain == pytest.approx(chip.gain[good].mean(), rel=0.04)


def test_counts_accumulate_so_groups_are_correlated(chip):
    light = np.full(chip.region.shape, 500, np.float32)
    data = expose(chip, light, READOUT, _with(poisson=True), 1).data[0].astype(float)
    data -= chip.bias + (light / chip.gain) * (2.0 * np.arange(1, 7))[:, None, None]
    covariance = np.mean(data[0] * data[5]) / np.mean(data[0] ** 2)
    assert covariance == pytest.approx(1, abs=0.05)


def test_averaged_groups_follow_the_read_pattern(chip):
    light = np.full(chip.region.shape, 100, np.float32)
    readout = Readout(1, 3, 4, 1, 2.0, zero_frame=True)
    exposed = expose(chip, light, readout, SILENT, 1)
    mean_time = 2.0 * (2.5 + 5 * np.arange(3))
    expected = chip.bias + (light / chip.gain) * mean_time[:, None, None]
    difference = exposed.data[0] - expected
    # integer division loses half a count on average
    assert np.abs(difference + 0.375).max() < 1.01
    np.testing.assert_allclose(exposed.zero_frame[0], chip.bias + light / chip.gain * 2.0, atol=0.51)


def test_full_wells_stay_full_and_below_the_converter(chip):
    light = np.full(chip.region.shape, 3e4, np.float32)
    data = expose(chip, light, READOUT, _with(nonlinearity=True), 1).data[0].astype(float)
    np.testing.assert_array_equal(data[4], data[5])
    assert (data[5] > chip.saturation_dn).all()
    assert data.max() <= 65535


def test_coupling_conserves_charge_and_reaches_the_neighbours(chip):
    light = np.zeros(chip.region.shape, np.float32)
    light[100, 100] = 4000
    data = expose(chip, light, READOUT, _with(ipc=True), 1).data[0]
    plain = expose(chip, np.zeros_like(light), READOUT, SILENT, 1).data[0]
    signal = (data.astype(float) - plain)[-1]
    total = signal[98:103, 98:103] * chip.gain[98:103, 98:103]
    assert total.sum() == pytest.approx(4000 * 12, rel=2e-4)
    assert total[2, 3] / total.sum() == pytest.approx(chip.ipc, rel=0.02)
    assert signal[101, 101] == 0


@pytest.mark.parametrize("effect", ["cosmic_rays_cm2_s", "snowballs_s"])
def test_every_particle_is_in_the_truth(chip, effect):
    strength = {"cosmic_rays_cm2_s": 200.0, "snowballs_s": 30.0}[effect]
    light = np.zeros(chip.region.shape, np.float32)
    plain = expose(chip, light, READOUT, SILENT, 1).data[0].astype(float)
    exposed = expose(chip, light, READOUT, _with(**{effect: strength}), 1)
    jump = np.diff(exposed.data[0] - plain, axis=0, prepend=0)
    truth = exposed.hits.arrays()
    deposited = np.zeros(jump.shape)
    np.add.at(deposited, (truth["cr_group"], truth["cr_y"], truth["cr_x"]), truth["cr_electrons"])
    assert len(truth["cr_y"]) > 50
    assert not jump[deposited == 0].any()
    unsaturated = np.cumsum(deposited, axis=0)[-1] < 0.9 * chip.full_well
    difference = (jump - deposited / chip.gain)[:, unsaturated]
    assert np.abs(difference).max() < 1.01
    if effect == "snowballs_s":
        assert len(truth["snowballs"]) > 0


def test_reference_pixels_see_the_drift_of_their_amplifier():
    chip = build_chip("NRCB1", Region(0, 1888, 160, 160), 1, 11)
    dark = np.zeros(chip.region.shape, np.float32)
    effects = _with(amplifier_drift_dn=30.0, odd_even_drift_dn=10.0)
    data = expose(chip, dark, READOUT, effects, 1).data[0] - chip.bias.astype(float)
    reference = chip.reference_pixels
    for parity in (0, 1):
        inside = np.zeros(chip.region.shape, bool)
        inside[:, parity::2] = True
        level = data[:, inside & reference].mean(axis=1)
        np.testing.assert_allclose(data[:, inside & ~reference].mean(axis=1), level, atol=0.2)
    assert np.std(data.mean(axis=(1, 2))) > 1


def test_migrating_charge_is_conserved_and_leaves_only_full_pixels(chip):
    light = np.zeros(chip.region.shape, np.float32)
    light[50, 60] = 7000
    changed = _with(charge_migration=0.02, migration_level_e=30000.0)
    signal = expose(chip, light, READOUT, changed, 1).data[0].astype(float) - chip.bias
    charge = signal * chip.gain
    arrived = 14000.0 * np.arange(1, 7)
    np.testing.assert_allclose(charge[:, 48:53, 58:63].sum(axis=(1, 2)), arrived, rtol=1e-3)
    assert np.abs(charge[:2, 50, 60] - arrived[:2]).max() < 2
    lost = 4 * 0.02 * (arrived[2:5] - 30000)
    np.testing.assert_allclose(arrived[2:5] - charge[2:5, 50, 60], lost, atol=8)
    np.testing.assert_allclose(charge[2:5, 51, 60], lost / 4, atol=8)


def test_integrations_begin_anew_but_traps_remember(chip):
    light = np.full(chip.region.shape, 2000, np.float32)
    readout = Readout(2, 4, 1, 0, 2.0)
    plain = expose(chip, light, readout, SILENT, 1).data
    np.testing.assert_array_equal(plain[0], plain[1])
    trapping = expose(chip, light, readout, _with(persistence=0.01), 1).data.astype(float)
    np.testing.assert_array_equal(trapping[0], plain[0])
    expected = 0.01 * 16000 * (1 - np.exp(-8.0 / 200.0)) / chip.gain
    np.testing.assert_allclose(trapping[1, -1] - plain[1, -1], expected, atol=1.1)


def test_same_seed_same_counts_other_seed_other_counts(chip):
    light = np.full(chip.region.shape, 20, np.float32)
    one, again, other = (expose(chip, light, READOUT, Effects(), seed).data for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_flicker_has_unit_rms_and_a_spectrum_of_one_over_f():
    generator = np.random.default_rng(3)
    frames = [noise.flicker_frame((128, 116), generator, overhead=12) for _ in range(60)]
    assert np.mean([frame.std() for frame in frames]) == pytest.approx(1, abs=0.05)
    power = np.mean([np.abs(np.fft.rfft(np.pad(f, ((0, 0), (0, 12))).ravel())) ** 2 for f in frames], axis=0)
    low, high = power[4:8].mean(), power[40:80].mean()
    slope = np.log(low / high) / np.log(60 / 6)
    assert slope == pytest.approx(1, abs=0.2)
    rows = np.array([frame.mean(axis=1).std() for frame in frames])
    assert rows.mean() > 5 / np.sqrt(116)
