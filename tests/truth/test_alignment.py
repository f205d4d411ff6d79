"""Injected pointing errors, up to 2 arcsec and 0.1 degree, are recovered to 5 mas where there are 20 stars."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.frames import Stage3Inputs
from jwstsm.stage3._align import Settings, align_relative
from jwstsm.stage3._groups import make_groups
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
