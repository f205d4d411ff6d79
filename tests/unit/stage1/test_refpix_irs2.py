"""refpix of IRS2 frames: noise that the reference pixels predict goes, light stays, frames are cut to the detector."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from astropy.io import fits
from scipy import fft

from jwstsm.core import dq
from jwstsm.core.compiled import set_threads
from jwstsm.errors import InputError, ReferenceError_
from jwstsm.references import ReferenceFile, Window
from jwstsm.stage1._irs2 import FRAME_ROWS, FrameLayout, science_rows
from jwstsm.stage1._refpix_irs2 import Weights, subtract_irs2_inplace, weights_from_table
from jwstsm.stage1._refpix_irs2_pixels import (
    Replacement,
    find_bad_rows,
    reference_rows,
    replacements,
    subtract_levels_of_sections,
    table_replacements,
)
from jwstsm.stage1.refpix import refpix
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

CLOCKS, ROWS = 712, 2048
NRS1 = {
    "INSTRUME": "NIRSPEC",
    "DETECTOR": "NRS1",
    "FASTAXIS": 2,
    "SLOWAXIS": 1,
    "READPATT": "NRSIRS2RAPID",
    "SUBARRAY": "FULL",
}


def smooth_weights(seed=0):
    """Return complex weights of 8 smooth functions of frequency, as a table and as full arrays (4, n)."""
    rng = np.random.default_rng(seed)
    frequency = np.abs(np.fft.fftfreq(CLOCKS * ROWS))
    names = [f"{kind}_{k}" for kind in ("alpha", "beta") for k in range(4)]
    table = np.zeros(2 * CLOCKS * ROWS, [(n, ">f4") for n in names])
    full = {}
    for name in names:
        weight = rng.uniform(0.2, 0.5) / (1 + 40 * frequency) * np.exp(1j * rng.normal(0, 0.2))
        weight = weight + 0.02j  # not Hermitian
        table[name][0::2], table[name][1::2] = weight.real, weight.imag
        full[name] = weight.astype(np.complex64)
    return table, np.array([full[f"alpha_{k}"] for k in range(4)]), np.array([full[f"beta_{k}"] for k in range(4)])


@pytest.fixture(scope="module")
def weights():
    return smooth_weights()


@pytest.fixture(scope="module")
def frames():
    """Two groups of drifting, correlated counts, with a missing row of reference pixels and a dead one of science."""
    rng = np.random.default_rng(1)
    planes = rng.normal(1000, 6, (2, FRAME_ROWS, ROWS)).astype(np.float32)
    planes += np.cumsum(rng.normal(0, 0.3, (2, 1, ROWS)), axis=2).astype(np.float32)
    planes[:, 648:650] = 0.0
    return planes


def plain_correction(planes, alpha, beta):
    """The correction as it is described: one long transform per group and output. Detector orientation of NRS1."""
    mean = planes.mean(axis=0, dtype=np.float64)
    i, j = np.arange(512), np.arange(128)
    sample, clock = i + 4 * ((i + 8) // 16), i + 6 * ((i + 8) // 16)
    ref_sample, ref_clock = j + 16 * (j // 4) + 8, j + 18 * (j // 4) + 9
    time = np.arange(CLOCKS * ROWS, dtype=float).reshape(ROWS, CLOCKS)
    time -= time.mean()
    edge = np.r_[0:4, 2044:2048]
    passed = np.zeros(CLOCKS * ROWS // 2)
    passed[:30268], passed[30268:35268] = 1, (np.cos(np.arange(5000) * np.pi / 5000) + 1) / 2
    passed = np.maximum(passed, passed[::-1])
    passed = np.concatenate([passed, np.roll(passed, -1)[::-1]])
    out = planes.copy()
    for g, plane in enumerate(planes):
        difference = (plane - mean).astype(np.float32).astype(float)
        series = []
        for s in range(5):
            block = difference[640 * s : 640 * (s + 1)][:: -1 if s % 2 == 0 else 1]
            one = np.zeros((ROWS, CLOCKS))
            one[:, clock], one[:, ref_clock] = block[sample].T, block[ref_sample].T
            use = one[edge] != 0
            slope, level = np.polyfit(time[edge][use], one[edge][use], 1)
            one[one != 0] -= (level + slope * time)[one != 0]
            series.append(one)
        known = np.zeros((ROWS, CLOCKS), bool)
        known[:, clock] = True
        reference = series[0].ravel()
        window = np.sin(np.arange(1, 32) / 32 * np.pi)
        spectrum = np.zeros(reference.size)
        spectrum[:16], spectrum[-15:] = window[15:], window[:15]
        total, norm = (fft.irfft(fft.rfft(v) * fft.rfft(spectrum)) for v in (reference, (reference != 0).astype(float)))
        reference = np.where(reference == 0, total / norm, reference)
        start = reference.copy()
        for _ in range(3):
            reference = np.where(known.ravel(), start, fft.ifft(fft.fft(reference) * passed).real)
        for s in range(1, 5):
            wide = np.zeros((ROWS, CLOCKS))
            for block in range(32):
                four = series[s][:, 22 * block + 9 : 22 * block + 13]
                wide[:, 22 * block + 7 : 22 * block + 15] = four[:, [0, 2, 0, 2, 1, 3, 1, 3]]
            noise = fft.ifft(alpha[s - 1] * fft.fft(reference) + beta[s - 1] * fft.fft(wide.ravel())).real
            noise = noise.reshape(ROWS, CLOCKS)
            line = np.where(series[s] != 0, level_of(difference, s, series[s], clock, ref_clock, sample, ref_sample), 0)
            target = out[g, 640 * s : 640 * (s + 1)][:: -1 if s % 2 == 0 else 1]
            target[sample] -= (noise + line)[:, clock].T.astype(np.float32)
    return out


def level_of(difference, section, series, clock, ref_clock, sample, ref_sample):
    """Return the line that was taken off a section: what it was less what is left."""
    block = difference[640 * section : 640 * (section + 1)][:: -1 if section % 2 == 0 else 1]
    one = np.zeros_like(series)
    one[:, clock], one[:, ref_clock] = block[sample].T, block[ref_sample].T
    return one - series


def test_short_transforms_give_the_result_of_one_long_transform(frames, weights):
    table, alpha, beta = weights
    expected = plain_correction(frames, alpha, beta)
    planes = frames.copy()
    subtract_irs2_inplace(planes, FrameLayout.of(2, 1), weights_from_table(table))
    rows = science_rows(make_ramp(1, 1, FRAME_ROWS, 2, **NRS1))
    assert np.abs(expected[:, rows] - frames[:, rows]).std() > 1
    np.testing.assert_allclose(planes[:, rows], expected[:, rows], atol=1e-3)


def test_the_other_detector_is_the_mirror_image_and_threads_do_not_matter(frames, weights):
    chosen = weights_from_table(weights[0])
    planes, mirrored = frames.copy(), np.ascontiguousarray(frames[:, ::-1, ::-1])
    subtract_irs2_inplace(planes, FrameLayout.of(2, 1), chosen)
    before = numba.get_num_threads()
    try:
        set_threads(1)
        subtract_irs2_inplace(mirrored, FrameLayout.of(-2, -1), chosen)
    finally:
        set_threads(before)
    np.testing.assert_array_equal(mirrored[:, ::-1, ::-1], planes)


def test_preserved_reference_pixels_lose_their_noise_too(frames, weights):
    """With weight 1 for its own pixels, what is left of a reference pixel is less than half."""
    one = np.ones((4, CLOCKS, ROWS // 2 + 1), np.complex64)
    planes = frames.copy()
    subtract_irs2_inplace(planes, FrameLayout.of(2, 1), Weights(0 * one, one), preserve=True)
    rows = 640 + np.flatnonzero(reference_rows())[40]
    assert np.abs(planes[0, rows]).std() < 0.5 * np.std(frames[0, rows] - frames.mean(axis=0)[rows])


def test_a_table_of_another_length_is_no_weight(weights):
    assert weights_from_table(weights[0][:100]) is None


def test_bad_pairs_are_found_by_difference_level_and_scatter():
    rng = np.random.default_rng(2)
    planes = rng.normal(100, 5, (2, FRAME_ROWS, 64)).astype(np.float32)
    flags = np.zeros((FRAME_ROWS, 64), np.uint32)
    flags[668, 3] = dq.BAD_REF_PIXEL
    planes[:, 688] += 50  # a step within a pair, and its level
    planes[:, 1310:1312] += rng.normal(0, 20, (2, 1, 64)).astype(np.float32)
    bad = np.flatnonzero(find_bad_rows(planes, flags, 4.0))
    assert {668, 688, 689, 1310, 1311} <= set(bad.tolist())
    assert len(bad) < 12


def test_a_bad_row_gets_the_mean_of_the_same_row_of_the_groups_beside_it():
    bad = np.zeros(FRAME_ROWS, bool)
    bad[[668, 708, 728]] = True
    assert replacements(bad) == [Replacement(668, 648, 688), Replacement(708, 688, 688), Replacement(728, 748, 748)]
    bad[[648 + 20 * k for k in range(32)]] = True
    assert replacements(bad)[1] == Replacement(668, 670, 670)
    bad[:] = True
    assert replacements(bad)[0] == Replacement(8, -1, -1)
    science = np.zeros(FRAME_ROWS, bool)
    science[700] = True
    assert replacements(science) == []


def test_the_table_of_bad_pixels_counts_groups_of_four_in_detector_order():
    table = {"output": np.array([1, 2]), "odd_even": np.array([1, 1]), "mask": np.array([0b100, 0b1])}
    good = np.zeros(FRAME_ROWS, bool)
    found = table_replacements(table, good, False)
    assert [f.row for f in found] == [688, 689, 1290, 1291]
    other = table_replacements(table, good, True)
    assert [f.row for f in other] == [3199 - f.row for f in found]
    assert other[0].low == 3199 - found[0].low
    assert table_replacements(None, good, False) == []


def test_levels_of_outputs_and_parities_are_taken_from_the_ends():
    index = np.arange(FRAME_ROWS)
    inside = np.tile(reference_rows(), 5)
    parity = np.where(inside, index % 4 // 2, index % 2)
    level = (10.0 * (index // 640) + 3.0 * parity)[:, None]
    planes = np.broadcast_to(level, (2, FRAME_ROWS, 16)).astype(np.float32)
    planes[1, 5] += 1000  # DO_NOT_USE: counts for nothing
    flags = np.zeros((FRAME_ROWS, 16), np.uint32)
    flags[5] = dq.DO_NOT_USE
    subtract_levels_of_sections(planes, flags, odd_even=True, limit=3.0, fast_backwards=False)
    np.testing.assert_allclose(np.delete(planes, 5, axis=1), 0, atol=1e-4)


def exposure(frames, **keywords):
    """Return a ramp of these frames and its references."""
    ramp = make_ramp(data=frames[None].copy(), ngroups=2, ny=ROWS, nx=ROWS, **(NRS1 | keywords))
    return ramp, Window.of(ramp.readout)


def test_the_step_cuts_frames_and_flags_to_the_detector(frames, weights):
    ramp, window = exposure(frames)
    rows = science_rows(ramp)
    ramp.groupdq[0, 1, rows[5], 7] = 4
    ramp.pixeldq[rows[2000], 9] = 8
    bad = np.array([(4, 2, 1)], [("OUTPUT", "u2"), ("ODD_EVEN", "u2"), ("MASK", "u4")])
    refs = FakeReferences({"refpix": {"IRS2": weights[0], "DQ": bad}, "sirskernel": None}, window)
    out = refpix(ramp, refs)
    assert out.data.shape == (1, 2, 2048, 2048)
    assert out.data.flags.c_contiguous
    assert out.groupdq[0, 1, 5, 7] == 4
    assert out.groupdq.sum() == 4
    assert out.pixeldq[2000, 9] == 8
    assert out.readout.ny == 2048
    np.testing.assert_allclose(np.median(out.data), np.median(frames), atol=0.5)


def test_the_step_can_keep_the_reference_pixels_and_then_no_later_reference_fits(frames, weights, tmp_path):
    ramp, window = exposure(frames)
    ramp.pixeldq[668, 0] = dq.BAD_REF_PIXEL
    refs = FakeReferences({"refpix": {"IRS2": weights[0]}, "sirskernel": None}, window)
    out = refpix(ramp, refs, preserve_irs2_refpix=True, irs2_mean_subtraction=True)
    assert out.data.shape == (1, 2, FRAME_ROWS, 2048)
    flags = np.uint32(dq.BAD_REF_PIXEL | dq.DO_NOT_USE)
    assert ((out.pixeldq[668] & flags) == flags).all()
    assert not out.pixeldq[700].any()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2048, 2048), "f4"), name="SCI")]).writeto(tmp_path / "a.fits")
    assert ReferenceFile(tmp_path / "a.fits", "saturation", window).array("SCI").shape == (2048, 2048)
    with pytest.raises(ReferenceError_, match="run refpix first"):
        ReferenceFile(tmp_path / "a.fits", "gain", Window.of(out.readout)).array("SCI")


def test_without_weights_the_step_is_skipped_and_other_interleaved_modes_are_refused(frames, weights):
    ramp, window = exposure(frames)
    assert isinstance(refpix(ramp, FakeReferences({"refpix": None}, window)), Skipped)
    short = FakeReferences({"refpix": {"IRS2": weights[0][:64]}}, window)
    assert isinstance(refpix(ramp, short), Skipped)
    ramp.primary["NRS_NORM"] = 8
    with pytest.raises(InputError, match="NRS_NORM"):
        refpix(ramp, short)
