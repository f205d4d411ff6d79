"""Reference-pixel correction of near-infrared detectors, in detector orientation.

What is subtracted from a pixel is a sum of two terms: one per column (the level of its amplifier, for odd and even
columns apart) and one per row (the drift between rows, from the columns at the sides). Both are found from the border
alone; the frame itself is passed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core import dq
from jwstsm.core.compiled import njit, prange
from jwstsm.core.detector import DetectorWindow
from jwstsm.stage1._refpix_sirs import convolved_levels
from jwstsm.stage1._refpix_statistics import clipped_means, running_medians

__all__ = [
    "BorderOptions",
    "column_levels_by_edge",
    "column_levels_by_flag",
    "correct_border_inplace",
    "correct_flagged_inplace",
    "row_levels",
    "subtract_levels_inplace",
]


@dataclass(frozen=True)
class BorderOptions:
    """Choices of the correction; see the parameters of the ``refpix`` step.

    ``kernels`` are the left and right convolution kernels of the ``sirs`` algorithm, or None for running medians.
    """

    odd_even_columns: bool = True
    use_side_ref_pixels: bool = True
    side_smoothing_length: int = 11
    side_gain: float = 1.0
    siglimit: float = 3.0
    sigreject: float = 4.0
    kernels: tuple[np.ndarray, np.ndarray] | None = None


@njit(parallel=True)
def subtract_levels_inplace(planes, columns, rows, edges, transposed, keep_zeros):
    """Subtract a level per detector column and one per detector row from every plane.

    Parameters
    ----------
    planes : (nplanes, ny, nx) float32 [DN]
        Changed in place.
    columns : (nplanes, ncols) float64 [DN]
        Detector columns in the order of the file.
    rows : (nplanes, nsections, nrows) float64 [DN]
        Detector rows in the order of the file, for each section of columns.
    edges : (nsections + 1,) int64
        First column of each section, in the order of the file, and the number of columns.
    transposed : bool
        Detector columns run along y.
    keep_zeros : bool
        Leave values of exactly 0 alone.
    """
    nplanes, ny, nx = planes.shape
    zero = np.float32(0)
    for y in prange(ny):
        for p in range(nplanes):
            values = planes[p, y]
            for s in range(edges.size - 1):
                if transposed:
                    if edges[s] <= y < edges[s + 1]:
                        level, line = columns[p, y], rows[p, s]
                        for x in range(nx):
                            new = np.float32(values[x] - level - line[x])
                            values[x] = zero if keep_zeros and values[x] == zero else new
                else:
                    level, line = rows[p, s, y], columns[p]
                    for x in range(edges[s], edges[s + 1]):
                        new = np.float32(values[x] - line[x] - level)
                        values[x] = zero if keep_zeros and values[x] == zero else new


def _amplifier_of_columns(window: DetectorWindow, ncols: int) -> np.ndarray:
    return (window.col0 + np.arange(ncols)) // (window.size // window.outputs)


def _edge_rows(window: DetectorWindow, nrows: int) -> list[slice]:
    """Return the rows of the window that are reference rows at the two ends of the detector."""
    return _border_spans(window, window.row0, nrows)


def _side_columns(window: DetectorWindow, ncols: int) -> list[slice]:
    """Return the columns of the window that are reference columns at the two sides of the detector."""
    return _border_spans(window, window.col0, ncols)


def _border_spans(window: DetectorWindow, start: int, count: int) -> list[slice]:
    spans = [(0, window.border), (window.size - window.border, window.size)]
    return [slice(*(int(v) for v in np.clip([a - start, b - start], 0, count))) for a, b in spans]


def column_levels_by_edge(planes, good, window: DetectorWindow, *, odd_even: bool, limit: float) -> np.ndarray | None:
    """Find the level of each column from the reference rows at the two ends of the detector.

    Parameters
    ----------
    planes : (nplanes, nrows, ncols) float32 [DN]
        In detector orientation.
    good : (nrows, ncols) bool
        Pixels that may be used.
    window : DetectorWindow
    odd_even : bool
        Find odd and even columns apart.
    limit : float
        Clipping limit [standard deviations].

    Returns
    -------
    (nplanes, ncols) float64 [DN], or None
        The mean of both ends, or the one that there is; 0 for an amplifier that lacks a level (of its odd or its even
        columns). None if no pixel of any reference row can be used.
    """
    nplanes, nrows, ncols = planes.shape
    amplifier = _amplifier_of_columns(window, ncols)
    parity = (window.col0 + np.arange(ncols)) % 2 if odd_even else np.zeros(ncols, np.int64)
    per_amplifier = 2 if odd_even else 1
    sets = amplifier * per_amplifier + parity
    nsets = window.outputs * per_amplifier
    ends = []
    for rows in _edge_rows(window, nrows):
        pixels = np.ascontiguousarray(planes[:, rows]).reshape(nplanes, -1)
        groups = np.where(good[rows], sets, -1).ravel()
        if pixels.shape[1] and (groups >= 0).any():
            ends.append(clipped_means(pixels, groups, nsets, limit))
    if not ends:
        return None
    level = _mean_of_known(*ends) if len(ends) == 2 else ends[0]
    known = np.isfinite(level).reshape(nplanes, window.outputs, per_amplifier).all(axis=2)
    level = np.where(np.repeat(known, per_amplifier, axis=1), level, 0.0)
    return level[:, sets]


def _mean_of_known(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean of two arrays, or the one that is not NaN, or NaN."""
    return np.where(np.isnan(a), b, np.where(np.isnan(b), a, 0.5 * (a + b)))


