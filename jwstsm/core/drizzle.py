"""Drizzle: co-add input pixels on an output grid through a pixel map, and blot back.

Arrays only: coordinates are turned into a pixel map ``(ny, nx, 2)`` (x first; entry ``[j, i]`` is where the centre of
input pixel ``(i, j)`` falls on the output grid, 0 being the centre of its first pixel) outside this module.

The measurement equation. Input pixel ``k`` of value ``d_k`` (surface brightness) and weight ``w_k`` lends the output
pixel the share ``a_k`` of its area (or of its kernel) that falls there::

    WHT = sum(a_k w_k)          SCI = sum(a_k w_k d_k) / WHT

Kernels: ``square`` (the mapped pixel, shrunk by ``pixfrac``, as a polygon: exact overlaps), ``turbo`` (an upright
square), ``point``, and ``gaussian``, ``lanczos2``, ``lanczos3``, which conserve flux only on average.

Sources: Fruchter & Hook 2002, PASP 114, 144; kernel widths and cut-offs as in the ``drizzle`` package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from jwstsm.core._drizzle_bands import FRAME_VARIANCE, LINEAR, drizzle_bands, finish_rows, run_extents
from jwstsm.core.compiled import njit, prange

__all__ = ["CONTEXT_BITS", "KERNELS", "Coadd", "blot", "coadd_image", "context_planes", "fill_value", "noise_correlation"]

KERNELS = {"square": 0, "point": 1, "turbo": 2, "gaussian": 3, "lanczos2": 4, "lanczos3": 5}
CONTEXT_BITS = 32
_POINT_BELOW = 1e-3  # a pixel shrunk to less is a point


def context_planes(number: int) -> int:
    """Return how many int32 planes a context image of ``number`` inputs has."""
    return max(1, -(-number // CONTEXT_BITS))


def fill_value(text: str | float | None) -> float:
    """Turn a fill value as users write it (``NAN``, ``INDEF``, a number) into a number."""
    if text is None or (isinstance(text, str) and text.strip().upper() in ("", "INDEF", "NAN")):
        return float("nan")
    return float(text)


@dataclass
class Coadd:
    """Running sums of one rectangular window of the output.

    Parameters
    ----------
    shape : (ny, nx)
        Size of the window.
    origin : (x0, y0)
        Output pixel that is the window's first.
    nvar : int
        How many variances are carried along.
    variance : {"official", "exact"}
        ``official``: each frame's standard deviations are drizzled like data, squared, and co-added as
        ``sum(v W^2) / (sum W)^2`` with ``W`` one over the frame's first variance at that pixel, or a constant given
        with the frame. It leaves out that the overlaps ``a_k`` enter squared and overestimates the variance of a pixel.
        ``exact``: ``sum(a_k^2 w_k^2 v_k) / WHT^2``, the variance of SCI itself; neighbours stay correlated.
    inputs : int
        Number of inputs in the context image; 0 for no context image.
    with_dq : bool
        Also OR together the DQ of the contributing pixels.

    Attributes
    ----------
    totals : (ny, nx, nchannel) float64
        ``sum w``, ``sum w d``, then per variance one channel (exact) or the pair ``sum v W^2``, ``sum W`` (official).
        Interleaved, so that one output pixel is one or two lines of the processor's cache.
    con : (nplanes, ny, nx) int32
    dq : (ny, nx) uint32
    """

    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    nvar: int = 0
    variance: Literal["official", "exact"] = "official"
    inputs: int = 0
    with_dq: bool = False
    totals: np.ndarray = field(init=False, repr=False)
    con: np.ndarray = field(init=False, repr=False)
    dq: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        if self.variance not in ("official", "exact"):
            raise ValueError(f"variance must be 'official' or 'exact', not {self.variance!r}")
        channels = 2 + self.nvar * (1 if self.variance == "exact" else 2)
        self.totals = np.zeros((*self.shape, channels))
        self.con = np.zeros((context_planes(self.inputs) if self.inputs else 0, *self.shape), np.int32)
        self.dq = np.zeros(self.shape if self.with_dq else (0, 0), np.uint32)

    def add(
        self,
        values: np.ndarray,
        weight: np.ndarray,
        pixmap: np.ndarray,
        *,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        number: int = 0,
        kernel: str = "square",
        pixfrac: float = 1.0,
        scale: float = 1.0,
        frame_weight: float = 0.0,
        dq: np.ndarray | None = None,
    ) -> None:
        """Drizzle one frame, or a range of its rows, on the window.

        Parameters
        ----------
        values : (ny, nx, 1 + nvar) float32
            The pixel, then for ``official`` the square roots of its variances, for ``exact`` the variances.
        weight : (ny, nx) float32
            Pixels whose weight is not positive take no part, whatever their values.
        pixmap : (ny, nx, 2) float64
            Output coordinates of the pixel centres, x first; NaN where there are none.
        rows : (first, last + 1), optional
            Rows to drizzle; the others only serve the corners of their neighbours. A range that does not start (end) at
            the rim of the detector must leave at least one more row below (above). With ``official`` variances all rows
            of a frame that reach the window must come in one call.
        columns : (first, last + 1), optional
            Output columns that the frame may reach; others are left alone, which saves time where it is narrow.
        number : int
            Position of the frame in the context image, 0-based.
        kernel : str
            One of :data:`KERNELS`.
        pixfrac : float
            Side of the shrunk pixel, in input pixels; below 0.001 it is a point. Not used by the Lanczos kernels.
        scale : float
            Side of an output pixel in input pixels; sets the width of ``turbo``, ``gaussian`` and ``lanczos``.
        frame_weight : float
            For ``official`` variances: the constant ``W``, or 0 for one over the first variance.
        dq : (ny, nx) uint32, optional

        Raises
        ------
        ValueError
            If shapes do not fit together.
        """
        ny, nx = weight.shape
        if values.shape != (ny, nx, 1 + self.nvar) or pixmap.shape != (ny, nx, 2) or min(ny, nx) < 2:
            raise ValueError(f"values {values.shape}, weight {weight.shape} and pixmap {pixmap.shape} do not fit")
        if pixfrac < _POINT_BELOW and not kernel.startswith("lanczos"):
            kernel = "point"
        first, last = (0, ny) if rows is None else rows
        reach = _reach(kernel, pixfrac, scale)
        extents, whole = run_extents(weight, pixmap, first, last, kernel == "square", reach)
        span = self._span(whole, columns)
        if span[0] >= span[1] or span[2] >= span[3]:
            return
        plane, bit = divmod(number, CONTEXT_BITS)
        con = self.con[plane] if self.inputs else np.zeros((0, 0), np.int32)
        exact = self.variance == "exact"
        drizzle_bands(
            values,
            weight,
            pixmap,
            np.zeros((0, 0), np.uint32) if dq is None else dq,
            first,
            last,
            np.array([pixfrac, scale, 2.0 if kernel == "lanczos2" else 3.0]),
            KERNELS[kernel],
            extents,
            whole,
            span,
            (int(self.origin[0]), int(self.origin[1])),
            1 if exact else values.shape[2],
            self.totals,
            con,
            np.array([1 << bit], np.uint32).view(np.int32)[0],
            self.dq,
            LINEAR if exact or not self.nvar else FRAME_VARIANCE,
            frame_weight,
        )

    def _span(self, whole: np.ndarray, columns: tuple[int, int] | None) -> tuple[int, int, int, int]:
        """Return the output rows and columns of the window that the frame reaches."""
        low, high = whole[:, 0].min(initial=np.inf), whole[:, 1].max(initial=-np.inf)
        if not low <= high:
            return 0, 0, 0, 0
        (x0, y0), (height, width) = self.origin, self.shape
        rows = np.clip([np.floor(low + 0.5), np.floor(high + 0.5) + 1], y0, y0 + height)
        span = np.clip((x0, x0 + width) if columns is None else columns, x0, x0 + width)
        return int(rows[0]), int(rows[1]), int(span[0]), int(span[1])

    def finish(self, out: dict[str, np.ndarray], *, fillval: float = np.nan, variance_scale: float = 1.0) -> None:
        """Divide the sums and write the results.

        Parameters
        ----------
        out : dict of (ny, nx) float32 ndarrays
            ``data``, ``wht`` and, if variances are carried, ``variances`` (nvar, ny, nx) and ``err``; written to.
        fillval : float
            Value of ``data`` where nothing contributes.
        variance_scale : float
            Factor on the variances.
        """
        none = np.zeros((0, 0), np.float32)
        exact = self.variance == "exact"
        finish_rows(
            self.totals, self.nvar, exact, variance_scale, fillval, out["data"], out["wht"],
            out.get("variances", none[None]), out.get("err", none),
        )  # fmt: skip


def _reach(kernel: str, pixfrac: float, scale: float) -> float:
    """Return how far from the mapped centre a kernel reaches, in output pixels, besides the pixel's own half."""
    if kernel == "turbo":
        return 0.5 * pixfrac / scale + 1.0
    if kernel == "gaussian":
        return max(2.5 * pixfrac / 2.3548, 1.2) / scale + 1.0
    if kernel.startswith("lanczos"):
        return float(kernel[-1]) / scale + 1.0
    return 1.0


