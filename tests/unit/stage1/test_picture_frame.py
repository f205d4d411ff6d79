"""picture_frame takes a pattern of known shape out of the groups of full NIRSpec frames."""

from __future__ import annotations

import numpy as np

from jwstsm.stage1.picture_frame import picture_frame
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
