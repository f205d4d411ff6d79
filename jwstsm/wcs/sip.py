"""SIP approximation of the world coordinates in the FITS header.

Programs that do not read the ``ASDF`` extension see a tangent-plane WCS with polynomials of the lowest degree that is
good to a hundredth of a pixel, forward and backward.

Source: Shupe et al. (2005), ASP Conf. 347, 491 for the SIP convention; sampling, choice of the degree and keywords as
the official ``assign_wcs``.
"""

from __future__ import annotations

import logging
import re
from typing import NamedTuple

import numpy as np

from jwstsm.wcs.sky import tangent_from_sky

__all__ = ["SipFit", "fit_sip", "sip_cards", "update_header"]

log = logging.getLogger(__name__)

DEGREES = range(1, 6)

_REPLACED = re.compile(r"(CDELT[12]|PC[12]_[12]|CD[12]_[12]|[AB]P?_(ORDER|DMAX|\d_\d)|SIPMXERR|SIPIVERR|NAXIS\d?)$")


class _Polynomial(NamedTuple):
    """A pair of polynomials without constant term: ``x[i, j]``, ``y[i, j]`` are the factors of u**i v**j."""

    x: np.ndarray
    y: np.ndarray
    error: float

    @property
    def degree(self) -> int:
        """Degree of the polynomials."""
        return len(self.x) - 1

    def __call__(self, u, v):
        return tuple(np.polynomial.polynomial.polyval2d(u, v, c) for c in (self.x, self.y))


class SipFit(NamedTuple):
    """A SIP approximation.

    Attributes
    ----------
    crpix : (float, float)
        Reference pixel [1-based].
    crval : (float, float)
        Its position [deg].
    cd : (2, 2) ndarray
        [deg / pixel].
    a, b : (n, n) ndarray
        Forward polynomials, terms of degree 2 and more [pixel].
    ap, bp : (m, m) ndarray or None
        Inverse polynomials [pixel].
    error, inverse_error : float
        Largest residuals [pixel].
    """

    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: np.ndarray
    a: np.ndarray
    b: np.ndarray
    ap: np.ndarray | None
    bp: np.ndarray | None
    error: float
    inverse_error: float | None


def _fit(degree: int, u, v, x, y) -> _Polynomial:
    """Least-squares polynomials of one degree, without constant term, from (u, v) to (x, y)."""
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i + j]
    # coordinates scaled to order one keep the normal matrix well conditioned
    su, sv = np.abs(u).max(), np.abs(v).max()
    design = np.column_stack([(u / su) ** i * (v / sv) ** j for i, j in powers])
    solution = np.linalg.lstsq(design, np.column_stack([x, y]), rcond=None)[0]
    miss = design @ solution - np.column_stack([x, y])
    tables = np.zeros((2, degree + 1, degree + 1))
    for (i, j), pair in zip(powers, solution, strict=True):
        tables[:, i, j] = pair / (su**i * sv**j)
    return _Polynomial(tables[0], tables[1], float(np.hypot(*miss.T).max()))


def _best_fit(degrees, limit: float, samples, checks) -> _Polynomial:
    """Return the fit of lowest degree whose largest residual is below ``limit``, else the best one.

    ``samples`` and ``checks`` are (u, v, x, y) on the sampling grid and on one twice as dense; the error reported is
    the larger of the two.
    """
    best = None
    for degree in sorted(degrees):
        fit = _fit(degree, *samples)
        if best is not None and fit.error >= best.error:
            break
        best = fit
        if best.error <= limit:
            break
    u, v, x, y = checks
    px, py = best(u, v)
    return best._replace(error=max(best.error, float(np.hypot(px - x, py - y).max())))


