"""The source catalog as a table: names, units, formats and descriptions of its columns, and its ECSV file.

The columns and their order are the official catalog's. The file is written directly, as astropy writes a ``QTable``
with quantities and sky coordinates: importing those packages takes longer than measuring the sources.

Source: the official source catalog (jwst 3.0.0); ECSV 1.0 (astropy APE6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jwstsm.files import atomic

__all__ = ["Catalog", "Column", "catalog_columns"]


class Column(NamedTuple):
    """What is known of a column before it has values."""

    name: str
    unit: str
    form: str
    description: str


_HEAD = """
label|||Unique source identification label number
xcentroid||.4f|X pixel value of the source centroid (0 indexed)
ycentroid||.4f|Y pixel value of the source centroid (0 indexed)
sky_centroid|sky||ICRS Sky coordinate of the source centroid
aper_bkg_flux|Jy|.6e|The local background value calculated as the sigma-clipped median value in the background annulus \
aperture
aper_bkg_flux_err|Jy|.6e|The standard error of the sigma-clipped median background value
"""
_SHAPE = """
is_extended|||Flag indicating whether the source is extended
sharpness||.6f|The DAOFind source sharpness statistic
roundness||.6f|The DAOFind source roundness statistic
nn_label|||The label number of the nearest neighbor
nn_dist|pix|.6f|The distance in pixels to the nearest neighbor
isophotal_flux|Jy|.6e|Isophotal flux
isophotal_flux_err|Jy|.6e|Isophotal flux error
isophotal_abmag||.6f|Isophotal AB magnitude
isophotal_abmag_err||.6f|Isophotal AB magnitude error
isophotal_vegamag||.6f|Isophotal Vega magnitude
isophotal_vegamag_err||.6f|Isophotal Vega magnitude error
isophotal_area|pix2||Isophotal area
semimajor_sigma|pix|.6f|1-sigma standard deviation along the semimajor axis of the 2D Gaussian function that has the \
same second-order central moments as the source
semiminor_sigma|pix|.6f|1-sigma standard deviation along the semiminor axis of the 2D Gaussian function that has the \
same second-order central moments as the source
ellipticity||.6f|1 minus the ratio of the 1-sigma lengths of the semimajor and semiminor axes
orientation|deg|.6f|The angle (degrees) between the positive X axis and the major axis (increases counter-clockwise)
sky_orientation|deg|.6f|The position angle (degrees) from North of the major axis
sky_bbox_ll|sky||Sky coordinate of the lower-left vertex of the minimal bounding box of the source
sky_bbox_ul|sky||Sky coordinate of the upper-left vertex of the minimal bounding box of the source
sky_bbox_lr|sky||Sky coordinate of the lower-right vertex of the minimal bounding box of the source
sky_bbox_ur|sky||Sky coordinate of the upper-right vertex of the minimal bounding box of the source
"""
_KRON = """
kron_flux|Jy|.6e|Flux within the Kron aperture
kron_flux_err|Jy|.6e|Flux error within the Kron aperture
"""
_KINDS = (
    ("flux", "Jy", ".6e", "Flux", "flux"),
    ("abmag", "", ".6f", "AB magnitude", "AB magnitude"),
    ("vegamag", "", ".6f", "Vega magnitude", "Vega magnitude"),
)


def _rows(text: str) -> list[Column]:
    return [Column(*line.split("|")) for line in text.strip().replace("\\\n", "").splitlines()]


def catalog_columns(ee: Sequence[int], kron: bool = False) -> list[Column]:
    """Return the columns of a catalog with apertures of three encircled energies [percent]."""
    out = _rows(_HEAD)
    for kind, unit, form, long, short in _KINDS:
        for e in ee:
            where = f"within the {e}% encircled energy circular aperture"
            out.append(Column(f"aper{e}_{kind}", unit, form, f"{long} {where}"))
            out.append(Column(f"aper{e}_{kind}_err", unit, form, f"{long} error {where}"))
        how = f"based on the {ee[-1]}% encircled energy circular aperture; should be used only for unresolved sources."
        out.append(Column(f"aper_total_{kind}", unit, form, f"Total aperture-corrected {short} {how}"))
        out.append(Column(f"aper_total_{kind}_err", unit, form, f"Total aperture-corrected {short} error {how}"))
    for i, j in ((0, 1), (1, 2), (0, 2)):
        text = f"Concentration index calculated as (aper{ee[j]}_flux / aper{ee[i]}_flux)"
        out.append(Column(f"CI_{ee[j]}_{ee[i]}", "", ".4f", text))
    return out + _rows(_SHAPE) + (_rows(_KRON) if kron else [])


@dataclass
class Catalog:
    """A source catalog.

    Attributes
    ----------
    columns : list of Column
        In order; none stands for the usual ones, in an empty catalog.
    values : dict of ndarray
        By column name; sky coordinates are (n, 2) right ascension and declination [deg].
    meta : dict
        Plain values that go into the head of the file.
    segments : ndarray, (ny, nx) uint32, or None
        Labels of the sources, for the finder ``segmentation``.
    """

    columns: list[Column]
    values: dict[str, np.ndarray]
    meta: dict[str, Any] = field(default_factory=dict)
    segments: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.values["label"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def write(self, path: str | Path) -> None:
        """Write the catalog as ECSV, under a temporary name until it is whole."""
        with atomic(path) as part:
            part.write_text(self.to_ecsv())

    def to_ecsv(self) -> str:
        """Return the text of the ECSV file."""
        flat: list[tuple[str, str, Column, np.ndarray]] = []
        columns = self.columns or catalog_columns((30, 50, 70))
        for column in columns:
            values = self._values(column)
            if column.unit == "sky" and values.ndim == 2:
                flat += [(f"{column.name}.{axis}", "deg", column, values[:, k]) for k, axis in enumerate(("ra", "dec"))]
            else:
                flat.append((column.name, "" if column.unit == "sky" else column.unit, column, values))
        head = ["%ECSV 1.0", "---", "datatype:"]
        head += [f"- {{{_entry(*item)}}}" for item in flat]
        head += ["meta: !!omap"]
        head += [f"- {{{json.dumps(key)}: {_flow(value)}}}" for key, value in self.meta.items()]
        head += ["- __serialized_columns__:"]
        head += [line for column in sorted(columns) for line in self._mixin(column)]
        head += ["schema: astropy-2.0"]
        rows = zip(*[_texts(item[3]) for item in flat], strict=True)
        lines = [f"# {line}" for line in head] + [" ".join(item[0] for item in flat)] + [" ".join(row) for row in rows]
        return "\n".join(lines) + "\n"

    def _values(self, column: Column) -> np.ndarray:
        """Return the values of a column; an empty catalog need not have any."""
        if column.name in self.values or len(self):
            return self.values[column.name]
        return np.zeros((0, 2) if column.unit == "sky" else 0)

    def _mixin(self, column: Column) -> list[str]:
        """Return the lines that make a column a quantity or a sky coordinate when it is read."""
        kept = "!astropy.table.SerializedColumn"
        if column.unit == "sky" and self._values(column).ndim == 2:
            unit = "!astropy.units.Unit {unit: deg}"
            return [
                f"    {column.name}:",
                "      __class__: astropy.coordinates.sky_coordinate.SkyCoord",
                f"      __info__: {{description: {json.dumps(column.description)}}}",
                f"      dec: {kept}",
                "        __class__: astropy.coordinates.angles.core.Latitude",
                f"        unit: {unit}",
                f"        value: {kept} {{name: {column.name}.dec}}",
                "      frame: icrs",
                f"      ra: {kept}",
                "        __class__: astropy.coordinates.angles.core.Longitude",
                f"        unit: {unit}",
                f"        value: {kept} {{name: {column.name}.ra}}",
                "        wrap_angle: !astropy.coordinates.Angle",
                f"          unit: {unit}",
                "          value: 360.0",
                "      representation_type: spherical",
            ]
        if column.unit in ("", "sky"):
            return []
        return [
            f"    {column.name}:",
            "      __class__: astropy.units.quantity.Quantity",
            f"      unit: !astropy.units.Unit {{unit: {column.unit}}}",
            f"      value: {kept} {{name: {column.name}}}",
        ]


def _entry(name: str, unit: str, column: Column, values: np.ndarray) -> str:
    """Describe a column of the file in the form of a YAML mapping."""
    parts = [f"name: {name}"]
    if unit:
        parts.append(f"unit: {unit}")
    parts.append(f"datatype: {values.dtype.name}")
    if "." not in name:
        if column.form:
            parts.append(f"format: {column.form}")
        parts.append(f"description: {json.dumps(column.description)}")
    return ", ".join(parts)


def _flow(value: Any) -> str:
    """Write plain values as YAML (JSON, with YAML's words for numbers that JSON has not)."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, (float, np.floating)):
        return repr(float(value)) if np.isfinite(value) else f".{value}"
    return json.dumps(value.item() if isinstance(value, np.generic) else value)


def _texts(values: np.ndarray) -> list[str]:
    """Return the shortest texts that read back as the same values."""
    if values.dtype == np.float32:
        return [str(v) for v in values]
    return [repr(v) for v in values.tolist()]
