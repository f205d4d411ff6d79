"""picture_frame takes a pattern of known shape out of the groups of full NIRSpec frames."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.stage1.picture_frame import Frame, correct_integration_inplace, picture_frame, region_masks
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

NIRSPEC = {
    "INSTRUME": "NIRSPEC",
    "DETECTOR": "NRS1",
    "EXP_TYPE": "NRS_IFU",
    "SUBARRAY": "FULL",
    "FASTAXIS": 2,
    "SLOWAXIS": 1,
}


def test_a_frame_that_grows_from_group_to_group_is_removed():
    size = 2048
    y, x = np.mgrid[:size, :size]
    pattern = np.clip(1 - np.minimum(np.minimum(x, y), np.minimum(size - 1 - x, size - 1 - y)) / 400, 0, 1).astype(
        np.float32
    )
    made = make_ramp(1, 4, size, size, **NIRSPEC)
    rng = np.random.default_rng(2)
    made.data[0] = rng.normal(0, 0.3, made.data.shape[1:])
    for group in range(4):
        made.data[0, group] += 5 * group * pattern
    ones = np.ones((size, size), np.float32)
    references = FakeReferences({"pictureframe": {"SCI": pattern}, "gain": {"SCI": ones}, "readnoise": {"SCI": ones}})
    out = picture_frame(made, references, mask_science_regions=False).data[0]
    edges = out[:, :40].mean(axis=(1, 2)) - out[:, 1000:1040, 1000:1040].mean(axis=(1, 2))
    assert np.abs(edges[1:] - edges[0]).max() < 1.5  # of 15 DN that were put in


def test_subarrays_other_instruments_and_absent_references_are_left_alone():
    assert isinstance(picture_frame(make_ramp(1, 4, 8, 8), FakeReferences({})), Skipped)
    assert isinstance(picture_frame(make_ramp(1, 4, 8, 8, **NIRSPEC), FakeReferences({"pictureframe": None})), Skipped)


def test_scale_and_level_come_from_the_medians_of_centre_and_edges():
    rng = np.random.default_rng(1)
    pattern = rng.uniform(1, 2, (20, 30)).astype(np.float32)
    centre, edges = np.zeros((2, 20, 30), bool)
    centre[5:15, 5:25], edges[:3] = True, True
    pattern[centre], pattern[edges] = 1.5, 3.0
    frame = Frame(pattern, 1.5, 3.0)
    first = rng.normal(100, 5, (20, 30)).astype(np.float32)
    groups = np.stack([first, first + 2 * (pattern - 3) + 7, first - 4 * (pattern - 3) + 1]).astype(np.float32)
    groups[1, 10, 10] += 1000  # a source in the centre
    correct_integration_inplace(groups, centre, edges, frame)
    expected = np.stack([first, first, first])
    expected[1, 10, 10] += 1000
    np.testing.assert_allclose(groups, expected, atol=2e-4)


def test_regions_leave_out_reference_pixels_and_sources():
    background = np.ones((2048, 2048), bool)
    background[100, 100] = background[50, 50] = False
    centre, edges = region_masks(background)
    assert not (centre & edges).any()
    assert not centre[100, 100]
    assert not edges[50, 50]
    assert centre[76, 1983]
    assert not centre[75, 1000]
    assert edges[4, 4]
    assert edges[2042, 2042]
    assert edges[1000, 1990]
    assert not edges[:4].any()
    assert not edges[:, 2043:].any()


def test_one_group_and_no_background_are_left_alone():
    single = make_ramp(1, 1, 8, 8, **NIRSPEC)
    assert isinstance(picture_frame(single, FakeReferences({"pictureframe": {"SCI": np.ones((8, 8))}})), Skipped)
    tiny = make_ramp(1, 3, 8, 8, **NIRSPEC)
    tiny.data += np.arange(3).reshape(1, -1, 1, 1)
    ones = np.ones((8, 8), np.float32)
    given = FakeReferences({"pictureframe": {"SCI": ones}, "gain": {"SCI": ones}, "readnoise": {"SCI": ones}})
    out = picture_frame(tiny, given, mask_science_regions=False)
    assert isinstance(out, Skipped)
    assert "background" in out.reason
    assert picture_frame.step.parameters["skip"].default is True


def test_science_regions_need_world_coordinates():
    made = make_ramp(1, 3, 8, 8, **NIRSPEC)
    made.data += np.arange(3).reshape(1, -1, 1, 1)
    ones = np.ones((8, 8), np.float32)
    given = FakeReferences({"pictureframe": {"SCI": ones}, "gain": {"SCI": ones}, "readnoise": {"SCI": ones}})
    with pytest.raises(InputError, match="mask_science_regions: false"):
        picture_frame(made, given)
