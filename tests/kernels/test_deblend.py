"""Splitting of blends: the compiled code, the same as plain Python, and a simple version with scipy agree."""

from __future__ import annotations

import heapq
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from jwstsm.core import deblend
from jwstsm.core.segments import detect_segments

EIGHT = np.ones((3, 3), int)
CROSS = ndimage.generate_binary_structure(2, 1)


def crowd(seed: int, ny: int = 90, nx: int = 80, n: int = 60) -> np.ndarray:
    """Return a smooth positive image with many overlapping sources."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ny, :nx]
    image = rng.uniform(0.01, 0.05, (ny, nx))
    for _ in range(n):
        s = rng.uniform(1.2, 4)
        r2 = (x - rng.uniform(0, nx)) ** 2 + (y - rng.uniform(0, ny)) ** 2
        image += 10 ** rng.uniform(-0.5, 2) * np.exp(-r2 / 2 / s**2)
    return image.astype(np.float32)


def pieces_above(data, mask, level, n_pixels, structure):
    labels, count = ndimage.label((data > level) & mask, structure)
    for k in range(1, count + 1):
        if (labels == k).sum() < n_pixels:
            labels[labels == k] = 0
    return labels


def simple_markers(data, mask, thresholds, n_pixels, structure):
    """The rule as it is told: replace a marker by the pieces it falls into."""
    markers = None
    for level in thresholds:
        pieces = pieces_above(data, mask, level, n_pixels, structure)
        if len(np.unique(pieces)) < 3:
            continue
        if markers is None:
            markers = pieces
            continue
        new = markers > 0
        for k in np.unique(markers[markers > 0]):
            inside = markers == k
            if len(np.unique(pieces[inside & (pieces > 0)])) > 1:
                new[inside] = pieces[inside] > 0
        markers = ndimage.label(new, structure)[0]
    return markers


def simple_watershed(data, markers, mask, structure):
    """Flood from the brightest labelled pixels; the earlier of equals first."""
    out, clock = markers.copy(), 0
    queue = [(-float(data[p]), 0, p) for p in zip(*np.nonzero(markers), strict=True)]
    heapq.heapify(queue)
    steps = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
    steps = [s for s in steps if structure[s[0] + 1, s[1] + 1]]
    while queue:
        _, _, (y, x) = heapq.heappop(queue)
        for dy, dx in steps:
            q = (y + dy, x + dx)
            if 0 <= q[0] < data.shape[0] and 0 <= q[1] < data.shape[1] and mask[q] and not out[q]:
                clock += 1
                out[q] = out[y, x]
                heapq.heappush(queue, (-float(data[q]), clock, q))
    return out


def simple_deblend(data, segments, count, n_pixels, structure, n_levels, contrast, mode):
    out, total = segments.copy(), count
    for label in range(1, count + 1):
        mask = segments == label
        values = data[mask]
        if mask.sum() < 2 * n_pixels or values.min() == values.max():
            continue
        thresholds = deblend._thresholds(values.min()[None], values.max()[None], n_levels, mode)[0]
        markers = simple_markers(data, mask, thresholds, n_pixels, structure)
        if markers is None:
            continue
        while True:
            markers = simple_watershed(data, markers, mask, structure)
            labels = np.unique(markers[markers > 0])
            share = np.array([data[markers == k].sum(dtype=float) for k in labels]) / values.sum(dtype=float)
            if len(labels) == 1 or share.min() >= contrast:
                break
            markers[markers == labels[np.argmin(share)]] = 0
        if len(labels) > 1:
            for k in labels:
                total += 1
                out[markers == k] = total
    numbers = np.unique(out)
    return np.searchsorted(numbers, out), len(numbers) - 1


@pytest.mark.parametrize("mode", ["exponential", "linear", "sinh"])
@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("contrast", [0.001, 0.03])
def test_compiled_and_simple_version_agree_pixel_by_pixel(mode, connectivity, contrast):
    image = crowd(11)
    segments, count = detect_segments(image, 1.0, None, 5, connectivity)
    structure = EIGHT if connectivity == 8 else CROSS
    expected, number = simple_deblend(image, segments, count, 5, structure, 16, contrast, mode)
    found, total = deblend.deblend_segments(image, segments, count, 5, connectivity, 16, contrast, mode)
    assert total == number > count
    assert np.array_equal(found, expected)


def test_compiled_and_plain_python_agree():
    image = crowd(5, 40, 40, 20)
    segments, count = detect_segments(image, 0.6, None, 4, 8)
    boxes = deblend.label_boxes(segments, count)
    area, low, high, total = deblend._extent(image, segments, boxes)
    todo = np.flatnonzero((area > 8) & (low < high))
    thresholds = deblend._thresholds(low[todo], high[todo], 12, "exponential")
    limits, many = 0.001 * total[todo], np.zeros(todo.size, int)
    pieces = np.zeros(image.shape, np.int32)
    found = deblend._split(image, segments, boxes, todo, thresholds, 4, limits, deblend._NEIGHBOURS8, many, pieces)
    # the functions call each other by their names, so the plain ones need a module of their own
    source = Path(deblend.__file__).read_text().replace("@njit(parallel=True)", "").replace("@njit", "")
    module: dict = {"__name__": "plain"}
    exec(compile(source, "plain", "exec"), module)
    pieces2 = np.zeros(image.shape, np.int32)
    found2 = module["_split"](image, segments, boxes, todo, thresholds, 4, limits, deblend._NEIGHBOURS8, many, pieces2)
    assert found.max() > 1
    assert np.array_equal(found, found2)
    assert np.array_equal(pieces, pieces2)


def test_regions_of_too_many_pieces_are_split_with_linear_thresholds(monkeypatch):
    image = crowd(3, 120, 120, 150)
    segments, count = detect_segments(image, 0.2, None, 3000, 8)
    assert count == 1
    options = (image, segments, count, 3, 8, 16, 0.0005)
    most = deblend.deblend_segments(*options, "exponential")[1]
    linear = deblend.deblend_segments(*options, "linear")
    monkeypatch.setattr(deblend, "_MANY_PIECES", 10)
    found = deblend.deblend_segments(*options, "exponential")
    assert linear[1] < most
    assert np.array_equal(found[0], linear[0])


def test_a_region_that_reaches_zero_is_split_with_linear_thresholds():
    y, x = np.mgrid[:40, :60]
    image = sum(50 * np.exp(-((x - c) ** 2 + (y - 20) ** 2) / 2 / 9) for c in (20, 38)).astype(np.float32) - 0.5
    segments, count = detect_segments(image, -0.4, None, 10, 8)
    found, total = deblend.deblend_segments(image, segments, count, 10)
    assert (count, total) == (1, 2)
    assert found[20, 20] != found[20, 38]


def test_nothing_and_single_sources_are_left_alone():
    image = np.zeros((20, 20), np.float32)
    image[5:9, 5:9] = 3
    segments, count = detect_segments(image, 1.0, None, 4, 8)
    found, total = deblend.deblend_segments(image, segments, count, 4)
    assert total == 1
    assert np.array_equal(found, segments)
    assert deblend.deblend_segments(image, np.zeros_like(segments), 0, 4)[1] == 0


def test_one_thread_and_two_give_the_same():
    from jwstsm.core.compiled import set_threads

    image = crowd(8)
    segments, count = detect_segments(image, 0.6, None, 4, 8)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(deblend.deblend_segments(image, segments, count, 4)[0])
    set_threads(None)
    assert np.array_equal(*results)
