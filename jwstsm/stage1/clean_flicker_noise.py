"""clean_flicker_noise: subtract what is left of 1/f noise after the reference pixels, group by group.

Source: official description of the ``clean_flicker_noise`` step (jwst 3.0.0), after C. Willott's ``image1overf`` and
B. Rauscher's NSClean.
"""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

import numpy as np

from jwstsm.core.flicker import FlickerFit, fill_flat
from jwstsm.core.nsclean_subarray import PASS_BANDS
from jwstsm.products import Ramp, Slope
from jwstsm.products.readout import Readout
from jwstsm.references import References
from jwstsm.stage1._flicker_autoparam import AUTO_LIMITS, choose_parameters
from jwstsm.stage1._flicker_extended import drop_extended_inplace
from jwstsm.stage1._flicker_median_image import MedianRamp
from jwstsm.stage1._flicker_ramp import Saved, clean_integration_inplace
from jwstsm.stage1._scene_mask import (
    draft_rate,
    mask_background,
    own_mask,
    read_user_mask,
    science_regions,
    side_product,
)
from jwstsm.step import Range, Skipped, step

__all__ = ["clean_flicker_noise"]

log = logging.getLogger(__name__)


class Mode(NamedTuple):
    """What the step can do for an exposure type."""

    methods: tuple[str, ...]
    lines: str
    """``slow``: 1/f noise runs along readout lines; ``y``: the flicker runs along columns."""


class Scene(NamedTuple):
    """How the pixels that see only background are found."""

    per_integration: bool
    regions: bool
    n_sigma: float
    fit_histogram: bool
    extended_scale: float
    axis: int
    """1 if a readout line is a row, 0 if it is a column."""


_NEAR_INFRARED = Mode(("median",), "slow")
_NIRSPEC = Mode(("median", "fft"), "slow")

#: EXP_TYPE pattern -> what can be done; the first that matches counts, None is not supported.
_MODES: tuple[tuple[str, Mode | None], ...] = (
    ("MIR_IMAGE", Mode(("median",), "y")),
    ("MIR_*", None),
    ("NRS_MSASPEC", _NIRSPEC),
    ("NRS_IFU", _NIRSPEC),
    ("NRS_FIXEDSLIT", _NIRSPEC),
    ("NRS_BRIGHTOBJ", _NIRSPEC),
    ("*", _NEAR_INFRARED),
)
_AMPLIFIERS = 4
_FULL_SIZE = 2048


def _plan(readout: Readout, mode: Mode, method: str, by_channel: bool, background: str | None, box, n_sigma: float):
    """Return the :class:`FlickerFit` for an exposure."""
    axis = 0 if mode.lines == "y" else abs(readout.slowaxis) - 1
    if by_channel and (not readout.is_full_frame or mode.lines == "y"):
        log.warning("fit_by_channel is for full frames of near-infrared detectors; the image is fitted as a whole")
        by_channel = False
    length = readout.nx if axis == 1 else readout.ny
    return FlickerFit(
        method=method,
        axis=axis,
        channels=_AMPLIFIERS if by_channel and length == _FULL_SIZE else 1,
        background=background,
        box=box,
        n_sigma=n_sigma,
        flip=readout.slowaxis < 0,
        band=PASS_BANDS.get(readout.subarray, PASS_BANDS[None]),
    )


