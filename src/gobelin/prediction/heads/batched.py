"""Many small heads trained as one batched computation on shared features; what a head is, its
`Join` says.

Head b sees its own rows, weights, order and field dropout, all drawn from its own seed, so that its
result is that of training it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from gobelin.core.machine import Progress, generator
from gobelin.prediction.heads import draws, gradients
from gobelin.prediction.heads.draws import HeadSettings
from gobelin.prediction.heads.job import Job
from gobelin.prediction.heads.joins import Join, SideBySide


def train_heads(
    join: Join,
    features: Sequence[torch.Tensor],
    present: torch.Tensor,
    answers: torch.Tensor,
    jobs: Sequence[Job],
    settings: HeadSettings,
    progress: Progress,
) -> list[dict[str, torch.Tensor]]:
    """Weights of every head.

    features: F tensors, float32 [N, K_f]. present: bool [N, F]. answers: int64 [N] class, float32
    [N] number or float32 [N, C] labels. jobs: each says its decay."""
    start = _initial(join, jobs, [f.shape[1] for f in features], settings.outputs)
    written = type(join) is SideBySide  # a kind of it has scores, and so gradients, of its own
    train = gradients.train if written else partial(by_autograd, join)
    return train(start, features, present, answers, jobs, settings, progress)


def by_autograd(
    join: Join,
    start: Mapping[str, torch.Tensor],
    features: Sequence[torch.Tensor],
    present: torch.Tensor,
    answers: torch.Tensor,
    jobs: Sequence[Job],
    settings: HeadSettings,
    progress: Progress,
) -> list[dict[str, torch.Tensor]]:
    """As `train_heads`, for any join. start: weights of the heads, [B, ...]."""
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    decay = torch.tensor([j.decay for j in jobs], dtype=torch.float32)
    optimiser = torch.optim.Adam(list(weights.values()), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    rows, shares = (
        [torch.from_numpy(j.rows) for j in jobs],
        [torch.from_numpy(j.weights) for j in jobs],
    )
    kinds = [(len(j.rows), j.seed) for j in jobs]
    for step in range(settings.steps):
        now = range(step, step + 1)
        orders = {key: draws.order(key[0], settings.batch, key[1], now)[0] for key in set(kinds)}
        chances = {
            seed: draws.chances(len(features), settings.batch, seed, now)[:, 0]
            for seed in {j.seed for j in jobs}
        }
        picked = [orders[key] for key in kinds]
        index = torch.stack([r[p] for r, p in zip(rows, picked, strict=True)])  # [B, n]
        share = torch.stack([s[p] for s, p in zip(shares, picked, strict=True)])
        chance = torch.stack([chances[j.seed] for j in jobs], 1)  # [F, B, n]
        shown = (
            draws.shown(present[index].movedim(2, 0), chance, settings.dropout)
            .movedim(0, 2)
            .float()
        )
        scores = join.scores(weights, [f[index] for f in features], shown)
        loss = losses(scores, answers[index], share, settings.numeric)  # [B]
        penalty = sum((w**2).sum((1, 2)) for name, w in weights.items() if name.startswith("map"))
        optimiser.zero_grad(set_to_none=True)
        (loss + decay * penalty).sum().backward()
        optimiser.step()
        schedule.step()
        if step % 25 == 24:
            progress(f"train {len(jobs)} heads", step + 1, settings.steps)
    return [{name: w[b].detach().clone() for name, w in weights.items()} for b in range(len(jobs))]


def _initial(
    join: Join, jobs: Sequence[Job], widths: Sequence[int], outputs: int
) -> dict[str, torch.Tensor]:
    """[B, ...] by name: maps are drawn from N(0, 1 / (4 fan-in)), from the seed and the place among
    the maps alone."""
    weights, maps = {}, 0
    for name, shape in join.shapes(widths, outputs).items():
        weights[name] = torch.zeros(len(jobs), *shape)
        if name.startswith("map"):
            maps += 1
            draws = [torch.randn(shape, generator=generator(j.seed, "weights", maps)) for j in jobs]
            weights[name] = torch.stack(draws) * (0.5 / shape[0] ** 0.5)
    return weights


def losses(
    out: torch.Tensor, answers: torch.Tensor, share: torch.Tensor, numeric: bool
) -> torch.Tensor:
    """The weighted mean cross-entropy (of labels [B, n, C] the sum of theirs) or squared error of
    each head, [B]."""
    if numeric:
        each = (out[..., 0] - answers) ** 2
    elif answers.dim() == out.dim():
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            out, answers, reduction="none"
        ).sum(2)
    else:
        each = torch.nn.functional.cross_entropy(out.transpose(1, 2), answers, reduction="none")
    return (each * share).mean(1)
