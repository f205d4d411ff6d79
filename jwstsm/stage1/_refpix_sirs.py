"""Simple improved reference subtraction (SIRS): row levels by optimal convolution of the side reference columns.

The reference holds, per amplifier, the transfer from the drift seen in the left and in the right reference columns to
the drift of the amplifier, as Fourier coefficients along the rows.

Source: official description of the ``sirs`` algorithm in jwst 3.0.0.
"""

from __future__ import annotations

import numpy as np

__all__ = ["convolved_levels", "kernels_from_tree"]

_MAD_TO_SIGMA = 1.48


def kernels_from_tree(tree: dict, detector: str, *, gaussmooth: float, halfwidth: int) -> tuple | None:
    """Make the convolution kernels of one detector.

    Parameters
    ----------
    tree : dict
        Of the SIRSKERNEL reference: by lower-case detector name, ``gamma`` and ``zeta``, each
        (noutputs, nfrequencies) complex.
    detector : str
    gaussmooth : float
        Standard deviation of the Gaussian that smooths the kernels [row].
    halfwidth : int
        Half-width of the kernels [row].

    Returns
    -------
    left, right : (noutputs, 2 halfwidth + 1) float64
        Or None if the reference does not know the detector.
    """
    entry = next((v for k, v in tree.items() if k.lower() == detector.lower()), None)
    if entry is None or "gamma" not in entry or "zeta" not in entry:
        return None
    offset = np.arange(-halfwidth, halfwidth + 1)
    window = np.exp(-(offset**2) / (2.0 * gaussmooth**2))
    window /= window.sum()

    def kernels(coefficients) -> np.ndarray:
        coefficients = np.asarray(coefficients)
        middle = coefficients.shape[1] - 1
        full = np.fft.fftshift(np.fft.irfft(coefficients, axis=1), axes=1)
        part = full[:, middle - halfwidth : middle + halfwidth + 1]
        return np.stack([np.convolve(line, window, mode="same") for line in part])

    return kernels(entry["gamma"]), kernels(entry["zeta"])


def convolved_levels(left, right, kernels, sigreject: float) -> np.ndarray:
    """Return the level of each row for each amplifier.

    Parameters
    ----------
    left, right : (nplanes, nrows, 4) float64 [DN]
        Reference columns of the two sides, column levels taken off.
    kernels : tuple
        From :func:`kernels_from_tree`.
    sigreject : float
        Pixels farther from the median of their side than this many standard deviations (from the median absolute
        deviation) are left out.

    Returns
    -------
    (nplanes, noutputs, nrows) float64 [DN]

    Notes
    -----
    Missing pixels are made up for by dividing by the convolution of the share of pixels that is there.
    """
    nplanes, nrows = left.shape[:2]
    noutputs = len(kernels[0])
    out = np.zeros((nplanes, noutputs, nrows))
    for p in range(nplanes):
        for side, kernel in zip((left[p], right[p]), kernels, strict=True):
            mean, share = _row_means(side, sigreject)
            for channel in range(noutputs):
                with np.errstate(divide="ignore", invalid="ignore"):
                    norm = np.convolve(np.ones(nrows), kernel[channel], "same")
                    norm /= np.convolve(share, kernel[channel], "same")
                    out[p, channel] += np.convolve(mean, kernel[channel], "same") * norm
    return np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0)


def _row_means(side: np.ndarray, sigreject: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each row with bad pixels as 0, and the share of pixels that is good."""
    middle = np.median(side)
    spread = _MAD_TO_SIGMA * np.median(np.abs(side - middle))
    good = np.abs(side - middle) <= sigreject * spread
    return (side * good).sum(axis=1) / side.shape[1], good.mean(axis=1)