def coadd_image(
    sci: np.ndarray, pixmap: np.ndarray, shape: tuple[int, int], *, weight: np.ndarray | None = None, **options
) -> tuple[np.ndarray, np.ndarray]:
    """Drizzle one whole image without variances; the simplest use of :class:`Coadd`.

    Parameters
    ----------
    sci : (ny, nx) ndarray
        Surface brightness; pixels that are NaN are left out.
    pixmap : (ny, nx, 2) ndarray
        Output coordinates of the pixel centres, x first.
    shape : (ny_out, nx_out)
        Size of the output.
    weight : (ny, nx) ndarray, optional
        Default 1.
    **options
        ``kernel``, ``pixfrac``, ``scale`` of :meth:`Coadd.add`; ``fillval`` of :meth:`Coadd.finish`.

    Returns
    -------
    data, wht : (ny_out, nx_out) float32
    """
    fillval = options.pop("fillval", np.nan)
    sci = np.ascontiguousarray(sci, np.float32)
    weight = np.ones(sci.shape, np.float32) if weight is None else np.array(weight, np.float32)
    weight[~np.isfinite(sci)] = 0
    coadd = Coadd(shape)
    coadd.add(sci[..., None], weight, np.ascontiguousarray(pixmap, np.float64), **options)
    out = {"data": np.empty(shape, np.float32), "wht": np.empty(shape, np.float32)}
    coadd.finish(out, fillval=fillval)
    return out["data"], out["wht"]


