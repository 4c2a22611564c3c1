"""Integrated gradients: how much each input moved an answer, along a straight path to it.

Sundararajan, Taly & Yan 2017, equation 1: (x_i - b_i) times the mean over a in 0 .. 1 of the slope
of the answer at b + a (x - b) along i. The mean is taken at the nodes of Gauss and Legendre, which
is exact for polynomials of degree 2 steps - 1. The values add up to the difference of the answers
at x and at b (completeness), but for the error of the mean.

What this cannot show: which path counts. Another base b, or a curved path, gives other values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gobelin.core.lazy import torch


def integrated_gradients(
    answer: Callable[[torch.Tensor], torch.Tensor],
    shown: torch.Tensor,
    hidden: torch.Tensor,
    steps: int,
    at_once: int = 4,
) -> torch.Tensor:
    """[...]: the value of every number of `shown` [...], beside the base `hidden` [...].

    answer: [k, ...] -> [k], differentiable. at_once: points of the path that are asked together: a
    network keeps what each layer made of all of them.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    along = torch.as_tensor((nodes + 1) / 2, dtype=shown.dtype, device=shown.device)
    share = torch.as_tensor(weights / 2, dtype=shown.dtype, device=shown.device)
    slope = torch.zeros_like(shown)
    one_each = [-1, *[1] * shown.dim()]
    for a, w in zip(along.split(at_once), share.split(at_once), strict=True):
        points = (hidden + a.view(one_each) * (shown - hidden)).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(answer(points).sum(), points)
        slope += (w.view(one_each) * slopes).sum(0)
    return (shown - hidden) * slope
