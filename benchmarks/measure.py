"""Wall time, processor time and peak memory of whole processes: ours and the official package's, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "best_of", "judge_python", "measure"]

ROOT = Path(__file__).resolve().parents[1]

_MARK = "peak of the process in kB and its processor time:"
# a child starts with the peak of the process that makes it, hence a small one in between
_LAUNCHER = f"""
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
sys.stdout.write("{_MARK}" + str(usage.ru_maxrss) + " " + str(usage.ru_utime + usage.ru_stime))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


@dataclass(frozen=True)
class Measured:
    """What one process took: wall time, the largest resident memory, and processor time [s] (all threads)."""

    seconds: float
    peak_mb: float
    cpu: float = 0.0


def judge_python() -> Path:
    """Return the interpreter of the official package's environment (``JWSTSM_JUDGE`` or ``.judge/bin/python``)."""
    return Path(os.environ.get("JWSTSM_JUDGE", ROOT / ".judge" / "bin" / "python"))


def measure(command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run a command to its end; return its wall time and the peak resident memory of it and its children.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it printed.
    """
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, command)],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    used = process.stdout.rpartition(_MARK)[2].split()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{process.stdout[-3000:]}")
    return Measured(seconds, int(used[0]) / 1024, float(used[1]))


def best_of(count: int, command: Sequence[str | Path], **options) -> Measured:
    """Return the fastest of several runs and the largest of their memories: the machine is noisy."""
    runs = [measure(command, **options) for _ in range(count)]
    best = Measured(min(r.seconds for r in runs), max(r.peak_mb for r in runs), min(r.cpu for r in runs))
    words = " ".join(Path(str(word)).name for word in command[:4])
    sys.stderr.write(f"{words}: {best.seconds:.2f} s, {best.cpu:.2f} s of processor, {best.peak_mb:.0f} MB\n")
    return best
