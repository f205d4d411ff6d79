"""Programs of multistripe readouts, for the table of presets."""

from __future__ import annotations

import dataclasses

import numpy as np

from jwstsm.products.stripes import Stripes

__all__ = ["PROGRAMS", "cut_lines", "take_lines"]


def take_lines(plane: np.ndarray, lines: np.ndarray, slow_axis: int) -> np.ndarray:
    """Return lines, counted in the order of reading, of a plane (ny, nx) of a whole detector."""
    axis = 0 if abs(slow_axis) == 2 else 1
    return np.take(plane, plane.shape[axis] - 1 - lines[::-1] if slow_axis < 0 else lines, axis=axis)


def cut_lines(plane: np.ndarray, stripes: Stripes, slow_axis: int) -> np.ndarray:
    """Return the lines of the frames that are calibrated: those read, or all that a moving stripe passes over."""
    if stripes.count == 0:
        return take_lines(plane, stripes.lines(), slow_axis)
    parts = [dataclasses.replace(stripes, position=k) for k in range(stripes.count)]
    starts = [line for part in parts for line, _ in part.science]
    return take_lines(plane, np.arange(min(starts), max(starts) + stripes.reads2), slow_axis)


def _keywords(reads1, skips1, reads2, skips2, repeat, interleave, step=0, count=0) -> tuple:
    names = ("MSTR_RD1", "MSTR_SK1", "MSTR_RD2", "MSTR_SK2", "MSTR_RPT", "MSTR_ILV", "SSTR_STP", "SSTR_NST")
    return tuple(zip(names, (reads1, skips1, reads2, skips2, repeat, interleave, step, count), strict=True))


_SERIES = (("TSOVISIT", True),)

PROGRAMS = {
    # four stripes of a detector, each after the same line of reference pixels
    "stripes": {
        "detectors": (("NRCA1", "F150W"),),
        "subarray": "SUB260STRIPE4_DHS",
        "ngroups": 6,
        "nints": 2,
        "exp_type": "NRC_TSIMAGE",
        "keywords": (*_SERIES, *_keywords(1, 500, 64, 120, 1, 1)),
        "window": (1, 1, 2048, 260),
    },
    # a stripe that moves on, so that four integrations cover a window, on a detector that is read downwards
    "superstripes": {
        "detectors": (("NRCB1", "F150W"),),
        "subarray": "SUB64P_SUPSTP008",
        "ngroups": 5,
        "nints": 8,
        "keywords": _keywords(4, 200, 64, 0, 0, 0, 64, 4),
        "window": (1, 2048, 2048, 68),
    },
    # the same stripe several times in a frame, at uneven intervals
    "repeated_stripes": {
        "detectors": (("NRCB1", "F150W"),),
        "subarray": "SUB64P_SUPSTP002",
        "ngroups": 3,
        "nints": 4,
        "keywords": _keywords(4, 200, 32, 0, 1, 0, 32, 2),
        "window": (1, 2048, 2048, 108),
    },
}
"""Preset name -> fields of its one observation."""
