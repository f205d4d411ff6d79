"""The inputs of the gathering steps: images that are read by ranges of rows, so that no step holds them all.

A :class:`Frame` is what those steps need to know of one calibrated image; :class:`FitsFrame` reads it from a FITS file
through memory maps, :class:`MemoryFrame` wraps arrays. :class:`Stage3Inputs` is the set that an association names.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from astropy.io import fits

from jwstsm.core import dq as bits
from jwstsm.errors import InputError

__all__ = ["FitsFrame", "Frame", "MemoryFrame", "Stage3Inputs", "group_id", "groups", "merged_header"]

EXTENSIONS = {
    "data": "SCI",
    "err": "ERR",
    "dq": "DQ",
    "area": "AREA",
    "var_poisson": "VAR_POISSON",
    "var_rnoise": "VAR_RNOISE",
    "var_flat": "VAR_FLAT",
}
_GROUP_KEYWORDS = ("PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")
_COMMENTARY = {"", "COMMENT", "HISTORY", "END"}


class Frame(Protocol):
    """One calibrated image of an association.

    Attributes
    ----------
    name : str
        File name, by which sidecars and messages know it.
    path : Path or None
    shape : (ny, nx)
    wcs : object
        World coordinates, corrected by the alignment where there was one; called as a gwcs.
    header : Mapping
        Keywords of the primary and the ``SCI`` header together.
    sky_level : float or None
        Sky [unit of the image] that the steps still have to take off; None when there is none.
    group_id : str
        Same for all detectors of one exposure.
    """

    name: str
    path: Path | None
    shape: tuple[int, int]
    wcs: Any
    header: Mapping[str, Any]
    sky_level: float | None
    group_id: str

    def headers(self) -> tuple[fits.Header, fits.Header]:
        """Return the primary and the ``SCI`` header as they came."""
        ...

    def read(self, name: str, y0: int = 0, y1: int | None = None) -> np.ndarray | None:
        """Return rows [y0, y1) of an array by its name in the product (``data``, ``dq``, ...); None if it has none.

        The array is native-endian, C-contiguous and the caller's own.
        """
        ...


def merged_header(primary: fits.Header, sci: fits.Header | None) -> dict[str, Any]:
    """Return the keywords of both headers as a dictionary; the primary header wins."""
    out: dict[str, Any] = {}
    for header in (sci, primary):
        for card in header.cards if header is not None else ():
            if card.keyword not in _COMMENTARY and not isinstance(card.value, fits.card.Undefined):
                out[card.keyword] = card.value
    return out


def group_id(header: Mapping[str, Any], fallback: str) -> str:
    """Return the name of the exposure that an image belongs to, common to its detectors, or ``fallback``.

    Parameters
    ----------
    header : mapping
        Keywords of the image.
    fallback : str
        Used when a keyword is missing: the image is then an exposure of its own.
    """
    values = [header.get(keyword) for keyword in _GROUP_KEYWORDS]
    if any(v is None for v in values):
        return fallback
    program, observation, visit, visit_group, sequence, activity, exposure = map(str, values)
    return f"jw{program}{observation}{visit}_{visit_group}{sequence}{activity}_{exposure}"


def pending_sky(header: Mapping[str, Any]) -> float | None:
    """Return the sky level that a header says was measured but not subtracted."""
    level = header.get("BKGLEVEL")
    return None if level is None or header.get("BKGSUB") is not False else float(level)


@dataclass
class MemoryFrame:
    """A frame whose arrays are in memory (see :class:`Frame`).

    Parameters
    ----------
    arrays : dict of str to ndarray
        ``data``, ``dq``, ``var_rnoise``, ... each (ny, nx).
    wcs : object
    header : mapping
    name : str
    sky_level : float or None
        None: what the header says.
    """

    arrays: dict[str, np.ndarray]
    wcs: Any = None
    header: Mapping[str, Any] = field(default_factory=dict)
    name: str = "frame"
    sky_level: float | None = None
    path: Path | None = None
    group_id: str = ""
    own_headers: tuple[fits.Header, fits.Header] | None = None

    def __post_init__(self):
        if self.sky_level is None:
            self.sky_level = pending_sky(self.header)
        self.group_id = self.group_id or group_id(self.header, self.name)

    @classmethod
    def from_product(cls, product, **changes) -> MemoryFrame:
        """Wrap a product that is in memory (anything with ``data`` ..., ``primary``, ``headers``, ``wcs``)."""
        arrays = {k: a for k in EXTENSIONS if (a := getattr(product, k, None)) is not None}
        sci = product.headers.get("SCI", fits.Header())
        own = {"header": merged_header(product.primary, sci), "own_headers": (product.primary, sci)}
        own |= {"wcs": product.wcs, "name": product.name, "path": product.path}
        return cls(arrays, **own | changes)

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the image."""
        return self.arrays["data"].shape[-2:]

    def headers(self) -> tuple[fits.Header, fits.Header]:
        """Return both headers; without a file they hold what ``header`` holds."""
        return self.own_headers or (fits.Header(self.header), fits.Header())

    def read(self, name: str, y0: int = 0, y1: int | None = None) -> np.ndarray | None:
        """Return rows of an array (see :class:`Frame`)."""
        array = self.arrays.get(name)
        if array is None:
            return None
        return np.array(array[y0:y1], array.dtype.newbyteorder("="), order="C")


