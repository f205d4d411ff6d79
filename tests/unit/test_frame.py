"""Products survive a round trip, damaged files are named, references are cut, parameters are checked."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pytest
from astropy.io import fits

from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Ramp, read, write
from jwstsm.references import ReferenceFile, Window
from jwstsm.step import Range, step
from tests.builders import make_ramp, make_slope


def test_a_product_survives_writing_and_reading_with_unknown_keywords_and_extensions(tmp_path):
    slope = make_slope(4, 6, value=2.5)
    slope.primary["MYKEY"] = (42, "somebody's keyword")
    slope.sci["BUNIT"] = "DN/s"
    slope.dq[1, 2] = 2**31 + 5
    slope.others.append(fits.ImageHDU(np.arange(5), name="THEIRS"))
    slope.history.append({"name": "jump", "status": "COMPLETE", "parameters": {"rejection_threshold": 4.0}})
    path = write(slope, tmp_path / "a_rate.fits")
    again = read(path)
    assert again.primary["MYKEY"] == 42
    assert again.primary["FILENAME"] == "a_rate.fits"
    assert again.sci["BUNIT"] == "DN/s"
    assert again.dq[1, 2] == 2**31 + 5
    assert again.dq.dtype == np.uint32
    assert [h.name for h in again.others] == ["THEIRS"]
    assert again.history == slope.history
    np.testing.assert_array_equal(again.data, slope.data)
    assert again.data.dtype.isnative
    assert again.data.flags.c_contiguous


def test_a_block_of_integrations_is_read_alone(tmp_path):
    ramp = make_ramp(4, 3, 5, 6)
    ramp.data += np.arange(4, dtype=np.float32)[:, None, None, None]
    write(ramp, tmp_path / "a_ramp.fits")
    block = read(tmp_path / "a_ramp.fits", integrations=(1, 3))
    assert block.first_integration == 1
    assert block.data[:, 0, 0, 0].tolist() == [1, 2]


def test_raw_counts_above_32767_are_read_as_unsigned(tmp_path):
    ramp = make_ramp(1, 2, 3, 3)
    ramp.data[0, 1] = 65535
    write(ramp, tmp_path / "a_uncal.fits", "uncal")
    assert read(tmp_path / "a_uncal.fits").data.max() == 65535


def test_a_truncated_file_is_named_and_leaves_nothing(tmp_path):
    path = write(make_ramp(1, 4, 32, 32), tmp_path / "a_ramp.fits")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"a_ramp.fits.*(truncated|cannot be read)"):
        read(path)


def test_a_failed_write_leaves_no_file(tmp_path):
    slope = make_slope(3, 3)
    slope.err = np.array(["not", "numbers"])
    with pytest.raises(Exception):
        write(slope, tmp_path / "a_rate.fits")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_keyword_is_named():
    ramp = make_ramp()
    del ramp.primary["TFRAME"]
    with pytest.raises(InputError, match="TFRAME"):
        _ = ramp.readout


def test_a_full_frame_reference_is_cut_to_the_window_and_its_bits_translated(tmp_path):
    plane = np.arange(100, dtype=np.float32).reshape(10, 10)
    dq = np.zeros((10, 10), np.uint32)
    dq[4, 3] = 1
    definitions = np.array(
        [(0, 1, "HOT", "")], dtype=[("BIT", "i4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]
    )
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(plane, name="SCI"),
            fits.ImageHDU(dq, name="DQ"),
            fits.BinTableHDU(definitions, name="DQ_DEF"),
        ]
    ).writeto(tmp_path / "ref.fits")
    reference = ReferenceFile(tmp_path / "ref.fits", "test", Window(3, 5, 4, 2))
    assert reference.array().tolist() == plane[4:6, 2:6].tolist()
    assert reference.dq().tolist() == [[0, 2048, 0, 0], [0, 0, 0, 0]]
    with pytest.raises(ValueError):
        reference.array()[0, 0] = 1


@step("S_TEST")
def example(
    ramp: Ramp,
    refs,
    *,
    depth: Annotated[float, Range(min=0)] = 4.0,
    method: Literal["a", "b"] = "a",
    order: list[int] | None = None,
) -> Ramp:
    """Do nothing.

    Parameters
    ----------
    depth : float
        How deep.
    method : str
        Which way,
        in two lines.
    """
    return ramp


def test_parameters_come_from_the_signature():
    parameters = example.step.parameters
    assert list(parameters) == ["skip", "depth", "method", "order"]
    assert parameters["depth"].schema() == {"type": "number", "minimum": 0, "description": "How deep.", "default": 4.0}
    assert parameters["method"].description == "Which way, in two lines."
    assert example.step.check({"depth": "3", "order": "1, 2"}, "test") == {"depth": 3.0, "order": [1, 2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dept": 1}, "depth"), ({"depth": -1}, "at least 0"), ({"method": "c"}, "'a'"), ({"depth": "much"}, "a number")],
)
def test_a_wrong_option_is_explained(options, message):
    with pytest.raises(ConfigError, match=message):
        example.step.check(options, "config.yaml")
