"""Fits between matched positions: exact on exact data, right under weights and outliers."""

from __future__ import annotations

import numpy as np
import pytest

from jwstsm.stage3._fit import apply_affine, fit_affine, fit_clipped

TURN = np.radians(0.3)
MATRICES = {
    "shift": np.eye(2),
    "rshift": np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]]),
    "rscale": 1.0004 * np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]]),
    "general": np.array([[1.001, 0.002], [-0.0005, 0.9985]]),
}
SHIFT = np.array([0.7, -1.3])


def cloud(n: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-60, 60, (n, 2))


@pytest.mark.parametrize("geometry", MATRICES)
def test_an_exact_transformation_is_recovered(geometry):
    image = cloud()
    reference = apply_affine(image, MATRICES[geometry], SHIFT)
    fit = fit_affine(reference, image, geometry)
    assert fit.matrix == pytest.approx(MATRICES[geometry], abs=1e-12)
    assert fit.shift == pytest.approx(SHIFT, abs=1e-9)
    assert fit.rmse < 1e-9
    if geometry in ("rshift", "rscale"):
        assert fit.rotation_deg == pytest.approx(0.3)
    assert fit.scale == pytest.approx(np.sqrt(np.linalg.det(MATRICES[geometry])))


@pytest.mark.parametrize("geometry", MATRICES)
def test_the_fit_is_the_minimum_of_the_weighted_residuals(geometry):
    rng = np.random.default_rng(3)
    image = cloud()
    reference = apply_affine(image, MATRICES[geometry], SHIFT) + rng.normal(0, 0.5, image.shape)
    weights = rng.uniform(0, 2, len(image))
    best = fit_affine(reference, image, geometry, weights)

    def cost(matrix, shift):
        return float((weights[:, None] * (reference - apply_affine(image, matrix, shift)) ** 2).sum())

    least = cost(best.matrix, best.shift)
    turn = np.array([[0, 1], [-1, 0]]) @ best.matrix
    directions = {
        "shift": [],
        "rshift": [turn],
        "rscale": [turn, best.matrix],
        "general": list(np.eye(4).reshape(4, 2, 2)),
    }
    for step in (1e-4, -1e-4):
        for k in range(2):
            assert cost(best.matrix, best.shift + step * np.eye(2)[k]) > least
        for direction in directions[geometry]:
            mean = np.average(image, axis=0, weights=weights)
            moved = best.matrix + step * direction
            assert cost(moved, best.shift + (best.matrix - moved) @ mean) > least


def test_pairs_of_zero_weight_do_not_count():
    image = cloud(10)
    reference = image + SHIFT
    reference[0] += 50
    weights = np.ones(10)
    weights[0] = 0
    fit = fit_affine(reference, image, "rshift", weights)
    assert fit.shift == pytest.approx(SHIFT)
    assert not fit.used[0]


def test_outliers_are_clipped():
    rng = np.random.default_rng(5)
    image = cloud(60)
    reference = apply_affine(image, MATRICES["rshift"], SHIFT) + rng.normal(0, 0.003, image.shape)
    reference[:3] += 0.5
    fit = fit_clipped(reference, image, "rshift", 3, 3.0)
    assert not fit.used[:3].any()
    assert fit.used[3:].sum() >= 55
    assert fit.shift == pytest.approx(SHIFT, abs=0.003)
    assert fit_clipped(reference, image, "rshift", 0, 3.0).used.all()


def test_clipping_never_leaves_too_few():
    image = cloud(3)
    reference = image + np.array([[0.0, 0], [0, 0], [9, 9]])
    assert fit_clipped(reference, image, "general", 5, 0.5).used.sum() == 3


def test_too_few_or_collinear_sources_are_refused():
    with pytest.raises(ValueError, match="too few"):
        fit_clipped(cloud(2), cloud(2), "general", 3, 3.0)
    line = np.column_stack([np.arange(5.0), 2 * np.arange(5.0)])
    with pytest.raises(ValueError, match="one line"):
        fit_affine(line, line, "general")
