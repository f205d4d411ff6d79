"""Readouts of several stripes: which lines of the detector a subarray holds.

A multistripe readout reads a few lines at the start of the subarray (reference pixels), skips some, reads a stripe, and
goes on with further stripes, or with the same one again, until the frame is full. In a *superstripe* exposure the stripe
moves on from one integration to the next, until a set of integrations covers the region of interest.

Lines are counted along the slow axis in detector orientation, the first one read being 0.

Source: keywords ``MSTR_*`` and ``SSTR_*`` of the public schema of the data models, behaviour of jwst 3.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.errors import InputError

__all__ = ["KEYWORDS", "Stripes"]

#: Keywords that tell of stripes; they go when the stripes of a set have become one frame.
KEYWORDS = ("MSTR_RD1", "MSTR_SK1", "MSTR_RD2", "MSTR_SK2", "MSTR_RPT", "MSTR_ILV", "SSTR_STP", "SSTR_NST")


@dataclass(frozen=True)
class Stripes:
    """A multistripe readout.

    Attributes
    ----------
    reads1, skips1 : int
        Lines read at the start, and skipped after them.
    reads2, skips2 : int
        Lines of a stripe, and lines skipped between stripes.
    repeat : bool
        After each stripe, reading begins again at the start.
    interleave : bool
        With ``repeat``: each stripe lies beyond the one before instead of being the same again.
    step, count : int
        Lines that the stripe moves on between integrations, and positions in a set (0: it does not move).
    start : int
        First line of the subarray.
    size : int
        Lines of a frame.
    position : int
        Number of the position in the set, 0-based.
    """

    reads1: int
    skips1: int
    reads2: int
    skips2: int
    repeat: bool
    interleave: bool
    step: int
    count: int
    start: int
    size: int
    position: int = 0

    @classmethod
    def from_header(cls, key, size: int, start: int, slowaxis: int, full: int, name: str) -> Stripes | None:
        """Read the keywords; None if the readout has no stripes.

        Parameters
        ----------
        key : callable
            ``key(keyword, default)`` of a product.
        size, start : int
            Size of the frame along the slow axis and its 1-based start, as in the header.
        slowaxis : int
            A negative one counts ``start`` from the far end.
        full : int
            Lines of the detector.
        name : str
            For messages.
        """
        if key("MSTR_RD1", None) is None:
            return None
        numbers = [int(key(keyword, 0)) for keyword in KEYWORDS]
        first = start - 1
        if slowaxis < 0:
            # a start of 1 is a known mistake of early files
            first = 0 if start == 1 else full - start
        if "DHS" in str(key("SUBARRAY", "")).upper():
            first = 0  # likewise
        reads1, skips1, reads2, skips2, repeat, interleave, step, count = numbers
        out = cls(reads1, skips1, reads2 or step, skips2, bool(repeat), bool(interleave), step, count, first, size)
        if out.reads2 <= 0 or out.science[-1][1] + out.reads2 > size:
            raise InputError(
                f"{name}: the stripes of MSTR_* and SSTR_* do not make frames of {size} lines; the header is wrong"
            )
        return out

    def _runs(self) -> list[tuple[bool, int, int, int]]:
        """Return (science or not, first line of the detector, first line of the frame, lines), in the order of reading."""
        moved = self.skips1 + self.step * self.position
        runs, at, jump = [], 0, self.skips1
        line = self.start
        while at < self.size:
            if at == 0 or self.repeat:
                line = self.start
                if self.reads1 > 0:
                    runs.append((False, line, at, self.reads1))
                    line, at = line + self.reads1, at + self.reads1
                if at > self.reads1 and self.interleave:
                    jump += self.skips2 + self.reads2
                    line += jump
                else:
                    line += moved
            else:
                line += self.skips2
            runs.append((True, line, at, self.reads2))
            line, at = line + self.reads2, at + self.reads2
        return runs

    @property
    def science(self) -> list[tuple[int, int]]:
        """First line on the detector and in the frame of each stripe."""
        return [(line, at) for science, line, at, _ in self._runs() if science]

    @property
    def repeats(self) -> int:
        """Stripes in a frame."""
        return len(self.science)

    def lines(self) -> np.ndarray:
        """Return the detector line of each line of the frame, (size,) int64."""
        return np.concatenate([np.arange(line, line + count) for _, line, _, count in self._runs()])
