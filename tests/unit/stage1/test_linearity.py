"""linearity straightens counts with each pixel's polynomial, and frame by frame where groups are averages."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.references import Window
from jwstsm.stage1.linearity import linearity
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def reference(coefficients, shape=(4, 5), **more):
    """Return references with the same polynomial in every pixel."""
    cube = np.broadcast_to(np.asarray(coefficients, float)[:, None, None], (len(coefficients), *shape)).copy()
    return FakeReferences({"linearity": {"COEFFS": cube, "DQ": np.zeros(shape, np.uint32)} | more}), cube


@pytest.mark.parametrize(
    "coefficients", [[5, 2], [1, 1.5, 0.25], [0, 1, 1e-6, 2e-12, 1e-16], [0, 1, 0, 0, 1e-16, 0, 0, 1e-30]]
)
def test_counts_become_the_polynomial_of_counts(coefficients):
    refs, _ = reference(coefficients)
    ramp = make_ramp(2, 3, 4, 5)
    ramp.data[:] = np.linspace(-50, 40000, ramp.data.size).reshape(ramp.data.shape)
    expected = np.polyval(coefficients[::-1], ramp.data.astype(float))
    linearity(ramp, refs)
    np.testing.assert_allclose(ramp.data, expected, rtol=3e-6)


def test_saturated_groups_keep_their_counts():
    refs, _ = reference([0, 2])
    ramp = make_ramp(1, 3, 4, 5)
    ramp.data += 10.0
    ramp.groupdq[0, 1:, 2, 2] = dq.SATURATED
    ramp.groupdq[0, :, 1, 1] = dq.DO_NOT_USE | dq.JUMP_DET
    linearity(ramp, refs)
    assert ramp.data[0, :, 2, 2].tolist() == [20, 10, 10]
    assert ramp.data[0, :, 1, 1].tolist() == [20, 20, 20]


def test_pixels_without_a_usable_polynomial_keep_their_counts_and_are_flagged():
    _, cube = reference([3, 2, 0.1])
    content = {"COEFFS": cube, "DQ": np.zeros((4, 5), np.uint32)}
    cube[2, 0, 0] = np.nan
    cube[1, 1, 1] = 0.0
    content["DQ"][2, 2] = dq.NO_LIN_CORR
    content["DQ"][3, 3] = dq.NONLINEAR
    ramp = make_ramp(1, 1, 4, 5)
    ramp.data += 10.0
    ramp.data[0, 0, 3, 4] = np.nan
    linearity(ramp, FakeReferences({"linearity": content}))
    for place in ((0, 0), (1, 1), (2, 2)):
        assert ramp.data[0, 0][place] == 10.0
        assert ramp.pixeldq[place] == dq.NO_LIN_CORR
    assert ramp.data[0, 0, 3, 3] == 33.0
    assert ramp.pixeldq[3, 3] == dq.NONLINEAR
    assert np.isnan(ramp.data[0, 0, 3, 4])
    assert np.count_nonzero(ramp.pixeldq) == 4
    assert np.isnan(cube[2, 0, 0])  # the reference itself is not changed


def test_zeros_of_the_zero_frame_stay_zero():
    refs, _ = reference([3, 2])
    ramp = make_ramp(1, 1, 4, 5)
    ramp.zeroframe = np.full((1, 4, 5), 10.0, np.float32)
    ramp.zeroframe[0, 1, 1] = 0.0
    linearity(ramp, refs)
    assert ramp.zeroframe[0, 1, 1] == 0.0
    assert ramp.zeroframe[0, 0, 0] == 23.0


def straight_and_bent(nframes=4, ngroups=6, rate=700.0, b=4e-6):
    """Return straight group averages, what a detector measures, and both polynomials (to high order)."""
    frames = rate * np.arange(1, nframes * ngroups + 1).reshape(ngroups, nframes)
    inverse = [0.0, 1.0, -b]  # what is measured
    # series of the inverse of y = x - b x**2
    forward = [0.0, 1.0, b, 2 * b**2, 5 * b**3, 14 * b**4, 42 * b**5, 132 * b**6]
    measured = np.polyval(inverse[::-1], frames)
    return frames.mean(axis=1), measured.mean(axis=1), forward, inverse


def test_frames_of_a_group_are_corrected_one_by_one_where_the_inverse_is_known():
    straight, measured, forward, inverse = straight_and_bent()
    shape = (4, 5)
    refs, _ = reference(forward)
    plain = make_ramp(1, 6, 4, 5, NFRAMES=4)
    plain.data[:] = measured[:, None, None]
    linearity(plain, refs)
    ramp = make_ramp(1, 6, 4, 5, NFRAMES=4)
    ramp.data[:] = measured[:, None, None]
    back = np.broadcast_to(np.asarray(inverse)[:, None, None], (3, *shape))
    refs, _ = reference(forward, INV_COEFFS=back)
    linearity(ramp, refs)
    error, plain_error = (np.abs(r.data[0, :, 1, 1] - straight).max() for r in (ramp, plain))
    assert error < 0.1
    assert plain_error > 20 * error


def test_the_inverse_is_not_used_for_single_frames_or_a_single_group():
    _, measured, forward, inverse = straight_and_bent()
    back = np.broadcast_to(np.asarray(inverse)[:, None, None], (3, 4, 5))
    for keywords, groups in (({"NFRAMES": 1}, 6), ({"NFRAMES": 4}, 1)):
        with_inverse, without = (make_ramp(1, groups, 4, 5, **keywords) for _ in range(2))
        for ramp in (with_inverse, without):
            ramp.data[:] = measured[:groups, None, None]
        linearity(with_inverse, reference(forward, INV_COEFFS=back)[0])
        linearity(without, reference(forward)[0])
        np.testing.assert_array_equal(with_inverse.data, without.data)


def test_a_bad_inverse_is_flagged_and_saturated_groups_keep_their_counts_with_it():
    _, measured, forward, inverse = straight_and_bent()
    back = np.broadcast_to(np.asarray(inverse)[:, None, None], (3, 4, 5)).copy()
    back[1, 2, 2] = np.nan
    ramp = make_ramp(2, 6, 4, 5, NFRAMES=4)
    ramp.data[:] = measured[:, None, None]
    ramp.groupdq[:, 3:, 1, 1] = ramp.groupdq[:, :, 0, 0] = dq.SATURATED
    linearity(ramp, reference(forward, INV_COEFFS=back)[0])
    assert np.argwhere(ramp.pixeldq == dq.NO_LIN_CORR).tolist() == [[2, 2]]
    assert np.all(ramp.data[:, 3:, 1, 1] == measured[3:].astype(np.float32))
    assert np.all(ramp.data[:, :, 0, 0] == measured.astype(np.float32))
    assert np.isfinite(ramp.data).all()


def test_a_subarray_gets_its_part_and_no_reference_skips():
    ramp = make_ramp(1, 1, 3, 4, SUBSTRT1=6, SUBSTRT2=3)
    ramp.data += 1.0
    cube = np.zeros((2, 10, 12))
    cube[1] = np.arange(120.0).reshape(10, 12)
    refs = FakeReferences({"linearity": {"COEFFS": cube}}, Window.of(ramp.readout))
    linearity(ramp, refs)
    np.testing.assert_array_equal(ramp.data[0, 0], cube[1, 2:5, 5:9])
    assert isinstance(linearity(ramp, FakeReferences({"linearity": None})), Skipped)
