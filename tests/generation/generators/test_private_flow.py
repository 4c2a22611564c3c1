"""Noisy training of a flow. Oracles: planted classes (a colour each), dp-accounting's epsilon, the
sums before the noise, files on disk, and two trainings that differ in nothing but the noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.test_generators import COLOURS, planted
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
from processor import RUNTIME

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.files import load_arrays
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, Sampler
from gobelin.networks.training import training
from gobelin.networks.training.limit import Guard, Pilot, ended_within, pilot_within
from gobelin.privacy.gaussian import noise_for
from gobelin.privacy.guarantee import Guarantee
from gobelin.privacy.private_gradient import NoisyMean

SMALL = {"width": 16, "depth": 1, "draws": 2, "batch": 16, "warmup": 1.0, "evaluations": 4}


def fitted(
    rows: ImageRows,
    folder: Path,
    steps: int = 3,
    spend: Callable[[Guarantee], None] = lambda promise: None,
    pilot: Pilot | Guard | None = None,
    end: int = 0,
    **settings: object,
) -> Sampler:
    component = catalog.build("generators", "private_flow", {**SMALL, **settings})
    context = Context(RUNTIME, folder, steps, spend=spend, pilot=pilot, end=end)
    return component.fit(rows, rows.first(0), context)


def drawn(sampler: Sampler, classes: list[int]) -> np.ndarray:
    n = len(classes)
    nothing = torch.zeros(n, 2, 8), torch.zeros(n, 2, dtype=torch.bool)
    condition = Condition(("a", "b"), *nothing, torch.tensor(classes))
    return np.concatenate(list(sampler.sample(condition, range(n), Controls())))


def test_the_promise_is_that_of_all_releases(tmp_path: Path) -> None:
    """The steps with the rate of 16 in 64 and the one release with 30 % of epsilon, together."""
    promise = fitted(planted(), tmp_path, dp={"epsilon": 2.0}).promise
    steps = from_gaussian_mechanism(promise.noise, sampling_prob=0.25).self_compose(3)
    every = steps.compose(from_gaussian_mechanism(noise_for(0.6, promise.delta)))
    assert every.get_epsilon_for_delta(promise.delta) == pytest.approx(2.0, abs=1e-3)
    assert promise.epsilon == 2.0 and promise.unit == "row"
    assert "3 noisy steps, each with a row at probability 0.25, and one" in promise.mechanism


def test_classes_follow_the_data_at_a_loose_epsilon(tmp_path: Path) -> None:
    sampler = fitted(planted(256), tmp_path, 30, dp={"epsilon": 50.0}, warmup=2.0, rate=3e-3)
    images = drawn(sampler, [0] * 32 + [1] * 32).reshape(2, 32, -1, 3)
    assert np.abs(images.mean((1, 2)) - COLOURS).max() < 40
    any_class = drawn(sampler, [-1] * 128).reshape(-1, 3).mean(0)
    assert np.abs(any_class - COLOURS.mean(0)).max() < 90  # the two colours differ by 190
    losses = sampler.row_loss(planted(8))
    other = replace(planted(8), images=255 - planted(8).images)
    assert losses.shape == (8,) and (losses < sampler.row_loss(other)).all()


def test_noisy_steps_learn_what_the_mean_images_lack(tmp_path: Path) -> None:
    """Stripes of both signs: their mean image is grey, so only the steps can learn them."""
    rng = np.random.default_rng(0)
    sign = rng.choice([-1, 1], 512)
    stripes = np.where(np.arange(16) // 4 % 2, 1, -1)
    images = np.broadcast_to((sign[:, None] * stripes)[:, None, :, None], (512, 16, 16, 1))
    rows = planted(512)
    rows = replace(rows, images=(127.5 + 110 * images).astype(np.uint8))
    own = {"dp": {"epsilon": 100.0, "delta": 1e-3}, "rate": 1e-2, "width": 32, "batch": 64}
    shown = {}
    for steps in (1, 60):
        sampler = fitted(rows, tmp_path / str(steps), steps, half_life=5.0, **own)
        made = drawn(sampler, [0, 1] * 32).astype(float).mean(1)[:, :, 0] - 127.5
        shown[steps] = np.abs(made @ stripes).mean() / np.abs(made).sum(1).mean()
    assert shown[60] > 0.7 > 0.6 > shown[1], shown


def test_the_same_seed_makes_other_weights(tmp_path: Path) -> None:
    one, two = (fitted(planted(), tmp_path / name) for name in "ab")
    assert one.fingerprint() != two.fingerprint() and one.learned.counts != two.learned.counts


def test_a_killed_training_goes_on_from_its_last_step_and_spends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[Guarantee] = []
    written: list[int] = []
    kills = [0]
    write, advance = training._Loop.write, training._Loop.advance

    def count(loop: training._Loop, path: Path) -> None:
        write(loop, path)
        written.append(loop.done)

    def killed(loop: training._Loop, batch: object) -> None:
        if loop.done == 2 and not kills:
            kills.append(loop.done)
            raise KeyboardInterrupt
        advance(loop, batch)

    monkeypatch.setattr(training._Loop, "write", count)
    monkeypatch.setattr(training._Loop, "advance", killed)
    kills.clear()
    with pytest.raises(KeyboardInterrupt):
        fitted(planted(), tmp_path, 4, spent.append, warmup=0)
    released = load_arrays(tmp_path / "released.safetensors")["released"]
    sampler = fitted(planted(), tmp_path, 4, spent.append, warmup=0)
    assert written == [1, 2, 3, 4] and len(spent) == 1  # on disk after every step, none twice
    assert sampler.learned.counts == tuple(released[:, -1])
    again = fitted(planted(), tmp_path, 4, spent.append, warmup=0)
    assert again.fingerprint() == sampler.fingerprint()
    assert len(spent) == 1
    (tmp_path / "checkpoint.safetensors").unlink()  # nobody knows how many steps there were
    fitted(planted(), tmp_path, 4, spent.append, warmup=0)
    other = replace(planted(), images=255 - planted().images)
    fitted(other, tmp_path, 4, spent.append, warmup=0)
    fitted(other, tmp_path, 5, spent.append, warmup=0)
    assert len(spent) == 4


def test_a_limit_of_time_is_measured_without_rows(tmp_path: Path) -> None:
    """The pilot spends nothing and its state is not used; a guard's training is gone on with."""
    spent: list[Guarantee] = []
    pilot = pilot_within(
        1e-6, 50, lambda pilot: fitted(planted(), tmp_path, 50, spent.append, pilot)
    )
    assert pilot.steps < 50 and spent == []
    ended = ended_within(1e-3, lambda guard: fitted(planted(), tmp_path, 9, spent.append, guard))
    assert 0 < ended < 9 and len(spent) == 1
    sampler = fitted(planted(), tmp_path, 9, spent.append, end=ended)
    assert len(spent) == 1 and sampler.promise.epsilon == 3.0
    assert any("ended after step" in note for note in sampler.notes)


