"""Data-quality bits: one record per bit, from which every constant, decoder and table derives.

Source: the official flag definitions (``/DQ_DEF`` of JWST products), bits 0-31.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

__all__ = ["FLAGS", "Flag", "bits_from_string", "names", "translate"]


class Flag(NamedTuple):
    """One data-quality bit."""

    bit: int
    name: str
    meaning: str
    in_groupdq: bool

    @property
    def value(self) -> int:
        """The bit as an integer mask."""
        return 1 << self.bit


_ROWS = """
0 DO_NOT_USE y bad for science
1 SATURATED y above the saturation threshold
2 JUMP_DET y jump found in the ramp
3 DROPOUT y data lost in transmission
4 OUTLIER n rejected against the other exposures
5 PERSISTENCE y high persistence
6 AD_FLOOR y at or below the A/D floor
7 CHARGELOSS y charge migrated to neighbours
8 RESERVED n not used
9 NON_SCIENCE n not on the science area
10 DEAD n dead pixel
11 HOT n hot pixel
12 WARM n warm pixel
13 LOW_QE n low quantum efficiency
14 RC n RC pixel
15 TELEGRAPH n random telegraph signal
16 NONLINEAR n strongly non-linear
17 BAD_REF_PIXEL n reference pixel that cannot be used
18 NO_FLAT_FIELD n flat not known
19 NO_GAIN_VALUE n gain not known
20 NO_LIN_CORR n linearity correction not known
21 NO_SAT_CHECK n saturation threshold not known
22 UNRELIABLE_BIAS n bias of large variance
23 UNRELIABLE_DARK n dark of large variance
24 UNRELIABLE_SLOPE n slope of large variance
25 UNRELIABLE_FLAT n flat of large variance
26 OPEN n open pixel
27 ADJ_OPEN n next to an open pixel
28 FLUX_ESTIMATED n value interpolated or from a truncated ramp
29 MSA_FAILED_OPEN n lit through a failed-open shutter
30 OTHER_BAD_PIXEL n bad for another reason
31 REFERENCE_PIXEL n reference pixel
"""

FLAGS: dict[str, Flag] = {}
for _line in _ROWS.strip().splitlines():
    _bit, _name, _group, _meaning = _line.split(maxsplit=3)
    FLAGS[_name] = Flag(int(_bit), _name, _meaning, _group == "y")

globals().update({name: flag.value for name, flag in FLAGS.items()})
__all__ += list(FLAGS)
GOOD = 0


def names(value: int) -> list[str]:
    """Return the names of the bits set in ``value``, lowest first."""
    return [flag.name for flag in FLAGS.values() if value & flag.value]


def bits_from_string(text: str | int | None) -> int:
    """Turn a bit selection such as ``"JUMP_DET+HOT"``, ``"~DO_NOT_USE+NON_SCIENCE"`` or ``"4, 2048"`` into a mask.

    Parameters
    ----------
    text : str, int or None
        Names or numbers joined by ``+``, ``,`` or ``|``; a leading ``~`` inverts the whole selection;
        None and the empty string select nothing.

    Returns
    -------
    int
        The mask, 0 .. 2**32-1.

    Raises
    ------
    ValueError
        If a word is neither a bit name nor a number.
    """
    if text is None:
        return 0
    if isinstance(text, int):
        return text & 0xFFFFFFFF
    text = text.strip()
    invert = text.startswith("~")
    body = text.lstrip("~").strip().strip("()")
    mask = 0
    for word in filter(None, re.split(r"[+,|\s]+", body)):
        if word in FLAGS:
            mask |= FLAGS[word].value
        elif word.isdigit():
            mask |= int(word)
        else:
            known = ", ".join(FLAGS)
            raise ValueError(f"'{word}' is not a data-quality bit; known are {known}")
    return (~mask & 0xFFFFFFFF) if invert else mask


def translate(array: np.ndarray, dq_def) -> np.ndarray:
    """Translate the DQ plane of a reference file into the pipeline's bits through its ``DQ_DEF`` table.

    Parameters
    ----------
    array : (ny, nx) or larger integer ndarray
        DQ values in the reference file's own bits.
    dq_def : record array with columns ``VALUE`` and ``NAME``, or None
        The file's definitions. Bits whose name is not known are dropped. None means the bits are the pipeline's own.

    Returns
    -------
    ndarray of uint32
        The translated plane (a new array).
    """
    array = np.asarray(array)
    if dq_def is None or len(dq_def) == 0:
        return array.astype(np.uint32)
    rows = [(int(r["VALUE"]), str(r["NAME"]).strip()) for r in dq_def]
    if all(n in FLAGS and FLAGS[n].value == v for v, n in rows):
        mask = np.uint32(sum({v for v, _ in rows}) & 0xFFFFFFFF)
        return np.bitwise_and(array.astype(np.uint32, copy=False), mask)
    # astype keeps the bit pattern of planes that are stored as signed integers
    source = array.astype(np.uint32)
    present = int(np.bitwise_or.reduce(source, axis=None)) if source.size else 0
    out = np.zeros(array.shape, np.uint32)
    for value, name in rows:
        if name in FLAGS and value & present:
            out[(source & np.uint32(value & 0xFFFFFFFF)) != 0] |= np.uint32(FLAGS[name].value)
    return out
