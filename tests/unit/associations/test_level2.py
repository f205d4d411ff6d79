"""Level 2 rules on small pools: who is science, who is background, and with whom."""

from __future__ import annotations

import pytest

from jwstsm.associations import generate
from tests.unit.associations.rows import by_rule, members, pool, row

BACKGROUND = [("c1000", "background")]


def level2(*rows, **options):
    return [a for a in generate(pool(*rows), **options) if a.level == 2]


def short(names: list[str]) -> list[str]:
    """Return exposure numbers without zeros and suffixes."""
    return [str(int(name.split("_")[2])) for name in names]


def test_each_image_is_science_of_its_own_association_named_after_it():
    made = level2(*(row("nircam", n, detector=d) for n in (1, 2) for d in ("nrca1", "nrca2")))
    assert len(made) == 4
    assert {a.products[0].name for a in made} == {
        f"jw01234001001_02101_0000{n}_{d}" for n in (1, 2) for d in ("nrca1", "nrca2")
    }
    assert {(a.rule, a.type) for a in made} == {("candidate_Asn_Lv2Image", "image2")}
    assert all(a.products[0].members[0].expname == a.products[0].name + "_rate.fits" for a in made)


def test_background_targets_join_every_science_exposure_of_their_candidate_and_set_up():
    rows = [row("miri", n, obs_num=1, candidates=BACKGROUND) for n in (1, 2)]
    rows += [row("miri", n, obs_num=2, bkgdtarg="t", targetid=2, candidates=BACKGROUND) for n in (3, 4)]
    rows += [row("miri", 5, obs_num=2, bkgdtarg="t", targetid=2, filter="f560w", candidates=BACKGROUND)]
    made = by_rule(level2(*rows), "Lv2Image")
    assert {a.asn_id for a in made} == {"c1000"}  # the plain ones of the observation are subsets
    assert [short(members(a)["background"]) for a in made] == [["3", "4"], ["3", "4"]]


def test_background_targets_and_psfs_are_also_calibrated_for_themselves():
    for flag in ("bkgdtarg", "is_psf"):
        (association,) = level2(row("miri", 1, **{flag: "t"}))
        assert association.rule == "candidate_Asn_Lv2ImageSpecial"
        assert members(association) == {"science": ["jw01234001001_02101_00001_mirimage_rate.fits"]}


def test_other_candidates_than_observations_and_backgrounds_make_no_level2():
    made = level2(*(row("miri", n, candidates=[("c1001", "group")]) for n in (1, 2)))
    assert {a.asn_id for a in made} == {"o001"}


@pytest.mark.parametrize(
    ("mode", "values", "rule", "kind"),
    [
        ("nircam", {"exp_type": "nrc_tacq"}, "Lv2ImageNonScience", "image2"),
        ("nircam", {"exp_type": "nrc_focus"}, "Lv2ImageNonScience", "image2"),
        ("nircam", {"tsovisit": "t"}, "Lv2ImageTSO", "tso-image2"),
        ("nircam", {"visitype": "prime_wfsc_routine"}, "Lv2WFSC", "image2"),
        ("nircam", {"exp_type": "fgs_focus", "instrume": "fgs"}, "Lv2FGS", "image2"),
        ("mrs", {}, "Lv2Spec", "spec2"),
        ("soss", {}, "Lv2SpecTSO", "tso-spec2"),
        ("lrs", {"exp_type": "mir_lrs-slitless", "tsovisit": "t"}, "MIRLRSTAConfirm", "spec2"),
        ("ifu", {"is_imprt": "t"}, "Lv2SpecImprint", "spec2"),
        ("slit", {"exp_type": "nrs_lamp", "grating": "mirror"}, "Lv2NRSLAMPImage", "image2"),
        ("slit", {"exp_type": "nrs_autowave", "filter": "opaque", "opmode": "msaspec", "lamp": "line3",
                  "msametfl": "a.fits"}, "Lv2NRSLAMPSpectral", "nrslamp-spec2"),
    ],
)  # fmt: skip
def test_special_kinds_go_to_their_own_rule(mode, values, rule, kind):
    (association,) = level2(row(mode, 1, **values))
    assert (association.rule, association.type) == (f"candidate_Asn_{rule}", kind)
    assert list(members(association)) == ["science"]


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("nircam", {"exp_type": "nrc_dark"}),
        ("nircam", {"filter": "opaque"}),
        ("nircam", {"exp_type": "nrc_tsgrism", "detector": "nrcblong", "tsovisit": "t"}),
        ("nircam", {"exp_type": "nrc_tsgrism", "pupil": "clear", "tsovisit": "t"}),
        ("nircam", {"visitype": "prime_wfsc_routine", "dms_note": "wfsc_los_jitter"}),
        ("soss", {"filter": "f277w"}),
        ("slit", {"detector": "nrs2"}),
        ("slit", {"exp_type": "nrs_lamp", "filter": "opaque", "opmode": "grating-only", "lamp": "line3"}),
        ("msa", {"msametfl": "null"}),
    ],
)
def test_exposures_that_must_not_be_calibrated_are_in_nothing(mode, values):
    assert level2(row(mode, 1, **values)) == []


