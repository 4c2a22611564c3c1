"""Contrastive losses of two fields: softmax or sigmoid, several positives a row, hard negatives.
Batches may be shared by several processes."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn import functional


def softmax_loss(cosines: Tensor, same: Tensor, temperature: Tensor, hard: float) -> Tensor:
    """Symmetric cross-entropy over the cosines [n, n] of rows of two fields, a scalar (Radford et
    al. 2021, figure 3). same: bool [n, n], the positives; of several the mean logarithm counts
    (Khosla et al. 2020, equation 2). hard: see `hardness`."""
    logits = cosines / temperature + hardness(cosines, same, hard)  # [n, n]
    forth, back = (
        -(functional.log_softmax(z, 1) * same).sum(1) / same.sum(1) for z in (logits, logits.T)
    )  # [n] each
    return (forth.mean() + back.mean()) / 2


def sigmoid_loss(
    cosines: Tensor, same: Tensor, temperature: Tensor, bias: Tensor, hard: float
) -> Tensor:
    """Each pair of rows alone is classified as same or not, a scalar (Zhai et al. 2023, equation
    1). cosines, same: [n, n]."""
    sign = torch.where(same, 1.0, -1.0)
    weight = hardness(cosines, same, hard).exp()
    return -(functional.logsigmoid(sign * (cosines / temperature + bias)) * weight).sum() / len(
        cosines
    )


def hardness(cosines: Tensor, same: Tensor, hard: float) -> Tensor:
    """[n, n]: the logarithm of each pair's weight. A positive has weight 1. A negative has weight
    exp(hard * cosine), scaled to mean 1 in its row (Robinson et al. 2021, equation 4). No gradient
    flows through it."""
    if hard <= 0:
        return torch.zeros_like(cosines)
    tilt = (hard * cosines.detach()).masked_fill(same, -torch.inf)
    count = (~same).sum(1, keepdim=True).clamp_min(1)
    mean = tilt.logsumexp(1, keepdim=True) - count.log()
    return torch.where(same, 0.0, tilt - torch.nan_to_num(mean, neginf=0.0))


def process_group() -> tuple[int, int]:
    """The rank of this process and the count of processes: those of torch.distributed where it was
    started, else 0 and 1."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gathered(part: Tensor, rows: int) -> Tensor:
    """[rows, D] from every process's share [r, D] of them: row k comes from process k modulo their
    count. Differentiable."""
    _, world = process_group()
    if world == 1:
        return part
    from torch.distributed.nn import functional as across

    most = -(-rows // world)
    padded = functional.pad(part, (0, 0, 0, most - len(part)))
    return torch.stack(list(across.all_gather(padded)), 1).flatten(0, 1)[:rows]


def average_gradients(weights: list[Tensor]) -> None:
    """Replaces each weight's gradient by its mean over processes: the gradient of the whole batch,
    because `gathered` sums gradients over processes."""
    _, world = process_group()
    if world > 1:
        for weight in weights:
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= world
