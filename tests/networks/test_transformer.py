"""The transformer on patches. Oracles: torch's own attention, the inverse of cutting, and the zero
that it starts as."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gobelin.core.machine import generator
from gobelin.networks.transformer import (
    MOST_IMAGE_PATCHES,
    PatchTransformer,
    attention,
    canvas,
    patch_for,
    waves,
)


@pytest.mark.parametrize(
    ("side", "patch"), [(16, 2), (20, 2), (28, 4), (32, 4), (64, 4), (96, 8), (128, 8), (256, 16)]
)
def test_patches_are_few(side: int, patch: int) -> None:
    assert patch_for((side, side)) == patch
    height, width = canvas((side, side), patch)
    assert (
        height * width // patch**2 <= MOST_IMAGE_PATCHES
        and height % patch == 0
        and side <= height < side + patch
    )


def test_attention_is_torchs() -> None:
    query, key, value = torch.randn(3, 2, 3, 10, 8, generator=generator(0, "qkv"))
    wanted = functional.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(attention(query, key, value), wanted, atol=1e-5)


def test_cut_and_joined_is_the_image() -> None:
    network = PatchTransformer((3, 8, 12), 4, 16, 1, 2)
    image = torch.randn(2, 3, 8, 12, generator=generator(0, "image"))
    tokens = network.tokens(image)
    assert tokens.shape == (2, 6, 48)
    assert torch.equal(
        tokens[:, 1].unflatten(1, (3, 4, 4)), image[:, :, :4, 4:8]
    )  # the second patch of the first row
    assert torch.equal(network.image(tokens), image)


def test_it_starts_as_zero_and_every_weight_can_learn() -> None:
    torch.manual_seed(0)
    network = PatchTransformer((1, 8, 8), 4, 16, 2, 2)
    signal, time, embedded, reach = (
        torch.randn(2, 1, 8, 8),
        torch.tensor([0.1, 0.9]),
        torch.randn(2, 16),
        torch.tensor([0.5, 0]),
    )
    assert torch.equal(network(signal, time, embedded, reach), torch.zeros(2, 1, 8, 8))
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for _ in range(5):
        optimiser.zero_grad()
        (network(signal, time, embedded, reach) - signal).square().mean().backward()
        optimiser.step()
    same = [
        name for name, weight in network.named_parameters() if torch.equal(weight, before[name])
    ]
    assert not same
    one = network(signal, time, embedded, reach)
    assert not torch.allclose(one, network(signal, time, embedded.flip(0), reach))
    assert not torch.allclose(one, network(signal, time.flip(0), embedded, reach))
    assert not torch.allclose(one, network(signal, time, embedded, reach.flip(0)))


def test_every_place_has_its_own_wave() -> None:
    distance = torch.cdist(waves((16, 16), 48), waves((16, 16), 48)) + 10 * torch.eye(256)
    assert float(distance.min()) > 0.1
