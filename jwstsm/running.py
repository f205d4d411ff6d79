"""Which Snakemake runs in a program directory, so that the lock of a killed one does not stop the next."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwstsm.workflow import Program

__all__ = ["begin_run", "clear_stale_lock", "note_running", "tell_jobs"]


def begin_run(program: Program) -> None:
    """Make a program directory ready for a run; for the process that the user started, not for those of the jobs."""
    clear_stale_lock()
    note_running()
    owner = _owner(Path())
    if owner and owner[0] == os.getpid():  # not while another run is at work, beside which this one is a dry run
        program.forget_incomplete_references()


def tell_jobs(keep_going: bool) -> None:
    """Tell the rule references whether exposures go on without those whose references are missing (``--keep-going``)."""
    os.environ["JWSTSM_KEEP_GOING"] = "1" if keep_going else "0"


def _owner(folder: Path) -> tuple[int, bool] | None:
    """Return process number and whether it lives, of the run that was noted on this host; None if there is no note."""
    try:
        note = json.loads((folder / ".jwstsm" / "running.json").read_text())
        if note["host"] != socket.gethostname():
            return None
        os.kill(note["pid"], 0)
    except ProcessLookupError:
        return note["pid"], False
    except (OSError, ValueError, KeyError):
        return None
    return note["pid"], True


def clear_stale_lock(folder: str | Path = ".") -> bool:
    """Remove a lock that a killed Snakemake left in a program directory; return whether there was one.

    The workflow notes host and process when it starts (:func:`note_running`). A lock is removed only if that process ran on
    this host and is gone.
    """
    folder = Path(folder)
    owner = _owner(folder)
    locks = list((folder / ".snakemake" / "locks").glob("*"))
    if not locks or owner is None or owner[1]:
        return False
    for lock in locks:
        lock.unlink(missing_ok=True)
    return True


def note_running(folder: str | Path = ".") -> None:
    """Note that this process runs the workflow in a program directory, unless another one that lives does."""
    folder = Path(folder)
    owner = _owner(folder)
    if owner is not None and owner[1]:
        return
    note = folder / ".jwstsm" / "running.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
