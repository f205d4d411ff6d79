"""bkg_subtract: subtract the mean of background exposures from an image.

The background files are read a band of rows at a time, so that memory does not grow with their number.

Source: the official step ``background``, image-to-image part.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from astropy.io import fits

from jwstsm.core.compiled import njit, prange
from jwstsm.core.fitsarray import read_image
from jwstsm.errors import InputError
from jwstsm.products import Slope
from jwstsm.products.model import Product
from jwstsm.references import References
from jwstsm.stage2._planes import as_cube
from jwstsm.step import Range, Skipped, step

__all__ = ["CombinedBackground", "bkg_subtract", "combine_backgrounds"]

log = logging.getLogger(__name__)

_BAND_BYTES = 64_000_000  # of the background arrays that are held at a time
_TILT_TOLERANCE = 1e-8


@dataclass
class CombinedBackground(Product):
    """The mean background of an exposure: ``data``, ``err`` (ny, nx) float32 and ``dq`` (ny, nx) uint32."""

    data: np.ndarray | None = None
    err: np.ndarray | None = None
    dq: np.ndarray | None = None


@njit
def _clipped_bounds(values, count, sigma, maxiters):
    """Sort ``values[:count]`` in place and clip it about its median; return the first and last + 1 that stay.

    Values are clipped that are more than ``sigma`` standard deviations from the median, until none is or ``maxiters``
    rounds are made (negative: no limit). The limits found last then decide about all values, so that one clipped in
    an early round can come back.
    """
    part = values[:count]
    part.sort()
    first, last = 0, count
    lowest, highest = -np.inf, np.inf
    rounds = 0
    while last > first and (maxiters < 0 or rounds < maxiters):
        rounds += 1
        n = last - first
        middle = part[first + n // 2]
        if n % 2 == 0:
            middle = 0.5 * (middle + part[first + n // 2 - 1])
        mean = 0.0
        for k in range(first, last):
            mean += part[k]
        mean /= n
        square = 0.0
        for k in range(first, last):
            square += (part[k] - mean) ** 2
        width = sigma * np.sqrt(square / n)
        lowest, highest = middle - width, middle + width
        low, high = first, last
        while low < high and part[low] < lowest:
            low += 1
        while high > low and part[high - 1] > highest:
            high -= 1
        if low == first and high == last:
            break
        first, last = low, high
    first, last = 0, count
    while first < last and part[first] < lowest:
        first += 1
    while last > first and part[last - 1] > highest:
        last -= 1
    return first, last


@njit
def _clipped_mean(values, count, sigma, maxiters):
    first, last = _clipped_bounds(values, count, sigma, maxiters)
    if last == first:
        return np.nan
    total = 0.0
    for k in range(first, last):
        total += values[k]
    return total / (last - first)


@njit(parallel=True)
def _average_integrations(data, err, sigma, maxiters, mean, variance):
    """Average one background's integrations; ``mean`` and ``variance`` (ny, nx) are NaN where nothing is left."""
    nints, ny, nx = data.shape
    for y in prange(ny):
        values, squares = np.empty(nints), np.empty(nints)
        for x in range(nx):
            n = m = 0
            for i in range(nints):
                if np.isfinite(data[i, y, x]):
                    values[n] = data[i, y, x]
                    n += 1
                square = np.float64(err[i, y, x]) ** 2
                if np.isfinite(square):
                    squares[m] = square
                    m += 1
            mean[y, x] = _clipped_mean(values, n, sigma, maxiters)
            variance[y, x] = _clipped_mean(squares, m, sigma, maxiters)


@njit(parallel=True)
def _average_members(data, variance, sigma, maxiters, mean, error):
    """Average the backgrounds; ``mean`` and ``error`` (ny, nx) are 0 where none is left."""
    members, ny, nx = data.shape
    for y in prange(ny):
        values = np.empty(members)
        for x in range(nx):
            n = 0
            for i in range(members):
                if np.isfinite(data[i, y, x]):
                    values[n] = data[i, y, x]
                    n += 1
            first, last = _clipped_bounds(values, n, sigma, maxiters)
            if last == first:
                mean[y, x] = 0.0
                error[y, x] = 0.0
                continue
            low, high = values[first], values[last - 1]
            total = square = 0.0
            kept = 0
            for i in range(members):
                if data[i, y, x] >= low and data[i, y, x] <= high:
                    total += data[i, y, x]
                    square += variance[i, y, x]
                    kept += 1
            mean[y, x] = total / kept
            error[y, x] = np.sqrt(square) / kept


