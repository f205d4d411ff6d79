"""photom: from counts to surface brightness.

Source: the official step ``photom``, imaging part; forms of the time dependence as in the reference files' schemas.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

from jwstsm.errors import InputError, ReferenceError_
from jwstsm.products import Slope
from jwstsm.references import References
from jwstsm.stage2._planes import scale_planes
from jwstsm.step import Skipped, step

__all__ = ["TIME_DEPENDENCE", "find_row", "photom", "throughput"]

log = logging.getLogger(__name__)

# 1 MJy/sr in microJy/arcsec^2
MJSR_TO_UJA2 = 1e12 * (np.pi / 648000) ** 2


class Selection(NamedTuple):
    """How the row of an instrument's photometry table is found."""

    columns: dict[str, str]
    """Column of the table -> keyword of the header; columns that are not in the table are an error."""
    optional: dict[str, str] = {}  # noqa: RUF012
    """The same for columns that only newer references have."""
    fallback: dict[str, str] = {}  # noqa: RUF012
    """Values that stand for any where no row has the exposure's own."""
    per_integration: bool = True
    """Whether images per integration are converted too."""


SELECTIONS = {
    "NIRCAM": Selection({"filter": "FILTER", "pupil": "PUPIL"}, {"subarray": "SUBARRAY"}),
    # interferograms are compared with one another: they stay count rates
    "NIRISS": Selection({"filter": "FILTER", "pupil": "PUPIL"}, per_integration=False),
    "MIRI": Selection({"filter": "FILTER", "subarray": "SUBARRAY"}, fallback={"subarray": "GENERIC"}),
    "FGS": Selection({}),
}


def _linear(days, row):
    return 1.0 - row["lossperyear"] * days / 365.0


def _exponential(days, row):
    return row["amplitude"] * np.exp(-days / row["tau"]) + row["const"]


def _power_law(days, row):
    return row["year1value"] * ((days + row["tsoft"]) / (365.0 + row["tsoft"])) ** row["alpha"]


# extension -> throughput relative to day t0, from the days since and the row of the table
TIME_DEPENDENCE = {
    "TIMECOEFF_LINEAR": _linear,
    "TIMECOEFF_EXPONENTIAL": _exponential,
    "TIMECOEFF_POWERLAW": _power_law,
}


def _column(table, name: str) -> np.ndarray:
    """Return a text column in upper case without padding."""
    values = np.asarray(table[_columns(table)[name]]).astype(str)
    return np.char.upper(np.char.strip(values))


def _columns(table) -> dict[str, str]:
    return {n.lower(): n for n in table.dtype.names}


def find_row(table, wanted: dict[str, str], name: str) -> int | None:
    """Find the one row of a table.

    Parameters
    ----------
    table : recarray
    wanted : dict of str to str
        Column -> value, compared without case and padding.
    name : str
        Name of the reference, for messages.

    Returns
    -------
    int or None
        None if no row matches.

    Raises
    ------
    ReferenceError_
        If several match, or the table lacks a column.
    """
    missing = [c for c in wanted if c not in _columns(table)]
    if missing:
        raise ReferenceError_(f"reference photom {name} has no column {', '.join(missing)}; it is not for imaging")
    match = np.ones(len(table), bool)
    for column, value in wanted.items():
        match &= _column(table, column) == str(value).strip().upper()
    found = np.flatnonzero(match)
    if found.size > 1:
        raise ReferenceError_(f"reference photom {name} has {found.size} rows for {wanted}; it must have one")
    return int(found[0]) if found.size else None


def throughput(reference, row: int, rows: int, midtime_mjd: float) -> float:
    """Return the throughput of the optics at a date relative to the one that the conversion factor is for.

    Parameters
    ----------
    reference : ReferenceFile
        Each of its time-dependence tables multiplies the result.
    row : int
        Row of the photometry table; the others are parallel to it.
    rows : int
        Length of the photometry table.
    midtime_mjd : float
        Middle of the exposure [MJD].

    Returns
    -------
    float

    Raises
    ------
    ReferenceError_
        If a table is not parallel to the photometry table.
    """
    out = 1.0
    for extension, function in TIME_DEPENDENCE.items():
        if not reference.has(extension):
            continue
        table = reference.table(extension)
        if len(table) != rows:
            raise ReferenceError_(
                f"reference photom {reference.name}: {extension} has {len(table)} rows, PHOTOM has {rows}"
            )
        values = {key: float(table[name][row]) for key, name in _columns(table).items() if _is_number(table, name)}
        out *= float(function(midtime_mjd - values["t0"], values))
    return out


def _is_number(table, column: str) -> bool:
    return np.asarray(table[column]).dtype.kind in "fiu"


def _row_of(slope: Slope, reference, table) -> int | None:
    """Return the row of the photometry table for an exposure, None if there is none."""
    selection = SELECTIONS[str(slope.require("INSTRUME"))]
    keywords = {**selection.columns, **{c: k for c, k in selection.optional.items() if c in _columns(table)}}
    wanted = {column: str(slope.require(keyword)) for column, keyword in keywords.items()}
    row = find_row(table, wanted, reference.name)
    if row is None and selection.fallback:
        row = find_row(table, {**wanted, **selection.fallback}, reference.name)
    return row


