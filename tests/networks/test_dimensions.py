"""Signals of two and three dimensions. Oracles: torch's own layers for images, a volume without
depth, and inverses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gobelin.networks import dimensions
from gobelin.networks.convolution import ConvDecoder, ConvEncoder, change
from gobelin.networks.transformer import PatchTransformer, patch_for, waves
from gobelin.networks.unet import Unet, rectangles

RNG = torch.Generator().manual_seed(0)


def test_cubes_become_channels_and_cubes_again() -> None:
    volume = torch.randn(2, 3, 4, 8, 12, generator=RNG)
    cut = dimensions.unshuffled(volume, 4)
    assert cut.shape == (2, 3 * 64, 1, 2, 3)
    assert torch.equal(cut[1, 64:128, 0, 1, 2], volume[1, 1, :4, 4:8, 8:12].flatten())
    assert torch.equal(dimensions.shuffled(cut, 4, 3), volume)


def test_patches_of_a_volume_become_tokens_and_a_volume_again() -> None:
    volume = torch.randn(2, 2, 8, 4, 12, generator=RNG)
    network = PatchTransformer((2, 8, 4, 12), 4, 8, 1, 2)
    tokens = network.tokens(volume)
    assert tokens.shape == (2, 6, 128)
    assert torch.equal(tokens[0, 4], volume[0, :, 4:8, 0:4, 4:8].flatten())
    assert torch.equal(network.image(tokens), volume)


@pytest.mark.parametrize(("side", "patch"), [(16, 4), (32, 4), (48, 8), (64, 8)])
def test_a_volume_has_at_most_512_patches(side: int, patch: int) -> None:
    assert patch_for((side, side, side)) == patch


def test_a_volume_of_depth_one_is_an_image() -> None:
    """Place waves and masks of one layer are those of the image."""
    assert torch.equal(waves((3, 5), 16)[:, :4], waves((1, 3, 5), 24)[:, 8:12])
    image = torch.randn(3, 2, 6, 8, generator=RNG)
    assert torch.equal(
        dimensions.enlarged(image[:, :, None], (1, 8, 9))[:, :, 0],
        functional.pad(image, (0, 1, 0, 2), mode="replicate"),
    )
    pooled = dimensions.pooled_to(image[:, :, None], 1)[:, :, 0, 0, 0]
    assert torch.allclose(pooled, image.mean((2, 3)), atol=1e-6)


@pytest.mark.parametrize("shape", [(20, 24, 1), (16, 20, 24, 1)], ids=["image", "volume"])
def test_networks_keep_the_shape(shape: tuple[int, ...]) -> None:
    sides, dims = shape[:-1], len(shape) - 1
    signal = torch.rand(2, 1, *sides, generator=RNG) * 2 - 1
    code = ConvEncoder(shape, 6, 4).eval()(signal)
    assert code.shape == (2, 6)
    assert ConvDecoder(shape, 6, 4).eval()(code).shape == signal.shape
    unet = Unet(1, 2, 2, 1, 8, 1, 12, dims)
    torch.nn.init.normal_(unet.out.weight)  # type: ignore[arg-type]
    beside = torch.zeros(2, 2, *sides)
    out = unet(signal, torch.rand(2), torch.randn(2, 12), beside)
    assert out.shape == signal.shape and out.abs().max() > 0


def test_a_critics_volumes_move_by_whole_voxels_and_lose_a_cube() -> None:
    """Oracle: the set of values of a moved ramp, and the share of a cube."""
    ramp = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(4, 1, 16, 16, 16)
    moved = change(ramp, torch.Generator().manual_seed(1), 0.25, 0.0, colour=False)
    assert set(moved.unique().tolist()) <= set(range(16))
    steps = (moved[:, 0, 1:, 0, 0] - moved[:, 0, :-1, 0, 0]).unique().tolist()
    assert set(steps) <= {0.0, 1.0}
    held = change(torch.ones(256, 1, 16, 16, 16), torch.Generator().manual_seed(2), 0.0, 0.5, False)
    assert (held == 0).float().mean().item() == pytest.approx((0.5 * 0.875) ** 3, abs=0.02)


def test_boxes_of_known_voxels() -> None:
    """Oracle: half of the known boxes are inside, the share of masks that know anything."""
    known = rectangles(4000, (8, 8, 8), 0.5, torch.Generator().manual_seed(3))
    any_known = known.flatten(1).any(1).float().mean().item()
    # an inside box may be too thin to hold a voxel, so a little under a half
    assert known.shape == (4000, 1, 8, 8, 8) and 0.35 < any_known <= 0.52
