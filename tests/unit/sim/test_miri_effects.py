"""The effects of MIRI ramps are what they say, and their reference files are in the layout of CRDS."""

from __future__ import annotations

import asdf
import numpy as np
import pytest

from jwstsm.sim.miri_effects import (
    EMI_CASES,
    EMI_WAVES,
    ResetAnomaly,
    add_emi,
    add_last_frame,
    add_reset_anomaly,
    add_reset_decay,
    sample_ticks,
    write_emicorr,
)


def test_full_frames_repeat_the_390_hz_wave_and_move_the_10_hz_wave():
    data = np.zeros((1, 3, 1024, 8), np.float32)
    add_emi(data, EMI_CASES["FULL_FAST"], {"Hz390": (1.0, 0.2)})
    np.testing.assert_allclose(data[0, 1], data[0, 0], atol=1e-4)
    assert data.std() > 2
    data[:] = 0
    add_emi(data, EMI_CASES["FULL_FAST"], {"Hz10": (1.0, 0.2)})
    assert np.std(data[0, 1] - data[0, 0]) > 1


def test_the_four_outputs_see_the_same():
    data = np.zeros((1, 2, 16, 24), np.float32)
    add_emi(data, EMI_CASES["SUB64"], {"Hz390": (1.0, 0.0), "Hz10": (0.5, 0.3)})
    blocks = data.reshape(1, 2, 16, 6, 4)
    assert (blocks == blocks[..., :1]).all()


def test_blocks_of_integrations_are_the_whole():
    whole, part = np.zeros((3, 2, 8, 8), np.float32), np.zeros((1, 2, 8, 8), np.float32)
    add_emi(whole, EMI_CASES["SUB64"], {"Hz10": (1.0, 0.4)})
    add_emi(part, EMI_CASES["SUB64"], {"Hz10": (1.0, 0.4)}, first=2)
    np.testing.assert_array_equal(part[0], whole[2])


def test_a_frame_and_the_reset_lie_between_integrations():
    case = EMI_CASES["SUB64"]
    first, second = (sample_ticks((2, 5, 64, 72), case, 1, True, i) for i in (0, 1))
    assert (second - first == 5 * (64 * 28 + 960 * 7) + case.frameclocks).all()
    assert (first[1] - first[0] == case.frameclocks).all()


def test_the_anomaly_decays_and_is_larger_in_the_first_integration():
    effect = ResetAnomaly.of((8, 10), "MIRIMAGE")
    data = np.zeros((3, 20, 8, 10), np.float32)
    add_reset_anomaly(data, effect)
    assert (np.diff(data[:, : effect.groups], axis=1) > 0).all()
    np.testing.assert_allclose(data[0, 0], 1.6 * data[1, 0], rtol=1e-6)
    np.testing.assert_array_equal(data[1], data[2])
    assert not data[:, effect.groups :].any()


def test_the_decay_after_a_reset_follows_the_signal_and_spares_the_first_integration():
    data = np.zeros((2, 10, 2, 2), np.float32)
    data += np.linspace(0, 5000, 10).reshape(1, -1, 1, 1)
    clean = data.copy()
    add_reset_decay(data)
    np.testing.assert_array_equal(data[0], clean[0])
    assert (data[1] - clean[1])[0, 0, 0] == pytest.approx(-20)
    assert abs((data[1] - clean[1])[9, 0, 0]) < 0.1


def test_even_rows_of_the_last_group_are_drawn_down():
    data = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1) * np.ones((1, 4, 4, 2), np.float32)
    add_last_frame(data, 0.25)
    assert data[0, -1, :, 0].tolist() == [2.75, 3, 2.75, 3]
    assert (data[0, 2] == 2).all()


def test_the_reference_of_the_waves_has_its_tables_at_the_top(tmp_path):
    with asdf.open(write_emicorr(tmp_path / "emi.asdf")) as file:
        tree = file.tree
        assert tree["meta"]["reftype"] == "emicorr"
        assert tree["subarray_cases"]["FULL_FAST"]["freqs"]["FAST"] == ["Hz10"]
        assert tree["subarray_cases"]["FULL_SLOW"]["freqs"]["SLOW"]["MIRIFULONG"] == ["Hz218", "Hz10"]
        entry = tree["frequencies"]["Hz10"]
        assert entry["frequency"] == EMI_WAVES["Hz10"].frequency_hz
        np.testing.assert_array_equal(entry["phase_amplitudes"], EMI_WAVES["Hz10"].table())
