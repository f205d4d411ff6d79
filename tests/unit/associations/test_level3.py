"""Level 3 rules on small pools: what is combined, under which name, and what is dropped."""

from __future__ import annotations

import pytest

from jwstsm.associations import generate
from tests.unit.associations.rows import by_rule, members, pool, row


def level3(*rows, **options):
    return [a for a in generate(pool(*rows), **options) if a.level == 3]


def names(associations) -> list[str]:
    return sorted(a.products[0].name for a in associations)


def test_images_are_combined_by_target_filter_and_subarray():
    rows = [row("nircam", 1), row("nircam", 2), row("nircam", 3, filter="f444w"), row("nircam", 4, targetid=2)]
    rows += [row("nircam", 5, subarray="sub160")]
    made = level3(*rows)
    assert names(made) == [
        "jw01234-o001_t001_nircam_clear-f200w",
        "jw01234-o001_t001_nircam_clear-f200w-sub160",
        "jw01234-o001_t001_nircam_clear-f444w",
        "jw01234-o001_t002_nircam_clear-f200w",
    ]
    assert [len(a.products[0].members) for a in made] == [1, 1, 1, 2]  # numbered from the last started
    assert members(made[-1])["science"][0] == "jw01234001001_02101_00001_nrca1_cal.fits"


@pytest.mark.parametrize(
    ("mode", "values", "rule", "name"),
    [
        ("miri", {}, "Lv3Image", "t001_miri_f770w"),
        ("miri", {"bkgdtarg": "t"}, "Lv3ImageBackground", "t001_miri_f770w"),
        ("mrs", {}, "Lv3MIRMRS", "t001_miri"),
        ("mrs", {"bkgdtarg": "t"}, "Lv3MIRMRSBackground", "t001_miri"),
        ("slit", {}, "Lv3NRSFSS", "t001-{source_id}_nirspec_f290lp-g395m-{slit_name}"),
        ("slit", {"bkgdtarg": "t", "subarray": "sub2048"}, "Lv3SpecAux", "t001_nirspec_f290lp-g395m-s400a1-sub2048"),
        ("ifu", {}, "Lv3NRSIFU", "t001_nirspec_g395h"),
        ("ifu", {"bkgdtarg": "t"}, "Lv3NRSIFUBackground", "t001_nirspec_g395h"),
        ("msa", {}, "Lv3SpectralSource", "{source_id}_nirspec_clear-prism"),
        ("lrs", {"patttype": "along-slit-nod"}, "Lv3SpectralTarget", "t001_miri_p750l"),
        ("soss", {}, "Lv3TSO", "t001_niriss_clear-gr700xd-substrip256"),
        ("soss", {"tsovisit": "f"}, "Lv3SlitlessSpectral", "t001_niriss_clear-gr700xd-substrip256"),
        ("wfss", {}, "Lv3WFSSNIS", "t001_niriss_f200w-gr150r"),
        ("nircam", {"exp_type": "nrc_wfss", "pupil": "grismr"}, "Lv3WFSSNRC", "t001_nircam_f200w-grismr"),
        ("miri", {"exp_type": "mir_wfss", "filter": "p750l"}, "Lv3WFSSMIR", "t001_miri_p750l"),
        ("nircam", {"exp_type": "nrc_coron", "pupil": "maskrnd"}, "Lv3NRCCoronImage",
         "t001_nircam_f200w-maskrnd-image3"),
    ],
)  # fmt: skip
def test_each_mode_has_its_rule_and_product_name(mode, values, rule, name):
    (association,) = level3(row(mode, 1, **values))
    assert association.rule == f"candidate_Asn_{rule}"
    assert association.products[0].name == f"jw01234-o001_{name}"
    assert list(members(association)) == ["science"]


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("nircam", {"visitype": "prime_wfsc_routine"}),
        ("nircam", {"subarray": "null"}),
        ("nircam", {"exp_type": "nrc_tsgrism", "pupil": "gdhs0"}),
        ("nircam", {"exp_type": "nrc_tsgrism", "pupil": "grismr", "subarray": "sub41stripe1_dhs"}),
        ("soss", {"nints": "1"}),
        ("ifu", {"is_imprt": "t"}),
        ("ifu", {"patttype": "null"}),
        ("coron", {}),  # no PSF
        ("coron", {"is_psf": "t"}),  # nothing but PSF
        ("miri", {"targetid": "null"}),
    ],
)
def test_what_cannot_be_combined_is_in_nothing(mode, values):
    assert level3(row(mode, 1, **values)) == []


def test_coronagraphy_needs_a_psf_which_may_be_another_target():
    rows = [row("coron", 1), row("coron", 2, targetid=2), row("coron", 3, targetid=3, is_psf="t")]
    made = by_rule(level3(*rows), "Lv3MIRCoron")
    assert names(made) == [f"jw01234-o001_t00{t}_miri_f1065c-mask1065" for t in (1, 2)]
    assert all(members(a)["psf"] == ["jw01234001001_02101_00003_mirimage_calints.fits"] for a in made)


