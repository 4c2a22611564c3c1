"""The loop against closed forms, a planted nan and interruptions at many steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gobelin.core.errors import GobelinError
from gobelin.core.machine import generator
from gobelin.networks.training import training


class Regression:
    """A small network with noise, dropout, batch norm and two optimisers: every kind of state that
    can be lost."""

    def __init__(self, rate: float = 0.05, broken_at: float | None = None) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Flatten(), nn.Linear(16, 1)
        )
        self.net.to(memory_format=torch.channels_last)
        self.extra = nn.Linear(1, 1)
        self.modules = {"net": self.net, "extra": self.extra}
        self.optimisers = {
            "net": torch.optim.Adam(self.net.parameters(), rate, betas=(0.5, 0.9)),
            "extra": torch.optim.SGD(self.extra.parameters(), rate, momentum=0.9),
        }
        self.broken_at = broken_at
        self.seen = list[float]()

    def step(self, batch: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        self.seen.append(self.optimisers["net"].param_groups[0]["lr"])
        x = batch + 0.1 * torch.randn(batch.shape, generator=rng)
        loss = (self.extra(self.net(x)) - x.mean((1, 2, 3))[:, None]).square().mean()
        if self.broken_at is not None and self.seen[-1] > self.broken_at and len(self.seen) > 12:
            loss = loss * torch.nan
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {"loss": loss.detach()}


class Counter:
    """One weight that is raised by 1 a step through its gradient: averages and clipping have closed
    forms."""

    def __init__(self, slope: float = -1.0) -> None:
        self.weight = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.weight.weight)
        self.modules = {"weight": self.weight}
        self.optimisers = {"sgd": torch.optim.SGD(self.weight.parameters(), 1.0)}
        self.slope = slope

    def step(self, batch: int, rng: torch.Generator) -> dict[str, Tensor]:
        self.weight.weight.grad = torch.full((1, 1), self.slope)
        self.optimisers["sgd"].step()
        return {"batch": torch.tensor(float(batch))}


def images(step: int) -> Tensor:
    return torch.randn(6, 2, 4, 4, generator=generator(3, "batch", step))


def until(stop: int) -> Callable[[int], Tensor]:
    """The batches of a run that is interrupted at step `stop`."""

    def batches(step: int) -> Tensor:
        if step == stop:
            raise KeyboardInterrupt
        return images(step)

    return batches


def weights(task: Regression) -> list[Tensor]:
    return [v for m in task.modules.values() for v in m.state_dict().values()]


SETTINGS = training.TrainingSettings(
    60,
    seed=5,
    averaged=("net",),
    half_life=10,
    clip=1.0,
    warmup=5,
    cooldown=0.3,
    snapshot=7,
    seconds=0,
)


def test_interrupted_anywhere_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = Regression()
    expected = training.run(whole, images, SETTINGS)

    for stop in (3, 8, 26, 27, 50):
        with pytest.raises(KeyboardInterrupt):
            training.run(Regression(), until(stop), SETTINGS, tmp_path, "data")
    task = Regression()
    outcome = training.run(task, images, SETTINGS, tmp_path, "data")
    assert len(task.seen) == 60 - 49  # the last good state before step 50 was taken after 49
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(task), strict=True))
    assert all(
        torch.equal(v, outcome.averages["net"][k]) for k, v in expected.averages["net"].items()
    )
    assert outcome.history == expected.history
    assert outcome.steps == 60


def test_a_finished_run_is_not_run_again_and_another_identity_is(tmp_path: Path) -> None:
    training.run(Counter(), int, training.TrainingSettings(20), tmp_path, "a")
    again, other = Counter(), Counter()
    training.run(again, pytest.fail, training.TrainingSettings(20), tmp_path, "a")
    assert again.weight.weight.item() == 20
    asked = list[int]()
    training.run(
        other, lambda t: asked.append(t) or t, training.TrainingSettings(20), tmp_path, "b"
    )
    assert asked == list(range(20))


def test_nan_goes_back_and_halves_the_rate(tmp_path: Path) -> None:
    task = Regression(rate=0.04, broken_at=0.015)  # nan until the rate was halved twice
    outcome = training.run(task, images, training.TrainingSettings(40, snapshot=10), tmp_path)
    events = [line["event"] for line in outcome.history if "event" in line]
    assert events == ["not finite: back to step 10, learning rate halved"] * 2
    assert task.seen[-1] == 0.01 and outcome.steps == 40
    assert all(bool(torch.isfinite(v).all()) for v in weights(task))


def test_hopeless_nan_is_a_users_error() -> None:
    with pytest.raises(GobelinError, match="not finite at step 10 after 8 halvings"):
        training.run(Regression(broken_at=0.0), images, training.TrainingSettings(40, snapshot=10))


def test_average_in_closed_form() -> None:
    """w_t = t and constant d: a_T = sum_t (1 - d) d^(T - t) t."""
    outcome = training.run(
        Counter(), int, training.TrainingSettings(30, averaged=("weight",), half_life=4, ramp=1e9)
    )
    d = 0.5 ** (1 / 4)
    expected = sum((1 - d) * d ** (30 - t) * t for t in range(1, 31))
    assert outcome.averages["weight"]["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_clip_bounds_the_gradient_and_history_holds_means() -> None:
    task = Counter(slope=-8.0)
    outcome = training.run(task, int, training.TrainingSettings(10, clip=0.5, snapshot=5))
    assert task.weight.weight.item() == pytest.approx(5.0, rel=1e-4)
    assert outcome.history == [{"step": 5, "batch": 2.0}, {"step": 10, "batch": 7.0}]


def test_rates_warm_up_and_cool_down() -> None:
    task = Regression(rate=1e-3)
    training.run(task, images, training.TrainingSettings(20, warmup=4, cooldown=0.25))
    expected = [1 / 4, 2 / 4, 3 / 4] + [1] * 13 + [4 / 5, 3 / 5, 2 / 5, 1 / 5]
    assert task.seen == pytest.approx([1e-3 * e for e in expected])


def test_global_random_stream_is_left_alone() -> None:
    task = Counter()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    training.run(task, int, training.TrainingSettings(3))
    assert torch.equal(torch.rand(1), expected)


def test_every_epoch_holds_every_row_once() -> None:
    rows = torch.cat([training.shuffled(t, 10, 4, seed=2) for t in range(10)])
    assert [sorted(epoch.tolist()) for epoch in rows.split(10)] == [list(range(10))] * 4
    assert not torch.equal(rows[:10], rows[10:20])


def test_weights_that_are_all_the_same_change_nothing() -> None:
    for weight in (1.0, 0.3, 7.0):
        same = np.full(49, weight, np.float32)
        assert all(
            torch.equal(training.shuffled(t, 49, 20, 3), training.shuffled(t, 49, 20, 3, same))
            for t in range(12)
        )


def test_in_an_epoch_a_row_stands_as_often_as_its_weight_asks_rounded_up_or_down() -> None:
    weights = np.array([0.0, 1.0, 0.25, 3.0, 0.0, 0.75, 0.0])
    wanted = weights / weights.mean()
    counts = np.array(
        [
            np.bincount(
                torch.cat([training.shuffled(7 * e + t, 7, 1, 5, weights) for t in range(7)]),
                minlength=7,
            )
            for e in range(400)
        ]
    )
    assert (counts >= np.floor(wanted)).all() and (counts <= np.ceil(wanted)).all()
    assert (
        np.abs(counts.mean(0) - wanted).max() < 4 * 0.5 / 20
    )  # a count that is one of two has a deviation of at most 1/2
    assert (counts[:, weights == 0] == 0).all()
