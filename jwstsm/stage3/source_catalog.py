"""Catalog of the sources of a mosaic: positions, photometry, shapes.

Sources are found in the mosaic in Jy per pixel, after its background is taken off. Their light is summed over the
region (isophotal) and, without that background subtraction but with the local one of a ring, in circles that hold
30, 50 and 70 % of a star's light; the last, times the aperture correction, is the total flux of a star. The ratios of
the circles tell stars from extended sources.

Source: the official ``source_catalog`` step; photutils.
"""

from __future__ import annotations

import logging
import platform
from typing import Annotated, Any, Literal

import numpy as np

from jwstsm.core.sources import FinderOptions, Sources, find_sources
from jwstsm.errors import ConfigError, InputError
from jwstsm.products import Mosaic
from jwstsm.references import References
from jwstsm.stage3._apertures import Apertures, vega_offset
from jwstsm.stage3._catalog import Catalog, catalog_columns
from jwstsm.stage3._photometry import annulus_background, aperture_sums, nearest_neighbours, star_shapes
from jwstsm.step import Range, Skipped, step

__all__ = ["ab_magnitudes", "measure_sources", "source_catalog"]

log = logging.getLogger(__name__)

_AB_ZERO = 8.9  # AB magnitude of 1 Jy


def ab_magnitudes(flux: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AB magnitudes and their errors of fluxes [Jy]; NaN for negative fluxes."""
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = -2.5 * np.log10(flux) + _AB_ZERO
        magnitude_error = 2.5 * np.log10(1.0 + error / flux)
    negative = flux < 0
    return np.where(negative, np.nan, magnitude), np.where(negative, np.nan, magnitude_error)


def measure_sources(
    data: np.ndarray,
    error: np.ndarray,
    sources: Sources,
    apertures: Apertures,
    vega: float,
    fwhm: float,
    thresholds: tuple[float, float],
) -> dict[str, np.ndarray]:
    """Measure everything that needs no world coordinates.

    Parameters
    ----------
    data, error : ndarray, (ny, nx) float32
        The mosaic and its error, background included [Jy per pixel].
    sources : Sources
        What was found.
    apertures : Apertures
        Circles and ring.
    vega : float
        AB minus Vega magnitude.
    fwhm : float
        Kernel of the shape statistics [pixel].
    thresholds : (float, float)
        A source is extended when its two concentration indices are above these.

    Returns
    -------
    dict of ndarray
        The columns of the catalog by name.

    Notes
    -----
    Aperture flux = sum over the circle - background of the ring x pi r^2; its error holds the error of the sum only, as
    the official one does. Magnitude error = 2.5 log10(1 + error / flux).
    """
    x, y, label = sources.x, sources.y, sources.columns["id"]
    nothing = np.full(len(sources), np.nan)
    out: dict[str, np.ndarray] = {"label": label, "xcentroid": x, "ycentroid": y}
    ring = annulus_background(data, x, y, apertures.inner, apertures.outer)
    out["aper_bkg_flux"], out["aper_bkg_flux_err"] = ring[:, 0], ring[:, 1]
    for e, radius in zip(apertures.ee, apertures.radii, strict=True):
        sums = aperture_sums(data, error, x, y, radius)
        out[f"aper{e}_flux"], out[f"aper{e}_flux_err"] = sums[:, 0] - ring[:, 0] * np.pi * radius**2, sums[:, 1]
    last = f"aper{apertures.ee[-1]}_flux"
    for suffix in ("", "_err"):
        out[f"aper_total_flux{suffix}"] = apertures.corrections[-1] * out[f"{last}{suffix}"]
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, j in ((0, 1), (1, 2), (0, 2)):
            low, high = apertures.ee[i], apertures.ee[j]
            out[f"CI_{high}_{low}"] = out[f"aper{high}_flux"] / out[f"aper{low}_flux"]
        first, second = (f"CI_{apertures.ee[k + 1]}_{apertures.ee[k]}" for k in (0, 1))
        out["is_extended"] = (out[first] > thresholds[0]) & (out[second] > thresholds[1])
    out["sharpness"], out["roundness"] = star_shapes(data, x, y, fwhm)
    out["nn_label"], out["nn_dist"] = nearest_neighbours(x, y, label)
    official = {
        "isophotal_flux": "flux",
        "isophotal_flux_err": "segment_flux_err",
        "isophotal_area": "area",
        "semimajor_sigma": "semimajor_axis",
        "semiminor_sigma": "semiminor_axis",
    }
    for name in (*official, "ellipticity", "orientation", "kron_flux", "kron_flux_err"):
        out[name] = sources.columns.get(official.get(name, name), nothing)
    for name in [*(f"aper{e}" for e in apertures.ee), "aper_total", "isophotal"]:
        ab, ab_error = ab_magnitudes(out[f"{name}_flux"], out[f"{name}_flux_err"])
        out[f"{name}_abmag"], out[f"{name}_abmag_err"] = ab, ab_error
        out[f"{name}_vegamag"], out[f"{name}_vegamag_err"] = ab - vega, ab_error
    return out


def sky_columns(wcs, sources: Sources, orientation: np.ndarray, crpix: tuple[float, float]) -> dict[str, np.ndarray]:
    """Return what the world coordinates add: (n, 2) positions [deg] and position angles [deg].

    Parameters
    ----------
    wcs : Wcs
        World coordinates of the mosaic.
    sources : Sources
        What was found.
    orientation : ndarray, (n,)
        Angle of the major axis from the x axis [deg].
    crpix : (float, float)
        Pixel (from 0) at which the direction of north is taken.
    """

    def sky(x, y) -> np.ndarray:
        return np.stack(wcs(np.asarray(x, float), np.asarray(y, float)), axis=1)

    out = {"sky_centroid": sky(sources.x, sources.y)}
    ra, dec = wcs(*crpix, with_bounding_box=False)
    x, y = wcs.invert(np.array([ra, ra]), np.array([dec, dec + 1.0 / 3600.0]), with_bounding_box=False)
    north = np.degrees(np.arctan2(y[1] - y[0], x[1] - x[0]))
    out["sky_orientation"] = (180.0 - north + orientation) % 360.0
    nothing = np.full(len(sources), np.nan)
    for name, (row, column) in {"ll": (0, 2), "ul": (1, 2), "lr": (0, 3), "ur": (1, 3)}.items():
        if sources.boxes is None:
            out[f"sky_bbox_{name}"] = nothing
        else:  # photutils' corners: half a pixel outside the first pixel, one and a half outside the last
            y, x = sources.boxes[:, row] + (row - 0.5), sources.boxes[:, column] + (column - 2.5)
            out[f"sky_bbox_{name}"] = sky(x, y)
    return out


@step("S_SRCCAT", references=["apcorr", "abvegaoffset"])
def source_catalog(
    mosaic: Mosaic,
    refs: References,
    *,
    aperture_ee1: Annotated[int, Range(min=1, max=99)] = 30,
    aperture_ee2: Annotated[int, Range(min=1, max=99)] = 50,
    aperture_ee3: Annotated[int, Range(min=1, max=99)] = 70,
    ci1_star_threshold: float = 2.0,
    ci2_star_threshold: float = 1.8,
    starfinder: Literal["dao", "iraf", "segmentation"] = "segmentation",
    snr_threshold: float = 3.0,
    bkg_boxsize: Annotated[int, Range(min=1)] = 1000,
    kernel_fwhm: Annotated[float, Range(min=0)] = 2.0,
    minsep_fwhm: Annotated[float, Range(min=0)] = 0.0,
    sigma_radius: Annotated[float, Range(min=0)] = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: Annotated[int, Range(min=1)] | None = 200,
    peakmax: float | None = None,
    npixels: Annotated[int, Range(min=1)] = 25,
    connectivity: Literal[4, 8] = 8,
    nlevels: Annotated[int, Range(min=1)] = 32,
    contrast: Annotated[float, Range(min=0, max=1)] = 0.001,
    multithresh_mode: Literal["exponential", "linear", "sinh"] = "exponential",
    localbkg_width: Annotated[int, Range(min=0)] = 0,
    apermask_method: Literal["correct", "mask", "none"] = "correct",
    kron_params: Annotated[list[float], Range(min=2, max=3)] | None = None,
    deblend: bool = True,
) -> Catalog | Skipped:
    """Find and measure the sources of a mosaic.

    Adds nothing to the image; makes its catalog and the map of the regions that belong to each source.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic [MJy/sr], with PIXAR_SR; pixels without error or weight are not searched.
    refs : References
        ``apcorr``: aperture radii and corrections; ``abvegaoffset``: AB minus Vega magnitude.
    aperture_ee1, aperture_ee2, aperture_ee3 : int
        Encircled energies of the three apertures, increasing [percent].
    ci1_star_threshold, ci2_star_threshold : float
        A source is extended if its first and second concentration index are above these.
    starfinder : {"dao", "iraf", "segmentation"}
        How sources are found.
    snr_threshold : float
        Detection limit in units of the background noise.
    bkg_boxsize : int
        Side of the boxes in which the background is measured [pixel].
    kernel_fwhm : float
        Full width at half maximum of the Gaussian the image is smoothed with [pixel].
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
        Leave out stars whose peak is above this (dao, iraf) [Jy].
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
        Width of a frame around each source in which its local background is measured; 0: none (segmentation) [pixel].
    apermask_method : {"correct", "mask", "none"}
        What is done about neighbours in Kron apertures (segmentation).
    kron_params : list of float or None
        Parameters of Kron apertures; when they are given, the catalog gets Kron fluxes (segmentation).
    deblend : bool
        Split blends (segmentation).

    Returns
    -------
    Catalog
        The catalog and its segmentation map; ``Skipped`` if there are no sources, or no reference row for the filter.

    Raises
    ------
    ConfigError
        If the encircled energies do not increase.
    InputError
        If the mosaic is not in MJy/sr.

    Notes
    -----
    As in the official step, the total flux is that of a star: of simulated galaxies with half-light radii of 0.3 arcsec it
    holds a fifth (NIRCam, 2 um). Isophotal fluxes count what is above the detection limit, 83 % of the light of galaxies
    of 19 mag and a third at 22 mag (88 % and 69 % in Kron apertures); of stars 82 to 94 %. Total fluxes of stars are right
    to 0.2 % where the aperture corrections hold for drizzled images and for circles that cut through pixels: corrections
    without the latter made them 1.2 to 1.4 % too small.
    """
    p = dict(locals())
    ee = (aperture_ee1, aperture_ee2, aperture_ee3)
    if not ee[0] < ee[1] < ee[2]:
        raise ConfigError(f"source_catalog: aperture_ee1, aperture_ee2, aperture_ee3 must increase, they are {ee}")
    try:
        apertures, vega = Apertures.of(refs["apcorr"], mosaic, ee), vega_offset(refs["abvegaoffset"], mosaic)
    except LookupError as problem:
        return Skipped(mosaic, str(problem))
    data, error = _in_jansky(mosaic)
    empty = np.isnan(error)
    if mosaic.wht is not None:
        empty |= mosaic.wht == 0
    sources = find_sources(data, empty, FinderOptions.pick(p), error)
    if not len(sources):
        return Skipped(mosaic, "no sources found")
    values = measure_sources(data, error, sources, apertures, vega, kernel_fwhm, (ci1_star_threshold, ci2_star_threshold))
    crpix = tuple(float(mosaic.require(f"CRPIX{axis}")) - 1.0 for axis in (1, 2))
    values |= sky_columns(mosaic.wcs, sources, values["orientation"], crpix)
    log.info("%s: %d sources, %d of them extended", mosaic.name, len(sources), np.count_nonzero(values["is_extended"]))
    kron = [float(k) for k in kron_params or (2.5, 1.4, 0.0)]
    meta = _meta(mosaic, apertures, vega) | {
        "local_bkg_width": localbkg_width,
        "aperture_mask_method": apermask_method,
        "kron_params": kron,
    }
    segments = None if sources.segments is None else sources.segments.view(np.uint32)
    return Catalog(catalog_columns(apertures.ee, bool(kron_params)), values, meta, segments)


def _in_jansky(mosaic: Mosaic) -> tuple[np.ndarray, np.ndarray]:
    """Return the mosaic and its error [Jy per pixel]."""
    unit = str(mosaic.sci.get("BUNIT", "")).strip()
    if unit != "MJy/sr":
        raise InputError(f"{mosaic.name}: BUNIT is '{unit}', a source catalog needs MJy/sr; run photom on the exposures")
    factor = np.float32(1e6 * float(mosaic.require("PIXAR_SR")))
    return mosaic.data * factor, mosaic.err * factor


def _meta(mosaic: Mosaic, apertures: Apertures, vega: float) -> dict[str, Any]:
    from jwstsm import __version__

    return {
        "date": str(mosaic.key("DATE", "")),
        "version": {"jwstsm": __version__, "numpy": np.__version__, "Python": platform.python_version()},
        "aperture_params": {
            "aperture_ee": apertures.ee,
            "aperture_radii": apertures.radii,
            "aperture_corrections": apertures.corrections,
            "bkg_aperture_inner_radius": apertures.inner,
            "bkg_aperture_outer_radius": apertures.outer,
        },
        "abvega_offset": vega,
    }
