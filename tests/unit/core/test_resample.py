"""The streaming resampler: weights, sky, variances, tiles, order of the inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jwstsm.core import dq as dqbits
from jwstsm.core.frames import MemoryFrame
from jwstsm.core.resample import Drizzling, Window, exposure_time_s, read_weight, resample_frames, tile_rows
from jwstsm.errors import InputError
from tests.properties.maps import distorted_map

SHAPE, OUT = (50, 48), (120, 110)
WINDOW = Window(0, 0, OUT[1], OUT[0])


class Map:
    """A fixed pixel map with the calls of a projection."""

    def __init__(self, pixmap):
        self.pixmap = pixmap

    def rows(self, y0, y1):
        return np.ascontiguousarray(self.pixmap[y0:y1])

    def bounds(self):
        x, y = self.pixmap[..., 0], self.pixmap[..., 1]
        return x.min() - 1, x.max() + 1, y.min() - 1, y.max() + 1

    def window(self, x0, x1, y0, y1):
        x, y = self.pixmap[..., 0], self.pixmap[..., 1]
        touch = (x > x0 - 1) & (x < x1 + 1) & (y > y0 - 1) & (y < y1 + 1)
        if not touch.any():
            return None
        rows = np.flatnonzero(touch.any(axis=1))
        return 0, x.shape[1], rows[0], rows[-1] + 1


def frame(seed=0, name=None, **changes):
    rng = np.random.default_rng(seed)
    arrays = {
        "data": rng.normal(5, 1, SHAPE).astype("f4"),
        "dq": np.zeros(SHAPE, np.uint32),
        "var_rnoise": rng.uniform(0.5, 2, SHAPE).astype("f4"),
        "var_poisson": rng.uniform(0.5, 2, SHAPE).astype("f4"),
        "var_flat": rng.uniform(0.1, 0.2, SHAPE).astype("f4"),
    } | changes.pop("arrays", {})
    arrays = {k: v for k, v in arrays.items() if v is not None}
    return MemoryFrame(arrays, header={"TMEASURE": 50.0 + seed}, name=name or f"f{seed}", **changes)


def dithered(n=3):
    frames = [frame(k) for k in range(n)]
    maps = [Map(distorted_map(SHAPE, OUT, scale=0.6, angle=0.1 * k, shift=(k, -2 * k), bend=0.01)) for k in range(n)]
    return frames, maps


def same(a, b) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True)
        if x is not None
    )


@pytest.mark.parametrize("variance", ["official", "exact"])
def test_tiles_change_no_bit(variance):
    """One tile or many: every output array is the same, bit for bit."""
    frames, maps = dithered()
    options = Drizzling(variance=variance, scale=0.6, propagate_dq=True)
    whole = resample_frames(frames, maps, WINDOW, options)
    assert tile_rows(OUT[1], 8, tile_bytes=1) < OUT[0]
    assert same(whole, resample_frames(frames, maps, WINDOW, options, tile_bytes=1))


def test_a_window_of_the_output_equals_that_part_of_the_whole():
    frames, maps = dithered()
    options = Drizzling(scale=0.6)
    whole = resample_frames(frames, maps, WINDOW, options)
    part = resample_frames(frames, maps, Window(20, 31, 40, 50), options)
    assert np.array_equal(part.data, whole.data[31:81, 20:60], equal_nan=True)
    assert np.array_equal(part.con, whole.con[:, 31:81, 20:60])


def test_order_of_the_inputs_changes_only_the_context_bits():
    """Sums run in the order of the names, whatever the order of the list."""
    frames, maps = dithered()
    options = Drizzling(scale=0.6)
    one = resample_frames(frames, maps, WINDOW, options)
    two = resample_frames(frames[::-1], maps[::-1], WINDOW, options)
    for name in ("data", "wht", "err", "variances"):
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True)
    assert np.array_equal((one.con & 1) != 0, (two.con & 4) != 0)


def test_weights_are_inverse_read_noise_exposure_time_or_one():
    one = frame(0)
    assert np.array_equal(read_weight(one, Drizzling(weight_type="ivm")), 1 / one.arrays["var_rnoise"])
    assert (read_weight(one, Drizzling(weight_type="exptime")) == 50).all()
    assert (read_weight(one, Drizzling(weight_type=None)) == 1).all()


def test_unusable_pixels_have_no_weight():
    """Flagged, NaN, and of no or infinite read noise."""
    one = frame(0)
    one.arrays["data"][0, 0] = np.nan
    one.arrays["dq"][0, 1] = dqbits.DO_NOT_USE
    one.arrays["dq"][0, 2] = dqbits.HOT
    one.arrays["var_rnoise"][0, 3:6] = np.nan, 0, np.inf
    one.arrays["var_poisson"][0, 6] = np.nan
    weight = read_weight(one, Drizzling(bad_bits=dqbits.DO_NOT_USE))
    assert (weight[0, :7] > 0).tolist() == [False, False, True, False, False, False, False]
    assert (weight[1:] > 0).all()


def test_a_frame_without_read_noise_gets_equal_weights(caplog):
    one = frame(0, arrays={"var_rnoise": None})
    assert (read_weight(one, Drizzling()) == 1).all()
    assert "has no var_rnoise" in caplog.text
    frames, maps = [one], [Map(distorted_map(SHAPE, OUT))]
    made = resample_frames(frames, maps, WINDOW, Drizzling())
    inside = made.wht > 0.5
    assert np.isnan(made.variances[0]).all()
    assert np.isfinite(made.variances[1][inside]).all()
    assert np.allclose(made.err[inside] ** 2, made.variances[1:, inside].sum(axis=0), rtol=1e-5)


def test_pending_sky_and_intensity_scale_are_applied():
    one = frame(0, arrays={"data": np.full(SHAPE, 7.0, np.float32)}, sky_level=2.0)
    maps = [Map(distorted_map(SHAPE, OUT))]
    made = resample_frames([one], maps, WINDOW, Drizzling(intensity_scale=3.0, variance=None))
    assert np.allclose(made.data[made.wht > 0], 15.0)


def test_official_variance_follows_its_formula():
    """Whole pixels on a shifted grid: per frame the mean standard deviation squared, then weighted by W squared."""
    frames = [frame(k, arrays={n: np.full(SHAPE, v * (k + 1), np.float32) for n, v in VALUES.items()}) for k in (0, 1)]
    maps = [Map(distorted_map(SHAPE, OUT, shift=(0.5 + k, 0.0))) for k in (0, 1)]
    made = resample_frames(frames, maps, WINDOW, Drizzling(scale=2.0, variance_scale=0.25))
    both = (made.con[0] == 3) & (made.wht > 1.49)
    w = np.array([1 / 1.0, 1 / 2.0])
    for c, v in enumerate(VALUES.values()):
        expected = 0.25 * np.sum(np.array([v, 2 * v]) * w**2) / w.sum() ** 2
        assert np.allclose(made.variances[c][both], expected, rtol=1e-5)
    assert np.allclose(made.err[both] ** 2, made.variances[:, both].sum(axis=0), rtol=1e-5)
    assert both.sum() > 1000


VALUES = {"var_rnoise": 1.0, "var_poisson": 3.0, "var_flat": 0.5}


def test_equal_exposure_times_weight_variances_equally():
    frames = [frame(0, arrays={n: np.full(SHAPE, v, np.float32) for n, v in VALUES.items()}, name=n0) for n0 in "ab"]
    maps = [Map(distorted_map(SHAPE, OUT, shift=(0.5, 0.0)))] * 2
    made = resample_frames(frames, maps, WINDOW, Drizzling(weight_type="exptime"))
    both = made.con[0] == 3
    assert np.allclose(made.variances[1][both], 1.5, rtol=1e-5)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel must be one of square"):
        Drizzling(kernel="circle")


def test_exposure_time_is_the_measurement_time_and_a_missing_one_is_named():
    assert exposure_time_s(frame(3)) == 53
    one = frame(0)
    one.header = {"EFFEXPTM": 12.0}
    assert exposure_time_s(one) == 12
    one.header = {}
    with pytest.raises(InputError, match="f0: keywords TMEASURE and EFFEXPTM"):
        exposure_time_s(one)


def test_inputs_off_the_window_leave_it_empty():
    made = resample_frames([frame(0)], [Map(distorted_map(SHAPE, OUT, shift=(1e4, 0)))], WINDOW, Drizzling(fillval=-1.0))
    assert (made.data == -1).all()
    assert not made.wht.any()
    assert not made.con.any()
