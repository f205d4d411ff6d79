"""Small geometry of image outlines: overlaps on the sky, pixels inside a polygon, the outline of a union.

On a tangent plane great circles are straight lines, so that polygons on the sky are clipped there as planar ones.
Outlines of detectors are taken to be convex, which they are but for the distortion of their edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Spans", "TangentPlane", "area", "clip_convex", "fill", "union_outlines"]

_TINY = 1e-9  # as a share of the size of a polygon: below it points coincide


class Spans(NamedTuple):
    """Runs of pixels: row ``rows[k]``, columns ``starts[k]`` to ``stops[k] - 1``; rows ascend."""

    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int((self.stops - self.starts).sum())


class TangentPlane:
    """Plane that touches the sphere at the mean direction of some positions.

    Parameters
    ----------
    ra, dec : ndarray
        Positions [deg] within less than 90 degrees of each other.
    """

    def __init__(self, ra, dec):
        normal = _vectors(np.ravel(ra), np.ravel(dec)).mean(axis=0)
        normal /= np.linalg.norm(normal)
        helper = np.eye(3)[np.argmin(np.abs(normal))]
        east = np.cross(helper, normal)
        self._axes = np.array([east / np.linalg.norm(east), np.zeros(3), normal])
        self._axes[1] = np.cross(normal, self._axes[0])

    def project(self, ra, dec) -> np.ndarray:
        """Return plane coordinates (n, 2) of positions [deg]."""
        parts = _vectors(ra, dec) @ self._axes.T
        return parts[..., :2] / parts[..., 2:]

    def unproject(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return right ascension and declination [deg] of plane coordinates (n, 2)."""
        vector = points @ self._axes[:2] + self._axes[2]
        ra, dec = np.arctan2(vector[..., 1], vector[..., 0]), np.arctan2(vector[..., 2], np.hypot(*vector[..., :2].T))
        return np.rad2deg(ra) % 360.0, np.rad2deg(dec)