@njit(parallel=True)
def _subtract_rows(data, dq, background, background_dq):
    nplanes, ny, nx = data.shape
    for y in prange(ny):
        for i in range(nplanes):
            for x in range(nx):
                data[i, y, x] -= background[y, x]
                dq[i, y, x] |= background_dq[y, x]


def combine_backgrounds(members, sigma: float = 3.0, maxiters: int | None = None):
    """Average backgrounds with sigma clipping, first over the integrations of each, then over the exposures.

    Parameters
    ----------
    members : list of (data, err)
        Each (ny, nx) or (nints, ny, nx) float32; NaN where there is no value.
    sigma : float
        Clipping threshold [standard deviations], about the median.
    maxiters : int or None
        Rounds of clipping; None goes on until nothing is clipped.

    Returns
    -------
    (mean, err) : two (ny, nx) float32
        ``err`` is the error of the mean; both are 0 where no background has a value.
    """
    limit = -1 if maxiters is None else int(maxiters)
    shape = members[0][0].shape[-2:]
    means, variances = np.empty((len(members), *shape)), np.empty((len(members), *shape))
    for k, (data, err) in enumerate(members):
        if data.ndim == 2:
            means[k] = data
            np.square(err, out=variances[k], dtype=np.float64)
        else:
            _average_integrations(data, err, float(sigma), limit, means[k], variances[k])
    mean, error = np.empty(shape, np.float32), np.empty(shape, np.float32)
    _average_members(means, variances, float(sigma), limit, mean, error)
    return mean, error


class _Window(NamedTuple):
    """Where an image lies on the detector: 0-based corner and size."""

    x0: int
    y0: int
    nx: int
    ny: int


class _Member:
    """A background file, opened; bands of its rows are given in the pixels of the science image."""

    def __init__(self, path: str, science: Slope, stack: ExitStack):
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(f"{science.name}: background {path}: no such file")
        try:
            self._hdus = stack.enter_context(fits.open(self.path, memmap=True))
            self._arrays = {name: self._hdus[name] for name in ("SCI", "ERR", "DQ")}
        except (OSError, KeyError) as error:
            raise InputError(f"{self.path.name}: is not a rate product ({error}); it cannot be a background") from error
        shape = self._arrays["SCI"].shape
        if len(shape) != science.data.ndim:
            kinds = {2: "an image (rate)", 3: "a stack of integrations (rateints)"}
            raise InputError(
                f"{self.path.name}: background is {kinds.get(len(shape), 'no image')} "
                f"but {science.name} is {kinds[science.data.ndim]}; both must be of one kind"
            )
        head = self.header
        here = science.readout
        self._window = _Window(int(head.get("SUBSTRT1", 1)) - 1, int(head.get("SUBSTRT2", 1)) - 1, shape[-1], shape[-2])
        self._science = _Window(here.xstart - 1, here.ystart - 1, science.data.shape[-1], science.data.shape[-2])

    @property
    def header(self) -> fits.Header:
        """The primary header."""
        return self._hdus[0].header

    @property
    def planes(self) -> int:
        """Number of integrations."""
        shape = self._arrays["SCI"].shape
        return shape[0] if len(shape) == 3 else 1

    def band(self, y0: int, y1: int):
        """Return data, err, dq of rows ``y0`` to ``y1 - 1`` of the science image; NaN, NaN, 0 outside the overlap."""
        there, here = self._window, self._science
        ya, yb = max(here.y0 + y0, there.y0), min(here.y0 + y1, there.y0 + there.ny)
        xa, xb = max(here.x0, there.x0), min(here.x0 + here.nx, there.x0 + there.nx)
        lead = self._arrays["SCI"].shape[:-2]
        out = []
        for name, dtype, blank in (("SCI", np.float32, np.nan), ("ERR", np.float32, np.nan), ("DQ", np.uint32, 0)):
            array = np.full((*lead, y1 - y0, here.nx), blank, dtype)
            if ya < yb and xa < xb:
                inside = slice(ya - there.y0, yb - there.y0), slice(xa - there.x0, xb - there.x0)
                where = (*[slice(None)] * len(lead), *inside)
                rows, columns = slice(ya - here.y0 - y0, yb - here.y0 - y0), slice(xa - here.x0, xb - here.x0)
                array[..., rows, columns] = read_image(self._arrays[name], dtype, where)
            out.append(array)
        return tuple(out)


