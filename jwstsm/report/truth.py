"""A catalog against the sources that a simulated program was made of: completeness, purity, fluxes.

Each kind of source is compared in the column that is meant for it: stars in the total flux (aperture and correction),
galaxies in the isophotal flux, which is the light in the region above the detection limit and nothing beyond. The truth
of that is the share of a galaxy's profile that lies in an ellipse as large as the region; the blur of the optics, which
moves light out of it, is left out, so that galaxies seem 2 to 7 % too faint (NIRCam short wave, to 21 mag; 13 to 24 %
where a galaxy is a few pixels wide or near the detection limit). The total flux of the catalog holds
a fifth of a galaxy's light: its correction is that of a star.

Real programs have no truth; the section then does not appear.
"""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm.products import Mosaic

__all__ = ["compare_catalog", "read_columns", "truth_of"]

_CLOSE = 2.0  # pixels within which a source of the catalog is that of the truth
_FAR = 3.0  # arcsec by which the mosaic may be off as a whole
_BRIGHT = 100  # sources that find this offset
_BRIGHT_SNR = 20.0
_AB_ZERO = 8.9  # magnitude of 1 Jy
_SHOWN = 600  # points in the plot
_TRUE = ("ra", "dec", "half_light_arcsec", "sersic", "axis_ratio")
_FOUND = ("xcentroid", "ycentroid", "aper_total_flux", "aper_total_flux_err", "isophotal_flux", "isophotal_area")


def truth_of(mosaic: str | Path) -> Path | None:
    """Return the table of true sources beside the folder of a mosaic (``truth/sources.ecsv``), if there is one."""
    path = Path(mosaic).absolute().parent.parent / "truth" / "sources.ecsv"
    return path if path.exists() else None