@step("S_CLNFNS", references=["flat", "pastasoss", "gain", "readnoise"], scope="exposure")
def clean_flicker_noise(
    ramp: Ramp,
    refs: References,
    *,
    autoparam: bool = False,
    fit_method: Literal["fft", "median"] = "median",
    fit_by_channel: bool = False,
    background_method: Literal["median", "model", "median_image", None] = "median",
    background_box_size: Annotated[list[int], Range(min=2, max=2)] | None = None,
    mask_science_regions: bool = False,
    apply_flat_field: bool = False,
    n_sigma: float = 2.0,
    fit_histogram: bool = False,
    single_mask: bool = True,
    user_mask: str | None = None,
    extended_scale: Annotated[float, Range(min=0)] = 0.0,
    max_sources: Annotated[float, Range(min=0, max=1)] = 1.0,
    save_mask: bool = False,
    save_background: bool = False,
    save_noise: bool = False,
    skip: bool = True,
) -> Ramp:
    """Fit the correlated read noise between groups in background pixels and subtract it.

    Removes the stripes of 1/f noise that the reference pixels do not see, and the vertical flicker of MIRI images.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN] is changed in place.
    refs : References
        ``gain`` and ``readnoise`` for a draft of the count rate, unless a mask is given; ``flat`` if it is to be applied
        or to tell science pixels; ``pastasoss`` for the traces of SOSS.
    autoparam : bool
        Choose ``apply_flat_field``, ``background_method`` and ``fit_by_channel`` from the data, for images of NIRCam and
        NIRISS.
    fit_method : {"fft", "median"}
        ``median`` takes the median of each line; ``fft`` fits a Fourier series to each line (NSClean, NIRSpec only).
    fit_by_channel : bool
        Fit the four amplifiers of a full frame on their own (``median`` only).
    background_method : {"median", "model", "median_image", None}
        Background taken off for the fit: its median, a smooth image, the median over integrations scaled to each, or
        none.
    background_box_size : list of int, optional
        (height, width) of the boxes of ``model`` [pixel]; default the largest sizes up to 32 that divide the image.
    mask_science_regions : bool
        Leave out what the mode lights: traces, slits, slices; for MIRI images all that is not science area.
    apply_flat_field : bool
        Divide by the flat for the fit.
    n_sigma : float
        Limit above the background beyond which a pixel counts as source, in standard deviations; 0 for no limit.
    fit_histogram : bool
        Take level and width of the background from a Gaussian fitted to the histogram.
    single_mask : bool
        Use one mask, from the count rate of all integrations, for every integration.
    user_mask : str, optional
        FITS file with 1 for background pixels and 0 for all others, instead of a mask made here. ``{exposure}`` in it
        stands for the name of the exposure, such as ``masks/{exposure}_mask.fits``, as ``jwstsm mask`` writes them from
        the sources of a first mosaic; exposures without a file get a mask made here.
    extended_scale : float
        Leave out what stands out only when the image is smoothed over so many pixels (halos, nebulae); 0 for not. Not in
        the official step.
    max_sources : float
        Skip the step if more than this share of the pixels stands out as sources: the lines of crowded fields have no
        background. Not in the official step.
    save_mask : bool
        Also make the product ``mask``: 1 for background pixels.
    save_background : bool
        Also make the product ``flicker_bkg``: the background that was taken off and put back [DN].
    save_noise : bool
        Also make the product ``flicker_noise``: cleaned minus original ramp [DN].
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp
        Or, with products to save, a mapping of suffix to product.

    Notes
    -----
    Each difference of neighbouring groups is cleaned and the cleaned differences are added up again from the first group,
    which stays as it is; with ``median_image`` each group itself is. Pixels with DO_NOT_USE or JUMP_DET in the later
    group take no part in the fit. A difference without a usable pixel stays as it is.
    """
    mode = next(found for pattern, found in _MODES if fnmatchcase(ramp.readout.exp_type, pattern))
    if mode is None:
        return Skipped(ramp, f"flicker noise of {ramp.readout.exp_type} cannot be fitted")
    if fit_method not in mode.methods:
        return Skipped(ramp, f"fit_method '{fit_method}' is not for {ramp.readout.exp_type}")
    drafts = None
    if autoparam:
        drafts, chosen = _choose(ramp, refs)
        apply_flat_field = chosen.get("apply_flat_field", apply_flat_field)
        background_method = chosen.get("background_method", background_method)
        fit_by_channel = chosen.get("fit_by_channel", fit_by_channel)
    over_time = background_method == "median_image"
    if over_time and ramp.readout.nints < 2:
        return Skipped(ramp, "background_method 'median_image' needs more than one integration")
    user_mask = own_mask(user_mask, ramp.name)
    if user_mask is None or over_time:
        drafts = drafts or draft_rate(ramp, refs)
        if drafts is None:
            return Skipped(ramp, "no usable ramp to find the background with")
    fit = _plan(
        ramp.readout,
        mode,
        fit_method,
        fit_by_channel,
        None if over_time else background_method,
        background_box_size,
        n_sigma,
    )
    flat = _read_flat(refs) if apply_flat_field else None
    if user_mask is not None:
        mask = read_user_mask(user_mask, ramp.readout)
    else:
        scene = Scene(over_time or not single_mask, mask_science_regions, n_sigma, fit_histogram, extended_scale, fit.axis)
        mask, sources = _make_mask(drafts, refs, scene, flat)
        if sources > max_sources:
            return Skipped(ramp, f"{sources:.0%} of the pixels are sources; the field is crowded")
    saved = Saved.allocate(ramp.data.shape, save_background, save_noise)
    _clean_inplace(ramp, mask, fit, flat, MedianRamp.of(ramp, drafts[1]) if over_time else None, saved)
    return _with_side_products(ramp, mask if save_mask else None, saved)


