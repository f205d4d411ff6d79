"""Exposures whose stripe moves from one integration to the next: the positions of a set become one frame.

Until the reference pixels have done their work (``refpix``) the integrations of one position are an exposure like any
other, with references cut to its lines. After that an integration is a set of all positions, on the lines that the
positions cover together; lines that were not read are NaN and REFERENCE_PIXEL.

Source: behaviour of jwst 3.0.0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jwstsm.core import dq, scratch
from jwstsm.core.detector import full_detector
from jwstsm.headers import parse_header
from jwstsm.products import Ramp, read
from jwstsm.products.readout import Readout
from jwstsm.products.stripes import KEYWORDS, Stripes

__all__ = ["LAST_STEP", "collate", "is_superstripe", "positions"]

#: The last step that positions go through apart.
LAST_STEP = "refpix"

#: Subarrays that become a whole detector along the slow axis, whatever lines were read.
_WHOLE = frozenset({"SUB17STRIPE_SOSS", "SUB60STRIPE_SOSS", "SUB204STRIPE_SOSS", "SUB680STRIPE_SOSS"})

_PIXEL_CLOCK_S = 1e-5
_ROW_OVERHEAD = 12


def is_superstripe(header) -> bool:
    """Whether a header is that of an exposure whose stripe moves."""
    return int(header.get("SSTR_NST") or 0) > 0


def positions(ramp: Ramp) -> list[Ramp]:
    """Take a ramp apart by position of the stripe; arrays are copies, headers are shared.

    Parameters
    ----------
    ramp : Ramp
        Whole sets of integrations.
    """
    readout = ramp.readout
    sets = len(ramp.data) // readout.stripes.count * readout.stripes.count
    out = []
    for k in range(readout.stripes.count):
        one = dataclasses.replace(
            ramp,
            data=ramp.data[k : sets : readout.stripes.count].copy(),
            groupdq=ramp.groupdq[k : sets : readout.stripes.count].copy(),
            pixeldq=ramp.pixeldq.copy(),
            zeroframe=None if ramp.zeroframe is None else ramp.zeroframe[k : sets : readout.stripes.count].copy(),
            history=list(ramp.history),
        )
        stripes = dataclasses.replace(readout.stripes, position=k)
        one.__dict__["readout"] = dataclasses.replace(readout, nints=len(one.data), stripes=stripes)
        out.append(one)
    return out


def _extent(parts: Sequence[Stripes], subarray: str, full: int) -> tuple[int, int]:
    """First line and number of lines of the frame that all positions make."""
    if subarray in _WHOLE:
        return 0, full
    starts = [line for stripes in parts for line, _ in stripes.science]
    return min(starts), max(starts) + parts[0].reads2 - min(starts)


class _Frame:
    """Where the lines of each position go."""

    def __init__(self, readout: Readout) -> None:
        self.readout, stripes = readout, readout.stripes
        self.parts = [dataclasses.replace(stripes, position=k) for k in range(stripes.count)]
        full = full_detector(readout.instrument)
        self.across = abs(readout.slowaxis) == 1
        self.whole = full.nx if self.across else full.ny
        self.first, self.size = _extent(self.parts, readout.subarray, self.whole)
        self.shape = (readout.ny, self.size) if self.across else (self.size, readout.nx)

    def view(self, planes: np.ndarray) -> np.ndarray:
        """A view (..., line, column) with lines in the order of reading."""
        planes = np.swapaxes(planes, -1, -2) if self.across else planes
        return planes[..., :: -1 if self.readout.slowaxis < 0 else 1, :]

    def spread(self, source: np.ndarray, target: np.ndarray, position: int, repeat: int) -> None:
        """Copy the stripe of a position into its place."""
        line, at = self.parts[position].science[repeat]
        count, to = self.parts[position].reads2, line - self.first
        self.view(target)[..., to : to + count, :] = self.view(source)[..., at : at + count, :]

    @property
    def file_start(self) -> int:
        """1-based start of the frame along the slow axis, in the orientation of the file."""
        return self.whole - self.first - self.size + 1 if self.readout.slowaxis < 0 else self.first + 1


def collate(path: Path | Ramp, nints: int, count: int, correct: Callable[[Ramp], Ramp], limit: int | None = None) -> Ramp:
    """Correct each position of an exposure and make frames of the sets.

    Parameters
    ----------
    path : Path or Ramp
        The exposure, or a ramp in memory.
    nints : int
        Integrations in it.
    count : int
        Positions in a set; integrations of an incomplete last set are left out.
    correct : callable
        Takes the integrations of one position through the first steps.
    limit : int, optional
        Bytes of a block of sets, default a half of what is kept in memory.

    Returns
    -------
    Ramp
        ``ngroups`` times the stripes of a frame groups; the times at which groups were read are in its ``readout`` if they
        are not even.
    """
    whole: Ramp | None = None
    sets = nints // count
    frame, first = None, 0
    size = sets if isinstance(path, Ramp) else _sets_per_block(path, count, limit)
    while first < sets:
        last = min(sets, first + size)
        block = path if isinstance(path, Ramp) else read(path, (first * count, last * count))
        if whole is None:
            frame = _Frame(block.readout)
        made = [correct(one) for one in positions(block)]
        if whole is None:
            whole = _empty(made[0], frame, sets)
        for k, one in enumerate(made):
            _place(one, whole, frame, k, first, last)
        whole.release()
        first = last
    _describe(whole, frame, count)
    return whole


def _sets_per_block(path: Path, count: int, limit: int | None) -> int:
    header = parse_header(path)
    one = 5 * count * math.prod(int(header[f"NAXIS{i}"]) for i in (1, 2, 3))
    return max(1, (limit or scratch.in_memory_limit() // 2) // one)


def _empty(like: Ramp, frame: _Frame, sets: int) -> Ramp:
    groups = like.data.shape[1] * frame.readout.stripes.repeats
    shape = (sets, groups, *frame.shape)
    zeros = None if like.zeroframe is None else scratch.allocate((sets, *frame.shape), np.float32)
    out = dataclasses.replace(
        like,
        data=scratch.allocate(shape, np.float32),
        groupdq=scratch.allocate(shape, np.uint8, scratch.in_memory_limit() // 4),
        pixeldq=np.full(frame.shape, np.uint32(dq.REFERENCE_PIXEL)),
        zeroframe=zeros,
        primary=like.primary.copy(),
        tables=dict(like.tables),
        first_integration=0,
    )
    for array in (out.data, zeros):
        for plane in () if array is None else array:
            plane[...] = np.nan
            scratch.release(array)
    return out


def _place(one: Ramp, whole: Ramp, frame: _Frame, position: int, first: int, last: int) -> None:
    """Copy the integrations of a position into the sets ``first`` to ``last - 1``."""
    repeats = frame.readout.stripes.repeats
    for repeat in range(repeats):
        frame.spread(one.data, whole.data[first:last, repeat::repeats], position, repeat)
        frame.spread(one.groupdq, whole.groupdq[first:last, repeat::repeats], position, repeat)
        if first == 0:
            frame.spread(one.pixeldq, whole.pixeldq, position, repeat)
        if whole.zeroframe is not None:
            frame.spread(one.zeroframe, whole.zeroframe[first:last], position, repeat)


def _describe(whole: Ramp, frame: _Frame, count: int) -> None:
    """Bring the header, the times and the readout up to the new frames."""
    header, readout = whole.primary, frame.readout
    nints = int(header.get("NINTS", len(whole.data) * count))
    header["INTSTART"] = -(-int(header.get("INTSTART", 1)) // count)
    header["INTEND"] = -(-int(header.get("INTEND", nints)) // count)
    header["NINTS"], header["NGROUPS"] = -(-nints // count), whole.data.shape[1]
    header["SUBSIZE1"], header["SUBSIZE2"] = frame.shape[1], frame.shape[0]
    header["SUBSTRT1" if frame.across else "SUBSTRT2"] = frame.file_start
    for keyword in KEYWORDS:
        header.remove(keyword, ignore_missing=True)
    _merge_times(whole, count)
    whole.__dict__.pop("readout", None)
    if readout.stripes.repeats > 1:
        times = _read_times(readout, whole.data.shape[1] // readout.stripes.repeats)
        whole.__dict__["readout"] = dataclasses.replace(whole.readout, read_times_s=times)


def _merge_times(whole: Ramp, count: int) -> None:
    """Keep the times of the positions as a table of their own; a set lasts from the first to the last."""
    table = whole.tables.get("INT_TIMES")
    if table is None or len(table) < count:
        return
    sets = len(table) // count
    table = np.array(table[: sets * count])
    number = np.arange(sets, dtype=np.int32) + int(whole.primary["INTSTART"])
    names = [n for n in table.dtype.names if n.lower() != "integration_number"]
    stripe = np.zeros(len(table), [("integration_number", "i4"), ("stripe_number", "i4"), *((n, "f8") for n in names)])
    stripe["integration_number"], stripe["stripe_number"] = np.repeat(number, count), np.tile(np.arange(count) + 1, sets)
    merged = np.zeros(sets, [("integration_number", "i4"), *((n, "f8") for n in names)])
    merged["integration_number"] = number
    for name in names:
        stripe[name] = table[name]
        kind = name.lower()
        merged[name] = table[name][count - 1 :: count] if "_end_" in kind else table[name][::count]
    for name in names:
        if "_mid_" in name.lower():
            start, end = (
                next(n for n in names if n.lower() == name.lower().replace("_mid_", w)) for w in ("_start_", "_end_")
            )
            merged[name] = (merged[start] + merged[end]) / 2
    whole.tables["INT_TIMES"], whole.tables["INT_TIMES_STRIPE"] = merged.view(np.recarray), stripe.view(np.recarray)


def _read_times(readout: Readout, ngroups: int) -> tuple[tuple[float, ...], ...]:
    """Return when the frames of each group were read [s] where a frame holds several stripes of the same lines.

    The first stripe of a frame is read one reset of its lines after the last, the others follow at once.
    """
    stripes = readout.stripes
    columns, rows = (readout.ny, readout.nx) if abs(readout.slowaxis) == 1 else (readout.nx, readout.ny)
    extra_rows = 1 if readout.noutputs == 4 else 2 if readout.noutputs == 1 and columns >= 9 else 3
    extra_clocks = 1 if readout.noutputs == 4 else 0
    row = columns / readout.noutputs + _ROW_OVERHEAD
    lines = stripes.reads1 + stripes.reads2
    frame = (row * (rows + extra_rows) + extra_clocks) * _PIXEL_CLOCK_S
    steps = [(row * (lines + extra_rows) + extra_clocks) * _PIXEL_CLOCK_S]
    steps += [row * lines * _PIXEL_CLOCK_S] * (rows // lines - 1)
    times, now = [], 0.0
    for _ in range(ngroups):
        for step in steps:
            times.append(tuple(now + step + k * frame for k in range(readout.nframes)))
            now += step
        now += frame * (readout.nframes - 1 + readout.groupgap)
    return tuple(times)
