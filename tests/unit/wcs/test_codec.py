"""Transforms to and from trees: what other packages wrote is understood, what is written they understand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from jwstsm.wcs import asdftext, codec
from jwstsm.wcs import transforms as t
from jwstsm.wcs.asdftext import HEADER, PREFIX, Tagged, dump, load, tag_name
from tests.unit.wcs.test_transforms import CASES, assert_same

DATA = Path(os.environ.get("JWSTSM_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
FLIGHT = DATA / "refs"


def through_text(transform: t.Transform) -> t.Transform:
    """Write a transform and read it again."""
    text = HEADER + dump({"t": codec.to_tree(transform)}).lstrip("\n") + "\n...\n"
    return codec.from_tree(load(text.encode())["t"])


@pytest.mark.parametrize(("name", "ours", "theirs", "args"), CASES, ids=[c[0] for c in CASES])
def test_a_transform_survives_being_written_and_read(name, ours, theirs, args):
    again = through_text(ours)
    assert type(again) is type(ours)
    for a, b in zip(again(*args), ours(*args), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "ours", "theirs", "args"), CASES, ids=[c[0] for c in CASES])
def test_asdf_makes_the_same_model_of_the_tree(name, ours, theirs, args):
    model = codec.Opaque(codec.to_tree(ours))
    assert (model.n_inputs, model.n_outputs) == (ours.n_inputs, ours.n_outputs)
    assert_same(name, model(*args), ours(*args), rtol=1e-12, atol=1e-11)


def test_names_inverses_and_boxes_survive():
    first = t.chain(t.parallel(t.Shift(1.0), t.Shift(2.0)), t.Polynomial2D(np.eye(2)[::-1]).named("p"))
    first.box = ((-0.5, 9.5), (0.0, 4.0))
    again = through_text(first.named("whole").with_inverse(t.Mapping((0, 0)).named("back")))
    assert (again.name, again.right.name, again.inverse.name) == ("whole", "p", "back")
    assert again.box == first.box


def test_the_older_form_of_the_box_has_the_last_axis_first():
    node = {"n_dims": 2, "bounding_box": [[-0.5, 99.5], [3.5, 1027.5]]}
    assert codec.from_tree(Tagged(f"{PREFIX}transform/identity-1.0.0", node)).box == ((3.5, 1027.5), (-0.5, 99.5))


def test_a_transform_of_an_unknown_kind_is_kept_and_evaluated_by_asdf():
    tree = Tagged(f"{PREFIX}transform/sine1d-1.2.0", {"amplitude": 2.0, "frequency": 0.25, "phase": 0.0})
    made = codec.from_tree(tree)
    assert isinstance(made, codec.Opaque)
    np.testing.assert_allclose(made(np.array([1.0]))[0], [2.0])
    assert codec.to_tree(t.chain(t.Shift(1.0), made)).value["forward"][1] == tree


def transforms_of(tree, found):
    """Collect the outermost transforms of a tree."""
    if isinstance(tree, Tagged):
        if tag_name(tree).startswith("transform/"):
            found.append(tree)
            return
        tree = tree.value
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []:
        transforms_of(item, found)


@pytest.mark.skipif(not FLIGHT.exists(), reason="the collection of real reference files is not here")
@pytest.mark.parametrize(
    "name",
    [
        "fgs/jwst_fgs_distortion_bad_asdf_version.asdf",
        "miri/jwst_miri_imager_distortion_flt9.asdf",
        "niriss/niriss_ref_distortion.asdf",
        "nirspec/jwst_nirspec_fore_0028.asdf",
        "nirspec/jwst_nirspec_camera_0004.asdf",
    ],
)
def test_the_transforms_of_real_references_are_all_known_and_evaluate_as_by_asdf(name):
    found: list[Tagged] = []
    transforms_of(asdftext.load(FLIGHT / name), found)
    assert found
    for tree in found:
        ours, theirs = codec.from_tree(tree), codec.Opaque(tree)
        args = np.random.default_rng(1).uniform(0, 1, (ours.n_inputs, 20))
        for direction in ("", "inverse"):
            a, b = (getattr(m, direction) if direction else m for m in (ours, theirs))
            for u, v in zip(a(*args[: a.n_inputs]), b(*args[: a.n_inputs]), strict=True):
                np.testing.assert_allclose(u, v, rtol=1e-10, atol=1e-12)
