"""A condition as one vector: the sum over its fields and target that are present.

Training hides fields and target at random (`hide`). So one network serves every subset of them, the
empty one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.data.coarse import middle_of, spread_of

PRIOR_FREQUENCIES = 16  # of the sines and cosines that encode a time in `CodePrior`


@dataclass(frozen=True)
class ConditionTensors:
    """The tensors of N conditions that a network reads.

    vectors: float32 [N, F, D], of unit length. present: bool [N, F]. target: int64 [N], -1 = none;
    or a number, float32 [N], nan = none.
    """

    vectors: Tensor
    present: Tensor
    target: Tensor

    @staticmethod
    def of(
        vectors: Tensor, present: Tensor, target: Tensor | None, number: bool = False
    ) -> ConditionTensors:
        """Parts in the types that a network takes. target: None means none for every row. number:
        whether the target is a number.
        """
        if target is None:
            target = torch.full((len(present),), -1)
            target = torch.full((len(present),), torch.nan) if number else target
        return ConditionTensors(
            vectors.float(), present.bool(), target.float() if number else target.long()
        )

    def __len__(self) -> int:
        return len(self.present)

    def rows(self, index: Tensor | slice) -> ConditionTensors:
        return ConditionTensors(self.vectors[index], self.present[index], self.target[index])

    @staticmethod
    def together(parts: Sequence[ConditionTensors]) -> ConditionTensors:
        """The rows of all, one after the other."""
        return ConditionTensors(
            torch.cat([p.vectors for p in parts]),
            torch.cat([p.present for p in parts]),
            torch.cat([p.target for p in parts]),
        )

    def to(self, device: str | torch.device) -> ConditionTensors:
        return ConditionTensors(
            self.vectors.to(device), self.present.to(device), self.target.to(device)
        )

    def nothing(self) -> ConditionTensors:
        """The same count of rows, each an empty condition."""
        return ConditionTensors(
            self.vectors,
            torch.zeros_like(self.present),
            torch.full_like(self.target, _none(self.target)),
        )


def hide(parts: ConditionTensors, rng: torch.Generator, whole: float = 0.0) -> ConditionTensors:
    """Hide fields and target at random: of the K parts of a row, each count 0 .. K stays with
    probability 1 / (K + 1).

    Each row draws a rate u ~ U(0, 1) and keeps each part with probability u; the count of parts
    that stay is beta-binomial(K, 1, 1), which is uniform. whole: share of the batch, its first
    rows, that keep everything.
    """
    n, f = parts.present.shape
    keep = torch.rand(n, f + 1, generator=rng) < torch.rand(n, 1, generator=rng)
    keep[: round(whole * n)] = True
    keep = keep.to(parts.present.device)
    target = torch.where(keep[:, f], parts.target, _none(parts.target))
    return ConditionTensors(parts.vectors, parts.present & keep[:, :f], target)


def _none(target: Tensor) -> float:
    """The value for "no target" in a target of this type."""
    return torch.nan if target.is_floating_point() else -1


def jitter(parts: ConditionTensors, rng: torch.Generator, amount: float) -> ConditionTensors:
    """Add Gaussian noise of length about `amount` to each vector and scale it back to unit length.
    So the space between the training vectors is learned too (conditioning augmentation, StackGAN,
    Zhang et al. 2017, section 3.2).
    """
    noise = torch.randn(parts.vectors.shape, generator=rng).to(parts.vectors.device)
    moved = parts.vectors + noise * (amount / max(1, parts.vectors.shape[-1]) ** 0.5)
    return ConditionTensors(functional.normalize(moved, dim=-1), parts.present, parts.target)


class ConditionEmbedding(nn.Module):
    """e = sum over present f of (W_f v_f sqrt(D) + p_f) + t, [N, width].

    v_f has unit length, so v_f sqrt(D) has entries of unit size. t is the vector of the target's
    class, or a linear map of the standardised number, or a learned vector for "no target".
    """

    def __init__(
        self, fields: int, vector: int, classes: int, width: int, number: bool = False
    ) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(vector, width, bias=False) for _ in range(fields))
        self.presence = nn.Parameter(torch.zeros(fields, width))
        self.classes = 0 if number else classes
        of_classes = torch.empty(self.classes + 1, width)  # the last row is "no target"
        if not of_classes.is_meta:  # without memory the same call would load a compiler: a second
            nn.init.normal_(of_classes)
        self.target = nn.Embedding(self.classes + 1, width, _weight=of_classes)
        self.slope = nn.Linear(1, width) if number else None
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def standardise(self, target: Tensor, group: np.ndarray, least_groups: int) -> None:
        """Take mean and standard deviation of the training rows' numbers [N], rounded as they are
        saved (`data.coarse`); does nothing for classes. group: int [N]; every group counts once.
        """
        if self.slope is not None:
            numbers = target.double().cpu().numpy()
            known = ~np.isnan(numbers)
            if known.any():
                middle = middle_of(numbers[known], group[known], least_groups)
                self.centre.fill_(middle)
                spread = spread_of(numbers[known], group[known], middle, least_groups)
                self.spread.fill_(spread or 1.0)

    def forward(self, parts: ConditionTensors) -> Tensor:
        out = self.of_target(parts.target)
        vectors = parts.vectors * max(1, parts.vectors.shape[-1]) ** 0.5
        for f, linear in enumerate(self.linear):
            out = out + parts.present[:, f, None] * (linear(vectors[:, f]) + self.presence[f])
        return out

    def of_target(self, target: Tensor) -> Tensor:
        """Target [N] -> t [N, width]."""
        if self.slope is None:
            return self.target(torch.where(target >= 0, target, self.classes))
        known = ~torch.isnan(target)
        number = (torch.where(known, target, self.centre) - self.centre) / self.spread
        return torch.where(known[:, None], self.slope(number[:, None]), self.target.weight[:1])


class CodePrior(nn.Module):
    """The distribution of codes [N, K] given a condition: a flow from noise to code, with velocity
    v(u_t, t, condition) [N, K].

    Rectified flow (Liu et al. 2023, equation 1): u_t = (1 - t) u_0 + t u_1, and v learns u_1 - u_0.
    With `hide` it is trained on every subset of a condition, so one network holds all conditional
    distributions and the unconditional one.
    """

    def __init__(self, embedding: ConditionEmbedding, code: int, width: int, depth: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.inside = nn.Linear(code, width)
        self.time = nn.Linear(2 * PRIOR_FREQUENCIES, width)
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth)
        )
        self.styles = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )
        self.out = nn.Linear(width, code)
        nn.init.zeros_(self.out.weight)

    def forward(self, code: Tensor, time: Tensor, embedded: Tensor) -> Tensor:
        """v [N, K] of code [N, K], time [N], embedded [N, width] = self.embedding(parts)."""
        angle = time[:, None] * torch.logspace(0.5, 2.5, PRIOR_FREQUENCIES, device=time.device)
        style = functional.silu(embedded + self.time(torch.cat([angle.sin(), angle.cos()], dim=1)))
        x = self.inside(code)
        for norm, styled, block in zip(self.norms, self.styles, self.blocks, strict=True):
            scale, shift = styled(style).chunk(2, dim=1)
            x = x + block(norm(x) * (1 + scale) + shift)
        return self.out(functional.silu(x))

    def loss(self, code: Tensor, parts: ConditionTensors, rng: torch.Generator) -> Tensor:
        """Mean of (v - (u_1 - u_0))^2, t from a logit-normal (Esser et al. 2024, section 3.1)."""
        start = torch.randn(code.shape, generator=rng).to(code.device)
        time = torch.sigmoid(torch.randn(len(code), generator=rng)).to(code.device)
        between = (1 - time[:, None]) * start + time[:, None] * code
        return (self(between, time, self.embedding(parts)).float() - (code - start)).square().mean()

    def draw(self, start: Tensor, parts: ConditionTensors, guidance: float, steps: int) -> Tensor:
        """Codes [N, K] from noise [N, K] by Heun's method, with v = v_none + guidance (v_condition
        - v_none) (Ho and Salimans 2022, equation 6).
        """
        conditional = self.embedding(parts)
        empty = self.embedding(parts.nothing())

        def velocity(code: Tensor, time: float) -> Tensor:
            times = torch.full((len(code),), time, device=code.device)
            v = self(code, times, conditional)
            if guidance == 1.0:
                return v
            without = self(code, times, empty)
            return without + guidance * (v - without)

        code = start
        for k in range(steps):
            first = velocity(code, k / steps)
            second = velocity(code + first / steps, (k + 1) / steps)
            code = code + (first + second) / (2 * steps)
        return code


def mix_codes(code: Tensor, mixed: int, rng: torch.Generator) -> Tensor:
    """Codes [N, K] whose first `mixed` rows become a mean of two, a u + (1 - a) u', a ~ U(0, 1),
    rescaled so that the variance stays.
    """
    if not mixed:
        return code
    a = torch.rand(mixed, 1, generator=rng).to(code.device)
    mean = a * code[:mixed] + (1 - a) * code[:mixed].roll(1, dims=0)
    return torch.cat([mean / (a.square() + (1 - a).square()).sqrt(), code[mixed:]])