def fit_sip(
    wcs,
    *,
    max_pix_error: float = 0.01,
    degree: int | None = None,
    max_inv_pix_error: float | None = 0.01,
    inv_degree: int | None = None,
    npoints: int = 12,
    crpix: tuple[float, float] | None = None,
) -> SipFit:
    """Fit a SIP approximation to world coordinates.

    Parameters
    ----------
    wcs : Wcs
        With a bounding box, over which the fit is made.
    max_pix_error, max_inv_pix_error : float
        Largest error wanted, forward and inverse [pixel]; a value of 0 or None for the second leaves the inverse out.
    degree, inv_degree : int or None
        Degree of the polynomials; None takes the lowest from 1 to 5 that is good enough.
    npoints : int
        Points along each axis.
    crpix : (float, float) or None
        Reference pixel [1-based]; None takes the centre of the bounding box.

    Returns
    -------
    SipFit
    """
    box = np.array(wcs.bounding_box)
    zero = np.round(box.mean(axis=1), 1) if crpix is None else np.array(crpix) - 1.0
    crval = wcs(*zero, with_bounding_box=False)

    def sampled(n: int):
        lines = [np.linspace(a, b, n) - c for (a, b), c in zip(box, zero, strict=True)]
        u, v = (g.ravel() for g in np.meshgrid(*lines))
        return u, v, *plane(u, v)

    def plane(u, v):
        sky = wcs(u + zero[0], v + zero[1], with_bounding_box=False)
        return tuple(np.rad2deg(p) for p in tangent_from_sky(*sky, *crval))

    samples, checks = sampled(npoints), sampled(2 * npoints)
    at_zero, right, up = np.transpose(plane(np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])))
    plate_scale = np.sqrt(abs(np.linalg.det(np.column_stack([right - at_zero, up - at_zero]))))
    degrees = DEGREES if degree is None else [degree]
    forward = _best_fit(degrees, max_pix_error * plate_scale, samples, checks)
    if degree is None and forward.error > max_pix_error * plate_scale:
        log.warning("the SIP approximation reaches %.3g pixel only", forward.error / plate_scale)
    cd = np.array([[p[1, 0], p[0, 1]] for p in (forward.x, forward.y)])
    to_pixel = np.linalg.inv(cd)
    a, b = np.tensordot(to_pixel, np.stack([forward.x, forward.y]), axes=1)
    for table in (a, b):
        table[0, 1] = table[1, 0] = 0.0
    inverse = None
    if max_inv_pix_error:
        rows = []
        for u, v, x, y in (samples, checks):
            up_, vp = to_pixel @ np.stack([x, y])
            rows.append((up_, vp, u - up_, v - vp))
        inverse = _best_fit(DEGREES if inv_degree is None else [inv_degree], max_inv_pix_error, *rows)
    return SipFit(
        (float(zero[0] + 1), float(zero[1] + 1)),
        crval,
        cd,
        a,
        b,
        inverse.x if inverse else None,
        inverse.y if inverse else None,
        float(forward.error / plate_scale),
        inverse.error if inverse else None,
    )


def sip_cards(fit: SipFit, name: str = "world") -> list[tuple]:
    """Return the header cards ``(keyword, value, comment)`` of an approximation."""
    nonlinear = len(fit.a) > 2
    kind = "-SIP" if nonlinear else ""
    cards: list[tuple] = [
        ("WCSAXES", 2, "number of world coordinate axes"),
        ("WCSNAME", name, "name of the world coordinates"),
        *[(f"CRPIX{i + 1}", fit.crpix[i], f"[pixel] axis {i + 1} of the reference pixel") for i in range(2)],
        *[(f"CRVAL{i + 1}", fit.crval[i], f"[deg] axis {i + 1} at the reference pixel") for i in range(2)],
        ("CTYPE1", f"RA---TAN{kind}", "first axis coordinate type"),
        ("CTYPE2", f"DEC--TAN{kind}", "second axis coordinate type"),
        *[(f"CUNIT{i}", "deg", f"axis {i} units") for i in (1, 2)],
        *[(f"CD{i + 1}_{j + 1}", fit.cd[i, j], "linear transformation matrix element") for i in range(2) for j in range(2)],
        ("LONPOLE", 180.0, "[deg] native longitude of celestial pole"),
        ("LATPOLE", fit.crval[1], "[deg] native latitude of celestial pole"),
        ("RADESYS", "ICRS", "reference frame of the coordinates"),
    ]
    pairs = [("A", "B", fit.a, fit.b, 2)] if nonlinear else []
    if nonlinear and fit.ap is not None:
        pairs.append(("AP", "BP", fit.ap, fit.bp, 1))
    for first, second, *tables, lowest in pairs:
        size = len(tables[0])
        for word, table in zip((first, second), tables, strict=True):
            cards.append((f"{word}_ORDER", size - 1, "polynomial degree"))
            cards += [
                (f"{word}_{i}_{j}", table[i, j], "SIP coefficient")
                for i in range(size)
                for j in range(size - i)
                if i + j >= lowest
            ]
    cards.append(("SIPMXERR", fit.error, "[pixel] largest error of the fit"))
    if nonlinear and fit.inverse_error is not None:
        cards.append(("SIPIVERR", fit.inverse_error, "[pixel] largest error of its inverse"))
    return [(k, float(v) if isinstance(v, np.floating) else v, c) for k, v, c in cards]


def update_header(header, cards: list[tuple]) -> None:
    """Replace the linear and SIP keywords of a header by ``cards``."""
    for keyword in [k for k in header if _REPLACED.match(k)]:
        header.remove(keyword, remove_all=True, ignore_missing=True)
    for keyword, value, comment in cards:
        header[keyword] = (value, comment)