class _Plane(NamedTuple):
    """Where an image extension lies in its file."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    unsigned: bool


class _Layout(NamedTuple):
    """What is known of a file without its pixels."""

    primary: fits.Header
    sci: fits.Header
    keywords: dict[str, Any]
    planes: dict[str, _Plane]


@lru_cache(maxsize=1024)
def _layout_of(path: Path, mtime_ns: int, size: int) -> _Layout:
    """Read the headers of a file; the steps of an association ask for the same ones again and again."""
    planes = {}
    try:
        # opened here, so that the file is closed whatever astropy makes of it; what it warns of is said below
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"), fits.open(file) as hdus:
            primary, sci = hdus[0].header.copy(), hdus["SCI"].header.copy()
            for name, extension in EXTENSIONS.items():
                if extension in hdus and hdus[extension].header["NAXIS"] >= 2:
                    planes[name] = _plane(hdus[extension])
    except (OSError, KeyError) as error:
        raise InputError(f"{path}: not a complete calibrated image ({error}); make it again") from None
    if size < max(p.offset + p.dtype.itemsize * math.prod(p.shape) for p in planes.values()):
        raise InputError(f"{path}: the file is truncated; make or download it again")
    return _Layout(primary, sci, merged_header(primary, sci), planes)


@dataclass
class FitsFrame:
    """A frame read from a FITS file by memory maps; nothing stays open between reads (see :class:`Frame`).

    Parameters
    ----------
    path : Path
    wcs : object or callable
        World coordinates, or a function of the path that loads them when they are first asked for.
    sky_level : float or None
        None: what the header says.
    """

    path: Path
    wcs_source: Any = None
    sky_level: float | None = None
    group_id: str = ""

    def __post_init__(self):
        self.path = Path(self.path)
        if self.sky_level is None:
            self.sky_level = pending_sky(self.header)
        self.group_id = self.group_id or group_id(self.header, self.name)

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    @cached_property
    def wcs(self) -> Any:
        """World coordinates."""
        load: Callable | None = self.wcs_source if callable(self.wcs_source) else None
        # a gwcs is callable too, but it has an inverse
        return load(self.path) if load is not None and not hasattr(load, "invert") else self.wcs_source

    @cached_property
    def _layout(self) -> _Layout:
        """Headers, and where the planes are."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.path}: not a complete calibrated image ({error}); make it again") from None
        return _layout_of(self.path, status.st_mtime_ns, status.st_size)

    def headers(self) -> tuple[fits.Header, fits.Header]:
        """Return the primary and the ``SCI`` header, without what describes the storage of the array."""
        return self._layout.primary.copy(strip=True), self._layout.sci.copy(strip=True)

    @cached_property
    def header(self) -> dict[str, Any]:
        """Keywords of both headers."""
        return dict(self._layout.keywords)

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the image."""
        return self._layout.planes["data"].shape[-2:]

    def read(self, name: str, y0: int = 0, y1: int | None = None) -> np.ndarray | None:
        """Return rows of an array (see :class:`Frame`)."""
        plane = self._layout.planes.get(name)
        if plane is None:
            return None
        stored = np.memmap(self.path, plane.dtype, "r", plane.offset, plane.shape)[..., y0:y1, :]
        if plane.unsigned:  # stored signed with an offset of half the range
            return np.array(stored, np.int32, order="C").view(np.uint32) ^ np.uint32(1 << 31)
        return np.array(stored, plane.dtype.newbyteorder("="), order="C")


def _plane(hdu) -> _Plane:
    """Return where the pixels of an image HDU are."""
    header = hdu.header
    kinds = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}
    shape = tuple(header[f"NAXIS{k}"] for k in range(header["NAXIS"], 0, -1))
    return _Plane(hdu.fileinfo()["datLoc"], np.dtype(kinds[header["BITPIX"]]), shape, header.get("BZERO", 0) == 1 << 31)


@dataclass
class Stage3Inputs:
    """What an association hands to a gathering step.

    Attributes
    ----------
    frames : list of Frame
        In the order of the association: the first sets orientation and scale of the mosaic.
    product : str
        Name of the product, without suffix.
    association, pool : str
        File names, for the header.
    """

    frames: Sequence[Frame]
    product: str = ""
    association: str = ""
    pool: str = ""

    def __post_init__(self):
        if not self.frames:
            raise InputError(
                f"association '{self.association or self.product}' names no science exposure; check its members"
            )


def groups(frames: Sequence[Frame]) -> dict[str, list[int]]:
    """Return the numbers of the frames of each exposure, in the order in which exposures first appear."""
    out: dict[str, list[int]] = {}
    for number, frame in enumerate(frames):
        out.setdefault(frame.group_id, []).append(number)
    return out


def unusable(frame: Frame, y0: int, y1: int, bad_bits: int = bits.FLAGS["DO_NOT_USE"].value) -> np.ndarray:
    """Return where a pixel is flagged with one of ``bad_bits`` or is not finite, (y1 - y0, nx) bool."""
    out = ~np.isfinite(frame.read("data", y0, y1))
    flags = frame.read("dq", y0, y1)
    if flags is not None:
        out |= (flags & np.uint32(bad_bits)) != 0
    return out
