"""Light that is too faint to stand out in a pixel but not in many: halos of galaxies, nebulae, wings of bright stars.

Pixels that hold such light and count as background make the median of their line too high, and the cleaned image has a dark
band there. The draft image is freed of its stripes, smoothed, and what stands out then is left out of the mask.
"""

from __future__ import annotations

import numpy as np

from jwstsm.core.flicker import FlickerFit, clean_image_inplace

__all__ = ["drop_extended_inplace"]

_ROUNDS = 2
_LIMIT = 2.0
_CLIP = 3.0
_NORMAL_QUARTILE = 0.6745


def drop_extended_inplace(keep: np.ndarray, image: np.ndarray, scale: float, axis: int) -> None:
    """Drop pixels from a mask in whose neighbourhood the image is brighter than the background.

    Parameters
    ----------
    keep : (ny, nx) bool
        Background pixels (True); changed in place.
    image : (ny, nx) float32
        Draft count rate.
    scale : float
        Width of the neighbourhood, the sigma of a Gaussian [pixel].
    axis : int
        1 if a readout line is a row, 0 if it is a column.

    Notes
    -----
    Twice in turn: stripes are fitted in ``keep`` and subtracted, values are cut off at 3 times the scatter about the level
    (so that a star reaches little farther than its image), and smoothed; pixels that are more than 2 times the scatter of
    the lower half of the smoothed image above its median are dropped. The second time, stripes no longer contain the light
    that was found the first time.
    """
    from scipy import ndimage  # every job of stage 1 imports this module, few come here

    for _ in range(_ROUNDS):
        flat, used = np.where(np.isnan(image), np.float32(0), image), keep & ~np.isnan(image)
        if not used.any() or clean_image_inplace(flat, used, FlickerFit(axis=axis)) is None:
            return
        level, spread = _level_and_spread(flat, keep & ~np.isnan(image))
        flat[np.isnan(image)] = level
        np.clip(flat, level - _CLIP * spread, level + _CLIP * spread, out=flat)
        smooth = ndimage.gaussian_filter(flat, scale, mode="nearest", truncate=3.0)
        level, spread = _level_and_spread(smooth, keep)
        keep &= smooth < level + _LIMIT * spread


def _level_and_spread(image: np.ndarray, keep: np.ndarray) -> tuple[np.float32, np.float32]:
    """Median, and its distance from the lower quartile as a standard deviation."""
    values = image[keep]
    lower, middle = np.percentile(values, (25, 50))
    return np.float32(middle), np.float32((middle - lower) / _NORMAL_QUARTILE)
