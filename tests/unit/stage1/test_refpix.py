"""refpix takes off what the reference pixels show, for every readout direction and kind of window."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq
from jwstsm.core.detector import DetectorWindow
from jwstsm.stage1._refpix_nir import BorderOptions, correct_border_inplace, correct_flagged_inplace
from jwstsm.stage1._refpix_sirs import kernels_from_tree
from jwstsm.stage1.refpix import refpix
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

DIRECTIONS = [(f, s) for f in (-1, 1) for s in (-2, 2)] + [(f, s) for f in (-2, 2) for s in (-1, 1)]
SIZE = 32
NONE = FakeReferences({"refpix": None, "sirskernel": None})


def small(fast=1, slow=2, row0=0, col0=0):
    """Return a window on a detector of 32 x 32 pixels with 4 amplifiers."""
    return DetectorWindow(fast, slow, row0, col0, SIZE, 4, 4)


def levels(rng, size=SIZE):
    """Return what an amplifier pattern adds in detector orientation: per amplifier and parity."""
    columns = np.arange(size)
    return rng.normal(0, 50, (4, 2))[columns // (size // 4), columns % 2]


@pytest.mark.parametrize(("fast", "slow"), DIRECTIONS)
def test_amplifier_levels_and_row_drift_are_removed(fast, slow):
    rng = np.random.default_rng(1)
    window = small(fast, slow)
    planes = np.zeros((2, SIZE, SIZE), np.float32)
    view = window.view(planes)
    drift = np.repeat(rng.normal(0, 5, 4), 8)  # constant over more rows than the smoothing mixes
    for plane in view:
        plane += levels(rng) + drift[:, None] - np.mean([drift[:4].mean(), drift[-4:].mean()])
    scene = np.zeros((SIZE, SIZE), np.float32)
    window.view(scene)[10, 9] = 1000.0
    planes += scene
    assert correct_border_inplace(planes, np.zeros((SIZE, SIZE), np.uint32), window, BorderOptions(side_smoothing_length=1))
    np.testing.assert_allclose(planes, np.broadcast_to(scene, planes.shape), atol=1e-3)


def test_outliers_among_reference_rows_are_clipped_and_bad_ones_not_used():
    window = small()
    planes = np.full((1, SIZE, SIZE), 10.0, np.float32)
    planes[0, 0, 0] = planes[0, 31, 9] = 5000.0
    planes[0, 1, :] = -777.0
    flags = np.zeros((SIZE, SIZE), np.uint32)
    flags[1] = dq.DO_NOT_USE
    # one outlier in 12 equal values is 3.3 standard deviations off
    options = BorderOptions(use_side_ref_pixels=False, odd_even_columns=True, siglimit=3.0)
    correct_border_inplace(planes, flags, window, options)
    assert np.all(planes[0, 4:28, 4:28] == 0.0)


def test_one_end_is_enough_and_an_amplifier_without_a_level_is_left_alone():
    window = small()
    planes = np.full((1, SIZE, SIZE), 10.0, np.float32)
    planes[0, 28:] = 30.0
    flags = np.zeros((SIZE, SIZE), np.uint32)
    flags[28:, :8] = dq.DO_NOT_USE  # first amplifier: bottom only
    flags[:4, 8:16:2] = flags[28:, 8:16:2] = dq.DO_NOT_USE  # second: no even columns at all
    correct_border_inplace(planes, flags, window, BorderOptions(use_side_ref_pixels=False))
    middle = planes[0, 16]
    assert np.all(middle[:8] == 0.0)
    assert np.all(middle[8:16] == 10.0)
    assert np.all(middle[16:] == -10.0)


def test_side_columns_are_used_with_gain_and_smoothing():
    window = small()
    planes = np.zeros((1, SIZE, SIZE), np.float32)
    planes[0, 4:28] += np.arange(4, 28)[:, None]
    options = BorderOptions(side_smoothing_length=3, side_gain=0.5)
    correct_border_inplace(planes, np.zeros((SIZE, SIZE), np.uint32), window, options)
    np.testing.assert_allclose(planes[0, 10:20, 10], 0.5 * np.arange(10, 20))


def test_missing_side_pixels_leave_the_other_side_or_nothing():
    window = small()
    flags = np.zeros((SIZE, SIZE), np.uint32)
    flags[:, :4] = dq.DO_NOT_USE
    flags[10:16, 28:] = dq.DO_NOT_USE
    planes = np.zeros((1, SIZE, SIZE), np.float32)
    planes[0, :, :4] = 500.0
    planes[0, :, 28:] = 8.0
    planes[0, [0, 1, 2, 3, 28, 29, 30, 31]] = 0.0
    before = planes[0, :, 16].copy()
    correct_border_inplace(planes, flags, window, BorderOptions(odd_even_columns=False, side_smoothing_length=3))
    change = before - planes[0, :, 16]
    assert np.all(change[11:15] == 0.0)  # the whole window of rows is unusable
    assert np.all(change[[8, 9, 17, 20]] == 8.0)


@pytest.mark.parametrize(("fast", "slow"), [(-1, 2), (2, -1)])
def test_a_window_corrects_like_its_place_in_the_frame_when_it_holds_the_same_reference_pixels(fast, slow):
    rng = np.random.default_rng(5)
    whole = small(fast, slow)
    frame = rng.normal(0, 10, (1, SIZE, SIZE)).astype(np.float32)
    flags = np.zeros((SIZE, SIZE), np.uint32)
    view, unusable = whole.view(frame), whole.view(flags)
    unusable[12:] = dq.DO_NOT_USE
    part = np.ascontiguousarray(view[:, :12])
    window = small(1, 2)  # already in detector orientation, the first 12 rows
    correct_border_inplace(frame, flags, whole, BorderOptions(side_smoothing_length=5))
    correct_border_inplace(part, np.zeros((12, SIZE), np.uint32), window, BorderOptions(side_smoothing_length=5))
    np.testing.assert_array_equal(part, view[:, :12])


def test_flagged_pixels_give_one_level_for_odd_and_one_for_even_columns_of_the_detector():
    planes = np.zeros((2, 10, 9), np.float32)
    planes[:, :, 0::2], planes[:, :, 1::2] = 7.0, 3.0
    planes[1] *= 2
    flags = np.zeros((10, 9), np.uint32)
    flags[:, :4] = dq.REFERENCE_PIXEL
    flags[0, :4] |= dq.DO_NOT_USE
    planes[:, 0, :4] = 900.0
    for col0 in (0, 5):
        copy = planes.copy()
        assert correct_flagged_inplace(copy, flags, small(col0=col0), BorderOptions())
        assert np.all(copy[:, 1:] == 0.0)
    both = planes.copy()
    correct_flagged_inplace(both, flags, small(), BorderOptions(odd_even_columns=False))
    assert both[0, 5, 8] == 7.0 - 5.0


def test_flagged_pixels_by_amplifier_leave_an_amplifier_without_them_alone():
    planes = np.full((1, 6, SIZE), 4.0, np.float32)
    flags = np.zeros((6, SIZE), np.uint32)
    flags[0, 8:] = dq.REFERENCE_PIXEL
    correct_flagged_inplace(planes, flags, small(), BorderOptions(), by_amplifier=True)
    assert np.all(planes[0, :, :8] == 4.0)
    assert np.all(planes[0, :, 8:] == 0.0)


def border_ramp(**keywords):
    """Return a one-amplifier subarray with the reference columns of the left edge."""
    ramp = make_ramp(2, 2, 12, 20, SUBSTRT1=1, SUBSTRT2=101, NOUTPUTS=1, FASTAXIS=-1, SLOWAXIS=2, **keywords)
    ramp.data += 25.0
    ramp.pixeldq[:, :4] = dq.REFERENCE_PIXEL
    return ramp


def test_the_step_corrects_data_and_zero_frame_and_keeps_zeros():
    ramp = border_ramp()
    ramp.data[1, 1, 6, 10] += 100.0
    ramp.zeroframe = np.full((2, 12, 20), 5.0, np.float32)
    ramp.zeroframe[0, 6, 6] = 0.0
    ramp.zeroframe[1, 6, 6] = 11.0
    assert refpix(ramp, NONE) is ramp
    assert ramp.data[1, 1, 6, 10] == 100.0
    assert np.count_nonzero(ramp.data) == 1
    assert ramp.zeroframe[0, 6, 6] == 0.0
    assert ramp.zeroframe[1, 6, 6] == 6.0
    assert np.all(ramp.pixeldq[:, 4:] == 0)


def test_without_usable_reference_pixels_nothing_is_changed():
    ramp = border_ramp()
    ramp.pixeldq[:, :4] |= dq.DO_NOT_USE
    result = refpix(ramp, NONE)
    assert isinstance(result, Skipped)
    assert "no usable reference pixels" in result.reason
    assert np.all(ramp.data == 25.0)


@pytest.mark.parametrize("name", ["SUB32", "SUB512", "SUB512S"])
def test_edgeless_windows_use_their_outer_columns_without_flagging_them(name):
    ramp = make_ramp(1, 2, 32, 40, SUBSTRT1=900, SUBSTRT2=1000, NOUTPUTS=1, SUBARRAY=name, FASTAXIS=2, SLOWAXIS=1)
    ramp.data += 12.0
    ramp.data[:, :, :, 10:30] += 50.0
    refpix(ramp, NONE)
    assert np.all(ramp.data[:, :, :, 10:30] == 50.0)
    assert np.all(ramp.data[:, :, :, :4] == 0.0)
    assert not ramp.pixeldq.any()
    other = make_ramp(1, 2, 32, 40, SUBSTRT1=900, SUBSTRT2=1000, NOUTPUTS=1, SUBARRAY="SUB320")
    assert isinstance(refpix(other, NONE), Skipped)


def test_a_stripe_read_through_four_amplifiers_is_corrected_by_amplifier():
    ramp = make_ramp(1, 2, 16, 2048, SUBSTRT1=1, SUBSTRT2=1, NOUTPUTS=4, FASTAXIS=-1, SLOWAXIS=2)
    ramp.data += np.repeat([10.0, 20.0, 30.0, 40.0], 512).astype(np.float32)
    ramp.pixeldq[8, :] = dq.REFERENCE_PIXEL  # flags do not matter here, places do
    refpix(ramp, NONE)
    assert np.abs(ramp.data).max() < 1e-5
    inside = make_ramp(1, 2, 16, 1000, SUBSTRT1=500, SUBSTRT2=500, NOUTPUTS=4, FASTAXIS=-1, SLOWAXIS=2)
    assert isinstance(refpix(inside, NONE), Skipped)


def test_multistripe_windows_use_flagged_pixels_by_amplifier():
    ramp = make_ramp(1, 2, 16, 2048, NOUTPUTS=4, FASTAXIS=-1, SLOWAXIS=2, MSTR_RD1=1, MSTR_RD2=15)
    ramp.data += np.repeat([10.0, 20.0, 30.0, 40.0], 512).astype(np.float32)
    ramp.data[:, :, :4] += 100.0  # the first rows are no reference pixels here
    ramp.pixeldq[8, :] = dq.REFERENCE_PIXEL
    refpix(ramp, NONE)
    assert np.all(ramp.data[:, :, 4:] == 0.0)
    assert np.all(ramp.data[:, :, :4] == 100.0)


def sirs_tree(size=2048, share=0.5):
    """Return coefficients that hand half of each side's drift on unchanged: a kernel of one row."""
    flat = np.full((4, size // 2 + 1), share, complex)
    return {"nrcalong": {"gamma": flat, "zeta": flat}}


def test_sirs_kernels_of_a_flat_transfer_are_the_smoothing_window():
    left, right = kernels_from_tree(sirs_tree(), "NRCALONG", gaussmooth=1.0, halfwidth=5)
    offset = np.arange(-5, 6)
    window = np.exp(-(offset**2) / 2.0)
    np.testing.assert_allclose(left[2], 0.5 * window / window.sum(), atol=1e-12)
    np.testing.assert_array_equal(left, right)
    assert kernels_from_tree(sirs_tree(), "NRCA1", gaussmooth=1.0, halfwidth=5) is None


def test_sirs_removes_slow_drift_of_full_frames_and_rejects_outliers():
    ramp = make_ramp(1, 1, 2048, 2048, SUBARRAY="FULL")
    drift = 20 * np.sin(np.arange(2048) / 60.0).astype(np.float32)
    ramp.data += drift[:, None]
    ramp.data[0, 0, 700, 1] = 4000.0
    refs = FakeReferences({"refpix": None, "sirskernel": {"tree": sirs_tree()}})
    refpix(ramp, refs, refpix_algorithm="sirs")
    inside = ramp.data[0, 0, 100:-100, 500] - np.median(ramp.data[0, 0, :, 500])
    assert np.abs(inside).max() < 0.05


@pytest.mark.parametrize(
    ("content", "ny"), [(None, 2048), ({"tree": {"nis": sirs_tree()["nrcalong"]}}, 2048), ({"tree": sirs_tree()}, 64)]
)
def test_sirs_falls_back_to_running_medians_without_a_kernel_and_for_subarrays(content, ny):
    ramp, same = (make_ramp(1, 1, ny, 2048, SUBARRAY="FULL" if ny == 2048 else "SUBGRISM64") for _ in range(2))
    ramp.data += np.random.default_rng(3).normal(0, 5, ramp.data.shape).astype(np.float32)
    same.data[:] = ramp.data
    refpix(ramp, FakeReferences({"refpix": None, "sirskernel": content}), refpix_algorithm="sirs")
    refpix(same, NONE)
    np.testing.assert_array_equal(ramp.data, same.data)


def side_column_ramp():
    """Return a MIRI full frame with a level per amplifier and row parity that changes from group to group."""
    ramp = make_ramp(2, 3, 1024, 1032, INSTRUME="MIRI", DETECTOR="MIRIMAGE", FASTAXIS=1, SLOWAXIS=2, SUBARRAY="FULL")
    rng = np.random.default_rng(4)
    pixels = rng.integers(4000, 6000, (1024, 1032))
    level = rng.integers(-30, 30, (2, 3, 2, 4))
    rows, columns = np.arange(1024)[:, None] % 2, np.arange(1032) % 4
    ramp.data[:] = pixels + level[:, :, rows, columns]
    return ramp


def test_side_columns_alone_remove_what_changes_since_the_first_group():
    ramp = side_column_ramp()
    first = ramp.data[:, :1].copy()
    ramp.data[1, 2, 500, 500] += 77.0
    ramp.data[:, 1:, ::50, 0] += 3000.0  # outliers
    ramp.data[:, 1:, 7, 1028:] = 1e6
    ramp.pixeldq[7, 1028:] = dq.DO_NOT_USE
    refpix(ramp, FakeReferences({}))
    change = ramp.data - first
    assert change[1, 2, 500, 500] == 77.0
    assert np.count_nonzero(change[:, :, :, 4:-4]) == 1
    assert not change[:, 0].any()


def test_side_columns_that_cannot_be_used_and_windows_without_rows_are_skipped():
    ramp = side_column_ramp()
    ramp.pixeldq[::2, 1] = dq.DO_NOT_USE
    before = ramp.data.copy()
    assert isinstance(refpix(ramp, FakeReferences({})), Skipped)
    np.testing.assert_array_equal(ramp.data, before)
    assert refpix(ramp, FakeReferences({}), odd_even_rows=False) is ramp
    window = make_ramp(1, 3, 256, 256, INSTRUME="MIRI", DETECTOR="MIRIMAGE", SUBARRAY="SUB256", SUBSTRT1=413)
    assert isinstance(refpix(window, FakeReferences({})), Skipped)


def test_windows_off_the_detector_are_skipped():
    result = refpix(make_ramp(1, 1, 10, 10, SUBSTRT1=2045), NONE)
    assert isinstance(result, Skipped)
    assert "does not lie on the detector" in result.reason
