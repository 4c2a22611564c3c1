"""Occlusion. Oracles: a regression written out, captum, and a model whose pixels are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from gobelin.prediction.attribution import occlusion


def test_a_mask_is_smooth_and_has_its_opposite() -> None:
    masks = occlusion.masks(20, 4, (24, 16), seed=0)
    assert masks.shape == (20, 24, 16) and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks[:10] + masks[10:], 1.0)
    # a cell of 6 x 4 pixels: from one pixel to the next no more than 1 / 4 of the way
    assert np.abs(np.diff(masks, axis=2)).max() <= 0.25 + 1e-6
    np.testing.assert_array_equal(masks, occlusion.masks(20, 4, (24, 16), seed=0))
    assert not np.array_equal(masks, occlusion.masks(20, 4, (24, 16), seed=1))


def slopes(shown: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Of the answers over each place's mask, one place at a time."""
    x, y = shown - shown.mean(0), answers - answers.mean()
    return np.asarray(np.einsum("khw,k->hw", x, y) / np.einsum("khw,khw->hw", x, x))


def planted(shown: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the places, a few of which count, and the answers, with noise."""
    rng = np.random.default_rng(seed)
    weight = np.zeros(shown.shape[1:])
    weight[3:7, 9:14], weight[12:15, 2:6] = rng.uniform(0.5, 1, (4, 5)), -0.4
    answers = np.einsum("khw,hw->k", shown, weight)
    return weight, answers + answers.std() * rng.normal(size=len(answers))


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return occlusion.masks(20_000, 4, (16, 18), seed=0)


def test_effects_are_the_slopes_of_very_many_masks(many: np.ndarray) -> None:
    weight, _ = planted(many, 0)
    truth = slopes(many, np.einsum("khw,hw->k", many, weight))
    some = occlusion.masks(800, 4, (16, 18), seed=1)
    found, error = occlusion.effects(some, np.einsum("khw,hw->k", some, weight), 4)
    assert np.abs(found - truth).max() < 0.05 * np.abs(truth).max()
    assert error.max() < 0.02 * np.abs(truth).max()


def test_the_regression_is_that_of_scikit_learn(many: np.ndarray) -> None:
    """Its penalty is chosen by rows left out one by one, and what it misses of these is from as
    many regressions; its slopes are over drawn masks."""
    from sklearn.linear_model import Ridge, RidgeCV

    shown = occlusion.masks(60, 4, (16, 18), seed=2)
    _, answers = planted(shown, 3)
    x, y = shown[:30].reshape(30, -1) - 0.5, (answers[:30] - answers[30:]) / 2
    size = np.linalg.eigvalsh(x @ x.T).mean()
    ridge = RidgeCV(occlusion.PENALTIES * size, fit_intercept=False).fit(x, y)
    missed = np.zeros(30)
    for k in range(30):
        left = np.arange(30) != k
        one = Ridge(ridge.alpha_, fit_intercept=False).fit(x[left], y[left])
        missed[k] = y[k] - one.predict(x[[k]])[0]
    truth = slopes(many, many.reshape(len(many), -1) @ ridge.coef_)
    truth = truth + (missed @ x / (x**2).sum(0)).reshape(truth.shape)
    found, _ = occlusion.effects(shown, answers, 4)
    assert np.abs(found - truth).max() < 0.05 * np.abs(truth).max()


def test_errors_are_as_large_as_the_distance_to_the_truth(many: np.ndarray) -> None:
    weight, _ = planted(many, 0)
    truth = slopes(many, np.einsum("khw,hw->k", many, weight))
    distances, errors = [], []
    for seed in range(40):
        shown = occlusion.masks(120, 4, (16, 18), seed=100 + seed)
        rng = np.random.default_rng(seed)
        answers = np.einsum("khw,hw->k", shown, weight)
        found, error = occlusion.effects(shown, answers + rng.normal(size=len(answers)), 4)
        distances.append(((found - truth) ** 2).mean())
        errors.append((error**2).mean())
    assert 0.5 < np.sqrt(np.mean(errors) / np.mean(distances)) < 2


def test_the_order_of_places_is_better_than_that_of_single_slopes(many: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    ours, theirs = [], []
    for seed in range(10):
        weight = rng.normal(size=(8, 9)).repeat(2, 0).repeat(2, 1)
        truth = slopes(many, np.einsum("khw,hw->k", many, weight))
        shown = occlusion.masks(100, 4, (16, 18), seed=200 + seed)
        answers = np.einsum("khw,hw->k", shown, weight)
        answers = answers + 0.7 * answers.std() * rng.normal(size=100)
        found, _ = occlusion.effects(shown, answers, 4)
        ours.append(spearmanr(found.ravel(), truth.ravel()).statistic)
        theirs.append(spearmanr(slopes(shown, answers).ravel(), truth.ravel()).statistic)
    assert np.mean(ours) > np.mean(theirs) + 0.02 > 0.5


def test_an_answer_that_never_changes_gives_every_place_0() -> None:
    found, error = occlusion.effects(occlusion.masks(8, 4, (8, 8), seed=0), np.ones(8), 4)
    assert not found.any() and not error.any()


def test_the_pixels_of_a_sum_are_ranked_as_captum_ranks_their_patches() -> None:
    """The answer is a weighted sum of pixels, of which a patch has the weights."""
    captum, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    weight = np.zeros((16, 16))
    weight[4:8, 8:12] = np.random.default_rng(1).uniform(1, 2, (4, 4))
    masks = occlusion.masks(600, 8, (16, 16), seed=0)
    ours, _ = occlusion.effects(masks, masks.reshape(600, -1) @ weight.ravel(), 8)
    theirs = (
        captum.Occlusion(lambda x: (x * torch.tensor(weight)).sum((1, 2)))
        .attribute(torch.ones(1, 16, 16, dtype=torch.float64), (4, 4), (4, 4))[0]
        .numpy()
    )
    patch = theirs > 0
    assert (ours[patch].min() > np.quantile(ours, 0.85)) and patch.sum() == 16
