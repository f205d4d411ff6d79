"""group_scale rescales wrongly divided averages and leaves all others alone."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage1.group_scale import group_scale
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

NO_REFERENCES = FakeReferences({})


def test_groups_are_multiplied_by_divisor_over_frames_and_the_zero_frame_is_not():
    ramp = make_ramp(2, 3, 4, 5, NFRAMES=5, FRMDIVSR=8)
    ramp.data += 100.0
    ramp.data[0, 0, 0, 0] = np.nan
    ramp.zeroframe = np.full((2, 4, 5), 7.0, np.float32)
    assert group_scale(ramp, NO_REFERENCES) is ramp
    assert np.isnan(ramp.data[0, 0, 0, 0])
    assert ramp.data[1, 2, 3, 4] == np.float32(160.0)
    assert ramp.zeroframe.max() == 7.0


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"NFRAMES": 8, "FRMDIVSR": 8}, "both 8"),
        ({"NFRAMES": 4, "FRMDIVSR": None}, "power of two"),
        ({"NFRAMES": 5, "FRMDIVSR": None}, "FRMDIVSR is not in the header"),
        ({"NFRAMES": None, "FRMDIVSR": 8}, "NFRAMES is not in the header"),
    ],
)
def test_a_right_or_unknown_average_is_not_touched(keywords, reason):
    ramp = make_ramp(1, 2, 2, 2)
    ramp.data += 3.0
    for name, value in keywords.items():
        if value is None:
            del ramp.primary[name]
        else:
            ramp.primary[name] = value
    result = group_scale(ramp, NO_REFERENCES)
    assert isinstance(result, Skipped)
    assert reason in result.reason
    assert np.all(ramp.data == 3.0)
