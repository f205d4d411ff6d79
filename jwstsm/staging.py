"""Copies on the scratch disk of a node: a job reads its inputs from there and writes its products there first.

For clusters whose shared file system is slow with many small accesses. Off unless the resource ``scratch`` names a folder
(``profiles/slurm``). Each job has a folder of its own in it, which is locked while the job lives and removed at its end;
the folder of a killed job is removed by the next job that comes to that disk. Products arrive at their place as without
scratch: whole and by renaming (:func:`jwstsm.files.atomic`). Reference files are not copied: they are memory-mapped, so
that all jobs of a node share the pages that one of them has read.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["bring", "copies", "draft", "on_scratch"]

log = logging.getLogger(__name__)

_PREFIX = "jwstsm-job-"
_VARIABLE = "JWSTSM_SCRATCH"
"""Where :mod:`jwstsm.core.scratch` puts arrays that are larger than memory."""

_ROOM = 1.2
"""Free room that copies need, in units of their size: products come beside them."""


class _Scratch:
    """The folder of this job; made when the first input is copied. Large temporary arrays then go to the same disk."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.numbers = itertools.count()
        self.folder: Path | None = None
        self._handle = -1
        self._named = False

    def open(self) -> Path:
        """Return the folder, made and locked.

        Raises
        ------
        OSError
            If that is not possible.
        """
        if self.folder is not None:
            return self.folder
        if "$" in str(self.place) or not self.place.is_absolute():
            raise OSError("no absolute path, or a variable in it is not set on this computer")
        self.place.mkdir(exist_ok=True)
        _remove_abandoned(self.place)
        while self.folder is None:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.place))
            self._handle = os.open(folder, os.O_RDONLY)
            if _lock(self._handle) and folder.exists():
                self.folder = folder
            else:  # another job cleaned up between the two lines
                os.close(self._handle)
        if _VARIABLE not in os.environ:
            os.environ[_VARIABLE], self._named = str(self.place), True
        return self.folder

    def new(self, name: str) -> Path:
        """Return a name for a file in the folder; files of the same name do not meet."""
        path = self.open() / str(next(self.numbers)) / name
        path.parent.mkdir()
        return path

    def close(self) -> None:
        """Remove the folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._handle)
            self.folder = None
        if self._named:
            del os.environ[_VARIABLE]


_current: _Scratch | None = None


@contextmanager
def on_scratch(place: str | None) -> Iterator[None]:
    """Let :func:`copies` copy to a folder of this job in ``place`` while the block runs.

    Parameters
    ----------
    place : str or None
        Folder on a disk of the node, made if only its last part is missing; ``$VARIABLES`` and ``~`` are filled in. None or
        empty: nothing is copied.
    """
    global _current
    if not place:
        yield
        return
    _current = _Scratch(Path(os.path.expandvars(os.path.expanduser(place))))
    try:
        yield
    finally:
        _current.close()
        _current = None


def copies(paths: str | Path | Iterable[str | Path]) -> Path | list[Path]:
    """Return the copies of input files on the scratch disk; the files themselves where copies are off or have no room.

    Parameters
    ----------
    paths : path, or iterable of paths
        Files that the job reads more than once or in pieces.

    Returns
    -------
    Path, or list of Path
        One for one, with the same file names.
    """
    if isinstance(paths, (str, Path)):
        return copies([paths])[0]
    originals = [Path(path) for path in paths]
    if _current is None or not originals:
        return originals
    made: list[Path] = []
    try:
        _current.open()
        sizes = [path.stat().st_size for path in originals]
        free = shutil.disk_usage(_current.place).free
        if free < _ROOM * sum(sizes):
            log.warning(
                "no room for copies in %s: %.0f MB needed, %.0f MB free; inputs are read where they are",
                *(_current.place, _ROOM * sum(sizes) / 1e6, free / 1e6),
            )
            return originals
        for path, size in zip(originals, sizes, strict=True):
            made.append(_current.new(path.name))
            _copy(path, made[-1], size)
    except OSError as error:
        log.warning("no copies in %s (%s); inputs are read where they are", _current.place, error)
        for path in made:
            path.unlink(missing_ok=True)
        return originals
    log.info("%d input%s copied to %s, %.0f MB", len(made), "s" * (len(made) != 1), _current.folder, sum(sizes) / 1e6)
    return made


def draft(path: Path) -> Path | None:
    """Return where a file is written before it is brought to its place; None if that is not on scratch."""
    return None if _current is None or _current.folder is None else _current.new(path.name)


def bring(source: Path, target: Path) -> None:
    """Copy a draft to the file system of its place, and remove it.

    Raises
    ------
    OSError
        If the copy is not as long as the draft.
    """
    _copy(source, target, source.stat().st_size)
    source.unlink()


def _copy(source: Path, target: Path, size: int) -> None:
    shutil.copyfile(source, target)
    arrived = target.stat().st_size
    if arrived != size:
        raise OSError(f"{target}: {arrived} bytes arrived of the {size} of {source}")


def _lock(handle: int) -> bool:
    """Lock a folder; return False if another process holds it. The lock ends with the process, however it ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(place: Path) -> None:
    """Remove the folders of jobs that were killed: those that nobody holds."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            handle = os.open(folder, os.O_RDONLY)
        except OSError:
            continue  # another user's, or gone
        try:
            if _lock(handle):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
