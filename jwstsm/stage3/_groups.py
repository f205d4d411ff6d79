"""What is aligned: images with their sources and corrections, and the groups that move together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jwstsm.stage3._fit import Fit, apply_affine
from jwstsm.wcs.correction import Correction, TangentPlane

__all__ = ["Group", "GroupFit", "Image", "make_groups"]


class Image:
    """One image with its sources and its correction so far.

    Parameters
    ----------
    name : str
        File name.
    plane : TangentPlane
        Its tangent plane.
    x, y : ndarray, (n,)
        Sources [pixel from 0].
    bounds : tuple
        ((x0, x1), (y0, y1)) of the image [pixel].
    weight : ndarray, (n,), or None
        Weights of the sources.
    """

    def __init__(self, name: str, plane: TangentPlane, x, y, bounds, weight=None):
        self.name, self.plane, self.weight = name, plane, weight
        self.x, self.y = np.asarray(x, float), np.asarray(y, float)
        self.correction = Correction(*plane.reference)
        self.sources = np.stack(plane.from_pixel(self.x, self.y), axis=1) if self.x.size else np.zeros((0, 2))
        (x0, x1), (y0, y1) = bounds
        self.corners = np.stack(plane.from_pixel(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1])), axis=1)

    def corrected(self, uv: np.ndarray) -> np.ndarray:
        """Return plane positions after the correction so far."""
        return apply_affine(uv, np.array(self.correction.matrix), np.array(self.correction.shift))

    def source_sky(self) -> tuple[np.ndarray, np.ndarray]:
        """Return right ascension and declination of the sources [deg] with the correction so far."""
        return self.plane.to_sky(*self.corrected(self.sources).T) if self.x.size else (np.zeros(0), np.zeros(0))

    def largest_move(self) -> float:
        """Largest displacement of a corner by the correction so far [arcsec]."""
        return float(np.hypot(*(self.corrected(self.corners) - self.corners).T).max())

    def pixel_scale(self) -> float:
        """Side of a pixel at the plane's origin [arcsec]."""
        ra, dec = self.plane.to_sky(np.zeros(1), np.zeros(1))
        x, y = (float(v[0]) for v in self.plane.wcs.invert(ra, dec, with_bounding_box=False))
        if not (math.isfinite(x) and math.isfinite(y)):
            return 1.0
        u, v = self.plane.from_pixel(x + np.array([-0.5, -0.5, 0.5, 0.5]), y + np.array([-0.5, 0.5, 0.5, -0.5]))
        return math.sqrt(abs(float((u * np.roll(v, -1) - np.roll(u, -1) * v).sum())) / 2.0)


@dataclass
class GroupFit:
    """What came of the alignment of one group.

    Attributes
    ----------
    group : str
    stage : {"relative", "absolute"}
    status : str
        ``SUCCESS``, ``REFERENCE``, or ``FAILED: `` and the reason.
    note : str
        What was done differently from the asked-for procedure.
    geometry : str
    matched : int
    fit : Fit or None
        Residuals are in the plane of the group's first image (east, north).
    ra, dec : ndarray
        Reference positions of the matched sources [deg].
    """

    group: str
    stage: str
    status: str
    note: str = ""
    geometry: str = ""
    matched: int = 0
    fit: Fit | None = None
    ra: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dec: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def good(self) -> bool:
        """Whether a correction was found."""
        return self.status == "SUCCESS"

    @property
    def used(self) -> int:
        """Number of pairs in the fit."""
        return 0 if self.fit is None else int(self.fit.used.sum())


@dataclass
class Group:
    """The images of one exposure."""

    name: str
    images: list[Image]

    def __len__(self) -> int:
        return sum(image.x.size for image in self.images)

    def sky(self) -> tuple[np.ndarray, np.ndarray]:
        """Sources of all images with their corrections so far, right ascension and declination [deg]."""
        parts = [image.source_sky() for image in self.images]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def weight(self) -> np.ndarray | None:
        """Weights of all sources, or None."""
        if any(image.weight is None and image.x.size for image in self.images):
            return None
        return np.concatenate([image.weight if image.weight is not None else np.zeros(0) for image in self.images])

    def apply(self, plane: TangentPlane, matrix: np.ndarray, shift: np.ndarray) -> None:
        """Add a correction, given in one plane, to all images."""
        new = Correction(*plane.reference, tuple(map(tuple, matrix.tolist())), tuple(shift.tolist()))
        for image in self.images:
            here = new if image.plane is plane else new.carried(plane, image.plane)
            image.correction = image.correction.then(here)

    def reset(self) -> None:
        """Take all corrections back."""
        for image in self.images:
            image.correction = Correction(*image.plane.reference)


def make_groups(images: Sequence[Image], names: Sequence[str]) -> list[Group]:
    """Gather images by the name of their exposure, in order of first appearance."""
    groups: dict[str, Group] = {}
    for image, name in zip(images, names, strict=True):
        groups.setdefault(name, Group(name, [])).images.append(image)
    return list(groups.values())
