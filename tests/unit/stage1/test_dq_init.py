"""dq_init puts the mask into the pixel plane and its DO_NOT_USE bit into the groups."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.errors import InputError, ReferenceError_
from jwstsm.references import Window
from jwstsm.stage1.dq_init import dq_init
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp

# a reference with bits of its own, as archive references may have
DQ_DEF = np.rec.array(
    [(0, 1, "DO_NOT_USE", ""), (1, 2, "HOT", ""), (2, 4, "REFERENCE_PIXEL", "")],
    dtype=[("BIT", int), ("VALUE", int), ("NAME", "U20"), ("DESCRIPTION", "U20")],
)


def test_the_mask_is_translated_ored_and_only_do_not_use_reaches_the_groups():
    ramp = make_ramp(2, 3, 4, 5)
    ramp.pixeldq[0, 0] = dq.DEAD
    ramp.groupdq[1, 2, 3, 3] = dq.JUMP_DET
    mask = np.zeros((4, 5), np.uint32)
    mask[0, 0], mask[1, 1], mask[3, 3] = 2, 3, 4
    dq_init(ramp, FakeReferences({"mask": {"DQ": mask, "DQ_DEF": DQ_DEF}}))
    assert ramp.pixeldq[0, 0] == dq.DEAD | dq.HOT
    assert ramp.pixeldq[1, 1] == dq.DO_NOT_USE | dq.HOT
    assert ramp.pixeldq[3, 3] == dq.REFERENCE_PIXEL
    assert np.all(ramp.groupdq[:, :, 1, 1] == dq.DO_NOT_USE)
    assert np.count_nonzero(ramp.groupdq) == 6 + 1
    assert ramp.groupdq[1, 2, 3, 3] == dq.JUMP_DET


def test_a_subarray_gets_its_part_of_a_full_mask():
    ramp = make_ramp(1, 1, 3, 4, SUBSTRT1=6, SUBSTRT2=3)
    mask = np.zeros((10, 12), np.uint32)
    mask[2 + 1, 5 + 2] = dq.DO_NOT_USE
    dq_init(ramp, FakeReferences({"mask": {"DQ": mask}}, Window.of(ramp.readout)))
    assert np.argwhere(ramp.pixeldq).tolist() == [[1, 2]]
    assert ramp.groupdq[0, 0, 1, 2] == dq.DO_NOT_USE


def test_the_users_map_is_added(tmp_path):
    own = np.zeros((4, 5), np.int32)
    own[2, 2] = dq.DO_NOT_USE | dq.HOT
    fits.writeto(tmp_path / "own.fits", own)
    ramp = make_ramp(1, 2, 4, 5)
    refs = FakeReferences({"mask": {"DQ": np.zeros((4, 5), np.uint32)}})
    dq_init(ramp, refs, user_supplied_dq=str(tmp_path / "own.fits"))
    assert ramp.pixeldq[2, 2] == dq.DO_NOT_USE | dq.HOT
    assert np.all(ramp.groupdq[:, :, 2, 2] == dq.DO_NOT_USE)


def test_a_users_map_that_is_missing_or_of_another_size_is_named(tmp_path):
    refs = FakeReferences({"mask": {"DQ": np.zeros((4, 5), np.uint32)}})
    with pytest.raises(InputError, match="there is no file"):
        dq_init(make_ramp(1, 2, 4, 5), refs, user_supplied_dq=str(tmp_path / "absent.fits"))
    fits.writeto(tmp_path / "own.fits", np.zeros((5, 4), np.int32))
    with pytest.raises(InputError, match=r"\(5, 4\).*\(4, 5\)"):
        dq_init(make_ramp(1, 2, 4, 5), refs, user_supplied_dq=str(tmp_path / "own.fits"))
    (tmp_path / "text.fits").write_text("no FITS file")
    with pytest.raises(InputError, match="cannot be read"):
        dq_init(make_ramp(1, 2, 4, 5), refs, user_supplied_dq=str(tmp_path / "text.fits"))


def test_no_mask_skips_and_a_mask_without_a_plane_is_an_error():
    ramp = make_ramp(1, 2, 4, 5)
    assert isinstance(dq_init(ramp, FakeReferences({"mask": None})), Skipped)
    with pytest.raises(ReferenceError_, match="no DQ plane"):
        dq_init(ramp, FakeReferences({"mask": {}}))
    assert not ramp.pixeldq.any()
