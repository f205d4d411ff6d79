"""A CRDS cache with real selection rules, resolved by the ``crds`` package without a network.

The matching keywords are those of the current CRDS reference types. The mappings use what real ones use: several
USEAFTER dates, ``|`` alternatives, wildcard rows and ``N/A`` rows.
"""

from __future__ import annotations

import hashlib
import pprint
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from jwstsm.sim import niriss_fgs, nirspec

__all__ = ["CONTEXT", "PARKEYS", "SERVER", "CacheBuilder", "environment"]

CONTEXT = "jwst_9001.pmap"
SERVER = "https://crds-serverless-mode.stsci.edu"
SERIAL = "9001"

_KEYS = {
    "DETECTOR": "META.INSTRUMENT.DETECTOR",
    "FILTER": "META.INSTRUMENT.FILTER",
    "PUPIL": "META.INSTRUMENT.PUPIL",
    "CHANNEL": "META.INSTRUMENT.CHANNEL",
    "MODULE": "META.INSTRUMENT.MODULE",
    "BAND": "META.INSTRUMENT.BAND",
    "EXP_TYPE": "META.EXPOSURE.TYPE",
    "READPATT": "META.EXPOSURE.READPATT",
    "NOUTPUTS": "META.EXPOSURE.NOUTPUTS",
    "SUBARRAY": "META.SUBARRAY.NAME",
    "TSOVISIT": "META.VISIT.TSOVISIT",
    "VISITYPE": "META.VISIT.TYPE",
}

_PARKEYS = """
NIRCAM abvegaoffset EXP_TYPE
NIRCAM apcorr EXP_TYPE
NIRCAM area DETECTOR FILTER PUPIL EXP_TYPE
NIRCAM dark DETECTOR EXP_TYPE NOUTPUTS SUBARRAY
NIRCAM distortion DETECTOR EXP_TYPE CHANNEL FILTER PUPIL
NIRCAM filteroffset CHANNEL MODULE
NIRCAM flat DETECTOR FILTER PUPIL
NIRCAM gain DETECTOR SUBARRAY
NIRCAM ipc DETECTOR
NIRCAM linearity DETECTOR SUBARRAY
NIRCAM mask DETECTOR SUBARRAY
NIRCAM photom DETECTOR
NIRCAM readnoise DETECTOR READPATT SUBARRAY
NIRCAM saturation DETECTOR
NIRCAM sirskernel
NIRCAM superbias DETECTOR READPATT SUBARRAY
NIRCAM pars-detector1pipeline TSOVISIT
NIRCAM pars-jumpstep
NIRCAM pars-tweakregstep EXP_TYPE FILTER PUPIL
NIRCAM pars-sourcecatalogstep EXP_TYPE FILTER
NIRCAM pars-outlierdetectionstep EXP_TYPE FILTER PUPIL TSOVISIT
MIRI abvegaoffset EXP_TYPE
MIRI apcorr EXP_TYPE
MIRI area DETECTOR FILTER EXP_TYPE
MIRI dark DETECTOR READPATT SUBARRAY
MIRI distortion DETECTOR EXP_TYPE CHANNEL BAND
MIRI emicorr
MIRI filteroffset DETECTOR EXP_TYPE
MIRI flat DETECTOR FILTER BAND READPATT SUBARRAY
MIRI gain DETECTOR SUBARRAY
MIRI ipc DETECTOR
MIRI linearity DETECTOR SUBARRAY BAND FILTER
MIRI mask DETECTOR SUBARRAY
MIRI photom DETECTOR BAND
MIRI readnoise DETECTOR READPATT SUBARRAY
MIRI reset DETECTOR READPATT SUBARRAY
MIRI rscd DETECTOR
MIRI saturation DETECTOR
MIRI pars-detector1pipeline TSOVISIT
MIRI pars-jumpstep
MIRI pars-tweakregstep EXP_TYPE FILTER
MIRI pars-sourcecatalogstep EXP_TYPE FILTER
MIRI pars-outlierdetectionstep EXP_TYPE FILTER SUBARRAY TSOVISIT
"""

PARKEYS: dict[tuple[str, str], tuple[str, ...]] = {}
for _line in (_PARKEYS + niriss_fgs.PARKEYS + nirspec.PARKEYS).split("\n"):
    if not _line.strip():
        continue
    _instrument, _type, *_keywords = _line.split()
    PARKEYS[_instrument, _type] = tuple(_keywords)

FIRST_USE = "2022-04-01 00:00:00"
BEFORE_LAUNCH = "2015-11-01 00:00:00"
AFTER_PROGRAM = "2031-01-01 00:00:00"


def environment(cache: Path | str, context: str = CONTEXT) -> dict[str, str]:
    """Return the environment variables that make ``crds`` and the official package use a cache offline."""
    return {"CRDS_PATH": str(cache), "CRDS_CONTEXT": context, "CRDS_SERVER_URL": SERVER}


