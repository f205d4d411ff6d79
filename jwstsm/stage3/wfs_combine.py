"""Combine the two dithered images of a wavefront-sensing pair.

The second image is shifted by whole pixels onto the first, by the difference of their pointings or, on request, by what
the images themselves show, and good pixels are averaged. Nothing is interpolated: phase retrieval needs the pixels as
they are.

Source: the official step ``wfs_combine``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np

from jwstsm.core.dq import DO_NOT_USE
from jwstsm.errors import InputError
from jwstsm.products import Slope
from jwstsm.references import References
from jwstsm.step import Range, step
from jwstsm.wcs.model import as_wcs

__all__ = ["combine_pair", "pointing_offset", "refined_offset", "shifted", "wfs_combine"]

log = logging.getLogger(__name__)

_PEAK = 3  # half width of the box around the peak of the correlation in which its centroid is taken [pixel]
_HIGH_PASS = 5.0  # standard deviation of the smooth part taken off before correlating [pixel]


class Planes(NamedTuple):
    """Image, DQ and error of one exposure, (ny, nx)."""

    data: np.ndarray
    dq: np.ndarray
    err: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Where the pixel may not be used (bool)."""
        return (self.dq & np.uint32(DO_NOT_USE)) != 0


def shifted(array: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Return an image moved by (-dx, -dy) pixels, 0 where nothing comes from."""
    out = np.zeros_like(array)
    ny, nx = array.shape
    if abs(dx) >= nx or abs(dy) >= ny:
        return out
    to = slice(max(0, -dy), ny - max(0, dy)), slice(max(0, -dx), nx - max(0, dx))
    source = slice(max(0, dy), ny - max(0, -dy)), slice(max(0, dx), nx - max(0, -dx))
    out[to] = array[source]
    return out


def combine_pair(first: Planes, second: Planes) -> Planes:
    """Average two aligned images where both are good; elsewhere take the good one.

    Pixels bad in both are 0 and keep ``DO_NOT_USE``. The error of a mean is the mean of the errors, as in the official
    step: an upper limit.
    """
    bad1, bad2 = first.bad, second.bad
    weights = np.where(bad1, 0.0, np.where(bad2, 1.0, 0.5)), np.where(bad2, 0.0, np.where(bad1, 1.0, 0.5))
    planes = []
    for a, b in ((first.data, second.data), (first.err, second.err)):
        parts = [np.where(w > 0, w * v.astype(np.float64), 0.0) for w, v in zip(weights, (a, b), strict=True)]
        planes.append((parts[0] + parts[1]).astype(np.float32))
    flags = np.where(bad1 & ~bad2, second.dq, first.dq)
    return Planes(planes[0], flags, planes[1])


def pointing_offset(first: Slope, second: Slope) -> tuple[float, float]:
    """Return where the middle pixel of the first image is in the second, minus its own place (x, y) [pixel]."""
    ny, nx = first.data.shape
    x, y = nx // 2, ny // 2
    sky = as_wcs(first.wcs)(x, y, with_bounding_box=False)
    there = as_wcs(second.wcs).invert(*sky, with_bounding_box=False)
    return float(there[0] - x), float(there[1] - y)


def _overlap(first: np.ndarray, second: np.ndarray, dx: int, dy: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of two images that show the same when the second is offset by (dx, dy) pixels."""
    ny, nx = first.shape
    one = first[max(0, -dy) : ny - max(0, dy), max(0, -dx) : nx - max(0, dx)]
    two = second[max(0, dy) : ny - max(0, -dy), max(0, dx) : nx - max(0, -dx)]
    if one.size == 0:
        raise InputError(f"wfs_combine: images offset by {dx}, {dy} pixels do not overlap; check their association")
    return one, two


def _centre(planes: Planes, blur: int) -> tuple[float, float]:
    """Return the middle (x, y) of what is brighter than half the peak of the smoothed image [pixel]."""
    from scipy.signal import fftconvolve

    bad, image = planes.bad, planes.data.astype(np.float64)
    image[bad] = image[~bad].mean()
    y, x = np.mgrid[-blur : blur + 1, -blur : blur + 1]
    kernel = np.exp(-(x**2 + y**2) / float(blur))
    smooth = fftconvolve(image, kernel / kernel.sum(), mode="valid")
    rows, columns = np.nonzero(smooth > 0.5 * smooth.max())
    return columns.mean() + blur, rows.mean() + blur


def _repaired(planes: Planes, box: tuple[slice, slice], reach: int) -> np.ndarray:
    """Return a part of an image in which unusable pixels are interpolated from their neighbours, in reading order."""
    from scipy.interpolate import griddata

    image = planes.data[box].astype(np.float64)
    ny, nx = image.shape
    for j, i in np.argwhere(planes.bad[box]):
        rows = np.arange(max(0, j - reach), min(ny - reach, j + reach) + 1)
        columns = np.arange(max(0, i - reach), min(nx - reach, i + reach) + 1)
        points = np.array([(r, c) for c in columns for r in rows if (r, c) != (j, i)])
        values = image[points[:, 0], points[:, 1]]
        found = griddata(points, values, [(j, i)], method="linear").item()
        image[j, i] = griddata(points, values, [(j, i)], method="nearest").item() if np.isnan(found) else found
    return image


def refined_offset(
    first: Planes, second: Planes, dx: int, dy: int, *, psf_size: int, blur_size: int, n_size: int
) -> tuple[float, float]:
    """Return what is left of the offset (x, y) after (dx, dy), from the images [pixel].

    The parts around the star are freed of their smooth light and correlated; the centroid of the peak is the offset.
    """
    from scipy.ndimage import center_of_mass, gaussian_filter
    from scipy.signal import fftconvolve

    x, y = _centre(first, blur_size)
    ny, nx = first.data.shape
    box = tuple(slice(round(max(0, c - psf_size)), round(min(n, c + psf_size))) for c, n in ((y, ny), (x, nx)))
    parts = _overlap(_repaired(first, box, n_size), _repaired(second, box, n_size), dx, dy)
    inner = tuple(slice(int(max(0, n / 2 + 1 - psf_size)), int(min(n - 1, n / 2 + 1 + psf_size))) for n in parts[0].shape)
    one, two = (p[inner] - gaussian_filter(p[inner], _HIGH_PASS) for p in parts)
    correlation = fftconvolve(two, one[::-1, ::-1])
    peak = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    around = correlation[tuple(slice(max(0, p - _PEAK), p + _PEAK + 1) for p in peak)]
    centroid = center_of_mass(around)
    left = [p - n + 1 + c - _PEAK for p, n, c in zip(peak, one.shape, centroid, strict=True)]
    return float(left[1]), float(left[0])


def _planes(slope: Slope) -> Planes:
    data = np.nan_to_num(slope.data, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return Planes(data, slope.dq, slope.err)


@step("S_WFSCOM", scope="association")
def wfs_combine(
    pair: Sequence[Slope],
    refs: References | None = None,
    *,
    do_refine: bool = False,
    flip_dithers: bool = True,
    psf_size: Annotated[int, Range(min=4)] = 100,
    blur_size: Annotated[int, Range(min=1)] = 10,
    n_size: Annotated[int, Range(min=1)] = 2,
) -> Slope:
    """Combine a pair of dithered images of a star for wavefront sensing.

    Fills the bad pixels of one image with the other, without interpolation.

    Parameters
    ----------
    pair : list of Slope
        The two calibrated images, (ny, nx).
    refs : References, optional
        Not used.
    do_refine : bool
        Measure the offset in the images too; otherwise it is that of their pointings.
    flip_dithers : bool
        Take the image at the larger x as the first, so that pairs taken through different filters line up.
    psf_size : int
        Half width of the largest image of a star [pixel].
    blur_size : int
        Width of the smoothing before the star is looked for [pixel].
    n_size : int
        Half width of the box from which bad pixels are interpolated for the measurement [pixel].

    Returns
    -------
    Slope
        The ``wfscmb`` product in the pixels of the first image, with its header and world coordinates.

    Raises
    ------
    InputError
        If there are not two images of one size.

    Notes
    -----
    Errors: those of the means are the means of the errors. DQ bits read: DO_NOT_USE. As in the official step the rim
    that the second image does not reach counts as 0 there, and so has half its brightness.
    """
    if len(pair) != 2 or pair[0].data.shape != pair[1].data.shape:
        raise InputError(f"wfs_combine: needs two images of one size, not {', '.join(str(p.data.shape) for p in pair)}")
    first, second = pair
    if round(pointing_offset(first, second)[0]) < 0 and flip_dithers:
        first, second = second, first
    exact = pointing_offset(first, second)
    dx, dy = (round(v) for v in exact)
    one, two = _planes(first), _planes(second)
    if do_refine:
        sizes = {"psf_size": psf_size, "blur_size": blur_size, "n_size": n_size}
        left = refined_offset(one, two, dx, dy, **sizes)
        exact = (dx + left[0], dy + left[1])
        dx, dy = dx + round(left[0]), dy + round(left[1])
    log.info("%s onto %s: %.2f, %.2f pixels, %d, %d applied", second.name, first.name, *exact, dx, dy)
    made = combine_pair(one, Planes(*(shifted(p, dx, dy) for p in two)))
    inherited = {k: v for k, v in first.headers_copy().items() if k not in ("others", "tables")}
    return Slope(**inherited, suffix="wfscmb", data=made.data, dq=made.dq, err=made.err)
