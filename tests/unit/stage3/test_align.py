"""Alignment of source lists: order, groups, failures, and what second attempts add."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage3._align import NotAligned, Settings, _check_moves, align_absolute, align_relative
from jwstsm.stage3._groups import make_groups
from jwstsm.stage3._match import MatchOptions
from jwstsm.stage3._refcat import ReferenceCatalog
from tests.unit.stage3.fields import DEC, RA, SCALE, Exposure, distance_mas, listed, stars

SIZE = 1024


def worst_mas(image, exposure: Exposure) -> float:
    """Return the root mean square error of an image's corrected positions over its area [mas]."""
    grid = np.linspace(0, SIZE - 1, 6)
    x, y = (g.ravel() for g in np.meshgrid(grid, grid))
    found = image.plane.to_sky(*image.corrected(np.stack(image.plane.from_pixel(x, y), axis=1)).T)
    return float(np.sqrt(np.mean(distance_mas(found, exposure.wcs(SIZE)[0](x, y)) ** 2)))


def program(exposures, n=60, false=0, width=70.0, seed=1):
    """Return one image per exposure of a field of ``n`` stars, and their groups."""
    ra, dec = stars(n, width, seed)
    images = [listed(e, ra, dec, SIZE, f"{k}", seed=10 + k, false=false) for k, e in enumerate(exposures)]
    return images, make_groups(images, [i.name for i in images]), (ra, dec)


def test_exposures_follow_the_first():
    exposures = [Exposure(), Exposure(3, 2, (0.4, -0.3, 0.02)), Exposure(-4, 1, (-0.6, 0.2, -0.05))]
    images, groups, _ = program(exposures)
    fits = align_relative(groups, Settings(fallback=False))
    assert [f.status for f in fits] == ["REFERENCE", "SUCCESS", "SUCCESS"]
    assert all(worst_mas(i, e) < 3 for i, e in zip(images, exposures, strict=True))
    assert images[0].correction.matrix == ((1, 0), (0, 1))
    assert fits[1].matched > 40
    assert 0.7 < fits[1].fit.rmse / (0.03 * 2 * SCALE) < 1.3


def test_all_detectors_of_an_exposure_move_together():
    first, second = Exposure(), Exposure(1, 1, (0.5, 0.4, 0.03))
    ra, dec = stars(70, 70)
    images = [
        listed(e, ra, dec, SIZE, n, seed=k) for k, (e, n) in enumerate([(first, "a1"), (first, "a2"), (second, "b1")])
    ]
    images.append(listed(second, np.array([RA + 1]), np.array([DEC]), SIZE, "b2"))
    groups = make_groups(images, ["a", "a", "b", "b"])
    align_relative(groups, Settings(minobj=10))
    assert images[3].x.size == 0
    assert worst_mas(images[2], second) < 3
    assert worst_mas(images[3], second) < 3


def test_overlap_sets_the_order_when_the_reference_grows():
    exposures = [
        Exposure(-50, 0),
        Exposure(0, 0, (0.3, 0, 0)),
        Exposure(20, 0, (0, 0.4, 0.01)),
        Exposure(50, 3, (-0.5, 0, 0)),
    ]
    images, groups, _ = program(exposures, n=220, width=180)
    fits = align_relative(groups, Settings(expand_refcat=True, fallback=False, minobj=5))
    assert [f.status for f in fits].index("REFERENCE") in (1, 2)
    assert all(f.status in ("REFERENCE", "SUCCESS") for f in fits)
    base = [f.status for f in fits].index("REFERENCE")
    ra0, dec0 = exposures[base].wcs(SIZE)[1](500.0, 500.0)
    ra1, dec1 = exposures[base].wcs(SIZE)[0](500.0, 500.0)
    for image, exposure in zip(images, exposures, strict=True):
        found = image.plane.to_sky(*image.corrected(np.stack(image.plane.from_pixel([500.0], [500.0]), axis=1)).T)
        true = exposure.wcs(SIZE)[0](np.array([500.0]), np.array([500.0]))
        assert distance_mas(found, (true[0] + ra0 - ra1, true[1] + dec0 - dec1))[0] < 8


