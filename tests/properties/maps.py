"""Pixel maps for the tests: scaled, turned, bent."""

from __future__ import annotations

import numpy as np


def distorted_map(shape, out_shape, *, scale=1.0, angle=0.0, bend=0.0, shift=(0.3, 0.2)) -> np.ndarray:
    """Return a map (ny, nx, 2) from the middle of an image to the middle of an output.

    ``scale`` is the size of an output pixel in input pixels, ``bend`` the relative change of scale from the centre to
    the edge.
    """
    rows, columns = np.indices(shape, dtype=np.float64)
    x, y = columns - (shape[1] - 1) / 2, rows - (shape[0] - 1) / 2
    stretch = 1 + bend * (x**2 + y**2) / (0.25 * (shape[0] ** 2 + shape[1] ** 2))
    x, y = x * stretch / scale, y * stretch / scale
    cos, sin = np.cos(angle), np.sin(angle)
    u = cos * x - sin * y + (out_shape[1] - 1) / 2 + shift[0]
    v = sin * x + cos * y + (out_shape[0] - 1) / 2 + shift[1]
    return np.ascontiguousarray(np.stack([u, v], axis=-1))
