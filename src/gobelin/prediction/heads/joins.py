"""Joins: how the features of several fields become scores, for B heads at once.

A field that is hidden from a row changes nothing, whatever it holds. Shapes: features are F tensors
[B, n, K_f], `shown` is float32 [B, n, F] with 1 or 0, scores are [B, n, C] (C = 1 for a number),
weights are {name: [B, ...]}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gobelin.core.lazy import functional, torch

if TYPE_CHECKING:
    from torch import Tensor

    Weights = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


class Join(Protocol):
    """One way to join fields. A frozen dataclass; its fields are its settings."""

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        """The weights of one head, {name: shape}, given the widths K_f of its fields. Weights whose
        name begins with "map" start at random and are decayed; the others start at 0."""
        ...

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        """[B, n, C]."""
        ...


@dataclass(frozen=True)
class SideBySide:
    """One map of all fields side by side and of their presence."""

    hidden: int  # width of a hidden layer; 0 for a linear map

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        layers = [sum(widths) + len(widths), *([self.hidden] if self.hidden else []), outputs]
        out: Shapes = {}
        for k in range(1, len(layers)):
            out |= {f"map{k}": (layers[k - 1], layers[k]), f"bias{k}": (layers[k],)}
        return out

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        # rows of map1 by field [B, K_f, H], and those of the presence [B, F, H]
        *maps, presence = weights["map1"].split(
            [f.shape[2] for f in features] + [shown.shape[2]], dim=1
        )
        out = torch.baddbmm(weights["bias1"][:, None], shown, presence)  # [B, n, H]
        for k, (field, part) in enumerate(zip(features, maps, strict=True)):
            # The first layer is linear, so a field is hidden after its product, not before: a tenth
            # of the memory traffic.
            out = out + shown[..., k, None] * torch.bmm(field, part)
        if "map2" in weights:
            out = torch.baddbmm(weights["bias2"][:, None], functional.gelu(out), weights["map2"])
        return out

    def scores_of_one(
        self, weights: Mapping[str, np.ndarray], features: Sequence[np.ndarray], shown: np.ndarray
    ) -> np.ndarray:
        """[n, C]: `scores` of one linear head, without torch, which takes longer to load than the
        rows of a question take to answer. weights: {name: array}. features: F arrays [n, K_f].
        shown: [n, F]."""
        ends = np.cumsum([f.shape[1] for f in features])
        *maps, presence = np.split(weights["map1"], ends)
        out: np.ndarray = weights["bias1"] + shown @ presence
        for k, (field, part) in enumerate(zip(features, maps, strict=True)):
            out = out + shown[:, k, None] * (field @ part)
        return out


@dataclass(frozen=True)
class Pooled:
    """Each field becomes a token t_f, the shown tokens become one vector, and the vector becomes
    the scores. The vector is the mean of the tokens. With `gated` it is a sum weighted by a softmax
    over the shown fields of v . tanh(t_f) (attention pooling, Ilse et al. 2018, equation 8)."""

    width: int  # of a token
    gated: bool  # weighted sum in place of the mean

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        out = _token_shapes(widths, self.width)
        if self.gated:
            out["map_gate"] = (self.width, 1)
        return out | {"map_out": (self.width, outputs), "bias_out": (outputs,)}

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        tokens = _tokens(weights, features)  # [B, n, F, width]
        if self.gated:
            gates = _apply(torch.tanh(tokens), weights["map_gate"])[..., 0]  # [B, n, F]
        else:
            gates = torch.zeros_like(shown)
        share = _softmax(gates, shown)  # [B, n, F]
        pooled = functional.gelu((share[..., None] * tokens).sum(2))  # [B, n, width]
        return torch.baddbmm(weights["bias_out"][:, None], pooled, weights["map_out"])


@dataclass(frozen=True)
class Attended:
    """Each field becomes a token. The tokens and one learned query token attend to each other in
    `depth` blocks (Vaswani et al. 2017), and the query token becomes the scores. Nothing attends to
    hidden tokens."""

    width: int  # of a token, a multiple of heads
    heads: int  # attention heads of a block
    depth: int  # blocks

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        w, out = self.width, _token_shapes(widths, self.width) | {"query": (self.width,)}
        for k in range(self.depth):
            out |= {
                f"map_ask{k}": (w, 3 * w),
                f"map_mix{k}": (w, w),
                f"map_widen{k}": (w, 2 * w),
                f"map_narrow{k}": (2 * w, w),
            }
        return out | {"map_out": (w, outputs), "bias_out": (outputs,)}

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        tokens = _tokens(weights, features)  # [B, n, F, width]
        token = weights["query"][:, None, None].expand(*tokens.shape[:2], 1, -1)
        x = torch.cat([token, tokens], dim=2)  # [B, n, T, width], T = 1 + F
        visible = torch.cat([torch.ones_like(shown[..., :1]), shown], dim=2)  # [B, n, T]
        for k in range(self.depth):
            normed = functional.layer_norm(x, (self.width,))
            projected = _apply(normed, weights[f"map_ask{k}"]).unflatten(3, (3, self.heads, -1))
            query, key, value = projected.permute(3, 0, 1, 4, 2, 5)  # [B, n, heads, T, d] each
            if k == self.depth - 1:  # of the last block the query token alone is read
                query, x = query[..., :1, :], x[:, :, :1]
            cosines = query @ key.transpose(3, 4) * query.shape[-1] ** -0.5  # [B, n, heads, T, T]
            share = _softmax(cosines, visible[:, :, None, None])
            mixed = (share @ value).transpose(2, 3).flatten(3)  # [B, n, T, width]
            x = x + _apply(mixed, weights[f"map_mix{k}"])
            normed = functional.layer_norm(x, (self.width,))
            wide = functional.gelu(_apply(normed, weights[f"map_widen{k}"]))  # [B, n, T, 2 width]
            x = x + _apply(wide, weights[f"map_narrow{k}"])
        pooled = functional.layer_norm(x[:, :, 0], (self.width,))  # [B, n, width]
        return torch.baddbmm(weights["bias_out"][:, None], pooled, weights["map_out"])


@dataclass(frozen=True)
class Ordered:
    """Ordered levels: a join's one output z against C - 1 rising cuts. P(level <= k) =
    expit(cut_k - z), proportional odds (McCullagh 1980, sec. 2). Scores are the logarithms of the C
    levels' probabilities."""

    join: Join

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        return self.join.shapes(widths, 1) | {"cuts": (outputs - 1,)}

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        # [B, 1] and [B, C - 2]: the first cut, and the gaps between cuts, which are positive
        first, gaps = weights["cuts"][:, :1], functional.softplus(weights["cuts"][:, 1:])
        # At the start every gap is log 2; less this, the cuts then lie around 0.
        middle = math.log(2) * gaps.shape[1] / 2
        cuts = torch.cat([first - middle, first - middle + gaps.cumsum(1)], dim=1)  # [B, C - 1]
        z = cuts[:, None] - self.join.scores(weights, features, shown)  # [B, n, C - 1]
        below, above = functional.logsigmoid(z), functional.logsigmoid(-z)
        # log(expit(b) - expit(a)) = log expit(b) + log expit(-a) + log(1 - exp(a - b)), for two
        # neighbouring cuts a < b; [B, n, C - 2]
        between = below[..., 1:] + above[..., :-1] + torch.log(-torch.expm1(-gaps))[:, None]
        return torch.cat([below[..., :1], between, above[..., -1:]], dim=2)


def _token_shapes(widths: Sequence[int], width: int) -> Shapes:
    return {
        **{f"map_token{k}": (w, width) for k, w in enumerate(widths)},
        "place": (len(widths), width),
    }


def _tokens(weights: Weights, features: Sequence[Tensor]) -> Tensor:
    """[B, n, F, width]: a linear map of each field, plus a learned vector of the field."""
    tokens = [torch.bmm(f, weights[f"map_token{k}"]) for k, f in enumerate(features)]
    return torch.stack(tokens, dim=2) + weights["place"][:, None]


def _apply(x: Tensor, weight: Tensor) -> Tensor:
    """[B, n, T, b]: x [B, n, T, a] times weight [B, a, b]."""
    return torch.bmm(x.flatten(1, 2), weight).unflatten(1, x.shape[1:3])


def _softmax(scores: Tensor, shown: Tensor) -> Tensor:
    """Softmax over the last axis among the shown entries; all 0 where none is shown. scores, shown:
    [..., T], broadcast."""
    scores = torch.where(shown > 0, scores, -1e9)
    weight = (scores - scores.amax(-1, keepdim=True)).exp() * shown
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
