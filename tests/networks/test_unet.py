"""The U-Net: sizes, what reaches what, and one image at a time. Oracles: shapes, and itself with a
part changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gobelin.core.machine import generator
from gobelin.networks.unet import Residual, Unet, halvings_for, rectangles, square_for


def drawn(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=generator(seed, "unet"))


def awake(unet: Unet) -> Unet:
    """The same with no weight left at zero, so that everything reaches the output."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in unet.parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.1)
    return unet.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("size", "square", "halvings"),
    [
        *(((16, 16), 1, 1), ((32, 20), 2, 1), ((48, 48), 2, 1), ((64, 64), 2, 2)),
        *(((96, 33), 4, 1), ((128, 100), 4, 2), ((256, 256), 4, 3)),
    ],
)
def test_every_size_ends_on_8_to_15_cells(
    size: tuple[int, int], square: int, halvings: int
) -> None:
    assert (square_for(size), halvings_for(size, square_for(size))) == (square, halvings)
    cells = max(size) / square / 2**halvings
    assert 8 <= cells < 16


@pytest.mark.parametrize(
    ("channels", "beside", "square", "halvings"), [(1, 2, 1, 1), (3, 8, 1, 2), (4, 5, 2, 2)]
)
def test_it_starts_as_zero_and_keeps_the_size(
    channels: int, beside: int, square: int, halvings: int
) -> None:
    side = square * 2**halvings * 4
    unet = Unet(channels, beside, square, halvings, width=8, depth=2, style=16)
    out = unet(
        drawn(2, channels, side, 2 * side),
        torch.rand(2),
        drawn(2, 16),
        drawn(2, beside, side, 2 * side),
    )
    assert out.shape == (2, channels, side, 2 * side) and not out.any()


def test_everything_is_seen() -> None:
    """The answer changes with the signal, the time, the style and what lies beside, also at the far
    corner."""
    unet = awake(Unet(3, 2, 1, 2, width=8, depth=1, style=16))
    given = [drawn(2, 3, 16, 16), torch.tensor([0.2, 0.7]), drawn(2, 16), drawn(2, 2, 16, 16)]
    before = unet(*given)
    for k, part in enumerate(given):
        changed = part.clone()
        changed[(0, *(0 for _ in part.shape[1:]))] += 3
        after = unet(*given[:k], changed, *given[k + 1 :])
        assert (after[0] - before[0])[
            :, -1, -1
        ].abs().max() > 1e-6  # one corner is seen from the other
        assert torch.allclose(after[1], before[1], atol=1e-5)  # and by no other image


def test_an_image_does_not_depend_on_its_batch() -> None:
    unet = awake(Unet(3, 2, 2, 2, width=8, depth=1, style=16))
    given = [drawn(5, 3, 32, 32), torch.linspace(0, 1, 5), drawn(5, 16), drawn(5, 2, 32, 32)]
    together = unet(*given)
    apart = torch.cat([unet(*(part[k : k + 1] for part in given)) for k in range(5)])
    assert torch.allclose(together, apart, atol=1e-4)


def test_every_weight_learns() -> None:
    unet = Unet(3, 2, 1, 2, width=8, depth=1, style=16)
    awake(unet).requires_grad_(True)
    unet(
        drawn(2, 3, 16, 16), torch.rand(2), drawn(2, 16), drawn(2, 2, 16, 16)
    ).square().mean().backward()
    assert [
        name
        for name, weight in unet.named_parameters()
        if weight.grad is None or not weight.grad.any()
    ] == []


def test_a_fresh_block_passes_its_input_on() -> None:
    block, x = Residual(2, 8, 8, 4), drawn(2, 8, 6, 6)
    assert torch.allclose(block(x, drawn(2, 4)), x + block.write.bias[:, None, None])


def test_rectangles_are_what_they_say() -> None:
    """A share of the images; each known part is a rectangle or the outside of one; both kinds
    come."""
    known = rectangles(2000, (12, 20), 0.4, generator(0, "rectangles"))[:, 0].bool()
    given = known.flatten(1).any(1)
    assert known.shape == (2000, 12, 20) and 0.3 < given.float().mean() < 0.42
    kinds = []
    for one in known[given][:300]:
        boxes = []
        for area in (one, ~one):
            rows, columns = area.any(1).nonzero()[:, 0], area.any(0).nonzero()[:, 0]
            boxes.append(
                len(rows) > 0
                and int(area.sum()) == len(rows) * len(columns) == _box(rows) * _box(columns)
            )
        assert any(boxes) or bool(one.all())
        kinds.append(bool(boxes[0]))
    assert 50 < sum(kinds) < 250
    assert not rectangles(9, (8, 8), 0.0, generator(0, "none")).any()


def _box(index: Tensor) -> int:
    return int(index.max() - index.min()) + 1
