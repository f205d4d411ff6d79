"""Noise of the readout electronics, made in the order of readout: 1/f, amplifier drift, read noise."""

from __future__ import annotations

import numpy as np
from scipy import fft

__all__ = ["amplifier_slices", "flicker_frame"]


def amplifier_slices(length: int, outputs: int) -> list[slice]:
    """Return the columns, in readout order, that each amplifier reads."""
    width = length // outputs
    return [slice(k * width, (k + 1) * width) for k in range(outputs)]


def flicker_frame(shape: tuple[int, int], generator: np.random.Generator, overhead: int = 12) -> np.ndarray:
    """Return one frame of 1/f noise of one amplifier, unit rms, shape (slow, fast).

    The noise is continuous in time along a row and from row to row, with a power spectrum proportional to 1/f from
    one cycle per frame upwards; ``overhead`` pixel clocks between rows are passed over.
    """
    slow, fast = shape
    clocks = slow * (fast + overhead)
    length = fft.next_fast_len(clocks, real=True)
    count = length // 2 + 1
    amplitude = np.zeros(count, np.float32)
    amplitude[1:] = 1.0 / np.sqrt(np.arange(1, count, dtype=np.float32))
    rms = np.sqrt(2.0 * np.sum(amplitude.astype(float) ** 2)) / length
    spectrum = generator.standard_normal(2 * count, dtype=np.float32).view(np.complex64)
    spectrum *= amplitude / np.float32(rms * np.sqrt(2.0))
    series = fft.irfft(spectrum, n=length)
    return series[:clocks].reshape(slow, fast + overhead)[:, :fast]
