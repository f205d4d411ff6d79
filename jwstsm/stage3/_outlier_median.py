"""The median of a set of images, which outliers are compared with, and its file.

Each exposure (all its detectors together) is drizzled on the common grid; pixels of little weight are left out; the
median is taken tile by tile. What is kept of an exposure is only its own rectangle of the grid, in memory or on a
scratch file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from jwstsm.core import scratch
from jwstsm.core.frames import Frame, groups
from jwstsm.core.progress import told
from jwstsm.core.resample import Drizzling, Window, read_weight, resample_frames
from jwstsm.core.stats import clipped_moments
from jwstsm.errors import InputError
from jwstsm.files import atomic
from jwstsm.products import asdf_block
from jwstsm.stage3._outlier_kernels import stack_median
from jwstsm.wcs.mosaic import Grid, update_header
from jwstsm.wcs.pixmap import PixelMap

__all__ = ["MedianImage", "median_of_groups", "median_of_images"]

log = logging.getLogger(__name__)

_KEPT_BYTES = 256_000_000  # of drizzled exposures held in memory; the rest goes to scratch files
_STACK_BYTES = 64_000_000


@dataclass
class MedianImage:
    """The image that the exposures are compared with.

    Attributes
    ----------
    data : (ny, nx) float32
        Median of the sky-subtracted exposures; NaN where none has enough weight. May be a mapped file.
    wcs : Wcs or None
        Of its pixels; None if they are those of the exposures themselves.
    """

    data: np.ndarray
    wcs: Any = None

    def write(self, path: str | Path) -> None:
        """Write as FITS, the array in ``SCI`` and the WCS in ``ASDF``."""
        header = fits.Header()
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(self.data, header, name="SCI")]
        if self.wcs is not None:
            update_header(hdus[1].header, self.wcs)
            hdus.append(asdf_block.encode(self.wcs, {}))
        with atomic(path) as part:
            fits.HDUList(hdus).writeto(part)

    @classmethod
    def read(cls, path: str | Path) -> MedianImage:
        """Read what :meth:`write` wrote; the array stays on the file until a part of it is asked for."""
        with fits.open(path, memmap=True) as hdus:
            info, shape = hdus["SCI"].fileinfo(), hdus["SCI"].shape
            wcs = None
            if "ASDF" in hdus:
                wcs = asdf_block.decode(hdus["ASDF"])[0]
        return cls(np.memmap(path, ">f4", "r", info["datLoc"], shape), wcs)

    def window(self, part: Window) -> np.ndarray:
        """Return a native copy of a rectangle."""
        rows, columns = slice(part.y0, part.y0 + part.ny), slice(part.x0, part.x0 + part.nx)
        return np.array(self.data[rows, columns], np.float32, order="C")


def reach(projections: Sequence[PixelMap], shape: tuple[int, int]) -> Window:
    """Return the rectangle of the grid that some images reach, with a margin of two pixels."""
    edges = np.array([p.bounds() for p in projections])
    low = np.floor([edges[:, 0].min(), edges[:, 2].min()]).astype(int) - 2
    high = np.ceil([edges[:, 1].max(), edges[:, 3].max()]).astype(int) + 3
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, shape[::-1])
    return Window(int(x0), int(y0), max(0, int(x1 - x0)), max(0, int(y1 - y0)))


def weight_threshold(weight: np.ndarray, maskpt: float) -> float:
    """Return the weight below which a pixel is left out: a share of the clipped mean of the weights that are not 0."""
    return clipped_moments(weight, sigma=3.0, maxiters=5, skip_zero=True).mean * maskpt


def _drop_light(data: np.ndarray, weight: np.ndarray, maskpt: float) -> None:
    """Make pixels of too little weight NaN, in place."""
    data[weight < weight_threshold(weight, maskpt)] = np.nan


def _medians(stacked: Sequence[tuple[Window, np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Return the median of rectangles of a grid, tile by tile."""
    out = scratch.allocate(shape, np.float32)
    ny, nx = shape
    height = max(1, int(_STACK_BYTES // (4 * nx * max(1, len(stacked)))))
    for y0 in range(0, ny, height):
        y1 = min(ny, y0 + height)
        touching = [(w, a) for w, a in stacked if w.y0 < y1 and w.y0 + w.ny > y0]
        stack = np.full((len(touching), y1 - y0, nx), np.nan, np.float32)
        for plane, (w, array) in zip(stack, touching, strict=True):
            a, b = max(w.y0, y0), min(w.y0 + w.ny, y1)
            plane[a - y0 : b - y0, w.x0 : w.x0 + w.nx] = array[a - w.y0 : b - w.y0]
            scratch.release(array)
        stack_median(stack, out[y0:y1])
    return out


def median_of_groups(frames: Sequence[Frame], grid: Grid, options: Drizzling, maskpt: float) -> MedianImage:
    """Drizzle each exposure on the grid and take the median.

    Parameters
    ----------
    frames : list of Frame
    grid : Grid
    options : Drizzling
        Without variances and context.
    maskpt : float
        Share of an exposure's mean weight below which its pixels are left out.

    Returns
    -------
    MedianImage
    """
    stacked, held = [], 0
    for name, members in told(list(groups(frames).items()), "exposures resampled for the median"):
        chosen = [frames[k] for k in members]
        projections = [PixelMap(f.wcs, grid.wcs, f.shape) for f in chosen]
        window = reach(projections, grid.shape)
        if 0 in window.shape:
            log.warning("exposure %s does not reach the mosaic", name)
            continue
        made = resample_frames(chosen, projections, window, options)
        _drop_light(made.data, made.wht, maskpt)
        held += made.data.nbytes
        if held > _KEPT_BYTES:
            mapped = scratch.allocate(window.shape, np.float32, limit=0)
            mapped[:] = made.data
            scratch.release(mapped)
            made.data = mapped
        stacked.append((window, made.data))
    return MedianImage(_medians(stacked, grid.shape), grid.wcs)


def median_of_images(frames: Sequence[Frame], options: Drizzling, maskpt: float) -> MedianImage:
    """Take the median of images pixel by pixel of the detector, for exposures that were not dithered.

    Raises
    ------
    InputError
        If the images do not have the same size.
    """
    shape = frames[0].shape
    stacked, held = [], 0
    for frame in told(frames, "exposures read for the median"):
        if frame.shape != shape:
            raise InputError(f"{frame.name} is {frame.shape} but {frames[0].name} is {shape}: resample_data must be true")
        held += 4 * shape[0] * shape[1]
        data = scratch.allocate(shape, np.float32, limit=None if held <= _KEPT_BYTES else 0)
        data[:] = frame.read("data")
        _drop_light(data, read_weight(frame, options), maskpt)
        stacked.append((Window(0, 0, shape[1], shape[0]), data))
    return MedianImage(_medians(stacked, shape), None)