def test_full_frame_coronagraphy_is_calibrated_per_integration_and_as_an_image():
    made = level2(row("nircam", 1, exp_type="nrc_coron", pupil="maskrnd", detector="nrca2"))
    names = {a.rule.split("Asn_")[1]: members(a)["science"][0] for a in made}
    assert names["Lv2CoronAsRate"].endswith("_rate.fits")
    assert names["Lv2Image"].endswith("_rateints.fits")


def test_slit_nods_take_each_other_as_background_unless_at_the_same_point():
    # two sub-pixel steps at each of three points: exposures 1 and 2 are at the same primary point
    rows = [row("slit", n, patt_num=n, numdthpt=6, subpxpts=2) for n in range(1, 7)]
    made = {short(members(a)["science"])[0]: a for a in by_rule(level2(*rows), "Lv2NRSFSS")}
    assert short(members(made["1"])["background"]) == ["3", "4", "5", "6"]
    assert short(members(made["4"])["background"]) == ["1", "2", "5", "6"]


def test_five_point_nods_in_the_wide_slit_leave_out_the_neighbours():
    rows = [row("slit", n, patt_num=n, numdthpt=5, fxd_slit="s1600a1") for n in range(1, 6)]
    made = {short(members(a)["science"])[0]: a for a in by_rule(level2(*rows), "Lv2NRSFSS")}
    assert short(members(made["3"])["background"]) == ["1", "5"]
    assert short(members(made["1"])["background"]) == ["3", "4", "5"]


def test_slit_nods_without_dither_numbers_have_no_background_but_shutter_nods_do():
    slit = [row("slit", n) for n in (1, 2)]
    assert all("background" not in members(a) for a in by_rule(level2(*slit), "Lv2NRSFSS"))
    msa = [row("msa", n) for n in (1, 2, 3)]
    assert [len(members(a)["background"]) for a in by_rule(level2(*msa), "Lv2NRSMSA")] == [2, 2, 2]


def test_shutter_nods_of_another_target_or_specification_are_no_background():
    rows = [row("msa", 1, patt_num=1), row("msa", 2, patt_num=2, targetid=2), row("msa", 3, patt_num=3, expspcin=2)]
    assert all("background" not in members(a) for a in by_rule(level2(*rows), "Lv2NRSMSA"))


