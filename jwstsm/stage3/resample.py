"""Combine the images of an association on one grid by drizzling: the ``i2d`` product.

Method: :mod:`jwstsm.core.drizzle`; the grid covers the union of the images, with the orientation and the pixel scale of
the first unless told otherwise. The data are surface brightnesses, combined as weighted means.

Source: official description of the step; Fruchter & Hook 2002.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import numpy as np

from jwstsm.core.dq import bits_from_string
from jwstsm.core.drizzle import fill_value
from jwstsm.core.frames import Stage3Inputs, groups
from jwstsm.core.mosaic import mosaic_parts
from jwstsm.core.resample import Drizzling
from jwstsm.errors import InputError
from jwstsm.products import Mosaic
from jwstsm.references import References
from jwstsm.stage3._grid import grid_of
from jwstsm.step import Range, step
from jwstsm.wcs.mosaic import update_header
from jwstsm.wcs.pixmap import PixelMap

__all__ = ["resample"]

log = logging.getLogger(__name__)

GOOD_BITS = "~DO_NOT_USE+NON_SCIENCE"


def _scale_ratio(inputs: Stage3Inputs, pixel_scale: float) -> float:
    """Return output to first input pixel scale, the latter from its nominal pixel area."""
    first = inputs.frames[0]
    area = first.header.get("PIXAR_SR")
    if not area or area <= 0:
        raise InputError(f"{first.name}: keyword PIXAR_SR is missing; a user's output_wcs needs it, run photom again")
    return pixel_scale / (3600.0 * np.rad2deg(np.sqrt(float(area))))


@step("S_RESAMP", scope="association")
def resample(
    inputs: Stage3Inputs,
    refs: References | None = None,
    *,
    pixfrac: Annotated[float, Range(min=0, max=1)] = 1.0,
    kernel: Literal["square", "gaussian", "point", "turbo", "lanczos2", "lanczos3"] = "square",
    fillval: str = "NAN",
    weight_type: Literal["ivm", "exptime", None] = "ivm",
    output_shape: Annotated[list[int], Range(min=2, max=2)] | None = None,
    crpix: Annotated[list[float], Range(min=2, max=2)] | None = None,
    crval: Annotated[list[float], Range(min=2, max=2)] | None = None,
    rotation: float | None = None,
    pixel_scale_ratio: float = 1.0,
    pixel_scale: float | None = None,
    output_wcs: str = "",
    single: bool = False,
    blendheaders: bool = True,
    in_memory: bool = True,
    enable_ctx: bool = True,
    enable_err: bool = True,
    report_var: bool = True,
    propagate_dq: bool = False,
    pixmap_stepsize: float = 1.0,
    pixmap_order: int = 1,
    variance: Literal["official", "exact"] = "official",
) -> Mosaic | dict[str, Mosaic]:
    """Drizzle the images of an association on one grid.

    Removes the distortion of the camera and puts dithered exposures together.

    Parameters
    ----------
    inputs : Stage3Inputs
        The images, with corrected world coordinates and sky levels.
    refs : References, optional
        Not used.
    pixfrac : float
        Side of the shrunk pixel, in input pixels.
    kernel : str
        How a pixel is spread; gaussian and lanczos keep flux only on average.
    fillval : str
        Value of output pixels without input: NAN, INDEF or a number.
    weight_type : str
        Weight of a pixel: inverse read-noise variance, exposure time, or empty for equal weights.
    output_shape : list of int
        Size of the output, x then y [pixel].
    crpix : list of float
        Reference pixel, x then y [0-based].
    crval : list of float
        Right ascension and declination of the reference pixel [deg].
    rotation : float
        Position angle of the output's y axis [deg].
    pixel_scale_ratio : float
        Output to input pixel scale.
    pixel_scale : float
        Output pixel scale [arcsec]; overrides the ratio.
    output_wcs : str
        ASDF file with the output grid, or a mosaic (i2d) whose grid to take; overrides all of the above.
    single : bool
        Make one image per exposure, all on the same grid, without errors, instead of their combination.
    blendheaders : bool
        Blend the headers of the inputs and keep them in a table; otherwise take the first.
    in_memory : bool
        No effect: memory is bounded by tiles.
    enable_ctx : bool
        Make the context image: which inputs contribute to each pixel.
    enable_err : bool
        Make the error and the variances.
    report_var : bool
        Keep the variances in the product.
    propagate_dq : bool
        Combine the DQ of all contributing pixels.
    pixmap_stepsize : float
        No effect: pixel maps are approximated to 1e-4 pixel.
    pixmap_order : int
        No effect, as ``pixmap_stepsize``.
    variance : str
        ``official`` as the official step; ``exact`` is the variance of each output pixel
        (:class:`jwstsm.core.drizzle.Coadd`).

    Returns
    -------
    Mosaic or dict of str to Mosaic
        The ``i2d`` product; with ``single`` one per exposure.

    Notes
    -----
    ``SCI = sum(a w (d - sky)) / sum(a w)``, ``WHT = sum(a w)``, ``ERR = sqrt(VAR_RNOISE + VAR_POISSON + VAR_FLAT)``;
    ``official`` variances are divided by the square of the pixel scale ratio. Neighbouring pixels are correlated: sums
    of ``exact`` errors need the factor :func:`jwstsm.core.drizzle.noise_correlation`, ``official`` ones contain it.
    DQ bits read: DO_NOT_USE, NON_SCIENCE.
    """
    shape_options = {"crpix": crpix, "crval": crval, "rotation": rotation, "pixel_scale": pixel_scale}
    grid = grid_of(inputs, output_wcs, output_shape, pixel_scale_ratio=pixel_scale_ratio, **shape_options)
    scale = _scale_ratio(inputs, grid.pixel_scale) if output_wcs else grid.pixel_scale_ratio
    log.info("output %d x %d pixels of %.5f arcsec", *grid.shape[::-1], grid.pixel_scale)
    options = Drizzling(
        kernel=kernel,
        pixfrac=pixfrac,
        weight_type=weight_type,
        bad_bits=~bits_from_string(GOOD_BITS) & 0xFFFFFFFF,
        variance=variance if enable_err and not single else None,
        scale=scale,
        # the official way takes a pixel for one measurement however many are in it; the exact sum knows
        variance_scale=1.0 / scale**2 if variance == "official" else 1.0,
        fillval=fill_value(fillval),
        context=enable_ctx,
        propagate_dq=propagate_dq,
    )

    def make(part: Stage3Inputs) -> Mosaic:
        projections = [PixelMap(f.wcs, grid.wcs, f.shape) for f in part.frames]
        parts = mosaic_parts(part, grid, projections, options, update_header, blended=blendheaders, report_var=report_var)
        return Mosaic(suffix="i2d", **parts)

    if not single:
        return make(inputs)
    members = groups(inputs.frames)
    return {
        name: make(Stage3Inputs([inputs.frames[k] for k in own], name, inputs.association, inputs.pool))
        for name, own in members.items()
    }
