"""picture_frame: subtract the thermal "picture frame" of NIRSpec full-frame exposures.

The edges of the detectors are at another temperature than their centres, so that each group carries a pattern of fixed
shape and changing strength. Its strength is measured by the contrast between centre and edges.

Source: official description of the ``picture_frame`` step (jwst 3.0.0).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.sample import masked_median
from jwstsm.core.scratch import allocate
from jwstsm.products import Ramp
from jwstsm.references import References
from jwstsm.stage1._scene_mask import draft_rate, mask_background, science_regions, side_product
from jwstsm.step import Skipped, step

__all__ = ["correct_integration_inplace", "picture_frame", "region_masks"]

log = logging.getLogger(__name__)

#: Rows and columns (first, stop) of the lower edge, the centre and the upper edge of a 2048 x 2048 detector.
_LOWER, _CENTRE, _UPPER = (4, 75), (76, 1984), (1985, 2043)
_INSTRUMENTS = ("NIRSPEC",)


class Frame(NamedTuple):
    """The reference pattern and its levels."""

    pattern: np.ndarray
    centre: float
    edge: float


def region_masks(background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the background pixels of the centre and of the edges, both (ny, nx) bool."""
    ny, nx = background.shape

    def inside(limits: tuple[int, int], n: int) -> np.ndarray:
        place = np.arange(n)
        return (place >= limits[0]) & (place < limits[1])

    centre = inside(_CENTRE, ny)[:, None] & inside(_CENTRE, nx)
    usable = inside((_LOWER[0], _UPPER[1]), ny)[:, None] & inside((_LOWER[0], _UPPER[1]), nx)
    border = (inside(_LOWER, ny) | inside(_UPPER, ny))[:, None] | (inside(_LOWER, nx) | inside(_UPPER, nx))
    return background & centre, background & border & usable


@njit(parallel=True)
def _difference(group, first, out):
    """Write ``group - first``, in float32, to ``out``."""
    ny, nx = group.shape
    for y in prange(ny):
        for x in range(nx):
            out[y, x] = group[y, x] - first[y, x]


@njit(parallel=True)
def _subtract_pattern(group, first, change, pattern, edge, scale, offset):
    """Set ``group = change + (first - (scale (pattern - edge) + offset))``."""
    ny, nx = group.shape
    for y in prange(ny):
        for x in range(nx):
            correction = scale * (pattern[y, x] - edge) + offset
            group[y, x] = change[y, x] + (first[y, x] - correction)


def correct_integration_inplace(groups: np.ndarray, centre: np.ndarray, edges: np.ndarray, frame: Frame) -> None:
    """Subtract the scaled pattern from every group after the first.

    Parameters
    ----------
    groups : (ngroups, ny, nx) float32 [DN]
        One integration; changed in place.
    centre, edges : (ny, nx) bool
        Background pixels of the two regions.
    frame : Frame
        The pattern [any unit] and its medians in the same pixels.
    """
    change = np.empty(groups.shape[1:], np.float32)
    span = np.float32(frame.centre) - np.float32(frame.edge)
    for group in groups[1:]:
        _difference(group, groups[0], change)
        middle = np.float32(masked_median(change, centre))
        edge = np.float32(masked_median(change, edges))
        scale = (middle - edge) / span
        _subtract_pattern(group, groups[0], change, frame.pattern, np.float32(frame.edge), scale, edge)


@step("S_PCTFRM", references=["pictureframe", "gain", "readnoise"], scope="exposure")
def picture_frame(
    ramp: Ramp,
    refs: References,
    *,
    mask_science_regions: bool = True,
    n_sigma: float = 2.0,
    save_mask: bool = False,
    save_correction: bool = False,
    skip: bool = True,
) -> Ramp:
    """Subtract the thermal picture frame of NIRSpec full-frame exposures.

    Removes a pattern of fixed shape, bright or faint along the edges of the detector, that changes from group to group.

    Parameters
    ----------
    ramp : Ramp
        ``data`` [DN] is changed in place.
    refs : References
        ``pictureframe``: ``SCI`` (ny, nx); ``gain`` and ``readnoise`` for a draft of the count rate.
    mask_science_regions : bool
        Leave the pixels out that slits, slices and failed-open shutters light.
    n_sigma : float
        Limit above the background beyond which a pixel of the draft count rate counts as source, in standard deviations.
    save_mask : bool
        Also make the product ``pctfrm_mask``: 1 for background pixels.
    save_correction : bool
        Also make the product ``pctfrm_correction``: what was added to the ramp [DN].
    skip : bool
        Do not run this step.

    Returns
    -------
    Ramp
        Or, with products to save, a mapping of suffix to product.

    Notes
    -----
    With medians over background pixels of the centre, ``m_c`` and ``r_c``, and of the edges, ``m_e`` and ``r_e``, of
    ``group - group 1`` and of the reference ``r``: ``group -= (m_c - m_e) / (r_c - r_e) * (r - r_e) + m_e``. The first
    group stays as it is. Only full frames of NIRSpec with more than one group are corrected.
    """
    readout = ramp.readout
    if readout.instrument not in _INSTRUMENTS or not readout.is_full_frame:
        return Skipped(ramp, "the picture frame is known for full frames of NIRSpec only")
    if ramp.data.shape[1] < 2:
        return Skipped(ramp, "one group alone cannot be corrected")
    reference = refs["pictureframe"]
    if reference is None:
        return Skipped(ramp, "no PICTUREFRAME reference")
    drafts = draft_rate(ramp, refs)
    if drafts is None:
        return Skipped(ramp, "no usable ramp to find the background with")
    regions = science_regions(drafts[0], refs) if mask_science_regions else None
    background = mask_background(drafts[0].data, regions, n_sigma=n_sigma)
    centre, edges = region_masks(background)
    pattern = np.array(reference.array("SCI"))
    frame = Frame(pattern, masked_median(pattern, centre), masked_median(pattern, edges))
    if not np.isfinite(frame.centre - frame.edge) or frame.centre == frame.edge:
        return Skipped(ramp, "no background pixels at the edges and in the centre to scale the picture frame with")
    correction = allocate(ramp.data.shape, np.float32) if save_correction else None
    for i in range(ramp.data.shape[0]):
        if correction is not None:
            correction[i] = -ramp.data[i]
        correct_integration_inplace(ramp.data[i], centre, edges, frame)
        if correction is not None:
            correction[i] += ramp.data[i]
        ramp.release()
    made = {ramp.suffix: ramp}
    if save_mask:
        made["pctfrm_mask"] = side_product(ramp, background.astype(np.float32), "pctfrm_mask")
    if correction is not None:
        made["pctfrm_correction"] = side_product(ramp, correction, "pctfrm_correction")
    return made if len(made) > 1 else ramp
