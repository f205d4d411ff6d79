"""Drizzling keeps surface brightness and the fluxes of stars, and its errors are the scatter of repeated observations."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.core.drizzle import noise_correlation
from jwstsm.core.frames import MemoryFrame, Stage3Inputs
from jwstsm.stage3.resample import resample
from jwstsm.wcs.footprint import s_region
from jwstsm.wcs.imaging import Pointing, aberration, telescope_to_sky
from jwstsm.wcs.model import Wcs, detector_frame, plane_frame, sky_frame
from tests.unit.stage3.dithers import header_of, plain_wcs
from tests.unit.wcs.scenes import SCALE, distortion

pytestmark = pytest.mark.slow

SIZE = 500
BEND = 0.04  # a pixel's area changes by several percent across the field
KEYS = {"RA_REF": 53.1, "DEC_REF": -27.8, "ROLL_REF": 33.0, "V3I_YANG": -0.3, "VPARITY": -1}


def camera(east: float, north: float, roll: float) -> Wcs:
    """Return a strongly distorted camera pointed ``east``, ``north`` [arcsec], turned by ``roll`` [deg]."""
    pointing = Pointing(-120.6, -527.5, 53.1 + east / 3600 / np.cos(np.radians(27.8)), -27.8 + north / 3600, 33.0 + roll)
    optics = distortion(bend=BEND, centre=(SIZE - 1) / 2)
    frames = detector_frame(), plane_frame("v2v3"), plane_frame("v2v3vacorr"), sky_frame()
    links = optics, aberration(pointing), telescope_to_sky(pointing), None
    wcs = Wcs(list(zip(frames, links, strict=True)), pixel_shape=(SIZE, SIZE))
    wcs.bounding_box = ((-0.5, SIZE - 0.5), (-0.5, SIZE - 0.5))
    return wcs


def relative_areas(wcs: Wcs) -> np.ndarray:
    """Return the area of each pixel on the sky in nominal pixels, from the positions of its corners."""
    edges = np.arange(SIZE + 1) - 0.5
    ra, dec = wcs(*np.meshgrid(edges, edges), with_bounding_box=False)
    u, v = (ra - 53.1) * np.cos(np.radians(dec)), dec
    d1 = u[1:, 1:] - u[:-1, :-1], v[1:, 1:] - v[:-1, :-1]
    d2 = u[1:, :-1] - u[:-1, 1:], v[1:, :-1] - v[:-1, 1:]
    return 0.5 * np.abs(d1[0] * d2[1] - d1[1] * d2[0]) * 3600**2 / SCALE**2


def exposure(k: int, data: np.ndarray, wcs: Wcs, variance: float = 1.0, **keys) -> MemoryFrame:
    header = header_of(wcs, k + 1, **(KEYS | keys), PIXAR_SR=np.radians(SCALE / 3600) ** 2, PIXAR_A2=SCALE**2)
    header["S_REGION"] = s_region(wcs)
    planes = {
        name: np.full(data.shape, f * variance, np.float32) for name, f in (("var_rnoise", 0.5), ("var_poisson", 0.5))
    }
    return MemoryFrame({"data": data.astype(np.float32), **planes}, wcs, header, f"{k}_cal.fits")


POINTINGS = [(0.0, 0.0, 0.0), (1.23, -0.71, 0.05), (-0.4, 1.7, -0.08)]


@pytest.mark.parametrize(
    "options", [{}, {"pixel_scale_ratio": 0.6}, {"pixfrac": 0.7}, {"kernel": "turbo"}, {"rotation": 0.0}]
)
def test_surface_brightness_is_conserved(options):
    """A flat sky stays flat to a part in 10000 on every grid, whatever the areas of the pixels."""
    frames = [exposure(k, np.full((SIZE, SIZE), 7.0), camera(*p)) for k, p in enumerate(POINTINGS)]
    made = resample(Stage3Inputs(frames, "flat"), **options)
    inside = np.isfinite(made.data)
    assert inside.mean() > 0.5
    assert np.abs(made.data[inside] / 7.0 - 1).max() < 1e-4


def starry(wcs: Wcs, ra, dec, flux: float, sigma: float) -> np.ndarray:
    """Return the surface brightness of stars that are round on the sky, ``flux`` in nominal pixels."""
    rows, columns = np.indices((SIZE, SIZE))
    image = np.zeros((SIZE, SIZE))
    x0, y0 = wcs.invert(ra, dec, with_bounding_box=False, refine=True)
    fine = (np.arange(5) - 2) / 5
    for x, y, a, d in zip(x0, y0, ra, dec, strict=True):
        r, c = (slice(max(0, int(v) - 14), int(v) + 16) for v in (y, x))
        for fy in fine:
            for fx in fine:
                alpha, delta = wcs(columns[r, c] + fx, rows[r, c] + fy, with_bounding_box=False)
                distance2 = ((alpha - a) * np.cos(np.radians(d))) ** 2 + (delta - d) ** 2
                image[r, c] += np.exp(-0.5 * distance2 * (3600 / SCALE / sigma) ** 2) / fine.size**2
    return flux * image / (2 * np.pi * sigma**2)


def aperture_sums(image: np.ndarray, x, y, radius: float) -> np.ndarray:
    rows, columns = np.indices(image.shape)
    return np.array([np.nansum(image[np.hypot(columns - a, rows - b) < radius]) for a, b in zip(x, y, strict=True)])


@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_stars_have_the_same_flux_in_the_mosaic_and_in_the_exposures(ratio):
    """To 0.2 % across a field whose pixel areas differ by more than 5 %; only the exposures need a map of areas."""
    cells = np.linspace(60, SIZE - 61, 5)
    ra, dec = (v.ravel() for v in camera(0, 0, 0)(*np.meshgrid(cells, cells), with_bounding_box=False))
    cameras = [camera(*p) for p in POINTINGS]
    images = [starry(w, ra, dec, 1000.0, 1.3) for w in cameras]
    made = resample(
        Stage3Inputs([exposure(k, i, w) for k, (i, w) in enumerate(zip(images, cameras, strict=True))], "stars"),
        pixel_scale_ratio=ratio,
    )
    x, y = made.wcs.invert(ra, dec, with_bounding_box=False)
    pixel = made.sci["PIXAR_A2"] / SCALE**2
    combined = aperture_sums(made.data * pixel, x, y, 11 / ratio)
    areas = [relative_areas(w) for w in cameras]
    assert np.ptp(areas[0]) > 0.05
    for image, wcs, area in zip(images, cameras, areas, strict=True):
        own = aperture_sums(image * area, *wcs.invert(ra, dec, with_bounding_box=False, refine=True), 11)
        assert np.abs(combined / own - 1).max() < 0.002
    assert np.abs(combined / 1000 - 1).max() < 0.002


def noise_mosaics(count: int, seed: int, turn: float, **options):
    """Yield mosaics of repeated observations of nothing, four dithers each, standard deviation 1."""
    rng = np.random.default_rng(seed)
    shape = (96, 96)
    places = [(0.0, 0.0, 0.0), (3.3, 1.7, 0.4 * turn), (-2.6, 4.45, 0.9 * turn), (5.1, -3.8, 1.7 * turn)]
    cameras = [plain_wcs(shape, *p) for p in places]
    for _ in range(count):
        frames = [exposure(k, rng.normal(0, 1, shape), w, ROLL_REF=0.0, V3I_YANG=0.0) for k, w in enumerate(cameras)]
        yield resample(Stage3Inputs(frames, "noise"), blendheaders=False, enable_ctx=False, **options)


def central(array: np.ndarray) -> np.ndarray:
    return np.asarray(array)[20:80, 20:80]


def measured(made: list) -> tuple[float, float, float]:
    """Return root mean square scatter of single pixels, of sums over 10 x 10 (per pixel), and the reported error."""
    data = np.stack([central(m.data) for m in made])
    blocks = data.reshape(len(made), 6, 10, 6, 10).sum(axis=(2, 4)) / 10
    error = np.sqrt(np.mean(np.square(central(made[0].err))))
    return float(np.sqrt(np.nanmean(data**2))), float(np.sqrt(np.mean(blocks**2))), float(error)


def test_errors_are_the_scatter_where_pixels_are_not_split():
    """Point kernel: every pixel goes to one place; both ways of carrying variances agree with the scatter to 3 %."""
    for variance in ("official", "exact"):
        made = list(noise_mosaics(25, 5, 0.0, kernel="point", variance=variance))
        data = np.stack([central(m.data) for m in made])
        error = central(made[0].err)
        assert np.sqrt(np.nanmean((data / error) ** 2)) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("ratio", [0.6, 2.0])
def test_exact_errors_are_the_scatter_at_other_pixel_scales(ratio):
    made = list(noise_mosaics(25, 7, 1.0, variance="exact", pixel_scale_ratio=ratio))
    inside = slice(int(20 / ratio), int(80 / ratio))
    chi = np.stack([np.asarray(m.data)[inside, inside] for m in made]) / np.asarray(made[0].err)[inside, inside]
    assert np.sqrt(np.mean(chi**2)) == pytest.approx(1, abs=0.03)


def test_errors_of_single_pixels_and_of_sums_where_pixels_are_split():
    """Square kernel: ``exact`` is the scatter of a pixel, ``official`` that of sums over many; the ratio is as stated."""
    exact = list(noise_mosaics(40, 6, 1.0, variance="exact"))
    pixel, block, error = measured(exact)
    assert error == pytest.approx(pixel, rel=0.03)
    official = measured(list(noise_mosaics(1, 6, 1.0)))[2]
    stated = noise_correlation(1.0, 1.0)
    # sums of 10 x 10 still lose a little at their edges
    assert block / pixel == pytest.approx(stated, rel=0.08)
    assert official / error == pytest.approx(stated, rel=0.03)
