"""The ``ASDF`` extension of a product: the WCS and the processing record, as a tree in a one-row table.

The form (a binary table with one row and one column of bytes, ``ASDF_METADATA``) is that of the archive's products; the
WCS in it is a gwcs tree that ``gwcs``, ``stdatamodels`` and ``jdaviz`` open.
"""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from jwstsm.wcs import asdftext

__all__ = ["decode", "encode", "read_record"]


def encode(wcs, record: dict) -> fits.BinTableHDU:
    """Return the extension for a WCS (or None) and a record of plain dicts, lists, texts and numbers."""
    tree: dict = {"jwstsm": record}
    if wcs is not None:
        from jwstsm.wcs.model import as_wcs

        tree["meta"] = {"wcs": as_wcs(wcs).to_tree()}
    text = asdftext.HEADER + asdftext.dump(tree).lstrip("\n") + "\n...\n"
    data = np.frombuffer(text.encode(), np.uint8)
    hdu = fits.BinTableHDU(name="ASDF")
    # given as a record array: any other way in imports astropy.table, and with it asdf, for two seconds
    hdu.data = fits.FITS_rec.from_columns(
        fits.ColDefs([fits.Column(name="ASDF_METADATA", format=f"{data.size}B", array=data[None])])
    )
    return hdu


def decode(hdu: fits.BinTableHDU):
    """Return ``(wcs or None, record)`` of an ``ASDF`` extension; the record is empty in others' products."""
    tree = asdftext.load(_bytes(hdu))
    node = _plain(tree.get("meta") or {}).get("wcs")
    wcs = None
    if asdftext.tag_name(node) == "gwcs/wcs":
        from jwstsm.wcs.model import Wcs

        wcs = Wcs.from_tree(node)
    return wcs, tree.get("jwstsm") or {}


def read_record(hdu: fits.BinTableHDU) -> dict:
    """Return only the processing record."""
    return asdftext.load(_bytes(hdu)).get("jwstsm") or {}


def _plain(node):
    return node.value if isinstance(node, asdftext.Tagged) else node


def _bytes(hdu: fits.BinTableHDU) -> bytes:
    return np.asarray(hdu.data[0]["ASDF_METADATA"]).astype(np.uint8).tobytes()
