"""Injected pointing errors, up to 2 arcsec and 0.1 degree, are recovered to 5 mas where there are 20 stars.

Between exposures, against a catalog with proper motions, for whatever moves together; fields with too few stars say so.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from jwstsm.core.frames import Stage3Inputs
from jwstsm.stage3._align import Settings, align_absolute, align_relative
from jwstsm.stage3._groups import make_groups
from jwstsm.stage3._refcat import read_reference_catalog
from jwstsm.stage3.tweakreg import tweakreg
from jwstsm.wcs.correction import correct_wcs
from tests.unit.stage3.fields import SCALE, Exposure, distance_mas, listed, photographed, stars

SIZE = 320


def injected(seed: int) -> tuple[float, float, float]:
    """Return a shift of up to 2 arcsec in any direction [arcsec] and a roll of up to 0.1 degree [deg]."""
    rng = np.random.default_rng(seed)
    angle, length = rng.uniform(0, 2 * np.pi), 2 * np.sqrt(rng.uniform())
    return length * np.cos(angle), length * np.sin(angle), rng.uniform(-0.1, 0.1)


def grid_error_mas(position, wcs, size: int) -> float:
    x, y = (g.ravel() for g in np.meshgrid(*2 * [np.linspace(0, size - 1, 7)]))
    return float(np.sqrt(np.mean(distance_mas(position(x, y), wcs(x, y)) ** 2)))


@pytest.mark.parametrize("seed", range(4))
def test_images_with_twenty_stars(seed):
    error = injected(seed)
    field = stars(21, SIZE * SCALE * 0.8, seed)
    exposures = [Exposure(), Exposure(0.4, -0.3, error)]
    frames = [photographed(e, *field, SIZE, f"{k}_cal.fits", flux=400.0, seed=50 + k) for k, e in enumerate(exposures)]
    alignment = tweakreg(Stage3Inputs(frames, "truth"), minobj=10)
    corrected = correct_wcs(frames[1].wcs, alignment.correction(frames[1].name))
    assert grid_error_mas(corrected, exposures[1].wcs(SIZE)[0], SIZE) < 5


@pytest.mark.parametrize("false", [0, 20, 100])
def test_lists_with_twenty_stars_and_many_false_sources(false):
    size, errors = 1024, []
    for seed in range(12):
        exposures = [Exposure(), Exposure(0, 0, injected(seed))]
        field = stars(20, size * SCALE * 0.85, seed)
        images = [listed(e, *field, size, f"{k}", seed=2 * seed + k, false=false) for k, e in enumerate(exposures)]
        align_relative(make_groups(images, ["0", "1"]), Settings())

        def found(x, y, image=images[1]):
            return image.plane.to_sky(*image.corrected(np.stack(image.plane.from_pixel(x, y), axis=1)).T)

        errors.append(grid_error_mas(found, exposures[1].wcs(size)[0], size))
    assert max(errors) < 5


def image_error_mas(image, exposure: Exposure, size: int) -> float:
    """Return the rms error of the corrected positions of an image [mas]."""

    def found(x, y):
        return image.plane.to_sky(*image.corrected(np.stack(image.plane.from_pixel(x, y), axis=1)).T)

    return grid_error_mas(found, exposure.wcs(size)[0], size)


@pytest.mark.parametrize("form", ["ecsv", "fits", "csv"])
def test_a_catalog_with_proper_motions_sets_the_absolute_frame(tmp_path, form):
    """Stars moved by up to 0.5 arcsec since the catalog's epoch; both exposures share one error and differ by another."""
    size, errors = 1024, []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        ra, dec = stars(40, size * SCALE * 0.85, seed)
        motion, years = rng.normal(0, 25, (2, ra.size)), 2025.16 - 2016.0
        moved_ra = ra + motion[0] * years / 3.6e6 / np.cos(np.radians(dec))
        moved_dec = dec + motion[1] * years / 3.6e6
        table = Table({"ra": ra, "dec": dec, "pmra": motion[0], "pmdec": motion[1], "ref_epoch": np.full(ra.size, 2016.0)})
        path = tmp_path / f"gaia{seed}.{form}"
        table.write(path, format={"ecsv": "ascii.ecsv"}.get(form, form))
        common = np.array(injected(seed))
        exposures = [Exposure(0, 0, tuple(common)), Exposure(3, -2, tuple(common + np.array([0.4, -0.3, 0.02])))]
        images = [listed(e, moved_ra, moved_dec, size, f"{k}", seed=2 * seed + k) for k, e in enumerate(exposures)]
        groups = make_groups(images, ["0", "1"])
        relative = align_relative(groups, Settings())
        fits = align_absolute(groups, read_reference_catalog(path, 2025.16), Settings(minobj=15), relative)
        assert [f.status for f in fits] == ["SUCCESS"] * 2
        errors += [image_error_mas(i, e, size) for i, e in zip(images, exposures, strict=True)]
    assert max(errors) < 5


@pytest.mark.parametrize("names", [("v1", "v1", "v2", "v2"), ("v1_g1", "v1_g1", "v1_g2", "v1_g2")])
def test_what_moves_together_shares_its_stars(names):
    """Four exposures with 12 stars each; two visits (or guide stars), each with its own error, have 24 together."""
    size, errors = 1024, []
    for seed in range(6):
        field = stars(24, size * SCALE * 0.8, seed)
        wrong = injected(seed)
        exposures = [Exposure(), Exposure(1, 1), Exposure(0.5, 0.4, wrong), Exposure(-0.6, 0.9, wrong)]
        parts = [slice(0, 12), slice(12, 24), slice(0, 12), slice(12, 24)]
        images = [
            listed(e, field[0][p], field[1][p], size, f"{k}", seed=9 * seed + k)
            for k, (e, p) in enumerate(zip(exposures, parts, strict=True))
        ]
        result = align_relative(make_groups(images, names), Settings())
        assert [r.status for r in result] == ["REFERENCE", "SUCCESS"]
        assert result[1].matched >= 20
        errors += [image_error_mas(i, e, size) for i, e in zip(images[2:], exposures[2:], strict=True)]
    assert max(errors) < 5


@pytest.mark.parametrize("count", [3, 6])
def test_sparse_fields_fall_back_and_say_so(count):
    """With fewer stars than asked for, a simpler fit is made and noted: within 30 mas, a hundredth of the error."""
    size = 1024
    for seed in range(4):
        east, north, _ = injected(seed)
        exposures = [Exposure(), Exposure(0, 0, (east, north, 0.0))]
        field = stars(count, size * SCALE * 0.8, seed)
        images = [listed(e, *field, size, f"{k}", seed=2 * seed + k) for k, e in enumerate(exposures)]
        result = align_relative(make_groups(images, ["0", "1"]), Settings())[1]
        assert result.status == "SUCCESS"
        assert f"only {count} matched sources" in result.note
        assert image_error_mas(images[1], exposures[1], size) < 30
        strict = align_relative(
            make_groups([listed(e, *field, size, f"{k}") for k, e in enumerate(exposures)], ["0", "1"]),
            Settings(fallback=False),
        )[1]
        assert strict.status.startswith("FAILED")


def test_fields_without_common_stars_are_left_alone():
    size = 1024
    images = [listed(Exposure(), *stars(4, size * SCALE * 0.8, seed), size, f"{seed}") for seed in (1, 2)]
    result = align_relative(make_groups(images, ["0", "1"]), Settings())[1]
    assert result.status.startswith("FAILED")
    assert images[1].largest_move() == 0
