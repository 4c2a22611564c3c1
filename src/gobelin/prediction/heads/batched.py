"""Many small heads trained as one batched computation on shared features. A `Join` says how a head
turns features into scores.

Each head has its own rows, weights, order and hidden fields, drawn from its own seed, so that the
result equals that of training it alone.
"""

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
    """The weights of every head, {name: tensor} each.

    features: F tensors, float32 [N, K_f]. present: bool [N, F]. answers: int64 [N] class, float32
    [N] number or float32 [N, C] labels. jobs: one a head, each with a decay."""
    start = _initial(join, jobs, [f.shape[1] for f in features], settings.outputs)
    # A subclass of SideBySide may have other scores, and so other gradients: the exact type counts.
    has_formula = type(join) is SideBySide
    train = gradients.train if has_formula else partial(by_autograd, join)
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
    """As `train_heads`, for any join. start: weights of the heads, {name: [B, ...]}."""
    weights = {name: w.clone().requires_grad_() for name, w in start.items()}
    decay = torch.tensor([j.decay for j in jobs], dtype=torch.float32)  # [B]
    optimiser = torch.optim.Adam(list(weights.values()), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    rows = [torch.from_numpy(j.rows) for j in jobs]
    shares = [torch.from_numpy(j.weights) for j in jobs]
    lengths_and_seeds = [(len(j.rows), j.seed) for j in jobs]
    for step in range(settings.steps):
        this_step = range(step, step + 1)
        orders = {
            (length, seed): draws.order(length, settings.batch, seed, this_step)[0]
            for length, seed in set(lengths_and_seeds)
        }
        chances = {
            seed: draws.chances(len(features), settings.batch, seed, this_step)[:, 0]
            for seed in {j.seed for j in jobs}
        }
        places = [orders[key] for key in lengths_and_seeds]
        index = torch.stack([r[p] for r, p in zip(rows, places, strict=True)])  # [B, n]
        share = torch.stack([s[p] for s, p in zip(shares, places, strict=True)])  # [B, n]
        chance = torch.stack([chances[j.seed] for j in jobs], 1)  # [F, B, n]
        shown = draws.shown(present[index].movedim(2, 0), chance, settings.dropout)  # [F, B, n]
        scores = join.scores(weights, [f[index] for f in features], shown.movedim(0, 2).float())
        loss = losses(scores, answers[index], share, settings.numeric)  # [B]
        # decay |W|^2 of each head, [B]
        penalty = sum((w**2).sum((1, 2)) for name, w in weights.items() if name.startswith("map"))
        optimiser.zero_grad(set_to_none=True)
        (loss + decay * penalty).sum().backward()
        optimiser.step()
        schedule.step()
        progress(f"train {len(jobs)} heads", step + 1, settings.steps)
    return [{name: w[b].detach().clone() for name, w in weights.items()} for b in range(len(jobs))]


def _initial(
    join: Join, jobs: Sequence[Job], widths: Sequence[int], outputs: int
) -> dict[str, torch.Tensor]:
    """{name: [B, ...]}: maps are drawn from N(0, 1 / (4 fan-in)), the rest is 0. A draw depends on
    the job's seed and on the map's number only."""
    weights, maps = {}, 0
    for name, shape in join.shapes(widths, outputs).items():
        weights[name] = torch.zeros(len(jobs), *shape)
        if name.startswith("map"):
            maps += 1
            normal = [
                torch.randn(shape, generator=generator(j.seed, "weights", maps)) for j in jobs
            ]
            weights[name] = torch.stack(normal) * (0.5 / shape[0] ** 0.5)
    return weights


def losses(
    scores: torch.Tensor, answers: torch.Tensor, share: torch.Tensor, numeric: bool
) -> torch.Tensor:
    """[B]: the weighted mean loss of each head: squared error of a number, sum of the labels'
    cross-entropies where answers are [B, n, C], else cross-entropy.

    scores: [B, n, C]. answers, share: [B, n]."""
    functional = torch.nn.functional
    if numeric:
        row_loss = (scores[..., 0] - answers) ** 2
    elif answers.dim() == scores.dim():
        row_loss = functional.binary_cross_entropy_with_logits(
            scores, answers, reduction="none"
        ).sum(2)
    else:
        row_loss = functional.cross_entropy(scores.transpose(1, 2), answers, reduction="none")
    return (row_loss * share).mean(1)
