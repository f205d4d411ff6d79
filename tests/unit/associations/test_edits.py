"""Edits and hand-written files of the configuration section asn."""

from __future__ import annotations

import json

import pytest

from jwstsm.associations import generate
from jwstsm.associations.edits import apply_settings, from_list
from jwstsm.errors import ConfigError
from tests.unit.associations.rows import members, pool, row

FIELD = "jw01234-o001_t001_miri_f770w"


def edited(*edits, rows=None, **settings):
    made = generate(pool(*(rows or [row("miri", n) for n in (1, 2, 3)])))
    return apply_settings(made, {"edits": list(edits), **settings})


def products(associations, level: int | None = None) -> list[str]:
    return sorted(p.name for a in associations for p in a.products if level in (None, a.level))


def test_a_dropped_exposure_leaves_all_associations_and_its_own_is_not_made():
    made = edited({"drop": "jw01234001001_02101_00002_mirimage"})
    assert [name[20:25] for name in products(made, 2)] == ["00001", "00003"]
    (mosaic,) = [a for a in made if a.level == 3]
    assert len(mosaic.products[0].members) == 2


def test_a_drop_can_be_limited_to_products():
    made = edited({"drop": "*_0000[12]_mirimage", "from": FIELD})
    assert len(products(made, 2)) == 3
    assert [len(a.products[0].members) for a in made if a.level == 3] == [1]


def test_whole_products_are_removed_by_pattern():
    assert products(edited({"remove": "*_0000[12]_*"}), 2) == ["jw01234001001_02101_00003_mirimage"]


def test_renaming_an_image_renames_the_catalogue_of_its_grism_exposures():
    rows = [row("niriss", 1), row("wfss", 2, expspcin=0)]
    made = edited({"rename": "*_niriss_clear-f200w", "to": "my_field"}, rows=rows)
    (grism,) = [a for a in made if "WFSS" in a.rule and a.level == 2]
    assert members(grism)["sourcecat"] == ["my_field_cat.ecsv"]
    assert "my_field" in products(made, 3)


def test_merged_products_have_each_member_once():
    rows = [row("miri", n, obs_num=n) for n in (1, 2)]
    made = edited({"merge": ["jw01234-o00?_*", "jw01234-a3001_*"], "into": "all"}, rows=rows)
    (mosaic,) = [a for a in made if a.level == 3]
    assert mosaic.products[0].name == "all"
    assert len(mosaic.products[0].members) == 2


def test_members_are_added_and_get_another_role():
    made = edited(
        {"add": "jw09999001001_02101_00001_mirimage_cal.fits", "to": FIELD},
        {"role": "background", "of": "*_00003_mirimage", "in": FIELD},
    )
    (mosaic,) = [a for a in made if a.level == 3]
    assert [m.exptype for m in mosaic.products[0].members] == ["science", "science", "background", "science"]


def test_edits_are_done_in_order():
    made = edited({"rename": FIELD, "to": "x"}, {"remove": "x"})
    assert products(made, 3) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"drop": "jw01234001001_02101_00009_mirimage"}, "no exposure is named .*; did you mean jw01234001001_"),
        ({"remove": "jw01234-o001_t001_miri_f777w"}, f"no product is named .*; did you mean {FIELD}"),
        ({"rename": "jw01234001001*", "to": "x"}, "more than one product"),
        ({"rename": FIELD}, "rename takes to"),
        ({"drop": "x", "form": "y"}, "drop takes from"),
        ({"merge": "*", "into": "x"}, "cannot merge different types: image2, image3"),
        ({"role": "psf", "of": "nobody"}, "no member is named nobody"),
        ({"delete": "x"}, "none of the edits drop, remove, rename, merge, add, role"),
        ("drop", "none of the edits"),
    ],
)  # fmt: skip
def test_a_wrong_edit_is_refused_with_its_number(edit, message):
    with pytest.raises(ConfigError, match=f"edits, number 1.*{message}"):
        edited(edit)


def test_a_hand_written_file_replaces_the_generated_association_of_its_product(tmp_path):
    path = tmp_path / "mine_asn.json"
    content = {
        "asn_type": "image3",
        "products": [{"name": FIELD, "members": [{"expname": "a_cal.fits", "exptype": "science"}]}],
    }
    path.write_text(json.dumps(content))
    made = apply_settings(generate(pool(row("miri", 1))), {"files": ["mine_asn.json"]}, tmp_path)
    assert products(made, 3) == [FIELD]
    assert made[-1].filename == "mine_asn.json"
    assert len(made) == 2


def test_a_hand_written_file_with_the_name_of_a_generated_one_is_refused(tmp_path):
    made = generate(pool(row("miri", 1)))
    path = tmp_path / made[0].filename
    path.write_text(json.dumps({"products": [{"name": "x", "members": [{"expname": "a_cal.fits", "exptype": "science"}]}]}))
    with pytest.raises(ConfigError, match="rename the file"):
        apply_settings(made, {"files": [path]}, tmp_path)


def test_a_list_of_files_becomes_one_association():
    mosaic = from_list(["x/jw01234_1_cal.fits", "jw01234_2_cal.fits"], product="mine", file="m.json")
    assert (mosaic.level, mosaic.program, mosaic.filename) == (3, "01234", "m.json")
    assert mosaic.products[0].with_role("science") == ["jw01234_1_cal.fits", "jw01234_2_cal.fits"]
    slopes = from_list(["a_1_rate.fits", "a_2_rate.fits"], kind="image2", roles={"*_2_*": "background"})
    assert [(p.name, len(p.members)) for p in slopes.products] == [("a_1", 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "a product name is needed"), ({"roles": {"*": "psf"}}, "at least one science file")],
)
def test_a_list_without_name_or_science_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        from_list(["a_cal.fits"], **options)
    with pytest.raises(ConfigError, match="at least one file"):
        from_list([])
