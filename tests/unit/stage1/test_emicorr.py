"""emicorr takes out the interference that the forward model puts in, with either algorithm."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.references import ReferenceFile
from jwstsm.sim.miri_effects import EMI_CASES, add_emi, write_emicorr
from jwstsm.stage1.emicorr import emicorr
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp
from tests.unit.stage1.test_firstframe import MIRI

WAVES = {"Hz390": (1.0, 0.13)}


def ramp(nints=2, ngroups=12):
    """Straight ramps of various slopes with read noise and interference; returns the ramp and what it should be."""
    made = make_ramp(
        nints, ngroups, 64, 72, **MIRI, SUBARRAY="SUB64", READPATT="FASTR1", NSAMPLES=1, TFRAME=0.08512, TGROUP=0.08512
    )
    rng = np.random.default_rng(5)
    slope = rng.uniform(5, 50, (64, 72))
    made.data[:] = 1000 + slope * np.arange(ngroups).reshape(1, -1, 1, 1) + rng.normal(0, 0.5, made.data.shape)
    clean = made.data.copy()
    add_emi(made.data, EMI_CASES["SUB64"], WAVES)
    return made, clean


class Given(FakeReferences):
    """References with one real file."""

    def __init__(self, path):
        super().__init__({"emicorr": {}})
        self._open["emicorr"] = ReferenceFile(path, "emicorr")


def roughness(data, clean):
    """Return the scatter of what is left, without what a slope and a bias would take."""
    rest = (data - clean).astype(float)
    return float(np.std(np.diff(rest, n=2, axis=1)))


@pytest.mark.parametrize("algorithm", ["sequential", "joint"])
def test_the_interference_is_removed(tmp_path, algorithm):
    made, clean = ramp()
    before = roughness(made.data, clean)
    out = emicorr(made, Given(write_emicorr(tmp_path / "emi.asdf")), algorithm=algorithm)
    assert before > 3
    assert roughness(out.data, clean) < 0.2 * before


def test_it_can_be_removed_without_a_reference():
    made, clean = ramp(nints=4)
    before = roughness(made.data, clean)
    out = emicorr(made, FakeReferences({"emicorr": None}), onthefly_corr_freq=[390.625])
    assert roughness(out.data, clean) < 0.5 * before


def test_without_a_reference_or_for_other_instruments_it_is_skipped():
    made, _ = ramp()
    assert isinstance(emicorr(made, FakeReferences({"emicorr": None})), Skipped)
    assert isinstance(emicorr(make_ramp(1, 12, 8, 8), FakeReferences({"emicorr": None})), Skipped)
