"""World coordinates that follow a moving target: positions are shifted to where the target was on average.

Source: frame ``moving_target`` of the official step ``assign_mtwcs``.
"""

from __future__ import annotations

from jwstsm.errors import InputError
from jwstsm.wcs.model import Wcs, as_wcs
from jwstsm.wcs.transforms import Shift, parallel

__all__ = ["FRAME", "follow_target"]

FRAME = "moving_target"


def follow_target(wcs, ra_shift: float, dec_shift: float) -> Wcs:
    """Return world coordinates with a frame in which the target stands still.

    Parameters
    ----------
    wcs : Wcs or gwcs.wcs.WCS
        Of an image. If it follows a target already, the new shift takes the place of the old one.
    ra_shift, dec_shift : float
        Mean position of the target minus its position in this exposure [deg].

    Returns
    -------
    Wcs
        With the frame ``moving_target`` behind the sky frame.
    """
    wcs = as_wcs(wcs)
    steps = wcs.steps[:-1] if wcs.output_frame.name == FRAME else list(wcs.steps)
    sky = steps[-1].frame
    if not sky.celestial:
        raise InputError(f"world coordinates end in the frame {sky.name}, not on the sky; run assign_wcs again")
    shift = parallel(Shift(float(ra_shift)), Shift(float(dec_shift)))
    return Wcs([*steps[:-1], (sky, shift), (sky.renamed(FRAME), None)], wcs.name, wcs.pixel_shape)
