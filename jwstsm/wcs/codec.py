"""Transforms to and from the tagged trees of ASDF files.

One table row per tag. A transform whose tag is not in the table (spectrographs have some of their own) is kept as it
came and evaluated through the ``asdf`` package, so that every WCS can be read, used and written again.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np

from jwstsm.wcs import sphere
from jwstsm.wcs import transforms as t
from jwstsm.wcs.asdftext import HEADER, PREFIX, Tagged, dump, tag_name

__all__ = ["Opaque", "from_tree", "to_tree"]

GWCS = "tag:stsci.edu:gwcs/"
JWST = "tag:stsci.edu:jwst_pipeline/"


class Opaque(t.Transform):
    """A transform of a kind that is not known here: its tree, and the model that ``asdf`` makes of it when asked."""

    def __init__(self, tree: Tagged, model=None):
        self.tree = tree
        if model is not None:
            self.model = model

    @functools.cached_property
    def model(self):
        """The live model (importing ``asdf`` and what its extensions need)."""
        import asdf

        text = HEADER + dump({"transform": self.tree}).lstrip("\n") + "\n...\n"
        with asdf.open(io.BytesIO(text.encode()), lazy_load=False, memmap=False) as tree:
            return tree["transform"]

    @property
    def n_inputs(self):  # noqa: D102
        return self.model.n_inputs

    @property
    def n_outputs(self):  # noqa: D102
        return self.model.n_outputs

    def _evaluate(self, *args):
        out = self.model(*args)
        return out if isinstance(out, tuple) else (out,)

    @property
    def inverse(self):  # noqa: D102
        try:
            return Opaque(Tagged("", None), self.model.inverse)
        except NotImplementedError:
            raise t.NoInverse(self.tree.tag) from None


def _array(value) -> np.ndarray:
    return np.asarray(value.value if isinstance(value, Tagged) else value)


def _intervals(value) -> tuple | None:
    """Return (low, high), or None for the default of no mapping."""
    return None if value is None else tuple(float(v) for v in _array(value))


def _read_polynomial(node: dict, tag: str) -> t.Transform:
    coefficients = _array(node["coefficients"])
    # a "domain" before version 1.2 of the schema meant something else and had no effect
    version = tuple(int(v) for v in tag.rsplit("-", 1)[1].split("."))
    domain, window = (node.get("domain"), node.get("window")) if version >= (1, 2, 0) else (None, None)
    if coefficients.ndim == 1:
        return t.Polynomial1D(coefficients, _intervals(domain), _intervals(window))
    both = [tuple(_intervals(v) for v in (pair or (None, None))) for pair in (domain, window)]
    return t.Polynomial2D(coefficients, *both)


def _read_rotate3d(node: dict, _tag: str) -> t.Transform:
    directions = {"native2celestial": True, "celestial2native": False}
    return sphere.SkyRotation(node["phi"], node["theta"], node["psi"], directions[node["direction"]])


def _read_sequence(node: dict, _tag: str) -> t.Transform:
    if node["rotation_type"] == "cartesian":
        return sphere.RotationSequence(node["angles"], node["axes_order"])
    raise KeyError("spherical")


def _read_rotate2d(node: dict, _tag: str) -> t.Transform:
    angle = np.deg2rad(float(_array(node["angle"])))
    return t.Affine([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _read_constant(node: dict, _tag: str) -> t.Transform:
    if node.get("dimensions", 1) != 1:
        raise KeyError("dimensions")
    return t.Const1D(node["value"])


def _read_sphere(node: dict, _tag: str) -> t.Transform:
    kinds = {
        "spherical_to_cartesian": sphere.SphericalToCartesian,
        "cartesian_to_spherical": sphere.CartesianToSpherical,
    }
    return kinds[node["transform_type"]](node.get("wrap_lon_at", 360))


def _read_imaging(node: dict, _tag: str) -> t.Transform:
    if tag_name(node["projection"]) != "transform/gnomonic":
        raise KeyError("projection")
    return sphere.FitsImaging(*(_array(node[k]) for k in ("crpix", "crval", "cdelt", "pc")))


def _read_cosines(node: dict, _tag: str) -> t.Transform:
    kinds = {
        "unitless2directional": sphere.PlaneToCosines,
        "to_dircos": sphere.PlaneToCosines,
        "directional2unitless": sphere.CosinesToPlane,
        "from_dircos": sphere.CosinesToPlane,
    }
    return kinds[node["model_type"]]()


def _pair(make: Callable) -> Callable:
    return lambda node, tag: make(from_tree(node["forward"][0]), from_tree(node["forward"][1]))


_READERS: dict[str, Callable[[dict, str], t.Transform]] = {
    "transform/shift": lambda node, tag: t.Shift(node["offset"]),
    "transform/scale": lambda node, tag: t.Scale(node["factor"]),
    "transform/multiplyscale": lambda node, tag: t.Scale(node["factor"]),
    "transform/identity": lambda node, tag: t.Identity(node.get("n_dims", 1)),
    "transform/remap_axes": lambda node, tag: t.Mapping(node["mapping"], node.get("n_inputs")),
    "transform/polynomial": _read_polynomial,
    "transform/affine": lambda node, tag: t.Affine(_array(node["matrix"]), _array(node["translation"])),
    "transform/constant": _read_constant,
    "transform/rotate2d": _read_rotate2d,
    "transform/rotate3d": _read_rotate3d,
    "transform/rotate_sequence_3d": _read_sequence,
    "transform/gnomonic": lambda node, tag: sphere.Tangent(node["direction"] == "pix2sky"),
    "jwst_pipeline/coords": _read_cosines,
    "jwst_pipeline/rotation_sequence": lambda node, tag: sphere.WheelRotation(_array(node["angles"]), node["axes_order"]),
    "gwcs/spherical_cartesian": _read_sphere,
    "gwcs/fitswcs_imaging": _read_imaging,
    "transform/compose": _pair(t.Compose),
    "transform/concatenate": _pair(t.Concatenate),
    **{
        f"transform/{name}": _pair(functools.partial(t.Arithmetic, name))
        for name in ("add", "subtract", "multiply", "divide", "power")
    },
}


def from_tree(tree: Tagged) -> t.Transform:
    """Return the transform that a tagged tree describes."""
    node = tree.value
    try:
        made = _READERS[tag_name(tree)](node, tree.tag)
    except (KeyError, TypeError, ValueError):
        return Opaque(tree)
    made.name = node.get("name")
    for side in ("inputs", "outputs"):
        if side in node:
            setattr(made, side, tuple(node[side]))
    if "inverse" in node:
        made.given_inverse = from_tree(node["inverse"])
    if "bounding_box" in node:
        made.box = _read_box(node["bounding_box"], made)
        # a form that only spectrographs use is carried along
        made.raw_box = None if made.box else node["bounding_box"]
    return made


def _read_box(box, transform: t.Transform) -> tuple | None:
    """Return the range of each input in the order of the inputs."""
    if isinstance(box, list):
        # the older form: the last axis first
        rows = [box] if not isinstance(box[0], (list, tuple)) else box[::-1]
        return tuple((float(_array(a)), float(_array(b))) for a, b in rows)
    if tag_name(box) != "transform/property/bounding_box":
        return None
    intervals = box.value["intervals"]
    names = transform.inputs or tuple(intervals)
    if set(names) != set(intervals):
        return None
    return tuple((float(intervals[n][0]), float(intervals[n][1])) for n in names)


def _polynomial_tree(p) -> dict:
    out = {"coefficients": p.coefficients}
    for key in ("domain", "window"):
        value = getattr(p, key)
        if value not in (None, (None, None)):
            missing = [-1.0, 1.0]
            both = isinstance(p, t.Polynomial2D)
            out[key] = [list(v) if v else missing for v in value] if both else list(value)
    return out


def _imaging_tree(f: sphere.FitsImaging) -> dict:
    projection = sphere.Tangent()
    projection.inputs, projection.outputs = ("x", "y"), ("phi", "theta")
    return {"crpix": f.crpix, "crval": f.crval, "cdelt": f.cdelt, "pc": f.pc, "projection": to_tree(projection)}


def _two(p) -> dict:
    return {"forward": [to_tree(p.left), to_tree(p.right)]}


# class -> (tag with the version written, what goes into the node)
_WRITERS: dict[type, tuple[str, Callable]] = {
    t.Shift: (f"{PREFIX}transform/shift-1.4.0", lambda p: {"offset": p.offset}),
    t.Scale: (f"{PREFIX}transform/scale-1.4.0", lambda p: {"factor": p.factor}),
    t.Const1D: (f"{PREFIX}transform/constant-1.6.0", lambda p: {"dimensions": 1, "value": p.value}),
    t.Identity: (f"{PREFIX}transform/identity-1.4.0", lambda p: {"n_dims": p.n_inputs} if p.n_inputs > 1 else {}),
    t.Mapping: (
        f"{PREFIX}transform/remap_axes-1.5.0",
        lambda p: {"mapping": list(p.mapping), **({"n_inputs": p.n_inputs} if p.n_inputs > max(p.mapping) + 1 else {})},
    ),
    t.Polynomial1D: (f"{PREFIX}transform/polynomial-1.3.0", _polynomial_tree),
    t.Polynomial2D: (f"{PREFIX}transform/polynomial-1.3.0", _polynomial_tree),
    t.Affine: (f"{PREFIX}transform/affine-1.5.0", lambda p: {"matrix": p.matrix, "translation": p.translation}),
    sphere.SkyRotation: (
        f"{PREFIX}transform/rotate3d-1.5.0",
        lambda p: {
            "phi": p.lon,
            "theta": p.lat,
            "psi": p.lon_pole,
            "direction": "native2celestial" if p.to_sky else "celestial2native",
        },
    ),
    sphere.RotationSequence: (
        f"{PREFIX}transform/rotate_sequence_3d-1.2.0",
        lambda p: {"angles": p.angles, "axes_order": p.axes_order, "rotation_type": "cartesian"},
    ),
    sphere.Tangent: (
        f"{PREFIX}transform/gnomonic-1.4.0",
        lambda p: {"direction": "pix2sky" if p.to_sky else "sky2pix"},
    ),
    sphere.SphericalToCartesian: (
        f"{GWCS}spherical_cartesian-1.3.0",
        lambda p: {"transform_type": "spherical_to_cartesian", "wrap_lon_at": p.wrap_lon_at},
    ),
    sphere.CartesianToSpherical: (
        f"{GWCS}spherical_cartesian-1.3.0",
        lambda p: {"transform_type": "cartesian_to_spherical", "wrap_lon_at": p.wrap_lon_at},
    ),
    sphere.WheelRotation: (
        f"{JWST}rotation_sequence-1.0.0",
        lambda p: {"angles": p.angles, "axes_order": p.axes_order},
    ),
    sphere.PlaneToCosines: (f"{JWST}coords-1.0.0", lambda p: {"model_type": "unitless2directional"}),
    sphere.CosinesToPlane: (f"{JWST}coords-1.0.0", lambda p: {"model_type": "directional2unitless"}),
    sphere.FitsImaging: (f"{GWCS}fitswcs_imaging-1.0.0", _imaging_tree),
    t.Compose: (f"{PREFIX}transform/compose-1.4.0", _two),
    t.Concatenate: (f"{PREFIX}transform/concatenate-1.4.0", _two),
}


def to_tree(transform: t.Transform) -> Tagged:
    """Return a transform as a tagged tree, with the versions of the tags that the current archive products have."""
    if isinstance(transform, Opaque):
        return transform.tree
    if isinstance(transform, t.Arithmetic):
        tag, node = f"{PREFIX}transform/{transform.operation}-1.4.0", _two(transform)
    else:
        tag, write = _WRITERS[type(transform)]
        node = write(transform)
    if transform.name is not None:
        node["name"] = transform.name
    inputs = transform.inputs
    if transform.box is not None:
        inputs = inputs or ("x", "y", "z", "w")[: transform.n_inputs]
        node["bounding_box"] = Tagged(
            f"{PREFIX}transform/property/bounding_box-1.2.0",
            {"ignore": [], "intervals": {n: list(b) for n, b in zip(inputs, transform.box, strict=True)}, "order": "F"},
        )
    elif transform.raw_box is not None:
        node["bounding_box"] = transform.raw_box
    if inputs:
        node["inputs"] = list(inputs)
    if transform.outputs:
        node["outputs"] = list(transform.outputs)
    if transform.given_inverse is not None:
        node["inverse"] = to_tree(transform.given_inverse)
    return Tagged(tag, node)
