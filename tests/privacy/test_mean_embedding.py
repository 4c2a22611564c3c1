"""The noisy mean embedding. Oracles: the kernel that random features approach, a sum written out by
hand, the variance of the noise, and the bound on what one group moves, for planted neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gobelin.privacy.mean_embedding import MeanEmbedding, factors

SIZE = (16, 12, 3)
EMBEDDING = MeanEmbedding(SIZE, 3, 60, 4, 0.5, (0.5, 0.4, 0.1), seed=1)


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, some of them all black or all white, and their classes."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *SIZE), dtype=np.uint8)
    images[rng.random(n) < 0.4] = 255 * rng.integers(0, 2, dtype=np.uint8)
    return images, rng.integers(0, 3, n)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=24),
    st.integers(0, 1000),
    st.booleans(),
)
def test_a_group_moves_the_sums_by_one_at_most(groups: list[int], seed: int, weighed: bool) -> None:
    """Whatever its rows are, however many, of whatever classes and weights; and the others' parts
    don't change when it goes."""
    group = np.array(groups)
    images, classes = rows(len(group), seed)
    weights = np.random.default_rng(seed).exponential(2, len(group)) if weighed else None
    stays = group != groups[0]

    def sums(kept: np.ndarray) -> np.ndarray:
        some = None if weights is None else weights[kept]
        return EMBEDDING.sums(images[kept], classes[kept], factors(group[kept], some))

    moved = np.linalg.norm(sums(np.ones(len(group), bool)) - sums(stays))
    assert moved <= 1 + 1e-12


def test_one_row_moves_them_by_nearly_one() -> None:
    """The bound is used: a white image has the length 1 exactly."""
    white = np.full((1, *SIZE), 255, np.uint8)
    sums = EMBEDDING.sums(white, np.zeros(1, int), np.ones(1))
    assert np.linalg.norm(sums) == pytest.approx(1, abs=1e-12)


def test_the_sums_are_those_of_single_rows() -> None:
    images, classes = rows(40, 2)
    group = np.arange(40) // 3
    expected = np.zeros((3, EMBEDDING.length + 1))
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        for k in members:
            alone = EMBEDDING.sums(images[[k]], np.zeros(1, int), np.ones(1))[0]
            expected[classes[k]] += alone / len(members)
    assert np.allclose(EMBEDDING.sums(images, classes, factors(group, None)), expected)


def test_products_of_random_features_are_the_kernel() -> None:
    """exp(-|x - y|^2 / (2 width^2 pixels)), the Gaussian kernel."""
    wide = MeanEmbedding(SIZE, 1, 40_000, 4, 0.5, (0.5, 0.4, 0.1), seed=3)
    images = torch.from_numpy(rows(5, 4)[0]).permute(0, 3, 1, 2).double() / 127.5 - 1
    images[1] = images[0] * 0.8
    waves = wide.features(images, wide.directions())[:, : wide.random]
    squares = torch.cdist(images.flatten(1), images.flatten(1)) ** 2
    kernel = torch.exp(-squares / (2 * 0.5**2 * np.prod(SIZE)))
    assert torch.allclose(waves @ waves.T, kernel, atol=0.03)


def test_the_means_without_noise_are_the_means() -> None:
    images, classes = rows(300, 5)
    sums = EMBEDDING.sums(images, classes, np.ones(300))
    means = EMBEDDING.means(sums)
    assert np.allclose(means.counts, np.bincount(classes))
    cells = images[classes == 1].reshape(-1, 4, 4, 4, 3, 3).mean((0, 2, 4)) / 127.5 - 1
    found = means.features[1, EMBEDDING.random :] * np.sqrt(3 * 4**2)
    assert np.allclose(found.reshape(3, 4, 4), cells.transpose(2, 0, 1))


def test_noise_is_drawn_with_its_deviation_and_anew() -> None:
    sums = np.zeros((3, EMBEDDING.length + 1))
    drawn = np.stack([EMBEDDING.released(sums, 2.5) for _ in range(200)])
    assert abs(drawn.var() / 2.5**2 - 1) < 6 * np.sqrt(2 / drawn.size)
    assert np.abs(drawn.mean(0)).max() < 6 * 2.5 / np.sqrt(200)
