"""Headers of many files, read once: a small parser and a cache by path, size and modification time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jwstsm.errors import InputError

__all__ = ["HeaderCache", "parse_header"]

_BLOCK = 2880
_VERSION = 2


def parse_header(path: str | Path, extensions: int = 2) -> dict[str, Any]:
    """Return the keywords of the first headers of a FITS file (the primary's win), as plain values.

    Parameters
    ----------
    path : str or Path
    extensions : int
        How many headers to read; the second of a JWST product is ``SCI``.

    Returns
    -------
    dict
        Keyword to str, int, float or bool. Comments and blank cards are left out.

    Raises
    ------
    InputError
        If the file does not exist, is not FITS, or ends inside a header.
    """
    out: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            for number in range(extensions):
                cards = _read_cards(file, path, number)
                if cards is None:
                    break
                values = _values(cards)
                size = _data_size(values)
                for keyword, value in values.items():
                    out.setdefault(keyword, value)
                file.seek(size, os.SEEK_CUR)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return out


def _read_cards(file, path, number: int) -> list[str] | None:
    text = ""
    while True:
        block = file.read(_BLOCK)
        if not text and not block and number > 0:
            return None
        if len(block) < _BLOCK:
            raise InputError(f"{Path(path).name}: the file ends inside its header {number}; download it again")
        if not text and number == 0 and not block.startswith(b"SIMPLE  ="):
            raise InputError(f"{Path(path).name}: is not a FITS file; take it out of the uncal folder or download it again")
        try:
            text += block.decode("ascii")
        except UnicodeDecodeError:
            raise InputError(f"{Path(path).name}: its header {number} is damaged; download it again") from None
        cards = [text[i : i + 80] for i in range(0, len(text), 80)]
        for i in range(len(cards) - _BLOCK // 80, len(cards)):
            if cards[i].startswith("END     "):
                return cards[:i]


def _values(cards: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    last = ""
    for card in cards:
        if card[8:10] == "= ":
            last = card[:8].rstrip()
            out[last] = _value(card[10:])
        elif card.startswith("CONTINUE") and isinstance(out.get(last), str) and out[last].endswith("&"):
            out[last] = out[last][:-1] + str(_value(card[8:]) or "")
    return out


def _value(field: str) -> Any:
    field = field.strip()
    if field.startswith("'"):
        end = 1
        while True:
            end = field.find("'", end)
            if end < 0:
                return field[1:].rstrip()
            if field[end : end + 2] == "''":
                end += 2
                continue
            return field[1:end].replace("''", "'").rstrip()
    word = field.split("/", 1)[0].strip()
    if word in ("T", "F"):
        return word == "T"
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word.replace("D", "E"))
    except ValueError:
        return word or None


def _data_size(values: dict[str, Any]) -> int:
    """Bytes of the data that follow a header, padded to whole blocks."""
    naxis = int(values.get("NAXIS") or 0)
    if naxis == 0:
        return 0
    count = 1
    for i in range(1, naxis + 1):
        count *= int(values.get(f"NAXIS{i}") or 0)
    size = abs(int(values.get("BITPIX") or 8)) // 8 * (int(values.get("PCOUNT") or 0) + count)
    return -(-size // _BLOCK) * _BLOCK


class HeaderCache:
    """Headers by path; a file is read again only when its size or modification time changed.

    Parameters
    ----------
    path : str or Path
        The cache file (JSON); it is made as needed and may be deleted at any time.
    """

    def __init__(self, path: str | Path = ".jwstsm/headers.json") -> None:
        self.path = Path(path)
        self._rows: dict[str, dict] = {}
        try:
            stored = json.loads(self.path.read_text())
            if stored.get("version") == _VERSION:
                self._rows = stored["files"]
        except (OSError, ValueError, KeyError):
            pass

    def get(self, files: Iterable[str | Path]) -> tuple[dict[str, dict], dict[str, str]]:
        """Return ``({path: header}, {path: error})`` of the files; unreadable ones do not stop the others."""
        headers: dict[str, dict] = {}
        errors: dict[str, str] = {}
        changed = False
        for file in map(str, files):
            try:
                stat = os.stat(file)
            except OSError as error:
                errors[file] = f"{file}: {error.strerror}"
                continue
            row = self._rows.get(file)
            if row is None or row["size"] != stat.st_size or row["mtime"] != stat.st_mtime_ns:
                try:
                    header = parse_header(file)
                except InputError as error:
                    errors[file] = str(error)
                    continue
                row = self._rows[file] = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "header": header}
                changed = True
            headers[file] = row["header"]
        if changed:
            self._save()
        return headers, errors

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        part.write_text(json.dumps({"version": _VERSION, "files": self._rows}))
        os.replace(part, self.path)
