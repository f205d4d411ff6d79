"""Reading and writing products: FITS files as the archive lays them out, written whole or not at all."""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
import warnings
from collections.abc import Collection
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from jwstsm.core import scratch
from jwstsm.core.fitsarray import read_image
from jwstsm.errors import InputError
from jwstsm.files import atomic, parse_yaml
from jwstsm.products import asdf_block, model
from jwstsm.products.names import split_name
from jwstsm.products.stream import image_hdu, write_hdus

__all__ = ["layouts", "read", "read_wcs", "sha256", "suffix_of", "write"]

# keywords that describe the storage of an array; the writer makes them anew
_STRUCTURE = re.compile(
    r"^(SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|BSCALE|BZERO|EXTEND|EXTNAME|CHECKSUM|DATASUM|TFIELDS|THEAP|"
    r"T(TYPE|FORM|UNIT|DISP|DIM|SCAL|ZERO|NULL)\d+)$"
)


@functools.cache
def layouts() -> dict:
    """Return the table of product layouts (``layouts.yaml``)."""
    return parse_yaml(resources.files("jwstsm.products").joinpath("layouts.yaml").read_text())


def suffix_of(path: str | Path, hdus: fits.HDUList) -> str:
    """Return the layout of a file: by its name, else by ``DATAMODL`` and the extensions it has.

    Raises
    ------
    InputError
        If the file is of no known kind.
    """
    datamodel = str(hdus[0].header.get("DATAMODL", ""))
    if datamodel == layouts()["guider_cal"]["datamodel"]:
        return "guider_cal"  # its files are named cal
    suffix = split_name(path)[1]
    if suffix in layouts():
        return suffix
    names = {h.name for h in hdus}
    by_model = {"Level1bModel": "uncal", "RampModel": "ramp", "CubeModel": "rateints"}
    if datamodel in by_model:
        return by_model[datamodel]
    if datamodel == "ImageModel" or {"SCI", "ERR", "DQ"} <= names:
        return "i2d" if "WHT" in names else "rate"
    known = ", ".join(layouts())
    raise InputError(
        f"{Path(path).name}: neither its name nor its DATAMODL keyword ('{datamodel}') says what it is; "
        f"known product suffixes are {known}"
    )


