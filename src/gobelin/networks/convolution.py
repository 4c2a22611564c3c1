"""Convolutional encoder and decoder for images of 16 to 256 pixels and volumes of 16 to 64 voxels a
side, and differentiable augmentation for a critic.

Strided convolutions after DCGAN (Radford et al. 2016). The networks grow with the size of the
image: one block more for every doubling of the side. Shapes are those of images; a volume has D
before H.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.networks.dimensions import (
    channels_last,
    convolution,
    cropped,
    dimensions,
    enlarged,
    inner_mean,
    normalisation,
    pooled,
    spread_over,
    transposed,
)

WIDEST_LEVEL = 8  # channels of a level, at most, as a multiple of those at full resolution
LEAKY_SLOPE = 0.2  # of rectifiers below 0


def levels(sides: Sequence[int]) -> int:
    """How often the resolution is halved until the longest side has 4 to 7 cells."""
    return max(1, int(math.log2(max(sides) / 4)))


def grid(sides: Sequence[int]) -> tuple[int, ...]:
    """Cells of the coarsest level along each side, rounded up: h 2^levels >= height."""
    cell = 2 ** levels(sides)
    return tuple(-(-side // cell) for side in sides)


def channels_at(level: int, width: int) -> int:
    """Channels of a level: `width` at full resolution (level 0), doubled at every halving, at most
    8 times.
    """
    return width * min(2**level, WIDEST_LEVEL)


class StyledUpsampling(nn.Module):
    """[N, A, h, w] -> [N, B, 2h, 2w]: transposed convolution, normalised, then scaled and shifted
    by the code [N, K].

    Conditional normalisation (de Vries et al. 2017, equation 3). In evaluation the statistics are
    fixed numbers, so an image doesn't depend on its batch.
    """

    def __init__(self, dims: int, inside: int, outside: int, code: int) -> None:
        super().__init__()
        self.conv = transposed(dims, inside, outside, 4, 2, 1, bias=False)
        self.norm = normalisation(dims, outside, affine=False)
        self.style = nn.Linear(code, 2 * outside)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = spread_over(self.style(code), x).chunk(2, dim=1)
        return functional.leaky_relu(self.norm(self.conv(x)) * (1 + scale) + shift, LEAKY_SLOPE)


class ConvDecoder(nn.Module):
    """Code [N, K] -> image [N, C, H, W] in -1 .. 1; computed on whole cells, then cropped.

    size: H, W, C, or D, H, W, C. code: K. width: channels at full resolution.
    """

    def __init__(self, size: tuple[int, ...], code: int, width: int) -> None:
        super().__init__()
        self.sides, channels, dims = size[:-1], size[-1], len(size) - 1
        top = levels(self.sides)
        self.cells = grid(self.sides)
        self.start = nn.Linear(code, channels_at(top, width) * math.prod(self.cells))
        self.rises = nn.ModuleList(
            StyledUpsampling(dims, channels_at(k, width), channels_at(k - 1, width), code)
            for k in range(top, 0, -1)
        )
        self.paint = convolution(dims, channels_at(0, width), channels, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        x = functional.leaky_relu(self.start(code), LEAKY_SLOPE).unflatten(1, (-1, *self.cells))
        x = channels_last(x)
        for rise in self.rises:
            x = rise(x, code)
        return cropped(torch.tanh(self.paint(x).float()), self.sides)


class DcganDecoder(nn.Module):
    """Code [N, K] -> image [N, C, H, W] in -1 .. 1, in the shape of DCGAN (Radford et al. 2016).

    The code enters once, at the coarsest level, and the last transposed convolution gives the image
    from half resolution. width: as in `ConvDecoder`, whose level 0 is left out.
    """

    def __init__(self, size: tuple[int, ...], code: int, width: int) -> None:
        super().__init__()
        self.height, self.breadth, channels = size
        top = levels(size[:-1])
        self.cells = grid(size[:-1])
        widths = [channels_at(k, width) for k in range(top, 0, -1)]
        self.start = nn.Linear(code, widths[0] * self.cells[0] * self.cells[1], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(level_width) for level_width in widths)
        self.rises = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.paint = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)

    def forward(self, code: Tensor) -> Tensor:
        x = (
            self.start(code)
            .unflatten(1, (-1, *self.cells))
            .contiguous(memory_format=torch.channels_last)
        )
        x = functional.relu(self.norms[0](x))
        for rise, norm in zip(self.rises, self.norms[1:], strict=True):
            x = functional.relu(norm(rise(x)))
        return torch.tanh(self.paint(x).float())[:, :, : self.height, : self.breadth]


class ConvEncoder(nn.Module):
    """Image [N, C, H, W] -> numbers [N, K]; the edge is repeated up to whole cells.

    size: H, W, C, or D, H, W, C. outputs: K. width: channels at full resolution, if there were a
    level 0. hidden: width of the layer before the last. norm: batch normalisation after all but the
    first convolution (DCGAN). deviation: it also gets how much the images of a group differ in each
    coarse channel (minibatch deviation, Karras et al. 2018, section 3), so a critic recognises
    images that are all alike.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        outputs: int,
        width: int,
        hidden: int = 256,
        norm: bool = False,
        deviation: bool = False,
    ) -> None:
        super().__init__()
        sides, channels, dims = size[:-1], size[-1], len(size) - 1
        top, cells = levels(sides), grid(sides)
        self.whole = tuple(count * 2**top for count in cells)
        widths = [channels] + [channels_at(k, width) for k in range(1, top + 1)]
        self.falls = nn.ModuleList(
            convolution(dims, widths[k], widths[k + 1], 4, 2, 1) for k in range(top)
        )
        self.norms = nn.ModuleList(
            normalisation(dims, widths[k + 1]) if norm and k else nn.Identity() for k in range(top)
        )
        self.deviation = deviation
        self.hidden = nn.Linear(widths[-1] * (math.prod(cells) + deviation), hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, image: Tensor, groups: int = 1) -> Tensor:
        """image [N, C, H, W] -> float32 [N, K]. groups: count of groups; each is N / groups
        successive images.
        """
        x = channels_last(enlarged(image, self.whole))
        for fall, norm in zip(self.falls, self.norms, strict=True):
            x = functional.leaky_relu(norm(fall(x)), LEAKY_SLOPE)
        features = [x.flatten(1), differences(x, groups)] if self.deviation else [x.flatten(1)]
        return self.out(
            functional.leaky_relu(self.hidden(torch.cat(features, dim=1)), LEAKY_SLOPE)
        ).float()


