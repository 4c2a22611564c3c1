"""The likelihood against the sum over all images, the order of causes by perturbation, the sampler
against a second one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from gobelin.core.machine import generator
from gobelin.networks.condition import ConditionEmbedding, ConditionTensors
from gobelin.networks.sequence import Patches, PatchSequence, dequantise, level_bits, quantise

pytestmark = pytest.mark.usefixtures("runtime")  # one thread: these products are small
TINY = [
    ((2, 2, 1), 2, 2),
    ((3, 2, 1), 2, 2),
    ((2, 2, 1), 3, 1),
    ((1, 2, 3), 2, 1),
    ((2, 3, 1), 2, 4),
]


def network(
    size: tuple[int, int, int], levels: int, side: int, width: int = 8, spread: float = 0.7
) -> PatchSequence:
    """Random weights in float64, none of them zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        embedding = ConditionEmbedding(0, 1, 3, width)
        made = PatchSequence(
            Patches(size, side), levels, embedding, width, depth=2, heads=2, hidden=width
        ).double()
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=spread)
    return made.requires_grad_(False)


def asking(target: list[int]) -> ConditionTensors:
    n = len(target)
    return ConditionTensors(
        torch.zeros(n, 0, 1).double(), torch.zeros(n, 0, dtype=torch.bool), torch.tensor(target)
    )


def every_image(size: tuple[int, int, int], levels: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(levels), repeat=math.prod(size)))).reshape(
        -1, *size
    )


def total(net: PatchSequence, images: torch.Tensor, target: int) -> torch.Tensor:
    """log p [N] of images [N, H, W, C]."""
    return net(net.patches.cut(images), asking([target] * len(images))).sum((1, 2))


def uniform(net: PatchSequence, n: int) -> torch.Tensor:
    numbers = math.prod(net.patches.size)
    return torch.stack(
        [
            torch.rand(numbers, generator=generator(k, "noise"), dtype=torch.float64)
            for k in range(n)
        ]
    )


@pytest.mark.parametrize(("size", "levels", "side"), TINY)
def test_probabilities_of_all_images_sum_to_one(
    size: tuple[int, int, int], levels: int, side: int
) -> None:
    net, images = network(size, levels, side), every_image(size, levels)
    for target in (-1, 0, 2):
        logs = total(net, images, target)
        assert float(logs.exp().sum()) == pytest.approx(1.0, abs=1e-12)
        assert float(logs.exp().max()) > 1.5 / len(images)  # and they aren't all the same


@pytest.mark.parametrize(("size", "side"), [((6, 5, 2), 2), ((4, 4, 1), 1), ((5, 3, 3), 4)])
def test_a_later_number_never_changes_an_earlier_conditional(
    size: tuple[int, int, int], side: int
) -> None:
    net = network(size, 5, side, spread=0.4)
    level = net.patches.cut(torch.randint(0, 5, (1, *size), generator=generator(0, "levels")))
    order = (
        net.real.flatten().nonzero()[:, 0].tolist()
    )  # places of the numbers, in the order of generation
    plain, reached = net(level, asking([1])).flatten(), 0
    for t, at in enumerate(order):
        changed = level.clone().flatten()
        changed[at] = (changed[at] + 2) % 5
        moved = (net(changed.view_as(level), asking([1])).flatten() - plain).abs()[order] > 1e-12
        assert not bool(moved[:t].any())
        reached += int(moved[t + 1 :].sum())
    assert reached > 0.6 * len(order) * (len(order) - 1) / 2  # what comes later does change


@pytest.mark.parametrize("target", [-1, 1])
def test_the_sampler_draws_from_the_likelihood(target: int) -> None:
    """A second sampler: every conditional from whole images with this number replaced, then its
    inverse by uniforms."""
    net, n = network((3, 5, 2), 4, 2, spread=0.4), 6
    noise = uniform(net, n)
    drawn, logs = net.draw(noise, asking([target] * n), 1.0)
    assert torch.allclose(logs, net(drawn, asking([target] * n)).sum((1, 2)), atol=1e-10)
    for t, at in enumerate(net.real.flatten().nonzero()[:, 0].tolist()):
        place, k = divmod(at, net.patches.tokens)
        shares = []
        for level in range(4):
            other = drawn.clone()
            other[:, place, k] = level
            shares.append(net(other, asking([target] * n))[:, place, k].exp())
        below = torch.stack(shares, dim=1).cumsum(1)
        assert torch.allclose(below[:, -1], torch.ones(n).double())
        assert torch.equal((noise[:, t, None] >= below[:, :-1]).sum(1), drawn[:, place, k])