def _vectors(ra, dec) -> np.ndarray:
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def area(polygon: np.ndarray) -> float:
    """Signed area of a polygon (n, 2); positive if its corners go round anticlockwise."""
    x, y = np.asarray(polygon, dtype=np.float64).T
    x, y = x - x[0], y - y[0]  # coordinates far from the origin would cancel
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def clip_convex(subject: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Cut a polygon to the inside of a convex one.

    Parameters
    ----------
    subject, window : (n, 2) ndarray
        Corners, in either sense.

    Returns
    -------
    (m, 2) ndarray
        Corners of the common part; empty if there is none.

    Notes
    -----
    Sutherland & Hodgman 1974: one half plane at a time.
    """
    out = np.asarray(subject, dtype=np.float64)
    window = np.asarray(window, dtype=np.float64)
    if area(window) < 0:
        window = window[::-1]
    for start, stop in zip(window, np.roll(window, -1, axis=0), strict=True):
        if len(out) == 0:
            break
        edge = stop - start
        side = edge[0] * (out[:, 1] - start[1]) - edge[1] * (out[:, 0] - start[0])
        inside = side >= 0
        corners = []
        for k in range(len(out)):
            after = (k + 1) % len(out)
            if inside[k]:
                corners.append(out[k])
            if inside[k] != inside[after]:
                share = side[k] / (side[k] - side[after])
                corners.append(out[k] + share * (out[after] - out[k]))
        out = np.array(corners).reshape(-1, 2)
    return out if len(out) >= 3 and abs(area(out)) > 0 else np.empty((0, 2))


def fill(polygon: np.ndarray, shape: tuple[int, int]) -> Spans:
    """Return the pixels of an image inside a polygon, its border included.

    Parameters
    ----------
    polygon : (n, 2) ndarray
        Corners x, y [pixel, 0-based]; may lie outside the image.
    shape : (ny, nx)

    Notes
    -----
    Corners are rounded to pixel centres first, each row is filled between its crossings rounded up: the rule of the
    official sky matching, kept so that both take their statistics over the same pixels.
    """
    ny, nx = shape
    polygon = np.asarray(polygon, dtype=np.float64)
    base = np.minimum(polygon.min(axis=0), 0.0)
    corner = np.rint(polygon - base) + np.rint(base)
    start, step = corner, np.roll(corner, -1, axis=0) - corner
    low, high = np.minimum(start[:, 1], start[:, 1] + step[:, 1]), np.maximum(start[:, 1], start[:, 1] + step[:, 1])
    rows = np.arange(max(int(low.min()), 0), min(int(high.max()), ny - 1) + 1)
    at = np.minimum(rows, high.max() - 1)  # the last row takes the edges of the row before
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.ceil((rows[:, None] - start[:, 1]) / step[:, 1] * step[:, 0] + start[:, 0])
    crossing[(low > at[:, None]) | (high <= at[:, None])] = np.inf
    crossing.sort(axis=1)
    begin = np.maximum(crossing[:, 0:-1:2], 0.0)
    end = np.minimum(crossing[:, 1::2], nx - 1) + 1
    row, pair = np.nonzero(np.isfinite(begin) & (end > begin))
    return Spans(rows[row], begin[row, pair].astype(np.int64), end[row, pair].astype(np.int64))


def merge(spans: Sequence[Spans], shape: tuple[int, int]) -> Spans:
    """Return the pixels that are in at least one of several sets."""
    spans = [s for s in spans if s.rows.size]
    if len(spans) == 1:
        return spans[0]
    out: list[list[int]] = []
    every = sorted((r, a, b) for s in spans for r, a, b in zip(*s, strict=True))
    for row, begin, end in every:
        if out and out[-1][0] == row and begin <= out[-1][2]:
            out[-1][2] = max(out[-1][2], end)
        else:
            out.append([row, begin, end])
    return Spans(*np.array(out, np.int64).reshape(-1, 3).T)


def union_outlines(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the outer outlines of a union of convex polygons; holes are filled.

    Parameters
    ----------
    polygons : list of (n, 2) ndarray

    Returns
    -------
    list of (m, 2) ndarray
        One anticlockwise outline per connected part; corners within 0.05 of each other and corners on a straight line
        are dropped (the coordinates are meant to be pixels).
    """
    convex = [p if area(p) > 0 else p[::-1] for p in (np.asarray(p, dtype=np.float64) for p in polygons)]
    pieces = [piece for k in range(len(convex)) for piece in _visible_edges(convex, k)]
    outlines = []
    while pieces:
        loop = [pieces.pop(0)]
        while pieces and not np.allclose(loop[-1][1], loop[0][0], atol=1e-6):
            gaps = [np.hypot(*(p[0] - loop[-1][1])) for p in pieces]
            nearest = int(np.argmin(gaps))
            if gaps[nearest] > np.hypot(*(loop[0][0] - loop[-1][1])):
                break
            loop.append(pieces.pop(nearest))
        outline = _simplified(np.array([start for start, _ in loop]))
        if len(outline) >= 3 and area(outline) > 0:
            outlines.append(outline)
    return outlines


def _visible_edges(polygons: list[np.ndarray], which: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the parts of the edges of one polygon that lie inside no other; of coinciding edges the first counts."""
    out = []
    own = polygons[which]
    for start, stop in zip(own, np.roll(own, -1, axis=0), strict=True):
        hidden = []
        for k, other in enumerate(polygons):
            if k != which:
                interval = _inside_interval(start, stop, other, border=k < which)
                if interval is not None:
                    hidden.append(interval)
        position = 0.0
        for begin, end in [*sorted(hidden), (1.0, 1.0)]:
            if begin > position + _TINY:
                out.append((start + position * (stop - start), start + begin * (stop - start)))
            position = max(position, end)
    return out


def _inside_interval(start, stop, polygon, border: bool) -> tuple[float, float] | None:
    """Return the part of a segment, as shares of its length, inside a convex anticlockwise polygon."""
    begin, end = 0.0, 1.0
    step = stop - start
    size = np.ptp(polygon, axis=0).max()
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        edge = b - a
        length = np.hypot(*edge)
        if length == 0:
            continue
        at = (edge[0] * (start[1] - a[1]) - edge[1] * (start[0] - a[0])) / length
        rate = (edge[0] * step[1] - edge[1] * step[0]) / length
        if abs(rate) <= _TINY * size:
            # along the border of the other: hidden if both run the same way and the other counts first, or if they
            # run against each other (the seam between two neighbours)
            on_border = abs(at) <= _TINY * size
            if at < -_TINY * size or (on_border and not border and np.dot(edge, step) > 0):
                return None
        elif rate > 0:
            begin = max(begin, -at / rate)
        else:
            end = min(end, -at / rate)
    return (begin, end) if end > begin + _TINY else None


def _simplified(outline: np.ndarray, close: float = 0.05, turn: float = 1e-6) -> np.ndarray:
    """Drop corners that repeat the one before or lie on a straight line."""
    keep = np.hypot(*(outline - np.roll(outline, 1, axis=0)).T) > close
    outline = outline[keep]
    if len(outline) < 3:
        return outline
    before, after = outline - np.roll(outline, 1, axis=0), np.roll(outline, -1, axis=0) - outline
    angle = np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], np.sum(before * after, axis=1))
    return outline[np.abs(angle) > turn]