def differences(x: Tensor, groups: int) -> Tensor:
    """[N, C, h, w] -> [N, C]: the standard deviation over the images of a group, averaged over the
    cells.
    """
    spread = (x.unflatten(0, (groups, -1)).float().var(1, correction=0) + 1e-8).sqrt()
    spread = spread.mean(tuple(range(2, x.dim())))
    return spread.repeat_interleave(len(x) // groups, 0).to(x.dtype)


def change(
    image: Tensor, rng: torch.Generator, shift: float, hole: float, colour: bool = True
) -> Tensor:
    """Differentiable augmentation (Zhao et al. 2020, section 3.2) of images [N, C, H, W] or volumes
    [N, C, D, H, W] in -1 .. 1, another one for every image.

    colour: whether to change brightness, saturation and contrast. shift: largest translation, hole:
    side of the square or cube that is blanked, both as a share of the side; 0 = off.
    """
    n, sides, dims = len(image), image.shape[2:], dimensions(image)
    draw = torch.rand(n, 3 + 2 * dims, generator=rng).to(image.device)
    if colour:
        brightness, saturation, contrast = (spread_over(draw[:, k], image) for k in range(3))
        image = image + (brightness - 0.5)
        grey = image.mean(1, keepdim=True)
        image = (image - grey) * (2 * saturation) + grey
        level = spread_over(inner_mean(image), image)
        image = (image - level) * (contrast + 0.5) + level
    if shift:
        image = _translate(image, (draw[:, 3 : 3 + dims] * 2 - 1) * shift)
    if hole:
        inside = torch.ones(n, *sides, dtype=torch.bool, device=image.device)
        for axis, side in enumerate(sides):
            place = (torch.arange(side, device=image.device) / side)[None]
            near = (place - draw[:, 3 + dims + axis, None]).abs() < hole / 2  # [N, side]
            inside = inside & _along(near, axis, dims)[:, 0]
        image = image * ~inside[:, None]
    return image


def _along(values: Tensor, axis: int, dims: int) -> Tensor:
    """[N, side] as [N, 1, ..., side, ...]: the values along this spatial dimension."""
    shape = [len(values), 1, *[1] * dims]
    shape[2 + axis] = values.shape[1]
    return values.view(shape)


def _translate(image: Tensor, share: Tensor) -> Tensor:
    """Move each image by whole pixels, share [N, 2] of (height, width), or [N, 3] of a volume.
    Pixels that come in repeat the edge.
    """
    sides = image.shape[2:]
    by = (share * torch.tensor(list(sides), device=image.device)).round().long()
    for axis, side in enumerate(sides):
        place = torch.arange(side, device=image.device) + by[:, axis, None]
        place = _along(place.clamp(0, side - 1), axis, len(sides))
        image = image.gather(2 + axis, place.expand(image.shape))
    return image


def pyramid_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of images [N, C, H, W] at full, half and quarter size, summed: one
    number.
    """
    total = (generated - real).abs().mean()
    for _ in range(2):
        generated, real = pooled(generated, 2), pooled(real, 2)
        total = total + (generated - real).abs().mean()
    return total


def signal_of(images: np.ndarray) -> Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W] in -1 .. 1, channels last in memory. The same of
    volumes [N, D, H, W, C]."""
    return scaled(torch.from_numpy(np.ascontiguousarray(images)))


def scaled(images: Tensor) -> Tensor:
    """[N, H, W, C] in 0 .. 255 -> float32 [N, C, H, W] in -1 .. 1."""
    return images.movedim(-1, 1).float() / 127.5 - 1


def pixels_of(signal: Tensor) -> np.ndarray:
    """The inverse of `signal_of`: float32 [N, C, H, W] in -1 .. 1 -> uint8 [N, H, W, C]."""
    pixels = ((signal + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.movedim(1, -1).contiguous().cpu().numpy()
