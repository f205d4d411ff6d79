"""Pictures for the report: images stretched so that sky, stars and defects are all seen; small plots as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

__all__ = ["dots", "picture", "scatter", "shrink", "stretch"]


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


def picture(image: np.ndarray, longest: int = 1000, quality: int = 82) -> str:
    """Return an image as a data URI, +y upwards as astronomers draw it."""
    from PIL import Image

    grey = stretch(shrink(image, longest))[::-1]
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _frame(width: int, height: int, body: list[str], label: str) -> str:
    kind = "plot square" if width == height else "plot"
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">' + "".join(body) + "</svg>"


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


def dots(
    groups: Mapping[str, Sequence[tuple[float, float, str]]], *, label: str, unit: str = "", line: float | None = None
) -> str:
    """Return values over their order as SVG, one colour per group.

    Parameters
    ----------
    groups : mapping of str to sequence of (x, value, words)
        Points; the words are shown under the pointer.
    label : str
        What is shown.
    unit : str
    line : float, optional
        Value to compare with, drawn across.
    """
    points = [p for group in groups.values() for p in group if np.isfinite(p[1])]
    if not points:
        return ""
    width, height, left, top = 640, 190, 58, 26
    xs, ys = [p[0] for p in points], [p[1] for p in points] + ([line] if line is not None else [])
    low, high = min(ys), max(ys)
    margin = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    low, high = low - margin, high + margin
    span = max(max(xs) - min(xs), 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + 10 + (x - min(xs)) / span * (width - left - 24)
        return across, top + (high - y) / (high - low) * (height - top - 24)

    body = [f'<text x="{left}" y="14">{label}{f" [{unit}]" if unit else ""}</text>']
    for k in range(3):
        value = low + margin + (high - low - 2 * margin) * k / 2
        y = place(0, value)[1]
        body.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width}" y2="{y:.1f}" class="axis"/>')
        body.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    if line is not None:
        y = place(0, line)[1]
        body.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width}" y2="{y:.1f}" class="wanted"/>')
    for i, (name, group) in enumerate(groups.items()):
        tint = f"hsl({(i * 137.5 + 210) % 360:.0f} 60% 50%)"
        for x, value, words in group:
            if np.isfinite(value):
                px, py = place(x, value)
                body.append(
                    f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{tint}"><title>{escape(words)}: {value:.4g} {unit}'
                    "</title></circle>"
                )
        x = left + i % 6 * 97
        body.append(f'<circle cx="{x + 4}" cy="{height - 8}" r="4" fill="{tint}"/>' if i < 6 else "")
        body.append(f'<text x="{x + 12}" y="{height - 4}">{escape(name)}</text>' if i < 6 else "")
    return _frame(width, height, body, label)
