"""A mosaic product from drizzled arrays and the headers of the inputs: what stages 2 and 3 share.

The parts are named as the fields of the product, so that a stage makes it by ``Mosaic(**parts)``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from astropy.io import fits

from jwstsm.core import blend, polygons
from jwstsm.core.frames import Frame, Stage3Inputs, groups
from jwstsm.core.resample import VARIANCES, Drizzling, Projection, Resampled, Window, resample_frames

__all__ = ["combined_region", "mosaic_parts", "times"]

log = logging.getLogger(__name__)

_COMMENTS = {
    "NDRIZ": "Number of groups/pointings included in resampled product",
    "RESWHT": "Type of drizzle weighting used",
    "PIXFRAC": "Drizzle parameter describing pixel shrinking",
    "PXSCLRT": "Pixel scale ratio relative to native detector",
    "EFFEXPTM": "[s] Effective exposure time",
    "TMEASURE": "[s] Measurement time",
    "DURATION": "[s] Total duration of exposure",
    "EXPSTART": "[d] exposure start time in MJD",
    "EXPEND": "[d] exposure end time in MJD",
    "XPOSURE": "[s] Effective exposure time",
    "TELAPSE": "[s] Total elapsed exposure time",
    "PIXAR_SR": "Nominal pixel area in steradians",
    "PIXAR_A2": "Nominal pixel area in arcsec^2",
    "S_REGION": "Spatial footprint of the observation",
    "ASNPOOL": "Name of the ASN pool",
    "ASNTABLE": "Name of the ASN table",
    "DATAMODL": "Type of data model",
}


def times(frames: Sequence[Frame]) -> dict[str, float]:
    """Return the exposure times of a mosaic: each exposure counts once, however many detectors it has."""
    first = [frames[members[0]].header for members in groups(frames).values()]
    out = {}
    for keyword, fold in (("EFFEXPTM", sum), ("DURATION", sum), ("EXPSTART", min), ("EXPEND", max), ("TMEASURE", sum)):
        values = [h.get(keyword) for h in first]
        known = [float(v) for v in values if v is not None]
        # a total measurement time needs that of every exposure
        if known and (keyword != "TMEASURE" or len(known) == len(values)):
            out[keyword] = fold(known)
    return out


def combined_region(frames: Sequence[Frame], wcs: Any, shape: tuple[int, int]) -> str | None:
    """Return the ``S_REGION`` of a mosaic: the union of the inputs' outlines, cut to the output."""
    ny, nx = shape
    edge = np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])
    cut = []
    for frame in frames:
        rows, columns = frame.shape
        (x0, x1), (y0, y1) = frame.wcs.bounding_box or ((-0.5, columns - 0.5), (-0.5, rows - 0.5))
        corners = frame.wcs(np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0]), with_bounding_box=False)
        outline = polygons.clip_convex(np.stack(wcs.invert(*corners, with_bounding_box=False), axis=-1), edge)
        if len(outline):
            cut.append(outline)
    if not cut:
        log.warning("no input overlaps the output: it gets no S_REGION")
        return None
    regions = []
    for outline in polygons.union_outlines(cut):
        ra, dec = wcs(*outline[::-1].T, with_bounding_box=False)  # clockwise in pixels, as single images have it
        regions.append("POLYGON ICRS  " + " ".join(f"{a:.9f} {d:.9f}" for a, d in zip(ra % 360, dec, strict=True)))
    return "  ".join(regions)


def _headers(
    inputs: Stage3Inputs, grid: Any, options: Drizzling, update_wcs: Callable, blended: bool
) -> tuple[fits.Header, fits.Header]:
    """Return the primary and the SCI header of the mosaic."""
    frames = inputs.frames
    primary, sci = (h.copy() for h in frames[0].headers())
    dropped = blend.rules()["dropped"]
    if blended:
        blend.apply_blended(primary, sci, [f.header for f in frames])
    else:
        for header in (primary, sci):
            for keyword in dropped:
                header.remove(keyword, ignore_missing=True)
    total = times(frames)
    first = {"DATAMODL": "ImageModel", "NDRIZ": len(groups(frames)), "RESWHT": options.weight_type or "none"}
    first |= {"PIXFRAC": options.pixfrac, "PXSCLRT": options.scale, **total}
    first |= {k: v for k, v in (("ASNPOOL", inputs.pool), ("ASNTABLE", inputs.association)) if v}
    second = {"XPOSURE": total.get("EFFEXPTM"), "TELAPSE": total.get("DURATION")}
    second |= {"PIXAR_SR": grid.pixel_area_sr, "PIXAR_A2": grid.pixel_area_arcsec2}
    update_wcs(sci, grid.wcs)
    second["S_REGION"] = combined_region(frames, grid.wcs, grid.shape)
    for header, values in ((primary, first), (sci, second)):
        for keyword, value in values.items():
            if value is not None:
                header[keyword] = (value, _COMMENTS[keyword])
    return primary, sci


def mosaic_parts(
    inputs: Stage3Inputs,
    grid: Any,
    projections: Sequence[Projection],
    options: Drizzling,
    update_wcs: Callable[[fits.Header, Any], None],
    *,
    blended: bool = True,
    report_var: bool = True,
) -> dict[str, Any]:
    """Drizzle the frames on a grid and return the parts of the product.

    Parameters
    ----------
    inputs : Stage3Inputs
    grid : object
        ``wcs``, ``shape``, ``pixel_area_sr``, ``pixel_area_arcsec2`` of the output.
    projections : list of Projection
        From each frame to the grid.
    options : Drizzling
    update_wcs : callable
        ``update_wcs(header, wcs)`` replaces the WCS keywords of an exposure by those of the grid.
    blended : bool
        Blend the headers and add ``HDRTAB``; otherwise the headers are those of the first frame.
    report_var : bool
        Return the variances too.

    Returns
    -------
    dict
        ``primary headers tables wcs data err con wht var_rnoise var_poisson var_flat``, and ``dq`` if it was asked for.
    """
    made: Resampled = resample_frames(inputs.frames, projections, Window(0, 0, *grid.shape[::-1]), options)
    primary, sci = _headers(inputs, grid, options, update_wcs, blended)
    parts = {
        "primary": primary,
        "headers": {"SCI": sci},
        "tables": {"HDRTAB": blend.header_table([f.header for f in inputs.frames])} if blended else {},
        "wcs": grid.wcs,
        "data": made.data,
        "err": made.err,
        "con": made.con,
        "wht": made.wht,
    }
    if report_var and made.variances is not None:
        parts |= dict(zip(VARIANCES, made.variances, strict=True))
    if made.dq is not None:
        parts["dq"] = made.dq
    return parts
