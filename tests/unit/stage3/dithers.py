"""Dithered exposures of a small sky as frames in memory, for the tests of the gathering steps."""

from __future__ import annotations

import numpy as np

from jwstsm.core.frames import MemoryFrame
from jwstsm.wcs.footprint import s_region
from jwstsm.wcs.model import Wcs, detector_frame, sky_frame
from jwstsm.wcs.sphere import FitsImaging

RA, DEC, SCALE = 53.1, -27.8, 0.06 / 3600  # deg


def plain_wcs(shape, dx=0.0, dy=0.0, roll_deg=0.0, scale=SCALE) -> Wcs:
    """Return a tangent-plane WCS whose image is shifted by (dx, dy) pixels and turned."""
    ny, nx = shape
    angle = np.radians(roll_deg)
    pc = [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    crpix = ((nx - 1) / 2 - dx, (ny - 1) / 2 - dy)
    wcs = Wcs(
        [(detector_frame(), FitsImaging(crpix, (RA, DEC), (scale, scale), pc)), (sky_frame(), None)],
        pixel_shape=(nx, ny),
    )
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return wcs


def header_of(wcs: Wcs, exposure: int = 1, detector: str = "NRCA1", **keywords) -> dict:
    """Return the keywords that the steps read."""
    header = {
        "PROGRAM": "01234",
        "OBSERVTN": "001",
        "VISIT": "001",
        "VISITGRP": "02",
        "SEQ_ID": "1",
        "ACT_ID": "01",
        "EXPOSURE": f"{exposure:05d}",
        "DETECTOR": detector,
        "FILENAME": f"jw_{exposure:05d}_{detector.lower()}_cal.fits",
        "EFFEXPTM": 100.0,
        "TMEASURE": 90.0,
        "DURATION": 110.0,
        "EXPSTART": 60000.0 + exposure,
        "EXPEND": 60000.5 + exposure,
        "RA_REF": RA,
        "DEC_REF": DEC,
        "ROLL_REF": 0.0,
        "V3I_YANG": 0.0,
        "VPARITY": -1,
        "BUNIT": "MJy/sr",
        "PIXAR_SR": np.radians(SCALE) ** 2,
        "PIXAR_A2": (SCALE * 3600) ** 2,
    }
    region = s_region(wcs)
    return header | ({"S_REGION": region} if region else {}) | keywords


def sky_image(wcs: Wcs, shape, stars, fwhm: float = 2.5) -> np.ndarray:
    """Return an image of stars (list of ra, dec, flux), a Gaussian of ``fwhm`` pixels each."""
    rows, columns = np.indices(shape)
    out = np.zeros(shape)
    sigma = fwhm / 2.3548
    for ra, dec, flux in stars:
        x, y = wcs.invert(ra, dec, with_bounding_box=False)
        out += flux / (2 * np.pi * sigma**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return out


def star_list(n: int = 12, width: float = 60.0, seed: int = 3, flux: float = 500.0) -> list[tuple[float, float, float]]:
    """Return stars in a square of ``width`` pixels about the centre."""
    rng = np.random.default_rng(seed)
    wcs = plain_wcs((1, 1))
    offsets = rng.uniform(-width / 2, width / 2, (n, 2))
    return [(*wcs(x, y, with_bounding_box=False), flux * rng.uniform(0.5, 1.5)) for x, y in offsets]


def exposures(
    n: int = 4,
    shape=(80, 84),
    *,
    sky=(0.0,),
    noise: float = 0.5,
    stars=(),
    seed: int = 1,
    step: float = 5.3,
    detectors=(("NRCA1", 0.0),),
) -> list[MemoryFrame]:
    """Return ``n`` dithered exposures, each with all ``detectors`` (name, shift in x [pixel])."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        for detector, shift in detectors:
            wcs = plain_wcs(shape, step * (k % 2) + shift + 0.37 * k, step * (k // 2) - 0.21 * k, 0.8 * (k % 3))
            truth = sky_image(wcs, shape, stars) + sky[k % len(sky)]
            data = (truth + rng.normal(0, noise, shape)).astype(np.float32)
            header = header_of(wcs, k + 1, detector)
            arrays = {
                "data": data,
                "err": np.full(shape, noise, np.float32),
                "dq": np.zeros(shape, np.uint32),
                "var_rnoise": np.full(shape, 0.5 * noise**2, np.float32),
                "var_poisson": np.full(shape, 0.4 * noise**2, np.float32),
                "var_flat": np.full(shape, 0.1 * noise**2, np.float32),
            }
            frames.append(MemoryFrame(arrays, wcs, header, header["FILENAME"]))
    return frames