def _pixel_area(refs: References, reference) -> tuple[Any, dict[str, float]]:
    """Return the area reference (or None) and the nominal pixel areas ``PIXAR_SR``, ``PIXAR_A2`` that are known."""
    area = refs["area"]
    found: dict[str, float] = {}
    for source in (area, reference):
        if source is None:
            continue
        header = source.header(0)
        for keyword in ("PIXAR_SR", "PIXAR_A2"):
            if keyword not in found and isinstance(header.get(keyword), (int, float)):
                found[keyword] = float(header[keyword])
    for keyword in {"PIXAR_SR", "PIXAR_A2"} - set(found):
        log.warning("neither the area nor the photom reference gives %s", keyword)
    return area, found


@step("S_PHOTOM", references=["photom", "area"])
def photom(
    slope: Slope,
    refs: References,
    *,
    inverse: bool = False,
    source_type: str | None = None,
    apply_time_correction: bool = True,
) -> Slope:
    """Convert count rates to surface brightness.

    One factor per filter turns DN/s into MJy/sr; it may change slowly as the throughput of the optics does.

    Parameters
    ----------
    slope : Slope
        Flat-fielded image (ny, nx) or one plane per integration [DN/s]; changed in place.
    refs : References
        ``photom`` and ``area``.
    inverse : bool
        Divide by the factor, back to DN/s.
    source_type : str or None
        POINT or EXTENDED, for spectra; no effect on images.
    apply_time_correction : bool
        Correct for the change of the throughput with time where the reference describes it.

    Returns
    -------
    Slope
        In MJy/sr, with the pixel area map in ``area`` and the keywords ``PHOTMJSR``, ``PHOTUJA2``, ``PIXAR_SR`` and
        ``PIXAR_A2``.

    Raises
    ------
    ReferenceError_
        If the reference is ambiguous or not one for imaging.
    InputError
        If a keyword is missing.

    Notes
    -----
    S' = S c / t with the factor c of the reference (``PHOTMJSR`` is c / t) and the relative throughput
    t = (1 - loss days / 365) x (A exp(-days / tau) + const) x year1value ((days + soft) / (365 + soft))^alpha, each
    only where the reference has its table, days from its own zero point to the middle of the exposure (``EXPMID``).
    Images per integration of NIRISS (interferometry) are not converted; they get pixel areas only.
    Variances take the square. Reads DO_NOT_USE: pixels that are NaN in one plane or flagged become both in all.

    Differs from the official step where the table has no row for the exposure: the status is SKIPPED (there: COMPLETE
    with the data left in DN/s). Times are kept in double precision (there: single, 6 minutes).
    """
    if str(slope.require("INSTRUME")) not in SELECTIONS:
        return Skipped(slope, f"there is no photometry of {slope.require('INSTRUME')} images")
    reference = refs["photom"]
    if reference is None:
        return Skipped(slope, "no photom reference (N/A)")
    table = reference.table("PHOTOM")
    if "photmjsr" not in _columns(table) or "wavelength" in _columns(table):
        raise ReferenceError_(
            f"reference photom {reference.name} is for spectra, not images; give another with override_photom"
        )
    row = _row_of(slope, reference, table)
    if row is None:
        words = ", ".join(str(slope.key(k, "")) for k in SELECTIONS[slope.key("INSTRUME")].columns.values())
        return Skipped(slope, f"{reference.name} has no row for {words}")
    area, sizes = _pixel_area(refs, reference)
    if slope.data.ndim == 3 and not SELECTIONS[slope.key("INSTRUME")].per_integration:
        slope.area = None if area is None else area.array("SCI")
        _write_sizes(slope, sizes)
        return Skipped(slope, "images per integration of this instrument stay in DN/s")
    factor = float(table[_columns(table)["photmjsr"]][row])
    if apply_time_correction and any(reference.has(name) for name in TIME_DEPENDENCE):
        midtime = slope.require("EXPMID")
        if not isinstance(midtime, (int, float)):
            raise InputError(f"{slope.name}: keyword EXPMID is {midtime!r}, not a date [MJD]; correct the header")
        factor /= throughput(reference, row, len(table), float(midtime))
    if area is not None:
        slope.area = area.array("SCI")
    scale_planes(slope, 1.0 / factor if inverse else factor)
    _write_keywords(slope, factor, sizes, "DN/s" if inverse else "MJy/sr")
    return slope


def _write_sizes(slope: Slope, sizes: dict[str, float]) -> None:
    comments = {"PIXAR_SR": "[sr] nominal pixel area", "PIXAR_A2": "[arcsec2] nominal pixel area"}
    for keyword, value in sizes.items():
        slope.sci[keyword] = (value, comments[keyword])


def _write_keywords(slope: Slope, factor: float, sizes: dict[str, float], unit: str) -> None:
    header = slope.sci
    header["PHOTMJSR"] = (factor, "[MJy/sr] flux density producing 1 cps")
    header["PHOTUJA2"] = (factor * MJSR_TO_UJA2, "[uJy/arcsec2] flux density producing 1 cps")
    _write_sizes(slope, sizes)
    header["BUNIT"] = (unit, "physical units of the array values")
    if "ERR" in slope.headers:
        slope.headers["ERR"]["BUNIT"] = (unit, "physical units of the array values")
