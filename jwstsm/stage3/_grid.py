"""The output grid of an association, from its frames and the parameters that shape it."""

from __future__ import annotations

from jwstsm.core.frames import Frame, Stage3Inputs
from jwstsm.errors import InputError
from jwstsm.wcs.footprint import s_region
from jwstsm.wcs.model import as_wcs
from jwstsm.wcs.mosaic import Grid, grid_from_inputs, load_grid, pointing_of

__all__ = ["grid_of"]


class _Header:
    """A frame's header with the calls that :func:`pointing_of` makes."""

    def __init__(self, frame: Frame):
        self._frame = frame

    def require(self, keyword: str):
        """Return a keyword that must be there."""
        if keyword not in self._frame.header:
            raise InputError(
                f"{self._frame.name}: keyword {keyword} is missing; the image has no world coordinates, run assign_wcs"
            )
        return self._frame.header[keyword]


def footprint(frame: Frame) -> str:
    """Return the outline of an image as its corrected world coordinates give it."""
    region = s_region(as_wcs(frame.wcs)) if as_wcs(frame.wcs).bounding_box else frame.header.get("S_REGION")
    if not region:
        raise InputError(f"{frame.name}: no footprint (S_REGION); run assign_wcs on it")
    return region


def grid_of(inputs: Stage3Inputs, output_wcs: str = "", output_shape=None, **options) -> Grid:
    """Return the grid that covers the frames, or the one that the user gives.

    Parameters
    ----------
    inputs : Stage3Inputs
        The first frame sets scale and orientation.
    output_wcs : str
        ASDF file of a grid; empty: make one.
    output_shape : (nx, ny), optional
    **options
        Further parameters of :func:`jwstsm.wcs.mosaic.grid_from_inputs`.
    """
    if output_wcs:
        return load_grid(output_wcs, output_shape)
    first = inputs.frames[0]
    return grid_from_inputs(
        [footprint(f) for f in inputs.frames],
        first.wcs,
        pointing_of(_Header(first)),
        reference_shape=first.shape,
        output_shape=output_shape,
        **options,
    )
