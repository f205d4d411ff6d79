"""Trees of ASDF files as plain Python objects: read and written here, without the ``asdf`` package.

A WCS is a small tree of tagged mappings. Importing the packages that turn such a tree into live models takes longer
than calibrating an image, so the project keeps the tree itself: mappings, lists, numbers, texts and arrays, with the
tags kept beside them in :class:`Tagged`. The codes for arrays in binary blocks follow the ASDF standard 1.6.

Source: the ASDF Standard, sections "Low-level file layout" and "Tree in-depth".
"""

from __future__ import annotations

import bz2
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from jwstsm.errors import InputError

__all__ = ["PREFIX", "Tagged", "dump", "load", "tag_name", "write"]

PREFIX = "tag:stsci.edu:asdf/"
HEADER = f"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n%TAG ! {PREFIX}\n--- !core/asdf-1.1.0\n"

_BLOCK = b"\xd3BLK"
_BLOCK_FIELDS = struct.Struct(">I4sQQQ16s")
_TEXTS = {"ucs4": "U", "ascii": "S"}  # arrays of texts: [kind, length]
_DECOMPRESS = {b"\0\0\0\0": bytes, b"zlib": zlib.decompress, b"bzp2": bz2.decompress}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_. -]*[A-Za-z0-9_]$|[A-Za-z_]$")
_RESERVED = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


class Tagged(NamedTuple):
    """A value of the tree with its full tag, such as ``tag:stsci.edu:asdf/transform/shift-1.4.0``."""

    tag: str
    value: Any


def tag_name(item: Any) -> str:
    """Return the name in a tag without its authority and version (``transform/shift``), "" for plain values."""
    if not isinstance(item, Tagged):
        return ""
    name = item.tag.removeprefix(PREFIX)
    if name.startswith("tag:"):
        name = name.split(":", 2)[2]
    return re.sub(r"-\d+(\.\d+)*$", "", name)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads any tag; text that looks like a date stays text."""


def _construct(loader, _suffix, node):
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_object(
            yaml.ScalarNode(loader.resolve(yaml.ScalarNode, node.value, (True, False)), node.value)
        )
    return Tagged(node.tag, value)


_Loader.add_multi_constructor("", _construct)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


def load(source: bytes | str | Path) -> dict:
    """Read the tree of an ASDF file.

    Parameters
    ----------
    source : bytes, str or Path
        The contents of a file, or its path.

    Returns
    -------
    dict
        The tree. ``core/ndarray`` nodes are numpy arrays (native byte order), but for those that are kept in another
        file; these and all other tagged nodes are :class:`Tagged`.

    Raises
    ------
    InputError
        If it is not an ASDF file, or uses a form of storage that is not known.
    """
    name = "ASDF extension"
    if not isinstance(source, bytes):
        name, source = Path(source).name, Path(source).read_bytes()
    if not source.startswith(b"#ASDF"):
        raise InputError(f"{name}: not an ASDF file; fetch or make it again")
    end = re.search(rb"\r?\n\.\.\.\r?\n?", source)
    text, rest = (source[: end.start()], source[end.end() :]) if end else (source, b"")
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{name}: its tree cannot be read ({error}); fetch or make it again") from error
    if isinstance(tree, Tagged):
        tree = tree.value
    return _with_arrays(tree or {}, _blocks(rest, name), name)


def _blocks(raw: bytes, name: str) -> list[bytes]:
    """Return the contents of the binary blocks behind the tree, in order."""
    out = []
    start = raw.find(_BLOCK)
    while start >= 0 and raw[start : start + 4] == _BLOCK:
        (size,) = struct.unpack_from(">H", raw, start + 4)
        _flags, codec, allocated, used, _, _ = _BLOCK_FIELDS.unpack_from(raw, start + 6)
        data = start + 6 + size
        if codec not in _DECOMPRESS:
            raise InputError(f"{name}: compression {codec!r} is not known; store it uncompressed")
        if data + used > len(raw):
            raise InputError(f"{name}: the file is truncated; fetch or make it again")
        out.append(_DECOMPRESS[codec](raw[data : data + used]))
        start = data + allocated
    return out


def _with_arrays(item: Any, blocks: list[bytes], name: str) -> Any:
    """Replace the array nodes of a tree by arrays."""
    if isinstance(item, Tagged):
        if tag_name(item) == "core/ndarray" and not _elsewhere(item.value):
            return _array(item.value, blocks, name)
        return Tagged(item.tag, _with_arrays(item.value, blocks, name))
    if isinstance(item, dict):
        return {key: _with_arrays(value, blocks, name) for key, value in item.items()}
    if isinstance(item, list):
        return [_with_arrays(value, blocks, name) for value in item]
    return item


def _elsewhere(node: Any) -> bool:
    """Whether an array is kept outside the file, as the pixels of the archive's products are (``fits:SCI,1``)."""
    return isinstance(node, dict) and isinstance(node.get("source"), str)


