"""The ``ASDF`` extension of a product: the WCS and the processing record, as a tree in a one-row table.

The form (a binary table with one row and one column of bytes, ``ASDF_METADATA``) is that of the archive's products.
"""

from __future__ import annotations

import io

import numpy as np
import yaml
from astropy.io import fits

__all__ = ["decode", "encode", "read_record"]

_HEADER = b"""#ASDF 1.0.0
#ASDF_STANDARD 1.6.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
"""


def encode(wcs, record: dict) -> fits.BinTableHDU:
    """Return the extension for a WCS (or None) and a record of plain dicts, lists, texts and numbers."""
    if wcs is None:
        # asdf takes longer to import than a record takes to write, and a file without blocks is plain YAML
        text = yaml.safe_dump({"jwstsm": record}, sort_keys=False, width=110)
        raw = _HEADER + text.encode() + b"...\n"
    else:
        import asdf

        buffer = io.BytesIO()
        # arrays inside the tree: a stream of blocks would be read lazily from a file that may be gone
        asdf.AsdfFile({"jwstsm": record, "meta": {"wcs": wcs}}).write_to(buffer, all_array_storage="inline")
        raw = buffer.getvalue()
    data = np.frombuffer(raw, np.uint8)
    column = fits.Column(name="ASDF_METADATA", format=f"{data.size}B", array=data[None])
    return fits.BinTableHDU.from_columns([column], name="ASDF")


def decode(hdu: fits.BinTableHDU):
    """Return ``(wcs or None, record)`` of an ``ASDF`` extension; the record is empty in others' products."""
    raw = _bytes(hdu)
    if b"!<tag:stsci.edu:gwcs/wcs" not in raw and b"gwcs" not in raw:
        return None, _record(raw)
    import asdf

    with asdf.open(io.BytesIO(raw), lazy_load=False, memmap=False) as tree:
        record = tree.tree.get("jwstsm") or {}
        return (tree.tree.get("meta") or {}).get("wcs"), dict(record)


def read_record(hdu: fits.BinTableHDU) -> dict:
    """Return only the processing record, without building the WCS."""
    return _record(_bytes(hdu))


def _bytes(hdu: fits.BinTableHDU) -> bytes:
    return np.asarray(hdu.data[0]["ASDF_METADATA"]).astype(np.uint8).tobytes()


def _record(raw: bytes) -> dict:
    """Parse the ``jwstsm`` mapping of the tree's text; it holds plain YAML only."""
    text = raw.split(b"\n...", 1)[0].decode("utf-8", "replace")
    lines = text.splitlines()
    try:
        start = next(i for i, line in enumerate(lines) if line.startswith("jwstsm:"))
    except StopIteration:
        return {}
    stop = next((i for i in range(start + 1, len(lines)) if lines[i][:1] not in (" ", "-", "")), len(lines))
    return yaml.safe_load("\n".join(lines[start:stop])).get("jwstsm") or {}
