"""How fields, some of them hidden, become scores: one function a kind, for B heads at once.

In all of them a hidden field changes nothing, whatever it holds. Features are F tensors [B, n,
K_f], `shown` is float32 [B, n, F] with 1 or 0, scores are [B, n, outputs]. Weights stand first by
head: [B, ...]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


class Join(Protocol):
    """A kind. `shapes`: the weights of one head, given the widths K_f of its fields; those whose
    name begins with "map" start at random and are decayed, the rest start at 0."""

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes: ...

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class SideBySide:
    """One map of all fields and of which are shown, linear or with a hidden layer."""

    hidden: int

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        sides = [sum(widths) + len(widths), *([self.hidden] if self.hidden else []), outputs]
        return {
            name: shape
            for k in range(1, len(sides))
            for name, shape in ((f"map{k}", (sides[k - 1], sides[k])), (f"bias{k}", (sides[k],)))
        }

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        """The first layer is linear, so a field is hidden after its product, not before: a tenth of
        the memory traffic."""
        parts = weights["map1"].split([f.shape[2] for f in features] + [shown.shape[2]], dim=1)
        out = torch.baddbmm(weights["bias1"][:, None], shown, parts[-1])
        for k, (field, part) in enumerate(zip(features, parts, strict=False)):
            out = out + shown[..., k, None] * torch.bmm(field, part)
        if "map2" in weights:
            out = torch.baddbmm(weights["bias2"][:, None], functional.gelu(out), weights["map2"])
        return out


@dataclass(frozen=True)
class Pooled:
    """Each field becomes a token t_f of `width` numbers, the shown tokens one vector, and that the
    scores. The vector is their mean, or with `gated` a sum weighted by a softmax over the shown of
    v . tanh(t_f) (attention pooling, Ilse et al. 2018, equation 8)."""

    width: int
    gated: bool

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        gate = {"map_gate": (self.width, 1)} if self.gated else {}
        return (
            _tokens_shapes(widths, self.width)
            | gate
            | {
                "map_out": (self.width, outputs),
                "bias_out": (outputs,),
            }
        )

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        tokens = _tokens(weights, features)
        there = (
            torch.zeros_like(shown)
            if not self.gated
            else _apply(torch.tanh(tokens), weights["map_gate"])[..., 0]
        )
        share = _softmax(there, shown)
        pooled = functional.gelu((share[..., None] * tokens).sum(2))
        return torch.baddbmm(weights["bias_out"][:, None], pooled, weights["map_out"])


@dataclass(frozen=True)
class Attended:
    """Each field becomes a token; they and one token more attend to each other in `depth` blocks
    (Vaswani et al. 2017), and the one more becomes the scores. Hidden tokens are not attended
    to."""

    width: int
    heads: int
    depth: int

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        w, out = self.width, _tokens_shapes(widths, self.width) | {"query": (self.width,)}
        for k in range(self.depth):
            out |= {
                f"map_ask{k}": (w, 3 * w),
                f"map_mix{k}": (w, w),
                f"map_widen{k}": (w, 2 * w),
                f"map_narrow{k}": (2 * w, w),
            }
        return out | {"map_out": (w, outputs), "bias_out": (outputs,)}

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        tokens = _tokens(weights, features)
        query = weights["query"][:, None, None].expand(*tokens.shape[:2], 1, -1)
        x, seen = (
            torch.cat([query, tokens], dim=2),
            torch.cat([torch.ones_like(shown[..., :1]), shown], dim=2),
        )
        for k in range(self.depth):
            asked = _apply(
                functional.layer_norm(x, (self.width,)), weights[f"map_ask{k}"]
            ).unflatten(3, (3, self.heads, -1))
            ask, key, value = asked.permute(3, 0, 1, 4, 2, 5)  # [B, n, heads, T, d]
            share = _softmax(
                ask @ key.transpose(3, 4) * ask.shape[-1] ** -0.5, seen[:, :, None, None]
            )
            x = x + _apply((share @ value).transpose(2, 3).flatten(3), weights[f"map_mix{k}"])
            wide = functional.gelu(
                _apply(functional.layer_norm(x, (self.width,)), weights[f"map_widen{k}"])
            )
            x = x + _apply(wide, weights[f"map_narrow{k}"])
        read = functional.layer_norm(x[:, :, 0], (self.width,))
        return torch.baddbmm(weights["bias_out"][:, None], read, weights["map_out"])


@dataclass(frozen=True)
class Ordered:
    """Any join's one output z against C - 1 rising cuts: P(level <= k) = expit(cut_k - z),
    proportional odds (McCullagh 1980, sec. 2). Scores are the logarithms of the C levels'
    probabilities."""

    join: Join

    def shapes(self, widths: Sequence[int], outputs: int) -> Shapes:
        return self.join.shapes(widths, 1) | {"cuts": (outputs - 1,)}

    def scores(self, weights: Weights, features: Sequence[Tensor], shown: Tensor) -> Tensor:
        """log(expit(b) - expit(a)) = log expit(b) + log expit(-a) + log(1 - exp(a - b))."""
        first, gaps = weights["cuts"][:, :1], functional.softplus(weights["cuts"][:, 1:])
        middle = (
            math.log(2) * gaps.shape[1] / 2
        )  # at the start every gap is log 2, and the cuts lie around 0
        cuts = torch.cat([first - middle, first - middle + gaps.cumsum(1)], dim=1)  # [B, C - 1]
        z = cuts[:, None] - self.join.scores(weights, features, shown)  # [B, n, C - 1]
        below, above = functional.logsigmoid(z), functional.logsigmoid(-z)
        between = below[..., 1:] + above[..., :-1] + torch.log(-torch.expm1(-gaps))[:, None]
        return torch.cat([below[..., :1], between, above[..., -1:]], dim=2)


def _tokens_shapes(widths: Sequence[int], width: int) -> Shapes:
    return {
        **{f"map_token{k}": (w, width) for k, w in enumerate(widths)},
        "place": (len(widths), width),
    }


def _tokens(weights: Weights, features: Sequence[Tensor]) -> Tensor:
    """[B, n, F, width]."""
    found = [torch.bmm(f, weights[f"map_token{k}"]) for k, f in enumerate(features)]
    return torch.stack(found, dim=2) + weights["place"][:, None]


def _apply(x: Tensor, weight: Tensor) -> Tensor:
    """[B, n, T, a] times [B, a, b]."""
    return torch.bmm(x.flatten(1, 2), weight).unflatten(1, x.shape[1:3])


def _softmax(scores: Tensor, shown: Tensor) -> Tensor:
    """Over the last axis, among the shown; all 0 where none is."""
    scores = torch.where(shown > 0, scores, -1e9)
    weight = (scores - scores.amax(-1, keepdim=True)).exp() * shown
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
