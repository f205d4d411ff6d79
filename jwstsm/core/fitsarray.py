"""Reading image arrays of FITS files straight from the mapped file, native-endian, a part at a time.

astropy converts integers with ``BZERO`` through several copies and refuses to map them; ramps and references are large
enough for that to matter.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable

import numpy as np

from jwstsm.core import scratch

__all__ = ["read_image"]

_UNSIGNED = {(16, 2**15): "u2", (32, 2**31): "u4", (8, 0): "u1"}
_STORED = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_CHUNK = 32_000_000  # bytes of the mapped file that are touched at a time
_PIECE = 500_000  # bytes of it that are converted at a time: all steps of that stay in the cache


def read_image(hdu, dtype=None, where: tuple = (), allocate: Callable = np.empty) -> np.ndarray:
    """Return (a part of) the array of an image HDU as a new native C-contiguous array.

    Parameters
    ----------
    hdu : astropy ImageHDU or PrimaryHDU
        Of an open file.
    dtype : dtype, optional
        Type to return; default the stored one, unsigned where ``BZERO`` says so.
    where : tuple of slices
        Part to read; what is left out is not touched.
    allocate : callable
        Makes the array from its shape and type; it may be on a scratch file.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        If the file ends before the array does.
    """
    bitpix, header = hdu._orig_bitpix, hdu.header  # the header's BITPIX changes once astropy has scaled the array
    zero, scale = hdu._orig_bzero, hdu._orig_bscale
    info = hdu.fileinfo()
    plain = scale == 1 and (zero == 0 or (bitpix, zero) in _UNSIGNED) and not _is_compressed(info)
    if not plain:
        part = hdu.section[where] if where else hdu.data
        return np.ascontiguousarray(part, dtype=dtype or part.dtype.newbyteorder("="))
    shape = tuple(header[f"NAXIS{i}"] for i in range(header["NAXIS"], 0, -1))
    count = math.prod(shape) if shape else 0
    # stored unsigned integers are offset: bytes are read as they are and the top bit is flipped
    flip = _UNSIGNED.get((bitpix, zero)) if zero else None
    stored = np.dtype(_STORED[bitpix])
    native = np.dtype(flip) if flip else stored.newbyteorder("=")
    out_type = np.dtype(dtype) if dtype is not None else native
    name = info["file"].name
    with open(name, "rb") as file:
        file.seek(0, 2)
        if file.tell() < info["datLoc"] + count * stored.itemsize:
            raise ValueError("the file ends before the array does")
        if count == 0:
            return np.zeros(shape, out_type)
        # mapping must begin at a page; numpy takes care of the rest
        raw = np.memmap(file, stored if not flip else ">" + flip, "r", info["datLoc"], shape)
    part = raw[where] if where else raw
    return _convert(part, out_type, flip, allocate)


def _is_compressed(info) -> bool:
    return getattr(info["file"], "compression", None) not in (None, "")


def _convert(part: np.ndarray, out_type: np.dtype, flip: str | None, allocate: Callable) -> np.ndarray:
    """Copy a mapped part to memory in pieces, so that file pages and memory are never both held whole."""
    out = allocate(part.shape, out_type)
    if part.ndim == 0 or part.shape[0] == 0:
        return out
    top = {"u2": np.uint16(1 << 15), "u4": np.uint32(1 << 31)}.get(flip)
    lead = part.reshape((-1, *part.shape[-2:])) if part.ndim > 2 and part.flags.c_contiguous else part
    target = out.reshape(lead.shape)
    step = max(1, _PIECE // max(1, lead[0].nbytes))
    touched = 0
    for start in range(0, lead.shape[0], step):
        piece = lead[start : start + step]
        touched += piece.nbytes
        if top is not None:
            piece = piece.astype(flip)
            piece ^= top
        target[start : start + step] = piece
        if touched >= _CHUNK:
            _drop_pages(part)
            scratch.release(out)
            touched = 0
    _drop_pages(part)
    scratch.filled(out)
    return out


def _drop_pages(array: np.ndarray) -> None:
    base = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None:
        base.madvise(mmap.MADV_DONTNEED)
