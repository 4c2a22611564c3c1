"""Images as sequences: a causal transformer from patch to patch, and inside a patch one number
after the other.

The order is: patches row by row, inside a patch pixels row by row, inside a pixel its channels.
With x_t the t-th level, log p(x | condition) = sum over t of log p(x_t | x_<t, condition), exactly
(PixelRNN, van den Oord et al. 2016, equation 1). The two scales are those of MEGABYTE (Yu et al.
2023, section 2). Shapes: P patches, K numbers in a patch, L levels of a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.networks.condition import ConditionEmbedding, ConditionTensors

MOST_NUMBERS = 2**16  # whose conditional distributions are computed at once


def quantise(images: np.ndarray, levels: int) -> Tensor:
    """uint8 of any shape -> the nearest of L evenly spaced levels, int64 of the same shape."""
    table = np.rint(np.arange(256) * (levels - 1) / 255).astype(np.int64)
    return torch.from_numpy(table[np.asarray(images)])


def dequantise(level: Tensor, levels: int) -> np.ndarray:
    """The inverse of `quantise`, uint8: level 0 is 0, level L - 1 is 255. The error is at most half
    a step, 255 / (2 (L - 1)), rounded up.
    """
    return np.rint(level.cpu().numpy() * (255 / (levels - 1))).astype(np.uint8)


def level_bits(images: np.ndarray, levels: int) -> np.ndarray:
    """float64 [N]: mean log2 of how many of the 256 values share a number's level.

    Add it to the bits of the quantised image for a bound of the bits of the 8-bit image, with
    values uniform inside a level (uniform dequantisation, Theis et al. 2016, section 3.1).
    """
    sizes = torch.bincount(quantise(np.arange(256), levels), minlength=levels).double().log2()
    return sizes[quantise(images, levels)].flatten(1).mean(1).numpy()


@dataclass(frozen=True)
class Patches:
    """How an image is cut into P patches of `side` x `side` pixels, K = side^2 C numbers each; the
    last ones are padded. size: H, W, C.
    """

    size: tuple[int, int, int]
    side: int

    @staticmethod
    def fitting(size: tuple[int, int, int]) -> Patches:
        """Patches whose side is the smallest power of two with at most 16 side^2 patches. So the
        sequence of patches and the one inside a patch grow alike.
        """
        side = 1
        while Patches(size, side).count > 16 * side**2:
            side *= 2
        return Patches(size, side)

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.size[0] // self.side), -(-self.size[1] // self.side)

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self) -> int:
        return self.side**2 * self.size[2]

    def cut(self, level: Tensor) -> Tensor:
        """[N, H, W, C] -> [N, P, K], zero where padded."""
        rows, columns, side = *self.grid, self.side
        pad = (0, 0, 0, columns * side - self.size[1], 0, rows * side - self.size[0])
        cells = functional.pad(level, pad).reshape(
            len(level), rows, side, columns, side, self.size[2]
        )
        return cells.transpose(2, 3).reshape(len(level), self.count, self.tokens)

    def join(self, level: Tensor) -> Tensor:
        """[N, P, K] -> [N, H, W, C]."""
        rows, columns, side = *self.grid, self.side
        cells = level.reshape(len(level), rows, columns, side, side, self.size[2]).transpose(2, 3)
        return cells.reshape(len(level), rows * side, columns * side, -1)[
            :, : self.size[0], : self.size[1]
        ]

    def real(self) -> Tensor:
        """bool [P, K]: False where padded."""
        return self.cut(torch.ones(1, *self.size))[0] > 0


class CausalBlock(nn.Module):
    """Causal attention and a two-layer network for each patch, both residual (Vaswani et al. 2017).
    Their inputs are normalised, then scaled and shifted by the condition (adaLN, Peebles and Xie
    2023, section 3.2).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.style = nn.Linear(width, 4 * width)
        self.look, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def styles(self, embedded: Tensor) -> tuple[Tensor, ...]:
        """Embedded condition [N, width] -> two scales and two shifts [N, 1, width]."""
        return self.style(functional.silu(embedded))[:, None].chunk(4, dim=2)

    def forward(
        self,
        x: Tensor,
        styles: tuple[Tensor, ...],
        keep: Tensor,
        cache: Tensor | None = None,
        position: int = 0,
    ) -> Tensor:
        """x [N, P, width] -> the same shape. keep [N, 1, width] multiplies what is added (dropout).

        With a cache [2, N, heads, P, width / heads] of keys and values, x [N, 1, width] is the
        patch at `position`, which attends to the cache up to itself.
        """
        normal = self.norms[0](x) * (1 + styles[0]) + styles[1]
        query, key, value = (
            self.look(normal).unflatten(2, (3 * self.heads, -1)).transpose(1, 2).chunk(3, dim=1)
        )
        if cache is None:
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            cache[0, :, :, position], cache[1, :, :, position] = key[:, :, 0], value[:, :, 0]
            attended = functional.scaled_dot_product_attention(
                query, *cache[:, :, :, : position + 1]
            )
        x = x + keep * self.merge(attended.transpose(1, 2).flatten(2))
        return x + keep * self.think(self.norms[1](x) * (1 + styles[2]) + styles[3])


