"""A mosaic does not depend on the order of its inputs, on tiles, on threads, or on where its arrays are kept."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import resample as core
from jwstsm.core.compiled import set_threads
from jwstsm.core.frames import Stage3Inputs
from jwstsm.stage3 import _outlier_median
from jwstsm.stage3._grid import grid_of
from jwstsm.stage3.outlier_detection import outlier_detection
from jwstsm.stage3.resample import resample
from jwstsm.stage3.skymatch import skymatch
from jwstsm.wcs.mosaic import save_grid
from tests.unit.stage3.dithers import exposures, star_list

PLANES = ("data", "err", "wht", "var_rnoise", "var_poisson", "var_flat")


@pytest.fixture(scope="module")
def frames():
    """Six exposures of two detectors with stars, different skies, hits and bad pixels."""
    rng = np.random.default_rng(11)
    made = exposures(6, (150, 90), sky=(0.3, 1.2, 0.0), stars=star_list(), detectors=(("A", -40.0), ("B", 41.0)))
    for frame in made:
        hit = rng.random(frame.shape) < 0.002
        frame.arrays["data"][hit] += 60
        frame.arrays["dq"][rng.random(frame.shape) < 0.01] = 1
    return made


@pytest.fixture(scope="module")
def grid(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.asdf"
    save_grid(path, grid_of(Stage3Inputs(frames)))
    return str(path)


def combined(frames, grid: str) -> dict[str, np.ndarray]:
    """Match skies, find outliers and combine; return all planes, and the masks by file name."""
    inputs = Stage3Inputs(frames, "m")
    levels = skymatch(inputs).levels
    for frame in frames:
        frame.sky_level = levels[frame.name]
    found = outlier_detection(inputs)
    mosaic = resample(inputs, output_wcs=grid)
    for frame in frames:
        frame.sky_level = None
    out = {name: np.array(getattr(mosaic, name)) for name in PLANES}
    out["contributors"] = np.bitwise_count(mosaic.con.view(np.uint32)).sum(axis=0)
    return out | {frame.name: found.mask(frame.name) for frame in frames}


@pytest.fixture(scope="module")
def usual(frames, grid):
    return combined(frames, grid)


def same_bits(a: dict, b: dict) -> None:
    for name, array in a.items():
        assert np.array_equal(array, b[name], equal_nan=array.dtype.kind == "f"), name


def test_the_scene_is_worth_the_test(usual, frames):
    assert np.isfinite(usual["data"]).mean() > 0.4
    assert usual["contributors"].max() >= 6
    assert all(usual[f.name].any() for f in frames)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_bit(usual, frames, grid, threads):
    try:
        set_threads(threads)
        same_bits(usual, combined(frames, grid))
    finally:
        set_threads(None)


@pytest.mark.parametrize("rows", [1, 17])
def test_tiles_and_scratch_files_change_no_bit(usual, frames, grid, rows, monkeypatch):
    monkeypatch.setattr(core, "tile_rows", lambda *args: rows)
    monkeypatch.setattr(core, "_MAPPED_BYTES", 0)
    monkeypatch.setattr(_outlier_median, "_KEPT_BYTES", 0)
    monkeypatch.setattr(_outlier_median, "_STACK_BYTES", 1)
    same_bits(usual, combined(frames, grid))


@pytest.mark.parametrize("seed", range(3))
def test_order_of_the_inputs_changes_nothing_but_their_numbers(usual, frames, grid, seed):
    """The first one stays: it sets the grid. In the least squares of the sky, order enters the last digits of a float64."""
    order = [0, *(1 + np.random.default_rng(seed).permutation(len(frames) - 1))]
    other = combined([frames[k] for k in order], grid)
    for name, array in usual.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(other[name], array, rtol=2e-6, atol=1e-6, err_msg=name)
        else:
            assert np.mean(other[name] != array) < 1e-4, name
