"""Resampling a set of images on one grid, tile by tile.

Memory grows with the tile and with what of one input reaches it, not with the mosaic or the number of inputs: each tile
reads the rows of each input that can reach it, drizzles them and is divided before the next one starts. Inputs are
added in the order of their names, so that the sums do not depend on the order in which they are listed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

from jwstsm.core import scratch
from jwstsm.core.compiled import njit, prange
from jwstsm.core.drizzle import KERNELS, Coadd, context_planes
from jwstsm.core.frames import Frame
from jwstsm.core.progress import told
from jwstsm.errors import InputError

__all__ = [
    "VARIANCES",
    "Drizzling",
    "Projection",
    "Resampled",
    "Window",
    "exposure_time_s",
    "read_weight",
    "resample_frames",
]

log = logging.getLogger(__name__)

VARIANCES = ("var_rnoise", "var_poisson", "var_flat")  # the first one gives the weights
_TILE_BYTES = 12_000_000  # stays in the cache, and in memory that is used again
_SMALLEST_TILE = 64
_MAPPED_BYTES = 200_000_000  # output arrays larger than this go to scratch files


class Projection(Protocol):
    """Where the pixels of one input fall on the output grid (see :class:`jwstsm.wcs.pixmap.PixelMap`)."""

    def rows(self, y0: int, y1: int) -> np.ndarray:
        """Return output coordinates of rows [y0, y1), (y1 - y0, nx, 2), x first; NaN where there are none."""
        ...

    def window(self, x0: float, x1: float, y0: float, y1: float) -> tuple[int, int, int, int] | None:
        """Return columns [c0, c1) and rows [r0, r1) of the input that can reach a rectangle of the output."""
        ...

    def bounds(self) -> tuple[float, float, float, float]:
        """Return (xmin, xmax, ymin, ymax) of the input on the output."""
        ...


class Window(NamedTuple):
    """A rectangle of the output grid: its first pixel and its size."""

    x0: int
    y0: int
    nx: int
    ny: int

    @property
    def shape(self) -> tuple[int, int]:
        """Size as an array shape."""
        return self.ny, self.nx


@dataclass(frozen=True)
class Drizzling:
    """How to drizzle.

    Attributes
    ----------
    kernel : str
        One of :data:`jwstsm.core.drizzle.KERNELS`.
    pixfrac : float
    weight_type : {"ivm", "exptime", None}
        Weight of a pixel: one over its read-noise variance, the exposure's measurement time, or 1.
    bad_bits : int
        Pixels with one of these DQ bits get no weight.
    variance : {"official", "exact", None}
        How variances are carried along (:class:`jwstsm.core.drizzle.Coadd`); None: not at all.
    scale : float
        Output to input pixel scale.
    intensity_scale : float
        Factor on the data; the variances get its square.
    variance_scale : float
        Further factor on the variances.
    fillval : float
        Value of empty output pixels.
    context, propagate_dq : bool
        Make a context image; OR the DQ of the inputs together.
    """

    kernel: str = "square"
    pixfrac: float = 1.0
    weight_type: Literal["ivm", "exptime"] | None = "ivm"
    bad_bits: int = 1
    variance: Literal["official", "exact"] | None = "official"
    scale: float = 1.0
    intensity_scale: float = 1.0
    variance_scale: float = 1.0
    fillval: float = float("nan")
    context: bool = True
    propagate_dq: bool = False

    def __post_init__(self):
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, not {self.kernel!r}")

    @property
    def nvar(self) -> int:
        """Number of variances carried along."""
        return len(VARIANCES) if self.variance else 0


@dataclass
class Resampled:
    """The arrays of a window of the output, (ny, nx); absent ones are None.

    Attributes
    ----------
    data, wht, err : float32
    variances : (3, ny, nx) float32 or None
        In the order of :data:`VARIANCES`.
    con : (nplanes, ny, nx) int32 or None
    dq : uint32 or None
    """

    data: np.ndarray
    wht: np.ndarray
    err: np.ndarray | None = None
    variances: np.ndarray | None = None
    con: np.ndarray | None = None
    dq: np.ndarray | None = None

    @classmethod
    def empty(cls, shape: tuple[int, int], options: Drizzling, inputs: int) -> Resampled:
        """Allocate, in memory or on a scratch file."""

        def make(dtype, *lead):
            return scratch.allocate((*lead, *shape), dtype, limit=_MAPPED_BYTES)

        return cls(
            data=make(np.float32),
            wht=make(np.float32),
            err=make(np.float32) if options.nvar else None,
            variances=make(np.float32, options.nvar) if options.nvar else None,
            con=make(np.int32, context_planes(inputs)) if options.context else None,
            dq=make(np.uint32) if options.propagate_dq else None,
        )


def exposure_time_s(frame: Frame) -> float:
    """Return the measurement time of an exposure, or its effective exposure time where that is not known.

    Raises
    ------
    InputError
        If neither is known.
    """
    for keyword in ("TMEASURE", "EFFEXPTM"):
        value = frame.header.get(keyword)
        if value is not None:
            return float(value)
    raise InputError(f"{frame.name}: keywords TMEASURE and EFFEXPTM are missing; weight_type 'exptime' needs one of them")


@njit(parallel=True)
def _prepare(data, dq, variances, nvar, bad_bits, sky, factor, use_ivm, constant, roots, values, weight):
    """Fill the values and weights of :meth:`Coadd.add`: sky off, factor on, unusable pixels without weight."""
    for j in prange(data.shape[0]):
        for i in range(data.shape[1]):
            good = np.isfinite(data[j, i]) and (dq.size == 0 or dq[j, i] & bad_bits == 0)
            values[j, i, 0] = (data[j, i] - sky) * factor
            for c in range(nvar):
                v = variances[c, j, i]
                good = good and not np.isnan(v)
                if v < 0.0:  # not known: spoils this variance of the output, but not the pixel
                    v = np.float32(np.nan)
                values[j, i, 1 + c] = np.sqrt(v) * factor if roots else v * factor * factor
            w = constant
            if use_ivm:
                w = np.float32(1.0) / variances[0, j, i]
                if not w < np.inf:  # also NaN
                    w = np.float32(0.0)
            weight[j, i] = w if good else np.float32(0.0)


def _load(frame: Frame, y0: int, y1: int, options: Drizzling):
    """Return values, weight and DQ of rows [y0, y1) of a frame, ready to drizzle."""
    data = frame.read("data", y0, y1)
    flags = frame.read("dq", y0, y1)
    use_ivm = options.weight_type == "ivm"
    names = VARIANCES[: options.nvar] or VARIANCES[: int(use_ivm)]
    variances = np.empty((len(names), *data.shape), np.float32)
    for c, name in enumerate(names):
        plane = frame.read(name, y0, y1)
        variances[c] = -1.0 if plane is None else plane
        if plane is None and c == 0:
            use_ivm = False
            log.warning("%s has no %s: its pixels get equal weights", frame.name, name)
    constant = exposure_time_s(frame) if options.weight_type == "exptime" else 1.0
    values = np.empty((*data.shape, 1 + options.nvar), np.float32)
    weight = np.empty(data.shape, np.float32)
    used = np.zeros((0, 0), np.uint32) if flags is None else flags
    sky, factor = np.float32(frame.sky_level or 0.0), np.float32(options.intensity_scale)
    roots = options.variance == "official"
    bad = np.uint32(options.bad_bits)
    _prepare(data, used, variances, options.nvar, bad, sky, factor, use_ivm, np.float32(constant), roots, values, weight)
    return values, weight, flags, 0.0 if use_ivm else constant


def read_weight(frame: Frame, options: Drizzling) -> np.ndarray:
    """Return the weights of all pixels of a frame, (ny, nx) float32; 0 for those that may not be used."""
    return _load(frame, 0, frame.shape[0], options)[1]


class _Placed:
    """A frame with its place on the output, which is looked up once and not for every tile."""

    def __init__(self, frame: Frame, projection: Projection, options: Drizzling):
        self.frame, self.projection, self.options = frame, projection, options
        # what a kernel may reach beyond the pixel itself
        self.reach = 1.0 if options.kernel in ("square", "point") else 4.0 / min(1.0, options.scale)
        xmin, xmax, ymin, ymax = projection.bounds()
        margin = self.reach + 1.0
        self.columns = int(np.floor(xmin - margin)), int(np.ceil(xmax + margin)) + 1
        self.rows = ymin - margin, ymax + margin

    def drizzle(self, coadd: Coadd, tile: Window, number: int) -> None:
        """Add what of the frame reaches a tile."""
        x0, x1 = tile.x0 - 0.5 - self.reach, tile.x0 + tile.nx - 0.5 + self.reach
        y0, y1 = tile.y0 - 0.5 - self.reach, tile.y0 + tile.ny - 0.5 + self.reach
        if self.rows[0] > y1 or self.rows[1] < y0:
            return
        part = self.projection.window(x0, x1, y0, y1)
        if part is None:
            return
        first, last = part[2], part[3]
        # neighbours of the first and the last row shape their corners
        low, high = max(0, first - 1), min(self.frame.shape[0], last + 1)
        if high - low < 2:
            return
        options = self.options
        values, weight, flags, frame_weight = _load(self.frame, low, high, options)
        coadd.add(
            values,
            weight,
            self.projection.rows(low, high),
            rows=(first - low, last - low),
            columns=self.columns,
            number=number,
            kernel=options.kernel,
            pixfrac=options.pixfrac,
            scale=options.scale,
            frame_weight=frame_weight,
            dq=flags if options.propagate_dq else None,
        )


def tile_rows(nx: int, channels: int, tile_bytes: int = _TILE_BYTES) -> int:
    """Return how many rows of an output ``nx`` wide a tile has."""
    rows = max(_SMALLEST_TILE, int(tile_bytes // (8 * channels * max(1, nx))))
    return rows // _SMALLEST_TILE * _SMALLEST_TILE  # bands of equal height keep two threads equally busy


def resample_frames(
    frames: Sequence[Frame],
    projections: Sequence[Projection],
    window: Window,
    options: Drizzling,
    *,
    tile_bytes: int = _TILE_BYTES,
) -> Resampled:
    """Drizzle images on a window of the output grid.

    Parameters
    ----------
    frames : list of Frame
        The inputs; their position is their number in the context image.
    projections : list of Projection
        Where the pixels of each fall.
    window : Window
        Part of the output grid to make.
    options : Drizzling
    tile_bytes : int
        Size of the running sums of a tile.

    Returns
    -------
    Resampled
        Empty pixels have ``data`` the fill value, ``wht`` 0 and NaN variances. ``err`` is the root of the sum of the
        variances that are known.

    Notes
    -----
    DQ bits read: ``options.bad_bits``. The sky that a frame still carries (``sky_level``) is taken off.
    """
    out = Resampled.empty(window.shape, options, len(frames))
    order = sorted(range(len(frames)), key=lambda k: frames[k].name)
    placed = [_Placed(f, p, options) for f, p in zip(frames, projections, strict=True)]
    mode = options.variance or "official"
    channels = 2 + options.nvar * (1 if mode == "exact" else 2)
    height = tile_rows(window.nx, channels, tile_bytes)
    for start in told(range(0, window.ny, height), "tiles of the mosaic"):
        tile = Window(window.x0, window.y0 + start, window.nx, min(height, window.ny - start))
        coadd = Coadd(
            tile.shape,
            (tile.x0, tile.y0),
            options.nvar,
            mode,
            len(frames) if options.context else 0,
            options.propagate_dq,
        )
        for k in order:
            placed[k].drizzle(coadd, tile, k)
        _store(coadd, out, start, options)
    return out


def _store(coadd: Coadd, out: Resampled, start: int, options: Drizzling) -> None:
    """Divide the sums of a tile and put the results in their place."""
    rows = slice(start, start + coadd.shape[0])
    part = {"data": out.data[rows], "wht": out.wht[rows]}
    if options.nvar:
        part |= {"err": out.err[rows], "variances": out.variances[:, rows]}
    coadd.finish(part, fillval=options.fillval, variance_scale=options.variance_scale)
    if out.con is not None:
        out.con[:, rows] = coadd.con
    if out.dq is not None:
        out.dq[rows] = coadd.dq
    for array in (out.data, out.wht, out.err, out.variances, out.con, out.dq):
        scratch.release(array)
