"""Masks of sources for a second run of stage 1, from the sources of a first mosaic.

A mosaic is deeper than an exposure and knows nothing of its stripes: what it finds are sources, faint and extended ones
too. Their segments are projected on each exposure with its aligned world coordinates; ``clean_flicker_noise`` then fits
the stripes to all other pixels (parameter ``user_mask``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.errors import InputError
from jwstsm.files import atomic
from jwstsm.products.fitsio import read_wcs
from jwstsm.products.names import split_name
from jwstsm.wcs.pixmap import PixelMap

__all__ = ["project_sources", "write_masks"]

log = logging.getLogger(__name__)

_ROWS = 256  # of a pixel map held at a time


def project_sources(sources: np.ndarray, mosaic_wcs, wcs, shape: tuple[int, int], grow: int = 2) -> np.ndarray:
    """Return where an exposure sees background, (ny, nx) bool.

    Parameters
    ----------
    sources : (ny_out, nx_out) bool
        Pixels of the mosaic that belong to sources.
    mosaic_wcs, wcs : object
        World coordinates of the mosaic and of the exposure.
    shape : (ny, nx)
        Of the exposure.
    grow : int
        How far the sources are grown [pixel of the mosaic].

    Returns
    -------
    (ny, nx) bool
        True for background; also where the mosaic does not reach.
    """
    from scipy import ndimage

    if grow > 0:
        sources = ndimage.binary_dilation(sources, iterations=grow)
    projection = PixelMap(wcs, mosaic_wcs, shape)
    out = np.ones(shape, bool)
    for y0 in range(0, shape[0], _ROWS):
        place = projection.rows(y0, min(shape[0], y0 + _ROWS))
        known = np.isfinite(place).all(axis=-1)
        x, y = (np.rint(np.where(known, place[..., k], -1.0)).astype(np.int64) for k in (0, 1))
        known &= (x >= 0) & (y >= 0) & (x < sources.shape[1]) & (y < sources.shape[0])
        rows = out[y0 : y0 + _ROWS]
        rows[known] = ~sources[y[known], x[known]]
    return out


def write_masks(segments: Path, exposures: Sequence[Path], folder: Path, grow: int = 2) -> list[Path]:
    """Write a mask for each exposure: ``<exposure>_mask.fits``, 1 for background and 0 for sources.

    Parameters
    ----------
    segments : Path
        Segmentation map of a mosaic (``segm``).
    exposures : list of Path
        Its members, calibrated (``cal``) or better with aligned world coordinates (``crf``).
    folder : Path
        Where the masks go.
    grow : int
        How far the sources are grown [pixel of the mosaic].
    """
    mosaic_wcs = read_wcs(segments)
    with fits.open(segments) as hdus:
        if "SCI" not in hdus:
            raise InputError(f"{segments}: no segmentation map (extension SCI); give the segm product of a mosaic")
        sources = hdus["SCI"].data > 0
    made = []
    for file in exposures:
        base, suffix = split_name(file)
        if suffix == "crf":  # a crf has the number of its association before the suffix
            base = split_name(base)[0]
        wcs = read_wcs(file)  # first: it says what is wrong with a file
        header = fits.getheader(file, "SCI")
        background = project_sources(sources, mosaic_wcs, wcs, (header["NAXIS2"], header["NAXIS1"]), grow)
        made.append(folder / f"{base}_mask.fits")
        with atomic(made[-1]) as part:
            fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(background.astype(np.uint8), name="SCI")]).writeto(part)
        log.info("%s: %.1f %% of the pixels are sources", made[-1], 100 * (1 - background.mean()))
    return made
