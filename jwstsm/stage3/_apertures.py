"""What the references say about the photometry of a mosaic: aperture radii and corrections, the Vega offset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from jwstsm.products import Mosaic
from jwstsm.references import ReferenceFile

__all__ = ["Apertures", "vega_offset"]

log = logging.getLogger(__name__)

# which keywords pick the row of a reference table, by instrument
APCORR_KEYS = {
    "NIRCAM": ("FILTER", "PUPIL"),
    "NIRISS": ("FILTER", "PUPIL"),
    "MIRI": ("FILTER", "SUBARRAY"),
    "FGS": (),
}
ABVEGA_KEYS = {
    "NIRCAM": ("FILTER", "PUPIL"),
    "NIRISS": ("FILTER", "PUPIL"),
    "MIRI": ("FILTER",),
    "FGS": ("DETECTOR",),
}


class Apertures:
    """Radii and corrections of the apertures [pixel of the mosaic].

    Attributes
    ----------
    ee : list of int
        Encircled energies [percent].
    radii, corrections : ndarray, (3,)
        Radius, and total over enclosed flux of a star, of each.
    inner, outer : float
        Radii of the background ring.
    """

    def __init__(self, ee: Sequence[int], radii, corrections, inner: float, outer: float):
        self.ee = [int(e) for e in ee]
        self.radii, self.corrections = np.asarray(radii, np.float64), np.asarray(corrections, np.float64)
        self.inner, self.outer = float(inner), float(outer)

    @classmethod
    def of(cls, reference: ReferenceFile | None, mosaic: Mosaic, ee: Sequence[int]) -> Apertures:
        """Read the apertures for a mosaic from the ``apcorr`` reference; without one take 1, 2 and 3 pixels.

        Raises
        ------
        LookupError
            If the reference has no row, or more than one, for the filter and an encircled energy.
        """
        if reference is None:
            log.warning("no apcorr reference: apertures of 1, 2 and 3 pixels without corrections are used")
            return cls((1, 2, 3), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0), 5.0, 10.0)
        rows = _rows_for(reference.table("APCORR"), mosaic, APCORR_KEYS, reference.name)
        percent = np.round(np.asarray(rows["eefraction"], np.float64) * 100)
        found = []
        for e in ee:
            hit = np.flatnonzero(percent == e)
            if hit.size != 1:
                raise LookupError(f"apcorr reference {reference.name} has {hit.size} rows for {e} % encircled energy")
            found.append(hit[0])
        inner, outer = np.unique(rows["skyin"][found]), np.unique(rows["skyout"][found])
        if inner.size != 1 or outer.size != 1:
            raise LookupError(f"apcorr reference {reference.name} has more than one background ring for the filter")
        ratio = mosaic.key("PXSCLRT")
        if ratio is None:
            log.warning("%s: keyword PXSCLRT is missing; the detector's pixel scale is assumed", mosaic.name)
            ratio = 1.0
        scale = np.float64(ratio)
        return cls(ee, rows["radius"][found] / scale, rows["apcorr"][found], inner[0] / scale, outer[0] / scale)


def _rows_for(table, mosaic: Mosaic, keys: Mapping[str, tuple[str, ...]], name: str) -> dict[str, np.ndarray]:
    """Return the rows of a reference table that fit a mosaic, as columns."""
    instrument = str(mosaic.require("INSTRUME")).upper()
    if instrument not in keys:
        raise LookupError(f"{instrument} is not an imager with a source catalog")
    names = table.dtype.names if hasattr(table, "dtype") else list(table)
    lower = {n.lower(): n for n in names}
    keep = np.ones(len(table[names[0]]), bool)
    wanted = {k: str(mosaic.key(k, "")).strip() for k in keys[instrument]}
    for keyword, value in wanted.items():
        if keyword.lower() not in lower:
            raise LookupError(f"reference {name} has no column '{keyword.lower()}'")
        keep &= np.char.strip(np.asarray(table[lower[keyword.lower()]]).astype(str)) == value
    if not keep.any():
        raise LookupError(f"reference {name} has no row for {', '.join(f'{k} {v}' for k, v in wanted.items())}")
    return {low: np.asarray(table[n])[keep] for low, n in lower.items()}


def vega_offset(reference: ReferenceFile | None, mosaic: Mosaic) -> float:
    """Return AB minus Vega magnitude for a mosaic's filter; 0, with a warning, without a reference.

    Raises
    ------
    LookupError
        If the reference has no row, or more than one, for the filter.
    """
    if reference is None:
        log.warning("no abvegaoffset reference: the Vega magnitudes of the catalog are AB magnitudes")
        return 0.0
    node = reference.asdf()["abvega_offset"]
    node = getattr(node, "value", node)
    columns = [getattr(c, "value", c) for c in node["columns"]]
    table = {c["name"]: np.asarray(getattr(c["data"], "value", c["data"])) for c in columns}
    rows = _rows_for(_AsTable(table), mosaic, ABVEGA_KEYS, reference.name)
    if len(rows["abvega_offset"]) != 1:
        raise LookupError(f"reference {reference.name} has more than one row for the filter")
    return float(rows["abvega_offset"][0])


class _AsTable(dict):
    """Columns by name, iterated and indexed as a table is."""
