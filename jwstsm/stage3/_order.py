"""In which order groups of images are aligned: overlaps of the areas that their sources cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["hull", "overlap_area", "pair_of_largest_overlap"]


def hull(points: np.ndarray) -> np.ndarray:
    """Return the convex hull of (n, 2) points, counter-clockwise from the leftmost (Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered

    def half(sequence) -> list:
        chain: list = []
        for p in sequence:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _turn(a, b, c) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _clipped(polygon: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Cut a convex polygon with another, both counter-clockwise (Sutherland & Hodgman)."""
    for a, b in zip(window, np.roll(window, -1, axis=0), strict=True):
        if not len(polygon):
            break
        side = (b[0] - a[0]) * (polygon[:, 1] - a[1]) - (b[1] - a[1]) * (polygon[:, 0] - a[0])
        out = []
        for k in range(len(polygon)):
            n = (k + 1) % len(polygon)
            if side[k] >= 0:
                out.append(polygon[k])
            if (side[k] >= 0) != (side[n] >= 0):
                part = side[k] / (side[k] - side[n])
                out.append(polygon[k] + part * (polygon[n] - polygon[k]))
        polygon = np.array(out)
    return polygon


def _area(polygon: np.ndarray) -> float:
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def overlap_area(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Return the sum of the overlaps of two sets of convex polygons, which do not overlap within a set."""
    return sum(_area(_clipped(a, b)) for a in first for b in second if len(a) > 2 and len(b) > 2)


def pair_of_largest_overlap(outlines: Sequence[Sequence[np.ndarray]]) -> tuple[int, int]:
    """Return the two that overlap most; the first is the one that overlaps more with all the others."""
    n = len(outlines)
    areas = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            areas[i, j] = areas[j, i] = overlap_area(outlines[i], outlines[j])
    i, j = np.unravel_index(int(np.argmax(areas)), areas.shape)
    if i == j:
        return 0, 1
    return (int(j), int(i)) if areas[i].sum() < areas[j].sum() else (int(i), int(j))
