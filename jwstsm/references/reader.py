"""The reference files of one exposure: opened on first use, memory-mapped, cut to the exposure's window."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from jwstsm.core import dq
from jwstsm.core.detector import full_detector
from jwstsm.core.fitsarray import read_image
from jwstsm.errors import ReferenceError_
from jwstsm.wcs import asdftext

__all__ = ["ReferenceFile", "References", "Window"]


class Window:
    """The part of a detector that an exposure has read: 1-based corner and size [pixel].

    ``frame_ny`` are the rows of its frames, which are more than ``ny`` where reference pixels are read in between.
    ``lines``, if not None, are the lines of the full detector along file axis ``slow`` (0: y, 1: x), 0-based, that a
    readout of several stripes holds.
    """

    def __init__(
        self, xstart: int, ystart: int, nx: int, ny: int, frame_ny: int | None = None, lines=None, slow: int = 0
    ) -> None:
        self.xstart, self.ystart, self.nx, self.ny = xstart, ystart, nx, ny
        self.frame_ny = ny if frame_ny is None else frame_ny
        self.lines, self.slow = lines, slow

    @classmethod
    def of(cls, readout) -> Window:
        """Return the window of a :class:`~jwstsm.products.Readout`."""
        full = full_detector(readout.instrument)
        lines, slow = None, 0 if abs(readout.slowaxis) == 2 else 1
        if readout.stripes is not None:
            lines = readout.stripes.lines()
            if readout.slowaxis < 0:
                lines = (full.nx if slow else full.ny) - 1 - lines[::-1]
        return cls(readout.xstart, readout.ystart, readout.nx, min(readout.ny, full.ny), readout.ny, lines, slow)


#: Types that are read while frames still hold interleaved reference pixels.
_BEFORE_CUT = frozenset({"mask", "saturation", "superbias", "ipc"})


class ReferenceFile:
    """One reference file; arrays are cut to the window of the exposure and read only where they are needed.

    Parameters
    ----------
    path : Path
    kind : str
        Reference type, such as ``dark``.
    window : Window or None
        Window of the exposure; None reads whole arrays.
    """

    def __init__(self, path: str | Path, kind: str, window: Window | None = None) -> None:
        self.path = Path(path)
        self.kind = kind
        self.window = window

    @property
    def name(self) -> str:
        """File name, as it is recorded in ``R_*`` keywords."""
        return self.path.name

    @cached_property
    def _hdus(self) -> fits.HDUList:
        try:
            return fits.open(self.path, memmap=True)
        except OSError as error:
            raise ReferenceError_(f"reference {self.kind} {self.path} cannot be opened: {error}") from error

    @cached_property
    def tree(self) -> dict:
        """The tree of an ASDF reference, arrays loaded, tagged nodes as :class:`jwstsm.wcs.asdftext.Tagged`."""
        return asdftext.load(self.path)

    def asdf(self) -> dict:
        """Return :attr:`tree`."""
        return self.tree

    def close(self) -> None:
        """Close the file; it opens again on the next use."""
        hdus = self.__dict__.pop("_hdus", None)
        if hdus is not None:
            hdus.close()

    def __del__(self) -> None:
        self.close()

    def has(self, ext: str) -> bool:
        """Whether the file has an extension of that name."""
        return ext in self._hdus

    def header(self, ext: int | str = 0) -> fits.Header:
        """Return the header of an extension (default the primary)."""
        return self._hdus[ext].header

    def table(self, ext: str | int) -> np.recarray:
        """Return a binary table.

        Raises
        ------
        ReferenceError_
            If the file has no such table.
        """
        return self._hdu(ext).data

    def shape(self, ext: str = "SCI") -> tuple[int, ...]:
        """Return the shape of a stored array, before it is cut."""
        return tuple(self._hdu(ext).shape)

    def array(self, ext: str = "SCI", dtype=np.float32, cut: bool = True, lead: tuple[slice, ...] = ()) -> np.ndarray:
        """Return an array, native-endian and C-contiguous, its last two axes cut to the window.

        Parameters
        ----------
        ext : str
            Extension name.
        dtype : dtype
        cut : bool
            Cut to the exposure's window; the file must cover it.
        lead : tuple of slice
            Part to read along the leading axes, one slice each; what is left out is not touched.

        Returns
        -------
        (..., ny, nx) ndarray
            Not writeable: reference arrays are shared.
        """
        hdu = self._hdu(ext)
        shape = hdu.shape
        where, lines = lead, None
        if cut and self.window is not None and len(shape) >= 2:
            place, lines = self._place(shape[-2:])
            where = lead + (slice(None),) * (len(shape) - 2 - len(lead)) + place
        try:
            out = read_image(hdu, dtype, where)
            if lines is not None:
                out = np.ascontiguousarray(np.take(out, lines, axis=self.window.slow - 2))
        except (OSError, ValueError, TypeError) as error:
            raise ReferenceError_(f"reference {self.kind} {self.path.name}: {ext} cannot be read ({error})") from error
        out.flags.writeable = False
        return out

    def dq(self, ext: str = "DQ", cut: bool = True) -> np.ndarray | None:
        """Return a DQ plane in the pipeline's bits (through the ``DQ_DEF`` table); None if the file has none."""
        if not self.has(ext) or self._hdu(ext).shape == ():
            return None
        definitions = self._hdus["DQ_DEF"].data if self.has("DQ_DEF") else None
        raw = self.array(ext, dtype=np.uint32, cut=cut)
        out = dq.translate(raw, definitions)
        out.flags.writeable = False
        return out

    def _hdu(self, ext):
        try:
            return self._hdus[ext]
        except KeyError:
            raise ReferenceError_(
                f"reference {self.kind} {self.path.name} has no extension {ext}; it is not a {self.kind} reference"
            ) from None

    def _place(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray | None]:
        """Return the (y, x) slices of this file's plane that cover the window, and lines to pick of them or None."""
        ny, nx = shape
        window = self.window
        if window.frame_ny != window.ny and self.kind not in _BEFORE_CUT:
            raise ReferenceError_(
                f"reference {self.kind} {self.path.name} covers {nx} x {ny} pixels, not the exposure's {window.nx} x "
                f"{window.frame_ny} with interleaved reference pixels in between, which refpix takes out; run refpix first"
            )
        if nx == window.nx and ny in (window.ny, window.frame_ny):
            return (slice(0, ny), slice(0, nx)), None
        head = self._hdus[0].header
        start = [window.ystart - int(head.get("SUBSTRT2", 1)), window.xstart - int(head.get("SUBSTRT1", 1))]
        size, lines = [window.ny, window.nx], None
        if window.lines is not None:
            k = window.slow
            first = int(window.lines.min())
            start[k] = first + 1 - int(head.get(("SUBSTRT2", "SUBSTRT1")[k], 1))
            size[k], lines = int(window.lines.max()) - first + 1, window.lines - first
        if min(start) < 0 or start[0] + size[0] > ny or start[1] + size[1] > nx:
            raise ReferenceError_(
                f"reference {self.kind} {self.path.name} covers {nx} x {ny} pixels from "
                f"({head.get('SUBSTRT1', 1)}, {head.get('SUBSTRT2', 1)}), not the exposure's {window.nx} x {window.ny} "
                f"from ({window.xstart}, {window.ystart}); give another file with override_{self.kind}"
            )
        return (slice(start[0], start[0] + size[0]), slice(start[1], start[1] + size[1])), lines


