"""Frames made of a stripe that moves between integrations."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.superstripes import collate, is_superstripe, positions
from tests.builders import make_ramp

KEYS = {
    "MSTR_RD1": 1,
    "MSTR_SK1": 10,
    "MSTR_RD2": 2,
    "MSTR_SK2": 0,
    "MSTR_RPT": 0,
    "MSTR_ILV": 0,
    "SSTR_STP": 2,
    "SSTR_NST": 3,
}


def exposure(slowaxis=2, repeat=0, **keywords):
    """Return two sets of three positions; a pixel's value is its line on the detector, plus 1000 per set."""
    across = abs(slowaxis) == 1
    size = 3 * (1 + repeat)
    shape = (8, size) if across else (size, 8)
    keys = KEYS | {"MSTR_RPT": int(bool(repeat)), "FASTAXIS": 2 if across else 1, "SLOWAXIS": slowaxis}
    start = 2048 if slowaxis < 0 else 1
    keys |= {"SUBSTRT1" if across else "SUBSTRT2": start, "NINTS": 6, "INTSTART": 4, "INTEND": 9, "TFRAME": 0.5}
    ramp = make_ramp(6, 2, *shape, **(keys | keywords))
    for one, k in ((one, k) for k, one in enumerate(positions(ramp))):
        lines = one.readout.stripes.lines()[:: 1 if slowaxis > 0 else -1]
        for i in range(2):
            value = lines + 1000.0 * i
            ramp.data[3 * i + k] = value[None, None, :] if across else value[None, :, None]
            ramp.groupdq[3 * i + k] = k + 1
    table = np.zeros(6, [("integration_number", "i4"), *((f"int_{w}_MJD_UTC", "f8") for w in ("start", "mid", "end"))])
    for j, name in enumerate(table.dtype.names[1:]):
        table[name] = np.arange(6) + 0.4 * j
    ramp.tables["INT_TIMES"] = table
    return ramp


@pytest.mark.parametrize("slowaxis", [2, -2, 1, -1])
def test_stripes_land_on_their_lines(slowaxis):
    out = collate(exposure(slowaxis), 6, 3, lambda ramp: ramp)
    lines = np.arange(11, 17)[:: 1 if slowaxis > 0 else -1].astype(float)
    data = out.data if abs(slowaxis) == 2 else np.swapaxes(out.data, -1, -2)
    assert data.shape == (2, 2, 6, 8)
    np.testing.assert_array_equal(data[0, 1, :, 3], lines)
    np.testing.assert_array_equal(data[1, 0, :, 0], lines + 1000)
    start = out.primary["SUBSTRT2" if abs(slowaxis) == 2 else "SUBSTRT1"]
    assert start == (12 if slowaxis > 0 else 2048 - 16)
    flags = out.groupdq if abs(slowaxis) == 2 else np.swapaxes(out.groupdq, -1, -2)
    assert flags[0, 0, :, 0].tolist() == [1, 1, 2, 2, 3, 3][:: 1 if slowaxis > 0 else -1]


def test_the_header_is_that_of_the_frames_and_times_are_merged():
    ramp = exposure()
    assert is_superstripe(ramp.primary)
    out = collate(ramp, 6, 3, lambda ramp: ramp)
    head = out.primary
    assert not is_superstripe(head)
    assert "MSTR_RD1" not in head
    assert [head[k] for k in ("NINTS", "NGROUPS", "INTSTART", "INTEND", "SUBSIZE1", "SUBSIZE2")] == [2, 2, 2, 3, 8, 6]
    assert out.readout.stripes is None
    times, stripe = out.tables["INT_TIMES"], out.tables["INT_TIMES_STRIPE"]
    assert times["integration_number"].tolist() == [2, 3]
    np.testing.assert_allclose(times["int_start_MJD_UTC"], [0, 3])
    np.testing.assert_allclose(times["int_end_MJD_UTC"], [2.8, 5.8])
    np.testing.assert_allclose(times["int_mid_MJD_UTC"], [1.4, 4.4])
    assert stripe["stripe_number"].tolist() == [1, 2, 3, 1, 2, 3]


def test_gaps_between_positions_are_nan_and_reference_pixels():
    out = collate(exposure(SSTR_STP=3), 6, 3, lambda ramp: ramp)
    assert np.isnan(out.data[:, :, 2]).all()
    assert (out.pixeldq[2] == dq.REFERENCE_PIXEL).all()
    assert not out.pixeldq[3].any()


def test_each_position_is_corrected_apart():
    def correct(ramp):
        ramp.data += 100.0 * ramp.readout.stripes.position
        ramp.pixeldq |= np.uint32(1 << ramp.readout.stripes.position)
        return ramp

    out = collate(exposure(), 6, 3, correct)
    assert (out.data[0, 0, :, 0] - np.arange(11, 17)).tolist() == [0, 0, 100, 100, 200, 200]
    assert out.pixeldq[:, 0].tolist() == [1, 1, 2, 2, 4, 4]


def test_a_repeated_stripe_gives_a_group_each_time_and_tells_when():
    out = collate(exposure(repeat=2), 6, 3, lambda ramp: ramp)
    assert out.data.shape == (2, 6, 6, 8)
    times = np.ravel(out.readout.read_times_s)
    row, frame = (8 / 4 + 12) * 1e-5, ((8 / 4 + 12) * 10 + 1) * 1e-5
    first = row * 4 + 1e-5
    np.testing.assert_allclose(np.diff(times), [row * 3, row * 3, first, row * 3, row * 3])
    assert frame > first