def read_columns(path: str | Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Return columns of an ECSV table as numbers; None if it lacks one (astropy's reader takes seconds to start)."""
    with open(path, newline="") as file:
        rows = list(csv.reader((line for line in file if not line.startswith("#")), delimiter=" "))
    if not rows or not set(wanted) <= set(rows[0]):
        return None
    places = [rows[0].index(name) for name in wanted]
    table = np.array([[float(row[k] or "nan") for k in places] for row in rows[1:]], float).reshape(-1, len(wanted))
    return dict(zip(wanted, table.T, strict=True))


def compare_catalog(mosaic: Mosaic, catalog: str | Path, truth: str | Path) -> dict[str, Any] | None:
    """Compare a catalog with the true sources that fall on the mosaic.

    Parameters
    ----------
    mosaic : Mosaic
    catalog, truth : path
        ECSV tables; the truth has a column of fluxes [Jy] for each filter.

    Returns
    -------
    dict or None
        ``purity`` (share of the catalog that is true), ``half_complete`` (AB magnitude to which half of the sources are
        found), ``flux_bias`` (median of measured over true flux minus 1, of stars of 20 times their error),
        ``offset_mas`` (of the mosaic as a whole), ``rows`` (per magnitude: ``mag true found``, of stars ``bias scatter``,
        of galaxies ``bias_galaxies`` of the isophotal flux and ``light_galaxies``, its share of all their light) and
        ``points`` (magnitude, flux ratio) by kind. None if the tables say nothing about this filter.
    """
    true = None
    for optic in ("FILTER", "PUPIL", "INSTRUME"):  # the wide filters of NIRISS are in its pupil wheel, FGS has none
        flux = f"flux_{mosaic.key(optic, '')}"
        true = read_columns(truth, (*_TRUE, flux))
        if true:
            break
    found = read_columns(catalog, _FOUND)
    if true is None or found is None or mosaic.wcs is None or not len(found["xcentroid"]):
        return None
    at = np.stack(mosaic.wcs.invert(true["ra"], true["dec"], with_bounding_box=False), axis=-1)
    here = np.stack([found["xcentroid"], found["ycentroid"]], axis=-1)
    pixel = math.sqrt(float(mosaic.key("PIXAR_A2", 0.0) or 0.0)) or 0.06
    shift = _offset(
        at[np.argsort(-true[flux])[:_BRIGHT]], here[np.argsort(-found["aper_total_flux"])[:_BRIGHT]], _FAR / pixel
    )
    at = at + shift
    column, row = np.rint(at).astype(np.int64).T
    ny, nx = mosaic.data.shape
    inside = (column >= 0) & (row >= 0) & (column < nx) & (row < ny)
    inside[inside] = mosaic.wht[row[inside], column[inside]] > 0
    at, light, star = at[inside], true[flux][inside], true["half_light_arcsec"][inside] == 0
    partner = _match(at, light, here)
    matched = partner >= 0
    mag = _AB_ZERO - 2.5 * np.log10(np.maximum(light, 1e-30)) if len(light) else light
    found = {name: values[partner] for name, values in found.items()}
    held = _share_within(found["isophotal_area"] * pixel**2, *(true[name][inside] for name in _TRUE[2:]))
    whole = np.where(matched, np.where(star, found["aper_total_flux"], found["isophotal_flux"]) / light, np.nan)
    ratio = np.where(star, whole, whole / held)
    good = matched & star & (found["aper_total_flux"] > _BRIGHT_SNR * found["aper_total_flux_err"]) & np.isfinite(ratio)
    rows = _by_magnitude(mag, matched, star, ratio, whole)
    every = slice(None, None, max(1, int(matched.sum()) // _SHOWN))
    return {
        "purity": float(len(np.unique(partner[matched])) / len(here)),
        "half_complete": _half(rows),
        "flux_bias": float(np.median(ratio[good]) - 1) if good.any() else math.nan,
        "offset_mas": 1000 * pixel * float(np.hypot(*shift)),
        "rows": rows,
        "points": {
            name: [[float(m), float(r)] for m, r in zip(mag[own][every], ratio[own][every], strict=True)]
            for name, own in (("stars", matched & star), ("galaxies", matched & ~star))
        },
    }


def _share_within(area: np.ndarray, half_light: np.ndarray, sersic: np.ndarray, axis_ratio: np.ndarray) -> np.ndarray:
    """Return the share of a galaxy's light in an ellipse of its shape and of this area; 1 for a star.

    Parameters
    ----------
    area : ndarray, (n,)
        Area [arcsec^2].
    half_light : ndarray, (n,)
        Half-light radius along the major axis [arcsec], 0 of a star.
    sersic, axis_ratio : ndarray, (n,)
        Index and minor over major axis of the profile.

    Notes
    -----
    Incomplete gamma function of ``2 n`` at ``b (r / r_half)**(1 / n)`` (Graham & Driver 2005, PASA 22, 118).
    """
    from scipy.special import gammainc, gammaincinv

    out = np.ones(len(area))
    k = half_light > 0
    n, radius = sersic[k], np.sqrt(area[k] / (np.pi * axis_ratio[k])) / half_light[k]
    out[k] = gammainc(2 * n, gammaincinv(2 * n, 0.5) * radius ** (1 / n))
    return out


def _offset(true: np.ndarray, found: np.ndarray, reach: float) -> np.ndarray:
    """Return the shift (x, y) that brings most true places onto found ones, both (n, 2) [pixel]."""
    pairs = (found[None] - true[:, None]).reshape(-1, 2)
    pairs = pairs[np.abs(pairs).max(axis=1) < reach]
    if len(pairs) < 3:
        return np.zeros(2)
    neighbours = np.array([np.count_nonzero(np.abs(pairs - p).max(axis=1) < _CLOSE) for p in pairs])
    best = np.abs(pairs - pairs[np.argmax(neighbours)]).max(axis=1) < _CLOSE
    return np.median(pairs[best], axis=0)


def _match(at: np.ndarray, light: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Return for each true source the number of its source in the catalog, or -1; the brightest choose first."""
    partner, free = np.full(len(at), -1), np.ones(len(here), bool)
    for k in np.argsort(-light):
        distance = np.where(free, np.hypot(*(here - at[k]).T), np.inf)
        nearest = int(np.argmin(distance))
        if distance[nearest] < _CLOSE:
            partner[k], free[nearest] = nearest, False
    return partner


def _by_magnitude(mag, matched, star, ratio, whole) -> list[dict[str, float]]:
    """Return one row per magnitude: true sources, the share found, and what is known of the fluxes of both kinds."""
    out = []
    for low in range(*((int(np.floor(mag.min())), int(np.floor(mag.max())) + 1) if len(mag) else (0, 0))):
        own = (mag >= low) & (mag < low + 1)
        if not own.any():
            continue
        values = ratio[own & star]
        middle = _median(values)
        spread = 1.4826 * _median(np.abs(values - middle)) if np.isfinite(values).sum() > 2 else math.nan
        galaxies = own & ~star
        out.append(
            {
                "mag": low,
                "true": int(own.sum()),
                "found": float(matched[own].mean()),
                "bias": middle - 1,
                "scatter": spread,
                "bias_galaxies": _median(ratio[galaxies]) - 1,
                "light_galaxies": _median(whole[galaxies]),
            }
        )
    return out


def _median(values: np.ndarray) -> float:
    """Return the median of the finite values, NaN without any."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan


def _half(rows: list[dict[str, float]]) -> float:
    """Return the magnitude at which the share of sources found falls to half, between the middles of the rows."""
    for before, after in itertools.pairwise(rows):
        if before["found"] >= 0.5 > after["found"]:
            step = (before["found"] - 0.5) / (before["found"] - after["found"])
            return before["mag"] + 0.5 + step * (after["mag"] - before["mag"])
    return math.nan
