"""How two products differ: pixels in units of their errors, flags, world coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

__all__ = ["Agreement", "compare_images", "compare_ramps", "compare_wcs"]


@dataclass
class Agreement:
    """How far two arrays agree.

    Attributes
    ----------
    within : float
        Share of the pixels, good in both, that differ by less than the tolerance in sigma.
    flags : float
        Share of pixels with equal DQ.
    nans : float
        Share of pixels that are NaN in both or in neither.
    worst : float
        Largest difference [sigma].
    """

    within: float
    flags: float
    nans: float
    worst: float


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    with fits.open(path, memmap=False) as hdus:
        return {n: np.array(hdus[n].data) for n in names if n in hdus}


def _agreement(ours, theirs, sigma, dq_ours, dq_theirs, tolerance) -> Agreement:
    both = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(sigma) & (sigma > 0)
    ratio = np.abs(ours[both].astype(float) - theirs[both]) / sigma[both]
    return Agreement(
        within=float(np.mean(ratio <= tolerance)) if ratio.size else 1.0,
        flags=float(np.mean(dq_ours == dq_theirs)) if dq_ours is not None else 1.0,
        nans=float(np.mean(np.isnan(ours) == np.isnan(theirs))),
        worst=float(ratio.max()) if ratio.size else 0.0,
    )


def compare_images(ours: Path, theirs: Path, tolerance: float = 0.01) -> dict[str, Agreement]:
    """Compare two rate, cal or i2d files.

    Returns
    -------
    dict
        ``SCI`` in units of the official ERR; ``ERR`` and the variances as fractions of the official values.
    """
    names = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "WHT")
    a, b = _arrays(ours, names), _arrays(theirs, names)
    assert set(a) == set(b), f"extensions differ: {sorted(set(a) ^ set(b))}"
    assert a["SCI"].shape == b["SCI"].shape, f"shapes differ: {a['SCI'].shape} and {b['SCI'].shape}"
    out = {"SCI": _agreement(a["SCI"], b["SCI"], b["ERR"], a.get("DQ"), b.get("DQ"), tolerance)}
    for name in set(a) - {"SCI", "DQ"}:
        out[name] = _agreement(a[name], b[name], np.abs(b[name]), None, None, tolerance)
    return out


def compare_ramps(ours: Path, theirs: Path, noise_dn: float, tolerance: float = 0.01) -> Agreement:
    """Compare two ramps after a step of stage 1, in units of a typical read noise [DN]."""
    a, b = _arrays(ours, ("SCI", "GROUPDQ", "PIXELDQ")), _arrays(theirs, ("SCI", "GROUPDQ", "PIXELDQ"))
    sigma = np.full(b["SCI"].shape, noise_dn, np.float32)
    found = _agreement(a["SCI"], b["SCI"], sigma, a["GROUPDQ"], b["GROUPDQ"], tolerance)
    pixels = float(np.mean(a["PIXELDQ"] == b["PIXELDQ"]))
    return Agreement(found.within, min(found.flags, pixels), found.nans, found.worst)


def compare_wcs(ours: Path, theirs: Path) -> float:
    """Return the largest distance between the positions that two files give to the same pixels [mas]."""
    from jwstsm.products import read
    from jwstsm.wcs.sky import separation_deg

    first, second = read(ours), read(theirs)
    ny, nx = first.data.shape[-2:]
    y, x = (v.ravel().astype(float) for v in np.mgrid[0 : ny - 1 : 25j, 0 : nx - 1 : 25j])
    a = first.wcs(x, y, with_bounding_box=False)
    b = second.wcs(x, y, with_bounding_box=False)
    return float(np.nanmax(separation_deg(*a, *b))) * 3.6e6
