"""Many small heads trained as one batched computation on shared features; what a head is, its `Join` says.

Head b sees its own rows, weights, order and field dropout, all drawn from its own seed, so that its result is that of
training it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gobelin.jobs import Job
from gobelin.networks.joins import Join
from gobelin.runtime import Progress, generator


@dataclass(frozen=True)
class HeadSettings:
    """outputs: C classes or 1 number. steps, batch, rate: of Adam, the rate falling to zero on a cosine. dropout: chance that a
    present field is hidden from a row in a step (one field always stays)."""

    outputs: int
    numeric: bool
    steps: int = 300
    batch: int = 256
    rate: float = 0.02
    dropout: float = 0.3


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

    features: F tensors, float32 [N, K_f]. present: bool [N, F]. answers: int64 [N] class, float32 [N] number or
    float32 [N, C] labels.
    jobs: each says its decay.
    """
    weights = _initial(join, jobs, [f.shape[1] for f in features], settings.outputs)
    decay = torch.tensor([j.decay for j in jobs], dtype=torch.float32)
    optimiser = torch.optim.Adam(list(weights.values()), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    rows, shares = [torch.from_numpy(j.rows) for j in jobs], [torch.from_numpy(j.weights) for j in jobs]
    orders = [_Order(len(j.rows), settings.batch, j.seed) for j in jobs]
    for step in range(settings.steps):
        picked = [order.batch(step) for order in orders]
        index = torch.stack([r[p] for r, p in zip(rows, picked, strict=True)])  # [B, n]
        share = torch.stack([s[p] for s, p in zip(shares, picked, strict=True)])
        shown = torch.stack([
            shown_fields(present[i], settings.dropout, generator(j.seed, "dropout", step))
            for i, j in zip(index, jobs, strict=True)
        ])  # fmt: skip
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


def _initial(join: Join, jobs: Sequence[Job], widths: Sequence[int], outputs: int) -> dict[str, torch.Tensor]:
    """[B, ...] by name: maps are drawn from N(0, 1 / (4 fan-in)), from the seed and the place among the maps alone."""
    weights, maps = {}, 0
    for name, shape in join.shapes(widths, outputs).items():
        weights[name] = torch.zeros(len(jobs), *shape)
        if name.startswith("map"):
            maps += 1
            draws = [torch.randn(shape, generator=generator(j.seed, "weights", maps)) for j in jobs]
            weights[name] = torch.stack(draws) * (0.5 / shape[0] ** 0.5)
        weights[name].requires_grad_()
    return weights


class _Order:
    """Batches of n rows, every row once before any row again; batch t is a function of the seed and t alone."""

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self.rows, self.size, self.seed = rows, batch, seed
        self.epoch, self.order = -1, torch.zeros(0, dtype=torch.long)

    def batch(self, step: int) -> torch.Tensor:
        places = torch.arange(step * self.size, (step + 1) * self.size)
        out = torch.empty(self.size, dtype=torch.long)
        for epoch in range(int(places[0]) // self.rows, int(places[-1]) // self.rows + 1):
            if epoch != self.epoch:
                self.epoch = epoch
                self.order = torch.randperm(self.rows, generator=generator(self.seed, "order", epoch))
            here = places // self.rows == epoch
            out[here] = self.order[places[here] % self.rows]
        return out


def shown_fields(present: torch.Tensor, dropout: float, rng: torch.Generator) -> torch.Tensor:
    """float32 [n, F]: the present fields less those dropped by chance; a row never loses its last one."""
    draw = torch.rand(present.shape, generator=rng)
    kept = present & (draw >= dropout)
    strongest = torch.where(present, draw, torch.full_like(draw, -1.0)).argmax(1)
    last = torch.zeros_like(present)
    last[torch.arange(len(present)), strongest] = present.any(1)
    return torch.where(kept.any(1, keepdim=True), kept, last).float()


def losses(out: torch.Tensor, answers: torch.Tensor, share: torch.Tensor, numeric: bool) -> torch.Tensor:
    """The weighted mean cross-entropy (of labels [B, n, C] the sum of theirs) or squared error of each head, [B]."""
    if numeric:
        each = (out[..., 0] - answers) ** 2
    elif answers.dim() == out.dim():
        each = torch.nn.functional.binary_cross_entropy_with_logits(out, answers, reduction="none").sum(2)
    else:
        each = torch.nn.functional.cross_entropy(out.transpose(1, 2), answers, reduction="none")
    return (each * share).mean(1)
