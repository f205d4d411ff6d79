"""World coordinates of a detector: a chain of named frames joined by transforms.

:class:`Wcs` has the calls of a ``gwcs.wcs.WCS`` that imaging needs and is stored in the same form, the gwcs schema of
the ``ASDF`` extension, but needs neither ``gwcs`` nor ``asdf`` to be imported: reading, evaluating and writing take
milliseconds. :meth:`Wcs.to_gwcs` gives the other kind of object to those who want it, :func:`as_wcs` takes either.

Pixels are 0-based with integer values at pixel centres, x first. V2, V3 are in arcsec, sky coordinates in degrees.
"""

from __future__ import annotations

import copy
import io
from typing import Any, NamedTuple

import numpy as np

from jwstsm.errors import InputError
from jwstsm.wcs import asdftext, codec
from jwstsm.wcs.asdftext import PREFIX, Tagged
from jwstsm.wcs.transforms import Identity, NoInverse, Transform, chain

__all__ = ["Frame", "Step", "Wcs", "as_wcs", "detector_frame", "frame2d", "plane_frame", "sky_frame"]

_GWCS = "tag:stsci.edu:gwcs/"
_ICRS = "tag:astropy.org:astropy/coordinates/frames/icrs-1.1.0"


class Frame(NamedTuple):
    """A coordinate frame: its name and the tree that describes it."""

    name: str
    tree: Any

    @property
    def celestial(self) -> bool:
        """Whether its coordinates are right ascension and declination."""
        return asdftext.tag_name(self.tree) == "gwcs/celestial_frame"

    def renamed(self, name: str) -> Frame:
        """Return the same frame under another name."""
        return Frame(name, Tagged(self.tree.tag, {**self.tree.value, "name": name}))


class Step(NamedTuple):
    """A frame and the transform from it to the next one (None behind the last)."""

    frame: Frame
    transform: Transform | None


def frame2d(name: str, axes: tuple[str, str], unit: str) -> Frame:
    """Return a frame of two axes in a plane."""
    node = {
        "axes_names": list(axes),
        "axes_order": [0, 1],
        "axis_physical_types": [f"custom:{a}" for a in axes],
        "name": name,
        "unit": [Tagged(f"{PREFIX}unit/unit-1.0.0", unit)] * 2,
    }
    return Frame(name, Tagged(f"{_GWCS}frame2d-1.2.0", node))


def detector_frame() -> Frame:
    """Return the frame ``detector``: x, y [pixel]."""
    return frame2d("detector", ("x", "y"), "pixel")


def plane_frame(name: str) -> Frame:
    """Return a frame of the telescope's field such as ``v2v3``: V2, V3 [arcsec]."""
    return frame2d(name, ("v2", "v3"), "arcsec")


def sky_frame() -> Frame:
    """Return the frame ``world``: ICRS right ascension, declination [deg]."""
    node = {
        "axes_names": ["lon", "lat"],
        "axes_order": [0, 1],
        "axis_physical_types": ["pos.eq.ra", "pos.eq.dec"],
        "name": "world",
        "reference_frame": Tagged(_ICRS, {"frame_attributes": {}}),
        "unit": [Tagged(f"{PREFIX}unit/unit-1.0.0", "deg")] * 2,
    }
    return Frame("world", Tagged(f"{_GWCS}celestial_frame-1.2.0", node))


