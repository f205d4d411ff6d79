"""The sidecar of the alignment: one correction per exposure of an association, with its quality, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm.errors import InputError
from jwstsm.files import atomic
from jwstsm.wcs.correction import Correction, correct_wcs
from jwstsm.wcs.moving import follow_target

__all__ = ["Alignment", "ExposureAlignment", "GroupAlignment"]

FORMAT = "jwstsm alignment 1"


@dataclass
class ExposureAlignment:
    """The alignment of one image.

    Attributes
    ----------
    name : str
        File name.
    group : str
        Exposure it belongs to.
    sources : int
        Number of sources found.
    status : str
        ``SUCCESS``, ``REFERENCE``, ``FAILED: reason`` or ``SKIPPED``.
    correction : dict or None
        What :meth:`jwstsm.wcs.correction.Correction.to_json` gives: the whole correction of the WCS the file
        has; None when the WCS stays as it is.
    moving : list of float or None
        Shift in right ascension and declination that follows a moving target [deg].
    """

    name: str
    group: str
    sources: int = 0
    status: str = "SKIPPED"
    correction: dict[str, Any] | None = None
    moving: list[float] | None = None

    def set_correction(self, correction: Correction) -> None:
        """Take over a correction, as JSON would give it back."""
        self.correction = json.loads(json.dumps(correction.to_json()))


@dataclass
class GroupAlignment:
    """One fit: numbers for people and for the report.

    Attributes
    ----------
    group, stage, status, note, geometry : str
        ``stage`` is ``relative`` or ``absolute``.
    matched, used : int
        Matched sources, and those left after clipping.
    shift_arcsec : list of float
        East and north shift at the reference point of the exposure's first image.
    rotation_deg, scale : float
        Rotation (north through west) and scale of the fit.
    rms_mas : list of float
        Root mean square residuals of the sources used, east and north.
    residuals : dict of list
        Per matched source: ``ra``, ``dec`` [deg] and ``east``, ``north`` [mas] (reference minus aligned image),
        ``used``.
    """

    group: str
    stage: str
    status: str
    note: str = ""
    geometry: str = ""
    matched: int = 0
    used: int = 0
    shift_arcsec: list[float] = field(default_factory=lambda: [0.0, 0.0])
    rotation_deg: float = 0.0
    scale: float = 1.0
    rms_mas: list[float] = field(default_factory=list)
    residuals: dict[str, list] = field(default_factory=dict)

    @classmethod
    def of(cls, fit) -> GroupAlignment:
        """Summarise a :class:`jwstsm.stage3._groups.GroupFit`."""
        out = cls(fit.group, fit.stage, fit.status, fit.note, fit.geometry, fit.matched, fit.used)
        if fit.fit is not None:
            residual = 1000.0 * fit.fit.residuals
            out.shift_arcsec = np.round(fit.fit.shift, 7).tolist()
            out.rotation_deg = round(fit.fit.rotation_deg, 9)
            out.scale = round(fit.fit.scale, 10)
            out.rms_mas = np.round(np.sqrt(np.mean(residual[fit.fit.used] ** 2, axis=0)), 4).tolist()
            out.residuals = {
                "ra": np.round(fit.ra, 8).tolist(),
                "dec": np.round(fit.dec, 8).tolist(),
                "east": np.round(residual[:, 0], 3).tolist(),
                "north": np.round(residual[:, 1], 3).tolist(),
                "used": fit.fit.used.tolist(),
            }
        return out


@dataclass
class Alignment:
    """The alignment of an association.

    Attributes
    ----------
    product : str
        Name of the product.
    status : {"COMPLETE", "SKIPPED"}
    reason : str
        Why it was skipped.
    absolute : dict or None
        ``catalog``, ``sources``, ``epoch`` of the absolute catalog, ``status``.
    target : dict or None
        ``ra``, ``dec``: mean position of a moving target [deg].
    exposures : list of ExposureAlignment
        In the order of the association.
    groups : list of GroupAlignment
        Every fit that was made, relative ones first.
    catalogs : dict
        Source lists by file name (columns of arrays); not written to the sidecar.
    """

    product: str = ""
    status: str = "COMPLETE"
    reason: str = ""
    absolute: dict[str, Any] | None = None
    target: dict[str, float] | None = None
    exposures: list[ExposureAlignment] = field(default_factory=list)
    groups: list[GroupAlignment] = field(default_factory=list)
    catalogs: dict[str, dict[str, np.ndarray]] = field(default_factory=dict, repr=False)

    def wcs_name(self, group: str) -> str:
        """Return the name for the corrected WCS of an exposure: after its absolute catalog, or empty."""
        done = any(g.group == group and g.stage == "absolute" and g.status == "SUCCESS" for g in self.groups)
        return f"FIT-LVL3-{self.absolute['catalog']}" if done and self.absolute else ""

    def exposure(self, name: str) -> ExposureAlignment:
        """Return what is known of a file.

        Raises
        ------
        InputError
            If the alignment does not know the file.
        """
        for exposure in self.exposures:
            if exposure.name == name:
                return exposure
        raise InputError(f"the alignment of {self.product or 'the association'} does not hold {name}; run tweakreg again")

    def correction(self, name: str) -> Correction | None:
        """Return the correction of a file, or None when its WCS stays as it is or follows a moving target."""
        found = self.exposure(name).correction
        return None if found is None else Correction.from_json(found)

    def corrected(self, name: str, wcs):
        """Return the WCS of a file as the alignment leaves it."""
        correction, moving = self.correction(name), self.exposure(name).moving
        if correction is not None:
            wcs = correct_wcs(wcs, correction)
        return wcs if moving is None else follow_target(wcs, *moving)

    def write(self, path: str | Path) -> None:
        """Write the sidecar, under a temporary name until it is whole."""
        record = {"format": FORMAT} | {k: v for k, v in asdict(self).items() if k != "catalogs"}
        with atomic(path) as part:
            part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Alignment:
        """Read a sidecar.

        Raises
        ------
        InputError
            If the file is not one.
        """
        try:
            record = json.loads(Path(path).read_text())
            if record.pop("format") != FORMAT:
                raise KeyError("format")
            record["exposures"] = [ExposureAlignment(**e) for e in record["exposures"]]
            record["groups"] = [GroupAlignment(**g) for g in record["groups"]]
            return cls(**record)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise InputError(f"{path}: not an alignment sidecar ({problem!r}); run tweakreg again") from None

    def write_catalogs(self, folder: str | Path, form: str = "ecsv") -> list[Path]:
        """Write the source list of each image as ``<file>_cat.<form>``; return the paths."""
        from astropy.table import Table

        paths = []
        for name, columns in self.catalogs.items():
            path = Path(folder) / f"{name.removesuffix('.fits')}_cat.{form}"
            Table(columns).write(path, format={"ecsv": "ascii.ecsv"}.get(form, form), overwrite=True)
            paths.append(path)
        return paths
