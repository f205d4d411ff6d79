"""Which source of one list is which source of another, in a common plane, when their offset is not known.

:func:`match_catalogs` does it as the official alignment does: an offset from the peak of the two-dimensional
histogram of all pair offsets, removal of close neighbours, and for every reference source the nearest one
within a tolerance. :func:`search_match` is for when that is not enough: it also turns the list, demands that
both sources choose each other, narrows the tolerance as the fit improves, and says how likely the result is by
chance.

Positions are (n, 2) arrays in arcseconds throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.errors import ConfigError
from jwstsm.stage3._fit import apply_affine, fit_affine

__all__ = ["MatchOptions", "TooManyMatches", "histogram_offset", "match_catalogs", "search_match"]

_PEAK_BOX = 5
_SEARCH_BIN = 0.1
_SEARCH_ROLL_DEG = 0.2
_SEARCH_TOLERANCES = (0.4, 0.2, 0.1)
_CHANCE = 1e-3
_FEWEST = 3


class TooManyMatches(Exception):
    """More matches than sources: the tolerance is too large for the separation."""


@dataclass(frozen=True)
class MatchOptions:
    """Parameters of the official matching [arcsec]; see ``tweakreg``."""

    searchrad: float = 2.0
    use2dhist: bool = True
    separation: float = 1.0
    tolerance: float = 0.7
    xoffset: float = 0.0
    yoffset: float = 0.0

    def check(self, prefix: str = "") -> None:
        """Raise ConfigError for values that cannot work together."""
        for name in ("searchrad", "separation", "tolerance"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"tweakreg: '{prefix}{name}' must be positive")
        if self.separation <= math.sqrt(2.0) * self.tolerance:
            raise ConfigError(
                f"tweakreg: '{prefix}separation' ({self.separation}) must be larger than 1.4142 times "
                f"'{prefix}tolerance' ({self.tolerance}), else sources are confused"
            )

    @property
    def largest_offset(self) -> float:
        """Corrections beyond this are taken for mistakes [arcsec]."""
        reach = self.searchrad if self.use2dhist else max(abs(self.xoffset), abs(self.yoffset))
        return 2.0 * (reach + self.tolerance)


def match_catalogs(image: np.ndarray, reference: np.ndarray, options: MatchOptions, pixel_scale: float):
    """Match two lists as the official alignment does.

    Parameters
    ----------
    image, reference : ndarray, (n, 2) float64
        Positions [arcsec].
    options : MatchOptions
        Search radius, tolerance, ...
    pixel_scale : float
        Bin of the histogram of offsets [arcsec].

    Returns
    -------
    reference_index, image_index : ndarray of int
        Pairs; an image source can appear twice where reference sources are about ``separation`` apart.

    Raises
    ------
    TooManyMatches
        If there are more pairs than image sources.
    """
    if options.use2dhist:
        offset = histogram_offset(image, reference, options.searchrad, pixel_scale)
    else:
        offset = np.array([options.xoffset, options.yoffset])
    moved = image - offset
    kept_image = _thinned(moved, options.separation)
    kept_reference = _thinned(reference, options.separation)
    pairs = _nearest_within(reference[kept_reference], moved[kept_image], options.tolerance)
    if len(pairs) > len(image):
        raise TooManyMatches("several sources match one reference source; adjust 'tolerance' or 'separation'")
    return kept_reference[pairs[:, 0]], kept_image[pairs[:, 1]]


def histogram_offset(image: np.ndarray, reference: np.ndarray, radius: float, scale: float) -> np.ndarray:
    """Return the most frequent offset (image minus reference) within a square.

    Parameters
    ----------
    image, reference : ndarray, (n, 2) float64
        Positions [arcsec].
    radius : float
        Half side of the square [arcsec].
    scale : float
        Bin [arcsec].

    Returns
    -------
    ndarray, (2,)
        The offset [arcsec]; zero when no pair lies in the square.

    Notes
    -----
    The peak is refined by a second-degree surface through the filled bins of the 5 x 5 around the highest, or
    by their centre of mass. Index 0 stands for ``-radius`` although the first bin is centred on the next whole
    bin below it: the official convention, wrong by less than a bin and without effect on the final fit.
    """
    reach = radius / scale
    half = math.ceil(reach)
    offsets = _pair_offsets(image / scale, reference / scale, (reach + 0.5) * math.sqrt(2.0))[0]
    inside = ((offsets < reach + 0.5) & (offsets >= -reach - 0.5)).all(axis=1)
    edge = half + 0.5
    counts, _, _ = np.histogram2d(*offsets[inside].T, 2 * half + 1, [[-edge, edge], [-edge, edge]])
    filled = np.count_nonzero(counts)
    if filled == 0:
        return np.zeros(2)
    peak = np.unravel_index(np.argmax(counts.T), counts.shape)[::-1] if filled == 1 else _peak(counts.T)
    return scale * np.asarray(peak, float) - radius


def _pair_offsets(image: np.ndarray, reference: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the offsets of all pairs closer than ``radius``, and the numbers of their members."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(image).sparse_distance_matrix(cKDTree(reference), radius, output_type="ndarray")
    return image[pairs["i"]] - reference[pairs["j"]], pairs["i"], pairs["j"]


def _peak(counts: np.ndarray) -> tuple[float, float]:
    """Return x, y of the peak of a histogram with axes (y, x)."""
    ny, nx = counts.shape
    jmax, imax = np.unravel_index(np.argmax(counts), counts.shape)
    x1, y1 = max(0, imax - _PEAK_BOX // 2), max(0, jmax - _PEAK_BOX // 2)
    x2, y2 = min(nx, x1 + _PEAK_BOX), min(ny, y1 + _PEAK_BOX)
    if imax in (x1, x2 - 1) or jmax in (y1, y2 - 1):
        return float(imax), float(jmax)
    box = counts[y1:y2, x1:x2]
    y, x = np.nonzero(box > 0)
    weight = box[y, x]
    centre = float((x * weight).sum() / weight.sum()) + x1, float((y * weight).sum() / weight.sum()) + y1
    if weight.size < 6:
        return centre
    design = np.stack([np.ones(x.size), x, y, x * y, x * x, y * y], axis=1)
    _, c10, c01, c11, c20, c02 = np.linalg.lstsq(design, weight, rcond=None)[0]
    det = 4.0 * c02 * c20 - c11**2
    if det <= 0 or (c20 >= 0 and c02 >= 0):
        return centre
    top_x, top_y = (c01 * c11 - 2.0 * c02 * c10) / det + x1, (c10 * c11 - 2.0 * c01 * c20) / det + y1
    if x1 <= top_x <= x2 - 1 and y1 <= top_y <= y2 - 1:
        return float(top_x), float(top_y)
    return centre


def _thinned(xy: np.ndarray, separation: float) -> np.ndarray:
    """Return which sources are kept, ordered by y then x, when of close neighbours only the lowest stays."""
    order = np.lexsort((xy[:, 0], xy[:, 1]))
    return order[_distinct(xy[order], separation)]


@njit
def _distinct(xy, separation):
    keep = np.ones(xy.shape[0], np.bool_)
    for i in range(xy.shape[0]):
        if not keep[i]:
            continue
        for j in range(i + 1, xy.shape[0]):
            dy = xy[j, 1] - xy[i, 1]
            if dy * dy > separation * separation:
                break
            dx = xy[j, 0] - xy[i, 0]
            if dx * dx + dy * dy <= separation * separation:
                keep[j] = False
    return keep


@njit
def _nearest_within(reference, image, tolerance):
    """Return (n, 2) pairs: for every reference source the nearest image source; both lists ordered by y."""
    pairs = np.empty((reference.shape[0], 2), np.int64)
    count, start = 0, 0
    for r in range(reference.shape[0]):
        while start < image.shape[0] and reference[r, 1] - image[start, 1] >= tolerance:
            start += 1
        best, found = tolerance * tolerance, -1
        for i in range(start, image.shape[0]):
            dy = reference[r, 1] - image[i, 1]
            if dy < -tolerance:
                break
            dx = reference[r, 0] - image[i, 0]
            if dx * dx + dy * dy <= best:
                best, found = dx * dx + dy * dy, i
        if found >= 0:
            pairs[count, 0], pairs[count, 1] = r, found
            count += 1
    return pairs[:count]


def search_match(image: np.ndarray, reference: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Match two lists that may be shifted, turned and largely different.

    Parameters
    ----------
    image, reference : ndarray, (n, 2) float64
        Positions [arcsec].
    radius : float
        Largest shift at the middle of the image list, along either axis [arcsec].

    Returns
    -------
    (reference_index, image_index) : ndarray of int, or None
        Pairs in which each is the other's nearest; None if the best solution could be chance.

    Notes
    -----
    For rolls within 0.2 degree the offsets of all pairs are counted in bins of 0.1 arcsec; the roll and the 3 x
    3 bins with most pairs start a fit of shift and rotation that is repeated with narrower tolerances. The
    start counts when the Poisson probability of that many pairs at the mean density of pairs, times the number
    of places looked at, is below 0.001: three pairs are enough in an empty field, a crowded one needs more.
    """
    if min(len(image), len(reference)) < _FEWEST:
        return None
    centre = image.mean(axis=0)
    start = _best_start(image - centre, reference - centre, radius)
    if start is None:
        return None
    turn, offset = start
    matrix, shift = turn, centre - turn @ centre - offset
    pairs = np.zeros((0, 2), int)
    for tolerance in _SEARCH_TOLERANCES:
        found = _mutual(reference, apply_affine(image, matrix, shift), tolerance)
        if len(found) < _FEWEST:
            break
        pairs = found
        geometry = "rshift" if len(pairs) > _FEWEST else "shift"
        fit = fit_affine(reference[pairs[:, 0]], image[pairs[:, 1]], geometry)
        if (
            geometry == "rshift"
            and abs(math.degrees(math.atan2(fit.matrix[0, 1], fit.matrix[0, 0]))) < 2 * _SEARCH_ROLL_DEG
        ):
            matrix, shift = fit.matrix, fit.shift
    return (pairs[:, 0], pairs[:, 1]) if len(pairs) >= _FEWEST else None