def test_ifu_nods_share_their_imprint_and_keep_to_their_tile():
    rows = [row("ifu", n, patttype="2-point-nod", mostilno=t) for n, t in ((1, 1), (2, 1), (3, 2))]
    rows += [row("ifu", 4, patttype="2-point-nod", is_imprt="t")]
    made = {short(members(a)["science"])[0]: members(a) for a in by_rule(level2(*rows), "Lv2NRSIFUNod")}
    assert short(made["1"]["background"]) == ["2"]
    assert short(made["2"]["imprint"]) == ["4"]
    assert list(made["3"]) == ["science"]


def test_of_several_imprints_the_one_at_the_dither_position_is_used():
    rows = [row("ifu", n, dithptin=n) for n in (1, 2)]
    rows += [row("ifu", n + 2, dithptin=n, is_imprt="t") for n in (1, 2)]
    made = {short(members(a)["science"])[0]: members(a) for a in by_rule(level2(*rows), "Lv2Spec")}
    assert short(made["1"]["imprint"]) == ["3"]
    assert short(made["2"]["imprint"]) == ["4"]


def test_imprints_of_the_same_target_replace_those_of_others():
    rows = [row("ifu", 1), row("ifu", 2, is_imprt="t", targetid=2), row("ifu", 3, is_imprt="t")]
    (association,) = by_rule(level2(*rows), "Lv2Spec")
    assert short(members(association)["imprint"]) == ["3"]


def test_slit_spectra_along_the_slit_are_background_for_each_other_with_the_confirmation_image():
    rows = [row("lrs", n, patt_num=n, patttype="along-slit-nod", obs_id=f"v{n}") for n in (1, 2)]
    rows += [row("miri", 3, exp_type="mir_taconfirm", filter="f560w", obs_id="v3")]
    made = by_rule(level2(*rows), "Lv2MIRLRSFixedSlitNod")
    assert {role: short(names) for role, names in members(made[1]).items()} == {
        "science": ["1"],
        "background": ["2"],
        "target_acquisition": ["3"],
    }
    assert len(made) == 2


def test_grism_exposures_get_the_catalogue_of_the_image_taken_next():
    rows = [row("niriss", 1, expspcin=1, subarray="full"), row("wfss", 2, expspcin=2), row("wfss", 3, expspcin=3)]
    rows += [row("niriss", 4, expspcin=4, filter="clear", pupil="f200w")]
    made = by_rule(level2(*rows), "Lv2WFSSNIS")
    root = "jw01234-o001_t001_niriss_clear-f200w"
    for association in made:
        assert members(association)["sourcecat"] == [f"{root}_cat.ecsv"]
        assert members(association)["segmap"] == [f"{root}_segm.fits"]
        assert members(association)["direct_image"] == [f"{root}_i2d.fits"]
    assert len(made) == 2


def test_a_grism_exposure_without_an_image_is_in_nothing():
    assert level2(row("wfss", 1)) == []


def test_pure_parallel_grisms_use_the_long_wave_image_of_their_candidate():
    direct = [("c1000", "direct_image")]
    rows = [
        row("nircam", 1, obs_num=1, detector="nrca1", targetid="null", candidates=direct),
        row("nircam", 2, obs_num=1, detector="nrcalong", filter="f444w", targetid="null", candidates=direct),
        row("nircam", 3, obs_num=2, detector="nrcalong", exp_type="nrc_wfss", filter="f444w", pupil="grismr",
            targetid="null", candidates=direct),
    ]  # fmt: skip
    (association,) = by_rule(level2(*rows), "Lv2WFSSParallel")
    assert members(association)["direct_image"] == ["jw01234-c1000_t000_nircam_clear-f444w_i2d.fits"]
    assert association.asn_id == "c1000"


def test_a_time_series_flag_makes_the_members_keep_their_integrations():
    made = level2(row("soss", 1), row("nircam", 2), row("coron", 3), row("niriss", 4, exp_type="nis_ami"))
    assert sorted(m.expname.rpartition("_")[2] for a in made for m in a.products[0].members) == [
        "rate.fits", "rateints.fits", "rateints.fits", "rateints.fits",
    ]  # fmt: skip
