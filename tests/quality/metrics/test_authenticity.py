"""Authenticity against all pairs written out, planted copies, and what fresh rows score."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.quality.metrics import TooFew, authenticity


def slow(x: np.ndarray, y: np.ndarray) -> list[bool]:
    """Alaa et al. 2022, section 4.3, pair by pair."""
    out = []
    for row in y:
        away = [float(((row - other) ** 2).sum()) for other in x]
        place = int(np.argmin(away))
        own = min(float(((x[place] - x[i]) ** 2).sum()) for i in range(len(x)) if i != place)
        out.append(away[place] > own)
    return out


def draw(n: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width))


@pytest.mark.parametrize("far", [0.0, 1e4])
def test_equals_all_pairs(far: float) -> None:
    x, y = draw(90, 5, 0) + far, draw(70, 5, 1) + far
    assert authenticity.new(x, y).tolist() == slow(x, y)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_planted_copies_lower_it_by_their_share(share: float) -> None:
    x, y = draw(1000, 8, 0).astype(np.float32), draw(1000, 8, 1).astype(np.float32)
    before = authenticity.new(x, y)
    copies = int(share * 1000)
    y[:copies] = x[:copies] + np.float32(1e-3)
    assert authenticity.scores(x, y).value == before[copies:].sum() / 1000


def test_fresh_rows_score_more_the_more_columns_there_are() -> None:
    """In many columns the nearest row is often one that many rows have for a neighbour, and its own
    is near: so the floor."""
    few, many = (
        np.mean(
            [authenticity.scores(draw(2000, w, k), draw(2000, w, k + 50)).value for k in range(3)]
        )
        for w in (2, 32)
    )
    assert few == pytest.approx(0.39, abs=0.03) and many == pytest.approx(0.79, abs=0.03)


def test_too_few_rows() -> None:
    with pytest.raises(TooFew, match=r"\(n = 19, needs at least 20\)"):
        authenticity.scores(draw(200, 3, 0), draw(19, 3, 1))
