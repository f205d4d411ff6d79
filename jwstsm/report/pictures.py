"""Pictures for the report: images stretched so that sky, stars and defects are all seen; small plots as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

__all__ = ["bar_chart", "picture", "scatter", "shrink", "stretch"]


def shrink(image: np.ndarray, longest: int = 1000) -> np.ndarray:
    """Return an image averaged over square blocks until its longer side fits, NaN left out of the averages.

    Parameters
    ----------
    image : (ny, nx) float ndarray
    longest : int
        Longest side of the result [pixel].
    """
    block = -(-max(image.shape) // longest)
    if block <= 1:
        return np.asarray(image, np.float32)
    ny, nx = (n - n % block for n in image.shape)
    parts = image[:ny, :nx].reshape(ny // block, block, nx // block, block)
    good = np.isfinite(parts)
    total = np.where(good, parts, 0).sum(axis=(1, 3), dtype=np.float64)
    count = good.sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def stretch(image: np.ndarray) -> np.ndarray:
    """Return 0..255 by an arcsinh stretch from just below the sky to the bright end; NaN becomes 0.

    The sky's level and scatter come from the median and the median absolute deviation, so that sources do not matter.
    """
    good = image[np.isfinite(image)]
    if good.size == 0:
        return np.zeros(image.shape, np.uint8)
    level = np.median(good)
    scatter = 1.4826 * np.median(np.abs(good - level)) or float(np.std(good)) or 1.0
    low = level - 2 * scatter
    high = max(np.percentile(good, 99.8), level + 10 * scatter)
    scaled = np.arcsinh(np.clip((image - low) / (4 * scatter), 0, None)) / np.arcsinh((high - low) / (4 * scatter))
    return (255 * np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1)).astype(np.uint8)


def picture(image: np.ndarray, longest: int = 1000) -> str:
    """Return an image as a data URI, +y upwards as astronomers draw it."""
    from PIL import Image

    grey = stretch(shrink(image, longest))[::-1]
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _frame(width: int, height: int, body: list[str], label: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">' + "".join(body) + "</svg>"


def scatter(x: Sequence[float], y: Sequence[float], *, label: str, unit: str, size: int = 260) -> str:
    """Return a scatter plot about the origin as SVG, with a circle at the rms.

    Parameters
    ----------
    x, y : sequences of float
        Offsets; the axes are the same and symmetric.
    label : str
        What is shown, for the reader and for screen readers.
    unit : str
    size : int
        Side of the square [CSS pixel].
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    rms = float(np.sqrt(np.mean(x**2 + y**2))) if x.size else 0.0
    limit = max(3 * rms, 1e-9)
    half = size / 2
    scale = (half - 16) / limit
    body = [
        f'<rect x="0.5" y="0.5" width="{size - 1}" height="{size - 1}" class="box"/>',
        f'<line x1="{half}" y1="8" x2="{half}" y2="{size - 8}" class="axis"/>',
        f'<line x1="8" y1="{half}" x2="{size - 8}" y2="{half}" class="axis"/>',
        f'<circle cx="{half}" cy="{half}" r="{rms * scale:.1f}" class="ring"/>',
    ]
    step = max(1, x.size // 800)
    for px, py in zip(x[::step], y[::step], strict=True):
        if abs(px) <= limit and abs(py) <= limit:
            body.append(f'<circle cx="{half + px * scale:.1f}" cy="{half - py * scale:.1f}" r="1.8" class="dot"/>')
    body.append(f'<text x="8" y="16">{label}</text><text x="8" y="{size - 8}">rms {rms:.2f} {unit}, {x.size} stars</text>')
    return _frame(size, size, body, label)


def bar_chart(rows: Sequence[tuple[str, float, float]], *, unit: str, label: str, width: int = 640) -> str:
    """Return horizontal bars from ``start`` to ``end`` as SVG, one row per ``(name, start, end)``."""
    if not rows:
        return ""
    first, last = min(r[1] for r in rows), max(r[2] for r in rows)
    span = max(last - first, 1e-9)
    left, line = 190, 15
    body = []
    for i, (name, start, end) in enumerate(rows):
        x0 = left + (start - first) / span * (width - left - 60)
        length = max(1.0, (end - start) / span * (width - left - 60))
        y = i * line + 4
        body.append(f'<text x="{left - 6}" y="{y + 9}" text-anchor="end">{name}</text>')
        body.append(f'<rect x="{x0:.1f}" y="{y}" width="{length:.1f}" height="10" class="bar"/>')
        body.append(f'<text x="{x0 + length + 4:.1f}" y="{y + 9}">{end - start:.1f} {unit}</text>')
    return _frame(width, len(rows) * line + 10, body, label)
