"""Measure the sky of each image, or the offsets that make the sky of overlapping images equal.

Methods: ``local`` measures each exposure by itself; ``global`` takes the lowest of these for all; ``match`` measures
each image only where it overlaps another one and solves for the offsets that make all pairs agree; ``global+match`` does
both; ``user`` reads levels from a file. All detectors of one exposure share one level.

For a pair of exposures ``i, j`` that overlap, with sky ``s_ij`` of ``i`` measured inside ``j``, the equation is::

    W (d_i - d_j) = W (s_ij - s_ji)          W = mean number of pixels used

and all of them are solved by least squares of smallest norm. Offsets are then shifted so that the lowest (or highest)
is 0. Nothing is subtracted unless asked: the levels are recorded, and the following steps take them into account.

Source: official description of the step (AstroDrizzle's sky matching); statistics in :mod:`jwstsm.core.stats`.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from jwstsm.core import polygons
from jwstsm.core.compiled import njit
from jwstsm.core.dq import bits_from_string
from jwstsm.core.frames import Frame, Stage3Inputs, groups
from jwstsm.core.polygons import Spans, TangentPlane
from jwstsm.core.stats import sky_statistic
from jwstsm.errors import ConfigError, InputError
from jwstsm.products.names import split_name
from jwstsm.references import References
from jwstsm.step import Range, Skipped, step

__all__ = ["SkyLevels", "skymatch", "solve_offsets"]

log = logging.getLogger(__name__)

_CACHED_BYTES = 350_000_000  # of images kept between the statistics of several pairs
_BLOCK = 8  # images whose pairs are measured together, so that each is read few times


@dataclass
class SkyLevels:
    """Result of sky matching: the sidecar that the following steps read.

    Attributes
    ----------
    method : str
    subtract : bool
        Whether the levels are to be taken off the data (else they are only recorded).
    levels : dict of str to float or None
        Level [unit of the image] by file name; None where none could be measured.
    """

    method: str
    subtract: bool = False
    levels: dict[str, float | None] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(vars(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> SkyLevels:
        """Read what :meth:`write` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def apply(self, product) -> None:
        """Record the level in a product's header (``BKGMETH BKGLEVEL BKGSUB S_SKYMAT``) and subtract it if asked."""
        level = self.levels.get(product.name)
        product.primary["S_SKYMAT"] = ("SKIPPED" if level is None else "COMPLETE", "Status of step skymatch")
        if level is None:
            return
        product.primary["BKGMETH"] = (self.method, "Background computation method")
        product.primary["BKGLEVEL"] = (level, "Computed constant background level")
        product.primary["BKGSUB"] = (self.subtract, "Has background been subtracted from data?")
        if self.subtract:
            product.data -= np.float32(level)


@njit
def _gather(data, rows, starts, stops, out):
    """Copy the finite pixels of some runs, row by row; return how many there are."""
    count = 0
    for k in range(rows.size):
        for v in data[rows[k], starts[k] : stops[k]]:
            out[count] = v  # written over by the next one if it does not count: no branch to mispredict
            count += np.int64(np.isfinite(v))
    return count


class _Images:
    """Usable pixels of the frames (others NaN), the last few kept in memory, and their outlines on the sky."""

    def __init__(self, frames: Sequence[Frame], bad_bits: int, stepsize: int | None):
        self.frames, self._bad = frames, np.uint32(bad_bits)
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._scratch = np.empty(0, np.float32)
        self.outlines = [_outline(f, stepsize) for f in frames]

    def data(self, k: int) -> np.ndarray:
        """Return the pixels of frame ``k``."""
        if k in self._kept:
            self._kept.move_to_end(k)
            return self._kept[k]
        data = self.frames[k].read("data").astype(np.float32, copy=False)
        flags = self.frames[k].read("dq")
        if flags is not None and self._bad:
            data[(flags & self._bad) != 0] = np.nan
        self._kept[k] = data
        while len(self._kept) > 2 and sum(a.nbytes for a in self._kept.values()) > _CACHED_BYTES:
            self._kept.popitem(last=False)
        return data

    def pixels(self, k: int, spans: Spans | None) -> np.ndarray:
        """Return the usable values of frame ``k`` in some runs of pixels, or in all; valid until the next call."""
        data = self.data(k)
        if spans is None:
            ny, nx = data.shape
            spans = Spans(np.arange(ny), np.zeros(ny, np.int64), np.full(ny, nx))
        if self._scratch.size <= spans.size:
            self._scratch = np.empty(spans.size + 1, np.float32)
        return self._scratch[: _gather(data, *spans, self._scratch)]

    def overlap(self, k: int, others: Sequence[int]) -> Spans | None:
        """Return the pixels of frame ``k`` that lie inside at least one of other frames."""
        frame, found = self.frames[k], []
        for other in others:
            ra, dec = np.hstack([self.outlines[k], self.outlines[other]])
            plane = TangentPlane(ra, dec)
            common = polygons.clip_convex(plane.project(*self.outlines[k]), plane.project(*self.outlines[other]))
            if len(common):
                x, y = frame.wcs.invert(*plane.unproject(common), with_bounding_box=False)
                found.append(polygons.fill(np.stack([x, y], axis=-1), frame.shape))
        return polygons.merge(found, frame.shape) if any(s.size for s in found) else None


