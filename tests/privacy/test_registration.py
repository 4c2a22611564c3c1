"""Candidates and what they explain: planted maps, gains and covers; nearest rows by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gobelin.privacy import candidates as retrieval
from gobelin.privacy import registration
from gobelin.privacy.candidates import (
    COMPARED_SIDE,
    candidates,
    edges,
    grey,
    reduced,
    warped,
)
from gobelin.privacy.planted_copies import plant
from gobelin.privacy.registration import NOISE, WAYS, align, blurred, fits

WHOLE_IMAGE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # the identity map

RNG = np.random.default_rng(0)


def smooth(n: int) -> np.ndarray:
    """uint8 [n, 32, 32, 3]."""
    rough = torch.from_numpy(RNG.uniform(0, 255, (n, 3, COMPARED_SIDE, COMPARED_SIDE))).float()
    soft = blurred(rough, 2.0)
    soft = (soft - soft.mean((2, 3), keepdim=True)) / soft.std((2, 3), keepdim=True) * 40 + 128
    return soft.clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)


def test_a_planted_map_is_found_again() -> None:
    y = grey(reduced(smooth(6)))
    true = WHOLE_IMAGE + torch.tensor([[0.06, 0.03, 0.08], [-0.04, -0.05, -0.06]])
    x = warped(y, true.expand(6, 2, 3))
    found, left = align(x * 0.8 + 0.1, y, WHOLE_IMAGE.expand(6, 2, 3), 20)
    assert torch.allclose(found, true.expand(6, 2, 3), atol=0.01) and left.max() < 1e-5


def test_candidates_are_the_nearest_rows_by_brute_force() -> None:
    x, y = grey(reduced(smooth(5))), grey(reduced(smooth(600)))  # two blocks
    rows, _, _ = candidates(x, y)
    best = torch.full((5, 600), torch.inf)
    for one in retrieval.views():
        there = edges(warped(y, one.expand(600, 2, 3)) if not torch.equal(one, WHOLE_IMAGE) else y)
        for shown in (x, x.flip(3)):
            best = torch.minimum(best, torch.cdist(edges(shown), there) ** 2)
    wanted = best.topk(retrieval.EDGE_CANDIDATES, dim=1, largest=False).indices
    assert [set(r) for r in rows[:, : retrieval.EDGE_CANDIDATES].tolist()] == [
        set(r) for r in wanted.tolist()
    ]
    assert rows.max() < 600


def test_none_is_its_own_candidate() -> None:
    y = grey(reduced(smooth(4)))
    rows, _, _ = candidates(y, y, groups=np.arange(4))
    assert not (rows == torch.arange(4)[:, None]).any()
    pair, _, _ = candidates(y[:2], y[:2], groups=np.arange(2))
    assert pair[0].eq(1).all() and pair[1].eq(0).all()


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        ("exact", WAYS),
        ("flipped", WAYS),
        ("cropped", WAYS),
        ("blurred", WAYS),
        ("recoloured", WAYS[1:]),
        ("overlaid", WAYS[2:]),
    ],
)
def test_what_a_copy_leaves_unexplained_is_little(kind: str, ways: tuple[str, ...]) -> None:
    pool, fresh = smooth(40), smooth(12)
    copied = fits(plant(pool, 12, 0, kind), pool)
    new = fits(fresh, pool)
    for way in ways:
        assert np.median(copied[way].distance) < 0.35 * np.median(new[way].distance)
    exact = fits(pool[3:5], pool)["as it is"]
    assert exact.row.tolist() == [3, 4] and exact.distance == pytest.approx([NOISE] * 2, rel=0.01)


def test_each_image_is_looked_at_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, x = smooth(20), smooth(9)
    whole = fits(x, pool)
    monkeypatch.setattr(registration, "IMAGES_AT_ONCE", 2)
    monkeypatch.setattr(retrieval, "POOL_BLOCK", 7)
    for way, one in fits(x, pool).items():
        assert np.allclose(one.distance, whole[way].distance, rtol=1e-2)
