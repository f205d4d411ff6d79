"""The smooth background of an image and its noise, from sigma-clipped statistics in boxes.

The boxes, the clipping, the repair of rejected boxes and the cubic interpolation are those of photutils'
``Background2D`` with ``MedianBackground``, which the official source finding uses. What is different is the way
to the same numbers: each box is sorted once, so that every clipping round is two binary searches and a
difference of running sums, and the interpolation, being linear and separable, is two small matrix products that
can be asked for any rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jwstsm.core.compiled import get_num_threads, njit, prange

__all__ = ["Background", "clipped_statistics", "estimate_background"]

_ROUNDS = 5
_EXCLUDED_PERCENT = 10.0
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Background:
    """A background and its rms on a coarse mesh of boxes.

    Attributes
    ----------
    mesh, rms_mesh : ndarray, (nboxy, nboxx) float32
        Median and standard deviation of the clipped pixels of each box, after repair and 3 x 3 median filter
        [data unit].
    shape : tuple of int
        (ny, nx) of the image.
    box : tuple of int
        (height, width) of a box [pixel].
    """

    mesh: np.ndarray
    rms_mesh: np.ndarray
    shape: tuple[int, int]
    box: tuple[int, int]

    def level(self, y0: int = 0, y1: int | None = None) -> np.ndarray:
        """Return the background of rows ``y0`` to ``y1`` as (rows, nx) float32."""
        return self._image(self.mesh, y0, y1)

    def rms(self, y0: int = 0, y1: int | None = None) -> np.ndarray:
        """Return the background noise of rows ``y0`` to ``y1`` as (rows, nx) float32."""
        return self._image(self.rms_mesh, y0, y1)

    def _image(self, mesh: np.ndarray, y0: int, y1: int | None) -> np.ndarray:
        y1 = self.shape[0] if y1 is None else y1
        low, high = mesh.min(), mesh.max()
        if low == high:
            return np.full((y1 - y0, self.shape[1]), low, np.float32)
        along_y = _zoom_matrix(mesh.shape[0], self.box[0])[y0:y1]
        along_x = _zoom_matrix(mesh.shape[1], self.box[1])[: self.shape[1]]
        return _surface(np.einsum("yj,ji->yi", along_y, mesh.astype(np.float64)), along_x.T.copy(), low, high)


@njit(parallel=True)
def _surface(left, right, low, high):
    """Return the (ny, nx) float32 product of (ny, n) and (n, nx), clipped."""
    out = np.empty((left.shape[0], right.shape[1]), np.float32)
    for y in prange(left.shape[0]):
        row = np.zeros(right.shape[1])
        for k in range(right.shape[0]):
            for x in range(row.size):
                row[x] += left[y, k] * right[k, x]
        for x in range(row.size):
            out[y, x] = min(max(row[x], low), high)
    return out


def estimate_background(data: np.ndarray, mask: np.ndarray | None, box_size: int) -> Background:
    """Estimate the background of an image in boxes.

    Parameters
    ----------
    data : ndarray, (ny, nx) float32
        The image [any unit]; NaN and infinity are left out.
    mask : ndarray, (ny, nx) bool, or None
        Pixels without data (True), left out.
    box_size : int
        Side of a box [pixel]; a box larger than the image is cut to it.

    Returns
    -------
    Background
        The mesh of levels and noises.

    Raises
    ------
    ValueError
        If no pixel is usable.

    Notes
    -----
    A box counts when more than 90 % of a full box's pixels survive masking and clipping, so the partial boxes
    at the upper and right edges usually do not; boxes that do not count take the mean of their ten nearest
    neighbours, weighted by inverse distance. If no box counts, the whole image becomes one box. Clipping: 3
    sigma about the median, at most 5 rounds.
    """
    ny, nx = data.shape
    height, width = min(box_size, ny), min(box_size, nx)
    mesh, rms, count = _box_statistics(data, mask, height, width)
    needed = (1 - _EXCLUDED_PERCENT / 100) * height * width
    rejected = count <= needed
    if rejected.all():
        height, width = ny, nx
        mesh, rms, count = _box_statistics(data, mask, height, width)
        rejected = count == 0
        if rejected.all():
            raise ValueError("the image has no usable pixel to estimate a background from")
    mesh[rejected] = np.nan
    rms[rejected] = np.nan
    return Background(_median3(_repair(mesh)), _median3(_repair(rms)), (ny, nx), (height, width))


def clipped_statistics(values: np.ndarray, sigma: float = 3.0, rounds: int | None = _ROUNDS) -> tuple[float, float, int]:
    """Clip values about their median and describe what is left.

    Parameters
    ----------
    values : ndarray
        Numbers of any shape, NaN left out; sorted in place when one-dimensional.
    sigma : float
        Clipping limit in standard deviations.
    rounds : int or None
        Largest number of rounds; None: until nothing changes.

    Returns
    -------
    median, std : float
        Median and standard deviation of the surviving values; NaN when there are none.
    count : int
        How many values survived.

    Notes
    -----
    In sorted order the survivors are always a run, so the median is the middle of it; sums are taken about the
    first median.
    """
    flat = values.ravel()
    flat.sort()
    n = bisect_left(flat, np.float64(np.inf))  # numpy's own search would copy the array to float64
    first = bisect_right(flat, np.float64(-np.inf), 0, n)
    if n == first:
        return np.nan, np.nan, 0
    start = _middle(flat, first, n)
    low, high, done = first, n, 0
    while rounds is None or done < rounds:
        centre, spread = _middle(flat, low, high), _spread(flat[low:high], start)
        keep_low = bisect_left(flat, np.float64(centre - sigma * spread), low, high)
        keep_high = bisect_right(flat, np.float64(centre + sigma * spread), low, high)
        done += 1
        if (keep_low, keep_high) == (low, high):
            break
        low, high = keep_low, keep_high
    return _middle(flat, low, high), _spread(flat[low:high], start), high - low


def _middle(ordered: np.ndarray, low: int, high: int) -> float:
    half = (low + high) // 2
    if (high - low) % 2:
        return float(ordered[half])
    return 0.5 * (float(ordered[half - 1]) + float(ordered[half]))


@njit
def _spread(values, about):
    """Standard deviation, from sums about a value near the mean."""
    total, squares = 0.0, 0.0
    for value in values:
        difference = value - about
        total += difference
        squares += difference * difference
    mean = total / values.size
    return np.sqrt(max(0.0, squares / values.size - mean * mean))


def _box_statistics(data, mask, height, width) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return median, standard deviation and number of survivors of every box, as (nboxy, nboxx) arrays."""
    ny, nx = data.shape
    rows, cols = -(-ny // height), -(-nx // width)
    mesh = np.full((rows, cols), np.nan, np.float32)
    rms = mesh.copy()
    count = np.zeros((rows, cols), np.int64)

    def measure(box: tuple[int, int]) -> None:
        j, i = box
        part = np.s_[j * height : (j + 1) * height, i * width : (i + 1) * width]
        values = data[part].astype(np.float32, copy=True).ravel() if mask is None else data[part][~mask[part]]
        mesh[box], rms[box], count[box] = clipped_statistics(values)

    # nearly all of the time goes into numpy's sort, which lets other threads run
    with ThreadPoolExecutor(get_num_threads()) as pool:
        list(pool.map(measure, np.ndindex(rows, cols)))
    return mesh, rms, count


def _repair(mesh: np.ndarray) -> np.ndarray:
    """Give boxes that do not count (NaN) the inverse-distance mean of the nearest ones that do."""
    bad = np.isnan(mesh)
    if not bad.any():
        return mesh
    from scipy.spatial import cKDTree  # its order among equally distant boxes is the official one

    known = mesh[~bad].astype(np.float64)
    distance, nearest = cKDTree(np.argwhere(~bad), leafsize=10).query(
        np.argwhere(bad), k=range(1, min(_NEIGHBOURS, known.size) + 1)
    )
    weight = 1.0 / distance
    out = mesh.copy()
    out[bad] = (weight * known[nearest]).sum(axis=1) / weight.sum(axis=1)
    return out


def _median3(mesh: np.ndarray) -> np.ndarray:
    """Median of each box and its neighbours inside the mesh."""
    padded = np.pad(mesh, 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*mesh.shape, 9)
    return np.nanmedian(windows, axis=2).astype(np.float32)


@lru_cache(maxsize=32)
def _zoom_matrix(boxes: int, size: int) -> np.ndarray:
    """Return the (boxes*size, boxes) matrix of cubic-spline interpolation from box centres to pixels."""
    from scipy.ndimage import zoom

    units = np.eye(boxes)
    return np.stack([zoom(unit, size, order=3, mode="reflect", grid_mode=True) for unit in units], axis=1)
