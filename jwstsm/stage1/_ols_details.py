"""What the least-squares fit finds for each segment of each ramp: the optional product ``fitopt``.

Made by a second walk over the exposure, so that the fit itself does not carry it.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import JUMP_DET
from jwstsm.core.rows import row_blocks
from jwstsm.stage1._columns import merge_exchange, strip_width
from jwstsm.stage1._ols_segments import POWERS, find_segments, fit_segment, slope_coefficients
from jwstsm.stage1._ols_strip import FIRST, SEEN, load_strip, median_rates

__all__ = ["segment_details"]

_JUMP = np.uint8(JUMP_DET)
_SEGMENT_PLANES = ("slope", "sigslope", "var_poisson", "var_rnoise", "yint", "sigyint", "weights")


def segment_details(ramp, gain, readnoise, dark, zeroframe, groups, times, suppress: bool, slope) -> dict:
    """Return the arrays of the optional product.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN], ``groupdq``.
    gain, readnoise, dark, zeroframe, times, suppress
        As for :func:`jwstsm.stage1._ols.fit_rows`.
    groups : (int, int)
        First group, last group + 1.
    slope : (nints, ny, nx) float32
        Slopes of the integrations [DN/s].

    Returns
    -------
    dict of str to float32 ndarray
        ``slope sigslope var_poisson var_rnoise yint sigyint weights`` (nints, nsegments, ny, nx), ``pedestal``
        (nints, ny, nx), ``crmag`` (nints, njumps, ny, nx) [DN]; 0 where a ramp has fewer segments or jumps.

    Notes
    -----
    ``yint`` is the line's value at group 0 [DN]; ``pedestal`` the first value less the slope times the time before it,
    in groups (the official product's formula); ``weights`` is ``1 / var_rnoise``; ``crmag`` the step at each jump.
    """
    g0, g1 = groups
    nints, _, ny, nx = ramp.data.shape
    root = float(np.sqrt(2.0 * ramp.readout.nframes))
    width = strip_width(g1 - g0)
    most = np.zeros((ny, 2), np.int64)
    for _, (data, groupdq, zeros, counts) in row_blocks(read=(ramp.data, ramp.groupdq, zeroframe), made=(most,)):
        _count(data, groupdq, zeros, g0, g1, suppress, width, counts)
    del data, groupdq, zeros  # the block before the next walk makes its own
    # at least one plane each: an array without planes cannot be told from a missing one in a file
    nsegments, njumps = (max(1, int(n)) for n in most.max(axis=0))
    planes = ramp.allocate((len(_SEGMENT_PLANES), nints, nsegments, ny, nx), np.float32)
    pedestal = ramp.allocate((nints, ny, nx), np.float32)
    crmag = ramp.allocate((nints, njumps, ny, nx), np.float32)
    readout = ramp.readout
    lead = ((readout.nframes + 1) / 2 + readout.drop_frames1) / (readout.nframes + readout.groupgap)
    tables = (merge_exchange(g1 - g0 - 1), *slope_coefficients(max(g1 - g0, 2)), POWERS, width)
    inputs = (ramp.data, ramp.groupdq, gain, readnoise, dark, zeroframe, slope)
    for _, arrays in row_blocks(read=inputs, changed=(*planes, pedestal, crmag)):  # 0 where the kernel writes nothing
        _fill(*arrays[:6], g0, g1, times, root, suppress, lead, *tables, *arrays[6:])
    return dict(zip(_SEGMENT_PLANES, planes, strict=True)) | {"pedestal": pedestal, "crmag": crmag}


@njit(parallel=True)
def _count(data, groupdq, zeroframe, g0, g1, suppress, width, most):
    """Largest number of segments and of jumps of a ramp in each row, into ``most`` (ny, 2)."""
    nints, _, ny, nx = data.shape
    ngroups = g1 - g0
    for y in prange(ny):
        values = np.empty((ngroups, width), np.float32)
        flags = np.empty((ngroups, width), np.uint8)
        facts = np.empty((5, width), np.int64)
        begin = np.empty(ngroups + 1, np.int64)
        size = np.empty(ngroups + 1, np.int64)
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                for x in range(w):
                    most[y, 0] = max(most[y, 0], find_segments(flags, x, ngroups, begin, size))
                    jumps = 0
                    for g in range(1, ngroups):
                        jumps += 1 if flags[g, x] & _JUMP else 0
                    most[y, 1] = max(most[y, 1], jumps)


@njit
def _line_details(values, x, start, length, power, noise, powers):
    """Uncertainty of the slope, value at group 0, its uncertainty, of a segment of at least 2 groups."""
    if length == 2:
        second = start + 1.0
        at_zero = np.float64(values[start + 1, x]) * (1.0 - second) + np.float64(values[start, x]) * second
        return np.sqrt(2.0) * noise, at_zero, np.sqrt(2.0) * noise
    middle = (length - 1) / 2.0
    sum_w = 0.0
    sum_d = 0.0
    sum_y = 0.0
    sum_dy = 0.0
    for k in range(length):
        away = k - middle
        weight = abs(away / middle) ** powers[power]
        value = np.float64(values[start + k, x])
        sum_w += weight
        sum_d += weight * away * away
        sum_y += weight * value
        sum_dy += weight * away * value
    centre = start + middle
    at_zero = sum_y / sum_w - centre * sum_dy / sum_d
    return noise / np.sqrt(sum_d), at_zero, noise * np.sqrt(1.0 / sum_w + centre * centre / sum_d)


@njit(parallel=True)
def _fill(
    data, groupdq, gain, readnoise, dark, zeroframe, g0, g1, times, root, suppress, lead,
    network, table, starts, powers, width,
    rateints, slope, sigslope, var_p, var_r, yint, sigyint, weights, pedestal, crmag,
):  # fmt: skip
    """Fill the planes (see :func:`segment_details`)."""
    nints, _, ny, nx = data.shape
    ngroups = g1 - g0
    for j in prange(ny):
        y = np.int64(j)  # j is unsigned, which does not mix with other integers
        values = np.empty((ngroups, width), np.float32)
        flags = np.empty((ngroups, width), np.uint8)
        facts = np.empty((5, width), np.int64)
        ordered = np.empty((max(ngroups - 1, 1), width), np.float32)
        begin = np.empty(ngroups + 1, np.int64)
        size = np.empty(ngroups + 1, np.int64)
        once = np.empty(width, np.float64)
        median = np.empty(width, np.float64)
        dy = y if dark.shape[0] > 1 else 0
        for x0 in range(0, nx, width):
            w = min(width, nx - x0)
            median[:w] = 0.0
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                median_rates(values, flags, facts, ngroups, w, times, network, ordered, once)
                for x in range(w):
                    median[x] += once[x] if once[x] == once[x] or ngroups == 1 else 0.0
            for i in range(nints):
                load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, w, suppress, values, flags, facts)
                for x in range(w):
                    xx = x0 + x
                    factor = np.float64(gain[y, xx])
                    noise = np.float64(np.float32(np.float64(readnoise[y, xx]) * (factor / root)))
                    rate = median[x] / nints
                    current = np.float64(dark[dy, xx if dark.shape[1] > 1 else 0])
                    flux = rate + current if rate > 0.0 else current
                    count = find_segments(flags, x, ngroups, begin, size)
                    for s in range(count):
                        fitted, photon, read, power = fit_segment(
                            values, x, begin[s], size[s], flux, factor, noise,
                            times[facts[FIRST, x]], times[0], table, starts,
                        )  # fmt: skip
                        slope[i, s, y, xx] = fitted
                        var_p[i, s, y, xx] = photon
                        var_r[i, s, y, xx] = read
                        weights[i, s, y, xx] = 1.0 / read
                        if size[s] > 1:
                            sigslope[i, s, y, xx], yint[i, s, y, xx], sigyint[i, s, y, xx] = _line_details(
                                values, x, begin[s], size[s], power, noise, powers
                            )
                    start = np.float64(values[0, x]) - np.float64(rateints[i, y, xx]) * lead
                    pedestal[i, y, xx] = start if start == start else 0.0
                    jump = 0
                    for g in range(1, ngroups):
                        if facts[SEEN, x] & np.int64(_JUMP) and flags[g, x] & _JUMP:
                            crmag[i, jump, y, xx] = values[g, x] - values[g - 1, x]
                            jump += 1