def _choose(ramp: Ramp, refs: References) -> tuple[tuple[Slope, Slope] | None, dict]:
    """Return draft count rates and the parameters that suit them; nothing for other modes than plain images."""
    exp_type = ramp.readout.exp_type
    if exp_type not in AUTO_LIMITS:
        log.warning("%s: no parameters can be chosen from the data of %s", ramp.name, exp_type)
        return None, {}
    drafts = draft_rate(ramp, refs)
    if drafts is None:
        return None, {}
    chosen = choose_parameters(drafts[0], refs, AUTO_LIMITS[exp_type])
    log.info("%s: chosen from the data: %s", ramp.name, chosen)
    return drafts, chosen


def _clean_inplace(ramp: Ramp, mask: np.ndarray, fit: FlickerFit, flat, model: MedianRamp | None, saved: Saved) -> None:
    """Clean every integration."""
    for i in range(ramp.data.shape[0]):
        scene = mask[i] if mask.ndim == 3 else mask
        bad = clean_integration_inplace(ramp.data[i], ramp.groupdq[i], scene, fit, flat, model, saved, i)
        if bad:
            log.warning("%s: integration %d: no usable background in %d of its images", ramp.name, i + 1, bad)
        ramp.release()


def _with_side_products(ramp: Ramp, mask: np.ndarray | None, saved: Saved) -> Ramp | dict:
    """Return the ramp, or a mapping of it and what is to be saved."""
    made: dict = {ramp.suffix: ramp}
    wanted = {
        "mask": None if mask is None else mask.astype(np.float32),
        "flicker_bkg": saved.background,
        "flicker_noise": saved.noise,
    }
    made |= {suffix: side_product(ramp, array, suffix) for suffix, array in wanted.items() if array is not None}
    return made if len(made) > 1 else ramp


def _read_flat(refs: References) -> np.ndarray | None:
    reference = refs["flat"]
    if reference is None:
        log.warning("no FLAT reference; the noise is fitted without a flat")
        return None
    return fill_flat(reference.array("SCI"))


def _make_mask(drafts: tuple[Slope, Slope], refs: References, scene: Scene, flat) -> tuple[np.ndarray, float]:
    """Return the scene mask and the largest share of sources in it.

    The mask is (ny, nx) bool, or (nints, ny, nx) for one per integration. Pixels that are left out for other reasons than
    their brightness (regions of the mode, no value) do not count as sources, nor do those that stand out by smoothing.
    """
    rate, rateints = drafts
    lit = science_regions(rate, refs) if scene.regions else None
    sources = 0.0

    def one(image: np.ndarray) -> np.ndarray:
        nonlocal sources
        image = image if flat is None else image / flat
        mask = mask_background(image, lit, n_sigma=scene.n_sigma, fit_histogram=scene.fit_histogram)
        possible = np.isfinite(image) & (image != 0) & (True if lit is None else ~lit)
        sources = max(sources, 1 - np.count_nonzero(mask) / max(1, np.count_nonzero(possible)))
        if scene.extended_scale > 0:
            drop_extended_inplace(mask, image, scene.extended_scale, scene.axis)
        return mask

    if not scene.per_integration:
        return one(rate.data), sources
    mask = np.empty(rateints.data.shape, np.bool_)
    for i in range(mask.shape[0]):
        mask[i] = one(rateints.data[i])
    return mask, sources
