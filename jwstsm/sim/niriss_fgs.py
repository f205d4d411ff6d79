"""Rows of NIRISS and FGS for the tables of :mod:`jwstsm.sim.instruments` and :mod:`jwstsm.sim.crds_cache`."""

from __future__ import annotations

__all__ = ["DETECTORS", "FILTERS", "INSTRUMENTS", "PARKEYS", "READ_PATTERNS", "SHARED"]

INSTRUMENTS = (
    {
        "name": "NIRISS",
        "chain": "H2RG",
        "template": "NIRISS Imaging",
        "exp_type": "NIS_IMAGE",
        "imaging_types": "NIS_IMAGE|NIS_AMI|NIS_FOCUS|NIS_TACONFIRM|NIS_TACQ",
        "other_types": "NIS_SOSS|NIS_WFSS|NIS_DARK",
        "dark_type": "NIS_DARK",
        "photom_model": "NisImgPhotomModel",
        "apcorr_model": "NisImgApcorrModel",
        "pupils": "CLEARP|NRM|F090W|F115W|F140M|F150W|F158M|F200W|",
        "parts": (),
        "full": "CEN",
    },
    {
        "name": "FGS",
        "chain": "H2RG",
        "template": "FGS External Calibration",
        "exp_type": "FGS_IMAGE",
        "imaging_types": "FGS_IMAGE|FGS_FOCUS|FGS_SKYFLAT|FGS_INTFLAT|FGS_ID-IMAGE|FGS_ACQ1|FGS_ACQ2|FGS_TRACK|"
        "FGS_FINEGUIDE",
        "other_types": "FGS_DARK",
        "dark_type": "FGS_DARK",
        "photom_model": "FgsImgPhotomModel",
        "apcorr_model": "FgsImgApcorrModel",
        "pupils": "",
        "elements": (),
        "parts": (),
    },
)

DETECTORS = """
NIS      NIRISS NIS  - - 496 -2 -1 2048 4 4 1.62 11.5 100000 0.0020 0.0060
GUIDER1  FGS    FGS1 - - 498 -2 -1 2048 4 4 1.75 13.0  95000 0.0060 0.0055
GUIDER2  FGS    FGS2 - - 499  2 -1 2048 4 4 1.58 12.4  97000 0.0050 0.0058
"""

# NIRISS has its broad short-wave filters in the pupil wheel; FGS has none at all.
FILTERS = """
NIRISS - CLEAR F090W   0.902 0.194 0.80 0.50 0.18  0.084  0.036
NIRISS - CLEAR F115W   1.150 0.226 0.61 0.77 0.18  0.041 -0.022
NIRISS - CLEAR F150W   1.493 0.321 0.48 1.19 0.17  0.012  0.008
NIRISS - CLEAR F200W   1.989 0.461 0.38 1.68 0.14  0.000  0.000
NIRISS - F277W CLEARP  2.776 0.715 0.27 2.31 0.11 -0.115  0.057
NIRISS - F380M CLEARP  3.825 0.205 0.72 2.95 0.18 -0.092  0.131
NIRISS - F444W CLEARP  4.427 1.108 0.27 3.24 0.40  0.074 -0.063
NIRISS - F380M NRM     3.825 0.205 4.60 2.95 0.18 -0.096  0.128
NIRISS - F480M NRM     4.813 0.298 6.10 3.42 0.71  0.105 -0.082
NIRISS - CLEAR GR700XD 1.300 1.500 1.10 0.95 0.20  0.000  0.000
FGS    - -     -       2.500 2.200 0.11 1.90 0.15  0.000  0.000
"""

READ_PATTERNS = {
    ("NIRISS", "NIS"): (4, 0),
    ("NIRISS", "NISRAPID"): (1, 0),
    ("FGS", "FGSRAPID"): (1, 0),
    ("FGS", "FGS"): (4, 0),
    ("FGS", "ID"): (1, 0),
    ("FGS", "ACQ1"): (1, 1),
    ("FGS", "ACQ2"): (1, 3),
    ("FGS", "TRACK"): (1, 1),
    ("FGS", "FINEGUIDE"): (4, 39),
}

PARKEYS = """
NIRISS abvegaoffset EXP_TYPE
NIRISS apcorr EXP_TYPE
NIRISS area DETECTOR FILTER PUPIL EXP_TYPE
NIRISS dark DETECTOR READPATT SUBARRAY
NIRISS distortion EXP_TYPE PUPIL
NIRISS filteroffset EXP_TYPE
NIRISS flat DETECTOR FILTER PUPIL
NIRISS gain DETECTOR SUBARRAY
NIRISS ipc DETECTOR
NIRISS linearity DETECTOR SUBARRAY
NIRISS mask DETECTOR SUBARRAY
NIRISS photom DETECTOR
NIRISS readnoise DETECTOR READPATT SUBARRAY
NIRISS saturation DETECTOR
NIRISS sirskernel
NIRISS superbias DETECTOR READPATT SUBARRAY
NIRISS pars-detector1pipeline TSOVISIT
NIRISS pars-jumpstep
NIRISS pars-tweakregstep EXP_TYPE FILTER PUPIL
NIRISS pars-sourcecatalogstep EXP_TYPE FILTER
NIRISS pars-outlierdetectionstep EXP_TYPE FILTER PUPIL TSOVISIT
FGS abvegaoffset EXP_TYPE
FGS apcorr EXP_TYPE
FGS area DETECTOR
FGS dark DETECTOR READPATT SUBARRAY
FGS distortion DETECTOR EXP_TYPE
FGS flat DETECTOR EXP_TYPE
FGS gain DETECTOR SUBARRAY
FGS ipc DETECTOR
FGS linearity DETECTOR SUBARRAY
FGS mask DETECTOR SUBARRAY EXP_TYPE
FGS photom DETECTOR
FGS readnoise DETECTOR READPATT SUBARRAY
FGS saturation DETECTOR
FGS sirskernel
FGS superbias DETECTOR READPATT SUBARRAY
FGS pars-detector1pipeline TSOVISIT
FGS pars-jumpstep
FGS pars-tweakregstep EXP_TYPE
FGS pars-sourcecatalogstep EXP_TYPE
FGS pars-outlierdetectionstep EXP_TYPE
"""

SHARED = """
NIRISS flat DETECTOR FILTER PUPIL
NIRISS area DETECTOR EXP_TYPE
NIRISS photom DETECTOR
NIRISS distortion EXP_TYPE
NIRISS filteroffset EXP_TYPE
NIRISS apcorr EXP_TYPE
NIRISS abvegaoffset EXP_TYPE
NIRISS sirskernel
FGS flat DETECTOR EXP_TYPE
FGS area DETECTOR
FGS photom DETECTOR
FGS distortion DETECTOR EXP_TYPE
FGS apcorr EXP_TYPE
FGS abvegaoffset EXP_TYPE
FGS sirskernel
"""
