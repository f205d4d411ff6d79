"""Products as dataclasses: named arrays, the FITS headers as they came, tables, and the WCS.

Axes: ramp ``(nints, ngroups, ny, nx)``, slope ``(ny, nx)`` or ``(nints, ny, nx)``, mosaic ``(ny, nx)``.
Which HDU, dtype and unit each array has is in ``layouts.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits

from jwstsm.core import scratch
from jwstsm.errors import InputError
from jwstsm.products.readout import Readout

__all__ = ["FitOpt", "Guider", "Mosaic", "Product", "Ramp", "Segmentation", "SideProduct", "Slope"]

_NONE = object()


@dataclass
class Product:
    """What every product has.

    Attributes
    ----------
    primary : astropy.io.fits.Header
        The primary header; keywords that are not known survive.
    headers : dict of str to Header
        Header of each known extension by ``EXTNAME``.
    tables : dict of str to recarray
        Binary tables by ``EXTNAME`` (``INT_TIMES``, ``GROUP``, ...).
    others : list of HDU
        Extensions that the layout does not know; written back as they came.
    wcs : gwcs.WCS or None
        World coordinates of the pixels.
    history : list of dict
        One record per step that ran: name, status, reason, parameters, references.
    runs : list of dict
        One record per pipeline that led to the product: inputs and references with checksums (see ``provenance``).
    path : Path or None
        The file the product was read from.
    suffix : str
        Product suffix, a key of ``layouts.yaml``.
    layout : str
        Key of ``layouts.yaml`` where it is not the suffix.
    """

    layout: ClassVar[str] = ""

    primary: fits.Header = field(default_factory=fits.Header, repr=False)
    headers: dict[str, fits.Header] = field(default_factory=dict, repr=False)
    tables: dict[str, Any] = field(default_factory=dict, repr=False)
    others: list = field(default_factory=list, repr=False)
    wcs: Any = field(default=None, repr=False)
    history: list[dict] = field(default_factory=list, repr=False)
    runs: list[dict] = field(default_factory=list, repr=False)
    path: Path | None = None
    suffix: str = ""

    @property
    def sci(self) -> fits.Header:
        """Header of the ``SCI`` extension (made empty if there is none)."""
        return self.headers.setdefault("SCI", fits.Header())

    @property
    def name(self) -> str:
        """File name for messages."""
        return self.path.name if self.path else str(self.primary.get("FILENAME", "product in memory"))

    def key(self, keyword: str, default: Any = None) -> Any:
        """Return a keyword of the primary or the ``SCI`` header, or ``default``."""
        for header in (self.primary, self.headers.get("SCI")):
            if header is not None and keyword in header:
                value = header[keyword]
                return default if isinstance(value, fits.card.Undefined) else value
        return default

    def require(self, keyword: str) -> Any:
        """Return a keyword that must be there.

        Raises
        ------
        InputError
            Naming the file and the keyword.
        """
        value = self.key(keyword, _NONE)
        if value is _NONE:
            raise InputError(
                f"{self.name}: keyword {keyword} is missing from the header; "
                "the file is not a complete archive product, download it again"
            )
        return value

    @cached_property
    def readout(self) -> Readout:
        """How the detector was read: group times, subarray, amplifiers."""
        return Readout.from_product(self)

    def headers_copy(self) -> dict[str, Any]:
        """Return copies of what a product made from this one inherits (headers, tables, history, path)."""
        return {
            "primary": self.primary.copy(),
            "headers": {"SCI": self.sci.copy()},
            "tables": dict(self.tables),
            "others": list(self.others),
            "wcs": self.wcs,
            "history": list(self.history),
            "runs": list(self.runs),
            "path": self.path,
        }


@dataclass
class Ramp(Product):
    """A ramp, or a block of integrations of one.

    Attributes
    ----------
    data : (nints, ngroups, ny, nx) float32
        Counts [DN].
    groupdq : (nints, ngroups, ny, nx) uint8
    pixeldq : (ny, nx) uint32
    zeroframe : (nints, ny, nx) float32 or None
        First frame of each integration where it was downlinked [DN].
    refout : (nints, ngroups, ny, nx / 4) float32 or None
        Reference output of MIRI [DN].
    average_dark_current : float, (ny, nx) float32 or None
        For the Poisson noise [DN/s].
    first_integration : int
        0-based number, in the exposure file, of the first integration held here.
    """

    data: np.ndarray | None = None
    groupdq: np.ndarray | None = None
    pixeldq: np.ndarray | None = None
    zeroframe: np.ndarray | None = None
    refout: np.ndarray | None = None
    average_dark_current: Any = None
    first_integration: int = 0

    allocate = staticmethod(scratch.allocate)

    def integration_blocks(self, limit: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield ``(first, last + 1)`` of blocks of integrations that fit in memory (at least one each)."""
        nints = self.data.shape[0]
        one = max(1, self.data[0].nbytes)
        size = max(1, (limit or scratch.in_memory_limit() // 2) // one)
        for start in range(0, nints, size):
            yield start, min(nints, start + size)

    def release(self) -> None:
        """Hand the pages of scratch arrays back after a block."""
        scratch.release(self.data)
        scratch.release(self.groupdq)


@dataclass
class Slope(Product):
    """Count rates or calibrated images: ``rate rateints cal calints crf crfints``.

    Arrays are ``(ny, nx)`` or, for one plane per integration, ``(nints, ny, nx)``; units are in ``SCI`` ``BUNIT``.

    Attributes
    ----------
    data, err : float32
    dq : uint32
    var_poisson, var_rnoise, var_flat : float32 or None
        Variances, in the square of the unit of ``data``.
    area : (ny, nx) float32 or None
        Relative pixel area.
    """

    data: np.ndarray | None = None
    dq: np.ndarray | None = None
    err: np.ndarray | None = None
    var_poisson: np.ndarray | None = None
    var_rnoise: np.ndarray | None = None
    var_flat: np.ndarray | None = None
    area: np.ndarray | None = None
    wavelength: np.ndarray | None = None


@dataclass
class Mosaic(Product):
    """A resampled image (``i2d``).

    Attributes
    ----------
    data, err, wht : (ny, nx) float32
    con : (nplanes, ny, nx) int32
        Bit ``k`` of plane ``p`` is set where input ``32 p + k`` contributes.
    var_poisson, var_rnoise, var_flat : (ny, nx) float32 or None
    dq : (ny, nx) uint32 or None
        DQ of all contributing pixels together, where it was asked for.
    """

    data: np.ndarray | None = None
    err: np.ndarray | None = None
    con: np.ndarray | None = None
    wht: np.ndarray | None = None
    var_poisson: np.ndarray | None = None
    var_rnoise: np.ndarray | None = None
    var_flat: np.ndarray | None = None
    dq: np.ndarray | None = None


@dataclass
class Segmentation(Product):
    """Labels of the sources of a mosaic: ``data`` (ny, nx) uint32, 0 where there is none."""

    data: np.ndarray | None = None


@dataclass
class FitOpt(Product):
    """Optional product of the ramp fit: one plane per segment.

    Attributes
    ----------
    slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights : (nints, nsegments, ny, nx) float32
    pedestal : (nints, ny, nx) float32
    crmag : (nints, ncr, ny, nx) float32
    chisq : (nints, ny, nx) float32
        Of the likelihood fit.
    """

    slope: np.ndarray | None = None
    sigslope: np.ndarray | None = None
    var_poisson: np.ndarray | None = None
    var_rnoise: np.ndarray | None = None
    yint: np.ndarray | None = None
    sigyint: np.ndarray | None = None
    pedestal: np.ndarray | None = None
    weights: np.ndarray | None = None
    crmag: np.ndarray | None = None
    chisq: np.ndarray | None = None


@dataclass
class SideProduct(Product):
    """What a step made beside its product (a mask, a background, a noise image), on request; no later step takes it.

    Attributes
    ----------
    data : ndarray
        ``(ny, nx)``, ``(nints, ny, nx)`` or ``(nints, ngroups, ny, nx)``.
    """

    data: np.ndarray | None = None


@dataclass
class Guider(Slope):
    """Count rates of guide-star data: ``data`` and ``err`` (nplanes, ny, nx) [DN/s], ``dq`` (ny, nx) for all planes.

    Raw guide-star data are ramps. The tables of the fine guidance sensor (stars, pointing, centroids, track subarrays)
    are among ``others``. There are no variances. Files have the archive's suffix ``cal`` and a layout of their own.
    """

    layout: ClassVar[str] = "guider_cal"
