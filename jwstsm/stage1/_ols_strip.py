"""A strip of pixels of one integration: its values and flags, median rates, and slopes of unflagged ramps.

Nearly all pixels have no flag at all. They are handled many at a time, in short loops over few arrays that the compiler
turns into vector instructions; flagged pixels are looked at one by one.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.compiled import njit
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED
from jwstsm.stage1._columns import median_of_sorted, sort_columns

__all__ = [
    "FIRST",
    "FIRST_GROUP",
    "GOOD",
    "GROUP",
    "NBAD",
    "NSAT",
    "SEEN",
    "ZERO_FRAME",
    "fit_whole_ramps",
    "load_strip",
    "median_rates",
]

_NONE = np.uint8(0)
_DNU = np.uint8(DO_NOT_USE)
_SAT = np.uint8(SATURATED)
_BAD = np.uint8(DO_NOT_USE | SATURATED)
_NO_JUMP = np.uint8(0xFF ^ JUMP_DET)
_DNU_OR_JUMP = np.uint8(DO_NOT_USE | JUMP_DET)
_COUNTED = np.uint8(0xFF ^ PERSISTENCE)  # persistence does not make a group bad

# What load_strip finds out about each pixel of an integration: strictly good, saturated, unusable groups, the union of
# its flags, and how long a lone good group has integrated.
GOOD, NSAT, NBAD, SEEN, FIRST = range(5)
GROUP, FIRST_GROUP, ZERO_FRAME = range(3)


@njit
def load_strip(data, groupdq, zeroframe, i, g0, g1, y, x0, width, suppress, values, flags, facts):
    """Copy groups ``g0`` to ``g1`` of an integration of a strip, and take stock of their flags.

    ``values`` (ngroups, width) float32 and ``flags`` (ngroups, width) uint8 are filled. Saturated values become NaN,
    and a value that is NaN without reason is flagged DO_NOT_USE. Where no group is good, a zero frame that is not 0
    takes the place of the first group. ``facts`` (5, width) int64 has the rows ``GOOD NSAT NBAD SEEN FIRST``.
    """
    nan = np.float32(np.nan)
    ngroups = g1 - g0
    seen = np.zeros(width, np.uint8)
    # short loops over few arrays, which become vector instructions; flagged pixels are looked at one by one below
    for g in range(ngroups):
        row = values[g]
        marks = flags[g]
        source = data[i, g + g0, y, x0 : x0 + width]
        known = groupdq[i, g + g0, y, x0 : x0 + width]
        for x in range(width):
            marks[x] = known[x] | (_DNU if source[x] != source[x] and known[x] & _SAT == 0 else _NONE)
        for x in range(width):
            row[x] = nan if marks[x] & _SAT != 0 else source[x]
        for x in range(width):
            seen[x] |= marks[x]
    for x in range(width):
        facts[GOOD, x] = ngroups
        facts[NSAT, x] = 0
        facts[NBAD, x] = 0
        facts[SEEN, x] = 0
        facts[FIRST, x] = GROUP if suppress or ngroups > 1 else FIRST_GROUP
        if seen[x] != 0:
            _take_stock(zeroframe, i, g0, y, x0, x, ngroups, suppress, values, flags, facts)


@njit
def _take_stock(zeroframe, i, g0, y, x0, x, ngroups, suppress, values, flags, facts):
    """Count the flags of a pixel into ``facts``, after giving up a lone good group or turning to the zero frame."""
    if suppress:
        lone = 0
        for g in range(ngroups):
            lone += 1 if flags[g, x] & _COUNTED == 0 else 0
        if lone == 1:
            for g in range(ngroups):
                flags[g, x] |= _DNU
    if g0 > 0:
        # nothing usable lies before this group, so a jump before it does not matter
        flags[0, x] &= _NO_JUMP
    facts[GOOD, x] = 0
    for g in range(ngroups):
        mark = flags[g, x]
        facts[GOOD, x] += 1 if mark == 0 else 0
        facts[NSAT, x] += 1 if mark & _SAT != 0 else 0
        facts[NBAD, x] += 1 if mark & _BAD != 0 else 0
        facts[SEEN, x] |= np.int64(mark)
    facts[FIRST, x] = GROUP
    if suppress:
        return
    if facts[GOOD, x] == 1 and flags[0, x] == 0:
        facts[FIRST, x] = FIRST_GROUP
    elif facts[GOOD, x] == 0 and zeroframe.shape[0] > 0:
        zero = zeroframe[i, y, x0 + x]
        if zero == zero and zero != 0:
            values[0, x] = zero
            flags[0, x] = 0
            facts[GOOD, x] = 1
            facts[NBAD, x] -= 1
            facts[NSAT, x] -= 1 if facts[NSAT, x] == ngroups else 0
            facts[FIRST, x] = ZERO_FRAME


@njit
def median_rates(values, flags, facts, ngroups, width, times, network, ordered, rates):
    """Median rate [DN/s] of each pixel of a strip in one integration, into ``rates``; NaN if it has none."""
    inf = np.float32(np.inf)
    tgroup = times[GROUP]
    n = ngroups - 1
    for k in range(n):
        out = ordered[k]
        before = values[k]
        after = values[k + 1]
        for x in range(width):
            step = after[x] - before[x]
            out[x] = step if step == step else inf
        before_flags = flags[k]
        after_flags = flags[k + 1]
        for x in range(width):
            spoilt = (before_flags[x] & _DNU) | (after_flags[x] & _DNU_OR_JUMP)
            out[x] = inf if spoilt != 0 else out[x]
    usable = np.full(width, n)
    for x in range(width):
        if facts[SEEN, x] != 0:
            for k in range(n):
                usable[x] -= 1 if ordered[k, x] == inf else 0
    if network.shape[0] > 0 or n == 1:
        sort_columns(ordered, network, width)
    else:
        for x in range(width):
            ordered[:n, x] = np.sort(ordered[:n, x])
    for x in range(width):
        if facts[FIRST, x] != GROUP or n == 0:
            rates[x] = np.float64(values[0, x]) / times[facts[FIRST, x] if n > 0 else FIRST_GROUP]
        elif usable[x] == 0:
            rates[x] = np.float64(values[0, x]) / tgroup if flags[0, x] & _DNU == 0 else np.nan
        else:
            rates[x] = median_of_sorted(ordered, x, usable[x]) / tgroup


@njit
def fit_whole_ramps(values, ngroups, width, gain, noise, flux, group_time, table, starts, power, work, fit):
    """Fit pixels as if all their groups were good.

    Parameters
    ----------
    values : (ngroups, width) float32
        Ramps [DN]; at least 2 groups.
    gain, noise, flux : (width,) float64
        Gain [e-/DN], read noise of a group [e-], rate that makes photon noise [DN/s].
    group_time : float
        [s].
    table, starts
        From :func:`jwstsm.stage1._ols_segments.slope_coefficients`.
    power, work
        Space: (width,) int64 and float64.
    fit : (4, width) float64
        Filled: slope / R, 1 / R, 1 / P, 1 / (P + R), with ``R`` and ``P`` the variances from read and photon noise.
    """
    first = values[0]
    last = values[ngroups - 1]
    present = 0
    for x in range(width):
        signal = (np.float64(last[x]) - np.float64(first[x])) * gain[x]
        signal = signal if signal > 0.0 else 0.0
        square = signal * signal
        variance = noise[x] * noise[x] + signal
        # squares of the limits 5, 10, 20, 50, 100 of the signal-to-noise ratio
        power[x] = (
            (1 if square >= 25.0 * variance else 0)
            + (1 if square >= 100.0 * variance else 0)
            + (1 if square >= 400.0 * variance else 0)
            + (1 if square >= 2500.0 * variance else 0)
            + (1 if square >= 10000.0 * variance else 0)
        )
    for x in range(width):
        present |= 1 << power[x]
    slope = fit[0]
    for p in range(6):
        if (present >> p) & 1:
            for x in range(width):
                work[x] = 0.0
            for k in range(ngroups // 2):
                factor = table[p, starts[ngroups] + k]
                high = values[ngroups - 1 - k]
                low = values[k]
                for x in range(width):
                    work[x] += factor * (np.float64(high[x]) - np.float64(low[x]))
            for x in range(width):
                slope[x] = work[x] if power[x] == p else slope[x]
    n = np.float64(ngroups)
    read = fit[1]
    photon = fit[2]
    both = fit[3]
    for x in range(width):
        rate = noise[x] / group_time
        read[x] = 12.0 * rate * rate / ((n * n * n - n) * gain[x] * gain[x])
    for x in range(width):
        photon[x] = flux[x] / (group_time * gain[x] * (n - 1.0))
    for x in range(width):
        both[x] = 1.0 / (photon[x] + read[x])
    for x in range(width):
        photon[x] = 1.0 / photon[x] if photon[x] > 0.0 else 0.0
    for x in range(width):
        slope[x] = slope[x] / group_time / read[x]
    for x in range(width):
        read[x] = 1.0 / read[x]
