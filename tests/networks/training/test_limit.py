"""A limit of time against a clock that is told: counts by hand, weights against a training of that
count.

Oracle: arithmetic, and the same training without a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from gobelin.core.machine import generator
from gobelin.networks.training import limit, training
from gobelin.networks.training.limit import (
    OVERRUN,
    Guard,
    Pilot,
    ended_within,
    mean_over_first,
    pilot_within,
    steps_within,
)


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(limit, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def decided(
    clock: Clock,
    minutes: float,
    planned: int,
    seconds: Callable[[int], float],
    slower: float = 1.0,
) -> tuple[int, int]:
    """The count that a limit allows, and the steps that were made to learn it. seconds: of step
    t."""
    pilot, made = Pilot(minutes, planned), 0
    while not pilot.decides(slower):
        clock.now += seconds(made)
        made += 1
    return pilot.steps, made


@pytest.mark.parametrize(
    ("minutes", "planned", "seconds", "slower", "steps", "made"),
    [
        (1, 1000, lambda t: 0.5, 1, 108, 12),  # a tenth of the limit, (60 - 6) / 0.5
        (1, 100, lambda t: 0.5, 1, 100, 10),  # a tenth of the steps; all fit
        (1, 120, lambda t: 0.5, 1, 120, 12),  # all fit, to the second
        (1, 122, lambda t: 0.5, 1, 108, 12),
        (1, 100, lambda t: 0.5, 2, 55, 10),  # later steps take longer: (60 - 5) / 1
        (1, 100, lambda t: 5.0 if t == 0 else 0.25, 1, 100, 5),  # the first step allocates memory
        (1, 1000, lambda t: 200.0, 1, 1, 1),  # not even one step
        (1, 1000, lambda t: 7.0, 1, 7, 1),
        (1000, 1, lambda t: 7.0, 1, 1, 1),
    ],
)
def test_the_first_tenth_decides(
    clock: Clock,
    minutes: float,
    planned: int,
    seconds: Callable[[int], float],
    slower: float,
    steps: int,
    made: int,
) -> None:
    assert decided(clock, minutes, planned, seconds, slower) == (steps, made)


def test_a_machine_that_slows_down_later_changes_no_count(clock: Clock) -> None:
    """Steps ten times slower from the middle on."""
    assert decided(clock, 1, 100, lambda t: 0.5 if t < 50 else 5.0) == (100, 10)
    assert decided(clock, 1, 1000, lambda t: 0.5 if t < 54 else 5.0) == (108, 12)


def test_the_mean_step_over_one_in_the_first_tenth() -> None:
    def by_hand(begin: float, later: float, steps: int = 1000) -> float:
        cost = [1.0 if t < begin * steps else later for t in range(steps)]
        return (sum(cost) / steps) / (sum(cost[: steps // 10]) / (steps // 10))

    for begin in (0.0, 0.05, 0.1, 0.7, 1.0):
        assert mean_over_first(begin, 1.4) == pytest.approx(by_hand(begin, 1.4))


SETTINGS = training.TrainingSettings(
    60, 5, averaged=("net",), half_life=10, warmup=5, cooldown=0.3, snapshot=7, seconds=0
)


class Timed:
    """A regression with noise whose every step takes a time of its own."""

    def __init__(self, clock: Clock, seconds: Callable[[int], float]) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 1))
        self.modules = {"net": self.net}
        self.optimisers = {"net": torch.optim.Adam(self.net.parameters(), 0.05)}
        self.clock, self.seconds, self.done = clock, seconds, 0

    def step(self, batch: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        self.clock.now += self.seconds(self.done)
        self.done += 1
        x = batch + 0.1 * torch.randn(batch.shape, generator=rng)
        loss = (self.net(x) - x.mean(1, keepdim=True)).square().mean()
        training.descend(self.optimisers["net"], loss)
        return {"loss": loss.detach()}


def rows(step: int) -> Tensor:
    return torch.randn(6, 4, generator=generator(3, "batch", step))


def within(
    clock: Clock,
    folder: Path,
    seconds: Callable[[int], float],
    minutes: float,
    batches: Callable[[int], Tensor] = rows,
) -> int:
    def train(pilot: Pilot) -> object:
        task = Timed(clock, seconds)
        return training.run(task, batches, SETTINGS, folder, "data", pilot=pilot)

    return steps_within(minutes, SETTINGS.steps, train)


def trained(clock: Clock, folder: Path | None, steps: int) -> tuple[list[Tensor], int]:
    """The weights after this many steps, and the steps that this call made."""
    task = Timed(clock, lambda t: 0.0)
    training.run(task, rows, replace(SETTINGS, steps=steps), folder, "data")
    return list(task.net.state_dict().values()), task.done


@pytest.mark.parametrize(("minutes", "steps"), [(0.5, 27), (10.0, 60)])  # (30 - 3) / 1; all fit
@pytest.mark.parametrize("late", [1.0, 10.0])
def test_a_limited_training_is_that_of_its_count(
    clock: Clock, tmp_path: Path, minutes: float, steps: int, late: float
) -> None:
    """Bit for bit, also where steps are ten times slower from the middle on."""
    assert within(clock, tmp_path, lambda t: 1.0 if t < steps / 2 else late, minutes) == steps
    found, made = trained(clock, tmp_path, steps)
    expected, _ = trained(clock, None, steps)
    assert made == steps  # no good state was taken in the first tenth: it starts anew
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("late", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("slow_from", [8, 14, 25])
def test_a_machine_that_slows_down_ends_the_training_near_its_limit(
    clock: Clock, tmp_path: Path, late: float, slow_from: int
) -> None:
    """Steps of a second, which take `late` seconds from some step on; a limit of 30 seconds. The
    whole is over within a half more than the limit and one step, and not ended before the limit."""
    begun, made = clock.now, 0

    def seconds(step: int) -> float:
        nonlocal made
        made += 1
        return late if made > slow_from else 1.0

    def train(pilot: Pilot | Guard) -> object:
        chosen = replace(SETTINGS, steps=pilot.steps if isinstance(pilot, Pilot) else planned)
        task = Timed(clock, seconds)
        return training.run(task, rows, chosen, tmp_path, "data", pilot=pilot)

    planned = SETTINGS.steps
    pilot = pilot_within(0.5, planned, train)
    planned = pilot.steps
    assert planned == 27
    ended = ended_within(pilot.left, train)
    spent = clock.now - begun
    assert spent <= OVERRUN * 30 + late <= 1.5 * 30 + late
    if late == 1:
        assert ended == 0 and spent == 30  # a machine that keeps its pace is not stopped
        return
    assert spent >= 30 and 0 < ended < planned or ended == 0
    before, found = (
        made,
        training.run(
            Timed(clock, seconds),
            rows,
            replace(SETTINGS, steps=planned),
            tmp_path,
            "data",
            end=ended,
        ),
    )
    assert made == before  # the checkpoint holds it all
    scratch = training.run(
        Timed(clock, seconds), rows, replace(SETTINGS, steps=planned), None, "data", end=ended
    )
    assert found.steps == scratch.steps == (ended or planned)
    assert found.history == scratch.history and found.notes == scratch.notes
    assert bool(found.notes) == bool(ended)
    for name, weight in scratch.averages["net"].items():
        assert torch.equal(found.averages["net"][name], weight)


def test_a_guard_ends_no_training_before_its_first_step(clock: Clock) -> None:
    guard = Guard(-5.0)
    assert not guard.decides(1.0)
    assert guard.decides(1.0)


def test_a_pilot_that_fits_is_the_beginning_of_the_training(clock: Clock, tmp_path: Path) -> None:
    def train(pilot: Pilot) -> object:
        task = Timed(clock, lambda t: 1.0)
        return training.run(task, rows, replace(SETTINGS, steps=200), tmp_path, "data", pilot=pilot)

    assert steps_within(60.0, 200, train) == 200
    found, made = trained(clock, tmp_path, 200)
    assert made == 200 - 14  # a good state is taken every 7 steps, the pilot made 20
    expected, _ = trained(clock, None, 200)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_pilot_that_was_killed_is_made_again(clock: Clock, tmp_path: Path) -> None:
    def dies(step: int) -> Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return rows(step)

    with pytest.raises(KeyboardInterrupt):
        within(clock, tmp_path, lambda t: 1.0, 0.5, dies)
    assert within(clock, tmp_path, lambda t: 1.0, 0.5) == 27


def test_a_training_that_is_over_before_the_limit_decides_keeps_its_plan(
    clock: Clock, tmp_path: Path
) -> None:
    """The checkpoint of a finished training: nothing is left to measure."""
    trained(clock, tmp_path, SETTINGS.steps)
    assert within(clock, tmp_path, lambda t: 1.0, 1e-6) == SETTINGS.steps
