"""Writing single reference files in the layouts of CRDS: FITS arrays, FITS tables and ASDF trees.

Planes of data quality are written in bits of each file's own, through a shuffled ``DQ_DEF`` table, so that a reader
that skips the translation is found out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.sim import rng

__all__ = ["dq_hdus", "reference_header", "write_asdf", "write_fits"]

USEAFTER = "2022-04-01T00:00:00"
COMMON = {
    "TELESCOP": "JWST",
    "PEDIGREE": "SIMULATION",
    "AUTHOR": "jwstsm simulator",
    "HISTORY_": "made together with the data it calibrates",
    "USEAFTER": USEAFTER,
    "DATE": "2026-01-01T00:00:00.000",
    "ORIGIN": "jwstsm",
}


def reference_header(reftype: str, model: str, instrument: str, **keywords) -> fits.Header:
    """Return the primary header of a reference file.

    Parameters
    ----------
    reftype : str
        Type as in CRDS, e.g. ``superbias``.
    model : str
        Name of the data model, DATAMODL.
    instrument : str
        INSTRUME.
    **keywords
        Further keywords; None values are left out.
    """
    header = fits.Header()
    header["REFTYPE"] = reftype.upper()
    header["DATAMODL"] = model
    header["INSTRUME"] = instrument
    header["DESCRIP"] = f"Simulated {reftype} reference"
    for keyword, value in COMMON.items():
        if not keyword.endswith("_"):
            header[keyword] = value
    for keyword, value in keywords.items():
        if value is not None:
            header[keyword.replace("_", "-") if keyword.endswith("OBS") else keyword] = value
    header["HISTORY"] = COMMON["HISTORY_"]
    return header


def dq_hdus(flags: np.ndarray, reftype: str, shuffle: bool = True) -> list[fits.hdu.base.ExtensionHDU]:
    """Return the DQ and DQ_DEF extensions of a plane given in the project's bits.

    Parameters
    ----------
    flags : (ny, nx) uint32 ndarray
        Data quality in the project's bits.
    reftype : str
        Decides the order of the file's own bits.
    shuffle : bool
        Give each name a bit of its own; otherwise the pipeline's bits are kept.
    """
    used = [flag for flag in dq.FLAGS.values() if np.any(flags & np.uint32(flag.value))]
    if dq.FLAGS["DO_NOT_USE"] not in used:
        used.insert(0, dq.FLAGS["DO_NOT_USE"])
    bits = {flag.name: flag.bit for flag in used}
    if shuffle:
        order = np.random.default_rng(int(rng.key("bits", reftype))).permutation(len(used))
        bits = {flag.name: int(bit) for flag, bit in zip(used, order, strict=True)}
    coded = np.zeros(flags.shape, np.uint32)
    for flag in used:
        coded[(flags & np.uint32(flag.value)) != 0] |= np.uint32(1 << bits[flag.name])
    table = np.zeros(len(used), [("BIT", ">i4"), ("VALUE", ">u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")])
    for record, flag in zip(table, sorted(used, key=lambda f: bits[f.name]), strict=True):
        record["BIT"], record["VALUE"] = bits[flag.name], 1 << bits[flag.name]
        record["NAME"], record["DESCRIPTION"] = flag.name, flag.meaning
    return [fits.ImageHDU(coded, name="DQ"), fits.BinTableHDU(table, name="DQ_DEF")]


def write_fits(path: Path, header: fits.Header, *extensions) -> Path:
    """Write a reference file: ``extensions`` are HDUs or pairs (EXTNAME, array)."""
    hdus = [fits.PrimaryHDU(header=header)]
    for extension in extensions:
        if isinstance(extension, tuple):
            name, array = extension
            table = array.dtype.names is not None
            extension = fits.BinTableHDU(array, name=name) if table else fits.ImageHDU(array, name=name)
        hdus.append(extension)
    hdus[0].header["FILENAME"] = path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_asdf(path: Path, reftype: str, instrument: str, tree: dict, meta: dict | None = None) -> Path:
    """Write an ASDF reference file; ``meta`` is merged over the required metadata."""
    import asdf

    described = {
        "telescope": "JWST",
        "reftype": reftype.lower(),
        "pedigree": COMMON["PEDIGREE"],
        "author": COMMON["AUTHOR"],
        "description": f"Simulated {reftype.lower()} reference",
        "useafter": USEAFTER,
        "date": COMMON["DATE"],
        "origin": COMMON["ORIGIN"],
        "filename": path.name,
        "instrument": {"name": instrument},
    }
    for name, value in (meta or {}).items():
        if isinstance(value, dict):
            described[name] = described.get(name, {}) | value
        else:
            described[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    asdf.AsdfFile({"meta": described, **tree}).write_to(path)
    return path
