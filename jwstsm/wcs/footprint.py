"""The outline of an image on the sky: ``S_REGION`` and what is read from it.

Source: the STC-S polygon of the archive's ``S_REGION`` keyword.
"""

from __future__ import annotations

import re

import numpy as np

__all__ = ["parse_s_region", "s_region"]


def s_region(wcs) -> str | None:
    """Return the value of ``S_REGION``: the corners of the bounding box (pixel edges, not centres).

    Parameters
    ----------
    wcs : Wcs
        World coordinates with a bounding box.

    Returns
    -------
    str or None
        ``POLYGON ICRS`` and four positions [deg], from the lower left clockwise in pixels; None where a corner has no
        position.
    """
    corners = wcs.footprint()
    corners[:, 0] %= 360
    if not np.isfinite(corners).all():
        return None
    return "POLYGON ICRS  " + " ".join(f"{value:.9f}" for value in corners.ravel())


def parse_s_region(text: str) -> list[np.ndarray]:
    """Return the polygons of an ``S_REGION``, each (n, 2) right ascension and declination [deg]."""
    parts = re.split(r"POLYGON(?:\s+[A-Z]+)?", text, flags=re.IGNORECASE)
    return [np.array(p.split(), dtype=np.float64).reshape(-1, 2) for p in parts if p.strip()]
