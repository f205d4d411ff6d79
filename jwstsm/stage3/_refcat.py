"""Absolute reference catalogs: files with right ascension and declination, moved to the epoch of the observation."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm.errors import InputError

__all__ = ["NETWORK_CATALOGS", "ReferenceCatalog", "observation_epoch", "read_pixel_catalog", "read_reference_catalog"]

log = logging.getLogger(__name__)

NETWORK_CATALOGS = ("GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1", "GAIADR3_S3")
_J2000_MJD = 51544.5
_MAS = np.radians(1.0 / 3.6e6)
_EPOCHS = ("REF_EPOCH", "EPOCH", "REFEPOCH")


@dataclass
class ReferenceCatalog:
    """Positions to align to.

    Attributes
    ----------
    name : str
    ra, dec : ndarray, (n,)
        Positions (ICRS) [deg].
    weight : ndarray, (n,), or None
    epoch : float or None
        Julian year the positions were moved to; None where the catalog has no proper motions.
    """

    name: str
    ra: np.ndarray
    dec: np.ndarray
    weight: np.ndarray | None = None
    epoch: float | None = None

    def __len__(self) -> int:
        return len(self.ra)


def observation_epoch(headers: list) -> float | None:
    """Return the mean epoch of exposures [Julian year] by their headers; None if they have no date."""
    days = []
    for header in headers:
        mjd = next((header[k] for k in ("MJD-AVG", "EXPMID", "MJD-BEG", "EXPSTART") if header.get(k)), None)
        if mjd is None and header.get("DATE-OBS"):
            mjd = (np.datetime64(str(header["DATE-OBS"])[:10]) - np.datetime64("1858-11-17")) / np.timedelta64(1, "D")
        if mjd is not None:
            days.append(float(mjd))
    return 2000.0 + (float(np.mean(days)) - _J2000_MJD) / 365.25 if days else None


def read_reference_catalog(path: str | Path, epoch: float | None) -> ReferenceCatalog:
    """Read a catalog file and move its positions to an epoch.

    Parameters
    ----------
    path : str or Path
        A file that ``astropy.table.Table`` reads (ECSV, FITS, CSV, ...). Columns, in any case: ``RA`` and
        ``DEC`` [deg], or ``sky_centroid``; optional ``weight``; optional ``pmra`` (with cos dec) and ``pmdec``
        [mas/yr unless the column has a unit], which need ``ref_epoch`` or ``epoch`` [yr] as a column or in the
        file's metadata.
    epoch : float or None
        Epoch of the observation [Julian year].

    Returns
    -------
    ReferenceCatalog
        Sources with finite positions; in a catalog with proper motions those that have one.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a column.
    """
    table = _read_table(path, "abs_refcat")
    columns = _columns(table, path)
    if "RA" in columns and "DEC" in columns:
        ra, dec = _values(table, columns["RA"], "deg"), _values(table, columns["DEC"], "deg")
    elif "SKY_CENTROID" in columns:
        centre = table[columns["SKY_CENTROID"]]
        ra, dec = np.asarray(centre.icrs.ra.deg), np.asarray(centre.icrs.dec.deg)
    else:
        raise InputError(
            f"{path}: an absolute catalog needs columns RA and DEC (or sky_centroid); it has {', '.join(table.colnames)}"
        )
    good = np.isfinite(ra) & np.isfinite(dec)
    weight = _values(table, columns["WEIGHT"]) if "WEIGHT" in columns else None
    if weight is not None:
        good &= np.isfinite(weight)
    moved = None
    if "PMRA" in columns and "PMDEC" in columns:
        if epoch is None:
            log.warning("%s: proper motions are not used, because the exposures have no date", path)
        else:
            motion = _values(table, columns["PMRA"], "mas/yr"), _values(table, columns["PMDEC"], "mas/yr")
            years = epoch - _catalog_epoch(table, columns, path)
            known = np.isfinite(motion[0]) & np.isfinite(motion[1])
            if good.any() and not (good & known).any():
                raise InputError(f"{path}: columns pmra and pmdec hold no value; remove them or fill them")
            if (good & ~known).any():
                log.info("%s: %d sources without proper motion are left out", path, np.count_nonzero(good & ~known))
            good &= known
            ra, dec = _moved(ra, dec, *motion, years)
            moved = epoch
    weight = None if weight is None else weight[good]
    return ReferenceCatalog(Path(path).name, np.asarray(ra)[good], np.asarray(dec)[good], weight, moved)


def _moved(ra, dec, pmra, pmdec, years) -> tuple[np.ndarray, np.ndarray]:
    """Return positions [deg] after some years of straight motion on the sky (no parallax)."""
    a, d = np.radians(ra), np.radians(dec)
    here = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)])
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    x, y, z = here + pmra * years * _MAS * east + pmdec * years * _MAS * north
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _catalog_epoch(table, columns, path) -> np.ndarray | float:
    for name in _EPOCHS:
        if name in columns:
            return _values(table, columns[name])
    meta = {str(k).upper(): v for k, v in table.meta.items()}
    for name in _EPOCHS:
        if name in meta:
            return float(str(meta[name]).lstrip("Jj"))
    raise InputError(
        f"{path}: proper motions need the epoch of the positions; add a column ref_epoch (2016.0 for Gaia DR3)"
    )


def _read_table(path: str | Path, option: str):
    from astropy.table import Table

    if not Path(path).is_file():
        raise InputError(f"tweakreg: '{option}' names {path}, which is not a file")
    try:
        return Table.read(path)
    except Exception as problem:  # each format has its own errors
        raise InputError(f"{path}: cannot be read as a table ({problem})") from None


def _columns(table, path) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name in table.colnames:
        if name.upper() in columns and name.upper() in ("RA", "DEC", "SKY_CENTROID"):
            raise InputError(f"{path}: more than one column '{name.upper()}' (case does not count)")
        columns.setdefault(name.upper(), name)
    return columns


def _values(table, name: str, unit: str | None = None) -> np.ndarray:
    """Return a column as float64, masked entries as NaN, in ``unit`` if the column has one."""
    column: Any = table[name]
    if unit is not None and getattr(column, "unit", None) is not None:
        column = column.to(unit)
        column = getattr(column, "value", column)
    return np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)


def read_pixel_catalog(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read a user's source list of one image: columns x, y (or xcentroid, ...) [pixel from 0], optional weight.

    Returns
    -------
    x, y : ndarray
        Positions.
    weight : ndarray or None
        Weights.
    """
    table = _read_table(path, "catfile")
    found = []
    for axis in "xy":
        name = next((n for n in (axis, f"{axis}centroid", f"{axis}_centroid") if n in table.colnames), None)
        if name is None:
            raise InputError(
                f"{path}: a source catalog needs columns x and y (or xcentroid, ycentroid); "
                f"it has {', '.join(table.colnames)}"
            )
        found.append(_values(table, name))
    weight = _values(table, "weight") if "weight" in table.colnames else None
    good = np.isfinite(found[0]) & np.isfinite(found[1])
    return found[0][good], found[1][good], None if weight is None else weight[good]
