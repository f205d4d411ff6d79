"""Outlier detection under the preset `best`: the cores of undersampled stars stay, cosmic rays go."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from jwstsm.config import preset_options
from jwstsm.core.dq import DO_NOT_USE
from jwstsm.core.frames import MemoryFrame, Stage3Inputs
from jwstsm.sim.psf import point_spread, render_points
from jwstsm.stage3._photometry import aperture_sums
from jwstsm.stage3.outlier_detection import find_outliers, make_median
from jwstsm.stage3.resample import resample
from tests.unit.stage3.dithers import header_of, plain_wcs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SIZE = 256
EDGE = 20  # of the part that all exposures see, with what lies around its stars
GAIN = 100.0  # photon noise is the square root of this times less
HITS = 1000
DARK = 0.3  # less light of stars than this, in units of the noise
# pivot and width [um], pixel [arcsec], keywords
FILTERS = {
    "NIRISS F090W": (0.902, 0.194, 0.0656, {"EXP_TYPE": "NIS_IMAGE", "FILTER": "CLEAR", "PUPIL": "F090W"}),
    "NIRISS F115W": (1.150, 0.226, 0.0656, {"EXP_TYPE": "NIS_IMAGE", "FILTER": "CLEAR", "PUPIL": "F115W"}),
    "NIRISS F150W": (1.493, 0.321, 0.0656, {"EXP_TYPE": "NIS_IMAGE", "FILTER": "CLEAR", "PUPIL": "F150W"}),
    "NIRISS F200W": (1.989, 0.461, 0.0656, {"EXP_TYPE": "NIS_IMAGE", "FILTER": "CLEAR", "PUPIL": "F200W"}),
    "NIRCam F070W": (0.704, 0.128, 0.0311, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F070W", "PUPIL": "CLEAR"}),
    "NIRCam F090W": (0.902, 0.194, 0.0311, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F090W", "PUPIL": "CLEAR"}),
    "NIRCam F115W": (1.154, 0.225, 0.0311, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F115W", "PUPIL": "CLEAR"}),
    "NIRCam F150W": (1.501, 0.318, 0.0311, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F150W", "PUPIL": "CLEAR"}),
    "NIRCam F200W": (1.990, 0.461, 0.0311, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F200W", "PUPIL": "CLEAR"}),
    "NIRCam F277W": (2.776, 0.672, 0.0630, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F277W", "PUPIL": "CLEAR"}),
    "NIRCam F356W": (3.565, 0.787, 0.0630, {"EXP_TYPE": "NRC_IMAGE", "FILTER": "F356W", "PUPIL": "CLEAR"}),
    "MIRI F560W": (5.635, 1.000, 0.1100, {"EXP_TYPE": "MIR_IMAGE", "FILTER": "F560W"}),
}


@functools.cache
def observe(name: str, number: int = 4, seed: int = 1) -> SimpleNamespace:
    """Return dithered exposures of a field of stars with and without cosmic rays, noise 1, aligned to 0.03 pixel."""
    rng = np.random.default_rng(seed)
    pivot, width, pixel, _ = FILTERS[name]
    spread = point_spread(pivot, width, pixel, radius=24)
    cells = np.stack(np.meshgrid(np.arange(13), np.arange(13)), axis=-1).reshape(-1, 2) * 18.0 + 20
    flux = 10 ** rng.uniform(1.5, 4.5, len(cells))
    sky = plain_wcs((SIZE, SIZE), scale=pixel / 3600)(*(cells + rng.uniform(-3, 3, cells.shape)).T, with_bounding_box=False)
    exposures = []
    for k in range(number):
        wcs = plain_wcs((SIZE, SIZE), *rng.uniform(-8, 8, 2), 0.01 * k, scale=pixel / 3600)
        x, y = wcs.invert(*sky, with_bounding_box=False)
        light = np.zeros((SIZE, SIZE))
        render_points(light, spread, *(np.stack([x, y]) + rng.normal(0, 0.03, (2, 1))), flux)
        err = np.sqrt(1 + light / GAIN)
        clean = light + err * rng.normal(size=light.shape)
        hits = rng.integers(EDGE, SIZE - EDGE, (2, HITS))
        dirty = clean.copy()
        dirty[*hits] += 10 ** rng.uniform(0.7, 2.5, HITS)
        header = header_of(wcs, k + 1, "NIS", PIXAR_SR=np.radians(pixel / 3600) ** 2, PIXAR_A2=pixel**2)
        exposures.append(
            SimpleNamespace(
                wcs=wcs, header=header, light=light, err=err.astype(np.float32), clean=clean, dirty=dirty, hits=hits
            )
        )
    return SimpleNamespace(sky=sky, flux=flux, exposures=exposures, number=number)


def frames(observed: SimpleNamespace, which: str, bad=None) -> Stage3Inputs:
    """Return the exposures as the steps of stage 3 take them, ``bad`` pixels flagged."""
    out = []
    for k, one in enumerate(observed.exposures):
        flags = np.zeros((SIZE, SIZE), bool) if bad is None else bad[k]
        planes = {
            "data": getattr(one, which).astype(np.float32),
            "err": one.err,
            "dq": flags * np.uint32(DO_NOT_USE),
            "var_rnoise": np.ones((SIZE, SIZE), np.float32),
            "var_poisson": (one.light / GAIN).astype(np.float32),
        }
        out.append(MemoryFrame(planes, one.wcs, one.header, one.header["FILENAME"]))
    return Stage3Inputs(out, which)


def photometry(inputs: Stage3Inputs, sky) -> tuple[np.ndarray, np.ndarray]:
    """Return the fluxes of the stars in the mosaic, and which of them all exposures see whole."""
    made = resample(inputs, blendheaders=False, enable_ctx=False)
    x, y = made.wcs.invert(*sky, with_bounding_box=False)
    image = np.nan_to_num(np.asarray(made.data, np.float32))
    inside = (np.minimum(x, y) > EDGE) & (x < image.shape[1] - EDGE) & (y < image.shape[0] - EDGE)
    return aperture_sums(image, image, x, y, 4.0)[:, 0], inside


def measure(observed: SimpleNamespace, snr: str = "5.0 4.0", scale: str = "1.2 0.7") -> SimpleNamespace:
    """Return the shares of the stars' light kept, of hits found (5 to 10, 10 to 20, above 20 sigma), and of false alarms.

    ``found`` counts the hits everywhere, ``found_dark`` those on the sky away from stars; false alarms are pixels of that
    sky in exposures without hits.
    """
    median = make_median(frames(observed, "dirty"))

    def flag(one, which):
        return find_outliers(getattr(one, which).astype(np.float32), one.err, one.wcs, median, snr=snr, scale=scale)

    lost = [flag(one, "clean") for one in observed.exposures]
    (before, inside), (after, _) = (photometry(frames(observed, "clean", bad), observed.sky) for bad in (None, lost))
    use = inside & (before > 10 * np.sqrt(50 + before / GAIN) / np.sqrt(observed.number))
    found = np.concatenate([flag(one, "dirty")[*one.hits] for one in observed.exposures])
    size = np.concatenate([((one.dirty - one.clean) / one.err)[*one.hits] for one in observed.exposures])
    dark = np.concatenate([(one.light < DARK)[*one.hits] for one in observed.exposures])
    bins = [(size > low) & (size < high) for low, high in ((5, 10), (10, 20), (20, np.inf))]
    alarms = [bad[one.light < DARK] for one, bad in zip(observed.exposures, lost, strict=True)]
    return SimpleNamespace(
        kept=(after / before)[use],
        found=[found[own].mean() for own in bins],
        found_dark=[found[own & dark].mean() for own in bins],
        false=np.concatenate(alarms).mean(),
    )


def best(name: str, number: int = 4) -> dict:
    """Return what the preset sets for a filter and a number of dithers."""
    above = preset_options("best", {"TSO": "False", "NUMDTHPT": number} | FILTERS[name][-1], "image3")[1]
    return above.get("outlier_detection", {})


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("NIRISS F090W", 0.7),
        ("NIRISS F150W", 0.85),
        ("NIRCam F090W", 0.92),
        ("NIRCam F115W", 0.97),
        ("NIRCam F150W", 0.995),
    ],
)
def test_cores_of_undersampled_stars_stay_and_cosmic_rays_go(name, left):
    """Official limits leave less of the stars' light than ``left``; `best` takes none and finds the larger cosmic rays."""
    observed = observe(name)
    official, ours = measure(observed), measure(observed, **best(name))
    assert np.mean(official.kept) < left
    assert np.mean(ours.kept) > 0.995
    assert np.quantile(ours.kept, 0.05) > 0.98
    assert ours.found_dark[-1] > 0.96
    assert ours.found[-1] > official.found[-1] - 0.07
    assert ours.false < 5e-5


def test_two_dithers_keep_the_official_limits():
    """Their median holds half of a hit, so that limits with more gradient find fewer than half of the hits."""
    observed = observe("NIRISS F150W", 2)
    assert best("NIRISS F150W", 2) == {}
    assert best("NIRISS F150W", 12) == best("NIRISS F150W", 3) == best("NIRISS F150W") != {}
    found = [measure(observed, **options).found[-1] for options in ({}, best("NIRISS F150W"))]
    assert found[0] > 0.9
    assert found[1] < 0.6


def test_well_sampled_filters_keep_the_official_limits():
    assert best("NIRCam F200W") == {}
    assert np.mean(measure(observe("NIRCam F200W")).kept) > 0.995
