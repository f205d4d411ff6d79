"""Find what is in one exposure but not in the others: cosmic rays and bad pixels that ramp fitting left.

Imaging: exposures are drizzled on a common grid, their median is blotted back on each detector, and a pixel is an
outlier if it differs from it by more than the gradient of the median (times ``scale``) and the noise (times ``snr``)
allow, see :func:`jwstsm.stage3._outlier_kernels.flag_resampled`. Stacks of integrations (coronagraphy, time series) are
compared with their own median, or with a median that moves along, without resampling.

The two halves are separate, :func:`make_median` once per association and :func:`flag_frame` once per exposure, so that
exposures can be flagged in parallel.

Source: official description of the step (AstroDrizzle's cosmic-ray rejection).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from jwstsm.core.dq import bits_from_string
from jwstsm.core.drizzle import blot, fill_value
from jwstsm.core.frames import Stage3Inputs
from jwstsm.core.resample import Drizzling, Window
from jwstsm.errors import ConfigError
from jwstsm.products import Slope
from jwstsm.references import References
from jwstsm.stage3._grid import grid_of
from jwstsm.stage3._outlier_kernels import blank_unusable, flag_against, flag_resampled, rolling_median, stack_median
from jwstsm.stage3._outlier_median import MedianImage, median_of_groups, median_of_images, reach, weight_threshold
from jwstsm.step import Range, Skipped, step
from jwstsm.wcs.pixmap import PixelMap

__all__ = ["MedianImage", "Outliers", "find_outliers", "flag_cube", "flag_frame", "make_median", "outlier_detection"]

log = logging.getLogger(__name__)

_ROWS = 256  # of a pixel map held at a time


@dataclass
class Outliers:
    """The pixels found in each image: the sidecar of the step.

    Attributes
    ----------
    packed : dict of str to (ny, ceil(nx / 8)) uint8
        One bit per pixel, by file name.
    widths : dict of str to int
        Columns of each image.
    """

    packed: dict[str, np.ndarray] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, found: np.ndarray) -> None:
        """Keep the mask of an image."""
        self.packed[name] = np.packbits(found, axis=-1)
        self.widths[name] = found.shape[-1]

    def mask(self, name: str, y0: int = 0, y1: int | None = None) -> np.ndarray:
        """Return rows of the mask of an image as booleans."""
        return np.unpackbits(self.packed[name][y0:y1], axis=-1, count=self.widths[name]).view(bool)

    def write(self, path: str | Path) -> None:
        """Write all masks to one compressed file."""
        with open(path, "wb") as file:
            np.savez_compressed(file, widths=np.array(list(self.widths.values())), **self.packed)

    @classmethod
    def read(cls, path: str | Path) -> Outliers:
        """Read what :meth:`write` wrote."""
        with np.load(path) as file:
            names = [n for n in file.files if n != "widths"]
            return cls({n: file[n] for n in names}, dict(zip(names, map(int, file["widths"]), strict=True)))


def _pair(text: str, name: str) -> np.ndarray:
    """Read two numbers, such as ``"5.0 4.0"``."""
    try:
        first, second = (float(v) for v in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError(f"outlier_detection: '{name}' is {text!r} but must be two numbers such as '5.0 4.0'") from None
    return np.array([first, second], np.float32)


def _bad_bits(good_bits: str) -> int:
    return ~bits_from_string(good_bits) & 0xFFFFFFFF


def make_median(
    inputs: Stage3Inputs,
    *,
    resample_data: bool = True,
    weight_type: str = "ivm",
    pixfrac: float = 1.0,
    kernel: str = "square",
    fillval: str = "NAN",
    maskpt: float = 0.7,
    good_bits: str = "~DO_NOT_USE",
) -> MedianImage:
    """Make the image that the exposures of an association are compared with (parameters: :func:`outlier_detection`)."""
    options = Drizzling(
        kernel=kernel,
        pixfrac=pixfrac,
        weight_type=weight_type,
        bad_bits=_bad_bits(good_bits),
        variance=None,
        fillval=fill_value(fillval),
        context=False,
    )
    if resample_data:
        return median_of_groups(inputs.frames, grid_of(inputs), options, maskpt)
    return median_of_images(inputs.frames, options, maskpt)


def blot_median(median: MedianImage, wcs, shape: tuple[int, int]) -> np.ndarray:
    """Return the median as the detector would see it, (ny, nx) float32; NaN where it is not known."""
    if median.wcs is None:
        return median.window(Window(0, 0, shape[1], shape[0]))
    projection = PixelMap(wcs, median.wcs, shape)
    window = reach([projection], median.data.shape)
    out = np.full(shape, np.nan, np.float32)
    if 0 not in window.shape:
        part = median.window(window)
        for y0 in range(0, shape[0], _ROWS):
            y1 = min(shape[0], y0 + _ROWS)
            blot(part, projection.rows(y0, y1), window.x0, window.y0, out[y0:y1])
    return out


def find_outliers(
    data: np.ndarray,
    err: np.ndarray | None,
    wcs,
    median: MedianImage,
    *,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    background: float = 0.0,
) -> np.ndarray:
    """Compare one image with the median.

    Parameters
    ----------
    data, err : (ny, nx) float32
        Image and its error; without one (None) only the gradient of the median is allowed for.
    wcs : object
        Its (corrected) world coordinates.
    median : MedianImage
    snr, scale : str
        Limits of the two passes, see :func:`outlier_detection`.
    background : float
        Sky that the image still carries and the median does not.

    Returns
    -------
    (ny, nx) bool
    """
    err = np.zeros_like(data) if err is None else err
    reference = blot_median(median, wcs, data.shape)
    found = np.empty(data.shape, bool)
    limits = _pair(snr, "snr")
    if median.wcs is None:  # same pixels: no gradient enters
        flag_against(data[None], err[None], reference[None], limits[0], found[None])
    else:
        level = np.float32(background)
        flag_resampled(data, err, reference, limits, _pair(scale, "scale"), level, np.empty(data.shape, bool), found)
    return found


def _planes(slope: Slope) -> list[np.ndarray]:
    """Return the arrays that :func:`blank_unusable` changes, as stacks of planes that share their memory."""
    out = []
    for name in ("dq", "data", "err", "var_poisson", "var_rnoise", "var_flat"):
        array = getattr(slope, name)
        if array is not None and not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous to be changed in place")
        out.append(np.empty((0, 0, 0), np.float32) if array is None else array.reshape(-1, *array.shape[-2:]))
    return out


def mark(slope: Slope, found: np.ndarray) -> int:
    """Flag pixels of a product in place: DQ ``DO_NOT_USE`` and ``OUTLIER``, NaN in all planes; return their number."""
    if slope.dq is None:
        slope.dq = np.zeros(slope.data.shape, np.uint32)
    blank_unusable(found.reshape(-1, *found.shape[-2:]), *_planes(slope))
    count = int(np.count_nonzero(found))
    log.info("%s: %d pixels marked as outliers", slope.name, count)
    return count


def flag_frame(
    slope: Slope,
    median: MedianImage,
    *,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    backg: float = 0.0,
    sky_level: float | None = None,
    wcs=None,
) -> Slope:
    """Flag the outliers of one calibrated image (the second half of the step).

    Parameters
    ----------
    slope : Slope
        Changed in place: it becomes the ``crf`` product.
    median : MedianImage
    snr, scale, backg
        See :func:`outlier_detection`.
    sky_level : float, optional
        Sky that the image carries; None: what its header says, else ``backg``.
    wcs : object, optional
        Corrected world coordinates; None: the product's own.

    Returns
    -------
    Slope
        The same product.
    """
    if sky_level is None and slope.key("BKGSUB") is False and slope.key("BKGLEVEL") is not None:
        sky_level = float(slope.key("BKGLEVEL"))
    background = backg if sky_level is None else sky_level
    wcs = slope.wcs if wcs is None else wcs
    mark(slope, find_outliers(slope.data, slope.err, wcs, median, snr=snr, scale=scale, background=background))
    return slope


def flag_cube(
    slope: Slope,
    *,
    mode: Literal["coron", "tso"],
    snr: str = "5.0 4.0",
    maskpt: float = 0.7,
    good_bits: str = "~DO_NOT_USE",
    rolling_window_width: int = 25,
) -> Slope:
    """Flag the outliers of a stack of integrations of one pointing.

    Parameters
    ----------
    slope : Slope
        Arrays (nints, ny, nx); changed in place: it becomes the ``crfints`` product.
    mode : {"coron", "tso"}
        ``coron``: compare with the median of all integrations. ``tso``: with the median of ``rolling_window_width``
        integrations around each, where there are more than that; a window with an unusable value flags nothing.
    snr, maskpt, good_bits
        See :func:`outlier_detection`; the first ``snr`` is used.
    rolling_window_width : int

    Returns
    -------
    Slope
        The same product.
    """
    if slope.dq is None:
        slope.dq = np.zeros(slope.data.shape, np.uint32)
    data, err = slope.data, slope.err if slope.err is not None else np.zeros_like(slope.data)
    usable = (slope.dq & np.uint32(_bad_bits(good_bits))) == 0
    moving = mode == "tso" and 1 < rolling_window_width < len(data)
    masked = data
    if moving or mode == "coron":
        light = usable.astype(np.float32) < weight_threshold(usable, maskpt)
        masked = np.where(light, np.float32(np.nan), data)
    if moving:
        reference = np.empty_like(masked)
        rolling_median(masked, rolling_window_width, reference)
    else:
        reference = np.empty((1, *data.shape[1:]), np.float32)
        stack_median(masked, reference[0])
    found = np.empty(data.shape, bool)
    flag_against(data, err, reference, _pair(snr, "snr")[0], found)
    mark(slope, found)
    return slope


@step("S_OUTLIR", scope="association")
def outlier_detection(
    inputs: Stage3Inputs,
    refs: References | None = None,
    *,
    weight_type: Literal["ivm", "exptime"] = "ivm",
    pixfrac: Annotated[float, Range(min=0, max=1)] = 1.0,
    kernel: Literal["square", "point", "turbo"] = "square",
    fillval: str = "NAN",
    maskpt: float = 0.7,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    backg: float = 0.0,
    kernel_size: str = "7 7",
    threshold_percent: float = 99.8,
    rolling_window_width: int = 25,
    ifu_second_check: bool = False,
    save_intermediate_results: bool = False,
    resample_data: bool = True,
    good_bits: str = "~DO_NOT_USE",
    search_output_file: bool = False,
    in_memory: bool = True,
    pixmap_stepsize: float = 1.0,
    pixmap_order: int = 1,
) -> Outliers:
    """Find outliers by comparing dithered images of an association with their median.

    Removes cosmic rays and bad pixels that are in one exposure only, before the exposures are combined.

    Parameters
    ----------
    inputs : Stage3Inputs
        The images, with corrected world coordinates and sky levels.
    refs : References, optional
        Not used.
    weight_type : str
        Weight of a pixel in the drizzled exposures: inverse read-noise variance or exposure time.
    pixfrac : float
        Side of the shrunk pixel in drizzling, in input pixels.
    kernel : str
        Drizzle kernel.
    fillval : str
        Value of empty pixels of the drizzled exposures.
    maskpt : float
        Pixels whose weight is below this share of their exposure's mean weight do not enter the median.
    snr : str
        Signal-to-noise limits of the two passes: "first second".
    scale : str
        Shares of the local gradient allowed in the two passes: "first second".
    backg : float
        Sky to allow for in images whose sky level is not known [unit of the image].
    kernel_size : str
        Size of the median filter for integral-field data (no effect on images).
    threshold_percent : float
        Percentile that is an outlier in integral-field data (no effect on images).
    rolling_window_width : int
        Integrations in the moving median of time series (no effect on images, see ``flag_cube``).
    ifu_second_check : bool
        Second pass over integral-field data (no effect on images).
    save_intermediate_results : bool
        Keep the median image; the workflow always does.
    resample_data : bool
        Drizzle the exposures on a common grid; otherwise compare them pixel by pixel of the detector.
    good_bits : str
        DQ bits of pixels that may be used all the same; ``~`` inverts.
    search_output_file : bool
        No effect: output names follow the association.
    in_memory : bool
        No effect: memory is bounded by tiles.
    pixmap_stepsize : float
        No effect: pixel maps are approximated to 1e-4 pixel.
    pixmap_order : int
        No effect, as ``pixmap_stepsize``.

    Returns
    -------
    Outliers
        Masks by file name; :func:`flag_frame` makes the ``crf`` product.

    Notes
    -----
    Variances are not changed, except that they become NaN with the pixel. DQ bits read: all but ``good_bits``; set:
    DO_NOT_USE, OUTLIER.
    """
    result = Outliers()
    if len(inputs.frames) < 2:
        return Skipped(result, f"{len(inputs.frames)} image only: there is nothing to compare it with")
    median = make_median(
        inputs,
        resample_data=resample_data,
        weight_type=weight_type,
        pixfrac=pixfrac,
        kernel=kernel,
        fillval=fillval,
        maskpt=maskpt,
        good_bits=good_bits,
    )
    for frame in inputs.frames:
        data, err = frame.read("data"), frame.read("err")
        background = backg if frame.sky_level is None else frame.sky_level
        found = find_outliers(data, err, frame.wcs, median, snr=snr, scale=scale, background=background)
        log.info("%s: %d pixels marked as outliers", frame.name, np.count_nonzero(found))
        result.add(frame.name, found)
    return result
