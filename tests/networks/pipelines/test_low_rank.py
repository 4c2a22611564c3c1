"""Low-rank changes against the formula W + B A, before and after they are written into the
weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gobelin.core.machine import generator
from gobelin.networks.pipelines import low_rank

X = torch.randn(3, 4, 6, 6, generator=generator(0, "x"))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    own = nn.Conv2d(5, 5, 3, padding=1, groups=5)  # each channel by itself: left alone
    return nn.Sequential(
        nn.Conv2d(4, 5, 3, padding=1), own, nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(180, 7)
    ).eval()


def changed() -> tuple[nn.Sequential, nn.ModuleList]:
    net = network()
    changes = low_rank.adapt(net, 2, seed=1)
    with torch.no_grad():
        for change in changes:
            change.up.normal_(generator=generator(2, "up"))
    return net, changes


def by_hand(changes: nn.ModuleList) -> Tensor:
    plain = network()
    weights = [
        m.weight + (c.up @ c.down).view(m.weight.shape)
        for m, c in zip((plain[0], plain[4]), changes, strict=True)
    ]
    x = functional.conv2d(X, weights[0], plain[0].bias, padding=1)
    return functional.linear(plain[3](plain[2](plain[1](x))), weights[1], plain[4].bias)


def test_it_starts_as_the_network_that_it_changes() -> None:
    net = network()
    low_rank.adapt(net, 2, seed=1)
    assert torch.equal(net(X), network()(X))


def test_changes_are_those_of_the_formula_and_alone_learn() -> None:
    net, changes = changed()
    assert len(changes) == 2 and torch.allclose(net(X), by_hand(changes), atol=1e-5)
    assert not torch.allclose(net(X), network()(X), atol=1e-2)
    learning = {n for n, p in net.named_parameters() if p.requires_grad}
    assert len(learning) == 4 and all(n.endswith((".up", ".down")) for n in learning)
    assert max(p.shape[0] for n, p in net.named_parameters() if n.endswith(".down")) == 2


def test_merged_it_computes_the_same_with_the_parameters_of_before() -> None:
    net, changes = changed()
    before, wanted = net(X), by_hand(changes)
    low_rank.merge(net)
    assert torch.allclose(net(X), before, atol=1e-6) and torch.allclose(net(X), wanted, atol=1e-5)
    assert set(net.state_dict()) == set(network().state_dict())
    plain = network()
    plain.load_state_dict(copy.deepcopy(net.state_dict()))
    assert torch.allclose(plain(X), before, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 3, 100])
def test_the_rank_is_what_was_asked_for_or_what_the_matrix_has(rank: int) -> None:
    net = nn.Sequential(nn.Linear(6, 4))
    (change,) = low_rank.adapt(net, rank, seed=0)
    with torch.no_grad():
        change.up.normal_(generator=generator(0, "up"))
    difference = net[0].weight - net[0].parametrizations.weight.original
    assert torch.linalg.matrix_rank(difference).item() == min(rank, 4)
