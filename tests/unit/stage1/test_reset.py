"""reset subtracts the anomaly of the first groups, integration by integration."""

from __future__ import annotations

import numpy as np

from jwstsm.stage1.reset import reset
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp
from tests.unit.stage1.test_firstframe import MIRI


def anomaly(nints=2, ngroups=3):
    plane = np.arange(nints * ngroups, dtype=np.float32).reshape(nints, ngroups, 1, 1) + 1
    return np.broadcast_to(plane, (nints, ngroups, 4, 4)).copy()


def test_each_integration_gets_its_own_and_later_ones_the_last():
    ramp = make_ramp(3, 5, 4, 4, **MIRI)
    ramp.data += 100
    out = reset(ramp, FakeReferences({"reset": {"SCI": anomaly(), "header": {"NGROUPS": 3, "NINTS": 2}}}))
    assert out.data[:, :, 0, 0].tolist() == [
        [99, 98, 97, 100, 100],
        [96, 95, 94, 100, 100],
        [96, 95, 94, 100, 100],
    ]


def test_without_a_reference_it_is_skipped():
    assert isinstance(reset(make_ramp(1, 5, 4, 4, **MIRI), FakeReferences({"reset": None})), Skipped)