def test_target_acquisitions_join_the_associations_of_their_observation():
    rows = [row("mrs", 1), row("mrs", 2, obs_num=2), row("miri", 3, exp_type="mir_tacq", targetid=9, obs_num=2)]
    made = {a.asn_id: members(a) for a in level3(*rows)}
    assert "target_acquisition" not in made["o001"]
    assert made["o002"]["target_acquisition"] == ["jw01234002001_02101_00003_mirimage_cal.fits"]
    assert set(made) == {"o001", "o002", "a3001"}


def test_background_exposures_are_extracted_spectra_whatever_their_target():
    rows = [row("mrs", 1), row("mrs", 2, bkgdtarg="t", targetid=2)]
    (association,) = by_rule(level3(*rows), "Lv3MIRMRS")
    assert members(association)["background"] == ["jw01234001001_02101_00002_mirifulong_x1d.fits"]


def test_slit_nods_use_the_spectra_of_each_other_as_background():
    (association,) = level3(*(row("lrs", n, patttype="along-slit-nod", patt_num=n) for n in (1, 2)))
    assert members(association)["background"] == [f"jw01234001001_02101_0000{n}_mirimage_x1d.fits" for n in (1, 2)]


def test_both_small_slits_may_be_in_one_association_and_in_those_of_other_slits():
    rows = [row("slit", n, fxd_slit=s) for n, s in ((1, "s200a1"), (2, "s200a2"), (3, "s400a1"), (4, "s1600a1"))]
    sizes = sorted(len(a.products[0].members) for a in by_rule(level3(*rows), "Lv3NRSFSS"))
    # the same product name, and the same length: both are kept
    assert sizes == [3, 3]


def test_wavefront_pairs_are_named_after_detector_and_activity():
    common = {"visitype": "prime_wfsc_routine", "patttype": "wfsc", "obs_id": "v1"}
    rows = [row("nircam", n, act_id="05", **common) for n in (1, 2)] + [row("nircam", 3, act_id="06", **common)]
    (association,) = level3(*rows)
    assert association.type == "wfs-image3"
    assert association.products[0].name == "jw01234-o001_t001_nircam_clear-f200w-nrca1_{suffix}-05"


def test_a_time_series_is_combined_per_observation_only():
    rows = [row("soss", n, obs_num=n, candidates=[("c1000", "group")]) for n in (1, 2)]
    assert [a.asn_id for a in level3(*rows)] == ["o001", "o002"]


def test_a_group_with_one_observation_is_no_group():
    rows = [row("miri", n, candidates=[("c1000", "group")]) for n in (1, 2)]
    assert {a.asn_id for a in level3(*rows)} == {"o001"}


def test_a_mosaic_ignores_the_target_and_is_made_for_mosaic_candidates_only():
    rows = [row("miri", n, obs_num=n, targetid=n, candidates=[("c1000", "mosaic")]) for n in (1, 2)]
    (association,) = by_rule(level3(*rows), "Lv3ImageMosaic")
    assert association.products[0].name == "jw01234-c1000_t000_miri_f770w"
    assert len(association.products[0].members) == 2
    other = [row("miri", n, obs_num=n, targetid=n, candidates=[("c1000", "group")]) for n in (1, 2)]
    assert by_rule(level3(*other), "Lv3ImageMosaic") == []


def test_what_spans_observations_is_discovered_once():
    rows = [row("miri", n, obs_num=n) for n in (1, 2)]
    assert [a.asn_id for a in level3(*rows)] == ["a3001", "o001", "o002"]
    assert [a.asn_id for a in level3(*rows, discover=True)] == ["a3001"]
    assert [a.asn_id for a in level3(*rows, all_candidates=True)] == ["o001", "o002"]
    single = [row("miri", n) for n in (1, 2)]
    assert [a.asn_id for a in level3(*single)] == ["o001"]  # discovered with the same members: pruned


def test_candidates_can_be_chosen_by_id_and_type():
    rows = [row("miri", n, obs_num=n, candidates=[("c1000", "group")]) for n in (1, 2)]
    assert {a.asn_id for a in generate(pool(*rows), ids=["c1000"])} == {"c1000"}
    assert {a.asn_id for a in generate(pool(*rows), ids="o002")} == {"o002"}
    assert {a.asn_id for a in generate(pool(*rows), candidates=["observation"], all_candidates=True)} == {
        "o001",
        "o002",
    }
    from jwstsm.associations import PoolError

    with pytest.raises(PoolError, match="no candidate o099; known: c1000, o001, o002"):
        generate(pool(*rows), ids=["o099"])


def test_levels_can_be_made_alone():
    rows = [row("miri", n) for n in (1, 2)]
    assert {a.level for a in generate(pool(*rows), levels=[2])} == {2}
    assert {a.level for a in generate(pool(*rows), levels=[3])} == {3}


def test_programs_never_mix():
    rows = [row("miri", 1), row("miri", 1, program=77)]
    assert sorted(a.program for a in level3(*rows)) == ["00077", "01234"]


def test_merging_puts_the_level2_products_of_a_type_into_one_association():
    made = generate(pool(*(row("miri", n) for n in (1, 2)), row("mrs", 3)), merge=True)
    assert sorted((a.type, len(a.products)) for a in made if a.level == 2) == [("image2", 2), ("spec2", 1)]
