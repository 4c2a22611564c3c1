"""A transformer on the patches of an image or volume, conditioned on a time and a condition vector
(DiT, Peebles and Xie 2023, section 3.2).

Nearly all its work is matrix products over tokens, which processors with bfloat16 do ten times
faster than float32.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.networks.dimensions import convolution, enlarged

TIME_FREQUENCIES = 32  # of the sines and cosines that encode a time
MOST_IMAGE_PATCHES = 256
VOLUME_PATCH, MOST_VOLUME_PATCHES = 4, 512


def patch_for(sides: Sequence[int]) -> int:
    """Side of a patch: 2 up to 20 pixels, else 4, doubled until there are at most 256 patches. Of
    volumes 4, doubled until there are at most 512. sides: H, W, or D, H, W.
    """
    # Few and large patches of a volume cost a quarter and learn badly: a token must hold the noise
    # of all its voxels (measured at 32 voxels: patches of 8 .52, of 4 .12, Fréchet distance).
    patch, most = (2 if max(sides) <= 20 else 4), MOST_IMAGE_PATCHES
    if len(sides) == 3:
        patch, most = VOLUME_PATCH, MOST_VOLUME_PATCHES
    while math.prod(-(-side // patch) for side in sides) > most:
        patch *= 2
    return patch


def canvas(sides: Sequence[int], patch: int) -> tuple[int, ...]:
    """The sides rounded up to whole patches."""
    return tuple(-(-side // patch) * patch for side in sides)


def padded(signal: Tensor, patch: int) -> Tensor:
    """[N, C, H, W] enlarged to whole patches; the edge is repeated to the right and below. The same
    of volumes [N, C, D, H, W]."""
    return enlarged(signal, canvas(signal.shape[2:], patch))


def waves(grid: Sequence[int], width: int) -> Tensor:
    """[T, width]: sines and cosines of a patch's place along each side of the grid of T patches
    (Vaswani et al. 2017, section 3.5).
    """
    count = -(-width // (2 * len(grid)))
    frequency = torch.logspace(0, -2, count) * math.pi / 2
    places = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    angles = [place.flatten()[:, None] * frequency for place in places]
    both = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat(both, dim=1)[:, :width]


def time_waves(time: Tensor) -> Tensor:
    """Times [N] -> [N, 2 * TIME_FREQUENCIES]: sines and cosines."""
    angle = time[:, None] * torch.logspace(0, 2.5, TIME_FREQUENCIES, device=time.device)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) v, [N, heads, T, d] (Vaswani et al. 2017, equation 1)."""
    # On a CPU the plain formula is used: for 49 tokens it is six times faster, forward and
    # backward, than torch's fused attention (measured in bfloat16).
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    return scores.softmax(dim=3).to(value.dtype) @ value


class AttentionBlock(nn.Module):
    """A depthwise convolution over 3 x 3 patches (3 x 3 x 3 of a volume), attention, then a
    two-layer network on each token. The last two are scaled, shifted and gated by the style
    (adaLN-Zero). grid: patches along each side.
    """

    def __init__(self, grid: tuple[int, ...], width: int, heads: int) -> None:
        super().__init__()
        self.grid, self.heads = grid, heads
        self.near = convolution(len(grid), width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.style = nn.Linear(width, 6 * width)
        self.ask = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        for weight in (*self.style.parameters(), *self.near.parameters()):
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x [N, T, width], style [N, width] -> [N, T, width]."""
        near = self.near(x.transpose(1, 2).unflatten(2, self.grid))
        x = x + near.flatten(2).transpose(1, 2)
        scale, shift, gate, scale_2, shift_2, gate_2 = self.style(style)[:, None].chunk(6, dim=2)
        projected = self.ask(self.norm(x) * (1 + scale) + shift).unflatten(2, (3, self.heads, -1))
        attended = attention(*projected.transpose(1, 3).unbind(2))
        x = x + gate * self.mix(attended.transpose(1, 2).flatten(2))
        hidden = functional.relu(
            self.widen(self.norm(x) * (1 + scale_2) + shift_2)
        ).square()  # Primer, So et al. 2021
        return x + gate_2 * self.narrow(hidden)


class PatchTransformer(nn.Module):
    """F(signal, time, condition, reach): [N, C, H, W] -> [N, C, H, W], or of volumes [N, C, D, H,
    W]. The sides are multiples of the patch. Untrained it is 0.
    """

    def __init__(
        self, size: tuple[int, ...], patch: int, width: int, depth: int, heads: int
    ) -> None:
        """size: C, H, W, or C, D, H, W."""
        super().__init__()
        channels, *sides = size
        self.patch, self.grid = patch, tuple(side // patch for side in sides)
        numbers = channels * patch ** len(sides)  # of a patch
        self.inside = nn.Linear(numbers, width)
        self.place = nn.Parameter(waves(self.grid, width))
        self.time = nn.Linear(2 * TIME_FREQUENCIES, width)
        self.reach = nn.Linear(2 * TIME_FREQUENCIES, width)
        self.steer = nn.Linear(width, width)
        self.blocks = nn.ModuleList(AttentionBlock(self.grid, width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.style = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, numbers)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, signal: Tensor, time: Tensor, embedded: Tensor, reach: Tensor) -> Tensor:
        """signal [N, C, H, W], time and reach [N], embedded condition [N, width]."""
        style = functional.silu(
            embedded + self.time(time_waves(time)) + self.reach(time_waves(reach))
        )
        style = functional.silu(self.steer(style))
        x = self.inside(self.tokens(signal)) + self.place
        for block in self.blocks:
            x = block(x, style)
        scale, shift = self.style(style)[:, None].chunk(2, dim=2)
        return self.image(self.out(self.norm(x) * (1 + scale) + shift))

    def tokens(self, signal: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, T, C p p], or [N, C, D, H, W] -> [N, T, C p p p]."""
        dims = len(self.grid)
        cut = signal
        for axis in range(dims + 1, 1, -1):
            cut = cut.unflatten(axis, (-1, self.patch))
        patches, inside = range(2, 2 * dims + 2, 2), range(3, 2 * dims + 2, 2)
        return cut.permute(0, *patches, 1, *inside).flatten(dims + 1).flatten(1, dims)

    def image(self, tokens: Tensor) -> Tensor:
        """The inverse of `tokens`."""
        dims = len(self.grid)
        cut = tokens.unflatten(2, (-1, *[self.patch] * dims)).unflatten(1, self.grid)
        pairs = zip(range(1, dims + 1), range(dims + 2, 2 * dims + 2), strict=True)
        image = cut.permute(0, dims + 1, *itertools.chain.from_iterable(pairs))
        for axis in range(dims + 1, 1, -1):
            image = image.flatten(2 * axis - 2, 2 * axis - 1)
        return image
