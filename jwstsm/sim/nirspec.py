"""Rows of NIRSpec for the tables of the simulator, and its programs."""

from __future__ import annotations

__all__ = ["DETECTORS", "FILTERS", "INSTRUMENTS", "IRS2_PATTERNS", "PARKEYS", "PIXEL_ARCSEC", "PROGRAMS", "READ_PATTERNS"]

PIXEL_ARCSEC = 0.105
"""Scale on the sky; the aperture file relates pixels to the grating wheel instead."""

IRS2_PATTERNS = ("NRSIRS2", "NRSIRS2RAPID")
"""Read patterns with reference pixels interleaved."""

INSTRUMENTS = (
    {
        "name": "NIRSPEC",
        "chain": "H2RG",
        "template": "NIRSpec Fixed Slit Spectroscopy",
        "exp_type": "NRS_FIXEDSLIT",
        "imaging_types": "NRS_TACQ|NRS_IMAGE|NRS_FOCUS|NRS_CONFIRM|NRS_MIMF",
        "other_types": "NRS_FIXEDSLIT|NRS_BRIGHTOBJ|NRS_IFU|NRS_MSASPEC|NRS_DARK",
        "dark_type": "NRS_DARK",
        "photom_model": "NrsFsPhotomModel",
        "apcorr_model": "NrsFsApcorrModel",
        "pupils": "",
        "elements": ("filter",),
        "parts": (),
        "zero_frames": False,
    },
)

DETECTORS = """
NRS1     NIRSPEC NRS1 - - 491  2  1 2048 4 4 1.05  7.6  63000 0.0080 0.0050
NRS2     NIRSPEC NRS2 - - 492 -2 -1 2048 4 4 1.12  7.9  65000 0.0060 0.0055
"""

FILTERS = """
NIRSPEC - F170LP - 2.400 1.500 0.45 2.00 0.15  0.000  0.000
NIRSPEC - F290LP - 4.000 2.300 0.55 3.00 0.25  0.000  0.000
NIRSPEC - CLEAR  - 2.500 4.700 0.10 2.00 0.20  0.000  0.000
"""

READ_PATTERNS = {
    ("NIRSPEC", "NRSRAPID"): (1, 0),
    ("NIRSPEC", "NRS"): (4, 0),
    ("NIRSPEC", "NRSIRS2RAPID"): (1, 0),
    ("NIRSPEC", "NRSIRS2"): (5, 0),
}

PARKEYS = """
NIRSPEC dark DETECTOR READPATT SUBARRAY
NIRSPEC gain DETECTOR SUBARRAY
NIRSPEC ipc DETECTOR
NIRSPEC linearity DETECTOR SUBARRAY
NIRSPEC mask DETECTOR SUBARRAY READPATT
NIRSPEC readnoise DETECTOR READPATT SUBARRAY
NIRSPEC refpix DETECTOR READPATT
NIRSPEC saturation DETECTOR SUBARRAY
NIRSPEC superbias DETECTOR READPATT SUBARRAY
NIRSPEC pars-detector1pipeline TSOVISIT
NIRSPEC pars-jumpstep
NIRSPEC pars-tweakregstep EXP_TYPE FILTER
NIRSPEC pars-sourcecatalogstep EXP_TYPE FILTER
NIRSPEC pars-outlierdetectionstep EXP_TYPE FILTER TSOVISIT
"""

_SLIT = (("GRATING", "G395H"), ("FXD_SLIT", "S200A1"), ("OPMODE", "FIXEDSLIT"), ("LAMP", "NONE"))
_IRS2_KEYWORDS = (*_SLIT, ("NRS_NORM", 16), ("NRS_REF", 4))
_SERIES = (
    ("TEMPLATE", "NIRSpec Bright Object Time Series"),
    ("GRATING", "PRISM"),
    ("FXD_SLIT", "S1600A1"),
    ("OPMODE", "FIXEDSLIT"),
    ("LAMP", "NONE"),
    ("TSOVISIT", True),
)
_FULL = {"detectors": (("NRS1", "F290LP"),), "keywords": _SLIT}
_SUB512 = {
    "detectors": (("NRS1", "CLEAR"),),
    "subarray": "SUB512",
    "readpatt": "NRSRAPID",
    "outputs": 1,
    "exp_type": "NRS_BRIGHTOBJ",
    "keywords": _SERIES,
    "window": (897, 1041, 512, 32),
}

PROGRAMS = {
    "nirspec_full": {**_FULL, "readpatt": "NRSRAPID", "ngroups": 5},
    "nirspec_irs2": {**_FULL, "readpatt": "NRSIRS2RAPID", "ngroups": 5, "outputs": 5, "keywords": _IRS2_KEYWORDS},
    "nirspec_irs2_averaged": {
        "detectors": (("NRS2", "F290LP"),),
        "readpatt": "NRSIRS2",
        "ngroups": 3,
        "outputs": 5,
        "keywords": _IRS2_KEYWORDS,
    },
    "nirspec_subs200a1": {
        **_FULL,
        "subarray": "SUBS200A1",
        "readpatt": "NRSRAPID",
        "ngroups": 8,
        "nints": 2,
        "outputs": 1,
        "window": (1, 1056, 2048, 64),
    },
    "nirspec_sub512": {**_SUB512, "ngroups": 6, "nints": 5},
    "nirspec_bench": {**_FULL, "readpatt": "NRSIRS2RAPID", "ngroups": 10, "outputs": 5, "keywords": _IRS2_KEYWORDS},
    "nirspec_series": {**_SUB512, "ngroups": 10, "nints": 100},
}
"""Preset name -> fields of its one observation."""
