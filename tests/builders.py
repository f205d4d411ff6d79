"""Small products and references built in memory for the tests."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from astropy.io import fits

from jwstsm.core import dq as dqbits
from jwstsm.products import Ramp, Slope
from jwstsm.references import References, Window

_KEYWORDS = {
    "TELESCOP": "JWST",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "MODULE": "A",
    "CHANNEL": "LONG",
    "FILTER": "F444W",
    "PUPIL": "CLEAR",
    "EXP_TYPE": "NRC_IMAGE",
    "READPATT": "RAPID",
    "SUBARRAY": "FULL",
    "NOUTPUTS": 4,
    "NFRAMES": 1,
    "GROUPGAP": 0,
    "FRMDIVSR": 1,
    "TFRAME": 10.73677,
    "TGROUP": 10.73677,
    "SUBSTRT1": 1,
    "SUBSTRT2": 1,
    "FASTAXIS": -1,
    "SLOWAXIS": 2,
    "DATE-OBS": "2025-01-01",
    "TIME-OBS": "00:00:00.000",
    "TSOVISIT": False,
}


def primary_header(**keywords) -> fits.Header:
    """Return an archive-like primary header; ``DATE_OBS``-style names stand for ``DATE-OBS``."""
    header = fits.Header()
    for name, value in (
        _KEYWORDS | {k.replace("DATE_", "DATE-").replace("TIME_", "TIME-"): v for k, v in keywords.items()}
    ).items():
        header[name] = value
    return header


def make_ramp(nints: int = 1, ngroups: int = 5, ny: int = 16, nx: int = 16, *, data=None, **keywords) -> Ramp:
    """Return a ramp of zeros (or of ``data``) with a complete header."""
    header = primary_header(
        **({"NINTS": nints, "NGROUPS": ngroups, "SUBSIZE1": nx, "SUBSIZE2": ny, "SUBARRAY": "SUBTEST"} | keywords)
    )
    array = np.zeros((nints, ngroups, ny, nx), np.float32) if data is None else np.array(data, np.float32)
    return Ramp(
        primary=header,
        data=array,
        groupdq=np.zeros(array.shape, np.uint8),
        pixeldq=np.zeros(array.shape[2:], np.uint32),
        suffix="ramp",
    )


def make_slope(ny: int = 16, nx: int = 16, nints: int | None = None, *, value: float = 1.0, **keywords) -> Slope:
    """Return a rate image (or one plane per integration) of a constant value with a complete header."""
    shape = (ny, nx) if nints is None else (nints, ny, nx)
    header = primary_header(
        **({"NINTS": nints or 1, "NGROUPS": 5, "SUBSIZE1": nx, "SUBSIZE2": ny, "SUBARRAY": "SUBTEST"} | keywords)
    )
    return Slope(
        primary=header,
        data=np.full(shape, value, np.float32),
        dq=np.zeros(shape, np.uint32),
        err=np.full(shape, 0.1, np.float32),
        var_poisson=np.full(shape, 0.006, np.float32),
        var_rnoise=np.full(shape, 0.004, np.float32),
        suffix="rate" if nints is None else "rateints",
    )


class FakeReference:
    """A reference file in memory: ``{"SCI": array, "DQ": array, "DQ_DEF": records, "header": {...}}``."""

    def __init__(self, kind: str, content: dict, window: Window | None) -> None:
        self.kind = kind
        self.name = self.path = f"jwst_test_{kind}_0001.fits"
        self.window = window
        self._content = content
        self.tree = content.get("tree", {})

    def asdf(self) -> dict:
        """Return the tree."""
        return self.tree

    def close(self) -> None:
        """Nothing is open."""

    def has(self, ext: str) -> bool:
        """Whether there is such an entry."""
        return ext in self._content

    def header(self, ext=0) -> fits.Header:
        """Return the primary header."""
        return fits.Header(self._content.get("header" if ext == 0 else f"header {ext}", {}))

    def table(self, ext: str):
        """Return a table."""
        return self._content[ext]

    def shape(self, ext: str = "SCI") -> tuple[int, ...]:
        """Return the shape of an array, before it is cut."""
        return np.shape(self._content[ext])

    def array(self, ext: str = "SCI", dtype=np.float32, cut: bool = True, lead: tuple[slice, ...] = ()) -> np.ndarray:
        """Return an array (read-only), cut like a file's when it is larger than the window."""
        array = np.asarray(self._content[ext])[lead]
        w = self.window
        if cut and w is not None and array.ndim >= 2 and array.shape[-2:] != (w.ny, w.nx):
            array = array[..., w.ystart - 1 : w.ystart - 1 + w.ny, w.xstart - 1 : w.xstart - 1 + w.nx]
        out = np.array(array, dtype=dtype, order="C")
        out.flags.writeable = False
        return out

    def dq(self, ext: str = "DQ", cut: bool = True):
        """Return the translated DQ plane, or None."""
        if ext not in self._content:
            return None
        return dqbits.translate(self.array(ext, np.uint32, cut), self._content.get("DQ_DEF"))


class FakeReferences(References):
    """References from dictionaries: ``FakeReferences({"dark": {"SCI": array}, "ipc": None})``."""

    def __init__(self, content: dict, window: Window | SimpleNamespace | None = None) -> None:
        super().__init__({k: None if v is None else k for k, v in content.items()}, window, "jwst_test.pmap")
        self._open = {k: FakeReference(k, v, window) for k, v in content.items() if v is not None}
