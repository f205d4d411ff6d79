"""Writing FITS files whose arrays may be larger than memory: images go out in pieces.

astropy swaps the bytes of a whole array before it writes it; of an array on a scratch file that makes all pages this
process's memory. Here an array is swapped a piece at a time. Everything but plain images is left to astropy, and the
bytes of the file are the same.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from jwstsm.core import scratch

__all__ = ["image_hdu", "write_hdus"]

_BLOCK = 2880  # bytes; FITS files are whole numbers of these
_PIECE = 1 << 20  # bytes swapped at a time: they stay in the processor's cache
_HELD = 1 << 26  # bytes of a scratch file in memory before they are handed back
_OFFSET = {"u2": np.uint16(1 << 15), "u4": np.uint32(1 << 31)}  # stored signed: the top bit flips


class _Streamed(fits.ImageHDU):
    """An image HDU that knows only the shape of its array, which is beside it."""

    pixels: np.ndarray


def image_hdu(array: np.ndarray, header: fits.Header, name: str) -> fits.ImageHDU:
    """Return an image HDU that :func:`write_hdus` writes in pieces.

    Parameters
    ----------
    array : ndarray
        Native-endian; it is not copied.
    header : Header
        Changed: it gets the keywords that describe the array.
    name : str
        Extension name.
    """
    # the constructor looks at the whole array; one zero repeated gives it the same shape and type
    hdu = _Streamed(np.broadcast_to(np.zeros((), array.dtype), array.shape), header=header, name=name)
    hdu.pixels = array
    return hdu


def write_hdus(path: str | Path, hdus: fits.HDUList) -> None:
    """Write a file.

    Parameters
    ----------
    path : path
        Written over if it exists.
    hdus : HDUList
        Images made by :func:`image_hdu` are written in pieces.
    """
    hdus.verify("silentfix")
    hdus.update_extend()
    with open(path, "wb") as file:
        for hdu in hdus:
            if isinstance(hdu, _Streamed):
                file.write(hdu.header.tostring().encode("ascii"))
                _write_array(file, hdu.pixels)
            elif isinstance(hdu, fits.PrimaryHDU):
                file.write(_written([hdu]))
            else:
                empty = fits.PrimaryHDU()
                file.write(_written([empty, hdu])[len(empty.header.tostring()) :])


def _written(hdus: list) -> memoryview:
    """Let astropy write HDUs in memory."""
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer, output_verify="silentfix")
    return buffer.getbuffer()


def _write_array(file: BinaryIO, array: np.ndarray) -> None:
    """Write the pixels big-endian, padded to whole blocks."""
    flat = np.ascontiguousarray(array).reshape(-1)
    stored = flat.dtype.newbyteorder(">")
    offset = _OFFSET.get(flat.dtype.str[1:])
    step = max(1, _PIECE // flat.itemsize)
    held = 0
    for start in range(0, flat.size, step):
        piece = flat[start : start + step]
        file.write((piece if offset is None else piece ^ offset).astype(stored).data)
        held += piece.nbytes
        if held >= _HELD:
            scratch.release(array)
            held = 0
    scratch.release(array)
    file.write(bytes(-flat.nbytes % _BLOCK))
