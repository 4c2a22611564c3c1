"""Looks at a training against planted scores, closed forms, and a run that never stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gobelin.data.provenance.marks import read_lineage
from gobelin.networks.training import training
from gobelin.networks.training.watching import LOOK_SHARE, Watch, cells, energy, grid, looks


class Counter:
    """One weight that grows by 1 a step: after step t it is t, and so is its average without
    memory."""

    def __init__(self, broken: int = -1) -> None:
        self.net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
        nn.init.zeros_(self.net[0].weight)
        self.modules = {"net": self.net}
        self.optimisers = {"sgd": torch.optim.SGD([self.net[0].weight], 1.0)}
        self.broken = broken

    def step(self, batch: int, rng: torch.Generator) -> dict[str, Tensor]:
        assert self.net.training
        self.net[0].weight.grad = torch.full((1, 1), -1.0)
        self.optimisers["sgd"].step()
        bad, self.broken = batch == self.broken, -1 if batch == self.broken else self.broken
        return {"loss": torch.tensor(float("nan") if bad else 0.0)}


SETTINGS = training.TrainingSettings(60, averaged=("net",), half_life=1e-9, snapshot=7, seconds=0.0)


def run(
    folder: Path, task: Counter, score: Callable[[float], float], patience: int = 0, stop: int = -1
) -> training.TrainingResult:
    """A training watched every 5 steps by a planted function of the weight."""

    def told() -> float:
        assert not task.net.training
        return score(task.net[0].weight.item())

    def paint() -> np.ndarray:
        return np.full((16, 4, 4, 3), int(task.net[0].weight.item()), np.uint8)

    def batches(step: int) -> int:
        if step == stop:
            raise KeyboardInterrupt
        return step

    watch = Watch(
        "counter", dict.fromkeys(range(5, 61, 5), True), folder / "samples", patience, told, paint
    )
    return training.run(task, batches, SETTINGS, folder, "data", what="counter", watch=watch)


def held_out(outcome: training.TrainingResult) -> list[tuple[int, float]]:
    return [(line["step"], line["held_out"]) for line in outcome.history if "held_out" in line]


def test_the_best_weights_are_kept_and_the_run_is_not_disturbed(tmp_path: Path) -> None:
    task, alone = Counter(), Counter()
    outcome = run(tmp_path, task, lambda weight: abs(weight - 22))
    assert (
        outcome.best_step == 20
        and outcome.averages["net"]["0.weight"].item() == 20
        and outcome.steps == 60
    )
    assert held_out(outcome) == [(step, abs(step - 22)) for step in range(5, 61, 5)]
    assert outcome.notes == (
        "counter: The weights are those of step 20, whose held-out score was the best.",
    )
    plain = training.run(alone, int, SETTINGS)
    assert (
        task.net[0].weight.item() == 60
        and plain.averages["net"]["0.weight"].item() == 60
        and plain.notes == ()
    )
    assert [line for line in outcome.history if "held_out" not in line] == plain.history


def test_patience_stops_and_says_so(tmp_path: Path) -> None:
    task = Counter()
    outcome = run(tmp_path, task, lambda weight: abs(weight - 22), patience=3)
    assert (outcome.steps, outcome.best_step, task.net[0].weight.item()) == (35, 20, 35)
    assert outcome.notes[0].startswith(
        "counter: stopped after step 35 of 60: 3 looks without a better score."
    )
    again = Counter()
    assert (
        run(tmp_path, again, pytest.fail, patience=3).averages == outcome.averages
        and again.net[0].weight.item() == 35
    )


@pytest.mark.parametrize("stops", [(3, 6), (13, 21, 22), (36,)])
def test_interrupted_anywhere_it_ends_with_the_same_bits(
    tmp_path: Path, stops: Sequence[int]
) -> None:
    whole = run(tmp_path / "whole", Counter(), lambda weight: abs(weight - 22), 4)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", Counter(), lambda weight: abs(weight - 22), 4, stop)
    again = run(tmp_path / "cut", Counter(), lambda weight: abs(weight - 22), 4)
    assert (again.steps, again.best_step, again.history, again.notes) == (
        whole.steps,
        whole.best_step,
        whole.history,
        whole.notes,
    )
    assert (
        again.averages["net"]["0.weight"].item() == whole.averages["net"]["0.weight"].item() == 20
    )
    names = [
        sorted(p.name for p in (tmp_path / name / "samples").iterdir()) for name in ("whole", "cut")
    ]
    assert names[0] == names[1] == sorted(f"{step}.png" for step in range(5, 41, 5))


def test_a_nan_takes_the_looks_back_too(tmp_path: Path) -> None:
    """Step 24 fails: back to 21 with half the rate, so from there on the weight grows by a half a
    step."""
    outcome = run(tmp_path, Counter(broken=24), lambda weight: -weight)
    assert [step for step, _ in held_out(outcome)] == list(range(5, 61, 5))
    assert held_out(outcome)[-1][1] == -(21 + 39 / 2) and outcome.best_step == 60


def test_a_score_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    outcome = run(tmp_path, Counter(), lambda weight: float("nan") if weight < 30 else weight)
    assert outcome.best_step == 30 and held_out(outcome)[0] == (5, None)


def test_grids_are_those_of_this_training_and_say_that_they_were_made(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "999.png").touch()
    run(tmp_path, Counter(), lambda weight: weight)
    assert len(list((tmp_path / "samples").iterdir())) == 12
    picture = np.asarray(Image.open(tmp_path / "samples" / "35.png"))
    assert (
        picture.shape == (22, 22, 3)
        and (picture[:4, :4] == 35).all()
        and (picture[4:6] == 255).all()
    )
    assert read_lineage(tmp_path / "samples" / "35.png")["step"] == 35


def test_a_grid_keeps_the_order() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 3, 1), np.uint8)
    made = grid(images)
    assert made.shape == (2 * 2 + 2, 3 * 3 + 2 * 2, 1)
    assert [made[4 * (k // 3), 5 * (k % 3), 0] for k in range(5)] == list(range(5))


@pytest.mark.parametrize(
    ("steps", "score", "paint"),
    [(2000, 1.0, 1.0), (1000, 3.0, 50.0), (3, 0.001, 0.1), (555, 1.3, 4.1)],
)
def test_looks_cost_their_share_and_end_with_the_last_step(
    steps: int, score: float, paint: float
) -> None:
    found = looks(steps, score, paint)
    assert max(found) == steps and found[steps] and len(found) <= 12 and min(found) > 0
    assert len(found) * score <= LOOK_SHARE * steps
    assert sum(found.values()) == 1 or sum(found.values()) * paint <= LOOK_SHARE * steps
    assert looks(10, 1.0, 1.0) == {}


def test_energy_distance_in_closed_form() -> None:
    """Of two points against two points by hand; of N(0, 1) and N(m, 1), E|N(m, 2)| = 2/sqrt(pi)
    exp(-m^2/4) + m erf(m/2)."""
    assert energy(np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]])) == pytest.approx(
        2 * 3.5 - 1 - 2
    )
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2000, 1)), rng.normal(1.5, 1, (2000, 1))
    mean = torch.tensor(1.5, dtype=torch.float64)
    between = 2 / np.sqrt(np.pi) * torch.exp(-(mean**2) / 4) + mean * torch.erf(mean / 2)
    assert energy(one, other) == pytest.approx(float(2 * between - 4 / np.sqrt(np.pi)), abs=0.08)
    assert abs(energy(one, rng.normal(size=(2000, 1)))) < 0.01


@pytest.mark.parametrize("size", [(16, 16, 3), (20, 28, 1), (33, 17, 4), (16, 5, 1)])
def test_cells_know_colour_and_sharpness(size: tuple[int, int, int]) -> None:
    flat = np.full((2, *size), 51, np.uint8)
    features = cells(flat).reshape(2, 64, 2, size[2])
    assert np.allclose(features[:, :, 0], 0.2) and np.allclose(features[:, :, 1], 0)
    checked = np.indices(size[:2]).sum(0)[None, :, :, None] % 2 * np.full((1, *size), 255, np.uint8)
    if min(size[:2]) >= 16:
        assert cells(checked).reshape(64, 2, size[2])[:, 1].min() > 0.4


def test_beginning_anew_removes_old_grids_and_nothing_else(tmp_path: Path) -> None:
    for name in ("5.png", "5.txt", "photo.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "kept").mkdir()
    Watch(
        "counter", {5: True}, tmp_path, 4, lambda: 0.0, lambda: np.zeros((1, 2, 2, 3), np.uint8)
    ).begin()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["5.txt", "kept", "photo.png"]
    Watch(
        "counter", {5: True}, None, 4, lambda: 0.0, lambda: np.zeros((1, 2, 2, 3), np.uint8)
    ).begin()
