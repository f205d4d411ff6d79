"""THE table of WCS builders: exposure type -> the function that makes its world coordinates.

A builder is called as ``builder(product, references)`` and returns a :class:`~jwstsm.wcs.model.Wcs`. A new mode is a
new row. ``SIP`` lists the exposure types whose header gets a SIP approximation.
"""

from __future__ import annotations

from jwstsm.wcs.imaging import imaging_wcs
from jwstsm.wcs.nirspec import EXPOSURES, nirspec_imaging_wcs

__all__ = ["BUILDERS", "REFERENCES", "SIP"]

_IMAGING = (
    "FGS_FOCUS",
    "FGS_IMAGE",
    "MIR_4QPM",
    "MIR_CORONCAL",
    "MIR_IMAGE",
    "MIR_LYOT",
    "MIR_TACONFIRM",
    "MIR_TACQ",
    "NIS_AMI",
    "NIS_FOCUS",
    "NIS_IMAGE",
    "NIS_TACONFIRM",
    "NIS_TACQ",
    "NRC_CORON",
    "NRC_FOCUS",
    "NRC_IMAGE",
    "NRC_TACONFIRM",
    "NRC_TACQ",
    "NRC_TSIMAGE",
)

BUILDERS = dict.fromkeys(_IMAGING, imaging_wcs) | dict.fromkeys(EXPOSURES, nirspec_imaging_wcs)

SIP = frozenset(_IMAGING)

REFERENCES = (
    "distortion",
    "filteroffset",
    "specwcs",
    "regions",
    "wavelengthrange",
    "camera",
    "chromcorr",
    "collimator",
    "disperser",
    "fore",
    "fpa",
    "msa",
    "ote",
    "ifupost",
    "ifufore",
    "ifuslicer",
)
