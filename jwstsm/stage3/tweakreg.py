"""Align the exposures of an association to each other and, if asked, to an absolute catalog.

The pointing of an exposure is known to some tenths of an arcsecond, its distortion far better, so one shift and
rotation per exposure (all its detectors together) makes the exposures agree. Stars are found in every image,
matched to those of a reference exposure or catalog, and the correction is fitted in the tangent plane of the
exposure.

The result is a sidecar (:class:`jwstsm.stage3.alignment.Alignment`), not new images: later steps apply the
corrections to the WCS as they read the exposures.

Source: the official ``tweakreg`` step (packages jwst, stcal, tweakwcs). Differences, all tied to ``fallback``:
groups for which the official procedure gives up, or whose fit is poor, get a second attempt; a bad group does
not spoil the others; an absolute alignment that fails leaves the relative one in place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from jwstsm.core.frames import Frame, Stage3Inputs
from jwstsm.core.sources import FinderOptions
from jwstsm.errors import InputError
from jwstsm.references import References
from jwstsm.stage3._align import NotAligned, Settings, align_absolute, align_relative
from jwstsm.stage3._groups import Group, GroupFit, make_groups
from jwstsm.stage3._lists import group_names, listed_image, user_lists
from jwstsm.stage3._match import MatchOptions
from jwstsm.stage3._refcat import NETWORK_CATALOGS, observation_epoch, read_reference_catalog
from jwstsm.stage3.alignment import Alignment, ExposureAlignment, GroupAlignment
from jwstsm.step import Range, Skipped, step

__all__ = ["tweakreg"]

log = logging.getLogger(__name__)

_ALONE = {
    "exposure": "one exposure alone: there is nothing to align it to",
    "visit": "all exposures are of one visit: there is nothing to align it to",
    "guide_star": "all exposures have one guide star: there is nothing to align them to",
    "detector": "one image alone: there is nothing to align it to",
}


@step("S_TWKREG", scope="association")
def tweakreg(
    inputs: Stage3Inputs,
    refs: References | None = None,
    *,
    save_catalogs: bool = False,
    use_custom_catalogs: bool = False,
    catalog_format: Literal["ecsv", "fits"] = "ecsv",
    catfile: str = "",
    starfinder: Literal["dao", "iraf", "segmentation"] = "iraf",
    snr_threshold: float = 10.0,
    kernel_fwhm: Annotated[float, Range(min=0)] = 2.5,
    bkg_boxsize: Annotated[int, Range(min=1)] = 400,
    minsep_fwhm: Annotated[float, Range(min=0)] = 0.0,
    sigma_radius: Annotated[float, Range(min=0)] = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: Annotated[int, Range(min=1)] | None = 200,
    peakmax: float | None = None,
    npixels: Annotated[int, Range(min=1)] = 10,
    connectivity: Literal[4, 8] = 8,
    nlevels: Annotated[int, Range(min=1)] = 32,
    contrast: Annotated[float, Range(min=0, max=1)] = 0.001,
    multithresh_mode: Literal["exponential", "linear", "sinh"] = "exponential",
    localbkg_width: Annotated[int, Range(min=0)] = 0,
    apermask_method: Literal["correct", "mask", "none"] = "correct",
    kron_params: Annotated[list[float], Range(min=2, max=3)] | None = None,
    deblend: bool = True,
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    minobj: Annotated[int, Range(min=1)] = 15,
    fitgeometry: Literal["shift", "rshift", "rscale", "general"] = "rshift",
    nclip: Annotated[int, Range(min=0)] = 3,
    sigma: Annotated[float, Range(min=0)] = 3.0,
    searchrad: float = 2.0,
    use2dhist: bool = True,
    separation: float = 1.0,
    tolerance: float = 0.7,
    xoffset: float = 0.0,
    yoffset: float = 0.0,
    abs_refcat: str | None = "",
    save_abs_catalog: bool = False,
    abs_minobj: Annotated[int, Range(min=1)] = 15,
    abs_fitgeometry: Literal["shift", "rshift", "rscale", "general"] = "rshift",
    abs_nclip: Annotated[int, Range(min=0)] = 3,
    abs_sigma: Annotated[float, Range(min=0)] = 3.0,
    abs_searchrad: float = 6.0,
    abs_use2dhist: bool = True,
    abs_separation: float = 1.0,
    abs_tolerance: float = 0.7,
    sip_approx: bool = True,
    sip_max_pix_error: float = 0.01,
    sip_degree: Annotated[int, Range(max=6)] | None = None,
    sip_max_inv_pix_error: float = 0.01,
    sip_inv_degree: Annotated[int, Range(max=6)] | None = None,
    sip_npoints: int = 12,
    in_memory: bool = True,
    fallback: bool = True,
    group_by: Literal["exposure", "visit", "guide_star", "detector"] = "exposure",
) -> Alignment | Skipped:
    """Find one correction per exposure that brings the sources of an association together.

    Removes errors of the pointing: shifts, and rolls about the reference point, that all detectors of an
    exposure share.

    Parameters
    ----------
    inputs : Stage3Inputs
        The calibrated images, in the order of the association.
    refs : References
        Not used.
    save_catalogs : bool
        Keep the source lists, so that the caller writes them.
    use_custom_catalogs : bool
        Take source lists from files instead of finding sources.
    catalog_format : {"ecsv", "fits"}
        Form of the source lists that are written.
    catfile : str
        Text file with a line "image-file source-list" per image; source lists are relative to its folder. An
        image that is not named keeps the list its header names (TCATFILE), or its sources are found.
    starfinder : {"dao", "iraf", "segmentation"}
        How sources are found.
    snr_threshold : float
        Detection limit in units of the background noise.
    kernel_fwhm : float
        Full width at half maximum of the Gaussian the image is smoothed with [pixel].
    bkg_boxsize : int
        Side of the boxes in which the background is measured [pixel].
    minsep_fwhm : float
        Smallest distance between stars in units of kernel_fwhm; never below 2 pixels (dao, iraf).
    sigma_radius : float
        Truncation radius of the kernel in standard deviations (dao, iraf).
    sharplo, sharphi : float
        Range of sharpness (dao, iraf).
    roundlo, roundhi : float
        Range of roundness (dao, iraf).
    brightest : int or None
        Keep this many of the brightest stars (dao, iraf).
    peakmax : float or None
        Leave out stars whose peak is above this (dao, iraf) [unit of the image].
    npixels : int
        Smallest number of connected pixels (segmentation).
    connectivity : {4, 8}
        Whether pixels that touch at corners are connected (segmentation).
    nlevels : int
        Number of thresholds for splitting blends (segmentation).
    contrast : float
        Share of a blend's light that a part must have (segmentation).
    multithresh_mode : {"exponential", "linear", "sinh"}
        Spacing of the thresholds (segmentation).
    localbkg_width : int
        Width of a frame around each source in which its local background is measured; 0: none (segmentation)
        [pixel].
    apermask_method : {"correct", "mask", "none"}
        What is done about neighbours in Kron apertures (segmentation).
    kron_params : list of float or None
        Parameters of Kron apertures (segmentation).
    deblend : bool
        Split blends (segmentation).
    enforce_user_order : bool
        Align in the order of the association even with expand_refcat.
    expand_refcat : bool
        Add the sources of aligned exposures to the reference; then exposures are aligned in order of overlap.
    minobj : int
        Smallest number of matched sources.
    fitgeometry : {"shift", "rshift", "rscale", "general"}
        What the correction may do: shift; and rotate; and scale; any linear transformation.
    nclip : int
        Rounds of clipping in the fit.
    sigma : float
        Clipping limit in units of the root mean square residual.
    searchrad : float
        How far the first offset is searched [arcsec].
    use2dhist : bool
        Search the first offset; otherwise xoffset and yoffset are taken.
    separation : float
        Sources closer than this are taken as one [arcsec].
    tolerance : float
        How close matched sources are after the first offset [arcsec].
    xoffset, yoffset : float
        First offset when use2dhist is off [arcsec].
    abs_refcat : str or None
        File of an absolute catalog (ECSV, FITS, CSV: RA, DEC, optional weight, optional pmra, pmdec,
        ref_epoch); empty for none. Names of network catalogs (GAIADR3, ...) are understood but not fetched:
        give a file.
    save_abs_catalog : bool
        no effect: the absolute catalog is the user's own file.
    abs_minobj : int
        As minobj, for the absolute alignment.
    abs_fitgeometry : {"shift", "rshift", "rscale", "general"}
        As fitgeometry, for the absolute alignment.
    abs_nclip : int
        As nclip, for the absolute alignment.
    abs_sigma : float
        As sigma, for the absolute alignment.
    abs_searchrad : float
        As searchrad, for the absolute alignment [arcsec].
    abs_use2dhist : bool
        As use2dhist, for the absolute alignment; the offset is zero without it.
    abs_separation : float
        As separation, for the absolute alignment [arcsec].
    abs_tolerance : float
        As tolerance, for the absolute alignment [arcsec].
    sip_approx : bool
        Approximate the corrected WCS in the header where it is written (crf).
    sip_max_pix_error : float
        Largest error of that approximation [pixel].
    sip_degree : int or None
        Degree of that approximation; None: the lowest that is good enough.
    sip_max_inv_pix_error : float
        Largest error of its inverse [pixel].
    sip_inv_degree : int or None
        Degree of its inverse.
    sip_npoints : int
        Points per axis of that approximation.
    in_memory : bool
        no effect: one image is in memory at a time.
    fallback : bool
        Try again where the official procedure gives up; off: exactly the official procedure.
    group_by : {"exposure", "visit", "guide_star", "detector"}
        Which images share one correction: the detectors of an exposure (the official way), all of a visit, all of a
        visit with one guide star, or every image has its own.

    Returns
    -------
    Alignment
        Corrections, status and residuals; wrapped in ``Skipped`` when nothing was aligned.

    Raises
    ------
    InputError
        If a catalog is missing or lacks columns.
    ConfigError
        If separation and tolerance do not go together.
    """
    p = dict(locals())
    frames = list(inputs.frames)
    relative, absolute = _settings(p)
    absolute_file = _absolute_file(abs_refcat)
    names = group_names(frames, group_by)
    out = Alignment(inputs.product, exposures=[ExposureAlignment(f.name, n) for f, n in zip(frames, names, strict=True)])
    if abs_refcat and absolute_file is None:
        text = f"{abs_refcat} is a network catalog and computing does not use the network; "
        text += "save it as a file (RA, DEC, pmra, pmdec, ref_epoch) and give its path as steps: tweakreg: abs_refcat"
        log.warning("%s", text)
        out.absolute = {"catalog": abs_refcat, "status": f"SKIPPED: {text}"}
    if absolute_file is None and len(set(names)) == 1 and not save_catalogs:
        return _skipped(out, _ALONE[group_by])
    given = user_lists(frames, catfile, inputs) if use_custom_catalogs else {}
    images = [listed_image(frame, FinderOptions.pick(p), given.get(frame.name), out.catalogs) for frame in frames]
    for exposure, image in zip(out.exposures, images, strict=True):
        exposure.sources = image.x.size
    groups = make_groups(images, names)
    problem = _align(groups, relative, absolute, absolute_file, frames, out)
    if not save_catalogs:
        out.catalogs.clear()
    for exposure, image in zip(out.exposures, images, strict=True):
        if exposure.status == "SUCCESS":
            exposure.set_correction(replace(image.correction, name=out.wcs_name(exposure.group)))
    return _skipped(out, problem) if problem else out


def _skipped(out: Alignment, reason: str) -> Skipped:
    out.status, out.reason = "SKIPPED", reason
    return Skipped(out, reason)


def _settings(p: Mapping[str, Any]) -> tuple[Settings, Settings]:
    """Return the settings of the relative and of the absolute alignment."""
    match = MatchOptions(*(p[k] for k in ("searchrad", "use2dhist", "separation", "tolerance", "xoffset", "yoffset")))
    abs_match = MatchOptions(*(p[f"abs_{k}"] for k in ("searchrad", "use2dhist", "separation", "tolerance")))
    match.check()
    expand = p["expand_refcat"] or bool(p["abs_refcat"] and p["abs_refcat"].strip())
    relative = Settings(
        match, p["minobj"], p["fitgeometry"], p["nclip"], p["sigma"], p["enforce_user_order"], expand, p["fallback"]
    )
    absolute = Settings(
        abs_match, p["abs_minobj"], p["abs_fitgeometry"], p["abs_nclip"], p["abs_sigma"], True, False, p["fallback"]
    )
    if p["abs_refcat"]:
        abs_match.check("abs_")
    return relative, absolute


def _absolute_file(abs_refcat: str | None) -> Path | None:
    """Return the absolute catalog's file, or None when there is none or it would have to come from the network."""
    name = (abs_refcat or "").strip()
    if not name or name.upper() in ("NONE", *NETWORK_CATALOGS):
        return None
    if not Path(name).is_file():
        raise InputError(
            f"tweakreg: abs_refcat '{name}' is neither a file nor one of {', '.join(NETWORK_CATALOGS)}; "
            "give the path of a catalog"
        )
    return Path(name)


