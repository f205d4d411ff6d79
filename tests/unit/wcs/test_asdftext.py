"""Reading and writing ASDF trees without the asdf package."""

from __future__ import annotations

import io

import numpy as np
import pytest

from jwstsm.errors import InputError
from jwstsm.wcs import asdftext
from jwstsm.wcs.asdftext import PREFIX, Tagged

TREE = {
    "number": 1.0e-5,
    "large": 1e22,
    "count": 3,
    "flag": True,
    "nothing": None,
    "text": "yes: a #text",
    "word": "no",
    "empty": {},
    "list": [1, [2.5, -0.0], ["a", "b c"]],
    "rows": [{"x": 1}, {"y": [{"z": "w"}]}],
    "infinite": [float("inf"), float("-inf")],
    "tagged": Tagged(f"{PREFIX}transform/shift-1.4.0", {"offset": -1023.5}),
    "unit": [Tagged(f"{PREFIX}unit/unit-1.0.0", "deg")] * 2,
    "array": np.arange(6.0).reshape(2, 3) * 1e-7,
}


def same(a, b) -> bool:
    """Compare trees, arrays included, and numbers bit by bit."""
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b) and a.dtype == b.dtype
    if isinstance(a, Tagged):
        return a.tag == b.tag and same(a.value, b.value)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b)


def test_a_tree_comes_back_as_it_was_written(tmp_path):
    asdftext.write(tmp_path / "t.asdf", TREE)
    assert same(asdftext.load(tmp_path / "t.asdf"), TREE)


def test_the_asdf_package_reads_what_is_written_and_the_other_way_round(tmp_path):
    import asdf

    tree = {k: v for k, v in TREE.items() if k not in ("tagged", "unit")}
    asdftext.write(tmp_path / "ours.asdf", tree)
    with asdf.open(tmp_path / "ours.asdf", lazy_load=False, memmap=False) as file:
        assert file["number"] == 1.0e-5
        assert file["text"] == TREE["text"]
        np.testing.assert_array_equal(file["array"], TREE["array"])
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    back = asdftext.load(buffer.getvalue())
    assert same({k: back[k] for k in tree}, tree)


@pytest.mark.parametrize("codec", ["zlib", "bzp2"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "|b1"])
def test_arrays_in_blocks_of_every_form_are_read(codec, dtype):
    import asdf

    array = (np.arange(24) % 5).reshape(4, 6).astype(dtype)
    buffer = io.BytesIO()
    file = asdf.AsdfFile({"a": array, "b": array[1:, ::2]})
    file.write_to(buffer, all_array_compression=codec)
    tree = asdftext.load(buffer.getvalue())
    np.testing.assert_array_equal(tree["a"], array)
    np.testing.assert_array_equal(tree["b"], array[1:, ::2])
    assert tree["a"].dtype.isnative


def test_an_array_kept_in_the_fits_file_is_left_as_it_is():
    text = asdftext.HEADER + "data: !core/ndarray-1.1.0 {source: 'fits:SCI,1', datatype: float32, shape: [2, 2]}\n...\n"
    node = asdftext.load(text.encode())["data"]
    assert asdftext.tag_name(node) == "core/ndarray"
    assert node.value["source"] == "fits:SCI,1"


def test_the_name_of_a_tag_has_no_authority_and_no_version():
    assert asdftext.tag_name(Tagged("tag:stsci.edu:gwcs/wcs-1.4.0", {})) == "gwcs/wcs"
    assert asdftext.tag_name(Tagged(f"{PREFIX}transform/remap_axes-1.5.0", {})) == "transform/remap_axes"
    assert asdftext.tag_name({"plain": 1}) == ""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"SIMPLE  = T", "not an ASDF file"),
        (b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: [1\n...\n", "cannot be read"),
        (
            asdftext.HEADER.encode() + b"a: !core/ndarray-1.1.0 {source: 0, datatype: float64, shape: [2]}\n...\n",
            "not in the file",
        ),
    ],
)
def test_a_damaged_file_gives_one_clear_message(raw, message):
    with pytest.raises(InputError, match=message):
        asdftext.load(raw)


def test_a_truncated_block_is_noticed():
    import asdf

    buffer = io.BytesIO()
    asdf.AsdfFile({"a": np.arange(5000.0)}).write_to(buffer)
    with pytest.raises(InputError, match="truncated"):
        asdftext.load(buffer.getvalue()[:-6000])


@pytest.mark.parametrize("inline", [True, False])
def test_arrays_of_texts_are_read(tmp_path, inline):
    import asdf

    names = np.array(["F200W", "CLEAR", "µm"])
    file = asdf.AsdfFile({"unicode": names, "bytes": np.array([b"F444W", b"A"])})
    file.write_to(tmp_path / "a.asdf", all_array_storage="inline" if inline else "internal")
    tree = asdftext.load(tmp_path / "a.asdf")
    assert tree["unicode"].tolist() == names.tolist()
    assert [str(b, "ascii") if isinstance(b, bytes) else b for b in tree["bytes"].tolist()] == ["F444W", "A"]


def test_tables_kept_in_the_tree_are_read(tmp_path):
    import asdf

    table = np.array([("F200W", 2.0, 1), ("F444W", 4.4, 2)], dtype=[("name", "S5"), ("wave", ">f8"), ("n", "<i2")])
    asdf.AsdfFile({"table": table}).write_to(tmp_path / "a.asdf", all_array_storage="internal")
    found = asdftext.load(tmp_path / "a.asdf")["table"]
    assert found["wave"].tolist() == [2.0, 4.4]
    assert found["n"].tolist() == [1, 2]
    assert found["name"].tolist() == [b"F200W", b"F444W"]
