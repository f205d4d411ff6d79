"""Parameters of clean_flicker_noise chosen from the data: how crowded, how tilted and how striped a draft image is.

Source: the decision tree of the official step's ``autoparam`` (jwst 3.0.0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jwstsm.core.flicker import FlickerFit, clean_image_inplace, fill_flat
from jwstsm.core.sample import Sample
from jwstsm.core.scene import background_level, clip_signal_inplace
from jwstsm.products import Slope
from jwstsm.references import References

__all__ = ["AUTO_LIMITS", "Limits", "Measures", "choose_parameters", "decide", "measure"]


class Limits(NamedTuple):
    """Where a measure counts as high, and where in the image the stripes within a channel are measured.

    ``stripe_rows`` and ``channel_axis`` say which rows give the stripe measure and along which axis channels lie.
    """

    masked: float
    offset: float
    slope_low_offset: float
    slope_high_offset: float
    slope_ratio: float
    stripes: float
    stripe_rows: tuple[float, float]
    channel_axis: int


_MIDDLE = (3 / 8, 5 / 8)

AUTO_LIMITS: dict[str, Limits] = {
    "NRC_IMAGE": Limits(0.1, 0.07, 1e-5, 1e-5, 3.0, 0.02, _MIDDLE, 1),
    "NIS_IMAGE": Limits(0.07, 0.07, 1e-5, 1e-4, 5.0, 0.02, (10 / 12, 11 / 12), 0),
}
_FULL_SIZE, _CHANNELS = 2048, 4


class Measures(NamedTuple):
    """What a draft image looks like.

    Attributes
    ----------
    masked : float
        Share of pixels that are not background.
    offset : float
        Largest step between neighbouring channels [DN/s]; 0 unless full frame.
    slope, slope_ratio : float
        The larger slope of the background along the two axes [DN/s/pixel], and its ratio to the smaller one.
    stripes : float
        Deviation of column means from a line [DN/s].
    """

    masked: float
    offset: float
    slope: float
    slope_ratio: float
    stripes: float


def choose_parameters(rate: Slope, refs: References, limits: Limits) -> dict:
    """Return ``apply_flat_field``, ``background_method`` and ``fit_by_channel`` for an image."""
    reference = refs["flat"]
    image = rate.data.copy()
    if reference is not None:
        image /= fill_flat(reference.array("SCI"))
    measures = measure(image, abs(rate.readout.slowaxis) - 1, limits)
    method, by_channel = decide(measures, limits)
    return {"apply_flat_field": reference is not None, "background_method": method, "fit_by_channel": by_channel}


def measure(image: np.ndarray, axis: int, limits: Limits) -> Measures:
    """Clean a draft image with default options and measure what is left.

    Parameters
    ----------
    image : (ny, nx) float32
        Count rate [DN/s]; changed in place.
    axis : int
        1 if a readout line is a row, 0 if it is a column.
    limits : Limits
        Says where stripes and channels are looked for.

    Returns
    -------
    Measures
    """
    keep = np.ones(image.shape, np.bool_)
    clip_signal_inplace(image, keep)
    empty = np.isnan(image)
    image[empty] = 0
    keep[empty] = False
    clean_image_inplace(image, keep, FlickerFit(axis=axis))
    image[empty] = np.nan
    level = background_level(image, keep, "model")
    source = ~keep
    image[source] = level if np.isscalar(level) else level[source]
    rows, columns = _mean_of_rows(image, _MIDDLE), _mean_of_rows(image.T, _MIDDLE)
    slopes = sorted(abs(_line(profile)[0]) for profile in (rows, columns))
    stripes = _line(_mean_of_rows(image, limits.stripe_rows))[1]
    offset = _channel_offset(rows if limits.channel_axis == 1 else columns)
    ratio = slopes[1] / slopes[0] if slopes[0] else np.inf
    return Measures(float(source.mean()), offset, slopes[1], ratio, stripes)


def decide(found: Measures, limits: Limits) -> tuple[str, bool]:
    """Return background method and whether to fit by channel."""
    steps = found.offset >= limits.offset
    steep, tilted = found.slope >= limits.slope_high_offset, found.slope >= limits.slope_low_offset
    if found.masked >= limits.masked:
        return ("model" if (steep if steps else tilted) else "median"), False
    if steps:
        return "median", True
    model = steep or (tilted and found.slope_ratio < limits.slope_ratio)
    return ("model" if model else "median"), found.offset > 0 and found.stripes >= limits.stripes


def _mean_of_rows(image: np.ndarray, part: tuple[float, float]) -> np.ndarray:
    """Return the mean of the rows of a part (fractions of the height), NaN left out."""
    first, stop = (round(f * image.shape[0]) for f in part)
    return np.nanmean(image[first:stop], axis=0)


def _line(profile: np.ndarray) -> tuple[float, float]:
    """Fit a line; return its slope and the clipped deviation from it."""
    x = np.flatnonzero(np.isfinite(profile))
    values = profile[x].astype(np.float64)
    x0 = x.mean()
    slope = float(((x - x0) * (values - values.mean())).sum() / ((x - x0) ** 2).sum())
    rest = (values - values.mean() - slope * (x - x0)).astype(np.float32)[None]
    return slope, Sample(rest, np.ones(rest.shape, np.bool_)).clipped(10.0).std


def _channel_offset(profile: np.ndarray) -> float:
    """Return the largest step between the clipped means of neighbouring channels."""
    if profile.size != _FULL_SIZE:
        return 0.0
    parts = profile.astype(np.float32).reshape(_CHANNELS, 1, -1)
    means = [Sample(part, np.isfinite(part)).clipped(3.0).mean for part in parts]
    return float(np.abs(np.diff(means)).max())
