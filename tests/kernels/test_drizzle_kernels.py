"""The drizzle kernels against simple ones written down here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from jwstsm.core.drizzle import Coadd, blot, coadd_image
from tests.properties.maps import distorted_map

SHAPE = (60, 64)


def overlap(quad: np.ndarray, column: int, row: int) -> float:
    """Area of a quadrilateral inside a pixel: cut by one side of the pixel after the other."""
    corners = [tuple(p) for p in quad]
    for axis, limit, sign in ((0, column - 0.5, 1), (0, column + 0.5, -1), (1, row - 0.5, 1), (1, row + 0.5, -1)):
        cut = []
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            da, db = sign * (a[axis] - limit), sign * (b[axis] - limit)
            if da >= 0:
                cut.append(a)
            if (da >= 0) != (db >= 0):
                t = da / (da - db)
                cut.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
        corners = cut
        if not corners:
            return 0.0
    x, y = np.array(corners).T
    return abs(0.5 * (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def corner(pixmap: np.ndarray, x: float, y: float) -> np.ndarray:
    """The map between pixel centres, bilinear, extrapolated beyond the rim."""
    ny, nx = pixmap.shape[:2]
    i, j = min(max(math.floor(x), 0), nx - 2), min(max(math.floor(y), 0), ny - 2)
    u, v = x - i, y - j
    return (
        (1 - u) * (1 - v) * pixmap[j, i]
        + u * (1 - v) * pixmap[j, i + 1]
        + (1 - u) * v * pixmap[j + 1, i]
        + u * v * pixmap[j + 1, i + 1]
    )


def lanczos(x: float, order: int) -> float:
    x = 0.003 * round(abs(x) / 0.003)
    return 0.0 if x > order else float(np.sinc(x) * np.sinc(x / order))


def shares(kernel: str, pixmap, j: int, i: int, pixfrac: float, scale: float) -> np.ndarray:
    """Shares of one input pixel in all output pixels, by definition of the kernel."""
    out = np.zeros(SHAPE)
    x, y = pixmap[j, i]
    if kernel == "square":
        h = 0.5 * pixfrac
        quad = np.array([corner(pixmap, i + a * h, j + b * h) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        (ax, ay), (bx, by) = quad[2] - quad[0], quad[3] - quad[1]
        full = abs(ax * by - ay * bx) / 2
        low, high = np.floor(quad.min(axis=0) - 1).astype(int), np.ceil(quad.max(axis=0) + 1).astype(int)
        for r in range(max(low[1], 0), min(high[1] + 1, SHAPE[0])):
            for c in range(max(low[0], 0), min(high[0] + 1, SHAPE[1])):
                out[r, c] = overlap(quad, c, r) / full
        return out
    rows, columns = np.indices(SHAPE)
    dx, dy = columns - x, rows - y
    if kernel == "point":
        out[(np.abs(dx) < 0.5) & (np.abs(dy) < 0.5)] = 1
    elif kernel == "turbo":
        h = 0.5 * pixfrac / scale
        wide, high = (np.clip(np.minimum(d + 0.5, h) - np.maximum(d - 0.5, -h), 0, None) for d in (dx, dy))
        out = wide * high * (scale / pixfrac) ** 2
    elif kernel == "gaussian":
        reach = max(2.5 * pixfrac / 2.3548, 1.2) / scale
        steep = 0.5 * (2.3548 * scale / pixfrac) ** 2
        inside = [(np.floor(p - reach + 0.5) <= n) & (n <= np.floor(p + reach + 0.5)) for p, n in ((x, columns), (y, rows))]
        out = np.where(inside[0] & inside[1], steep / np.pi * np.exp(-steep * (dx**2 + dy**2)), 0)
    else:
        order = int(kernel[-1])
        along = [np.array([lanczos(d * scale, order) for d in v]) for v in (dx[0], dy[:, 0])]
        along = [np.where(np.abs(d) < order / scale, a, 0) for d, a in zip((dx[0], dy[:, 0]), along, strict=True)]
        out = along[1][:, None] * along[0]
    return out


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("kernel", ["square", "point", "turbo", "gaussian", "lanczos2", "lanczos3"])
def test_sums_equal_those_of_the_kernels_definition(kernel, scale, pixfrac):
    if kernel.startswith("lanczos") and pixfrac < 1:
        pytest.skip("Lanczos kernels know no pixfrac")
    rng = np.random.default_rng(7)
    ny, nx = 11, 13
    pixmap = distorted_map((ny, nx), SHAPE, scale=scale, angle=0.3, bend=0.05)
    sci, weight = rng.normal(5, 1, (ny, nx)).astype("f4"), rng.uniform(0.5, 2, (ny, nx)).astype("f4")
    weight[3, 4] = 0
    each = np.array([[shares(kernel, pixmap, j, i, pixfrac, scale) for i in range(nx)] for j in range(ny)])
    expected = np.einsum("ji,jiyx->yx", weight.astype(float), each)
    flux = np.einsum("ji,jiyx->yx", weight * sci.astype(float), each)
    coadd = Coadd(SHAPE)
    coadd.add(sci[..., None], weight, pixmap, kernel=kernel, pixfrac=pixfrac, scale=scale)
    assert np.allclose(coadd.totals[..., 0], expected, rtol=1e-6, atol=1e-9)
    assert np.allclose(coadd.totals[..., 1], flux, rtol=1e-6, atol=1e-8)


def test_a_pixel_that_covers_many_output_pixels_or_hangs_over_the_edge_keeps_its_areas():
    pixmap = distorted_map((3, 3), SHAPE, scale=0.05, angle=0.4)  # 20 output pixels across, larger than the window
    data, wht = coadd_image(np.ones((3, 3)), pixmap, SHAPE)
    inside = sum(shares("square", pixmap, j, i, 1.0, 0.05).sum() for j in range(3) for i in range(3))
    assert np.isclose(wht.sum(dtype=float), inside, rtol=1e-6)
    assert np.allclose(data[wht > 0], 1)


def test_squared_shares_carry_the_exact_variance():
    rng = np.random.default_rng(3)
    pixmap = distorted_map((9, 9), SHAPE, scale=0.8, angle=1.0)
    weight, variance = rng.uniform(1, 2, (9, 9)).astype("f4"), rng.uniform(1, 3, (9, 9)).astype("f4")
    coadd = Coadd(SHAPE, nvar=1, variance="exact")
    coadd.add(np.stack([np.zeros_like(variance), variance], axis=-1), weight, pixmap)
    each = np.array([[shares("square", pixmap, j, i, 1.0, 0.8) for i in range(9)] for j in range(9)])
    expected = np.einsum("ji,jiyx->yx", variance * weight.astype(float) ** 2, each**2)
    assert np.allclose(coadd.totals[..., 2], expected, rtol=1e-6, atol=1e-12)


def test_blot_is_bilinear_interpolation():
    rng = np.random.default_rng(2)
    image = rng.normal(0, 1, SHAPE).astype("f4")
    pixmap = distorted_map((20, 22), SHAPE, scale=1.1, angle=0.2)
    out = np.empty((20, 22), np.float32)
    blot(image, pixmap, 0, 0, out)
    judge = ndimage.map_coordinates(image, [pixmap[..., 1], pixmap[..., 0]], order=1)
    assert np.allclose(out, judge, atol=1e-5)


def test_blot_of_a_window_equals_blot_of_the_whole_where_it_covers():
    image = np.random.default_rng(2).normal(0, 1, SHAPE).astype("f4")
    pixmap = distorted_map((20, 22), SHAPE, scale=1.1, angle=0.2)
    whole, part = np.empty((20, 22), np.float32), np.empty((20, 22), np.float32)
    blot(image, pixmap, 0, 0, whole)
    blot(np.ascontiguousarray(image[10:40, 20:44]), pixmap, 20, 10, part)
    x, y = pixmap[..., 0], pixmap[..., 1]
    inside = (x >= 20) & (x < 43) & (y >= 10) & (y < 39)
    assert inside.sum() > 100
    assert np.array_equal(whole[inside], part[inside])
    assert np.isnan(part[(x < 20) | (y < 10) | (x >= 44) | (y >= 40)]).all()


def test_blot_interpolates_along_the_last_row_and_gives_nan_where_a_neighbour_or_the_map_is_nan():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    image[0, 0] = np.nan
    pixmap = np.array([[[1.5, 2.0], [3.0, 0.5], [3.0, 2.0], [0.5, 0.5], [-0.1, 1.0], [np.nan, 1.0]]])
    out = np.empty((1, 6), np.float32)
    blot(image, pixmap, 0, 0, out)
    assert np.array_equal(out[0], [9.5, 5.0, 11.0, np.nan, np.nan, np.nan], equal_nan=True)
