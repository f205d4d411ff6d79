"""Sky levels: what each method finds, groups, masks, the sidecar."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core import dq as dqbits
from jwstsm.core.frames import Stage3Inputs
from jwstsm.errors import ConfigError, InputError
from jwstsm.stage3.skymatch import SkyLevels, skymatch, solve_offsets
from jwstsm.step import Skipped
from tests.builders import make_slope
from tests.unit.stage3.dithers import exposures, plain_wcs, star_list

SKY = (1.0, 1.7, 1.2, 3.0)
MEDIAN = {"skystat": "median"}


def levels(result: SkyLevels) -> np.ndarray:
    return np.array(list(result.levels.values()), dtype=float)


def scene(**options):
    return Stage3Inputs(exposures(4, sky=SKY, noise=0.1, **options))


def test_match_finds_the_differences_above_the_lowest():
    found = skymatch(scene(), **MEDIAN)
    assert np.allclose(levels(found), np.array(SKY) - 1.0, atol=0.01)
    assert found.method == "match"
    assert not found.subtract


def test_match_up_makes_the_highest_zero():
    found = skymatch(scene(), match_down=False, **MEDIAN)
    assert np.allclose(levels(found), np.array(SKY) - 3.0, atol=0.01)


def test_local_global_and_both():
    """Local: each its own. Global: the lowest for all. Both: differences on the lowest level."""
    assert np.allclose(levels(skymatch(scene(), skymethod="local", **MEDIAN)), SKY, atol=0.01)
    assert np.allclose(levels(skymatch(scene(), skymethod="global", **MEDIAN)), 1.0, atol=0.01)
    assert np.allclose(levels(skymatch(scene(), skymethod="global+match", **MEDIAN)), SKY, atol=0.01)


def test_stars_and_flagged_pixels_do_not_move_the_sky():
    """Bright stars are clipped; a third of the image that is flagged (and absurd) is not looked at."""
    inputs = scene(stars=star_list(20))
    for frame in inputs.frames:
        frame.arrays["data"][:25] = 1e4
        frame.arrays["dq"][:25] = dqbits.DO_NOT_USE
        frame.arrays["data"][30, 30] = np.nan
    assert np.allclose(levels(skymatch(inputs, **MEDIAN)), np.array(SKY) - 1.0, atol=0.02)
    every = skymatch(inputs, skymethod="local", dqbits="~0", **MEDIAN)
    assert (levels(every) > np.array(SKY) + 0.05).all(), "with all bits allowed the flagged pixels count"


def test_detectors_of_an_exposure_share_one_level():
    """Two detectors side by side, each overlapping only its own kind in the other exposures."""
    frames = exposures(3, sky=SKY[:3], noise=0.1, detectors=(("NRCA1", 0.0), ("NRCA2", 85.0)))
    frames[1].arrays["data"] += np.float32(0.2)  # one detector of the first exposure is off
    found = skymatch(Stage3Inputs(frames), **MEDIAN)
    pairs = levels(found).reshape(3, 2)
    assert np.array_equal(pairs[:, 0], pairs[:, 1])
    assert np.allclose(pairs[:, 0], [0.0, 0.6, 0.1], atol=0.03), "the first is 0.1 up, half of 0.2"


def test_an_exposure_without_overlap_gets_no_level():
    frames = exposures(3, sky=SKY[:3], noise=0.1)
    frames[2].wcs = plain_wcs(frames[2].shape, 1e4)
    found = skymatch(Stage3Inputs(frames), **MEDIAN)
    assert found.levels[frames[2].name] is None
    assert np.allclose(levels(found)[:2], [0, 0.7], atol=0.01)


def test_nothing_to_match_is_skipped_with_a_reason():
    result = skymatch(Stage3Inputs(exposures(1)))
    assert isinstance(result, Skipped)
    assert "do not overlap" in result.reason
    assert list(result.product.levels.values()) == [None]


def test_a_finer_outline_gives_the_same_levels():
    coarse, fine = skymatch(scene(), **MEDIAN), skymatch(scene(), stepsize=10, **MEDIAN)
    assert np.allclose(levels(coarse), levels(fine), atol=0.01)


def test_order_of_the_images_does_not_change_the_levels():
    inputs = scene()
    forward = skymatch(inputs, **MEDIAN).levels
    backward = skymatch(Stage3Inputs(inputs.frames[::-1]), **MEDIAN).levels
    assert forward.keys() == backward.keys()
    assert all(np.isclose(forward[k], backward[k], atol=1e-6) for k in forward)


def test_user_levels_are_read_by_name_whatever_the_suffix(tmp_path):
    inputs = scene()
    listed = tmp_path / "sky.txt"
    lines = [f"{f.name.replace('_cal', '_tweakreg')}  {k}.5" for k, f in enumerate(inputs.frames)]
    listed.write_text("# name level\n" + "\n".join(lines) + "\n")
    found = skymatch(inputs, skymethod="user", skylist=str(listed))
    assert list(found.levels.values()) == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, ConfigError, "needs skylist"),
        ("", InputError, "no line for"),
        ("jw_00001_nrca1_cal.fits one\n", ConfigError, "cannot be read"),
        ("extra 1\n", InputError, "names 5 images"),
    ],
)
def test_bad_user_lists_are_explained(tmp_path, text, error, message):
    inputs = scene()
    listed = tmp_path / "sky.txt"
    if text is not None:
        whole = "".join(f"{f.name} 1\n" for f in inputs.frames)
        listed.write_text(whole + text if text.startswith("extra") else text)
    with pytest.raises(error, match=message):
        skymatch(inputs, skymethod="user", skylist=None if text is None else str(listed))


def test_a_second_run_adds_to_what_was_subtracted_and_refuses_a_sky_that_was_only_measured():
    inputs = scene()
    for frame in inputs.frames:
        frame.header |= {"BKGLEVEL": 10.0, "BKGSUB": True}
    found = skymatch(inputs, subtract=True, **MEDIAN)
    assert np.allclose(levels(found), np.array(SKY) + 9.0, atol=0.01)
    inputs.frames[0].header["BKGSUB"] = False
    with pytest.raises(InputError, match="measured but not subtracted"):
        skymatch(inputs, subtract=True, **MEDIAN)


def test_sidecar_survives_writing_and_is_applied_to_a_product(tmp_path):
    """Recorded in the header; taken off the data only if asked; a missing level leaves the product alone."""
    slope = make_slope(4, 4, value=5.0)
    other = make_slope(4, 4, value=5.0)
    slope.path = tmp_path / "a_cal.fits"
    other.path = tmp_path / "b_cal.fits"
    for subtract in (False, True):
        SkyLevels("match", subtract, {"a_cal.fits": 1.5, "b_cal.fits": None}).write(tmp_path / "sky.json")
        sidecar = SkyLevels.read(tmp_path / "sky.json")
        sidecar.apply(slope)
        sidecar.apply(other)
        assert (slope.key("BKGMETH"), slope.key("BKGLEVEL"), slope.key("BKGSUB")) == ("match", 1.5, subtract)
        assert np.allclose(slope.data, 3.5 if subtract else 5.0)
        assert slope.key("S_SKYMAT") == "COMPLETE"
        assert other.key("S_SKYMAT") == "SKIPPED"
        assert other.key("BKGLEVEL") is None


def test_offsets_of_sets_that_are_not_connected_are_solved_apart(caplog):
    """Two pairs, nothing between them, and one exposure alone: each pair is centred, the lone one is NaN."""
    sky, count = np.zeros((5, 5)), np.zeros((5, 5))
    for i, j, si, sj in ((0, 1, 1.0, 3.0), (2, 3, 5.0, 4.0)):
        sky[i, j], sky[j, i] = si, sj
        count[i, j] = count[j, i] = 100
    found = solve_offsets(sky, count)
    assert np.allclose(found[:4], [-1, 1, 0.5, -0.5])
    assert np.isnan(found[4])
    assert "matched apart" in caplog.text


def test_inconsistent_overlaps_are_weighted_by_their_pixels():
    """A triangle whose differences do not close: the pair with most pixels is matched best."""
    sky, count = np.zeros((3, 3)), np.ones((3, 3))
    sky[0, 1], sky[1, 2], sky[0, 2] = 1.0, 1.0, 5.0
    count[0, 2] = count[2, 0] = 1000
    found = solve_offsets(sky, count)
    assert abs((found[0] - found[2]) - 5) < 1e-3
