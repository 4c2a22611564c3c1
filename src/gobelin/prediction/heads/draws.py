"""What a head sees in a step: which rows, and which of their fields. Functions of its seed and the
step alone, so that they don't depend on what it is trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gobelin.core.machine import generator


@dataclass(frozen=True)
class HeadSettings:
    """outputs: C classes or 1 number. steps, batch, rate: of Adam, the rate falling to zero on a
    cosine. dropout: chance that a present field is hidden from a row in a step (one field always
    stays)."""

    outputs: int
    numeric: bool
    steps: int = 300
    batch: int = 256
    rate: float = 0.02
    dropout: float = 0.3


def order(rows: int, batch: int, seed: int, steps: range) -> torch.Tensor:
    """int64 [T, n]: the places 0 .. rows - 1 of n rows in each of these steps, every row once
    before any row again."""
    first, last = steps.start * batch, steps.stop * batch
    epochs = range(first // rows, -(-last // rows))
    stream = torch.cat(
        [torch.randperm(rows, generator=generator(seed, "order", e)) for e in epochs]
    )
    start = epochs.start * rows
    return stream[first - start : last - start].view(len(steps), batch)


def chances(fields: int, batch: int, seed: int, steps: range) -> torch.Tensor:
    """float32 [F, T, n] in 0 .. 1: where one is below the dropout, the field is hidden from the
    row."""
    drawn = torch.stack(
        [torch.rand(batch, fields, generator=generator(seed, "dropout", t)) for t in steps]
    )
    return drawn.movedim(2, 0).contiguous()


def shown(present: torch.Tensor, chance: torch.Tensor, dropout: float) -> torch.Tensor:
    """bool [F, ...], field by field: those present less those hidden; a row never loses its last
    one."""
    strongest = torch.where(present, chance, -1.0).amax(0)
    return present & (chance >= strongest.clamp_max(dropout))


def shown_fields(present: torch.Tensor, dropout: float, rng: torch.Generator) -> torch.Tensor:
    """float32 [n, F]: `shown` of bool [n, F], by new chances."""
    return shown(present.T, torch.rand(present.shape, generator=rng).T, dropout).T.float()
