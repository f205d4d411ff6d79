"""Finding sources in an image: the three finders that alignment and the source catalog share.

``iraf`` and ``dao`` look for stars (:mod:`jwstsm.core.starfind`), ``segmentation`` for any connected light
(:mod:`jwstsm.core.segments`, :mod:`jwstsm.core.deblend`). The image's background and noise come from boxes
(:mod:`jwstsm.core.background`). All definitions are those of photutils with the official parameters; photutils
itself does the two rarely wanted measures (local background of a region, Kron photometry).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from jwstsm.core.background import estimate_background
from jwstsm.core.deblend import deblend_segments
from jwstsm.core.segments import detect_segments, gaussian_smooth, label_boxes, measure_segments
from jwstsm.core.starfind import StarKernel, find_peaks, measure_dao, measure_iraf, select_stars, smooth

__all__ = ["FinderOptions", "Sources", "find_sources"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinderOptions:
    """The official finder parameters, by their official names; see ``tweakreg`` for what each means."""

    starfinder: str = "iraf"
    snr_threshold: float = 10.0
    kernel_fwhm: float = 2.5
    bkg_boxsize: int = 400
    minsep_fwhm: float = 0.0
    sigma_radius: float = 1.5
    sharplo: float = 0.5
    sharphi: float = 2.0
    roundlo: float = 0.0
    roundhi: float = 0.2
    brightest: int | None = 200
    peakmax: float | None = None
    npixels: int = 10
    connectivity: int = 8
    nlevels: int = 32
    contrast: float = 0.001
    multithresh_mode: str = "exponential"
    localbkg_width: int = 0
    apermask_method: str = "correct"
    kron_params: list[float] | None = None
    deblend: bool = True

    @classmethod
    def pick(cls, parameters: Mapping[str, Any]) -> FinderOptions:
        """Take the finder's parameters out of a step's."""
        return cls(**{f.name: parameters[f.name] for f in fields(cls) if f.name in parameters})

    @property
    def separation(self) -> int:
        """Smallest distance between two stars [pixel]."""
        return max(2, int(self.minsep_fwhm * self.kernel_fwhm + 0.5))


@dataclass
class Sources:
    """A list of sources.

    Attributes
    ----------
    columns : dict of ndarray
        ``id xcentroid ycentroid flux`` (pixels from 0, image unit) and what else the finder measures.
    segments : ndarray, (ny, nx) int32, or None
        The labels of the regions, for the finder ``segmentation``.
    boxes : ndarray, (n, 4) int64, or None
        y0, y1, x0, x1 around each region.
    """

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    segments: np.ndarray | None = None
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.columns.get("id", ()))

    @property
    def x(self) -> np.ndarray:
        """Column (from 0) of the centroids [pixel]."""
        return self.columns["xcentroid"]

    @property
    def y(self) -> np.ndarray:
        """Row (from 0) of the centroids [pixel]."""
        return self.columns["ycentroid"]

    @classmethod
    def none(cls) -> Sources:
        """A list without sources."""
        return cls({"id": np.zeros(0, int)} | {name: np.zeros(0) for name in ("xcentroid", "ycentroid", "flux")})


def find_sources(data: np.ndarray, mask: np.ndarray, options: FinderOptions, error: np.ndarray | None = None) -> Sources:
    """Find the sources of an image.

    Parameters
    ----------
    data : ndarray, (ny, nx) float32
        The image [any unit]; NaN where there is no data. It is not changed.
    mask : ndarray, (ny, nx) bool
        Pixels that are not part of the image (True).
    options : FinderOptions
        Which finder, and its parameters.
    error : ndarray, (ny, nx) float32, or None
        Total error, for the error of a region's flux.

    Returns
    -------
    Sources
        The sources; none, with a warning in the log, when the image has no usable pixel.

    Notes
    -----
    The background is taken off first (masked pixels keep their values). A star must rise above
    ``snr_threshold`` times the median noise of the image, a region above ``snr_threshold`` times the noise of
    its place.
    """
    try:
        background = estimate_background(data, mask, options.bkg_boxsize)
    except ValueError as problem:
        log.warning("No background could be determined: %s", problem)
        return Sources.none()
    level = background.level()
    level[mask] = 0
    image = np.subtract(data, level, out=level)
    threshold = background.rms()
    threshold *= np.float32(options.snr_threshold)
    threshold[mask] = 0
    if options.starfinder == "segmentation":
        return _find_regions(image, mask, threshold, options, error)
    return _find_stars(image, mask, float(np.median(threshold)), options)


def _find_stars(image, mask, threshold, options) -> Sources:
    kernel = StarKernel(options.kernel_fwhm, options.sigma_radius)
    smoothed = smooth(image, kernel)
    limit = threshold * kernel.relative_error if options.starfinder == "dao" else threshold
    y, x = find_peaks(smoothed, limit, options.separation, mask)
    if x.size == 0:
        return Sources.none()
    if options.starfinder == "dao":
        table = measure_dao(image, smoothed, y, x, kernel, limit)
    else:
        table = measure_iraf(image, y, x, kernel)
    limits = (options.sharplo, options.sharphi), (options.roundlo, options.roundhi)
    return Sources(select_stars(table, *limits, options.brightest, options.peakmax))


def _find_regions(image, mask, threshold, options, error) -> Sources:
    smoothed = gaussian_smooth(image, mask, options.kernel_fwhm) if options.kernel_fwhm > 0 else image
    segments, count = detect_segments(smoothed, threshold, mask, options.npixels, options.connectivity)
    if count == 0:
        return Sources.none()
    if options.deblend:
        segments, count = deblend_segments(
            smoothed,
            segments,
            count,
            options.npixels,
            options.connectivity,
            options.nlevels,
            options.contrast,
            options.multithresh_mode,
        )
    boxes = label_boxes(segments, count)
    columns = measure_segments(image, error, smoothed, segments, boxes)
    if options.localbkg_width or options.kron_params:
        columns |= _measured_by_photutils(image, mask, smoothed, segments, options, error)
    return Sources(columns, segments, boxes)


def _measured_by_photutils(image, mask, smoothed, segments, options, error) -> dict[str, np.ndarray]:
    """Return the measures that only some users ask for, from photutils itself."""
    from photutils.segmentation import SegmentationImage, SourceCatalog

    catalog = SourceCatalog(
        image,
        SegmentationImage(segments),
        mask=mask,
        convolved_data=smoothed,
        error=error,
        local_bkg_width=options.localbkg_width,
        aperture_mask_method=options.apermask_method,
        kron_params=tuple(options.kron_params or (2.5, 1.4, 0.0)),
    )
    columns = {"flux": np.atleast_1d(catalog.segment_flux)}
    if options.kron_params:
        columns |= {
            "kron_flux": np.atleast_1d(catalog.kron_flux),
            "kron_flux_err": np.atleast_1d(catalog.kron_flux_err),
        }
    return columns
