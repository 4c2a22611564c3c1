"""Contrastive losses of two fields: softmax or sigmoid, several positives a row, hard negatives,
several processes."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn import functional


def softmax_loss(cosines: Tensor, same: Tensor, temperature: Tensor, hard: float) -> Tensor:
    """Symmetric cross-entropy over the cosines [n, n] of rows of two fields (Radford et al. 2021,
    figure 3). same: bool [n, n], the positives; of several the mean logarithm counts (Khosla et al.
    2020, equation 2)."""
    logits = cosines / temperature + hardness(cosines, same, hard)
    sides = [
        -(functional.log_softmax(one, 1) * same).sum(1) / same.sum(1) for one in (logits, logits.T)
    ]
    return (sides[0].mean() + sides[1].mean()) / 2


def sigmoid_loss(
    cosines: Tensor, same: Tensor, temperature: Tensor, bias: Tensor, hard: float
) -> Tensor:
    """Every pair of rows is asked alone whether it belongs together (Zhai et al. 2023, equation
    1)."""
    sign = torch.where(same, 1.0, -1.0)
    weight = hardness(cosines, same, hard).exp()
    return -(functional.logsigmoid(sign * (cosines / temperature + bias)) * weight).sum() / len(
        cosines
    )


def hardness(cosines: Tensor, same: Tensor, hard: float) -> Tensor:
    """[n, n]: what is added to the logarithm of each pair's share: 0 for positives; a negative
    counts exp(hard * cosine), of mean one in its row (Robinson et al. 2021, equation 4). No
    gradient flows through it."""
    if hard <= 0:
        return torch.zeros_like(cosines)
    tilt = (hard * cosines.detach()).masked_fill(same, -torch.inf)
    count = (~same).sum(1, keepdim=True).clamp_min(1)
    mean = tilt.logsumexp(1, keepdim=True) - count.log()
    return torch.where(same, 0.0, tilt - torch.nan_to_num(mean, neginf=0.0))


def crew() -> tuple[int, int]:
    """Which of how many processes this is: those that torch.distributed was started with, else
    one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gathered(part: Tensor, rows: int) -> Tensor:
    """[rows, D] from every process's own share [r, D] of them, row k from process k modulo their
    count; differentiable."""
    _, world = crew()
    if world == 1:
        return part
    from torch.distributed.nn import functional as across

    most = -(-rows // world)
    padded = functional.pad(part, (0, 0, 0, most - len(part)))
    return torch.stack(list(across.all_gather(padded)), 1).flatten(0, 1)[:rows]


def summed(weights: list[Tensor]) -> None:
    """The mean over processes of each weight's gradient times their count: the gradient of the
    whole batch."""
    _, world = crew()
    if world > 1:
        for weight in weights:
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= world