@dataclass
class CacheBuilder:
    """Collects reference files and writes the mappings over them.

    Rows are ``{instrument: {type: {match tuple: {useafter: file}}}}``; ``files`` counts the serial numbers.
    """

    root: Path
    rows: dict = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    serial: dict = field(default_factory=lambda: defaultdict(int))

    def path(self, instrument: str, reftype: str, extension: str) -> Path:
        """Return the path of the next file of a type, named as in CRDS."""
        self.serial[instrument, reftype] += 1
        name = f"jwst_{instrument.lower()}_{reftype}_{self.serial[instrument, reftype]:04d}.{extension}"
        return self.root / "references" / "jwst" / instrument.lower() / name

    def add(self, instrument: str, reftype: str, match: dict, name: str, useafter: str = FIRST_USE) -> None:
        """Let a file (or ``N/A``) serve the data that match.

        Parameters
        ----------
        instrument, reftype : str
        match : dict
            FITS keyword -> value, which may hold ``|`` alternatives; keywords left out match anything.
        name : str
            File name, or ``N/A``.
        useafter : str
            Date from which the file is used.
        """
        keywords = PARKEYS[instrument, reftype]
        unknown = set(match) - set(keywords)
        if unknown:
            raise KeyError(f"{reftype} of {instrument} is not selected by {sorted(unknown)}")
        row = tuple(match.get(keyword, "*") for keyword in keywords)
        self.rows[instrument][reftype].setdefault(row, {})[useafter] = name

    def write(self, other_types: list[str]) -> None:
        """Write rmaps, imaps, the pmap and the configuration.

        Parameters
        ----------
        other_types : list of str
            Reference types without a file, which become ``N/A`` in every imap.
        """
        mappings = self.root / "mappings" / "jwst"
        mappings.mkdir(parents=True, exist_ok=True)
        instruments = {}
        for instrument, types in self.rows.items():
            lower = instrument.lower()
            absent = {*other_types, *(reftype for _, reftype in PARKEYS)}
            selector: dict[str, str] = {name: "N/A" for name in absent if name not in types}
            for reftype, rows in types.items():
                name = f"jwst_{lower}_{reftype}_{SERIAL}.rmap"
                self._write_rmap(mappings / name, instrument, reftype, rows)
                selector[reftype] = name
            instruments[instrument] = f"jwst_{lower}_{SERIAL}.imap"
            header = {"mapping": "INSTRUMENT", "instrument": instrument, "parkey": ("REFTYPE",)}
            _write_mapping(mappings / instruments[instrument], header, _literal(dict(sorted(selector.items()))))
        header = {"mapping": "PIPELINE", "parkey": ("META.INSTRUMENT.NAME",)}
        _write_mapping(mappings / CONTEXT, header, _literal(instruments))
        self._write_config()

    def _write_rmap(self, path: Path, instrument: str, reftype: str, rows: dict) -> None:
        keywords = tuple(_KEYS[keyword] for keyword in PARKEYS[instrument, reftype])
        first = next(iter(next(iter(rows.values())).values()))
        header = {
            "classes": ("Match", "UseAfter"),
            "file_ext": Path(first).suffix or ".fits",
            "filekind": reftype.upper(),
            "filetype": reftype.upper(),
            "instrument": instrument,
            "mapping": "REFERENCE",
            "parkey": (keywords, ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")),
            "suffix": reftype,
            "text_descr": f"simulated {reftype}",
        }
        lines = ["Match({"]
        for row, dates in sorted(rows.items()):
            lines.append(f"    {row!r} : UseAfter({{")
            lines += [f"        {date!r} : {name!r}," for date, name in sorted(dates.items())]
            lines.append("    }),")
        lines.append("})")
        _write_mapping(path, header, "\n".join(lines))

    def _write_config(self) -> None:
        config = self.root / "config" / "jwst"
        config.mkdir(parents=True, exist_ok=True)
        info = {
            "observatory": "jwst",
            "operational_context": CONTEXT,
            "latest_context": CONTEXT,
            "edit_context": CONTEXT,
            "bad_files": "",
            "bad_files_list": [],
            "force_remote_mode": False,
            "last_synced": "2026-01-01 00:00:00",
            "crds_version": {"str": "simulated"},
            "reference_url": "",
            "mapping_url": "",
        }
        (config / "server_config").write_text(pprint.pformat(info) + "\n")
        (config / "ref_cache_subdir_mode").write_text("instrument\n")


def _literal(mapping: dict) -> str:
    return "{\n" + "".join(f"    {key!r} : {value!r},\n" for key, value in mapping.items()) + "}"


def _write_mapping(path: Path, header: dict, selector: str) -> None:
    """Write a mapping with its checksum, which is taken over all lines but the one that states it."""
    entries = header | {
        "name": path.name,
        "observatory": "JWST",
        "derived_from": "simulation",
        "description": "Simulated rules.",
    }
    lines = ["header = {", *(f"    {key!r} : {value!r}," for key, value in sorted(entries.items())), "}", ""]
    text = "\n".join(lines) + f"\nselector = {selector}\n"
    checksum = hashlib.sha1(text.encode()).hexdigest()
    lines.insert(-2, f"    'sha1sum' : {checksum!r},")
    path.write_text("\n".join(lines) + f"\nselector = {selector}\n")