class Wcs:
    """World coordinates.

    Parameters
    ----------
    steps : list of (Frame, Transform or None)
        From the detector to the sky; the transform of the last one is None.
    name : str
    pixel_shape : (int, int), optional
        (nx, ny).
    """

    def __init__(self, steps, name: str = "", pixel_shape=None):
        self.steps = [Step(*s) for s in steps]
        self.name = name
        self.pixel_shape = tuple(int(n) for n in pixel_shape) if pixel_shape is not None else None

    # --- structure

    @property
    def available_frames(self) -> list[str]:
        """Names of the frames, the detector first."""
        return [s.frame.name for s in self.steps]

    @property
    def output_frame(self) -> Frame:
        """The last frame."""
        return self.steps[-1].frame

    @property
    def array_shape(self) -> tuple[int, int] | None:
        """Shape (ny, nx) of the image."""
        return self.pixel_shape[::-1] if self.pixel_shape else None

    @property
    def bounding_box(self) -> tuple[tuple[float, float], ...] | None:
        """Range of pixel coordinates in which the WCS is valid: ``((x0, x1), (y0, y1))``, or None."""
        return self.steps[0].transform.box

    @bounding_box.setter
    def bounding_box(self, box) -> None:
        # the transform may be shared with another WCS, whose box stays
        transform = copy.copy(self.steps[0].transform)
        transform.box = None if box is None else tuple((float(a), float(b)) for a, b in box)
        self.steps[0] = Step(self.steps[0].frame, transform)

    def get_transform(self, start: str, end: str) -> Transform:
        """Return the transform between two frames by name, in either direction."""
        i, j = self._index(start), self._index(end)
        if i == j:
            return Identity(2)
        parts = [s.transform for s in self.steps[min(i, j) : max(i, j)]]
        return chain(*parts) if i < j else chain(*[p.inverse for p in parts[::-1]])

    def _index(self, name: str) -> int:
        try:
            return self.available_frames.index(name)
        except ValueError:
            known = ", ".join(self.available_frames)
            raise InputError(f"the WCS has no frame '{name}'; it has {known}") from None

    def inserted(self, after: str, transform: Transform, frame: Frame) -> Wcs:
        """Return a WCS with a new frame behind ``after``, reached from it by ``transform``."""
        i = self._index(after)
        old = self.steps[i]
        steps = [*self.steps[:i], Step(old.frame, transform), Step(frame, old.transform), *self.steps[i + 1 :]]
        return Wcs(steps, self.name, self.pixel_shape)

    def replaced(self, start: str, transform: Transform) -> Wcs:
        """Return a WCS with another transform behind the frame ``start``."""
        i = self._index(start)
        steps = [*self.steps[:i], Step(self.steps[i].frame, transform), *self.steps[i + 1 :]]
        return Wcs(steps, self.name, self.pixel_shape)

    # --- evaluation

    def __call__(self, *pixel, with_bounding_box: bool = True):
        """Pixel -> world; NaN outside the bounding box unless told not to look at it.

        Parameters
        ----------
        *pixel : float or ndarray
            x, y [pixel, 0-based].
        with_bounding_box : bool

        Returns
        -------
        tuple of float or ndarray
            Right ascension, declination [deg].
        """
        args = np.broadcast_arrays(*[np.asarray(p, dtype=np.float64) for p in pixel])
        out = args
        for step in self.steps[:-1]:
            out = step.transform(*out)
        out = [np.broadcast_to(np.asarray(o), args[0].shape) for o in out]
        if with_bounding_box and self.bounding_box is not None:
            inside = self._inside(args)
            if not inside.all():
                out = [np.where(inside, o, np.nan) for o in out]
        return tuple(float(o) if np.ndim(o) == 0 else np.array(o) for o in out)

    def invert(self, *world, with_bounding_box: bool = True, refine: bool = False):
        """World -> pixel by the inverse transforms, or by iteration where one has no inverse.

        Parameters
        ----------
        *world : float or ndarray
            Right ascension, declination [deg].
        with_bounding_box : bool
            Give NaN for what falls outside the bounding box.
        refine : bool
            Polish with Newton steps until forward and inverse agree to 1e-8 pixel. The inverse polynomials of the
            reference files are good to about 0.02 pixel only.

        Returns
        -------
        tuple of float or ndarray
            x, y [pixel, 0-based].
        """
        args = np.broadcast_arrays(*[np.asarray(w, dtype=np.float64) for w in world])
        try:
            out = args
            for step in self.steps[-2::-1]:
                out = step.transform.inverse(*out)
            start = tuple(np.broadcast_to(np.asarray(o, dtype=np.float64), args[0].shape) for o in out)
        except NoInverse:
            start, refine = None, True
        if refine:
            start = self._newton(args, start)
        if with_bounding_box and self.bounding_box is not None:
            inside = self._inside(start)
            start = [np.where(inside, o, np.nan) for o in start]
        return tuple(float(o) if np.ndim(o) == 0 else np.array(o) for o in start)

    def _inside(self, args) -> np.ndarray:
        inside = np.ones(np.shape(args[0]), bool)
        for a, (low, high) in zip(args, self.bounding_box, strict=True):
            inside &= (a >= low) & (a <= high)
        return inside

    def _newton(self, world, start, steps: int = 20, tolerance: float = 5e-9):
        """Solve for the pixels of sky positions; NaN where the iteration does not settle."""
        target = _vector(*world)
        box = self.bounding_box or ((0.0, 2047.0), (0.0, 2047.0))
        if start is None:
            start = [np.full(np.shape(world[0]), 0.5 * (a + b)) for a, b in box]
        x, y = (np.array(s, dtype=np.float64) for s in start)
        for _ in range(steps):
            here, right, up = (
                _vector(*self(x + dx, y + dy, with_bounding_box=False)) for dx, dy in ((0, 0), (0.5, 0), (0, 0.5))
            )
            ax, ay, miss = 2 * (right - here), 2 * (up - here), target - here
            xx, xy, yy = (np.sum(p * q, axis=0) for p, q in ((ax, ax), (ax, ay), (ay, ay)))
            mx, my = np.sum(miss * ax, axis=0), np.sum(miss * ay, axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                det = xx * yy - xy * xy
                dx, dy = (mx * yy - my * xy) / det, (my * xx - mx * xy) / det
            x, y = x + dx, y + dy
            step = np.hypot(dx, dy)
            if not np.any(step > tolerance):
                break
        bad = ~(step < 1e-6)
        return np.where(bad, np.nan, x), np.where(bad, np.nan, y)

    def pixel_to_world_values(self, *pixel):
        """Pixel -> world, as :meth:`__call__` (name of the common WCS interface)."""
        return self(*pixel)

    def world_to_pixel_values(self, *world):
        """World -> pixel, as :meth:`invert` (name of the common WCS interface)."""
        return self.invert(*world)

    def footprint(self, bounding_box=None) -> np.ndarray:
        """Return the corners on the sky, (4, 2) [deg]: lower left, upper left, upper right, lower right."""
        (x0, x1), (y0, y1) = bounding_box or self.bounding_box
        ra, dec = self(np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0]), with_bounding_box=False)
        return np.stack([ra, dec], axis=1)

    # --- storage

    def to_tree(self) -> Tagged:
        """Return the tree of the gwcs schema."""
        steps = [
            Tagged(
                f"{_GWCS}step-1.3.0",
                {"frame": s.frame.tree, "transform": None if s.transform is None else codec.to_tree(s.transform)},
            )
            for s in self.steps
        ]
        shape = {"pixel_shape": list(self.pixel_shape)} if self.pixel_shape else {"pixel_shape": None}
        return Tagged(f"{_GWCS}wcs-1.4.0", {"name": self.name, **shape, "steps": steps})

    @classmethod
    def from_tree(cls, tree: Tagged) -> Wcs:
        """Make a WCS of the tree of the gwcs schema.

        Raises
        ------
        InputError
            If the tree is not one.
        """
        if asdftext.tag_name(tree) != "gwcs/wcs":
            raise InputError("the tree holds no world coordinates (a node tagged gwcs/wcs)")
        steps = []
        for node in tree.value["steps"]:
            frame, transform = node.value["frame"], node.value.get("transform")
            name = frame if isinstance(frame, str) else frame.value["name"]
            steps.append(Step(Frame(name, frame), None if transform is None else codec.from_tree(transform)))
        return cls(steps, tree.value.get("name") or "", tree.value.get("pixel_shape"))

    def to_gwcs(self):
        """Return the same as a ``gwcs.wcs.WCS`` (imports ``asdf`` and ``gwcs``)."""
        import asdf

        text = asdftext.HEADER + asdftext.dump({"wcs": self.to_tree()}).lstrip("\n") + "\n...\n"
        with asdf.open(io.BytesIO(text.encode()), lazy_load=False, memmap=False) as tree:
            return tree["wcs"]

    @classmethod
    def from_gwcs(cls, wcs) -> Wcs:
        """Make a WCS of a ``gwcs.wcs.WCS``."""
        import asdf

        buffer = io.BytesIO()
        asdf.AsdfFile({"wcs": wcs}).write_to(buffer, all_array_storage="inline")
        return cls.from_tree(asdftext.load(buffer.getvalue())["wcs"])


def as_wcs(wcs) -> Wcs:
    """Return ``wcs`` itself if it is a :class:`Wcs`, else make one of a ``gwcs.wcs.WCS``."""
    return wcs if isinstance(wcs, Wcs) else Wcs.from_gwcs(wcs)


def _vector(lon, lat) -> np.ndarray:
    """Return unit vectors (3, ...) of positions in degrees."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
