"""Images with differential privacy. Oracles: dp-accounting's epsilon, planted classes (a colour
each), the promise in files, and two trainings that differ in nothing but the noise."""

from __future__ import annotations

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
from gobelin.generation.generators import Condition, Context, Controls, ImageRows, Sampler
from gobelin.privacy.guarantee import Guarantee

SMALL = {"width": 8, "random": 100, "batch": 32}


def fitted(
    rows: ImageRows,
    folder: Path,
    steps: int = 2,
    spend: Callable[[Guarantee], None] = lambda promise: None,
    **settings: object,
) -> Sampler:
    component = catalog.build("generators", "private_means", {**SMALL, **settings})
    return component.fit(rows, rows.first(0), Context(RUNTIME, folder, steps, spend=spend))


def drawn(sampler: Sampler, classes: list[int]) -> np.ndarray:
    n = len(classes)
    nothing = torch.zeros(n, 2, 8), torch.zeros(n, 2, dtype=torch.bool)
    condition = Condition(("a", "b"), *nothing, torch.tensor(classes))
    return np.concatenate(list(sampler.sample(condition, range(n), Controls())))


def test_the_promise_is_that_of_the_accountant(tmp_path: Path) -> None:
    for epsilon in (1.0, 8.0):
        promise = fitted(planted(), tmp_path / str(epsilon), dp={"epsilon": epsilon}).promise
        accountant = from_gaussian_mechanism(promise.noise, value_discretization_interval=1e-3)
        assert accountant.get_epsilon_for_delta(promise.delta) == pytest.approx(epsilon, abs=1e-3)
        assert promise.epsilon == epsilon and promise.unit == "row"


def test_classes_follow_the_data_at_a_loose_epsilon(tmp_path: Path) -> None:
    """The mean colour of each class is that of its rows; the counts too."""
    sampler = fitted(planted(400), tmp_path, 200, dp={"epsilon": 50.0}, rate=3e-3)
    images = drawn(sampler, [0] * 32 + [1] * 32).reshape(2, 32, -1, 3)
    assert np.abs(images.mean((1, 2)) - COLOURS).max() < 30
    assert np.abs(np.array(sampler.learned.counts) - 200).max() < 10
    mixed = drawn(sampler, [-1] * 200).reshape(200, -1, 3).mean(1)
    assert 60 < (mixed[:, 0] > mixed[:, 2]).sum() < 140


def test_the_same_seed_makes_other_weights(tmp_path: Path) -> None:
    """The noise does not follow from the seed; all else does: with the released means of the
    first, the second is the first."""
    one, two = (fitted(planted(), tmp_path / name) for name in "ab")
    assert one.fingerprint() != two.fingerprint()
    assert fitted(planted(), tmp_path / "a").fingerprint() == one.fingerprint()


def test_a_training_spends_once_even_if_it_was_killed(tmp_path: Path) -> None:
    spent: list[Guarantee] = []

    def killed(promise: Guarantee) -> None:
        spent.append(promise)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(planted(), tmp_path, spend=killed)
    fitted(planted(), tmp_path, spend=spent.append)  # nothing was released yet: it is paid again
    fitted(planted(), tmp_path, 4, spend=spent.append)  # from what was released
    assert len(spent) == 2
    fitted(replace(planted(), images=255 - planted().images), tmp_path, spend=spent.append)
    (tmp_path / "released.safetensors").write_bytes(b"damaged")
    fitted(planted(), tmp_path, spend=spent.append)
    assert len(spent) == 4


def test_groups_are_the_unit(tmp_path: Path) -> None:
    rows = replace(planted(), groups=np.arange(64) // 4)
    promise = fitted(rows, tmp_path, dp={"delta": 0.05}).promise
    assert promise.unit == "group" and promise.delta == 0.05
    with pytest.raises(GobelinError, match=r"generator.settings.dp.delta: below 1 / 16 was"):
        fitted(rows, tmp_path, dp={"delta": 1 / 16})


@pytest.mark.parametrize("wrong", [0, -1, 1e-9, 1e9, "much", float("nan")])
def test_an_epsilon_out_of_range_is_one_line(wrong: object) -> None:
    with pytest.raises(GobelinError, match="dp.epsilon") as caught:
        catalog.build("generators", "private_means", {"dp": {"epsilon": wrong}})
    assert "\n" not in str(caught.value)


def test_an_odd_count_of_random_features_is_refused() -> None:
    with pytest.raises(GobelinError, match="an even number was expected"):
        catalog.build("generators", "private_means", {"random": 3})


def test_three_rows_are_enough_to_train(tmp_path: Path) -> None:
    sampler = fitted(planted(3), tmp_path)
    assert drawn(sampler, [0, 1, -1]).shape == (3, 16, 16, 3) and sampler.promise.delta == 1e-5


def test_rows_without_a_class_or_a_weight_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With hardly any noise the counts are those of the rows that are left, each once."""
    rows = planted(80)
    target = rows.condition.target.clone()
    target[:10] = -1
    weights = np.ones(80)
    weights[10:30] = 0
    weights[30:50] = 9
    rows = replace(rows, condition=replace(rows.condition, target=target), weights=weights)
    sampler = fitted(rows, tmp_path, dp={"epsilon": 100.0}, counted=0.09)
    assert np.abs(np.array(sampler.learned.counts) - 25).max() < 3
    assert "without a class" in caplog.text and "weights above 1" in caplog.text
    assert sampler.promise.weighed and "weights" in " ".join(sampler.promise.not_private)


def test_a_number_as_target_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = planted()
    number = torch.rand(64)
    sampler = fitted(replace(rows, condition=replace(rows.condition, target=number)), tmp_path)
    assert sampler.accepts == frozenset() and "the target is a number" in caplog.text


def test_the_promise_is_saved(tmp_path: Path) -> None:
    sampler = fitted(planted(), tmp_path / "work", dp={"epsilon": 2.0})
    (tmp_path / "saved").mkdir()
    sampler.save(tmp_path / "saved")
    again = catalog.build("generators", "private_means").load(tmp_path / "saved", RUNTIME)
    assert again.promise == sampler.promise and again.promise.epsilon == 2.0
    assert not list((tmp_path / "saved").rglob("released*"))
