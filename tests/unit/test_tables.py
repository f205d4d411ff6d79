"""The tables of exposure types and sequences say which steps an exposure goes through, and where they are at home."""

from __future__ import annotations

import pytest

from jwstsm import tables
from jwstsm.step import load_step

GUIDE_STARS = ["FGS_ID-IMAGE", "FGS_ID-STACK", "FGS_ACQ1", "FGS_ACQ2", "FGS_TRACK", "FGS_FINEGUIDE"]


@pytest.mark.parametrize("exp_type", GUIDE_STARS)
def test_guide_star_data_have_a_pipeline_of_their_own_and_nothing_after_it(exp_type):
    row = tables.exposure_type({"EXP_TYPE": exp_type})
    assert (row.stage1, row.stage2, row.stage3) == ("guider", "", "")
    assert tables.sequence("guider", {"EXP_TYPE": exp_type}) == ["dq_init", "guider_cds", "flat_field"]


def test_a_step_at_home_in_another_room_is_found_there():
    assert tables.stage_of("guider", "dq_init") == "stage1"
    assert tables.stage_of("guider", "flat_field") == "stage2"
    assert load_step("stage2", "flat_field").name == "flat_field"


def test_a_single_flat_of_a_science_image_is_that_of_image2():
    assert tables.pipeline_of("flat_field", {"EXP_TYPE": "NRC_IMAGE"}) == "image2"


def test_darks_are_corrected_but_not_fitted():
    steps = tables.sequence("dark", {"EXP_TYPE": "NIS_DARK", "INSTRUME": "NIRISS"})
    assert steps[-1] == "linearity"
    assert not {"dark_current", "jump", "ramp_fit"} & set(steps)
    assert tables.sequences()["dark"]["renames"] == {"uncal": "dark"}