def test_groups_are_the_unit(tmp_path: Path) -> None:
    """Of one group with 60 of 64 rows, the bounded sum is one gradient long at most."""
    groups = np.minimum(np.arange(64), 4)
    rows = replace(planted(), groups=groups)
    promise = fitted(rows, tmp_path, dp={"delta": 0.05}).promise
    assert promise.unit == "group" and promise.delta == 0.05
    assert "each with a group at probability 1" in promise.mechanism
    with pytest.raises(GobelinError, match=r"generator.settings.dp.delta: below 1 / 5 was"):
        fitted(rows, tmp_path, dp={"delta": 0.2})


def test_the_sum_of_a_step_is_bounded_by_its_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one group, however many rows and draws, it is no longer than `length`; with five, five
    times that."""
    lengths: list[float] = []
    released = NoisyMean.released

    def measured(mean: NoisyMean, total: torch.Tensor) -> torch.Tensor:
        lengths.append(float(total.norm()))
        assert mean.batch == 16  # whatever the rows are
        return released(mean, total)

    monkeypatch.setattr(NoisyMean, "released", measured)
    for groups in (1, 5):
        rows = replace(planted(), groups=np.arange(64) % groups)
        own = {"draws": 8, "length": 0.01, "population": groups}
        fitted(rows, tmp_path / str(groups), 4, **own)
        assert len(lengths) == 4 and 0 < max(lengths) <= groups * 0.01 * (1 + 1e-9)
        lengths.clear()


def test_three_rows_and_four_have_the_same_steps(tmp_path: Path) -> None:
    """Rate, noise and divisor are those of the power of two: neighbouring sets differ in nothing
    but what the row adds."""
    three, four = (fitted(planted(n), tmp_path / str(n), batch=2).promise for n in (3, 4))
    assert three == four and "at probability 0.5" in three.mechanism
    told = fitted(planted(3), tmp_path / "told", batch=2, population=1000).promise
    assert "at probability 0.002" in told.mechanism and told.noise < three.noise
    assert drawn(fitted(planted(3), tmp_path / "again"), [0, 1, -1]).shape == (3, 16, 16, 3)


@pytest.mark.parametrize("wrong", [0, -1, 1e-9, 1e9, "much", float("nan")])
def test_an_epsilon_out_of_range_is_one_line(wrong: object) -> None:
    with pytest.raises(GobelinError, match="dp.epsilon") as caught:
        catalog.build("generators", "private_flow", {"dp": {"epsilon": wrong}})
    assert "\n" not in str(caught.value)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(GobelinError, match="a multiple of heads"):
        catalog.build("generators", "private_flow", {"width": 16, "heads": 3})


def test_weights_that_are_not_finite_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop would go back a step and make it again, with noise that nobody paid."""
    monkeypatch.setattr(NoisyMean, "released", lambda mean, total: total + math.inf)
    with pytest.raises(GobelinError, match=r"weights are not finite. Lower --set generator"):
        fitted(planted(), tmp_path)


