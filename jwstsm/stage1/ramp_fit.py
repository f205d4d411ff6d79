"""ramp_fit: turn every ramp into a count rate.

``OLS_C`` draws a weighted least-squares line through each stretch of good groups and combines the stretches;
``LIKELY`` finds the most probable slope of the correlated differences of neighbouring groups.

Source: Fixsen et al. 2000, PASP 112, 1350; Brandt 2024, PASP 136, 045004 and 045005; the rules for flags and special
cases are those of the official step.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import numpy as np

from jwstsm.core import scratch
from jwstsm.core.dq import DO_NOT_USE
from jwstsm.core.rows import row_blocks
from jwstsm.products import FitOpt, Ramp, Slope
from jwstsm.references import References
from jwstsm.stage1 import _likely, _ols
from jwstsm.stage1._columns import merge_exchange, strip_width
from jwstsm.stage1._jump_planes import all_flagged
from jwstsm.stage1._likely_jumps import jump_limits
from jwstsm.stage1._ols_details import segment_details
from jwstsm.stage1._ols_segments import slope_coefficients
from jwstsm.step import Range, Skipped, step

__all__ = ["fit_likely", "fit_ols", "ramp_fit", "select_groups", "used_groups"]

log = logging.getLogger(__name__)

_DNU = np.uint8(DO_NOT_USE)
_PLANES = {"data": np.float32, "dq": np.uint32, "var_poisson": np.float32, "var_rnoise": np.float32, "err": np.float32}

#: Instruments of which groups at the ends that are DO_NOT_USE in every pixel are cut off before the least-squares fit.
CUTS_UNUSED_GROUPS = {"MIRI": True}

#: Groups that must be left after the cut.
_MIN_CUT_GROUPS = 2


def select_groups(groupdq: np.ndarray, first: int | None, last: int | None) -> bool:
    """Flag the groups outside ``first`` to ``last`` (0-based) DO_NOT_USE in place; return False if that leaves none."""
    ngroups = groupdq.shape[1]
    low = max(first or 0, 0)
    high = ngroups - 1 if last is None else min(last, ngroups - 1)
    if low >= high:
        return False
    for planes in groupdq:
        planes[:low] |= _DNU
        planes[high + 1 :] |= _DNU
        scratch.release(groupdq)
    return True


def used_groups(groupdq: np.ndarray, instrument: str) -> tuple[int, int]:
    """Return the range of groups to fit, ``(first, last + 1)``; ``(0, 0)`` if the cut leaves too few."""
    ngroups = groupdq.shape[1]
    if ngroups == 1 or not CUTS_UNUSED_GROUPS.get(instrument, False):
        return 0, ngroups

    def unused(g: int) -> bool:
        for planes in groupdq:
            flagged = all_flagged(planes[g], _DNU)
            scratch.release(groupdq)
            if not flagged:
                return False
        return True

    first = 0
    while first < ngroups and unused(first):
        first += 1
    last = ngroups - 1 if first < ngroups and unused(ngroups - 1) else ngroups
    return (first, last) if last - first >= _MIN_CUT_GROUPS else (0, 0)


def fit_ols(ramp: Ramp, gain: np.ndarray, readnoise: np.ndarray, groups: tuple[int, int], suppress: bool = True):
    """Least-squares slopes of an exposure.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) float32 [DN] and its flags; unchanged.
    gain : (ny, nx) float32
        Gain [e-/DN].
    readnoise : (ny, nx) float32
        Noise of the difference of two frames [DN].
    groups : (int, int)
        First group, last group + 1.
    suppress : bool
        Give up ramps with only one good group.

    Returns
    -------
    rate, rateints : dict of str to ndarray
        ``data``, ``err`` [DN/s], ``var_poisson``, ``var_rnoise`` [(DN/s)^2], ``dq``: (ny, nx) and (nints, ny, nx).

    Notes
    -----
    A segment of ``n`` groups has ``R = 12 (r / tgroup)^2 / (n^3 - n)``, with ``r`` the read noise of a group [DN], and
    ``P = (rate + dark) / (tgroup gain (n - 1))``, with ``rate`` the median of the pixel's differences, averaged over
    the integrations. Slopes are combined with weights ``1 / R``; ``1 / var`` is the sum of ``1 / R`` or ``1 / P``.
    """
    g0, g1 = groups
    shape = ramp.data.shape[2:]
    ints = _planes(ramp, _PLANES)
    rate, ratedq = np.empty((4, *shape), np.float32), np.empty(shape, np.uint32)
    width = strip_width(g1 - g0)
    fixed = (g0, g1, _times(ramp.readout), float(np.sqrt(2.0 * ramp.readout.nframes)), suppress)
    tables = (merge_exchange(g1 - g0 - 1), *slope_coefficients(max(g1 - g0, 2)), width)
    inputs = _inputs(ramp, gain, readnoise, not suppress)
    for _, arrays in row_blocks(read=inputs, made=(rate, ratedq, *ints.values())):
        _ols.fit_rows(*arrays[: len(inputs)], *fixed, *tables, *arrays[len(inputs) :])
    return {"data": rate[0], "dq": ratedq, "var_poisson": rate[1], "var_rnoise": rate[2], "err": rate[3]}, ints


def fit_likely(ramp: Ramp, gain: np.ndarray, readnoise: np.ndarray, threshold: float | None = 4.5, robust: bool = False):
    """Likelihood slopes of an exposure.

    Parameters
    ----------
    ramp, gain, readnoise
        As for :func:`fit_ols`; all groups are used.
    threshold : float or None
        Limit of the search for jumps [sigma]; None for no search.
    robust : bool
        Estimate the noise from unflagged differences only, and use the difference that follows a jump.

    Returns
    -------
    rate, rateints : dict of str to ndarray
        As for :func:`fit_ols`, and ``chisq``.

    Notes
    -----
    The photon noise is that of the median difference in a first fit, which finds the jumps, and that of the slope found
    in a second one, which removes the bias of the first. With ``robust`` and no search, the slope of an unweighted line
    takes the place of the first fit: where weights depend on the slope, it is the likelihood slope itself, so that its
    errors do not couple to them.
    """
    shape = ramp.data.shape[2:]
    sampling = _likely.Sampling.of_readout(ramp.readout, ramp.zeroframe is not None)
    ints = _planes(ramp, _PLANES | {"chisq": np.float32})
    rate, ratedq = np.empty((5, *shape), np.float32), np.empty(shape, np.uint32)
    n = sampling.table.shape[1]
    inputs = _inputs(ramp, gain, readnoise, sampling.zero_frame)
    method = (ramp.readout.nframes, sampling.table, sampling.pairs, *jump_limits(threshold), robust)
    for _, arrays in row_blocks(read=inputs, made=(rate, ratedq, *ints.values())):
        _likely.fit_rows(*arrays[: len(inputs)], *method, merge_exchange(n), strip_width(2 * n), *arrays[len(inputs) :])
    if ramp.data.shape[0] == 1:
        return {name: ints[name][0].copy() for name in _PLANES}, ints
    names = ("data", "var_poisson", "var_rnoise", "err", "chisq")
    return dict(zip(names, rate, strict=True)) | {"dq": ratedq}, ints


def _inputs(ramp: Ramp, gain: np.ndarray, readnoise: np.ndarray, zero_frames: bool) -> tuple[np.ndarray, ...]:
    """Return the arrays that both fits read, in the order of their kernels."""
    return ramp.data, ramp.groupdq, ramp.pixeldq, gain, readnoise, _dark(ramp), _zeroframe(ramp, zero_frames)


def _planes(ramp: Ramp, kinds: dict) -> dict[str, np.ndarray]:
    """Return arrays for results per integration by name; together they may outgrow memory."""
    nints, _, ny, nx = ramp.data.shape
    limit = scratch.in_memory_limit() // (4 if scratch.is_mapped(ramp.data) else 1)
    space = ramp.allocate((len(kinds), nints, ny, nx), np.float32, limit)
    return {name: part.view(kind) for (name, kind), part in zip(kinds.items(), space, strict=True)}


def _times(readout) -> np.ndarray:
    """Time of a group, of the mean of the frames of the first group, and of a frame [s], (3,)."""
    return np.array(
        [readout.group_time_s, (readout.nframes + 1) * readout.frame_time_s / 2, readout.frame_time_s], np.float64
    )


def _dark(ramp: Ramp) -> np.ndarray:
    """Average dark current [DN/s], (ny, nx) or (1, 1)."""
    dark = 0.0 if ramp.average_dark_current is None else ramp.average_dark_current
    return np.ascontiguousarray(np.atleast_2d(np.asarray(dark, np.float32)))


def _zeroframe(ramp: Ramp, wanted: bool) -> np.ndarray:
    """Zero frames (nints, ny, nx) [DN], or an empty array."""
    if ramp.zeroframe is None or not wanted:
        return np.zeros((0, 0, 0), np.float32)
    return np.asarray(ramp.zeroframe)


def _products(ramp: Ramp, rate: dict, ints: dict, gain_factor: float | None) -> dict[str, Slope]:
    """Wrap the arrays of the exposure and of its integrations."""
    out = {}
    for suffix, arrays in (("rate", rate), ("rateints", ints)):
        inherited = ramp.headers_copy()
        tables = {"INT_TIMES", "INT_TIMES_STRIPE"} if suffix == "rateints" else set()
        inherited["tables"] = {name: table for name, table in ramp.tables.items() if name in tables}
        product = Slope(**inherited, suffix=suffix, **{name: arrays[name] for name in _PLANES})
        product.sci["BUNIT"] = "DN/s"
        if gain_factor is not None:
            product.primary["GAINFACT"] = (gain_factor, "Gain scale factor")
        out[suffix] = product
    return out


def _optional(ramp: Ramp, arrays: dict) -> FitOpt:
    """Wrap what the fit found on the way."""
    return FitOpt(**(ramp.headers_copy() | {"tables": {}}), suffix="fitopt", **arrays)


def _likely_details(ints: dict) -> dict:
    """Return the likelihood fit as details of one segment, with its chi^2."""
    names = {"slope": "data", "sigslope": "err", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise"}
    return {name: ints[source][:, None] for name, source in names.items()} | {"chisq": ints["chisq"]}


@step("S_RAMP", references=["readnoise", "gain"], scope="exposure")
def ramp_fit(
    ramp: Ramp,
    refs: References,
    *,
    algorithm: Literal["OLS_C", "LIKELY"] = "OLS_C",
    int_name: str = "",
    save_opt: bool = False,
    opt_name: str = "",
    suppress_one_group: bool = True,
    firstgroup: int | None = None,
    lastgroup: int | None = None,
    maximum_cores: str = "1",
    likely_threshold: Annotated[float, Range(min=0)] | None = 4.5,
    likely_robust: bool = False,
) -> dict[str, Slope]:
    """Fit the ramps of an exposure.

    Parameters
    ----------
    ramp : Ramp
        ``data`` (nints, ngroups, ny, nx) float32 [DN], ``groupdq``, ``pixeldq``; ``zeroframe`` and
        ``average_dark_current`` [DN/s] where there are any.
    refs : References
        ``readnoise`` (noise of the difference of two frames [DN]) and ``gain`` [e-/DN], (ny, nx).
    algorithm : {"OLS_C", "LIKELY"}
        Weighted least squares, or likelihood of the differences (4 groups at least; fewer are fitted by OLS_C). Groups that
        are not evenly spaced (repeated stripes) are always fitted by LIKELY.
    int_name : str
        No effect: products have the archive's names.
    save_opt : bool
        Also make the ``fitopt`` product: one plane per segment.
    opt_name : str
        No effect: products have the archive's names.
    suppress_one_group : bool
        Give up ramps with only one good group; if False, its value or that of the zero frame over the time it has
        integrated is the slope. No effect for exposures of one group, or on LIKELY.
    firstgroup, lastgroup : int, optional
        Use only these groups and those between them (0-based).
    maximum_cores : str
        No effect: the workflow gives a job its threads.
    likely_threshold : float, optional
        Limit of LIKELY's own search for jumps [sigma]; empty for none.
    likely_robust : bool
        LIKELY takes the noise of its first fit from unflagged differences only, and uses the difference that follows a
        jump. The official fit does not.

    Returns
    -------
    dict of str to Slope
        ``rate`` (ny, nx), ``rateints`` (nints, ny, nx): slopes and errors [DN/s], variances [(DN/s)^2]; ``fitopt`` if
        asked for.

    Notes
    -----
    DQ of an integration: PIXELDQ with JUMP_DET, SATURATED (and with OLS_C PERSISTENCE) if any group has it, DO_NOT_USE
    if no group is usable or, with OLS_C, the first is saturated; NO_GAIN_VALUE and DO_NOT_USE where the gain is not
    positive. The exposure has DO_NOT_USE where all integrations have. OLS_C writes NaN and variances of 0 where nothing
    is usable, and variances of 1e6 (DN/s)^2 and more as 0; LIKELY writes NaN. Groups with CHARGELOSS are left out of
    the slope but counted in ``var_rnoise`` of OLS_C, so that weights from it do not fall with brightness.

    Values that are NaN without a flag are left out of the fit (the official step takes them as 0 DN).
    """
    groupdq = np.asarray(ramp.groupdq)
    ngroups = groupdq.shape[1]
    if (firstgroup is not None or lastgroup is not None) and not select_groups(groupdq, firstgroup, lastgroup):
        log.warning("ramp_fit: firstgroup %s and lastgroup %s leave no groups and are ignored", firstgroup, lastgroup)
    gain, readnoise = refs["gain"].array("SCI"), refs["readnoise"].array("SCI")
    gain_factor = refs["gain"].header(0).get("GAINFACT")
    if ramp.readout.read_times_s and algorithm != "LIKELY":
        log.warning("ramp_fit: groups are not evenly spaced; fitted by LIKELY")
        algorithm = "LIKELY"
    if algorithm == "LIKELY" and ngroups < _likely.MIN_GROUPS:
        log.info("ramp_fit: %d groups are too few for LIKELY; fitted by OLS_C", ngroups)
        algorithm = "OLS_C"
    details = None
    if algorithm == "LIKELY":
        rate, ints = fit_likely(ramp, gain, readnoise, likely_threshold, likely_robust)
        details = _likely_details(ints) if save_opt else None
    else:
        suppress = suppress_one_group and ngroups > 1
        groups = used_groups(groupdq, ramp.readout.instrument)
        if groups[0] == groups[1]:
            return Skipped(ramp, "fewer than 2 groups are usable")
        if not _ols.usable_first_groups(groupdq, groups[0]):
            return Skipped(ramp, "all pixels are saturated in the first group")
        rate, ints = fit_ols(ramp, gain, readnoise, groups, suppress)
        if save_opt:
            details = segment_details(
                ramp, gain, readnoise, _dark(ramp), _zeroframe(ramp, not suppress), groups, _times(ramp.readout),
                suppress, ints["data"],
            )  # fmt: skip
    out: dict = _products(ramp, rate, ints, gain_factor)
    if details is not None:
        out["fitopt"] = _optional(ramp, details)
    return out
