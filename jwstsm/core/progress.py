"""Progress of long loops in the log: how much is done and how long the rest will take, not more often than is read."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

__all__ = ["process_age", "told"]

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_S = 20.0


def told(
    items: Sequence[T], what: str, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic
) -> Iterator[T]:
    """Yield items; while that takes long, log how many are done and when the rest may be.

    Parameters
    ----------
    items : sequence
    what : str
        For the log, such as ``resample: tiles``.
    every_s : float
        Time between lines [s]; a loop that is quicker leaves none.
    clock : callable
        Returns seconds.
    """
    start = last = clock()
    for done, item in enumerate(items):
        now = clock()
        if done and now - last >= every_s:
            last = now
            rest = (now - start) / done * (len(items) - done)
            log.info("%s: %d of %d, about %s to go", what, done, len(items), _span(rest))
        yield item


def process_age() -> float:
    """Return how long ago this process was started [s], the start of Python in it; 0 where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
