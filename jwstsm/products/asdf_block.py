"""The ``ASDF`` extension of a product: the WCS and the processing record, as a tree in a one-row table.

The form (a binary table with one row and one column of bytes, ``ASDF_METADATA``) is that of the archive's products; the
WCS in it is a gwcs tree that ``gwcs``, ``stdatamodels`` and ``jdaviz`` open.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.io import fits

from jwstsm.wcs import asdftext

__all__ = ["decode", "encode", "read_record"]

_ARRAY = "tag:stsci.edu:asdf/core/ndarray-1.1.0"


def encode(wcs, record: dict, images: Mapping[str, fits.ImageHDU] | None = None) -> fits.BinTableHDU:
    """Return the extension.

    Parameters
    ----------
    wcs : Wcs, gwcs.WCS or None
    record : dict
        Plain dicts, lists, texts and numbers.
    images : mapping, optional
        Name of an array (``data``, ``err``) to its HDU: the tree refers to it there, and says its unit, for those who
        look for arrays in the tree, as jdaviz does.
    """
    tree: dict = {"jwstsm": record}
    meta: dict = {}
    for name, hdu in (images or {}).items():
        source = f"fits:{hdu.name},{hdu.ver}"
        node = {"source": source, "datatype": str(hdu.data.dtype), "byteorder": "big", "shape": list(hdu.data.shape)}
        tree[name] = asdftext.Tagged(_ARRAY, node)
        if hdu.header.get("BUNIT"):
            meta[f"bunit_{name}"] = hdu.header["BUNIT"]
    if wcs is not None:
        from jwstsm.wcs.model import as_wcs

        meta["wcs"] = as_wcs(wcs).to_tree()
    if meta:
        tree["meta"] = meta
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