def _best_start(image: np.ndarray, reference: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rotation matrix and the offset (turned image minus reference) with most pairs, or None if chance."""
    extent = float(np.hypot(*image.T).max())
    largest = math.radians(_SEARCH_ROLL_DEG)
    half_steps = math.ceil(largest * extent / (0.5 * _SEARCH_BIN))
    _, i, j = _pair_offsets(image, reference, (radius + largest * extent) * math.sqrt(2.0))
    if i.size < _FEWEST:
        return None
    bins = 2 * math.ceil(radius / _SEARCH_BIN) + 1
    edge = 0.5 * bins * _SEARCH_BIN
    best, mean, turn, offset = 0.0, 0.0, np.eye(2), np.zeros(2)
    for step in sorted(range(-half_steps, half_steps + 1), key=abs):
        roll = largest * step / max(half_steps, 1)
        rotation = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
        difference = image[i] @ rotation.T - reference[j]
        counts, _, _ = np.histogram2d(*difference.T, bins, [[-edge, edge], [-edge, edge]])
        around = np.lib.stride_tricks.sliding_window_view(np.pad(counts, 1), (3, 3)).sum(axis=(2, 3))
        place = np.unravel_index(np.argmax(around), around.shape)
        if around[place] > best:
            best, mean, turn = around[place], 9.0 * counts.mean(), rotation
            corner = np.array(place) * _SEARCH_BIN - edge
            near = (np.abs(difference - corner - 0.5 * _SEARCH_BIN) < 1.5 * _SEARCH_BIN).all(axis=1)
            offset = np.median(difference[near], axis=0)
    from scipy.special import pdtrc

    tried = bins * bins / 9.0 * (2 * half_steps + 1)
    return None if best < _FEWEST or pdtrc(best - 1, mean) * tried > _CHANCE else (turn, offset)


def _mutual(reference: np.ndarray, image: np.ndarray, tolerance: float) -> np.ndarray:
    """Return (n, 2) pairs of sources that are each other's nearest, closer than ``tolerance``."""
    from scipy.spatial import cKDTree

    distance, there = cKDTree(image).query(reference, distance_upper_bound=tolerance)
    back = cKDTree(reference).query(image)[1]
    hit = np.flatnonzero(np.isfinite(distance))
    hit = hit[back[there[hit]] == hit]
    return np.stack([hit, there[hit]], axis=1)