def test_images_come_as_often_as_their_probability_says() -> None:
    size, n = (2, 2, 1), 8000
    net, images = network(size, 2, 2), every_image(size, 2)
    drawn = net.patches.join(net.draw(uniform(net, n), asking([2] * n), 1.0)[0])
    counts = torch.bincount((drawn.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    expected = total(net, images, 2).exp() * n
    assert (
        float(((counts - expected).square() / expected).sum()) < 37.7
    )  # chi-squared, 15 degrees of freedom, 0.1 %


def test_levels_do_not_depend_on_the_batch() -> None:
    net, n = network((12, 12, 3), 32, 4, width=48, spread=0.2), 64
    noise, target = uniform(net, n), [k % 3 for k in range(n)]
    for guidance in (1.0, 2.0):
        whole = net.draw(noise, asking(target), guidance)[0]
        for batch in (1, 3):
            some = range(0, 9, batch)
            parts = [
                net.draw(noise[k : k + batch], asking(target[k : k + batch]), guidance)[0]
                for k in some
            ]
            assert torch.equal(torch.cat(parts), whole[:9])


def test_guidance_is_its_formula() -> None:
    net, g = network((1, 1, 1), 5, 1), 2.5
    images = torch.arange(5).reshape(5, 1, 1, 1)
    asked, free = total(net, images, 1), total(net, images, -1)
    expected = (free + g * (asked - free)).log_softmax(0)
    drawn, logs = net.draw(uniform(net, 200), asking([1] * 200), g)
    assert torch.allclose(logs, expected[drawn.flatten()], atol=1e-12) and len(drawn.unique()) > 2
    noise = uniform(net, 50)
    plain, same, none = (net.draw(noise, asking([1] * 50), g)[0] for g in (1.0, 1.0 + 1e-9, 0.0))
    unasked = net.draw(noise, asking([-1] * 50), 1.0)[0]
    assert torch.equal(plain, same) and torch.equal(none, unasked) and not torch.equal(plain, none)


def test_loss_is_the_mean_of_the_likelihood_in_bits() -> None:
    net = network((3, 5, 2), 4, 2, spread=0.4)
    level, parts = (
        net.patches.cut(torch.randint(0, 4, (7, 3, 5, 2), generator=generator(0, "levels"))),
        asking([1] * 7),
    )
    bits = -float(net(level, parts).sum()) / (7 * 30 * math.log(2))
    assert float(net.loss(level, parts, 0.0, generator(0, "loss"))) == pytest.approx(bits, rel=1e-6)


def test_it_begins_with_the_shares_of_the_levels() -> None:
    """Fresh output weights are zero, so the first bits are the entropy of each channel's
    histogram."""
    net = (
        PatchSequence(Patches((4, 4, 2), 2), 3, ConditionEmbedding(0, 1, 0, 8), 8, 1, 1, 8)
        .double()
        .requires_grad_(False)
    )
    image = torch.randint(0, 3, (400, 4, 4, 2), generator=generator(0, "levels"))
    image[..., 1] = 2
    level = net.patches.cut(image)
    net.start_from(level)
    logs = net(level, asking([-1] * 400))[..., 1::2]
    assert float(logs.mean()) == pytest.approx(
        math.log(1601 / 1603), abs=1e-6
    )  # 1,600 of them and one pseudo-count each


@pytest.mark.parametrize("levels", [2, 5, 32, 100, 256])
def test_quantised_there_and_back(levels: int) -> None:
    values = np.arange(256, dtype=np.uint8)
    level = quantise(values, levels)
    back = dequantise(level, levels)
    assert (
        np.abs(back.astype(float) - values).max() <= np.ceil(255 / (2 * (levels - 1)))
        and level.unique().numel() == levels
    )
    assert back[0] == 0 and back[255] == 255 and torch.equal(quantise(back, levels), level)
    share = 2.0 ** -level_bits(
        values.reshape(256, 1, 1, 1), levels
    )  # of a value among those of its level
    assert np.bincount(level.numpy(), weights=share) == pytest.approx(np.ones(levels))


def test_patches_there_and_back_and_their_sides() -> None:
    for size, side in [((5, 7, 3), 2), ((16, 16, 1), 4), ((1, 1, 4), 2)]:
        images = torch.randint(0, 9, (2, *size), generator=generator(0, "images"))
        patches = Patches(size, side)
        assert torch.equal(patches.join(patches.cut(images)), images)
        assert int(patches.real().sum()) == math.prod(size)
        assert patches.cut(images).shape == (2, patches.count, patches.tokens)
    sides = {n: Patches.fitting((n, n, 3)).side for n in (16, 28, 32, 64, 128, 256)}
    assert sides == {16: 2, 28: 4, 32: 4, 64: 4, 128: 8, 256: 8}
