"""The corrections before the jump step undo what a detector does, whatever the threads and the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.core.compiled import set_threads
from jwstsm.stage1.dark_current import dark_current
from jwstsm.stage1.dq_init import dq_init
from jwstsm.stage1.ipc import ipc
from jwstsm.stage1.linearity import linearity
from jwstsm.stage1.refpix import refpix
from jwstsm.stage1.saturation import saturation
from jwstsm.stage1.superbias import superbias
from tests.builders import FakeReferences, make_ramp

CHAIN = (dq_init, saturation, ipc, superbias, refpix, linearity, dark_current)
NY, NX, NGROUPS = 24, 30, 6


def forward_model(rng, nints, ngroups=NGROUPS, nframes=2, gap=1):
    """Return a ramp as a detector would give it, its references, and the light that fell on it [DN]."""
    stride = nframes + gap
    rate = rng.uniform(1, 16000, (NY, NX)) / (stride * ngroups)
    reference = np.zeros((NY, NX), bool)
    reference[:, :4] = True
    rate[reference] = 0.0
    frame = np.arange(stride * ngroups) + 1.0
    of_group = np.add.outer(stride * np.arange(ngroups), np.arange(nframes))
    dark = frame[:, None, None] ** 1.2 * rng.uniform(0, 3, (NY, NX)) * ~reference
    light = frame[:, None, None] * rate
    curve = np.where(reference, 0.0, rng.uniform(1e-6, 4e-6, (NY, NX)))
    straight = light + dark
    bent = straight - curve * straight**2
    bias = rng.normal(9000, 300, (NY, NX))
    columns = rng.normal(0, 40, (nints, ngroups, 2))[:, :, np.arange(NX) % 2]
    ramp = make_ramp(
        nints, ngroups, NY, NX, SUBSTRT1=1, SUBSTRT2=200, NOUTPUTS=1, FASTAXIS=1, NFRAMES=nframes, GROUPGAP=gap
    )
    ramp.data[:] = bent[of_group].mean(axis=1) + bias + columns[:, :, None, :]
    order = np.array([0, 1, 1, 2, 5, 14, 42, 132, 429])  # series of the inverse of x - c x**2
    coefficients = np.stack([order[k] * curve ** max(0, k - 1) for k in range(order.size)])
    inverse = np.stack([np.zeros((NY, NX)), np.ones((NY, NX)), -curve])
    mask = np.where(reference, dq.REFERENCE_PIXEL, 0).astype(np.uint32)
    refs = FakeReferences(
        {
            "mask": {"DQ": mask},
            "saturation": {"SCI": np.full((NY, NX), 60000.0)},
            "superbias": {"SCI": bias},
            "ipc": None,
            "refpix": None,
            "sirskernel": None,
            "linearity": {"COEFFS": coefficients, "INV_COEFFS": inverse},
            "dark": {"SCI": dark, "header": {"NFRAMES": 1, "GROUPGAP": 0}},
        }
    )
    return ramp, refs, light[of_group].mean(axis=1)


def run(ramp, refs):
    for one in CHAIN:
        one(ramp, refs)
    return ramp


@pytest.mark.parametrize(("nframes", "gap"), [(1, 0), (1, 2), (2, 0), (4, 0)])
def test_light_is_recovered_through_bias_drift_nonlinearity_and_dark(nframes, gap):
    ramp, refs, light = forward_model(np.random.default_rng(10 * nframes + gap), 2, nframes=nframes, gap=gap)
    run(ramp, refs)
    # 0.05 DN of 16000: what float32 and the cut series leave
    np.testing.assert_allclose(ramp.data[:, :, :, 4:], np.broadcast_to(light, ramp.data.shape)[:, :, :, 4:], atol=0.05)
    assert not ramp.groupdq.any()


def test_a_saturated_pixel_changes_nothing_beyond_its_neighbours():
    ramp, refs, _ = forward_model(np.random.default_rng(9), 1)
    bright, _, _ = forward_model(np.random.default_rng(9), 1)
    bright.data[0, 2:, 12, 15] = 65535.0
    run(ramp, refs)
    run(bright, refs)
    same = np.ones((NY, NX), bool)
    same[11:14, 14:17] = False  # the neighbours are flagged, so what is known of them changes
    np.testing.assert_array_equal(bright.data[0, :, same], ramp.data[0, :, same])
    assert np.count_nonzero(bright.groupdq[0, 2] & dq.SATURATED) == 9


def test_an_all_saturated_exposure_survives_unchanged_in_shape_and_finite():
    ramp, refs, _ = forward_model(np.random.default_rng(3), 1)
    ramp.data[:] = 65535.0
    run(ramp, refs)
    assert np.isfinite(ramp.data).all()
    assert np.all(ramp.groupdq & dq.SATURATED)


def noisy(nints):
    rng = np.random.default_rng(21)
    ramp, refs, _ = forward_model(rng, nints)
    ramp.data += rng.normal(0, 2000, ramp.data.shape).astype(np.float32)
    ramp.data[rng.random(ramp.data.shape) < 0.02] = 65535.0
    return ramp, refs


def test_one_thread_and_all_give_the_same_bits():
    results = []
    for threads in (1, None):
        set_threads(threads)
        results.append(run(*noisy(2)))
    set_threads(None)
    np.testing.assert_array_equal(results[0].data, results[1].data)
    np.testing.assert_array_equal(results[0].groupdq, results[1].groupdq)


def test_integrations_one_by_one_give_the_same_bits_as_together():
    together = run(*noisy(3))
    for i in range(3):
        block, refs = noisy(3)
        for name in ("data", "groupdq"):
            setattr(block, name, np.ascontiguousarray(getattr(block, name)[i : i + 1]))
        block.first_integration = i
        run(block, refs)
        np.testing.assert_array_equal(block.data[0], together.data[i])
        np.testing.assert_array_equal(block.groupdq[0], together.groupdq[i])
        np.testing.assert_array_equal(block.pixeldq, together.pixeldq)
