"""Long exposures: time and peak memory of detector1 of ours alone, which must not grow with groups or integrations.

They are short simulated exposures, repeated: what is in the pixels hardly matters for memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from benchmarks.imaging import Case
from benchmarks.measure import Measured, best_of
from benchmarks.stage1 import MIRI_SERIES, step_options

__all__ = ["rows", "write_longer"]

#: Preset, changes of its observation, groups, integrations, step parameters.
CASES = (
    ("bench", {}, 40, 1, {}),
    ("bench", {}, 10, 2, {}),
    ("bench", {}, 8, 3, {}),
    ("nirspec_bench", {}, 60, 1, {}),
    ("miri_bench", {}, 250, 1, {"emicorr": {"skip": False}, "refpix": {"skip": True}}),
    ("miri_prism", {"nints": 20, "ngroups": 30}, 30, 2000, MIRI_SERIES),
)


def write_longer(source: Path, path: Path, ngroups: int, nints: int) -> None:
    """Write an uncal file with more groups and integrations: ramps go on from their last group as they began.

    Parameters
    ----------
    source : Path
        An uncal file.
    path : Path
        Where to; never more than an integration is in memory.
    ngroups, nints : int
        What the exposure shall have.
    """
    with fits.open(source) as hdus:
        primary, header = hdus[0].header.copy(), hdus["SCI"].header.copy()
        counts = np.asarray(hdus["SCI"].data)
        times = np.array(hdus["INT_TIMES"].data)
    primary["NGROUPS"], primary["NINTS"] = ngroups, nints
    header["NAXIS3"], header["NAXIS4"] = ngroups, nints
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(header=primary).writeto(path)
    with path.open("ab") as file:
        start = file.write(header.tostring().encode()) and file.tell()
        for i in range(nints):
            for plane in _groups(counts[i % len(counts)], ngroups):
                # stored signed: the top bit flips
                file.write((plane ^ np.uint16(1 << 15)).astype(">u2").data)
        file.write(bytes((start - file.tell()) % 2880))
    table = np.resize(times, nints)
    table["integration_number"] = np.arange(1, nints + 1)
    fits.append(path, table, fits.Header({"EXTNAME": "INT_TIMES"}))


def _groups(ramp: np.ndarray, ngroups: int):
    """Yield the groups of one integration (ngroups, ny, nx), at most 30,000 counts higher each time it is repeated."""
    repeats = -(-ngroups // len(ramp))
    step = (ramp[-1].astype(np.int32) - ramp[0]) * len(ramp) // max(1, len(ramp) - 1)
    step = np.minimum(step, 30000 // repeats)
    for g in range(ngroups):
        yield np.clip(ramp[g % len(ramp)] + g // len(ramp) * step, 0, 65535).astype(np.uint16)


def rows(folder: Path, simulate: Callable) -> list[tuple[str, Measured, None]]:
    """Return the rows of :data:`CASES`.

    Parameters
    ----------
    folder : Path
        Scratch folder; the long exposures are removed as soon as they are measured.
    simulate : callable
        ``simulate(folder, preset=..., **changes)`` makes a program.
    """
    out = []
    for preset, changes, ngroups, nints, steps in CASES:
        case = Case(folder / (f"long_{preset}" if changes else preset))
        if not (case.folder / "uncal").exists():
            simulate(case.folder, preset=preset, **changes)
        source = min((case.folder / "uncal").glob("*_uncal.fits"))
        uncal = case.folder / f"{ngroups}x{nints}" / source.name
        uncal.unlink(missing_ok=True)
        write_longer(source, uncal, ngroups, nints)
        with fits.open(uncal) as hdus:
            ny, nx = hdus["SCI"].shape[2:]
        size = uncal.stat().st_size / 1e9
        what = f"detector1, {nx} x {ny}, {nints} integrations of {ngroups} groups, {size:.2f} GB ({preset})"
        command = [Path(sys.executable).parent / "jwstsm", "run", "detector1", uncal, "--output-dir", case.out("ours")]
        command += ["--context", case.context, "--crds-path", case.cache, *step_options(steps)]
        out.append((what, best_of(1, command, env=case.env), None))
        uncal.unlink()
        for product in case.out("ours").glob(uncal.name.replace("_uncal.fits", "_rate*.fits")):
            product.unlink()
    return out