class References(Mapping):
    """The reference files of one exposure by type; ``None`` where the best reference is ``N/A``.

    Parameters
    ----------
    files : mapping of str to str or None
        Reference type to path, or None for ``N/A``.
    window : Window or None
        Window that arrays are cut to.
    context : str
        CRDS context, for the products' headers.
    """

    def __init__(self, files: Mapping[str, Any], window: Window | None = None, context: str = "") -> None:
        self._files = dict(files)
        self._open: dict[str, ReferenceFile] = {}
        self._window = window
        self.context = context
        self.used: dict[str, str] = {}

    def __getitem__(self, kind: str) -> ReferenceFile | None:
        if kind not in self._files:
            raise ReferenceError_(
                f"no reference of type '{kind}' was selected for this exposure; "
                f"make the reference lock again, or name a file with override_{kind}"
            )
        path = self._files[kind]
        self.used[kind] = "N/A" if path is None else f"crds://{Path(path).name}"
        if path is None:
            return None
        if kind not in self._open:
            self._open[kind] = ReferenceFile(path, kind, self.window)
        return self._open[kind]

    @property
    def window(self) -> Window | None:
        """Window that arrays are cut to; files that are open follow it."""
        return self._window

    @window.setter
    def window(self, window: Window | None) -> None:
        self._window = window
        for reference in self._open.values():
            reference.window = window

    def __iter__(self):
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def close(self) -> None:
        """Close all files."""
        for reference in self._open.values():
            reference.close()

    def paths(self) -> dict[str, Any]:
        """Return the path of every type, without counting any as used."""
        return dict(self._files)

    def path(self, kind: str) -> str | None:
        """Return the path of a type without counting it as used."""
        return self._files.get(kind)
