"""emicorr takes out the interference that the forward model puts in, with either algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from jwstsm.core import scratch
from jwstsm.core.dq import HOT
from jwstsm.errors import InputError
from jwstsm.references import ReferenceFile
from jwstsm.sim.miri_effects import EMI_CASES, EMI_WAVES, add_emi, sample_ticks, write_emicorr
from jwstsm.stage1 import _emicorr_joint as joint
from jwstsm.stage1._emicorr_clock import FALLBACK_CLOCKS, Clock, Wave
from jwstsm.stage1._emicorr_sequential import stretch
from jwstsm.stage1._emicorr_spline import spline_steps
from jwstsm.stage1.emicorr import emicorr
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp
from tests.unit.stage1.test_firstframe import MIRI

WAVES = {"Hz390": (1.0, 0.13)}


def ramp(nints=2, ngroups=12):
    """Straight ramps of various slopes with read noise and interference; returns the ramp and what it should be."""
    made = make_ramp(
        nints, ngroups, 64, 72, **MIRI, SUBARRAY="SUB64", READPATT="FASTR1", NSAMPLES=1, TFRAME=0.08512, TGROUP=0.08512
    )
    rng = np.random.default_rng(5)
    slope = rng.uniform(5, 50, (64, 72))
    made.data[:] = 1000 + slope * np.arange(ngroups).reshape(1, -1, 1, 1) + rng.normal(0, 0.5, made.data.shape)
    clean = made.data.copy()
    add_emi(made.data, EMI_CASES["SUB64"], WAVES)
    return made, clean


class Given(FakeReferences):
    """References with one real file."""

    def __init__(self, path):
        super().__init__({"emicorr": {}})
        self._open["emicorr"] = ReferenceFile(path, "emicorr")


def roughness(data, clean):
    """Return the scatter of what is left, without what a slope and a bias would take."""
    rest = (data - clean).astype(float)
    return float(np.std(np.diff(rest, n=2, axis=1)))


@pytest.mark.parametrize("algorithm", ["sequential", "joint"])
def test_the_interference_is_removed(tmp_path, algorithm):
    made, clean = ramp()
    before = roughness(made.data, clean)
    out = emicorr(made, Given(write_emicorr(tmp_path / "emi.asdf")), algorithm=algorithm)
    assert before > 3
    assert roughness(out.data, clean) < 0.2 * before


def test_it_can_be_removed_without_a_reference():
    made, clean = ramp(nints=4)
    before = roughness(made.data, clean)
    out = emicorr(made, FakeReferences({"emicorr": None}), onthefly_corr_freq=[390.625])
    assert roughness(out.data, clean) < 0.5 * before


def test_without_a_reference_or_for_other_instruments_it_is_skipped():
    made, _ = ramp()
    assert isinstance(emicorr(made, FakeReferences({"emicorr": None})), Skipped)
    assert isinstance(emicorr(make_ramp(1, 12, 8, 8), FakeReferences({"emicorr": None})), Skipped)


def clock(made, reset_frame=True):
    case = EMI_CASES["SUB64"]
    ny, nx = made.data.shape[2:]
    return Clock(ny, nx, made.data.shape[1], case.rowclocks, 1, case.frameclocks if reset_frame else 0)


def wave(name="Hz390"):
    return Wave(name, EMI_WAVES[name].frequency_hz, EMI_WAVES[name].table())


@pytest.mark.parametrize("phase", [0.0, 0.001, 0.3, 0.998])
def test_phase_and_amplitude_come_back(phase):
    made, _ = ramp(nints=2, ngroups=6)
    made.data -= ramp(nints=2, ngroups=6)[0].data - ramp(nints=2, ngroups=6)[1]
    add_emi(made.data, EMI_CASES["SUB64"], {"Hz390": (1.3, phase)})
    found = joint.remove_wave_inplace(made.data, made.pixeldq, wave(), clock(made))
    for i, (start, amplitude) in enumerate(found):
        expected = (phase + i * clock(made).integration / wave().period) % 1
        assert abs((start - expected + 0.5) % 1 - 0.5) < 0.003
        assert amplitude == pytest.approx(1.3, abs=0.02)


def test_a_wave_that_is_the_same_in_every_group_is_left_alone():
    """A full frame lasts whole periods of 390.625 Hz; the wave is then part of the bias, and any amplitude fits."""
    generator = np.random.default_rng(2)
    data = generator.normal(0, 3, (1, 5, 1024, 16)).astype(np.float32)
    add_emi(data, EMI_CASES["FULL_FAST"], {"Hz390": (1.0, 0.2)})
    kept = data.copy()
    full = Clock(1024, 16, 5, 271, 1, 277504)
    ((_, amplitude),) = joint.remove_wave_inplace(data, np.zeros((1024, 16), np.uint32), wave(), full)
    assert amplitude == 0
    np.testing.assert_array_equal(data, kept)


def test_three_groups_are_enough_for_the_joint_fit_and_two_are_not(tmp_path):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    made, clean = ramp(ngroups=3)
    before = roughness(made.data, clean)
    assert roughness(emicorr(made, reference).data, clean) < 0.25 * before
    made, _ = ramp(ngroups=2)
    kept = made.data.copy()
    assert isinstance(emicorr(made, reference), Skipped)
    np.testing.assert_array_equal(made.data, kept)


def test_integrations_whose_waves_do_not_keep_step_are_fitted_on_their_own(tmp_path):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    made, clean = ramp()
    made.data[1] = clean[1]
    add_emi(made.data[1:], EMI_CASES["SUB64"], {"Hz390": (2.0, 0.77)})
    together, alone = made.data.copy(), made
    other = make_ramp(data=together, NINTS=2, NGROUPS=12)
    other.primary = made.primary
    before = roughness(alone.data, clean)
    assert roughness(emicorr(alone, reference, fit_ints_separately=True).data, clean) < 0.1 * before
    assert roughness(emicorr(other, reference).data, clean) > 0.3 * before


def test_flagged_pixels_take_no_part_in_the_fit_but_are_corrected(tmp_path):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    made, _ = ramp()
    spoilt, _ = ramp()
    rng = np.random.default_rng(1)
    bad = rng.random(spoilt.pixeldq.shape) < 0.2
    spoilt.pixeldq[bad] = HOT
    added = np.where(bad, rng.normal(0, 3, spoilt.data.shape), 0).astype(np.float32)
    spoilt.data += added
    emicorr(spoilt, reference)
    emicorr(made, reference)
    np.testing.assert_allclose(spoilt.data - added, made.data, atol=0.25)


def test_bright_pixels_do_not_disturb_the_fit(tmp_path):
    made, clean = ramp()
    rng = np.random.default_rng(4)
    bright = rng.random(made.pixeldq.shape) < 0.1
    light = np.where(bright, 2000.0, 0.0) * np.arange(12).reshape(1, -1, 1, 1) ** 1.01
    made.data += light.astype(np.float32)
    found = emicorr(made, Given(write_emicorr(tmp_path / "emi.asdf"))).data - light
    assert roughness(found[..., ~bright], clean[..., ~bright]) < 0.2 * 8


@pytest.mark.parametrize("algorithm", ["sequential", "joint"])
def test_memory_is_bounded_without_changing_the_result(tmp_path, monkeypatch, algorithm):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    whole = emicorr(ramp(nints=4)[0], reference, algorithm=algorithm)
    made, _ = ramp(nints=4)
    monkeypatch.setenv("JWSTSM_MEMORY_LIMIT", str(made.data[0].nbytes))
    mapped = scratch.allocate(made.data.shape, np.float32)
    assert scratch.is_mapped(mapped)
    mapped[:] = made.data
    made.data = mapped
    assert len(list(made.integration_blocks())) == 4
    np.testing.assert_array_equal(emicorr(made, reference, algorithm=algorithm).data, whole.data)


def test_waves_found_without_a_reference_are_saved_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, clean = ramp(nints=4)
    made.path = tmp_path / "jw1_mirimage_uncal.fits"
    before = roughness(made.data, clean)
    emicorr(made, FakeReferences({}), onthefly_corr_freq=[390.625], save_intermediate_results=True)
    path = tmp_path / "jw1_mirimage_emi_ref_waves.asdf"
    again, _ = ramp(nints=4)
    out = emicorr(again, FakeReferences({}), user_supplied_reffile=str(path))
    assert roughness(out.data, clean) < 0.5 * before


def test_a_reference_wave_has_the_right_size_only_if_it_is_scaled(tmp_path):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    left = {}
    for scale in (True, False):
        made, clean = ramp(nints=3)
        add_emi(made.data, EMI_CASES["SUB64"], {"Hz390": (1.0, 0.13)})
        before = roughness(made.data, clean)
        out = emicorr(made, reference, algorithm="sequential", scale_reference=scale)
        left[scale] = roughness(out.data, clean) / before
    assert left[True] < 0.2
    assert 0.4 < left[False] < 0.6


def test_a_wave_that_stands_still_is_not_subtracted():
    # a full frame takes a whole number of periods of 390.625 Hz: the wave is a fixed pattern, like a bias
    still = Clock(1024, 16, 4, 271, 1, 277504)
    assert still.frame % wave().period == 0
    made = make_ramp(1, 4, 1024, 16, **MIRI, SUBARRAY="FULL", READPATT="FASTR1")
    made.data += np.random.default_rng(2).normal(1000, 3, made.data.shape)
    before = made.data.copy()
    assert joint.remove_wave_inplace(made.data, made.pixeldq, wave(), still)[0][1] == 0
    np.testing.assert_array_equal(made.data, before)


def test_unknown_readouts_are_left_alone(tmp_path):
    reference = Given(write_emicorr(tmp_path / "emi.asdf"))
    for change in ({"READPATT": "FASTGRPAVG"}, {"SUBARRAY": "SUB16"}, {"READPATT": "SLOWR1"}):
        made, _ = ramp()
        made.primary.update(change)
        assert isinstance(emicorr(made, reference), Skipped)


def test_a_frequency_that_is_none_is_refused():
    with pytest.raises(InputError, match="onthefly_corr_freq"):
        emicorr(ramp()[0], FakeReferences({}), onthefly_corr_freq=[-10.0])


def test_clocks_of_every_subarray_agree_with_the_reference():
    for name, (rowclocks, frameclocks) in FALLBACK_CLOCKS.items():
        assert (EMI_CASES[name].rowclocks, EMI_CASES[name].frameclocks) == (rowclocks, frameclocks)


@pytest.mark.parametrize(("subarray", "readpatt"), [("FULL", "SLOWR1"), ("SUB64", "FAST")])
def test_the_clock_counts_as_the_simulator_does(subarray, readpatt):
    speed = "SLOW" if "SLOW" in readpatt else "FAST"
    case = EMI_CASES[f"{subarray}_{speed}" if subarray == "FULL" else subarray]
    samples = 9 if speed == "SLOW" else 1
    ours = Clock(16, 24, 3, case.rowclocks, samples, case.frameclocks if "R1" in readpatt else 0)
    theirs = sample_ticks((2, 3, 16, 24), case, samples, "R1" in readpatt, 1)
    mine = ours.ticks() + ours.integration + ours.frame * np.arange(3)[:, None, None]
    np.testing.assert_array_equal(mine, theirs)


def test_values_are_stretched_to_the_nearest_place_before():
    assert stretch(np.arange(4), 8.0).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert stretch(np.arange(6), 4.5).tolist() == [0, 1, 2, 4, 5]


def test_the_spline_is_periodic_and_goes_through_its_points():
    shape = EMI_WAVES["Hz10"].table()
    spline = joint.WaveSpline(shape)
    middles = (np.arange(shape.size) + 0.5) / shape.size
    at = np.array([joint._evaluate(spline.steps, p) for p in (*middles, *(middles + 3), *(middles - 2))])
    np.testing.assert_allclose(at.reshape(3, -1), np.broadcast_to(shape, (3, shape.size)), atol=1e-12)
    between = np.linspace(0, 1, 777)
    truth = EMI_WAVES["Hz10"].value(between)
    np.testing.assert_allclose([joint._evaluate(spline.steps, p) for p in between], truth, atol=1e-4)


@pytest.mark.parametrize("size", [4, 5, 6, 200])
def test_splines_are_those_of_scipy(size):
    values = np.random.default_rng(size).normal(size=size)
    spline = make_interp_spline(np.arange(size), values, k=3)
    place = np.linspace(0, size - 1, 333, endpoint=False)
    steps = spline_steps(values)[place.astype(int)]
    t = place % 1
    np.testing.assert_allclose(
        steps[:, 0] + t * (steps[:, 1] + t * (steps[:, 2] + t * steps[:, 3])), spline(place), atol=1e-12
    )