class PatchHead(nn.Module):
    """p(x_k | x_<k, context) for the K numbers of a patch.

    NADE (Larochelle and Murray 2011, equations 2 and 3) with softmax outputs and a context: a_k = A
    context + sum over j < k of E_j(x_j), then two layers that all k share. context: width of the
    context. tokens: K. hidden: width of a_k.
    """

    def __init__(self, context: int, tokens: int, levels: int, hidden: int) -> None:
        super().__init__()
        self.start = nn.Linear(context, hidden)
        self.slope = nn.Parameter(torch.randn(tokens, 1, hidden) / tokens**0.5)
        self.table = nn.Parameter(torch.zeros(tokens, levels, hidden))
        self.place = nn.Parameter(torch.zeros(tokens, hidden))
        self.norm = nn.LayerNorm(hidden)
        self.inner, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, levels, bias=False)
        self.bias = nn.Parameter(torch.zeros(tokens, levels))
        nn.init.zeros_(self.out.weight)
        self.before: Tensor
        self.register_buffer("before", torch.ones(tokens, tokens).tril(-1), persistent=False)

    def effect(self) -> Tensor:
        """E [K, L, hidden]: what level l of the j-th number adds to the state of all later ones."""
        scale = torch.linspace(
            -1, 1, self.table.shape[1], dtype=self.table.dtype, device=self.table.device
        )
        return self.slope * scale[:, None] + self.table

    def logits(self, state: Tensor, k: int | slice) -> Tensor:
        """state a_k [M, hidden] of one k, or [M, K, hidden] of all -> [.., L]."""
        x = functional.relu(self.norm(state + self.place[k]))
        return self.out(x + functional.relu(self.inner(x))) + self.bias[k]

    def forward(self, context: Tensor, level: Tensor, real: Tensor) -> Tensor:
        """log p(x_k | x_<k, context) of M patches, [M, K], in nats, 0 where padded. context [M,
        width], level and real [M, K].
        """
        index = level + torch.arange(level.shape[1], device=level.device) * self.table.shape[1]
        added = functional.embedding(index, self.effect().flatten(0, 1)) * real[..., None]
        state = self.start(context)[:, None] + torch.matmul(self.before, added)
        logits = self.logits(state, slice(None))
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return (
            -functional.cross_entropy(
                logits.flatten(0, 1), level.flatten(), reduction="none"
            ).view_as(level)
            * real
        )


