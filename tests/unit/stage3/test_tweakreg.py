"""The step: from images to a sidecar of corrections."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import Table

from jwstsm.core.frames import Stage3Inputs
from jwstsm.errors import ConfigError, InputError
from jwstsm.stage3.alignment import Alignment
from jwstsm.stage3.tweakreg import tweakreg
from jwstsm.step import Skipped
from jwstsm.wcs.correction import correct_wcs
from tests.unit.stage3.fields import SCALE, Exposure, distance_mas, photographed, stars

SIZE = 256
ERRORS = [(0, 0, 0), (0.5, -0.4, 0.03), (-0.8, 0.3, -0.05)]


@pytest.fixture(scope="module")
def field():
    return stars(22, SIZE * SCALE * 0.9)


@pytest.fixture(scope="module")
def frames(field):
    exposures = [Exposure(0.3 * k, -0.2 * k, error) for k, error in enumerate(ERRORS)]
    return [photographed(e, *field, SIZE, f"jw{k}_cal.fits", seed=k) for k, e in enumerate(exposures)]


def errors_mas(frames, alignment: Alignment) -> list[float]:
    out = []
    for k, frame in enumerate(frames):
        correction = alignment.correction(frame.name)
        wcs = frame.wcs if correction is None else correct_wcs(frame.wcs, correction)
        true = Exposure(0.3 * k, -0.2 * k, ERRORS[k]).wcs(SIZE)[0]
        x, y = np.random.default_rng(0).uniform(0, SIZE - 1, (2, 50))
        out.append(float(np.sqrt(np.mean(distance_mas(wcs(x, y), true(x, y)) ** 2))))
    return out


def test_wrong_pointings_are_corrected(frames):
    alignment = tweakreg(Stage3Inputs(frames, "mosaic"))
    assert alignment.status == "COMPLETE"
    assert [e.status for e in alignment.exposures] == ["REFERENCE", "SUCCESS", "SUCCESS"]
    assert alignment.exposures[0].correction is None
    assert max(errors_mas(frames, alignment)) < 5


def test_the_sidecar_comes_back_as_it_was_written(frames, tmp_path):
    alignment = tweakreg(Stage3Inputs(frames, "mosaic"))
    alignment.write(tmp_path / "mosaic_alignment.json")
    back = Alignment.read(tmp_path / "mosaic_alignment.json")
    assert back == alignment
    assert back.correction(frames[1].name) == alignment.correction(frames[1].name)
    group = json.loads((tmp_path / "mosaic_alignment.json").read_text())["groups"][1]
    assert len(group["residuals"]["east"]) == group["matched"] >= 12
    assert group["rms_mas"] == pytest.approx(
        [
            np.sqrt(np.mean(np.square(np.array(group["residuals"][k])[group["residuals"]["used"]])))
            for k in ("east", "north")
        ],
        abs=0.01,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mosaic_alignment.json"]


def test_a_damaged_sidecar_or_an_unknown_file_is_named(frames, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.json: not an alignment sidecar"):
        Alignment.read(tmp_path / "a.json")
    with pytest.raises(InputError, match="does not hold other"):
        Alignment("mosaic").correction("other.fits")


def test_one_exposure_alone_is_left_as_it_is(frames):
    result = tweakreg(Stage3Inputs(frames[:1], "mosaic"))
    assert isinstance(result, Skipped)
    assert "one exposure" in result.reason
    assert result.product.status == "SKIPPED"
    assert result.product.correction(frames[0].name) is None


@pytest.mark.parametrize("n", [1, 3])
def test_absolute_alignment_to_a_file(frames, field, tmp_path, n):
    path = tmp_path / "gaia.csv"
    Table({"ra": field[0], "dec": field[1]}).write(path)
    alignment = tweakreg(Stage3Inputs(frames[:n], "mosaic"), abs_refcat=str(path))
    assert all(e.status == "SUCCESS" for e in alignment.exposures)
    assert alignment.absolute["sources"] == len(field[0])
    assert alignment.correction(frames[0].name).name == f"FIT-LVL3-{path}"
    assert max(errors_mas(frames[:n], alignment)) < 5


def test_a_network_catalog_is_not_fetched_and_the_way_out_is_named(frames, caplog):
    alignment = tweakreg(Stage3Inputs(frames), abs_refcat="gaiadr3")
    assert alignment.absolute["status"].startswith("SKIPPED")
    assert "give its path as steps: tweakreg: abs_refcat" in caplog.text
    assert alignment.exposures[1].status == "SUCCESS"


def test_a_failed_absolute_alignment_leaves_the_relative_one_unless_told_not_to(frames, field, tmp_path):
    path = tmp_path / "elsewhere.ecsv"
    Table({"RA": field[0] + 1, "DEC": field[1]}).write(path)
    kept = tweakreg(Stage3Inputs(frames), abs_refcat=str(path))
    assert sum(e.status == "SUCCESS" for e in kept.exposures) == 2
    assert kept.absolute["status"].startswith("FAILED")
    official = tweakreg(Stage3Inputs(frames), abs_refcat=str(path), fallback=False)
    assert all(e.correction is None for e in official.exposures)


@pytest.mark.parametrize("finder", ["dao", "segmentation"])
def test_the_other_finders_align_too(frames, finder):
    alignment = tweakreg(Stage3Inputs(frames), starfinder=finder, roundlo=-1.0, roundhi=1.0, sharplo=0.2, minobj=10)
    assert [e.status for e in alignment.exposures[1:]] == ["SUCCESS"] * 2
    assert max(errors_mas(frames, alignment)) < 12


def test_user_lists_take_the_place_of_found_sources(frames, field, tmp_path):
    rows = []
    for k, frame in enumerate(frames):
        x, y = Exposure(0.3 * k, -0.2 * k, ERRORS[k]).wcs(SIZE)[0].invert(*field, refine=True)
        good = np.isfinite(x)
        Table({"x": x[good], "y": y[good]}).write(tmp_path / f"{k}.ecsv")
        rows.append(f"{frame.name} {k}.ecsv")
    (tmp_path / "lists.txt").write_text("# image list\n" + "\n".join(rows))
    alignment = tweakreg(Stage3Inputs(frames), use_custom_catalogs=True, catfile=str(tmp_path / "lists.txt"))
    assert max(errors_mas(frames, alignment)) < 0.01
    (tmp_path / "lists.txt").write_text("a b c\n")
    with pytest.raises(InputError, match="at most two words"):
        tweakreg(Stage3Inputs(frames), use_custom_catalogs=True, catfile=str(tmp_path / "lists.txt"))
    with pytest.raises(InputError, match="not a file"):
        tweakreg(Stage3Inputs(frames), use_custom_catalogs=True, catfile=str(tmp_path / "none.txt"))


@pytest.mark.parametrize("form", ["ecsv", "fits"])
def test_source_lists_can_be_kept(frames, tmp_path, form):
    alignment = tweakreg(Stage3Inputs(frames), save_catalogs=True)
    paths = alignment.write_catalogs(tmp_path, form)
    assert [p.name for p in paths] == [f"jw{k}_cal_cat.{form}" for k in range(3)]
    table = Table.read(paths[1])
    assert table.colnames == ["id", "x", "y", "flux"]
    assert len(table) == alignment.exposures[1].sources
    assert tweakreg(Stage3Inputs(frames)).catalogs == {}


def test_detectors_of_one_exposure_share_a_group(field):
    exposure = Exposure(0, 0, (0.6, 0.2, 0.04))
    frames = [photographed(Exposure(), *field, SIZE, "a_cal.fits")]
    frames += [photographed(exposure, *field, SIZE, f"b{k}_cal.fits", seed=k + 5) for k in range(2)]
    frames[1].group_id = frames[2].group_id = "b"
    alignment = tweakreg(Stage3Inputs(frames))
    assert len(alignment.groups) == 2
    first, second = (alignment.correction(f.name) for f in frames[1:])
    assert first.shift == pytest.approx(second.shift, abs=1e-6)


def test_what_moves_together_can_be_chosen(frames, field):
    keys = {"PROGRAM": "01234", "OBSERVTN": "001"}
    error = (0.6, 0.2, 0.04)
    frames = [photographed(Exposure(), *field, SIZE, "a_cal.fits", VISIT="001", GDSTARID="S1", **keys)]
    for k, star in enumerate(("S1", "S1", "S2")):
        shown = Exposure(0.2 * k, 0, error)
        frames.append(photographed(shown, *field, SIZE, f"b{k}_cal.fits", seed=k, VISIT="002", GDSTARID=star, **keys))
    numbers = {}
    for by in ("exposure", "visit", "guide_star", "detector"):
        alignment = tweakreg(Stage3Inputs(frames), group_by=by)
        numbers[by] = len(alignment.groups)
        shifts = [alignment.correction(f.name).shift for f in frames[1:]]
        assert np.array(shifts) == pytest.approx(np.array([shifts[0]] * 3), abs=0.02)
        turns = [alignment.correction(f.name).matrix[0][1] for f in frames[1:]]
        assert (abs(turns[0] - turns[1]) < 1e-9) == (by in ("visit", "guide_star"))
        assert (abs(turns[0] - turns[2]) < 1e-9) == (by == "visit")
    assert numbers == {"exposure": 4, "visit": 2, "guide_star": 3, "detector": 4}
    del frames[3].header["VISIT"]
    assert len(tweakreg(Stage3Inputs(frames), group_by="visit").groups) == 3


def test_one_visit_alone_has_nothing_to_be_aligned_to(field):
    frames = [photographed(Exposure(), *field, SIZE, f"{k}.fits", PROGRAM="1", OBSERVTN="2", VISIT="3") for k in range(2)]
    assert "one visit" in tweakreg(Stage3Inputs(frames), group_by="visit").reason


def test_a_blank_image_does_not_stop_the_others(frames, caplog):
    blank = photographed(Exposure(), np.zeros(0), np.zeros(0), SIZE, "blank_cal.fits")
    dead = photographed(Exposure(), np.zeros(0), np.zeros(0), SIZE, "dead_cal.fits")
    dead.arrays["data"][:] = np.nan
    alignment = tweakreg(Stage3Inputs([frames[0], blank, dead, frames[1]]))
    assert [e.status for e in alignment.exposures] == ["REFERENCE", *["FAILED: no sources found"] * 2, "SUCCESS"]
    assert "blank_cal.fits: no sources found" in caplog.text


def test_missing_keywords_and_bad_options_are_named(frames, field):
    frame = photographed(Exposure(), *field, SIZE, "a_cal.fits")
    del frame.header["ROLL_REF"]
    with pytest.raises(InputError, match=r"a_cal\.fits: keyword ROLL_REF is missing"):
        tweakreg(Stage3Inputs([frames[0], frame]))
    with pytest.raises(ConfigError, match="'separation'"):
        tweakreg(Stage3Inputs(frames), tolerance=0.9)
    with pytest.raises(ConfigError, match="'abs_separation'"):
        tweakreg(Stage3Inputs(frames), abs_refcat="GAIADR3", abs_tolerance=0.9)
    with pytest.raises(InputError, match="neither a file"):
        tweakreg(Stage3Inputs(frames), abs_refcat="stars.ecsv")


def test_every_parameter_is_described():
    described = tweakreg.step.parameters
    assert all(p.description for p in described.values())
    assert len(described) > 50
