"""Coordinate transforms: small numeric objects, each with its inverse.

They are the building blocks of the world coordinates of a detector and have the meaning of the ASDF transform schemas
of the same names. A transform is called with as many arrays as it has inputs and returns a tuple of arrays. Those
that live on the sphere are in :mod:`jwstsm.wcs.sphere`. Objects are not changed once they are made.

Source: ASDF transform schemas.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np

__all__ = [
    "Affine",
    "Arithmetic",
    "Compose",
    "Concatenate",
    "Const1D",
    "Identity",
    "Mapping",
    "NoInverse",
    "Polynomial1D",
    "Polynomial2D",
    "Scale",
    "Shift",
    "Transform",
    "chain",
    "parallel",
]


class NoInverse(Exception):
    """A transform has neither an analytic inverse nor one given with it."""


class Transform:
    """Base of the transforms.

    Attributes
    ----------
    n_inputs, n_outputs : int
    name : str or None
    inputs, outputs : tuple of str or None
        Names of the axes, where the file that it came from gives them.
    given_inverse : Transform or None
        An inverse stored with the transform; it takes precedence over the analytic one.
    box : tuple of (float, float) or None
        Range of each input in which the transform is meant to be used (the bounding box).
    raw_box : object
        A bounding box of a form that is not known, as it came.
    """

    n_inputs = 1
    n_outputs = 1
    name: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    given_inverse: Transform | None = None
    box: tuple[tuple[float, float], ...] | None = None
    raw_box: Any = None

    def __call__(self, *args):
        """Evaluate; return a tuple of arrays."""
        return self._evaluate(*args)

    def _evaluate(self, *args):
        raise NotImplementedError

    @property
    def inverse(self) -> Transform:
        """The inverse transform.

        Raises
        ------
        NoInverse
            If there is none.
        """
        return self.given_inverse if self.given_inverse is not None else self._analytic_inverse()

    def _analytic_inverse(self) -> Transform:
        raise NoInverse(type(self).__name__)

    def named(self, name: str | None) -> Transform:
        """Give the transform a name and return it."""
        self.name = name
        return self

    def with_inverse(self, inverse: Transform | None) -> Transform:
        """Give the transform an inverse and return it."""
        self.given_inverse = inverse
        return self


class Shift(Transform):
    """x + offset."""

    def __init__(self, offset: float):
        self.offset = float(offset)

    def _evaluate(self, x):
        return (np.asarray(x) + self.offset,)

    def _analytic_inverse(self):
        return Shift(-self.offset)


class Scale(Transform):
    """x * factor."""

    def __init__(self, factor: float):
        self.factor = float(factor)

    def _evaluate(self, x):
        return (np.asarray(x) * self.factor,)

    def _analytic_inverse(self):
        if self.factor == 0:
            raise NoInverse("Scale by 0")
        return Scale(1 / self.factor)


class Const1D(Transform):
    """A constant in place of the input."""

    def __init__(self, value: float):
        self.value = float(value)

    def _evaluate(self, x):
        return (np.full(np.shape(x), self.value),)


class Identity(Transform):
    """All inputs, unchanged."""

    def __init__(self, n: int = 1):
        self.n_inputs = self.n_outputs = int(n)

    def _evaluate(self, *args):
        return args

    def _analytic_inverse(self):
        return Identity(self.n_inputs)


class Mapping(Transform):
    """Outputs picked from the inputs by position; inputs may be repeated, reordered or dropped."""

    def __init__(self, mapping, n_inputs: int | None = None):
        self.mapping = tuple(int(m) for m in mapping)
        self.n_inputs = int(n_inputs) if n_inputs else max(self.mapping) + 1
        self.n_outputs = len(self.mapping)

    def _evaluate(self, *args):
        return tuple(args[m] for m in self.mapping)

    def _analytic_inverse(self):
        if set(self.mapping) != set(range(self.n_inputs)):
            raise NoInverse("Mapping that drops an input")
        return Mapping([self.mapping.index(i) for i in range(self.n_inputs)], self.n_outputs)


def _windowed(x, domain, window):
    """Map the domain of a polynomial to its window (both default to no change)."""
    if domain is None and window is None:
        return np.asarray(x, dtype=np.float64)
    (d0, d1), (w0, w1) = domain or (-1, 1), window or (-1, 1)
    if (d0, d1) == (w0, w1):
        return np.asarray(x, dtype=np.float64)
    scale = (w1 - w0) / (d1 - d0)
    return (w0 * d1 - w1 * d0) / (d1 - d0) + scale * np.asarray(x)


class Polynomial1D(Transform):
    """Sum of c[i] x**i."""

    def __init__(self, coefficients, domain=None, window=None):
        self.coefficients = np.array(coefficients, dtype=np.float64)
        self.domain, self.window = domain, window

    def _evaluate(self, x):
        x = _windowed(x, self.domain, self.window)
        out = np.full(x.shape, self.coefficients[-1])
        for c in self.coefficients[-2::-1]:
            out = out * x + c
        return (out,)

    def _analytic_inverse(self):
        if self.coefficients.size != 2 or self.domain or self.window or self.coefficients[1] == 0:
            raise NoInverse("Polynomial1D that is not a straight line")
        c0, c1 = self.coefficients
        return Polynomial1D([-c0 / c1, 1 / c1])


class Polynomial2D(Transform):
    """Sum of c[i, j] x**i y**j over i + j <= degree."""

    n_inputs = 2

    def __init__(self, coefficients, domain=(None, None), window=(None, None)):
        self.coefficients = np.array(coefficients, dtype=np.float64)
        self.domain, self.window = tuple(domain), tuple(window)

    def _evaluate(self, x, y):
        x, y = (_windowed(v, d, w) for v, d, w in zip((x, y), self.domain, self.window, strict=True))
        x, y = np.broadcast_arrays(x, y)
        size = len(self.coefficients)
        out = np.zeros(x.shape)
        for i in range(size - 1, -1, -1):
            row = np.full(x.shape, self.coefficients[i, size - 1 - i])
            for j in range(size - 2 - i, -1, -1):
                row = row * y + self.coefficients[i, j]
            out = out * x + row
        return (out,)


class Affine(Transform):
    """Matrix times (x, y), plus a translation."""

    n_inputs = n_outputs = 2

    def __init__(self, matrix, translation=(0.0, 0.0)):
        self.matrix = np.array(matrix, dtype=np.float64).reshape(2, 2)
        self.translation = np.array(translation, dtype=np.float64).reshape(2)

    def _evaluate(self, x, y):
        x, y = np.asarray(x), np.asarray(y)
        (a, b), (c, d) = self.matrix
        return a * x + b * y + self.translation[0], c * x + d * y + self.translation[1]

    def _analytic_inverse(self):
        if np.linalg.det(self.matrix) == 0:
            raise NoInverse("Affine with a singular matrix")
        matrix = np.linalg.inv(self.matrix)
        return Affine(matrix, -matrix @ self.translation)


class Compose(Transform):
    """First ``left``, then ``right`` on its outputs."""

    def __init__(self, left: Transform, right: Transform):
        self.left, self.right = left, right

    @property
    def n_inputs(self):  # noqa: D102
        return self.left.n_inputs

    @property
    def n_outputs(self):  # noqa: D102
        return self.right.n_outputs

    def _evaluate(self, *args):
        return self.right(*self.left(*args))

    def _analytic_inverse(self):
        return Compose(self.right.inverse, self.left.inverse)


class Concatenate(Transform):
    """``left`` on the first inputs and ``right`` on the others, side by side."""

    def __init__(self, left: Transform, right: Transform):
        self.left, self.right = left, right

    @property
    def n_inputs(self):  # noqa: D102
        return self.left.n_inputs + self.right.n_inputs

    @property
    def n_outputs(self):  # noqa: D102
        return self.left.n_outputs + self.right.n_outputs

    def _evaluate(self, *args):
        return (*self.left(*args[: self.left.n_inputs]), *self.right(*args[self.left.n_inputs :]))

    def _analytic_inverse(self):
        return Concatenate(self.left.inverse, self.right.inverse)


class Arithmetic(Transform):
    """``left`` + - * / ** ``right``, both on the same inputs, output by output."""

    OPERATIONS: ClassVar = {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "divide": np.divide,
        "power": np.power,
    }

    def __init__(self, operation: str, left: Transform, right: Transform):
        self.operation, self.left, self.right = operation, left, right

    @property
    def n_inputs(self):  # noqa: D102
        return self.left.n_inputs

    @property
    def n_outputs(self):  # noqa: D102
        return self.left.n_outputs

    def _evaluate(self, *args):
        function: Any = self.OPERATIONS[self.operation]
        return tuple(function(a, b) for a, b in zip(self.left(*args), self.right(*args), strict=True))


def chain(*parts: Transform) -> Transform:
    """Compose transforms, the first one applied first."""
    return functools.reduce(Compose, parts)


def parallel(*parts: Transform) -> Transform:
    """Put transforms side by side."""
    return functools.reduce(Concatenate, parts)
