"""The drizzle kernel by itself: CPU time per input pixel of one full frame.

Usage: ``python -m benchmarks.drizzle [--size 2048] [--kernel square] [--save FILE]``. With ``--save`` the sums are kept,
so that those of another version can be compared with them by ``--compare FILE``.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time

import numpy as np

from jwstsm.core.drizzle import Coadd

log = logging.getLogger("benchmarks.drizzle")

TURNS = (
    0.0,
    0.002,
    0.3,
)  # of the frame against the output [rad]: the first frame of a mosaic, another, another visit


def frame(size: int, turn: float, nvar: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Return values, weight, map and the size of the output for a frame with distortion, noise and 1 % bad pixels."""
    rng = np.random.default_rng(1)
    values = rng.normal(5, 1, (size, size, 1 + nvar)).astype(np.float32)
    weight = np.where(rng.random((size, size)) < 0.01, 0, rng.uniform(0.9, 1.1, (size, size))).astype(np.float32)
    y, x = np.indices((size, size), dtype=np.float64) - 0.5 * (size - 1)
    bend = 1 + 0.004 * (x * x + y * y) / size**2
    x, y = x * bend * 1.003, y * bend * 0.997
    cos, sin = math.cos(turn), math.sin(turn)
    side = int(size * (cos + sin) * 1.02) + 10
    pixmap = np.stack([cos * x - sin * y + 0.5 * side + 0.3, sin * x + cos * y + 0.5 * side - 0.2], axis=-1)
    return values, weight, np.ascontiguousarray(pixmap), (side, side)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--kernel", default="square")
    parser.add_argument("--pixfrac", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--save")
    parser.add_argument("--compare")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    kept = {}
    for nvar in (3, 0):
        for turn in TURNS:
            values, weight, pixmap, shape = frame(arguments.size, turn, nvar)
            spent = []
            for _ in range(1 + arguments.runs):
                coadd = Coadd(shape, nvar=nvar)
                start = time.process_time()
                coadd.add(values, weight, pixmap, kernel=arguments.kernel, pixfrac=arguments.pixfrac)
                spent.append(time.process_time() - start)
            name = f"{nvar} variances, turned by {turn} rad"
            kept[name] = coadd.totals
            log.info("%-34s %6.1f ns per pixel", name, 1e9 * min(spent[1:]) / weight.size)
    if arguments.save:
        np.savez(arguments.save, **kept)
    if arguments.compare:
        with np.load(arguments.compare) as before:
            for name, totals in kept.items():
                old = before[name]
                log.info("%-34s differs by %.1e at most", name, np.max(np.abs(totals - old) / (np.abs(old) + 1e-300)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
