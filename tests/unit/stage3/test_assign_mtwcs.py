"""Exposures of a moving target are shifted so that the target is in one place."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.frames import MemoryFrame, Stage3Inputs
from jwstsm.errors import InputError
from jwstsm.stage3.alignment import Alignment
from jwstsm.stage3.assign_mtwcs import assign_mtwcs, mean_position
from jwstsm.step import Skipped
from jwstsm.wcs.model import Wcs, detector_frame
from jwstsm.wcs.moving import follow_target
from jwstsm.wcs.transforms import Identity
from tests.unit.stage3.dithers import DEC, RA, header_of, plain_wcs

SHAPE = (40, 50)
TARGET = [(RA, DEC), (RA + 3e-4, DEC - 1e-4), (RA + 5e-4, DEC - 3e-4)]


@pytest.fixture
def frames():
    out = []
    for k, (ra, dec) in enumerate(TARGET):
        wcs = plain_wcs(SHAPE, 2.0 * k, -1.0 * k)
        header = header_of(wcs, k + 1, MT_RA=ra, MT_DEC=dec, TARGTYPE="MOVING")
        out.append(MemoryFrame({"data": np.zeros(SHAPE, np.float32)}, wcs, header, f"{k}_cal.fits"))
    return out


def test_the_target_has_one_position_in_all_exposures(frames, tmp_path):
    """The pixel in which the target is in each exposure is at its mean position afterwards."""
    made = assign_mtwcs(Stage3Inputs(frames, "comet"))
    made.write(tmp_path / "a.json")
    back = Alignment.read(tmp_path / "a.json")
    assert back.target == pytest.approx({"ra": np.mean([t[0] for t in TARGET]), "dec": np.mean([t[1] for t in TARGET])})
    for frame, position in zip(frames, TARGET, strict=True):
        pixel = frame.wcs.invert(*position, with_bounding_box=False)
        followed = back.corrected(frame.name, frame.wcs)
        assert followed(*pixel, with_bounding_box=False) == pytest.approx(
            (back.target["ra"], back.target["dec"]), abs=1e-10
        )
        assert followed.invert(back.target["ra"], back.target["dec"], with_bounding_box=False) == pytest.approx(pixel)
        assert followed.available_frames[-2:] == ["world", "moving_target"]
        assert followed.bounding_box == frame.wcs.bounding_box


def test_following_twice_shifts_once():
    wcs = plain_wcs(SHAPE)
    once = follow_target(wcs, 1e-4, 2e-4)
    assert follow_target(once, 1e-4, 2e-4)(3.0, 4.0) == once(3.0, 4.0)
    assert once.to_gwcs()(3.0, 4.0) == pytest.approx(once(3.0, 4.0), abs=1e-12)


def test_a_mean_across_zero_hours_is_near_it():
    assert mean_position(np.array([359.9998, 0.0004]), np.array([1.0, 3.0])) == pytest.approx((0.0001, 2.0), abs=1e-9)


def test_a_missing_position_is_said_and_nothing_is_shifted(frames):
    frames[1].header.pop("MT_RA")
    made = assign_mtwcs(Stage3Inputs(frames, "comet"))
    assert isinstance(made, Skipped)
    assert "1_cal.fits" in made.reason
    assert made.product.corrected(frames[0].name, frames[0].wcs) is frames[0].wcs


def test_coordinates_that_do_not_end_on_the_sky_are_refused():
    with pytest.raises(InputError, match="run assign_wcs"):
        follow_target(Wcs([(detector_frame(), Identity(2)), (detector_frame().renamed("other"), None)]), 0.0, 0.0)
