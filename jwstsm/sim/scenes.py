"""What falls on the detector, by type of exposure: images of the sky, or spectra.

The spectra are not dispersed by an optical model; they have the shapes that matter to a ramp: bright and faint pixels,
steep and smooth edges, light only where the mode has light.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from astropy.table import Table

from jwstsm.sim.chip import Chip
from jwstsm.sim.geometry import Camera
from jwstsm.sim.instruments import INSTRUMENTS, FilterRow
from jwstsm.sim.optics import render_light

__all__ = ["SCENES", "render"]


def _prism_trace(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """A star's spectrum along a column, brighter towards high rows, over a smooth background."""
    y, x = (a.astype(np.float32) for a in np.mgrid[: chip.region.ny, : chip.region.nx])
    x0, y0 = chip.region.x0, chip.region.y0
    along = np.clip((y + y0 - 560.0) / 360.0, 0, None)
    spectrum = 2500.0 * along**3 * (along < 1.0)
    width = 1.1 + 0.8 * (1.0 - along).clip(0, 1)
    image = spectrum * np.exp(-0.5 * ((x + x0 - 37.5) / width) ** 2) + 25.0 * background_mjysr * (0.3 + along)
    return (image * chip.response).astype(np.float32)


def _slices(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """Slices of an image slicer: curved stripes along columns with a continuum, lines and gaps between them."""
    y, x = (a.astype(np.float32) for a in np.mgrid[: chip.region.ny, : chip.region.nx])
    place = (x + chip.region.x0 + 6e-5 * (y + chip.region.y0 - 512) ** 2) / 24.0
    across = place % 1.0
    slit = (across > 0.12) & (across < 0.88)
    source = np.exp(-0.5 * ((across - 0.5) / 0.09) ** 2) * np.exp(-0.5 * ((place - 21.0) / 3.0) ** 2)
    lines = sum(h * np.exp(-0.5 * ((y - c) / 1.4) ** 2) for h, c in ((60, 180.5), (200, 512.0), (25, 803.3)))
    image = slit * (2.0 + 4.0 * background_mjysr * (1 + y / 1024) + (40.0 + lines) * source) + 0.3
    return (image * chip.response).astype(np.float32)


def _crossed_traces(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """A star dispersed along rows in two curved orders, spread over a score of rows, over a background with a step."""
    y, x = (a.astype(np.float32) for a in np.mgrid[: chip.region.ny, : chip.region.nx])
    x, y = x + chip.region.x0, y + chip.region.y0 - 1792
    image = 8.0 * background_mjysr * np.where(x < 700, 0.6, 1.0)
    for centre, curve, peak in ((70.0, 1.5e-5, 900.0), (30.0 + 0.08 * x, 2e-5, 250.0)):
        offset = (y - centre - curve * (x - 1100.0) ** 2) / 9.0
        # the weak cylinder spreads the light into a profile with two horns
        profile = np.exp(-(offset**6)) * (0.6 + 0.4 * offset**2)
        image = image + peak * profile * np.exp(-0.5 * ((x - 1250.0) / 600.0) ** 2)
    return (image * chip.response).astype(np.float32)


def _darkness(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """No light at all."""
    return np.zeros(chip.region.shape, np.float32)


def _slits(chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background_mjysr: float) -> np.ndarray:
    """Spectra of fixed slits along rows, slightly tilted, with a bright and a faint source, lines, and dark between."""
    y, x = (a.astype(np.float32) for a in np.mgrid[: chip.region.ny, : chip.region.nx])
    x, y = x + chip.region.x0, y + chip.region.y0
    image = np.full(x.shape, 0.02, np.float32)
    for centre, width, peak in ((1062.0, 30.0, 80.0), (1087.0, 20.0, 900.0), (1000.0, 28.0, 15.0), (600.0, 40.0, 250.0)):
        offset = y - centre - 0.004 * (x - 1024.0) - 4e-6 * (x - 1024.0) ** 2
        spectrum = peak * np.exp(-0.5 * ((x - 1100.0) / 500.0) ** 2) * (1 + 0.3 * np.sin(x / 37.0))
        image += (np.abs(offset) < width / 2) * (12.0 * background_mjysr + spectrum * np.exp(-0.5 * (offset / 1.3) ** 2))
    return (image * chip.response).astype(np.float32)


SCENES: dict[str, Callable] = {
    **{row.dark_type: _darkness for row in INSTRUMENTS.values()},
    "MIR_LRS-SLITLESS": _prism_trace,
    "MIR_MRS": _slices,
    "NIS_SOSS": _crossed_traces,
    "NRS_FIXEDSLIT": _slits,
    "NRS_BRIGHTOBJ": _slits,
}
"""Type of exposure -> function that renders its light; images of the sky where there is none."""


def render(exp_type: str, chip: Chip, camera: Camera, row: FilterRow, catalog: Table, background: float) -> np.ndarray:
    """Return the charge rate that light causes, (ny, nx) float32 [e-/s], response included.

    Parameters are those of :func:`jwstsm.sim.optics.render_light`.
    """
    return SCENES.get(exp_type, render_light)(chip, camera, row, catalog, background)
