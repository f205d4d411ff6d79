"""Point-like sources: peaks of a smoothed image, measured as DAOFIND and IRAF starfind do.

The definitions (kernel, thresholds, moments, marginal fits, selection, order) are those of photutils'
``DAOStarFinder`` and ``IRAFStarFinder``, the finders of the official pipeline; the tests hold the two against
each other. The smoothing and the search for peaks are compiled loops over rows, and everything after that
touches the candidates only.

Sources: Stetson 1987, PASP 99, 191 (DAOFIND); the IRAF task ``images.imcoords.starfind``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jwstsm.core.compiled import njit, prange

__all__ = ["StarKernel", "find_peaks", "measure_dao", "measure_iraf", "select_stars", "smooth"]

FWHM_TO_SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


@dataclass(frozen=True)
class StarKernel:
    """A truncated circular Gaussian, less its mean inside the truncation, scaled to give the height of the best fit.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum of the Gaussian [pixel].
    sigma_radius : float
        Truncation radius in standard deviations; never below 2 pixels.
    """

    fwhm: float
    sigma_radius: float = 1.5

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian [pixel]."""
        return self.fwhm * FWHM_TO_SIGMA

    @cached_property
    def half(self) -> int:
        """Half width of the square that holds the kernel [pixel]."""
        return int(max(2.0, self.sigma_radius * self.sigma))

    @cached_property
    def _radius2(self) -> np.ndarray:
        y, x = np.mgrid[-self.half : self.half + 1, -self.half : self.half + 1]
        return (x * x + y * y).astype(np.float64)

    @cached_property
    def gaussian(self) -> np.ndarray:
        """The Gaussian over the whole square, 1 in the middle."""
        return np.exp(-self._radius2 / (2.0 * self.sigma**2))

    @cached_property
    def mask(self) -> np.ndarray:
        """Pixels inside the truncation radius (bool)."""
        return (self._radius2 / (2.0 * self.sigma**2) <= self.sigma_radius**2 / 2.0) | (self._radius2 <= 4.0)

    @cached_property
    def _norm(self) -> float:
        inside = self.gaussian[self.mask]
        return float((inside**2).sum() - inside.sum() ** 2 / inside.size)

    @property
    def relative_error(self) -> float:
        """Noise of the smoothed image for unit noise of the image; DAOFIND scales its threshold with it."""
        return 1.0 / np.sqrt(self._norm)

    @cached_property
    def weights(self) -> np.ndarray:
        """The kernel: zero sum, zero outside the truncation."""
        inside = self.gaussian * self.mask
        return (inside - inside.sum() / self.mask.sum()) / self._norm * self.mask


def smooth(image: np.ndarray, kernel: StarKernel) -> np.ndarray:
    """Return the image convolved with the kernel as (ny, nx) float32; NaN spreads, outside the image counts as zero."""
    dy, dx = np.nonzero(np.abs(kernel.weights) > np.finfo(float).eps)
    return _smooth(image, dy - kernel.half, dx - kernel.half, kernel.weights[dy, dx])


@njit(parallel=True)
def _smooth(image, dy, dx, weight):
    ny, nx = image.shape
    out = np.empty((ny, nx), np.float32)
    for y in prange(ny):
        total = np.zeros(nx)
        for k in range(dy.size):
            yy = y + dy[k]
            if yy < 0 or yy >= ny:
                continue
            w, shift = weight[k], dx[k]
            for x in range(max(0, -shift), min(nx, nx - shift)):
                total[x] += w * image[yy, x + shift]
        for x in range(nx):
            out[y, x] = total[x]
    return out


