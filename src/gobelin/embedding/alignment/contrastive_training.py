"""Contrastive training: one linear map [D, D] of each field's vectors, from the identity.

The loss is that of every pair of fields (`contrastive`). A penalty pulls the maps towards the
identity, and the retrieval of held-back rows says how many steps are best. With torch.distributed
started, each process computes its share of a batch, so that a batch need not fit one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from gobelin.core.machine import Progress, Runtime, generator
from gobelin.embedding.alignment.align import CONTRASTIVE, Align, Alignment
from gobelin.embedding.alignment.closed_form import JUDGED_ROWS, reciprocal_ranks
from gobelin.embedding.alignment.contrastive import (
    average_gradients,
    gathered,
    process_group,
    sigmoid_loss,
    softmax_loss,
)
from gobelin.embedding.features import Embeddings

LEAST_GAIN = 1e-3  # log reciprocal rank, mean over the pairs of fields
WORST_LOSS = 0.03  # log reciprocal rank that one pair of fields may lose while the others gain
ROWS_IN_MEMORY = 50_000  # up to so many training rows, their vectors are computed once
STEPS_A_CHECK = 20  # steps between two checks of the held-back rows
CHECKS_WITHOUT_GAIN = 2  # then training stops


def trained(
    start: Alignment,
    train: Embeddings,
    held_back: np.ndarray,
    groups: np.ndarray,
    runtime: Runtime,
    progress: Progress,
    steps: int = 0,
) -> tuple[Alignment, int]:
    """`start` with trained maps, and after how many steps; `start` itself and 0 where they don't
    retrieve held-back rows better.

    held_back: bool [N]. groups: int [N]; rows of one group are positives of each other. steps: to
    take exactly, of a training that nothing is held back to stop; 0 lets held-back rows choose."""
    settings = start.settings
    most = steps or settings.steps
    vectors = _Vectors(train, start)
    identity = [torch.eye(settings.width) for _ in train.fields]
    maps = [w.clone().requires_grad_() for w in identity]  # F tensors [D, D]
    log_scale = torch.tensor(float(np.log(1 / settings.temperature)), requires_grad=True)
    bias = torch.tensor(-5.0, requires_grad=True)
    present, group = torch.from_numpy(train.present), torch.from_numpy(groups)
    rows_learned = np.flatnonzero(~held_back)
    judged = np.flatnonzero(held_back)[:JUDGED_ROWS]
    judged_vectors = vectors.rows(judged)
    # the sigmoid loss alone learns its temperature and bias (Zhai et al. 2023)
    learned = [*maps, *([log_scale, bias] if settings.loss == "sigmoid" else [])]
    optimiser = torch.optim.Adam(learned, lr=settings.rate)
    first = _mapped(judged_vectors, identity)
    before = np.zeros(0) if steps else retrieval(first, present[judged], groups[judged])
    best_gain, best_maps, best_step, without_gain = 0.0, identity, 0, 0
    rank, processes = process_group()
    for step in range(most):
        rng = generator(runtime.seed, "align", step)
        drawn = torch.randperm(len(rows_learned), generator=rng)[: settings.batch].numpy()
        rows = rows_learned[drawn]
        with runtime.autocast():
            part = _mapped(vectors.rows(rows[rank::processes]), maps)
            z = [gathered(own_rows, len(rows)) for own_rows in part]  # F tensors [n, D]
            loss = _loss(settings, z, present[rows], group[rows], log_scale, bias)
        # pull |W_f - I|^2, summed over the fields: small data change little
        loss = loss + settings.pull * sum(
            ((w - i) ** 2).sum() for w, i in zip(maps, identity, strict=True)
        )
        optimiser.zero_grad()
        loss.backward()
        average_gradients(learned)
        optimiser.step()
        if (step + 1) % STEPS_A_CHECK:
            continue
        progress("align", step + 1, most)
        if steps:
            continue
        after = retrieval(_mapped(judged_vectors, maps), present[judged], groups[judged])
        gains = after - before
        gain = float(gains.mean()) if len(gains) else 0.0
        without_gain += 1
        if gain > best_gain + LEAST_GAIN and gains.min() > -WORST_LOSS:
            best_gain, best_maps, without_gain = gain, [w.detach().clone() for w in maps], 0
            best_step = step + 1
        if without_gain == CHECKS_WITHOUT_GAIN:
            break
    progress("align", most, most)
    if steps:
        best_maps, best_step = maps, steps
    if not best_step:
        return start, 0
    return _with_maps(start, [w.detach().numpy() for w in best_maps]), best_step


def _loss(
    settings: Align,
    z: Sequence[Tensor],
    present: Tensor,
    groups: Tensor,
    log_scale: Tensor,
    bias: Tensor,
) -> Tensor:
    """The mean loss over the pairs of fields that at least two rows have both.

    z: F tensors [n, D]. present: bool [n, F]. groups: int [n]."""
    losses = []
    for a, b in combinations(range(len(z)), 2):
        both = present[:, a] & present[:, b]
        if int(both.sum()) > 1:
            cosines = (z[a][both] @ z[b][both].T).float()
            same = groups[both][:, None] == groups[both][None]
            if settings.loss == "sigmoid":
                losses.append(sigmoid_loss(cosines, same, (-log_scale).exp(), bias, settings.hard))
            else:
                temperature = torch.tensor(settings.temperature)
                losses.append(softmax_loss(cosines, same, temperature, settings.hard))
    if losses:
        return torch.stack(losses).mean()
    return torch.stack([field.sum() for field in z]).sum() * 0.0  # a batch without any pair


class _Vectors:
    """Vectors of training rows, by row number: all of them in memory where rows are few, else
    computed for each batch."""

    def __init__(self, train: Embeddings, start: Alignment) -> None:
        self.train, self.start = train, start
        self.all = start.project(train).vectors if len(train) <= ROWS_IN_MEMORY else None

    def rows(self, index: np.ndarray) -> list[Tensor]:
        """F tensors, float32 [n, D]."""
        if self.all is None:
            vectors = self.start.project(self.train.rows(index)).vectors
        else:
            vectors = self.all[index]
        return [
            torch.from_numpy(np.ascontiguousarray(vectors[:, k])) for k in range(vectors.shape[1])
        ]


def _mapped(vectors: Sequence[Tensor], maps: Sequence[Tensor]) -> list[Tensor]:
    """F tensors [n, D] of unit length: each field's vectors by its map [D, D]."""
    return [torch.nn.functional.normalize(x @ w, dim=1) for x, w in zip(vectors, maps, strict=True)]


@torch.no_grad()
def retrieval(z: Sequence[Tensor], present: Tensor, groups: np.ndarray) -> np.ndarray:
    """float64 [ordered pairs of fields]: the logarithm of the mean reciprocal rank.

    z: F tensors [n, D]. present: bool [n, F]. groups: int [n]."""
    scores = []
    for a, b in combinations(range(len(z)), 2):
        both = present[:, a] & present[:, b]
        if int(both.sum()) > 1:
            cosines, group = z[a][both] @ z[b][both].T, groups[both.numpy()]
            scores += [float(reciprocal_ranks(c, group).mean().log()) for c in (cosines, cosines.T)]
    return np.array(scores)


def _with_maps(start: Alignment, maps: Sequence[np.ndarray]) -> Alignment:
    """`start` with every field's vectors mapped by [D, D]."""
    field_maps = {}
    for (field, arrays), w in zip(start.maps.items(), maps, strict=True):
        whole = arrays.get("whole", np.eye(len(w), dtype=np.float32))
        field_maps[field] = {**arrays, "whole": np.ascontiguousarray(whole @ w, np.float32)}
    return replace(start, maps=field_maps, trained_by=CONTRASTIVE)
