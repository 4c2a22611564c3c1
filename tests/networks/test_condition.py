"""The embedding against its formula, hiding against its distribution, the prior against Gaussians
that it must find."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gobelin.core.machine import generator
from gobelin.networks.condition import (
    CodePrior,
    ConditionEmbedding,
    ConditionTensors,
    hide,
    jitter,
    mix_codes,
)

F, D, WIDTH = 3, 5, 4


def parts(n: int = 6, number: bool = False) -> ConditionTensors:
    rng = generator(0, "parts")
    vectors = torch.nn.functional.normalize(torch.randn(n, F, D, generator=rng), dim=-1)
    present = torch.rand(n, F, generator=rng) < 0.5
    target = torch.randn(n, generator=rng) if number else torch.randint(-1, 2, (n,), generator=rng)
    return ConditionTensors(vectors, present, target)


def test_embedding_is_the_sum_in_its_docstring() -> None:
    torch.manual_seed(0)
    embedding, given = ConditionEmbedding(F, D, classes=2, width=WIDTH), parts()
    torch.nn.init.normal_(embedding.presence)
    for n, out in enumerate(embedding(given)):
        expected = embedding.target.weight[
            int(given.target[n]) if given.target[n] >= 0 else 2
        ].clone()
        for f in range(F):
            if given.present[n, f]:
                expected += (
                    embedding.linear[f].weight @ given.vectors[n, f] * D**0.5
                    + embedding.presence[f]
                )
        assert torch.allclose(out, expected, atol=1e-5)


def test_absent_vectors_are_not_read() -> None:
    embedding, given = ConditionEmbedding(F, D, 2, WIDTH), parts()
    other = torch.where(given.present[..., None], given.vectors, torch.randn(given.vectors.shape))
    assert torch.equal(
        embedding(given), embedding(ConditionTensors(other, given.present, given.target))
    )


def test_number_target_is_linear_and_standardised() -> None:
    embedding = ConditionEmbedding(0, D, 0, WIDTH, number=True)
    embedding.standardise(torch.tensor([10.0, 14.0, torch.nan] * 5), np.arange(15), 5)
    empty = torch.zeros(4, 0, D), torch.zeros(4, 0, dtype=torch.bool)
    low, middle, high, none = embedding(
        ConditionTensors(*empty, torch.tensor([10.0, 12.0, 14.0, torch.nan]))
    )
    assert torch.allclose(high - middle, middle - low, atol=1e-5)
    assert torch.allclose(high - middle, embedding.slope.weight[:, 0], atol=1e-5)
    assert torch.equal(none, embedding.target.weight[0])


def test_every_count_of_parts_is_kept_equally_often() -> None:
    n = 20_000
    given = ConditionTensors(
        torch.zeros(n, F, D), torch.ones(n, F, dtype=torch.bool), torch.zeros(n, dtype=torch.long)
    )
    kept = hide(given, generator(0, "hide"), whole=0.1)
    count = kept.present.sum(1) + (kept.target >= 0)
    assert bool((count[: n // 10] == F + 1).all())
    shares = torch.bincount(count[n // 10 :]) / (0.9 * n)
    assert torch.allclose(shares, torch.full((F + 2,), 1 / (F + 2)), atol=0.015)


@pytest.mark.parametrize("number", [False, True])
def test_hiding_never_shows_what_is_absent(number: bool) -> None:
    given = parts(200, number)
    kept = hide(given, generator(1, "hide"))
    assert not bool((kept.present & ~given.present).any())
    gone = torch.isnan(kept.target) if number else kept.target == -1
    assert (
        torch.equal(kept.target[~gone], given.target[~gone])
        and bool(gone.any())
        and not bool(gone.all())
    )


def test_jitter_keeps_unit_length_and_has_the_angle_of_its_noise() -> None:
    n, d = 500, 64
    vectors = torch.nn.functional.normalize(
        torch.randn(n, 1, d, generator=generator(0, "v")), dim=-1
    )
    moved = jitter(
        ConditionTensors(vectors, torch.ones(n, 1, dtype=torch.bool), torch.zeros(n)),
        generator(0, "e"),
        0.5,
    ).vectors
    assert torch.allclose(moved.norm(dim=-1), torch.ones(n, 1), atol=1e-5)
    assert float((moved * vectors).sum(-1).mean()) == pytest.approx(
        1 / (1 + 0.5**2) ** 0.5, abs=0.01
    )


def test_mixed_codes_keep_their_variance() -> None:
    code = torch.randn(20_000, 2, generator=generator(0, "code"))
    mixed = mix_codes(code, 10_000, generator(0, "mix"))
    assert torch.equal(mixed[10_000:], code[10_000:])
    assert mixed[:10_000].var(0).tolist() == pytest.approx([1.0, 1.0], abs=0.05)


def test_prior_finds_a_gaussian_for_each_class_and_their_mixture() -> None:
    """Codes of class k are planted at +2 or -2 with deviation 0.5; asked for nothing, half must lie
    on either side."""
    torch.manual_seed(0)
    prior = CodePrior(ConditionEmbedding(0, 1, 2, 32), code=2, width=32, depth=2)
    optimiser = torch.optim.Adam(prior.parameters(), 5e-3)

    def asking(target: torch.Tensor) -> ConditionTensors:
        return ConditionTensors(
            torch.zeros(len(target), 0, 1), torch.zeros(len(target), 0, dtype=torch.bool), target
        )

    for step in range(400):
        rng = generator(0, "step", step)
        target = torch.randint(0, 2, (256,), generator=rng)
        code = 4.0 * target[:, None] - 2 + 0.5 * torch.randn(256, 2, generator=rng)
        optimiser.zero_grad()
        prior.loss(code, hide(asking(target), rng), rng).backward()
        optimiser.step()
    with torch.no_grad():
        noise = torch.randn(600, 2, generator=generator(0, "noise"))
        made = prior.draw(noise, asking(torch.arange(600) % 3 - 1), guidance=1.0, steps=16)
        pulled = prior.draw(noise, asking(torch.arange(600) % 3 - 1), guidance=2.0, steps=16)
    nothing, low, high = made[0::3], made[1::3], made[2::3]
    assert low.mean(0).tolist() == pytest.approx([-2, -2], abs=0.2) and low.std(
        0
    ).tolist() == pytest.approx([0.5] * 2, abs=0.2)
    assert high.mean(0).tolist() == pytest.approx([2, 2], abs=0.2) and high.std(
        0
    ).tolist() == pytest.approx([0.5] * 2, abs=0.2)
    assert 0.35 < float((nothing[:, 0] > 0).float().mean()) < 0.65
    assert float(pulled[2::3].mean()) >= float(
        high.mean()
    )  # guidance pulls away from what all classes share
    assert torch.allclose(
        pulled[0::3], nothing, atol=1e-4
    )  # and has nothing to pull an empty condition to
