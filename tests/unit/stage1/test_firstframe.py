"""firstframe leaves the first group of MIRI ramps out, and keeps it for pixels that saturate soon."""

from __future__ import annotations

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from jwstsm.stage1.firstframe import firstframe
from jwstsm.step import Skipped
from tests.builders import make_ramp

MIRI = {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "EXP_TYPE": "MIR_IMAGE", "FASTAXIS": 1, "SLOWAXIS": 2}


def test_the_first_group_of_every_integration_is_flagged():
    found = firstframe(make_ramp(2, 6, 4, 4, **MIRI), None).groupdq
    assert (found[:, 0] == DO_NOT_USE).all()
    assert not found[:, 1:].any()


def test_bright_pixels_keep_it():
    ramp = make_ramp(1, 6, 4, 4, **MIRI)
    ramp.groupdq[0, 2:, 1, 1] = SATURATED
    found = firstframe(ramp, None, bright_use_group1=True).groupdq
    assert found[0, 0, 1, 1] == 0
    assert found[0, 0, 0, 0] == DO_NOT_USE


def test_short_ramps_and_other_instruments_are_left_alone():
    assert isinstance(firstframe(make_ramp(1, 3, 4, 4, **MIRI), None), Skipped)
    assert isinstance(firstframe(make_ramp(1, 6, 4, 4), None), Skipped)


def test_a_pixel_that_keeps_it_in_one_integration_is_marked_and_others_are_not():
    ramp = make_ramp(2, 4, 2, 3, **MIRI)
    ramp.groupdq[1, 2, 0, 2] = SATURATED
    out = firstframe(ramp, None)
    assert out.groupdq[:, 0, 0, 2].tolist() == [DO_NOT_USE, 0]
    assert (out.pixeldq == np.where([[0, 0, 1], [0, 0, 0]], FLUX_ESTIMATED, 0)).all()


def test_bright_pixels_lose_it_too_if_asked():
    ramp = make_ramp(1, 4, 2, 2, **MIRI)
    ramp.groupdq[0, 2:, 0, 0] = SATURATED
    out = firstframe(ramp, None, bright_use_group1=False)
    assert (out.groupdq[:, 0] == DO_NOT_USE).all()
    assert not out.pixeldq.any()


def test_it_is_off_by_default():
    assert firstframe.step.parameters["skip"].default is True