def test_rows_without_a_class_or_a_weight(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rows without a class teach images of any class. The counts of the classes are noisy ones of
    rows that have a class and a weight, each once."""
    rows = planted(80)
    target = rows.condition.target.clone()
    target[:10] = -1
    weights = np.ones(80)
    weights[10:30] = 0
    weights[30:50] = 9
    rows = replace(rows, condition=replace(rows.condition, target=target), weights=weights)
    sampler = fitted(rows, tmp_path, 1, dp={"epsilon": 100.0}, central=0.9)
    assert np.abs(np.array(sampler.learned.counts) - 25).max() < 4
    assert "weights above 1" in caplog.text
    assert sampler.promise.weighed and "weights" in " ".join(sampler.promise.not_private)
    number = replace(rows, condition=replace(rows.condition, target=torch.rand(80)))
    assert fitted(number, tmp_path / "number", 1, mirror=True).accepts == frozenset()
    assert "the target is a number" in caplog.text


def test_what_is_saved_tells_of_no_row(tmp_path: Path) -> None:
    """No loss of any row, and no sum without noise, is in the saved folder or the work folder."""
    sampler = fitted(planted(), tmp_path / "work", dp={"epsilon": 2.0}, central=0)
    (tmp_path / "saved").mkdir()
    sampler.save(tmp_path / "saved")
    again = catalog.build("generators", "private_flow").load(tmp_path / "saved", RUNTIME)
    assert again.promise == sampler.promise and again.promise.epsilon == 2.0
    assert again.history == () and not again.network.centres.any()
    assert "mean image" not in again.promise.mechanism and not math.isnan(again.promise.noise)
    assert not list((tmp_path / "saved").rglob("released*"))
    assert not list((tmp_path / "work").rglob("*.png"))
