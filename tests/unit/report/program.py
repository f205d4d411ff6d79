"""A program in descriptions, benchmarks and a lock, as the rules write them, without calibrating anything."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwstsm.products import Mosaic, write
from jwstsm.products.provenance import describe_run
from jwstsm.references.committed import lock_content
from jwstsm.report.page import write_page
from jwstsm.report.quality import describe_exposure, describe_mosaic
from tests.builders import make_slope

DEFAULTS = {"jump": {"rejection_threshold": 4.0}}
STEPS = [
    {
        "name": "jump",
        "status": "COMPLETE",
        "parameters": {"rejection_threshold": 5.0},
        "references": {"gain": "crds://g.fits"},
    },
    {"name": "ipc", "status": "SKIPPED", "reason": "no IPC reference"},
    {"name": "persistence", "status": "SKIPPED", "reason": "switched off"},
]
ALIGNMENT = {
    "status": "COMPLETE",
    "groups": [
        {
            "group": "g2",
            "stage": "relative",
            "status": "SUCCESS",
            "note": "",
            "matched": 3,
            "used": 3,
            "shift_arcsec": [0.03, -0.04],
            "rotation_deg": 0.001,
            "rms_mas": [1.5, 2.0],
            "residuals": {"used": [True, True, True], "east": [1.0, -1.0, 0.5], "north": [0.5, 0.2, -0.7]},
        }
    ],
}


def scene(seed: int, size: int = 64) -> np.ndarray:
    """Return noise with a star."""
    image = np.random.default_rng(seed).normal(1.0, 0.1, (size, size)).astype(np.float32)
    y, x = np.mgrid[:size, :size]
    return image + 30 * np.exp(-((x - 20) ** 2 + (y - 40) ** 2) / 8).astype(np.float32)


def keywords(header: fits.Header, number: int, filtername: str) -> None:
    """Fill in what the report shows."""
    header.update(
        {
            "INSTRUME": "NIRCAM",
            "DETECTOR": "NRCB1",
            "FILTER": filtername,
            "PUPIL": "CLEAR",
            "TARGPROP": "M-<92>",
            "PROGRAM": "01234",
            "DATE-OBS": "2023-10-28",
            "TIME-OBS": f"06:0{number}:00.0",
            "EFFEXPTM": 100.0,
            "NINTS": 1,
            "NGROUPS": 5,
            "READPATT": "RAPID",
        }
    )


def make_report(folder: Path, count: int = 4) -> Path:
    """Write descriptions, benchmarks and lock of a program, and its report; return the page."""
    exposures, mosaics = [], []
    for number in range(count):
        slope = make_slope(64, 64)
        slope.data[:] = scene(number)
        slope.err[:] = 0.1
        keywords(slope.primary, number, "F200W" if number % 2 else "F444W")
        slope.history = [dict(step) for step in STEPS]
        slope.runs = [describe_run("detector1", "best", "jwst_1.pmap", {"x_uncal.fits": "c" * 40}, {})]
        path = write(slope, folder / "stage2" / f"jw01234001001_02101_{number:05d}_nrcb1_cal.fits", "cal")
        exposures.append(folder / "report" / "data" / f"{path.stem}.json")
        describe_exposure(path, exposures[-1])
    image = scene(9, 90)
    ones = np.ones_like(image)
    mosaic = Mosaic(data=image, err=0.1 * ones, wht=ones, con=np.ones((1, 90, 90), np.int32), suffix="i2d")
    keywords(mosaic.primary, 0, "F200W")
    mosaic.history = [dict(step) for step in STEPS]
    path = write(mosaic, folder / "stage3" / "jw01234-o001_t001_nircam_f200w_i2d.fits", "i2d")
    (folder / "cat.ecsv").write_text("# %ECSV 1.0\nlabel x\n1 2\n2 3\n")
    (folder / "align.json").write_text(json.dumps(ALIGNMENT))
    mosaics.append(folder / "report" / "data" / f"{path.stem}.json")
    describe_mosaic(path, folder / "cat.ecsv", folder / "align.json", mosaics[-1])
    for i, rule in enumerate(["references", "detector1", "detector1", "image2"]):
        bench = folder / "benchmarks" / rule / f"x{i}.tsv"
        bench.parent.mkdir(parents=True, exist_ok=True)
        bench.write_text(f"s\tmax_rss\tcpu_time\n{2.0 + i}\t{'-' if i == 0 else 100 * i}\t1.0\n")
        os.utime(bench, (1e9 + 2 * i, 1e9 + 2 * i))
    selections = {p.stem: {"gain": "g.fits", "ipc": None} for p in exposures}
    (folder / "lock.json").write_text(json.dumps(lock_content("jwst_1.pmap", None, selections, {"g.fits": "d" * 40})))
    write_page(
        folder / "report" / "index.html",
        exposures=exposures,
        mosaics=mosaics,
        lock=folder / "lock.json",
        folder=folder,
        preset="best",
        committed="references.lock.json",
        defaults=DEFAULTS,
        problems=["x_uncal.fits: is not a FITS file <broken>"],
    )
    return folder / "report" / "index.html"