def column_levels_by_flag(
    planes, flags, window: DetectorWindow, *, odd_even: bool, limit: float, by_amplifier: bool
) -> np.ndarray | None:
    """Find the level of each column from all pixels that are flagged as reference pixels, wherever they are.

    Parameters
    ----------
    planes : (nplanes, nrows, ncols) float32 [DN]
        In detector orientation.
    flags : (nrows, ncols) uint32
        REFERENCE_PIXEL and DO_NOT_USE are read.
    window : DetectorWindow
    odd_even : bool
    limit : float
    by_amplifier : bool
        Find the columns of each amplifier apart; else all columns went through one.

    Returns
    -------
    (nplanes, ncols) float64 [DN], or None
        0 for an amplifier that lacks a level. None if there is no usable reference pixel.
    """
    nplanes, _, ncols = planes.shape
    usable = ((flags & dq.REFERENCE_PIXEL) != 0) & ((flags & dq.DO_NOT_USE) == 0)
    where = np.nonzero(usable)
    if where[0].size == 0:
        return None
    per_amplifier = 2 if odd_even else 1
    parity = (window.col0 + np.arange(ncols)) % 2 if odd_even else np.zeros(ncols, np.int64)
    amplifier = _amplifier_of_columns(window, ncols) if by_amplifier else np.zeros(ncols, np.int64)
    sets = amplifier * per_amplifier + parity
    nsets = (window.outputs if by_amplifier else 1) * per_amplifier
    level = clipped_means(np.ascontiguousarray(planes[:, where[0], where[1]]), sets[where[1]], nsets, limit)
    known = np.isfinite(level)
    if by_amplifier:
        known = np.repeat(known.reshape(nplanes, -1, per_amplifier).all(axis=2), per_amplifier, axis=1)
    return np.where(known, level, 0.0)[:, sets]


