"""Numbers that say whether a product is good: noise, background, cosmic rays, saturation, alignment, sources."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from jwstsm.core.dq import DO_NOT_USE, JUMP_DET, SATURATED
from jwstsm.files import atomic
from jwstsm.products import Mosaic, Slope, read
from jwstsm.report.pictures import picture
from jwstsm.report.truth import compare_catalog, truth_of

__all__ = ["describe_exposure", "describe_mosaic", "exposure_numbers", "mosaic_numbers"]

_KEYWORDS = """
INSTRUME DETECTOR FILTER PUPIL GRATING EXP_TYPE SUBARRAY READPATT NGROUPS NINTS EFFEXPTM TARGNAME TARGPROP
DATE-OBS TIME-OBS OBSERVTN VISIT PROGRAM PATT_NUM CAL_VER CRDS_CTX CRDS_VER
""".split()  # noqa: SIM905 - a list of literals would be four times as long


def _sky(image: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Return level and scatter of the sky, from median and median absolute deviation of every few pixels."""
    values = image[good]
    values = values[:: max(1, values.size // 200_000)]
    if values.size == 0:
        return math.nan, math.nan
    level = float(np.median(values))
    return level, float(1.4826 * np.median(np.abs(values - level)))


def exposure_numbers(slope: Slope) -> dict[str, float]:
    """Return the numbers of a rate or cal image.

    Parameters
    ----------
    slope : Slope
        2-D, or one plane per integration (the planes are taken together).

    Returns
    -------
    dict
        ``background`` and ``noise`` [unit of the image], ``noise_over_error`` (scatter of the sky over the median
        error; 1 when errors are right), ``unusable``, ``saturated`` and ``jumps`` (shares of the pixels),
        ``jumps_per_cm2_s`` (for 18 micron pixels).
    """
    usable = (slope.dq & DO_NOT_USE) == 0
    usable &= np.isfinite(slope.data)
    level, scatter = _sky(slope.data, usable)
    error = float(np.median(slope.err[usable][:: max(1, usable.sum() // 200_000)])) if usable.any() else math.nan
    jumps = float(np.mean((slope.dq & JUMP_DET) != 0))
    seconds = float(slope.key("EFFEXPTM", 0) or 0)
    return {
        "background": level,
        "noise": scatter,
        "noise_over_error": scatter / error if error else math.nan,
        "unusable": float(1 - usable.mean()),
        "saturated": float(np.mean((slope.dq & SATURATED) != 0)),
        "jumps": jumps,
        "jumps_per_cm2_s": jumps / seconds / 0.0018**2 if seconds else math.nan,
    }


def mosaic_numbers(mosaic: Mosaic) -> dict[str, float]:
    """Return size, depth and noise of a mosaic."""
    covered = np.isfinite(mosaic.data) & (mosaic.wht > 0)
    level, scatter = _sky(mosaic.data, covered)
    error = float(np.nanmedian(mosaic.err[covered][:: max(1, covered.sum() // 200_000)])) if covered.any() else math.nan
    depth = sum(_bit_count(plane) for plane in mosaic.con) if mosaic.con is not None else np.zeros((1, 1))
    return {
        "width": mosaic.data.shape[1],
        "height": mosaic.data.shape[0],
        "covered": float(covered.mean()),
        "background": level,
        "noise": scatter,
        "noise_over_error": scatter / error if error else math.nan,
        "deepest": int(depth.max()),
    }


def _bit_count(plane: np.ndarray) -> np.ndarray:
    return np.bitwise_count(plane.view(np.uint32)).astype(np.int32)


def _common(product) -> dict[str, Any]:
    return {
        "keywords": {k: product.key(k) for k in _KEYWORDS if product.key(k) is not None},
        "steps": product.history,
        "runs": product.runs,
        "unit": product.sci.get("BUNIT", ""),
    }


def describe_exposure(path: str | Path, output: str | Path) -> None:
    """Write picture and numbers of one rate or cal product to a JSON file for the report."""
    slope = read(path)
    image = slope.data if slope.data.ndim == 2 else np.nanmean(slope.data[: min(16, len(slope.data))], axis=0)
    unusable = (slope.dq & DO_NOT_USE) != 0
    shown = np.where(unusable if unusable.ndim == 2 else unusable[0], np.nan, image)
    _write(
        output,
        {"file": Path(path).name, **_common(slope), "numbers": exposure_numbers(slope), **_pictures(shown, 1200)},
    )


def describe_mosaic(path: str | Path, catalog: str | Path, alignment: str | Path, output: str | Path) -> None:
    """Write picture, numbers, source counts and alignment of one mosaic to a JSON file for the report.

    Where the truth of a simulation lies beside the data, the catalog is compared with it.
    """
    mosaic = read(path, only=("data", "err", "wht", "con"))
    content = {"file": Path(path).name, **_common(mosaic), "numbers": mosaic_numbers(mosaic)}
    content["numbers"]["sources"] = _count_rows(Path(catalog))
    truth = truth_of(path)
    compared = compare_catalog(mosaic, catalog, truth) if truth else None
    if compared:
        content["truth"] = compared
        content["numbers"] |= {key: compared[key] for key in ("purity", "half_complete", "flux_bias")}
    content["alignment"] = json.loads(Path(alignment).read_text())
    _write(output, {**content, **_pictures(mosaic.data, 2000, 900)})


def _pictures(image: np.ndarray, longest: int, small: int = 360) -> dict[str, str]:
    """Return the picture for the product's own page and a small one for the page of the program."""
    return {"picture": picture(image, longest), "small": picture(image, small, 75)}


def _count_rows(catalog: Path) -> int:
    lines = [line for line in catalog.read_text().splitlines() if line and not line.startswith("#")]
    return max(0, len(lines) - 1)


def _write(output: str | Path, content: dict) -> None:
    with atomic(output) as part:
        part.write_text(json.dumps(content, default=float))
