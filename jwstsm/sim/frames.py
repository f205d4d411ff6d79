"""From the plane of all pixels to the frame that is sent: interleaved reference pixels, stripes, or just the plane."""

from __future__ import annotations

import dataclasses

import numpy as np

from jwstsm.sim import interleaving
from jwstsm.sim.exposing import Pixels, Readout
from jwstsm.sim.multistripe import take_lines

__all__ = ["frame_shape", "lay_out", "pick_lines"]

LAYOUTS = dict.fromkeys(interleaving.PATTERNS, (interleaving.FRAME_SHAPE, interleaving.interleave))
"""Read pattern -> shape of its frames and function that makes them of a plane."""


def pick_lines(plane: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Return the lines of a whole detector that a multistripe readout reads in this integration."""
    stripes, row = pixels.readout.stripes, pixels.chip.row
    if stripes.count:
        stripes = dataclasses.replace(stripes, position=pixels.integration % stripes.count)
    return take_lines(plane, stripes.lines(), row.slow_axis)


def frame_shape(readout: Readout, pixels: Pixels) -> tuple[int, int]:
    """Return the (ny, nx) of frames."""
    ny, nx = pixels.chip.region.shape
    if readout.stripes is not None:
        return (readout.stripes.size, nx) if abs(pixels.chip.row.slow_axis) == 2 else (ny, readout.stripes.size)
    return LAYOUTS[readout.readpatt][0] if readout.readpatt in LAYOUTS else (ny, nx)


def lay_out(pixels: Pixels, plane: np.ndarray) -> np.ndarray:
    """Return the frame (ny, nx) [DN] that is read of a plane of all pixels."""
    readout = pixels.readout
    if readout.stripes is not None:
        return pick_lines(plane, pixels)
    return LAYOUTS[readout.readpatt][1](pixels, plane) if readout.readpatt in LAYOUTS else plane