def test_the_users_order_can_be_kept():
    exposures = [Exposure(-50, 0), Exposure(0, 0), Exposure(10, 0)]
    _, groups, _ = program(exposures, n=220, width=180)
    fits = align_relative(groups, Settings(expand_refcat=True, enforce_user_order=True, minobj=5))
    assert fits[0].status == "REFERENCE"


def test_a_mosaic_wider_than_one_field_is_tied_together_by_second_attempts_only():
    exposures = [Exposure(36 * k, 0, (0.1 * k, -0.2 * k, 0)) for k in (0, 1, 3, 2)]
    images, groups, _ = program(exposures, n=900, width=240)
    plain = align_relative(groups, Settings(fallback=False))
    assert sum(f.status.startswith("FAILED: not enough") for f in plain) >= 2
    for group in groups:
        group.reset()
    fits = align_relative(groups, Settings())
    assert [f.status for f in fits] == ["REFERENCE", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert worst_mas(images[2], exposures[2]) < 15
    assert "aligned before" in "".join(f.note for f in fits)


@pytest.mark.parametrize("fallback", [False, True])
def test_exposures_without_sources_are_told_apart(fallback):
    images, groups, _ = program([Exposure(), Exposure(0, 0, (0.1, 0, 0)), Exposure(4000, 0)])
    fits = align_relative(groups, Settings(fallback=fallback))
    assert [f.status for f in fits] == ["REFERENCE", "SUCCESS", "FAILED: no sources found"]
    with pytest.raises(NotAligned, match="fewer than two"):
        align_relative(groups[1:], Settings(fallback=fallback))
    assert len(images) == 3


def test_sparse_fields_fall_back_to_fewer_stars_and_say_so():
    exposures = [Exposure(), Exposure(0, 0, (0.8, -0.9, 0.0))]
    images, groups, _ = program(exposures, n=5, width=40)
    plain = align_relative(groups, Settings(fallback=False))
    assert plain[1].status == "FAILED: not enough matches"
    assert images[1].correction.shift == (0, 0)
    fits = align_relative(groups, Settings())
    assert fits[1].good
    assert "minobj is 15" in fits[1].note
    assert worst_mas(images[1], exposures[1]) < 10


def test_unrelated_fields_are_not_forced_together():
    ra, dec = stars(40, 70)
    ra2, dec2 = stars(40, 70, seed=77)
    images = [listed(Exposure(), ra, dec, SIZE, "a"), listed(Exposure(), ra2, dec2, SIZE, "b")]
    fits = align_relative(make_groups(images, ["a", "b"]), Settings())
    assert fits[1].status.startswith("FAILED")
    assert images[1].correction.shift == (0, 0)


@pytest.mark.parametrize("fallback", [False, True])
def test_a_correction_too_large_to_believe_is_refused(fallback):
    images, groups, _ = program([Exposure(), Exposure(0, 0, (0.3, 0.1, 0)), Exposure(0, 0, (0.2, 0, 0))])
    settings = Settings(fallback=fallback)
    fits = {f.group: f for f in align_relative(groups, settings)}
    groups[1].apply(images[1].plane, np.eye(2), np.array([4.0, 4.0]))
    if fallback:
        _check_moves(groups, fits, settings)
        assert "larger than the 5.40" in fits["1"].status
        assert images[1].correction.shift == (0, 0)
        assert fits["2"].good
    else:
        with pytest.raises(NotAligned, match=r"larger than the 5\.40"):
            _check_moves(groups, fits, settings)


def test_an_exposure_beyond_reach_does_not_spoil_the_others():
    images, groups, _ = program([Exposure(), Exposure(0, 0, (0.3, 0.1, 0)), Exposure(0, 0, (0.2, 0, 0))])
    images[1].sources = images[1].sources + 7.0
    fits = align_relative(groups, Settings())
    assert [f.good for f in fits] == [False, False, True]
    assert images[1].correction.shift == (0, 0)


def catalog(ra, dec, scatter_mas=0.0, weight=None) -> ReferenceCatalog:
    rng = np.random.default_rng(0)
    return ReferenceCatalog("truth", ra + rng.normal(0, scatter_mas, ra.size) / 3.6e6, dec, weight)


@pytest.mark.parametrize("fallback", [False, True])
def test_absolute_alignment_moves_all_exposures_onto_the_catalog(fallback):
    exposures = [Exposure(0, 0, (1.0, 0.5, 0.03)), Exposure(3, 2, (1.4, 0.2, 0.01)), Exposure(-3, 2, (0.8, 0.4, 0.05))]
    images, groups, (ra, dec) = program(exposures)
    settings = Settings(expand_refcat=True, fallback=fallback)
    relative = align_relative(groups, settings)
    fits = align_absolute(groups, catalog(ra, dec), Settings(MatchOptions(searchrad=6.0), fallback=fallback), relative)
    assert all(f.good and f.stage == "absolute" for f in fits)
    assert all(worst_mas(i, e) < 3 for i, e in zip(images, exposures, strict=True))


def test_one_exposure_can_be_aligned_to_a_catalog():
    exposure = Exposure(0, 0, (1.9, -1.0, 0.09))
    images, groups, (ra, dec) = program([exposure])
    fits = align_absolute(groups, catalog(ra, dec), Settings(MatchOptions(searchrad=6.0)), None)
    assert fits[0].good
    assert worst_mas(images[0], exposure) < 3


def test_exposures_that_could_not_be_tied_are_aligned_to_the_catalog_one_by_one():
    exposures = [Exposure(0, 0, (0.5, 0, 0)), Exposure(0, 2, (0.2, 0.2, 0)), Exposure(90, 0, (-0.7, 0.3, 0.02))]
    images, groups, (ra, dec) = program(exposures, n=260, width=200)
    relative = align_relative(groups, Settings())
    assert relative[2].status.startswith("FAILED")
    fits = align_absolute(groups, catalog(ra, dec), Settings(MatchOptions(searchrad=6.0)), relative)
    assert all(f.good for f in fits)
    assert all(worst_mas(i, e) < 4 for i, e in zip(images, exposures, strict=True))


def test_a_catalog_with_too_few_sources_is_refused():
    _, groups, (ra, dec) = program([Exposure()])
    with pytest.raises(NotAligned, match="has 2 sources"):
        align_absolute(groups, catalog(ra[:2], dec[:2]), Settings(), None)
    with pytest.raises(NotAligned, match="15 are needed"):
        align_absolute(groups, catalog(ra[:9], dec[:9]), Settings(fallback=False), None)


def test_sources_on_the_other_side_of_the_sky_do_no_harm():
    exposure = Exposure(0, 0, (0.3, 0.1, 0))
    images, groups, (ra, dec) = program([exposure])
    everywhere = catalog(np.concatenate([ra, ra + 180]), np.concatenate([dec, -dec]))
    assert align_absolute(groups, everywhere, Settings(), None)[0].good
    assert worst_mas(images[0], exposure) < 3


def test_weights_of_the_catalog_count():
    exposure = Exposure(0, 0, (0.3, 0.1, 0))
    images, groups, (ra, dec) = program([exposure])
    wrong = np.arange(ra.size) % 2 == 0
    moved = ra + wrong * 0.1 / 3600
    weighted = ReferenceCatalog("w", moved, dec, np.where(wrong, 0.0, 1.0))
    fits = align_absolute(groups, weighted, Settings(minobj=10), None)
    assert fits[0].used < fits[0].matched
    assert worst_mas(images[0], exposure) < 4