class PatchSequence(nn.Module):
    """p(image | condition) over all images of L levels.

    The token of patch i comes from its neighbours: the patches to the left, above left, above and
    above right. Attention adds all patches before those.
    """

    def __init__(
        self,
        patches: Patches,
        levels: int,
        embedding: ConditionEmbedding,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.patches, self.levels, self.embedding, self.heads = patches, levels, embedding, heads
        self.inside = nn.Linear(4 * patches.tokens, width)
        self.place = nn.Parameter(torch.randn(patches.count, width) * 0.02)
        self.blocks = nn.ModuleList(CausalBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = PatchHead(width, patches.tokens, levels, hidden)
        self.real: Tensor
        self.register_buffer("real", patches.real(), persistent=False)

    @torch.no_grad()
    def start_from(self, level: Tensor) -> None:
        """Set the output biases to the frequencies of levels [N, P, K] at each place of a patch,
        with one pseudo-count each.
        """
        for k in range(level.shape[2]):
            counts = torch.bincount(
                level[:, self.real[:, k].to(level.device), k].flatten(), minlength=self.levels
            )
            self.head.bias[k] = ((counts + 1) / (counts + 1).sum()).log()

    def values(self, level: Tensor) -> Tensor:
        """Levels as numbers in -1 .. 1."""
        return level.to(self.place.dtype) * (2 / (self.levels - 1)) - 1

    def contexts(self, level: Tensor, parts: ConditionTensors, dropout: float = 0.0) -> Tensor:
        """Contexts [N, P, width] of level [N, P, K]; that of patch i depends on patches before i
        only. dropout: rate; one mask for all patches of an image (Gal and Ghahramani 2016, section
        4).
        """
        rows, columns = self.patches.grid
        values = (self.values(level) * self.real).unflatten(1, (rows, columns))
        padded = functional.pad(values, (0, 0, 1, 1, 1, 0))
        neighbours = (
            padded[:, :-1, :-2],
            padded[:, :-1, 1:-1],
            padded[:, :-1, 2:],
            padded[:, 1:, :-2],
        )
        embedded = self.embedding(parts)
        x = self.inside(torch.cat(neighbours, dim=3).flatten(1, 2)) + self.place + embedded[:, None]
        keep = functional.dropout(torch.ones_like(x[:, :1]), dropout, training=dropout > 0)
        for block in cast(list[CausalBlock], self.blocks):
            x = block(x, block.styles(embedded), keep)
        return self.norm(x)

    def loss(
        self, level: Tensor, parts: ConditionTensors, dropout: float, rng: torch.Generator
    ) -> Tensor:
        """Mean bits of a number of level [N, P, K], over as many random patches of the batch as
        MOST_NUMBERS allows.
        """
        context, target = self.contexts(level, parts, dropout).flatten(0, 1), level.flatten(0, 1)
        real = self.real.repeat(len(level), 1)
        most_patches = max(1, MOST_NUMBERS // self.patches.tokens)
        if most_patches < len(target):
            chosen = torch.randperm(len(target), generator=rng)[:most_patches].to(target.device)
            context, target, real = context[chosen], target[chosen], real[chosen]
        return -self.head(context, target, real).sum() / real.sum() / math.log(2)

    def forward(self, level: Tensor, parts: ConditionTensors) -> Tensor:
        """log p(x_t | x_<t, condition) of every number of level [N, P, K], in nats; 0 where
        padded.
        """
        context, target = self.contexts(level, parts).flatten(0, 1), level.flatten(0, 1)
        real, most_patches = (
            self.real.repeat(len(level), 1),
            max(1, MOST_NUMBERS // self.patches.tokens),
        )
        pieces = zip(
            context.split(most_patches),
            target.split(most_patches),
            real.split(most_patches),
            strict=True,
        )
        return torch.cat([self.head(*piece) for piece in pieces]).view_as(level)

    @torch.no_grad()
    def draw(
        self, uniform: Tensor, parts: ConditionTensors, guidance: float
    ) -> tuple[Tensor, Tensor]:
        """Levels [N, P, K], drawn by inverse distribution functions from uniform numbers [N, H W C]
        in order, and the sum [N] of their log-probabilities.

        guidance: g in log p ~ log p_none + g (log p_condition - log p_none), normalised again for
        every number (Ho and Salimans 2022, equation 6, for logits).
        """
        # with guidance all runs twice: the first n rows with the condition, the others without
        pair, embedded = guidance != 1.0, self.embedding(parts)
        embedded = torch.cat([embedded, self.embedding(parts.nothing())]) if pair else embedded
        (rows, columns), (n, width) = self.patches.grid, embedded.shape
        uniforms = iter(uniform.unbind(1))
        cache_shape = (2, n, self.heads, self.patches.count, width // self.heads)
        blocks = [
            (block, block.styles(embedded), embedded.new_zeros(cache_shape))
            for block in cast(list[CausalBlock], self.blocks)
        ]
        padded = embedded.new_zeros(len(uniform), rows + 1, columns + 2, self.patches.tokens)
        effect, levels, total = self.head.effect(), [], embedded.new_zeros(len(uniform))
        for position in range(self.patches.count):
            y, x = divmod(position, columns)
            neighbours = torch.cat([padded[:, y, x : x + 3].flatten(1), padded[:, y + 1, x]], dim=1)
            token = (self.inside(neighbours.repeat(1 + pair, 1)) + self.place[position] + embedded)[
                :, None
            ]
            for block, styles, cache in blocks:
                token = block(token, styles, token.new_ones(()), cache, position)
            context = self.norm(token[:, 0])
            level, log_p = self._patch(
                context, self.real[position].tolist(), uniforms, guidance, effect
            )
            padded[:, y + 1, x + 1] = self.values(level) * self.real[position]
            levels.append(level)
            total = total + log_p
        return torch.stack(levels, dim=1), total

    def _patch(
        self,
        context: Tensor,
        real: list[bool],
        uniforms: Iterator[Tensor],
        guidance: float,
        effect: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The levels [N, K] of one patch and the sum [N] of their log-probabilities.

        context: [N, width]; with guidance [2 N, width], the second half for the empty condition.
        real: which of the K numbers aren't padding. uniforms: the next uniform numbers, [N]
        each.
        """
        pair, state = guidance != 1.0, self.head.start(context)
        n = len(state) // (1 + pair)
        level = torch.zeros(n, len(real), dtype=torch.long, device=state.device)
        total = state.new_zeros(n)
        for k in (k for k, is_real in enumerate(real) if is_real):
            log_p = self.head.logits(state, k).log_softmax(1)
            if pair:
                log_p = (log_p[n:] + guidance * (log_p[:n] - log_p[n:])).log_softmax(1)
            higher = next(uniforms)[:, None] >= log_p.exp().cumsum(1)[:, :-1]
            level[:, k] = chosen = higher.sum(1)
            total = total + log_p.gather(1, chosen[:, None])[:, 0]
            state = state + effect[k, chosen].repeat(1 + pair, 1)
        return level, total
