"""Programs of multistripe readouts, for the table of presets."""

from __future__ import annotations

__all__ = ["PROGRAMS"]


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
        "subarray": "SUBTEST_SUPSTP",
        "ngroups": 5,
        "nints": 8,
        "keywords": _keywords(4, 200, 64, 0, 0, 0, 64, 4),
        "window": (1, 2048, 2048, 68),
    },
    # the same stripe several times in a frame, at uneven intervals
    "repeated_stripes": {
        "detectors": (("NRCB1", "F150W"),),
        "subarray": "SUBTEST_SUPSTP",
        "ngroups": 3,
        "nints": 4,
        "keywords": _keywords(4, 200, 32, 0, 1, 0, 32, 2),
        "window": (1, 2048, 2048, 108),
    },
}
"""Preset name -> fields of its one observation."""
