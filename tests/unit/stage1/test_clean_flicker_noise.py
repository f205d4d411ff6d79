"""clean_flicker_noise takes row stripes out of the groups and leaves sky and sources."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage1.clean_flicker_noise import clean_flicker_noise
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def striped(ny=64, nx=64):
    """Return a ramp with a flat sky, a source, white noise and stripes along the fast axis; and the stripes."""
    made = make_ramp(1, 5, ny, nx, FASTAXIS=-1, SLOWAXIS=2)
    rng = np.random.default_rng(8)
    stripes = rng.normal(0, 2, (5, ny, 1))
    image = np.full((ny, nx), 3.0)
    image[30:34, 20:24] = 400.0
    made.data[0] = image * np.arange(5).reshape(-1, 1, 1) + rng.normal(0, 2, (5, ny, nx)) + stripes
    return made, image


def references(ny=64, nx=64):
    ones = np.ones((ny, nx), np.float32)
    return FakeReferences({"flat": None, "gain": {"SCI": 2 * ones}, "readnoise": {"SCI": 4 * ones}, "pastasoss": None})


def row_scatter(ramp):
    """Return the scatter from row to row of the differences of groups."""
    differences = np.diff(ramp.data[0, :, :, 40:].astype(float), axis=0)
    return float(np.std(differences.mean(axis=2) - differences.mean(axis=(1, 2))[:, None]))


def test_stripes_go_and_the_sky_stays():
    made, image = striped()
    before = row_scatter(made)
    out = clean_flicker_noise(made, references())
    assert before > 2
    assert row_scatter(out) < 0.4 * before
    sky = np.diff(out.data[0, :, :, 40:].astype(float), axis=0).mean()
    assert sky == pytest.approx(image[0, 0], abs=0.5)
    source = np.diff(out.data[0, :, 30:34, 20:24].astype(float), axis=0).mean()
    assert source == pytest.approx(400, abs=8)


def test_the_fourier_fit_is_for_spectrographs_only():
    made, _ = striped()
    before = made.data.copy()
    out = clean_flicker_noise(made, references(), fit_method="fft")
    assert isinstance(out, Skipped)
    assert "fft" in out.reason
    np.testing.assert_array_equal(made.data, before)
