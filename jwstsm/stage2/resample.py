"""Drizzle a single exposure on an undistorted grid: the quick-look ``i2d`` of stage 2.

Method and grid are those of stage 3 (:mod:`jwstsm.core.mosaic`) for one image; its headers are kept as they are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from jwstsm.core.dq import bits_from_string
from jwstsm.core.drizzle import fill_value
from jwstsm.core.frames import MemoryFrame, Stage3Inputs
from jwstsm.core.mosaic import mosaic_parts
from jwstsm.core.resample import Drizzling
from jwstsm.products import Mosaic, Slope
from jwstsm.references import References
from jwstsm.step import Range, Skipped, step
from jwstsm.wcs.mosaic import grid_from_inputs, load_grid, pointing_of, update_header
from jwstsm.wcs.pixmap import PixelMap

__all__ = ["resample"]

GOOD_BITS = "~DO_NOT_USE+NON_SCIENCE"


@step("S_RESAMP")
def resample(
    slope: Slope,
    refs: References,
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
) -> dict[str, Slope | Mosaic] | Skipped:
    """Drizzle one calibrated image on an undistorted grid.

    Removes the distortion of the camera from one exposure.

    Parameters
    ----------
    slope : Slope
        The calibrated image (ny, nx); it is not changed.
    refs : References
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
        No effect on one image.
    blendheaders : bool
        No effect on one image.
    in_memory : bool
        No effect: memory is bounded by tiles.
    enable_ctx : bool
        Make the context image.
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
    dict
        The image as it came under its suffix, and the mosaic under ``i2d``.

    Notes
    -----
    Formula and DQ bits as in stage 3.
    """
    if slope.data.ndim != 2:
        return Skipped(slope, "stacks of integrations are not resampled")
    if slope.wcs is None:
        return Skipped(slope, "the image has no world coordinates")
    frame = MemoryFrame.from_product(slope)
    if output_wcs:
        grid = load_grid(output_wcs, output_shape)
    else:
        grid = grid_from_inputs(
            [slope.require("S_REGION")],
            slope.wcs,
            pointing_of(slope),
            reference_shape=frame.shape,
            pixel_scale_ratio=pixel_scale_ratio,
            pixel_scale=pixel_scale,
            rotation=rotation,
            crpix=crpix,
            crval=crval,
            output_shape=output_shape,
        )
    options = Drizzling(
        kernel=kernel,
        pixfrac=pixfrac,
        weight_type=weight_type,
        bad_bits=~bits_from_string(GOOD_BITS) & 0xFFFFFFFF,
        variance=variance if enable_err else None,
        scale=grid.pixel_scale_ratio,
        variance_scale=1.0 / grid.pixel_scale_ratio**2,
        fillval=fill_value(fillval),
        context=enable_ctx,
        propagate_dq=propagate_dq,
    )
    projection = PixelMap(slope.wcs, grid.wcs, frame.shape)
    parts = mosaic_parts(
        Stage3Inputs([frame]), grid, [projection], options, update_header, blended=False, report_var=report_var
    )
    return {slope.suffix: slope, "i2d": Mosaic(suffix="i2d", history=list(slope.history), path=slope.path, **parts)}
