"""Every transform against astropy's model of the same meaning, and against its own inverse."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.wcs import sphere
from jwstsm.wcs import transforms as t

RNG = np.random.default_rng(3)
X, Y, Z = RNG.uniform(-1, 1, (3, 40))


def coefficients(degree: int) -> np.ndarray:
    """Return a table of c[i, j] for i + j <= degree."""
    table = RNG.normal(size=(degree + 1, degree + 1))
    return np.where(np.add.outer(np.arange(degree + 1), np.arange(degree + 1)) <= degree, table, 0.0)


def pairs():
    """Yield (name, our transform, the function that makes astropy's, inputs)."""
    table = coefficients(5)

    def polynomial(m, **options):
        names = {f"c{i}_{j}": table[i, j] for i in range(6) for j in range(6 - i)}
        return m.Polynomial2D(5, **names, **options)

    yield "shift", t.Shift(2.5), lambda m: m.Shift(2.5), (X,)
    yield "scale", t.Scale(-0.3), lambda m: m.Scale(-0.3), (X,)
    yield "constant", t.Const1D(4.0), lambda m: m.Const1D(4.0), (X,)
    yield "mapping", t.Mapping((1, 0, 1), 3), lambda m: m.Mapping((1, 0, 1), n_inputs=3), (X, Y, Z)
    yield "polynomial 1", t.Polynomial1D([1, 2, 3]), lambda m: m.Polynomial1D(2, c0=1, c1=2, c2=3), (X,)
    yield (
        "polynomial 1 in a window",
        t.Polynomial1D([1, 2, 3], (0, 5), (-1, 2)),
        lambda m: m.Polynomial1D(2, c0=1, c1=2, c2=3, domain=(0, 5), window=(-1, 2)),
        (X,),
    )
    yield "polynomial 2", t.Polynomial2D(table), polynomial, (X, Y)
    yield (
        "polynomial 2 in a window",
        t.Polynomial2D(table, ((-1, 3), None), (None, (-2, 2))),
        lambda m: polynomial(m, x_domain=(-1, 3), y_window=(-2, 2)),
        (X, Y),
    )
    matrix, move = [[1.0, 0.2], [-0.1, 0.9]], [3.0, -4.0]
    yield "affine", t.Affine(matrix, move), lambda m: m.AffineTransformation2D(matrix, move), (X, Y)
    yield "tangent", sphere.Tangent(), lambda m: m.Pix2Sky_TAN(), (X, Y)
    yield "tangent back", sphere.Tangent(False), lambda m: m.Sky2Pix_TAN(), (180 * X, 80 + 9 * Y)
    for lon, lat, pole in ((10.0, -70.0, 180.0), (359.0, 40.0, 12.0)):
        args = (170 * X, 45 + 40 * Y)
        yield (
            "to sky",
            sphere.SkyRotation(lon, lat, pole),
            lambda m, p=(lon, lat, pole): m.RotateNative2Celestial(*p),
            args,
        )
        yield (
            "from sky",
            sphere.SkyRotation(lon, lat, pole, False),
            lambda m, p=(lon, lat, pole): m.RotateCelestial2Native(*p),
            args,
        )
    angles = [-0.08, 0.19, 30.0, -70.0, -80.0]
    yield (
        "rotations",
        sphere.RotationSequence(angles, "zyxyz"),
        lambda m: m.RotationSequence3D(angles, "zyxyz"),
        (X, Y, Z),
    )
    yield (
        "quotient",
        t.Arithmetic("divide", t.Mapping((0, 1)), t.Mapping((1, 1), 2)),
        lambda m: m.Mapping((0, 1)) / m.Mapping((1, 1), n_inputs=2),
        (X, 2 + Y),
    )


CASES = list(pairs())


def assert_same(name: str, got, expected, **tolerance) -> None:
    """Compare outputs; a longitude may differ by whole turns."""
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        turn = 360.0 if "sky" in name and k == 0 else np.inf
        apart = np.abs(a - b)
        apart = np.minimum(apart, np.abs(apart - turn)) if np.isfinite(turn) else apart
        assert np.all(apart <= tolerance["atol"] + tolerance.get("rtol", 0) * np.abs(b)), f"{name}: {apart.max()}"


@pytest.mark.parametrize(("name", "ours", "theirs", "args"), CASES, ids=[c[0] for c in CASES])
def test_a_transform_gives_what_astropy_gives(name, ours, theirs, args):
    from astropy.modeling import models

    expected = theirs(models)(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    got = ours(*args)
    assert len(got) == len(expected) == ours.n_outputs
    assert_same(name, got, expected, rtol=1e-12, atol=1e-11)


def test_directions_and_angles_are_those_of_gwcs():
    from gwcs import geometry

    lon, lat = 180 + 179 * X, 89 * Y
    vector = sphere.SphericalToCartesian()(lon, lat)
    for a, b in zip(vector, geometry.SphericalToCartesian()(lon, lat), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-15)
    for wrap in (180, 360):
        got = sphere.CartesianToSpherical(wrap)(*vector)
        for a, b in zip(got, geometry.CartesianToSpherical(wrap_lon_at=wrap)(*vector), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(
    "transform",
    [
        t.Shift(3.0),
        t.Scale(0.25),
        t.Identity(2),
        t.Mapping((1, 0)),
        t.Polynomial1D([2.0, -3.0]),
        t.Affine([[1.0, 0.2], [-0.1, 0.9]], [3.0, -4.0]),
        sphere.RotationSequence([10.0, 20.0, 30.0], "zyx"),
        sphere.FitsImaging((100.0, 200.5), (80.0, -70.0), (1e-5, 1e-5), [[-0.8, 0.6], [0.6, 0.8]]),
        t.chain(t.parallel(t.Shift(1.0), t.Scale(2.0)), t.Mapping((1, 0)), t.Affine([[0.0, 1.0], [2.0, 0.0]])),
    ],
)
def test_the_inverse_undoes_the_transform(transform):
    args = (X, Y, Z)[: transform.n_inputs]
    for a, b in zip(transform.inverse(*transform(*args)), args, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_a_given_inverse_takes_the_place_of_the_analytic_one():
    given = t.Shift(7.0)
    assert t.Shift(1.0).with_inverse(given).inverse is given


@pytest.mark.parametrize(
    "transform",
    [
        t.Polynomial2D(coefficients(2)),
        t.Mapping((0,), 2),
        t.Scale(0.0),
        t.Polynomial1D([1, 2, 3]),
        t.Affine([[1, 1], [1, 1]]),
    ],
)
def test_a_transform_without_an_inverse_says_so(transform):
    with pytest.raises(t.NoInverse):
        _ = transform.inverse


def test_the_half_of_the_sky_behind_the_observer_has_no_image():
    x, _ = sphere.Tangent(False)(np.array([0.0, 0.0]), np.array([10.0, -10.0]))
    assert np.isfinite(x[0])
    assert np.isnan(x[1])