def _bands(members: list[_Member], ny: int, nx: int) -> Iterator[tuple[int, int]]:
    """Yield ``(first, last + 1)`` row of bands of bounded memory."""
    row = sum(12 * m.planes + 16 for m in members) * nx
    size = max(1, _BAND_BYTES // row)
    for start in range(0, ny, size):
        yield start, min(ny, start + size)


def _tilt_differs(slope: Slope, members: list[_Member]) -> bool:
    """Whether a background was taken with the grating wheel at another tilt (keywords that only NIRSpec has)."""
    for keyword in ("GWA_XTIL", "GWA_YTIL"):
        own = slope.key(keyword)
        others = [m.header.get(keyword) for m in members]
        if own is not None and any(o is None or abs(o - own) > _TILT_TOLERANCE for o in others):
            return True
    return False


@step("S_BKDSUB", references=["bkg", "wavelengthrange"])
def bkg_subtract(
    slope: Slope,
    refs: References,
    *,
    bkg_list: list[str] | None = None,
    save_combined_background: bool = False,
    sigma: Annotated[float, Range(min=0)] = 3.0,
    maxiters: Annotated[int, Range(min=0)] | None = None,
    soss_source_percentile: float = 35.0,
    soss_bkg_percentile: Annotated[list[float], Range(min=2, max=2)] | None = None,
    wfss_mmag_extract: float | None = None,
    wfss_mask: str | None = None,
    wfss_maxiter: int = 5,
    wfss_rms_stop: float = 0.0,
    wfss_outlier_percent: float = 1.0,
):
    """Subtract the mean of background exposures.

    Removes the emission of the telescope and the sky that dedicated or nodded background exposures have in common
    with the science exposure.

    Parameters
    ----------
    slope : Slope
        Rate image (ny, nx) or one plane per integration [DN/s]; changed in place.
    refs : References
        Not used for images.
    bkg_list : list of str or None
        Paths of the background exposures, of the same kind as the input (rate or rateints). The workflow fills it
        from the association.
    save_combined_background : bool
        Make the product ``combinedbackground``: the mean background, its error and its DQ.
    sigma : float
        Clipping threshold [standard deviations].
    maxiters : int or None
        Rounds of clipping; None goes on until nothing is clipped, 0 clips nothing.
    soss_source_percentile : float
        For NIRISS SOSS spectra; no effect on images.
    soss_bkg_percentile : list of float or None
        For NIRISS SOSS spectra; no effect on images.
    wfss_mmag_extract : float or None
        For slitless spectra; no effect on images.
    wfss_mask : str or None
        For slitless spectra; no effect on images.
    wfss_maxiter : int
        For slitless spectra; no effect on images.
    wfss_rms_stop : float
        For slitless spectra; no effect on images.
    wfss_outlier_percent : float
        For slitless spectra; no effect on images.

    Returns
    -------
    Slope, or dict of str to Product
        The image; with ``save_combined_background`` the image and the background by suffix.

    Raises
    ------
    InputError
        If a background is missing, is no rate product, or is not of the input's kind.

    Notes
    -----
    Backgrounds are averaged with clipping about the median, the integrations of each first. DQ bits of all backgrounds
    are added to the image. ERR and the variances stay as they are, as in the official step. Pixels for which no
    background has a value stay as they are.

    Differs from the official step for windows that begin elsewhere on the detector (each pixel gets its own
    background, there the first of the window) and for pixels without a value in any integration of a background (they
    are left out of the mean, there they count as 0).
    """
    paths = [p for p in bkg_list or [] if p]
    if not paths:
        return Skipped(slope, "no background exposures are given")
    with ExitStack() as stack:
        members = [_Member(p, slope, stack) for p in paths]
        if _tilt_differs(slope, members):
            return Skipped(slope, "the grating wheel was tilted otherwise (GWA_XTIL, GWA_YTIL) for a background")
        ny, nx = slope.data.shape[-2:]
        mean, error = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
        flags = np.zeros((ny, nx), np.uint32)
        for y0, y1 in _bands(members, ny, nx):
            parts = []
            for member in members:
                data, err, dq = member.band(y0, y1)
                parts.append((data, err))
                flags[y0:y1] |= np.bitwise_or.reduce(as_cube(dq), axis=0)
            mean[y0:y1], error[y0:y1] = combine_backgrounds(parts, sigma, maxiters)
    _subtract_rows(as_cube(slope.data), as_cube(slope.dq), mean, flags)
    log.info("%s: subtracted the mean of %d background exposures", slope.name, len(paths))
    if not save_combined_background:
        return slope
    background = CombinedBackground(**slope.headers_copy(), suffix="combinedbackground", data=mean, err=error, dq=flags)
    return {slope.suffix: slope, background.suffix: background}
