"""clean_flicker_noise on one integration: take the images out of the ramp, clean them, put them back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwstsm.core.compiled import njit, prange
from jwstsm.core.dq import DO_NOT_USE, JUMP_DET
from jwstsm.core.flicker import FlickerFit, clean_image_inplace
from jwstsm.core.scratch import allocate

__all__ = ["Saved", "clean_integration_inplace"]

_UNUSABLE = np.uint8(DO_NOT_USE | JUMP_DET)
_NO_FLAGS = np.uint8(0)


@dataclass
class Saved:
    """Arrays that are kept on request, of the shape of the ramp."""

    background: np.ndarray | None = None
    noise: np.ndarray | None = None

    @classmethod
    def allocate(cls, shape: tuple[int, ...], background: bool, noise: bool) -> Saved:
        """Return zeroed arrays for what is to be saved."""
        return cls(allocate(shape, np.float32) if background else None, allocate(shape, np.float32) if noise else None)


@njit(parallel=True)
def take_image(group, base, flags, unusable, scene, flat, has_flat, image, keep):
    """Write ``(group - base) / flat`` with 0 for NaN to ``image``, and which pixels may be used to ``keep``."""
    ny, nx = group.shape
    zero = np.float32(0)
    for y in prange(ny):
        for x in range(nx):
            v = group[y, x] - base[y, x]
            if has_flat:
                v /= flat[y, x]
            good = v == v
            image[y, x] = v if good else zero
            keep[y, x] = good and scene[y, x] and flags[y, x] & unusable == 0


@njit(parallel=True)
def put_difference(group, original, cleaned, image, flat, has_flat):
    """Set ``group = cleaned + image * flat`` and hand the group's own values on in ``original``."""
    ny, nx = group.shape
    for y in prange(ny):
        for x in range(nx):
            own = group[y, x]
            v = image[y, x] * flat[y, x] if has_flat else image[y, x]
            change = own - original[y, x]
            group[y, x] = cleaned[y, x] + (v if change == change else change)
            original[y, x] = own


@njit(parallel=True)
def put_image(group, base, image, flat, has_flat):
    """Set ``group = base + image * flat``; NaN stays."""
    ny, nx = group.shape
    for y in prange(ny):
        for x in range(nx):
            v = image[y, x] * flat[y, x] if has_flat else image[y, x]
            change = group[y, x] - base[y, x]
            group[y, x] = base[y, x] + (v if change == change else change)


def clean_integration_inplace(
    groups: np.ndarray,
    groupdq: np.ndarray,
    scene: np.ndarray,
    fit: FlickerFit,
    flat: np.ndarray | None = None,
    model=None,
    saved: Saved | None = None,
    number: int = 0,
) -> int:
    """Clean the flicker noise of one integration.

    Parameters
    ----------
    groups : (ngroups, ny, nx) float32 [DN]
        Changed in place.
    groupdq : (ngroups, ny, nx) uint8
        DO_NOT_USE and JUMP_DET are read.
    scene : (ny, nx) bool
        Background pixels (True).
    fit : FlickerFit
    flat : (ny, nx) float32, optional
        Response to divide by for the fit.
    model : MedianRamp, optional
        Groups of the median integration, subtracted for the fit instead of the group before.
    saved : Saved, optional
        Where backgrounds and noise are kept.
    number : int
        Number of the integration in ``model`` and ``saved``.

    Returns
    -------
    int
        How many images had no usable pixel and stayed as they are.
    """
    saved = saved or Saved()
    if saved.noise is not None:
        saved.noise[number] = -groups
    image, keep = np.empty(groups.shape[1:], np.float32), np.empty(groups.shape[1:], np.bool_)
    if model is None:
        bad = _clean_differences(groups, groupdq, scene, fit, flat, image, keep, saved, number)
    else:
        bad = _clean_groups(groups, groupdq, scene, fit, flat, image, keep, saved, number, model)
    if saved.noise is not None:
        saved.noise[number] += groups
    return bad


def _clean_differences(groups, groupdq, scene, fit, flat, image, keep, saved, number) -> int:
    has_flat = flat is not None
    response = flat if has_flat else np.empty((0, 0), np.float32)
    original, bad = groups[0].copy(), 0
    for j in range(1, groups.shape[0]):
        take_image(groups[j], original, groupdq[j], _UNUSABLE, scene, response, has_flat, image, keep)
        background = clean_image_inplace(image, keep, fit)
        if background is None:
            bad += 1
            original[...] = groups[j]
            continue
        put_difference(groups[j], original, groups[j - 1], image, response, has_flat)
        if saved.background is not None:
            saved.background[number, j] = background
    return bad


def _clean_groups(groups, groupdq, scene, fit, flat, image, keep, saved, number, model) -> int:
    has_flat, bad = flat is not None, 0
    response = flat if has_flat else np.empty((0, 0), np.float32)
    for j in range(groups.shape[0]):
        base = model.group(number, j)
        take_image(groups[j], base, groupdq[j], _NO_FLAGS, scene, response, has_flat, image, keep)
        if clean_image_inplace(image, keep, fit) is None:
            bad += 1
            continue
        put_image(groups[j], base, image, response, has_flat)
        if saved.background is not None:
            saved.background[number, j] = base
    return bad
