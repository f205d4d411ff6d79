"""Let the exposures of a moving target follow it, so that it is in one place in their combination.

The position of the target at the middle of each exposure is in the header (``MT_RA``, ``MT_DEC``). The world coordinates
of each exposure get one more frame, shifted by the mean position of the target in all exposures minus that in this one.
It takes the place of the alignment by stars, which trail.

Source: the official step ``assign_mtwcs``.
"""

from __future__ import annotations

import logging

import numpy as np

from jwstsm.core.frames import Stage3Inputs
from jwstsm.references import References
from jwstsm.stage3.alignment import Alignment, ExposureAlignment
from jwstsm.step import Skipped, step

__all__ = ["assign_mtwcs", "mean_position"]

log = logging.getLogger(__name__)


def mean_position(ra: np.ndarray, dec: np.ndarray) -> tuple[float, float]:
    """Return the mean of positions [deg]; right ascensions may lie on both sides of 0."""
    near = ra[0] + (ra - ra[0] + 180.0) % 360.0 - 180.0
    return float(np.mean(near) % 360.0), float(np.mean(dec))


@step("S_MTWCS", scope="association")
def assign_mtwcs(inputs: Stage3Inputs, refs: References | None = None) -> Alignment | Skipped:
    """Shift the world coordinates of the exposures of a moving target onto each other.

    Removes the motion of the target between the exposures.

    Parameters
    ----------
    inputs : Stage3Inputs
        The calibrated images.
    refs : References, optional
        Not used.

    Returns
    -------
    Alignment
        One shift per image; wrapped in ``Skipped`` when a position of the target is missing.

    Notes
    -----
    Pixels, errors and DQ are not touched. ``shift = mean(MT) - MT`` in right ascension and declination, without a
    factor for declination, as in the official step; the mean is taken across 0h where the target crosses it.
    """
    headers = [frame.header for frame in inputs.frames]
    out = Alignment(inputs.product, exposures=[ExposureAlignment(f.name, f.group_id) for f in inputs.frames])
    missing = [f.name for f, h in zip(inputs.frames, headers, strict=True) if None in (h.get("MT_RA"), h.get("MT_DEC"))]
    if missing:
        reason = f"MT_RA or MT_DEC is missing in {', '.join(missing)}: the target is not followed"
        log.warning("%s", reason)
        out.status, out.reason = "SKIPPED", reason
        return Skipped(out, reason)
    ra, dec = (np.array([float(h[word]) for h in headers]) for word in ("MT_RA", "MT_DEC"))
    mean = mean_position(ra, dec)
    out.target = {"ra": mean[0], "dec": mean[1]}
    for exposure, a, d in zip(out.exposures, ra, dec, strict=True):
        shift = (mean[0] - a + 180.0) % 360.0 - 180.0
        exposure.status, exposure.moving = "SUCCESS", [float(shift), float(mean[1] - d)]
        log.info("%s: shifted by %.3f, %.3f arcsec", exposure.name, 3600 * shift, 3600 * (mean[1] - d))
    return out
