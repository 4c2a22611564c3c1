"""The patch network against the same computed patch by patch, and what it learns from planted
patches."""

from __future__ import annotations

import numpy as np
import torch

from gobelin.core.machine import generator
from gobelin.networks.patches import COARSE_SIDE, CONTRAST, THRESHOLD, PatchNetwork

IMAGES = torch.rand(4, 3, 9, 9, generator=generator(0, "images")) * 2 - 1


def learned(signals: torch.Tensor = IMAGES, seed: int = 0) -> PatchNetwork:
    network = PatchNetwork(3, 5, 3, 2).eval()
    network.learn(signals, seed, torch.arange(len(signals)), 1)
    return network


def test_answers_are_those_of_every_patch_by_itself() -> None:
    """Equal contrast, filter, two-sided threshold, mean over 2 x 2 places, then over cells: in
    plain numpy."""
    network = learned()
    filters, level = (
        network.see.weight.detach().numpy().reshape(5, -1),
        network.level.detach().numpy().ravel(),
    )
    image = IMAGES[0].numpy()
    answers = np.zeros((10, 7, 7))
    for top in range(7):
        for left in range(7):
            patch = image[:, top : top + 3, left : left + 3]
            contrast = (patch**2).mean() - patch.mean() ** 2
            seen = filters @ patch.ravel() / np.sqrt(contrast + CONTRAST)
            seen = seen - level
            answers[:5, top, left], answers[5:, top, left] = (
                np.maximum(seen - THRESHOLD, 0),
                np.maximum(-seen - THRESHOLD, 0),
            )
    halves = np.stack(
        [
            [
                [answers[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(4)]
                for i in range(4)
            ]
            for c in range(10)
        ]
    )
    cells = halves.reshape(10, 2, 2, 2, 2).mean((2, 4))
    found = network(IMAGES[:1]).detach().numpy()[0]
    assert found.shape == (network.width,) == (10 * 4 + 3 * COARSE_SIDE**2,)
    assert np.allclose(found[:40], cells.ravel(), atol=1e-5)


def test_it_is_a_function_of_images_and_seed() -> None:
    first, again, other = learned(), learned(), learned(seed=1)
    assert torch.equal(first(IMAGES), again(IMAGES)) and not torch.allclose(
        first(IMAGES), other(IMAGES)
    )
    assert (
        torch.isfinite(learned(IMAGES[:0])(IMAGES)).all()
        and torch.isfinite(learned(torch.zeros(3, 3, 9, 9))(IMAGES)).all()
    )


def test_the_second_layer_changes_nothing_until_it_is_trained() -> None:
    network = learned()
    before = network(IMAGES)
    with torch.no_grad():
        network.deepen.weight.mul_(5)
    assert torch.equal(network(IMAGES), before)
    with torch.no_grad():
        network.widen.weight.normal_(generator=generator(1, "widen"))
    assert not torch.allclose(network(IMAGES), before, atol=1e-3)


def test_filters_are_the_planted_patches() -> None:
    """Images of two kinds of stripes alone: every filter in use answers to one kind and hardly to
    the other."""
    rows, columns = torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 12)
    rows[:, :, ::2], columns[:, :, :, ::2] = 1, 1
    noise = 0.05 * torch.randn(40, 1, 12, 12, generator=generator(0, "noise"))
    network = PatchNetwork(1, 2, 4, 1).eval()
    network.learn(torch.cat([rows, columns] * 20) + noise, 0, torch.arange(40), 5)
    answers = network(torch.cat([rows, columns])).detach()[
        :, :4
    ]  # [2 images, 2 filters and their negatives]
    strength = answers.unflatten(1, (2, 2)).sum(1)
    assert float((strength[0] - strength[1]).abs().min()) > 5 * float(
        strength.min(0).values.max().clamp_min(1e-3)
    )


def test_a_filter_that_few_images_make_stays_noise() -> None:
    """Forty flat images and one of noise: with one group enough some filter is near a patch of it,
    with five none is."""
    loud = 2 * torch.randint(0, 2, (1, 1, 5, 5), generator=generator(1, "loud")).float() - 1
    images = torch.cat([torch.zeros(40, 1, 5, 5), loud])

    def nearest(least_groups: int) -> float:
        network = PatchNetwork(1, 3, 4, 1).eval()
        network.learn(images, 0, torch.arange(41), least_groups)
        patches = loud.unfold(2, 4, 1).unfold(3, 4, 1).reshape(4, 16)
        patches = torch.nn.functional.normalize(patches - patches.mean(1, keepdim=True), dim=1)
        filters = torch.nn.functional.normalize(network.see.weight.reshape(3, 16), dim=1)
        return float((filters.detach() @ patches.T).abs().max())

    assert nearest(1) > 0.9 > 0.8 > nearest(5)