def find_peaks(
    smoothed: np.ndarray, threshold: float, separation: int, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Find pixels above a threshold that are the largest within a circle.

    Parameters
    ----------
    smoothed : ndarray, (ny, nx) float32
        The smoothed image.
    threshold : float
        A peak must be larger than this.
    separation : int
        Radius of the circle [pixel].
    mask : ndarray, (ny, nx) bool, or None
        Where a peak does not count (its neighbours still compete).

    Returns
    -------
    y, x : ndarray of int
        Positions of the peaks in reading order.
    """
    y, x = np.nonzero(smoothed > threshold)
    if mask is not None:
        keep = ~mask[y, x]
        y, x = y[keep], x[keep]
    keep = _is_peak(smoothed, y, x, separation)
    return y[keep], x[keep]


@njit
def _is_peak(image, ys, xs, radius):
    ny, nx = image.shape
    keep = np.ones(ys.size, np.bool_)
    for k in range(ys.size):
        y, x = ys[k], xs[k]
        value = image[y, x]
        for j in range(max(0, y - radius), min(ny, y + radius + 1)):
            for i in range(max(0, x - radius), min(nx, x + radius + 1)):
                if (j - y) ** 2 + (i - x) ** 2 <= radius * radius and image[j, i] > value:
                    keep[k] = False
    return keep


def _cutouts(image: np.ndarray, y: np.ndarray, x: np.ndarray, half: int) -> np.ndarray:
    """Return (n, size, size) copies of the image around the positions, zero outside the image."""
    step = np.arange(-half, half + 1)
    yy = y[:, None, None] + step[None, :, None]
    xx = x[:, None, None] + step[None, None, :]
    ny, nx = image.shape
    inside = (yy >= 0) & (yy < ny) & (xx >= 0) & (xx < nx)
    return np.where(inside, image[yy.clip(0, ny - 1), xx.clip(0, nx - 1)], np.float32(0))


def measure_iraf(image: np.ndarray, y: np.ndarray, x: np.ndarray, kernel: StarKernel) -> dict[str, np.ndarray]:
    """Measure candidates by image moments, as IRAF starfind does.

    Parameters
    ----------
    image : ndarray, (ny, nx) float32
        The image with its background taken off [any unit].
    y, x : ndarray of int
        Peak pixels.
    kernel : StarKernel
        The kernel of the search.

    Returns
    -------
    dict of ndarray
        ``xcentroid ycentroid`` [pixel], ``fwhm`` [pixel], ``sharpness`` (fwhm over the kernel's),
        ``roundness``, ``orientation`` [deg], ``n_pixels``, ``peak``, ``flux`` [image unit], ``mag``. NaN where
        a measure fails.

    Notes
    -----
    The local sky is the mean of the corners of the square outside the truncation radius; pixels below it count
    as zero.
    """
    cut = _cutouts(image, y, x, kernel.half)
    outside = ~kernel.mask
    sky = (cut * outside).sum(axis=(1, 2)) / np.count_nonzero(outside)
    cut = (cut - sky[:, None, None]) * kernel.mask
    cut[cut < 0] = 0
    step = np.arange(cut.shape[1], dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = cut.sum(axis=(1, 2), dtype=np.float64)
        xc = np.einsum("nyx,x->n", cut, step) / total
        yc = np.einsum("nyx,y->n", cut, step) / total
        dx, dy = step - xc[:, None], step - yc[:, None]
        mxx = np.einsum("nyx,nx->n", cut, dx * dx) / total
        myy = np.einsum("nyx,ny->n", cut, dy * dy) / total
        mxy = np.einsum("nyx,ny,nx->n", cut, dy, dx) / total
        fwhm = 2.0 * np.sqrt(np.log(2.0) * (mxx + myy))
        flux = cut.sum(axis=(1, 2))
        table = {
            "xcentroid": xc + x - kernel.half,
            "ycentroid": yc + y - kernel.half,
            "fwhm": fwhm,
            "sharpness": fwhm / kernel.fwhm,
            "roundness": np.sqrt((mxx - myy) ** 2 + 4.0 * mxy**2) / (mxx + myy),
            "orientation": np.rad2deg(0.5 * np.arctan2(2.0 * mxy, mxx - myy)) % 360,
            "n_pixels": np.count_nonzero(cut, axis=(1, 2)),
            "peak": cut.max(axis=(1, 2), initial=0),
            "flux": flux,
            "mag": -2.5 * np.log10(flux),
        }
    single = table["n_pixels"] < 2
    table["xcentroid"][single] = np.nan
    return table


def measure_dao(
    image: np.ndarray, smoothed: np.ndarray, y: np.ndarray, x: np.ndarray, kernel: StarKernel, threshold: float
) -> dict[str, np.ndarray]:
    """Measure candidates by Gaussian fits to their marginal sums, as DAOFIND does.

    Parameters
    ----------
    image, smoothed : ndarray, (ny, nx) float32
        The image with its background taken off, and the same smoothed [any unit].
    y, x : ndarray of int
        Peak pixels.
    kernel : StarKernel
        The kernel of the search.
    threshold : float
        The limit the smoothed peaks passed, for ``daofind_mag``.

    Returns
    -------
    dict of ndarray
        ``xcentroid ycentroid`` [pixel], ``sharpness``, ``roundness1`` (symmetry), ``roundness2`` (marginal
        heights), ``n_pixels``, ``peak``, ``flux`` [image unit], ``mag``, ``daofind_mag``. NaN where a measure
        fails.
    """
    cut, conv = _cutouts(image, y, x, kernel.half), _cutouts(smoothed, y, x, kernel.half)
    c = kernel.half
    peak, conv_peak = cut[:, c, c], conv[:, c, c]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = ((cut * kernel.mask).sum(axis=(1, 2)) - peak) / (kernel.mask.sum() - 1)
        shift_x, height_x = _marginal_fit(cut, kernel, along_x=True)
        shift_y, height_y = _marginal_fit(cut, kernel, along_x=False)
        flux = cut.sum(axis=(1, 2))
        return {
            "xcentroid": x + shift_x,
            "ycentroid": y + shift_y,
            "sharpness": (peak - mean) / conv_peak,
            "roundness1": symmetry(conv),
            "roundness2": 2.0 * (height_x - height_y) / (height_x + height_y),
            "n_pixels": np.full(x.size, kernel.mask.size),
            "peak": peak,
            "flux": flux,
            "mag": -2.5 * np.log10(flux),
            "daofind_mag": -2.5 * np.log10(conv_peak / threshold),
        }


def symmetry(conv: np.ndarray) -> np.ndarray:
    """Return twice the ratio of two-fold to four-fold sums around the middle of (n, size, size) smoothed cutouts."""
    c = conv.shape[1] // 2
    ring = conv.copy()
    ring[:, c, c] = 0
    upright = ring[:, :c, : c + 1].sum(axis=(1, 2)) + ring[:, c + 1 :, c:].sum(axis=(1, 2))
    turned = ring[:, : c + 1, c + 1 :].sum(axis=(1, 2)) + ring[:, c:, :c].sum(axis=(1, 2))
    total = np.abs(ring).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(upright == turned, 0.0, 2.0 * (upright - turned) / total)


def _marginal_fit(cut: np.ndarray, kernel: StarKernel, along_x: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fit the kernel's marginal profile to that of each cutout; return shift [pixel] and height."""
    c = kernel.half
    step = np.arange(2 * c + 1)
    weight = (c - np.abs(step - c) + 1).astype(np.float64)
    axis = 0 if along_x else 1
    across = weight[:, None] if along_x else weight[None, :]
    profile = (cut * across).sum(axis=axis + 1)
    model = (kernel.gaussian * across).sum(axis=axis)
    offset = c - step
    slope = model * offset
    data_sum = (profile * weight).sum(axis=1)
    height = ((profile * model * weight).sum(axis=1) - data_sum * (model * weight).sum() / weight.sum()) / (
        (model**2 * weight).sum() - (model * weight).sum() ** 2 / weight.sum()
    )
    failed = ~(height > 0)
    scale = height * (slope**2 * weight).sum() / kernel.sigma**2
    numerator = (model * slope * weight).sum() - (
        (profile * slope * weight).sum(axis=1) - (slope * weight).sum() * data_sum
    )
    shift = numerator / scale
    centroid_offset = offset if along_x else -offset
    coarse = (profile * centroid_offset * weight).sum(axis=1) / data_sum
    half_width = step.size / 2.0
    shift = np.where(np.abs(shift) > half_width, np.where(data_sum == 0, 0.0, coarse), shift)
    shift = np.where(np.abs(shift) > half_width, 0.0, shift)
    return np.where(failed, np.nan, shift), np.where(failed, np.nan, height)


def select_stars(
    table: dict[str, np.ndarray],
    sharpness: tuple[float, float],
    roundness: tuple[float, float],
    brightest: int | None,
    peak_max: float | None,
) -> dict[str, np.ndarray]:
    """Keep finite, sharp and round sources, the brightest first, and number them from 1 as ``id``."""
    keep = np.ones(table["flux"].size, bool)
    for name, values in table.items():
        if name in ("mag", "daofind_mag", "fwhm"):
            continue
        keep &= np.isfinite(values)
        limits = sharpness if name == "sharpness" else roundness if name.startswith("roundness") else None
        if limits is not None:
            with np.errstate(invalid="ignore"):
                keep &= (values >= limits[0]) & (values <= limits[1])
    if peak_max is not None:
        keep &= table["peak"] <= peak_max
    order = np.flatnonzero(keep)
    if brightest is not None:
        order = order[np.argsort(table["flux"][order])[::-1][:brightest]]
    return {"id": np.arange(1, order.size + 1)} | {name: values[order] for name, values in table.items()}
