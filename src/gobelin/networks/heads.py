"""Many small heads trained as one batched computation: B linear maps, or B one-hidden-layer networks, on shared features.

Head b sees its own rows, weights, order and field dropout, all drawn from its own seed, so that its result is that of
training it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gobelin.runtime import Progress, generator


@dataclass(frozen=True)
class HeadJob:
    """rows: int64 [n]; weights: float32 [n]; seed; decay: L2 penalty on the maps."""

    rows: np.ndarray
    weights: np.ndarray
    seed: int
    decay: float


@dataclass(frozen=True)
class HeadSettings:
    """outputs: C classes or 1 number. hidden: 0 for a linear head, else the width of the hidden layer. steps, batch, rate:
    of Adam, the rate falling to zero on a cosine. dropout: chance that a present field is hidden from a row in a step (one
    field always stays)."""

    outputs: int
    numeric: bool
    hidden: int = 0
    steps: int = 300
    batch: int = 256
    rate: float = 0.02
    dropout: float = 0.3


def train_heads(
    features: Sequence[torch.Tensor],
    present: torch.Tensor,
    answers: torch.Tensor,
    jobs: Sequence[HeadJob],
    settings: HeadSettings,
    progress: Progress,
) -> list[dict[str, torch.Tensor]]:
    """Weights of every head.

    features: F tensors, float32 [N, K_f]. present: bool [N, F]. answers: int64 [N] class or float32 [N] number. The input of
    a head is every shown field and, beside them, which fields are shown: P = sum of K_f, plus F.
    """
    inputs = sum(f.shape[1] for f in features) + present.shape[1]
    weights = _initial(jobs, inputs, settings)
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
            _shown(present[i], settings.dropout, generator(j.seed, "dropout", step))
            for i, j in zip(index, jobs, strict=True)
        ])  # fmt: skip
        scores = forward(weights, [f[index] for f in features], shown)
        loss = _loss(scores, answers[index], share, settings.numeric)  # [B]
        penalty = sum((w**2).sum((1, 2)) for name, w in weights.items() if name.startswith("map"))
        optimiser.zero_grad(set_to_none=True)
        (loss + decay * penalty).sum().backward()
        optimiser.step()
        schedule.step()
        if step % 25 == 24:
            progress(f"train {len(jobs)} heads", step + 1, settings.steps)
    return [{name: w[b].detach().clone() for name, w in weights.items()} for b in range(len(jobs))]


def forward(weights: dict[str, torch.Tensor], features: Sequence[torch.Tensor], shown: torch.Tensor) -> torch.Tensor:
    """Scores [B, n, outputs] of fields [B, n, K_f] under the mask shown, float32 [B, n, F].

    The first layer is linear, so a field is hidden after its product and not before it: a tenth of the memory traffic.
    """
    parts = weights["map1"].split([f.shape[2] for f in features] + [shown.shape[2]], dim=1)
    out = torch.baddbmm(weights["bias1"][:, None], shown, parts[-1])
    for k, (field, part) in enumerate(zip(features, parts, strict=False)):
        out = out + shown[..., k, None] * torch.bmm(field, part)
    if "map2" in weights:
        out = torch.baddbmm(weights["bias2"][:, None], torch.nn.functional.gelu(out), weights["map2"])
    return out


def _initial(jobs: Sequence[HeadJob], inputs: int, settings: HeadSettings) -> dict[str, torch.Tensor]:
    widths = [inputs, settings.hidden, settings.outputs] if settings.hidden else [inputs, settings.outputs]
    weights = {}
    for layer in range(1, len(widths)):
        shape = (widths[layer - 1], widths[layer])
        draws = [torch.randn(shape, generator=generator(j.seed, "weights", layer)) for j in jobs]
        weights[f"map{layer}"] = (torch.stack(draws) * (0.5 / widths[layer - 1] ** 0.5)).requires_grad_()
        weights[f"bias{layer}"] = torch.zeros(len(jobs), widths[layer]).requires_grad_()
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


def _shown(present: torch.Tensor, dropout: float, rng: torch.Generator) -> torch.Tensor:
    """float32 [n, F]: the present fields less those dropped by chance; a row never loses its last one."""
    draw = torch.rand(present.shape, generator=rng)
    kept = present & (draw >= dropout)
    strongest = torch.where(present, draw, torch.full_like(draw, -1.0)).argmax(1)
    last = torch.zeros_like(present)
    last[torch.arange(len(present)), strongest] = present.any(1)
    return torch.where(kept.any(1, keepdim=True), kept, last).float()


def _loss(out: torch.Tensor, answers: torch.Tensor, share: torch.Tensor, numeric: bool) -> torch.Tensor:
    """The weighted mean cross-entropy or squared error of each head, [B]."""
    if numeric:
        each = (out[..., 0] - answers) ** 2
    else:
        each = torch.nn.functional.cross_entropy(out.transpose(1, 2), answers, reduction="none")
    return (each * share).mean(1)
