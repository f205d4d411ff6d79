"""dark_current rebuilds the dark into the groups of the exposure and subtracts it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.errors import ReferenceError_
from jwstsm.references import ReferenceFile, References, Window
from jwstsm.stage1._dark_ramp import missing_groups
from jwstsm.stage1.dark_current import dark_current, dark_integrations
from jwstsm.step import Skipped
from tests.builders import FakeReferences, make_ramp


def references(cube, nframes=1, groupgap=0, **more):
    header = {"NFRAMES": nframes, "GROUPGAP": groupgap} | more.pop("header", {})
    return FakeReferences({"dark": {"SCI": cube, "header": header} | more})


def quadratic(nframes=20, shape=(4, 5)):
    """Return a dark that is no straight line, one plane per frame."""
    return np.broadcast_to((np.arange(1.0, nframes + 1) ** 2)[:, None, None], (nframes, *shape)).copy()


def test_groups_of_the_same_kind_are_subtracted_one_by_one_from_every_integration():
    ramp = make_ramp(2, 3, 4, 5, NFRAMES=4, GROUPGAP=1)
    ramp.data += 100.0
    dark_current(ramp, references(quadratic(5), 4, 1))
    assert ramp.data[0, :, 0, 0].tolist() == [99, 96, 91]
    np.testing.assert_array_equal(ramp.data[0], ramp.data[1])


def test_frames_are_averaged_into_groups_and_those_between_are_dropped():
    ramp = make_ramp(1, 3, 4, 5, NFRAMES=2, GROUPGAP=3)
    dark_current(ramp, references(quadratic(12)))
    expected = [np.mean([1, 4]), np.mean([36, 49]), np.mean([121, 144])]
    assert (-ramp.data[0, :, 2, 2]).tolist() == expected


def test_a_short_dark_is_prolonged_along_its_last_two_groups():
    ramp = make_ramp(1, 4, 4, 5)
    dark_current(ramp, references(quadratic(2)))
    assert (-ramp.data[0, :, 1, 1]).tolist() == [1, 4, 7, 10]
    averaged = make_ramp(1, 2, 4, 5, NFRAMES=2, GROUPGAP=1)
    dark_current(averaged, references(quadratic(3)))
    assert (-averaged.data[0, :, 1, 1]).tolist() == [2.5, np.mean([9 + 5, 9 + 10])]


def test_how_many_groups_are_missing():
    assert missing_groups((4, 1, 0), (2, 1, 0)) == 2
    assert missing_groups((2, 2, 1), (3, 1, 0)) == 2
    assert missing_groups((5, 8, 12), (108, 1, 0)) == 0
    assert missing_groups((3, 4, 1), (2, 4, 1)) == 1


def test_nan_counts_as_zero_also_where_the_dark_is_prolonged():
    cube = quadratic(2)
    cube[0, 0, 0] = np.nan
    ramp = make_ramp(1, 3, 4, 5)
    dark_current(ramp, references(cube))
    assert (-ramp.data[0, :, 0, 0]).tolist() == [0, 4, 0]
    cube = quadratic(4)
    cube[1, 0, 0] = np.nan
    averaged = make_ramp(1, 1, 4, 5, NFRAMES=4)
    dark_current(averaged, references(cube))
    assert -averaged.data[0, 0, 0, 0] == (1 + 9 + 16) / 4


@pytest.mark.parametrize(("nframes", "groupgap", "reason"), [(4, 0, "averages 4"), (1, 2, "drops 2"), (2, 0, "rebuilt")])
def test_a_dark_that_cannot_be_rebuilt_is_not_subtracted(nframes, groupgap, reason):
    science = {"NFRAMES": 3, "GROUPGAP": 1}
    ramp = make_ramp(1, 2, 4, 5, **science)
    result = dark_current(ramp, references(quadratic(), nframes, groupgap, DQ=np.ones((4, 5), np.uint32)))
    assert isinstance(result, Skipped)
    assert reason in result.reason
    assert not ramp.data.any()
    assert not ramp.pixeldq.any()


def test_integrations_take_the_dark_of_their_number_and_then_the_last():
    assert dark_integrations(4, 0, 1, 2) == [(0, 1, 0), (1, 4, 1)]
    assert dark_integrations(2, 1, 1, 3) == [(0, 1, 1), (1, 2, 2)]
    assert dark_integrations(2, 0, 11, 3) == [(0, 2, 2)]
    assert dark_integrations(3, 0, 1, 1) == [(0, 3, 0)]


def test_darks_with_integrations_and_their_flags():
    cube = np.stack([quadratic(3), 10 * quadratic(3)])
    flags = np.zeros((2, 1, 4, 5), np.uint32)
    flags[0, 0, 1, 1], flags[1, 0, 1, 1], flags[1, 0, 2, 2] = dq.HOT, dq.WARM, dq.UNRELIABLE_DARK
    ramp = make_ramp(3, 2, 4, 5)
    dark_current(ramp, references(cube, DQ=flags))
    assert (-ramp.data[:, :, 0, 0]).tolist() == [[1, 4], [10, 40], [10, 40]]
    assert ramp.pixeldq[1, 1] == dq.HOT | dq.WARM
    assert ramp.pixeldq[2, 2] == dq.UNRELIABLE_DARK
    later = make_ramp(1, 2, 4, 5, INTSTART=4)
    dark_current(later, references(cube))
    assert (-later.data[0, :, 0, 0]).tolist() == [10, 40]
    block = make_ramp(1, 2, 4, 5)
    block.first_integration = 1
    dark_current(block, references(cube))
    assert (-block.data[0, :, 0, 0]).tolist() == [10, 40]


def test_the_mean_dark_current_comes_from_the_parameter_the_image_or_the_keyword():
    image = np.full((4, 5), 0.25)
    cases = [
        ({"average_dark_current": 2.0}, {"AVDRKCUR": image}, 2.0),
        ({}, {"AVDRKCUR": image, "header": {"AVDRKCUR": 0.5}}, image),
        ({}, {"AVDRKCUR": 0 * image, "header": {"AVDRKCUR": 0.5}}, 0.5),
        ({}, {}, 0.0),
    ]
    for parameters, content, expected in cases:
        ramp = make_ramp(1, 2, 4, 5)
        dark_current(ramp, references(quadratic(2), **content), **parameters)
        np.testing.assert_array_equal(ramp.average_dark_current, expected)


def test_the_dark_as_subtracted_can_be_saved_and_used_again(tmp_path):
    flags = np.zeros((4, 5), np.uint32)
    flags[1, 2] = dq.HOT
    ramp = make_ramp(1, 3, 4, 5, NFRAMES=2, GROUPGAP=1)
    dark_current(ramp, references(quadratic(8), DQ=flags), dark_output=str(tmp_path / "dark"))
    saved = ReferenceFile(tmp_path / "dark.fits", "dark")
    np.testing.assert_array_equal(saved.array("SCI"), -ramp.data[0])
    again = make_ramp(1, 3, 4, 5, NFRAMES=2, GROUPGAP=1)
    dark_current(again, References({"dark": tmp_path / "dark.fits"}, Window.of(again.readout)))
    np.testing.assert_array_equal(again.data, ramp.data)
    np.testing.assert_array_equal(again.pixeldq, ramp.pixeldq)


def test_only_the_window_and_the_groups_needed_are_taken_from_a_file(tmp_path):
    rng = np.random.default_rng(2)
    cube = rng.normal(size=(9, 10, 12)).astype(np.float32)
    primary = fits.PrimaryHDU()
    primary.header.update({"NFRAMES": 1, "GROUPGAP": 0, "SUBSTRT1": 1, "SUBSTRT2": 1})
    fits.HDUList([primary, fits.ImageHDU(cube, name="SCI")]).writeto(tmp_path / "dark.fits")
    ramp = make_ramp(1, 3, 3, 4, SUBSTRT1=6, SUBSTRT2=3, GROUPGAP=2)
    dark_current(ramp, References({"dark": tmp_path / "dark.fits"}, Window.of(ramp.readout)))
    np.testing.assert_array_equal(-ramp.data[0], cube[[0, 3, 6], 2:5, 5:9])


def test_a_dark_of_one_group_cannot_be_prolonged_and_none_skips():
    with pytest.raises(ReferenceError_, match="one group"):
        dark_current(make_ramp(1, 3, 4, 5), references(quadratic(1)))
    assert isinstance(dark_current(make_ramp(1, 3, 4, 5), FakeReferences({"dark": None})), Skipped)
