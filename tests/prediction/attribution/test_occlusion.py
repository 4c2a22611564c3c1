"""Occlusion. Oracles: a regression written out, captum, and a model whose pixels are known."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.prediction.attribution import occlusion


def test_a_mask_is_smooth_and_has_its_opposite() -> None:
    masks = occlusion.masks(20, 4, (24, 16), seed=0)
    assert masks.shape == (20, 24, 16) and masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks[:10] + masks[10:], 1.0)
    # a cell of 6 x 4 pixels: from one pixel to the next no more than 1 / 4 of the way
    assert np.abs(np.diff(masks, axis=2)).max() <= 0.25 + 1e-6
    np.testing.assert_array_equal(masks, occlusion.masks(20, 4, (24, 16), seed=0))
    assert not np.array_equal(masks, occlusion.masks(20, 4, (24, 16), seed=1))


def test_slopes_are_those_of_a_regression_on_each_pixel() -> None:
    rng = np.random.default_rng(0)
    shown, answers = rng.random((40, 6)), rng.normal(size=40)
    slope, error = occlusion.slopes(shown, answers)
    from scipy.stats import linregress

    for k in range(6):
        line = linregress(shown[:, k], answers)
        assert slope[k] == pytest.approx(line.slope)
        assert error[k] == pytest.approx(line.stderr)


def test_a_pixel_that_never_changes_has_no_value() -> None:
    shown = np.random.default_rng(0).random((10, 2))
    shown[:, 1] = 1.0
    slope, error = occlusion.slopes(shown, shown[:, 0])
    assert slope == pytest.approx([1, 0]) and np.isfinite(error).all()


def test_the_pixels_of_a_sum_are_ranked_as_captum_ranks_their_patches() -> None:
    """The answer is a weighted sum of pixels, of which a patch has the weights."""
    captum, torch = pytest.importorskip("captum.attr"), pytest.importorskip("torch")
    weight = np.zeros((16, 16))
    weight[4:8, 8:12] = np.random.default_rng(1).uniform(1, 2, (4, 4))
    masks = occlusion.masks(600, 8, (16, 16), seed=0).reshape(600, -1)
    slope, _ = occlusion.slopes(masks, masks @ weight.ravel())
    ours = slope.reshape(16, 16)
    theirs = (
        captum.Occlusion(lambda x: (x * torch.tensor(weight)).sum((1, 2)))
        .attribute(torch.ones(1, 16, 16, dtype=torch.float64), (4, 4), (4, 4))[0]
        .numpy()
    )
    patch = theirs > 0
    assert (ours[patch].min() > np.quantile(ours, 0.85)) and patch.sum() == 16
