"""assign_wcs: give an exposure its world coordinates, its outline on the sky and a SIP approximation in the header.

Source: the official step ``assign_wcs``; see :mod:`jwstsm.wcs` for the frames and conventions.
"""

from __future__ import annotations

from typing import Annotated

from jwstsm.errors import InputError
from jwstsm.products import Slope
from jwstsm.references import References
from jwstsm.step import Range, step
from jwstsm.wcs import modes
from jwstsm.wcs.keywords import update_sky_keywords

__all__ = ["assign_wcs"]


@step("S_WCS", references=modes.REFERENCES)
def assign_wcs(
    slope: Slope,
    refs: References,
    *,
    sip_approx: bool = True,
    sip_max_pix_error: Annotated[float, Range(min=0)] = 0.01,
    sip_degree: Annotated[int, Range(min=1, max=6)] | None = None,
    sip_max_inv_pix_error: Annotated[float, Range(min=0)] = 0.01,
    sip_inv_degree: Annotated[int, Range(min=1, max=6)] | None = None,
    sip_npoints: Annotated[int, Range(min=8)] = 12,
    slit_y_low: float = -0.55,
    slit_y_high: float = 0.55,
    nrs_ifu_slice_wcs: bool = False,
) -> Slope:
    """Give an exposure its world coordinates.

    Links pixels to the sky through the distortion of the optics and the pointing of the telescope. Pixel values are
    not touched; resampling and photometry read the result.

    Parameters
    ----------
    slope : Slope
        Rate image (ny, nx) or one plane per integration; changed in place (``wcs`` and headers).
    refs : References
        ``distortion`` and ``filteroffset`` for imaging.
    sip_approx : bool
        Write a SIP approximation of the world coordinates into the header (imaging only).
    sip_max_pix_error : float
        Largest error of the approximation wanted [pixel].
    sip_degree : int or None
        Degree of its polynomials; None takes the lowest from 1 to 5 that is good enough.
    sip_max_inv_pix_error : float
        Largest error of the inverse approximation wanted [pixel]; 0 leaves the inverse out.
    sip_inv_degree : int or None
        Degree of the inverse polynomials; None takes the lowest from 1 to 5 that is good enough.
    sip_npoints : int
        Points along each axis at which the approximation is fitted.
    slit_y_low, slit_y_high : float
        Edges of a slit for NIRSpec spectra; no effect on images.
    nrs_ifu_slice_wcs : bool
        Keep one set of coordinates per slice for NIRSpec IFU spectra; no effect on images.

    Returns
    -------
    Slope
        With ``wcs`` (frames ``detector``, ``v2v3``, ``v2v3vacorr``, ``world``), ``S_REGION`` and the SIP keywords.

    Raises
    ------
    InputError
        If the exposure type has no world coordinates or a pointing keyword is missing.
    ReferenceError_
        If a reference is missing.

    Notes
    -----
    No DQ bits are read or set. A subarray in the corner of the detector keeps its own outline, where the official
    step gives it that of the full frame if the distortion reference has a bounding box.
    """
    exp_type = str(slope.require("EXP_TYPE"))
    builder = modes.BUILDERS.get(exp_type)
    if builder is None:
        raise InputError(
            f"{slope.name}: EXP_TYPE {exp_type} has no world coordinates here; known are {', '.join(modes.BUILDERS)}"
        )
    slope.wcs = builder(slope, refs)
    options = {
        "max_pix_error": sip_max_pix_error,
        "degree": sip_degree,
        "max_inv_pix_error": sip_max_inv_pix_error,
        "inv_degree": sip_inv_degree,
        "npoints": sip_npoints,
    }
    if slope.wcs.output_frame.celestial:
        update_sky_keywords(slope, sip_options=options if sip_approx and exp_type in modes.SIP else None)
    else:  # nothing but the instrument itself was seen
        slope.sci.remove("S_REGION", ignore_missing=True)
    return slope