def _align(
    groups: list[Group], relative: Settings, absolute: Settings, file: Path | None, frames: list[Frame], out: Alignment
) -> str:
    """Set the corrections and the record of the fits; return why nothing was aligned, or ""."""
    problem = "" if len(groups) > 1 else _ALONE["exposure"]
    fits: list[GroupFit] | None = None
    if len(groups) > 1:
        try:
            fits = align_relative(groups, relative)
        except NotAligned as reason:
            problem = str(reason)
            log.warning("relative alignment: %s", problem)
            for group in groups if relative.fallback else ():
                group.reset()
    out.groups = [GroupAlignment.of(f) for f in fits or ()]
    status = {f.group: f.status for f in fits or ()}
    if file is not None:
        catalog = read_reference_catalog(file, observation_epoch([f.header for f in frames]))
        out.absolute = {"catalog": str(file), "sources": len(catalog), "epoch": catalog.epoch, "status": "COMPLETE"}
        try:
            final = align_absolute(groups, catalog, absolute, fits)
        except NotAligned as reason:
            log.warning("absolute alignment: %s", reason)
            out.absolute["status"] = f"SKIPPED: {reason}"
            problem = "" if absolute.fallback and fits else str(reason)
        else:
            problem = ""
            out.groups += [GroupAlignment.of(f) for f in final]
            for fit in final:
                # without second attempts a failed absolute alignment takes the relative one with it, as officially
                if fit.good or not absolute.fallback or fit.group not in status:
                    status[fit.group] = fit.status
            if not any(f.good for f in final):
                out.absolute["status"] = final[0].status
    if problem:
        return problem
    for exposure in out.exposures:
        exposure.status = status[exposure.group]
    return ""