@njit(parallel=True)
def blot(data, pixmap, x0, y0, out):
    """Interpolate an output-grid image bilinearly at the mapped pixel centres.

    Parameters
    ----------
    data : (ny_out, nx_out) float32
        A window of the output image; NaN spoils the pixels that touch it.
    pixmap : (ny, nx, 2) float64
        Output coordinates of the pixel centres, x first.
    x0, y0 : int
        Output pixel that is the window's first.
    out : (ny, nx) float32
        Written to; NaN outside the window.
    """
    height, width = data.shape
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            x, y = pixmap[j, i, 0] - x0, pixmap[j, i, 1] - y0
            if not (x >= 0.0 and x < width and y >= 0.0 and y < height):
                out[j, i] = np.nan
                continue
            c, r = int(x), int(y)
            u, v = x - c, y - r
            # on the last row or column there is no neighbour: interpolate along the other axis only
            c1, r1 = min(c + 1, width - 1), min(r + 1, height - 1)
            u, v = (0.0 if c1 == c else u), (0.0 if r1 == r else v)
            out[j, i] = (1.0 - v) * ((1.0 - u) * data[r, c] + u * data[r, c1]) + v * (
                (1.0 - u) * data[r1, c] + u * data[r1, c1]
            )


def noise_correlation(pixfrac: float = 1.0, scale: float = 1.0) -> float:
    """Return by how much noise in sums over many pixels exceeds what uncorrelated pixels of the same scatter would give.

    Parameters
    ----------
    pixfrac : float
        Side of the shrunk input pixel, in input pixels.
    scale : float
        Side of an output pixel, in input pixels.

    Returns
    -------
    float
        1 where no pixel is split.

    Notes
    -----
    For many dithers of uniform weight with the square kernel. An ``exact`` error is the scatter of its pixel: errors of
    apertures are larger than their quadratic sum by this factor. An ``official`` error already contains it.

    Source: Casertano et al. 2000, AJ 120, 2747, appendix A.
    """
    ratio = pixfrac / scale
    return ratio / (1 - 1 / (3 * ratio)) if ratio >= 1 else 1 / (1 - ratio / 3)