def _outline(frame: Frame, stepsize: int | None) -> np.ndarray:
    """Return the outline of a frame on the sky, (2, n) [deg]: its corners, or points ``stepsize`` pixels apart."""
    ny, nx = frame.shape
    npts = [2 if stepsize is None else max(2, int(np.ceil((n + 1.0) / stepsize))) for n in (nx, ny)]
    x, y = np.linspace(-0.5, nx - 0.5, npts[0]), np.linspace(-0.5, ny - 0.5, npts[1])
    top, right = np.full(npts[0] - 1, ny - 0.5), np.full(npts[1] - 1, nx - 0.5)
    xs = np.concatenate([x[:-1], right, x[:0:-1], np.full(npts[1] - 1, -0.5)])
    ys = np.concatenate([np.full(npts[0] - 1, -0.5), y[:-1], top, y[:0:-1]])
    return np.stack(frame.wcs(xs, ys, with_bounding_box=False))


def solve_offsets(sky: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Solve for the offsets that make overlapping exposures agree.

    Parameters
    ----------
    sky : (n, n) float64
        ``sky[i, j]``: sky of exposure ``i`` where it overlaps ``j``.
    count : (n, n) ndarray
        ``count[i, j]``: number of pixels behind it; 0 where there is no measurement.

    Returns
    -------
    (n,) float64
        Offsets, NaN for an exposure that overlaps no other one. Sets of exposures that are not connected are each
        centred by themselves.
    """
    n = len(sky)
    first, second = np.nonzero(np.triu((count > 0) & (count.T > 0), k=1))
    out = np.full(n, np.nan)
    if first.size == 0:
        return out
    weight = 0.5 * (count[first, second] + count[second, first])
    matrix = np.zeros((first.size, n))
    matrix[np.arange(first.size), first] = weight
    matrix[np.arange(first.size), second] = -weight
    solution = np.linalg.pinv(matrix, rcond=1e-12) @ (weight * (sky[first, second] - sky[second, first]))
    rank = np.linalg.matrix_rank(matrix, 1e-12)
    if rank < n - 1:
        log.warning("only %d of %d exposures are tied together by overlaps; sets apart are matched apart", rank + 1, n)
    touched = np.union1d(first, second)
    out[touched] = solution[touched]
    return out


def _match(images: _Images, members: list[list[int]], statistic: dict) -> np.ndarray:
    """Return the offsets of all exposures (groups of frames), NaN where there is no overlap."""
    n = len(members)
    sky, count = np.zeros((n, n)), np.zeros((n, n))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for i, j in sorted(pairs, key=lambda p: (p[0] // _BLOCK, p[1] // _BLOCK)):
        both = [_overlap_sky(images, members[a], members[b], statistic) for a, b in ((i, j), (j, i))]
        if None not in both:
            (sky[i, j], count[i, j]), (sky[j, i], count[j, i]) = both
    return solve_offsets(sky, count)


def _overlap_sky(images: _Images, own: list[int], others: list[int], statistic: dict) -> tuple[float, float] | None:
    """Return the sky of an exposure where it overlaps another: mean over its detectors, weighted by pixels."""
    total, number = 0.0, 0
    for k in own:
        spans = images.overlap(k, others)
        found = None if spans is None else sky_statistic(images.pixels(k, spans), **statistic)
        if found is not None and np.isfinite(found.value):
            total += found.value * found.count
            number += found.count
    return (total / number, number) if number else None


def _measure(images: _Images, members: list[list[int]], statistic: dict) -> np.ndarray:
    """Return the sky of all exposures by themselves: the lowest of their detectors; NaN where there is none."""
    out = np.full(len(members), np.nan)
    for g, own in enumerate(members):
        found = [sky_statistic(images.pixels(k, None), **statistic) for k in own]
        values = [f.value for f in found if f is not None and np.isfinite(f.value)]
        out[g] = min(values, default=np.nan)
    return out


def _user_levels(frames: Sequence[Frame], skylist: str | None) -> dict[str, float]:
    """Read a list of file names and levels."""
    if skylist is None:
        raise ConfigError("skymethod 'user' needs skylist, a text file with one line 'file name  sky level' per image")
    try:
        lines = [line.split() for line in Path(skylist).read_text().splitlines() if line.strip() and line[0] != "#"]
        given = {split_name(name)[0]: float(value) for name, value, *_ in lines}
    except (OSError, ValueError) as error:
        raise ConfigError(f"skylist: {skylist} cannot be read ({error}); it needs lines 'file name  sky level'") from None
    out = {}
    for frame in frames:
        stem = split_name(frame.name)[0]
        if stem not in given:
            raise InputError(f"skylist: {skylist} has no line for {frame.name}")
        out[frame.name] = given[stem]
    if len(given) != len(frames):
        raise InputError(f"skylist: {skylist} names {len(given)} images but the association has {len(frames)}")
    return out


@step("S_SKYMAT", scope="association")
def skymatch(
    inputs: Stage3Inputs,
    refs: References | None = None,
    *,
    skymethod: Literal["local", "global", "match", "global+match", "user"] = "match",
    match_down: bool = True,
    subtract: bool = False,
    skylist: str | None = None,
    stepsize: int | None = None,
    skystat: Literal["mode", "median", "mean", "midpt"] = "mode",
    dqbits: str = "~DO_NOT_USE+NON_SCIENCE",
    lower: float | None = None,
    upper: float | None = None,
    nclip: Annotated[int, Range(min=0)] = 5,
    lsigma: Annotated[float, Range(min=0)] = 4.0,
    usigma: Annotated[float, Range(min=0)] = 4.0,
    binwidth: Annotated[float, Range(min=0)] = 0.1,
    in_memory: bool = True,
) -> SkyLevels:
    """Measure or match the sky levels of the images of an association.

    Removes differences of the sky between exposures (straylight, zodiacal light), which would leave steps in a mosaic
    and be taken for outliers.

    Parameters
    ----------
    inputs : Stage3Inputs
        The images, with corrected world coordinates.
    refs : References, optional
        Not used.
    skymethod : str
        How levels are found.
    match_down : bool
        With matching: shift offsets so that the lowest is 0; otherwise the highest.
    subtract : bool
        Take the levels off the data; otherwise they are only recorded.
    skylist : str
        For ``user``: text file with one line "file name  level" per image.
    stepsize : int
        Distance of the points of an image's outline [pixel]; empty: its four corners.
    skystat : str
        Statistic that stands for the sky.
    dqbits : str
        DQ bits of pixels that may be used all the same; ``~`` inverts.
    lower : float
        Pixels below are not used.
    upper : float
        Pixels above are not used.
    nclip : int
        Number of clipping iterations.
    lsigma : float
        Lower clipping limit [sigma].
    usigma : float
        Upper clipping limit [sigma].
    binwidth : float
        Width of the bins for mode and midpt [sigma].
    in_memory : bool
        No effect: images are read one at a time as they are needed.

    Returns
    -------
    SkyLevels
        Levels by file name.

    Raises
    ------
    ConfigError, InputError
        If a user's list is missing or does not fit.

    Notes
    -----
    Errors are not changed. DQ bits read: all but ``dqbits``.
    """
    frames = inputs.frames
    if skymethod == "user":
        return SkyLevels(skymethod, subtract, dict(_user_levels(frames, skylist)))
    statistic = {"stat": skystat, "lower": lower, "upper": upper, "nclip": nclip}
    statistic |= {"lsigma": lsigma, "usigma": usigma, "binwidth": binwidth}
    images = _Images(frames, ~bits_from_string(dqbits) & 0xFFFFFFFF, stepsize)
    members = list(groups(frames).values())
    level = np.zeros(len(members))
    known = np.ones(len(members), bool)
    if "match" in skymethod:
        level = _match(images, members, statistic)
        known = np.isfinite(level)
        if known.any():
            level -= np.nanmin(level) if match_down else np.nanmax(level)
        level = np.nan_to_num(level)
    if skymethod == "local":
        level = _measure(images, members, statistic)
        known = np.isfinite(level)
    elif "global" in skymethod:
        lowest = _measure(images, members, statistic) - level
        known = np.isfinite(lowest) | np.isfinite(lowest).any()
        level = level + (np.nanmin(lowest) if np.isfinite(lowest).any() else 0.0)
    result = SkyLevels(skymethod, subtract)
    for g, own in enumerate(members):
        for k in own:
            before = _already_subtracted(frames[k]) if subtract else 0.0
            result.levels[frames[k].name] = float(level[g]) + before if known[g] else None
            log.info("sky of %s: %s", frames[k].name, result.levels[frames[k].name])
    if not known.any():
        return Skipped(result, "no sky level could be measured: the images do not overlap, or have no usable pixels there")
    return result


def _already_subtracted(frame: Frame) -> float:
    """Return the level that an earlier run has taken off the data."""
    done = frame.header.get("BKGSUB")
    if done is False:
        raise InputError(
            f"{frame.name}: its sky was measured but not subtracted before (BKGSUB is F); "
            "run skymatch with subtract: false, or on the original file"
        )
    return float(frame.header.get("BKGLEVEL", 0.0)) if done else 0.0