def _array(node: Any, blocks: list[bytes], name: str) -> np.ndarray:
    if isinstance(node, list):
        return np.array(node)
    kind = node.get("datatype")
    try:
        dtype = None if kind is None else _dtype(kind, node.get("byteorder"))
    except (TypeError, KeyError, ValueError):
        dtype = None
    if "mask" in node or (dtype is None and (kind is not None or "data" not in node)):
        raise InputError(f"{name}: holds an array of a form that is not known ({str(kind)[:60]})")
    if "data" in node:
        return np.array(node["data"], None if dtype is None else dtype.newbyteorder("="))
    if not isinstance(node.get("source"), int) or not -len(blocks) <= node["source"] < len(blocks):
        raise InputError(f"{name}: refers to an array that is not in the file ({node.get('source')!r})")
    raw = np.ndarray(node["shape"], dtype, blocks[node["source"]], int(node.get("offset", 0)), node.get("strides"))
    return raw.astype(dtype.newbyteorder("="), order="C")


def _dtype(kind: Any, order: str | None) -> np.dtype:
    """Return the type of an array: a name, [text kind, length], or the fields of a table."""
    if isinstance(kind, list) and len(kind) == 2 and kind[0] in _TEXTS:
        kind = f"{_TEXTS[kind[0]]}{kind[1]}"
    if isinstance(kind, list):
        fields = [(f["name"], _dtype(f["datatype"], f.get("byteorder", order)), tuple(f.get("shape", ()))) for f in kind]
        return np.dtype(fields)
    return np.dtype("bool" if kind == "bool8" else kind).newbyteorder("<" if order == "little" else ">")


def dump(value: Any, indent: int = 0) -> str:
    """Return a tree as YAML text that can follow a key.

    Parameters
    ----------
    value : dict, list, ndarray, number, str, None or Tagged
    indent : int
        Spaces before the keys of the outermost mapping.

    Returns
    -------
    str
        Starts with a space or a line feed; has no line feed at its end.
    """
    tag = ""
    if isinstance(value, Tagged):
        tag = f" !{value.tag.removeprefix(PREFIX)}" if value.tag.startswith(PREFIX) else f" !<{value.tag}>"
        value = value.value
    if isinstance(value, np.ndarray) and value.ndim:
        text = f"{{data: {_flow(value.tolist())}, datatype: {value.dtype.name}, shape: {list(value.shape)}}}"
        return f"{tag} !core/ndarray-1.1.0 {text}"
    flow = _flow(value)
    if flow is not None:
        return f"{tag} {flow}"
    pad = " " * indent
    if isinstance(value, dict):
        lines = [f"{pad}{_flow(str(key))}:{dump(item, indent + 2)}" for key, item in value.items()]
    else:
        lines = [f"{pad}-{dump(item, indent + 2)}" for item in value]
    return tag + "\n" + "\n".join(lines)


def _flow(value: Any) -> str | None:
    """Return a scalar or a list of such on one line; None for what needs a block."""
    if value is None:
        return "null"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return _number(float(value))
    if isinstance(value, str):
        plain = _PLAIN.match(value) and value.lower() not in _RESERVED - {"y", "n"}
        return value if plain else json.dumps(value)
    if isinstance(value, Tagged) and isinstance(value.value, (str, int, float)):
        return dump(value).strip()
    if isinstance(value, (list, tuple)):
        parts = [_flow(item) for item in value]
        return None if None in parts else f"[{', '.join(parts)}]"
    if isinstance(value, dict) and not value:
        return "{}"
    return None


def _number(value: float) -> str:
    """Write a number so that YAML 1.1 reads the same one back (it wants a point in every mantissa)."""
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text


def write(path: str | Path, tree: dict) -> None:
    """Write a tree as an ASDF file, arrays inside the tree."""
    Path(path).write_text(HEADER + dump(tree).lstrip("\n") + "\n...\n")