def row_levels(planes, good, columns, window: DetectorWindow, options: BorderOptions) -> np.ndarray:
    """Find the level of each row from the reference columns at the two sides of the detector.

    Parameters
    ----------
    planes : (nplanes, nrows, ncols) float32 [DN]
        In detector orientation, not yet corrected.
    good : (nrows, ncols) bool
    columns : (nplanes, ncols) float64 [DN]
        Level of each column; it is taken off the reference columns first.
    window : DetectorWindow
    options : BorderOptions

    Returns
    -------
    (nplanes, nsections, nrows) float64 [DN]
        The mean of both sides, or the one that there is, or 0. One section of columns, or one per amplifier for
        ``sirs``.
    """
    nplanes, nrows, ncols = planes.shape
    if not options.use_side_ref_pixels:
        return np.zeros((nplanes, 1, nrows))
    sides = []
    for span in _side_columns(window, ncols):
        pixels = planes[:, :, span].astype(np.float64) - columns[:, None, span]
        sides.append((pixels, np.ascontiguousarray(good[:, span])))
    if options.kernels is not None:
        return convolved_levels(sides[0][0], sides[1][0], options.kernels, options.sigreject)
    length = options.side_smoothing_length
    left, right = (running_medians(s, usable, window.row0, window.size, length) for s, usable in sides)
    return options.side_gain * np.nan_to_num(_mean_of_known(left, right), nan=0.0)[:, None]


def correct_border_inplace(
    planes, pixeldq, window: DetectorWindow, options: BorderOptions, keep_zeros: bool = False
) -> bool:
    """Correct full frames, and windows read through all amplifiers, by their border of reference pixels.

    Parameters
    ----------
    planes : (nplanes, ny, nx) float32 [DN]
        In the orientation of the file; changed in place.
    pixeldq : (ny, nx) uint32
        DO_NOT_USE is read.
    window : DetectorWindow
    options : BorderOptions
    keep_zeros : bool
        Leave values of exactly 0 alone (zero frames).

    Returns
    -------
    bool
        False, and nothing changed, if there is no usable reference pixel.
    """
    view = window.view(planes)
    good = window.view((pixeldq & dq.DO_NOT_USE) == 0)
    nplanes, _, ncols = view.shape
    columns = column_levels_by_edge(view, good, window, odd_even=options.odd_even_columns, limit=options.siglimit)
    if columns is None:
        if not (options.use_side_ref_pixels and any(good[:, span].any() for span in _side_columns(window, ncols))):
            return False
        columns = np.zeros((nplanes, ncols))
    rows = row_levels(view, good, columns, window, options)
    _subtract(planes, columns, rows, window, keep_zeros)
    return True


def correct_flagged_inplace(
    planes,
    flags,
    window: DetectorWindow,
    options: BorderOptions,
    *,
    by_amplifier: bool = False,
    keep_zeros: bool = False,
) -> bool:
    """Correct windows by the level of all their flagged reference pixels, for odd and even columns apart.

    Parameters
    ----------
    planes : (nplanes, ny, nx) float32 [DN]
        In the orientation of the file; changed in place.
    flags : (ny, nx) uint32
        REFERENCE_PIXEL and DO_NOT_USE are read.
    window : DetectorWindow
    options : BorderOptions
    by_amplifier : bool
        The columns of each amplifier have a level of their own.
    keep_zeros : bool

    Returns
    -------
    bool
        False, and nothing changed, if there is no usable reference pixel.
    """
    columns = column_levels_by_flag(
        window.view(planes),
        window.view(flags),
        window,
        odd_even=options.odd_even_columns,
        limit=options.siglimit,
        by_amplifier=by_amplifier,
    )
    if columns is None:
        return False
    nrows = window.view(flags).shape[0]
    _subtract(planes, columns, np.zeros((len(planes), 1, nrows)), window, keep_zeros)
    return True


def _subtract(planes, columns, rows, window: DetectorWindow, keep_zeros: bool) -> None:
    """Bring levels into the order of the file and subtract them."""
    ncols, sections = columns.shape[1], rows.shape[1]
    edges = np.linspace(0, ncols, sections + 1).astype(np.int64)
    if window.fastaxis < 0:
        edges, rows = ncols - edges[::-1], rows[:, ::-1]
    subtract_levels_inplace(
        planes, window.file_columns(columns), window.file_rows(rows), edges, window.transposed, keep_zeros
    )
