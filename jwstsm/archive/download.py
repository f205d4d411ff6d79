"""Downloads that survive interruptions: a part is continued where it ended, a file appears when it is whole and right."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import logging
import os
import shutil
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jwstsm.archive.listing import ArchiveFile
from jwstsm.archive.web import TryAgain, Web
from jwstsm.errors import InputError
from jwstsm.files import atomic
from jwstsm.headers import parse_header

__all__ = ["MANIFEST", "Result", "download", "download_all"]

log = logging.getLogger(__name__)

MANIFEST = "archive.json"
_PIECE = 1 << 20
_SAY_EVERY_S = 15.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one file: ``fetched``, ``there`` (it was), or ``failed``, with the reason."""

    file: ArchiveFile
    status: str
    reason: str = ""


class _Part:
    """A file that is not whole yet, with a note of what it is a part of."""

    def __init__(self, target: Path, file: ArchiveFile) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self.note = target.with_name(f".{target.name}.part.json")
        self.file = file

    def size(self) -> int:
        """Return how many bytes of it are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def tag(self) -> str | None:
        """Return the server's mark of the version that the part is of; None if it is a part of something else."""
        try:
            note = json.loads(self.note.read_text())
            return note["tag"] if (note["uri"], note["size"]) == (self.file.uri, self.file.size) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, tag: str) -> None:
        """Start anew, with the server's mark of the version."""
        self.path.unlink(missing_ok=True)
        self.note.write_text(json.dumps({"uri": self.file.uri, "size": self.file.size, "tag": tag}))

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(web: Web, file: ArchiveFile, folder: str | Path) -> str:
    """Download one file; return its SHA-1.

    An interrupted download is continued, in this call or a later one, where it ended, if the server says that the file is
    still the same (``If-Range``). The file gets its name when it has the size that the archive lists and is FITS.

    Raises
    ------
    InputError
        If the archive refuses it, keeps failing, or sends something else than it lists.
    """
    target = Path(folder) / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target, file)
    web.persist(file.name, lambda: _receive(web, part), part.size)
    try:
        _check(part)
    except InputError:
        part.discard()
        raise
    with open(part.path, "rb") as stream:
        sha1 = hashlib.file_digest(stream, "sha1").hexdigest()
    os.replace(part.path, target)
    part.note.unlink(missing_ok=True)
    return sha1


def _receive(web: Web, part: _Part) -> None:
    """Receive what a part lacks; raises TryAgain when the connection ends early."""
    tag, start = part.tag(), part.size()
    headers = {"Accept-Encoding": "identity"}
    if tag is not None and 0 < start < part.file.size:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": tag} if tag else {})
    elif tag is not None and start and start == part.file.size:
        return
    path = "/api/v0.1/Download/file?" + urllib.parse.urlencode({"uri": part.file.uri})
    try:
        with web.open(path, headers=headers) as answer:
            if answer.status != 206 or not _continues(answer.headers.get("Content-Range", ""), start):
                part.begin(_tag_of(answer.headers))
                start = 0
            expected = int(answer.headers.get("Content-Length") or 0)
            _copy(answer, part, start)
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"the connection ended after {part.size()} bytes ({type(error).__name__})") from None
    whole = start + expected if expected else part.file.size
    if part.size() < whole:
        raise TryAgain(f"the connection ended after {part.size()} of {whole} bytes")


def _tag_of(headers) -> str:
    """Return what identifies the version of a file: a strong ETag, else the time of its last change."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _continues(content_range: str, start: int) -> bool:
    return content_range.startswith(f"bytes {start}-")


def _copy(answer, part: _Part, start: int) -> None:
    """Append an answer to a part; say now and then how far it is."""
    got, said = 0, time.monotonic()
    with open(part.path, "ab") as out:
        while piece := answer.read(_PIECE):
            out.write(piece)
            got += len(piece)
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                log.info("%s: %.0f of %.0f MB", part.file.name, (start + got) / 1e6, part.file.size / 1e6)


def _check(part: _Part) -> None:
    """Refuse what is not the file that the archive lists."""
    size = part.size()
    if part.file.size and size != part.file.size:
        raise InputError(f"{part.file.name}: {size} bytes came, but the archive lists {part.file.size}; try again later")
    if part.file.name.endswith(".fits"):
        try:
            parse_header(part.path)
        except InputError as error:
            raise InputError(f"{part.file.name}: what came is not the file ({error}); try again later") from None


class _Manifest:
    """What has been fetched into a folder: source, size and SHA-1 of each file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._lock = threading.Lock()
        try:
            self.rows = json.loads(self.path.read_text())
        except (OSError, ValueError):
            self.rows = {}

    def add(self, file: ArchiveFile, sha1: str) -> None:
        """Note a file that is whole; the list on disk is replaced at once."""
        with self._lock:
            self.rows[file.name] = {"uri": file.uri, "size": file.size, "sha1": sha1}
            with atomic(self.path) as part:
                part.write_text(json.dumps(self.rows, indent=1, sort_keys=True) + "\n")


def download_all(
    web: Web,
    files: Iterable[ArchiveFile],
    folder: str | Path,
    *,
    jobs: int = 3,
    check: bool = False,
    say: Callable[[str], None] = log.info,
) -> list[Result]:
    """Download what a folder lacks, several files at a time; what fails does not stop the others.

    Parameters
    ----------
    web : Web
    files : iterable of ArchiveFile
    folder : path
        Gets the files and ``archive.json`` (source, size and SHA-1 of each).
    jobs : int
        Downloads at a time.
    check : bool
        Compute the checksums of files that are there again; a file that has changed is fetched anew. Otherwise a file of
        the listed size is taken as it is.
    say : callable
        Takes a line per file.

    Raises
    ------
    InputError
        If the disk has not the room.
    """
    files, folder = list(files), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _Manifest(folder)
    wanted = [file for file in files if not _is_there(file, folder, manifest, check)]
    need = sum(file.size - _Part(folder / file.name, file).size() for file in wanted)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise InputError(f"{folder} has room for {free / 1e9:.1f} GB, but {need / 1e9:.1f} GB are to be fetched")
    count = iter(range(1, len(wanted) + 1))

    def one(file: ArchiveFile) -> Result:
        try:
            manifest.add(file, download(web, file, folder))
            result = Result(file, "fetched")
        except InputError as error:
            result = Result(file, "failed", str(error))
        say(f"{next(count)} of {len(wanted)}: {file.name} {result.status}, {file.size / 1e6:.1f} MB")
        return result

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        done = {result.file.name: result for result in pool.map(one, wanted)}
    return [done.get(file.name, Result(file, "there")) for file in files]


def _is_there(file: ArchiveFile, folder: Path, manifest: _Manifest, check: bool) -> bool:
    path = folder / file.name
    if not path.exists() or (file.size and path.stat().st_size != file.size):
        return False
    known = manifest.rows.get(file.name)
    if not check or known is None:
        return True
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest() == known["sha1"]