@contextmanager
def _opened(path: Path):
    """Open a FITS file and turn every way in which it can be damaged into one clear message."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with fits.open(path, memmap=True, output_verify="silentfix") as hdus:
            size = path.stat().st_size
            last = hdus[-1]
            end = last.fileinfo()["datLoc"] + last.fileinfo()["datSpan"]
            if not str(path).endswith(".gz") and size < end:
                raise InputError(
                    f"{path.name}: the file is truncated ({size} of {end} bytes are there); download or make it again"
                )
            yield hdus
    except (OSError, ValueError, KeyError, TypeError, fits.VerifyError, AstropyUserWarning) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path.name}: cannot be read as FITS ({error}); download or make it again") from error


def read(
    path: str | Path,
    integrations: tuple[int, int] | None = None,
    mapped: bool = False,
    only: Collection[str] | None = None,
) -> model.Product:
    """Read a product.

    Parameters
    ----------
    path : str or Path
        A file with a known suffix (see ``layouts.yaml``), or whose ``DATAMODL`` says what it is.
    integrations : (int, int), optional
        Of a ramp, read only integrations ``first`` to ``last - 1`` (0-based).
    mapped : bool
        Put the data and the group flags of a ramp on scratch files.
    only : collection of str, optional
        Arrays that are read (``data``, ``err``, ...); of the others there are only the headers.

    Returns
    -------
    Product
        A :class:`Ramp`, :class:`Slope`, :class:`Mosaic`, ...

    Raises
    ------
    InputError
        If the file is missing, truncated, not FITS, or lacks its ``SCI`` array.
    """
    path = Path(path)
    with _opened(path) as hdus:
        suffix = suffix_of(path, hdus)
        layout = layouts()[suffix]
        kind = getattr(model, layout["class"])
        product = kind(primary=_clean(hdus[0].header), path=path, suffix=suffix)
        first_hdu = next(iter(layout["hdus"]))
        if first_hdu not in hdus:
            raise InputError(f"{path.name}: extension {first_hdu} is missing; the file is not a complete {suffix} product")
        for hdu in hdus[1:]:
            entry = layout["hdus"].get(hdu.name)
            if hdu.name == "ASDF" and isinstance(hdu, fits.BinTableHDU):
                product.wcs, record = asdf_block.decode(hdu)
                product.history = list(record.get("steps", []))
                product.runs = list(record.get("runs", []))
            elif entry is None:
                product.others.append(hdu.copy())
            else:
                _read_hdu(product, hdu, entry, suffix, integrations, mapped, only)
    if isinstance(product, model.Ramp):
        product.first_integration = integrations[0] if integrations else 0
        _complete_ramp(product, mapped)
    return product


def _read_hdu(product, hdu, entry, suffix: str, integrations, mapped: bool, only: Collection[str] | None) -> None:
    attribute, dtype, _ = entry
    product.headers[hdu.name] = _clean(hdu.header)
    if dtype == "table":
        product.tables[hdu.name] = hdu.data.copy() if hdu.data is not None else None
        return
    if only is not None and attribute not in only:
        return
    if suffix == "uncal" and dtype == "uint16":
        dtype = "float32"  # what stage 1 works in
    per_integration = attribute in ("data", "groupdq", "zeroframe", "refout") and isinstance(product, model.Ramp)
    where = (slice(*integrations),) if integrations and per_integration else ()
    setattr(product, attribute, read_image(hdu, dtype, where, _on_scratch if mapped and per_integration else np.empty))


def _on_scratch(shape: tuple[int, ...], dtype) -> np.ndarray:
    return scratch.allocate(shape, dtype, 0, scattered=True)


def _complete_ramp(ramp: model.Ramp, mapped: bool) -> None:
    """Give a raw ramp empty DQ planes and check that its array fits the header."""
    if ramp.data.ndim != 4:
        raise InputError(f"{ramp.name}: SCI has {ramp.data.ndim} axes, a ramp has 4 (nints, ngroups, ny, nx)")
    ngroups = int(ramp.require("NGROUPS"))
    if ngroups != ramp.data.shape[1]:
        raise InputError(
            f"{ramp.name}: keyword NGROUPS is {ngroups} but the SCI array has {ramp.data.shape[1]} groups; "
            "the file is damaged, download it again"
        )
    if ramp.groupdq is None:
        ramp.groupdq = (_on_scratch if mapped else np.zeros)(ramp.data.shape, np.uint8)
    if ramp.pixeldq is None:
        ramp.pixeldq = np.zeros(ramp.data.shape[2:], np.uint32)


def _clean(header: fits.Header) -> fits.Header:
    """Copy a header without the keywords that describe storage."""
    out = header.copy()
    for keyword in {k for k in out if _STRUCTURE.match(k)}:
        out.remove(keyword, remove_all=True, ignore_missing=True)
    return out


def write(product: model.Product, path: str | Path, suffix: str | None = None) -> Path:
    """Write a product with the archive's extensions, whole or not at all.

    Parameters
    ----------
    product : Product
    path : str or Path
        Where to; the file appears only when it is complete.
    suffix : str, optional
        Layout to use; default ``product.suffix``.

    Returns
    -------
    Path
    """
    path = Path(path)
    layout = layouts()[product.layout or suffix or product.suffix]
    primary = product.primary.copy()
    primary["FILENAME"] = (path.name, "Name of the file")
    primary["DATAMODL"] = (layout["datamodel"], "Type of data model")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    primary["DATE"] = (now, "UTC date file created")
    hdus = fits.HDUList([fits.PrimaryHDU(header=primary)])
    images: dict[str, fits.ImageHDU] = {}
    unit = product.sci.get("BUNIT") or layout["unit"]
    for name, (attribute, dtype, unit_rule) in layout["hdus"].items():
        hdu = _make_hdu(product, name, attribute, dtype, {"unit": unit, "unit2": f"({unit})^2"}.get(unit_rule, unit_rule))
        if hdu is not None:
            hdus.append(hdu)
            if hdu.is_image:
                images[attribute] = hdu
    hdus.extend(product.others)
    record = {"steps": product.history} | ({"runs": product.runs} if product.runs else {})
    hdus.append(asdf_block.encode(product.wcs, record, images))
    with atomic(path) as part, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long, comment will be truncated")
        write_hdus(part, hdus)
    product.path = path
    return path


def _make_hdu(product, name: str, attribute: str, dtype: str, unit: str):
    header = product.headers.get(name)
    header = header.copy() if header is not None else fits.Header()
    if dtype == "table":
        table = product.tables.get(name)
        if table is None:
            return None
        hdu = fits.BinTableHDU(header=header, name=name)
        # not handed to the constructor, which imports astropy.table (see asdf_block.encode)
        hdu.data = table if isinstance(table, fits.FITS_rec) else fits.FITS_rec.from_columns(fits.ColDefs(table))
        return hdu
    array = getattr(product, attribute, None)
    if array is None or np.isscalar(array):
        return None
    if unit:
        header["BUNIT"] = (unit, "physical units of the array values")
    return image_hdu(np.asarray(array).astype(dtype, copy=False), header, name)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as a hexadecimal string."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_wcs(path: str | Path):
    """Return only the WCS of a product.

    Raises
    ------
    InputError
        If the file has none.
    """
    path = Path(path)
    with _opened(path) as hdus:
        wcs = asdf_block.decode(hdus["ASDF"])[0] if "ASDF" in hdus else None
    if wcs is None:
        raise InputError(f"{path.name}: has no world coordinates; run assign_wcs (stage 2) on it first")
    return wcs
