"""The batches of a head: which rows a step uses, and which fields of each row are shown.

They depend on (seed, step) only, so training heads together or alone gives the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gobelin.core.machine import generator


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained, by Adam."""

    outputs: int  # C classes or labels, or 1 number
    numeric: bool  # the target is a number
    steps: int = 300
    batch: int = 256  # rows a step
    rate: float = 0.02  # learning rate at the start; falls to zero on a cosine
    dropout: float = 0.3  # chance that a present field is hidden from a row; one always stays


def order(rows: int, batch: int, seed: int, steps: range) -> torch.Tensor:
    """int64 [T, n]: n numbers in 0 .. rows - 1 for each of T steps; every row comes once before any
    row comes again."""
    first, last = steps.start * batch, steps.stop * batch
    epochs = range(first // rows, -(-last // rows))
    stream = torch.cat(
        [torch.randperm(rows, generator=generator(seed, "order", e)) for e in epochs]
    )
    start = epochs.start * rows
    return stream[first - start : last - start].view(len(steps), batch)


def chances(fields: int, batch: int, seed: int, steps: range) -> torch.Tensor:
    """float32 [F, T, n] in 0 .. 1. A chance below the dropout hides the field from the row."""
    drawn = torch.stack(
        [torch.rand(batch, fields, generator=generator(seed, "dropout", t)) for t in steps]
    )
    return drawn.movedim(2, 0).contiguous()


def shown(present: torch.Tensor, chance: torch.Tensor, dropout: float) -> torch.Tensor:
    """bool [F, ...]: the fields that are present and not hidden; a row never loses its last field.

    present: bool [F, ...]. chance: float32 [F, ...], as `chances` gives it."""
    # The bound of a row: the dropout, or its largest chance where all lie below the dropout.
    largest = torch.where(present, chance, -1.0).amax(0)
    return present & (chance >= largest.clamp_max(dropout))


def shown_fields(present: torch.Tensor, dropout: float, rng: torch.Generator) -> torch.Tensor:
    """float32 [n, F]: `shown` for present [n, F], by chances that are drawn here."""
    return shown(present.T, torch.rand(present.shape, generator=rng).T, dropout).T.float()
