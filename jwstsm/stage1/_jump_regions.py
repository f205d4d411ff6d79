"""Connected regions of flagged pixels as ellipses of equal second moments, and ellipses drawn back as pixels.

The ellipse of a region has its centre of mass, full axes of ``4 sqrt(eigenvalue) - 1`` pixels, with the eigenvalues of
the covariance of the pixel positions, and the direction of the larger one.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["ANGLE", "CX", "CY", "MAJOR", "MINOR", "draw_ellipse", "find_ellipses", "inside_ellipse", "new_mask"]

# Columns of an ellipse: centre [pixel], full axes [pixel], angle [degree] as drawn by `draw_ellipse`.
CX, CY, MINOR, MAJOR, ANGLE = range(5)


def new_mask(ny: int, nx: int) -> np.ndarray:
    """Return a zeroed uint8 mask whose rows are padded to whole 8-byte words; fill ``mask[:, :nx]``."""
    return np.zeros((ny, -(-nx // 8) * 8), np.uint8)


def find_ellipses(mask: np.ndarray, min_area: float) -> np.ndarray:
    """Return the ellipses of the 8-connected regions of a mask, whose pixels are erased.

    Parameters
    ----------
    mask : (ny, nx padded) uint8
        From :func:`new_mask`; pixels of regions are not 0. Zero on return.
    min_area : float
        Smallest area, holes filled [pixel].

    Returns
    -------
    (n, 5) float64 ndarray
        Columns ``CX CY MINOR MAJOR ANGLE``.
    """
    return _find(mask, mask.view(np.uint64), float(min_area))


def draw_ellipse(ellipse: np.ndarray, axis1: float, axis2: float, shape: tuple[int, int]):
    """Return the pixels inside an ellipse with other axes.

    Parameters
    ----------
    ellipse : (5,) float64 ndarray
        Its centre, rounded to a pixel, and its angle are used.
    axis1, axis2 : float
        Full lengths along the ellipse's ``MINOR`` and ``MAJOR`` axes [pixel]; halved and rounded to whole pixels.
    shape : (int, int)
        Size of the image ``(ny, nx)``.

    Returns
    -------
    (slice, slice)
        Part of the image.
    (rows, columns) bool ndarray
        True inside the ellipse.
    """
    across, along = round(axis1 / 2), round(axis2 / 2)
    centre_y, centre_x = round(ellipse[CY]), round(ellipse[CX])
    turn = np.radians(ellipse[ANGLE]) % np.pi
    sin, cos = np.sin(turn), np.cos(turn)
    reach_y = abs(along * np.cos(turn)) + across * np.sin(turn)
    reach_x = along * np.sin(turn) + abs(across * np.cos(turn))
    half = max(across, along) + 2
    y = np.arange(
        max(-centre_y, -half, int(np.ceil(-reach_y))), min(shape[0] - 1 - centre_y, half, int(np.floor(reach_y))) + 1
    )
    x = np.arange(
        max(-centre_x, -half, int(np.ceil(-reach_x))), min(shape[1] - 1 - centre_x, half, int(np.floor(reach_x))) + 1
    )
    if across == 0 or along == 0 or y.size == 0 or x.size == 0:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
    dy, dx = y[:, None].astype(np.float64), x[None, :].astype(np.float64)
    inside = ((dy * cos + dx * sin) / along) ** 2 + ((dy * sin - dx * cos) / across) ** 2 < 1
    window = (slice(centre_y + y[0], centre_y + y[-1] + 1), slice(centre_x + x[0], centre_x + x[-1] + 1))
    return window, inside


@njit
def inside_ellipse(px, py, ellipse):
    """Whether a point lies inside an ellipse (edge included)."""
    dx = px - ellipse[CX]
    dy = py - ellipse[CY]
    along = 0.5 * max(ellipse[MAJOR], ellipse[MINOR])
    across = 0.5 * min(ellipse[MAJOR], ellipse[MINOR])
    reach = max(abs(along), abs(across)) + 1.0
    if dx * dx + dy * dy > reach * reach:
        return False
    turn = np.radians(180.0 - ellipse[ANGLE])
    cos = np.cos(turn)
    sin = np.sin(turn)
    return (dx * cos - dy * sin) ** 2 / along**2 + (dx * sin + dy * cos) ** 2 / across**2 <= 1.0


@njit
def _find(mask, words, min_area):
    ny, nx = mask.shape
    found = np.empty((64, 5), np.float64)
    count = 0
    queue = np.empty(1024, np.int64)
    for y in range(ny):
        for word in range(words.shape[1]):
            if words[y, word] == 0:
                continue
            for x in range(8 * word, 8 * word + 8):
                if mask[y, x] == 0:
                    continue
                queue, area = _take_region(mask, y, x, queue)
                if area < min_area and _filled_area(queue, area, nx, min_area) < min_area:
                    continue
                if count == found.shape[0]:
                    more = np.empty((2 * count, 5), np.float64)
                    more[:count] = found
                    found = more
                _describe(queue, area, nx, found[count])
                count += 1
    return found[:count].copy()


@njit
def _take_region(mask, y, x, queue):
    """Erase the 8-connected region of a pixel from the mask; return its pixels (y * nx + x) and their number."""
    ny, nx = mask.shape
    mask[y, x] = 0
    queue[0] = y * nx + x
    head = 0
    tail = 1
    while head < tail:
        cy = queue[head] // nx
        cx = queue[head] % nx
        head += 1
        if tail + 8 > queue.shape[0]:
            longer = np.empty(2 * queue.shape[0], np.int64)
            longer[:tail] = queue[:tail]
            queue = longer
        for ty in range(max(cy - 1, 0), min(cy + 2, ny)):
            for tx in range(max(cx - 1, 0), min(cx + 2, nx)):
                if mask[ty, tx] != 0:
                    mask[ty, tx] = 0
                    queue[tail] = ty * nx + tx
                    tail += 1
    return queue, tail


@njit
def _filled_area(queue, area, nx, enough):
    """Area of a region with its holes filled; an area too small to reach ``enough`` is returned as it is.

    A hole is background that cannot be left even diagonally, so at least 8 pixels are needed around one.
    """
    y0 = queue[0] // nx
    y1 = y0
    x0 = queue[0] % nx
    x1 = x0
    for k in range(area):
        y = queue[k] // nx
        x = queue[k] % nx
        y0 = min(y0, y)
        y1 = max(y1, y)
        x0 = min(x0, x)
        x1 = max(x1, x)
    height = y1 - y0 + 3
    length = x1 - x0 + 3
    if area < 8 or (height - 2) * (length - 2) < enough:
        return area
    wall = np.zeros((height, length), np.uint8)  # one pixel of outside all around
    for k in range(area):
        wall[queue[k] // nx - y0 + 1, queue[k] % nx - x0 + 1] = 1
    outside = np.empty(height * length, np.int64)
    _, reached = _flood_zero(wall, outside)
    return height * length - reached


@njit
def _flood_zero(wall, outside):
    """Count the zeros of ``wall`` that can be reached from its corner in 8 directions (they become 2)."""
    ny, nx = wall.shape
    wall[0, 0] = 2
    outside[0] = 0
    head = 0
    tail = 1
    while head < tail:
        cy = outside[head] // nx
        cx = outside[head] % nx
        head += 1
        for ty in range(max(cy - 1, 0), min(cy + 2, ny)):
            for tx in range(max(cx - 1, 0), min(cx + 2, nx)):
                if wall[ty, tx] == 0:
                    wall[ty, tx] = 2
                    outside[tail] = ty * nx + tx
                    tail += 1
    return head, tail


@njit
def _describe(queue, area, nx, ellipse):
    """Write centre, axes and angle of a region."""
    y0 = queue[0] // nx
    x0 = queue[0] % nx
    for k in range(area):
        y0 = min(y0, queue[k] // nx)
        x0 = min(x0, queue[k] % nx)
    sum_y = 0
    sum_x = 0
    for k in range(area):
        sum_y += queue[k] // nx - y0
        sum_x += queue[k] % nx - x0
    yy = 0
    xx = 0
    xy = 0
    for k in range(area):
        dy = queue[k] // nx - y0
        dx = queue[k] % nx - x0
        yy += dy * dy
        xx += dx * dx
        xy += dy * dx
    # tensor of inertia of the pixels, whose eigenvalues are the variances along the axes; in whole numbers up to the
    # division, so that a region as wide as it is high is known to be one
    square = float(area) * area
    a = (xx * area - sum_x * sum_x) / square
    c = (yy * area - sum_y * sum_y) / square
    b = -(xy * area - sum_y * sum_x) / square
    if b == 0.0:
        large = max(a, c)
        small = min(a, c)
    else:
        middle = (a + c) / 2.0
        spread = np.sqrt(((a - c) / 2.0) ** 2 + b * b)
        large = middle + spread
        small = middle - spread
    if a == c:
        angle = np.pi / 4.0 if b < 0.0 else -np.pi / 4.0
    else:
        angle = 0.5 * np.arctan2(-2.0 * b, c - a)
    ellipse[CX] = (sum_x + area * x0) / area
    ellipse[CY] = (sum_y + area * y0) / area
    ellipse[MINOR] = 4.0 * np.sqrt(max(small, 0.0)) - 1.0
    ellipse[MAJOR] = 4.0 * np.sqrt(max(large, 0.0)) - 1.0
    ellipse[ANGLE] = np.degrees(angle)


@njit(parallel=True)
def masks_of_group(before, now, after, jump, saturated, jumps, fresh, coming):
    """Fill three masks of a group: jumps, newly saturated pixels, pixels that saturate in the next group.

    ``before``, ``now``, ``after`` are GROUPDQ planes (ny, nx); ``jump`` and ``saturated`` their bits.
    """
    ny, nx = now.shape
    for y in prange(ny):
        # one loop per mask: with six arrays in one the compiler gives up on vector instructions
        for x in range(nx):
            jumps[y, x] = now[y, x] & jump
        for x in range(nx):
            fresh[y, x] = now[y, x] & ~before[y, x] & saturated
        for x in range(nx):
            coming[y, x] = after[y, x] & ~now[y, x] & saturated
