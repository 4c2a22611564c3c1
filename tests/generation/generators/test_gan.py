"""The GAN on planted sets: class and vector each say a colour, two modes, a critic whose slope is
known, one that overfits."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import (
    ASKED,
    BOTH,
    COLOURED,
    COLOURS,
    FOLLOWS,
    OBEYS,
    asking,
    colour,
    make,
    obedience,
    planted,
    redder,
)
from processor import RUNTIME
from torch import Tensor, nn

from gobelin.core import catalog, config
from gobelin.core.errors import GobelinError
from gobelin.core.machine import generator
from gobelin.generation.generators import (
    Condition,
    Context,
    Controls,
    Generator,
    ImageRows,
    Sampler,
)
from gobelin.generation.generators.gan import Amount, Gan, GanSampler, _batches, _Duel
from gobelin.networks.condition import ConditionTensors
from gobelin.networks.convolution import differences, pixels_of, signal_of
from gobelin.workbench.run.settings import Settings

SMALL = Gan(
    width=8, critic_width=8, code=8, batch=32, warmup=10, half_life=20, rate=2e-3, critic_rate=2e-3
)
RECIPE = Path(__file__).parents[3] / "recipes" / "dcgan.toml"


def fit(rows: ImageRows, folder: Path, steps: int, settings: Gan = SMALL) -> GanSampler:
    return settings.fit(rows, rows, Context(RUNTIME.apply(), folder, steps))


def duel(
    settings: Gan = SMALL, rows: ImageRows | None = None
) -> tuple[_Duel, Tensor, ConditionTensors]:
    """A task and a batch of it."""
    rows = rows or planted(40)
    task = _Duel(settings, rows, rows, RUNTIME.apply())
    return task, *_batches(task, rows)(0)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> GanSampler:
    return fit(planted(200), tmp_path_factory.mktemp("gan"), 400)


def test_obeys_the_contract(sampler: GanSampler) -> None:
    assert isinstance(SMALL, Generator) and isinstance(sampler, Sampler)
    assert sampler.size == (16, 16, 3)
    assert "only 200 training images" in sampler.notes[0]


@pytest.mark.parametrize("how", ["target", "hint"])
def test_paints_the_colour_that_was_asked_for(sampler: GanSampler, how: str) -> None:
    """Each part alone moves the colour."""
    assert obedience(sampler, how) > OBEYS


def test_asked_for_nothing_it_paints_both_and_differently(sampler: GanSampler) -> None:
    images = make(sampler, asking(ASKED))
    assert BOTH[0] < redder(images).mean() < BOTH[1]
    assert len(np.unique(images.reshape(ASKED, -1), axis=0)) == ASKED


def test_discs_have_a_colour_and_the_background_has_none(sampler: GanSampler) -> None:
    assert colour(make(sampler, asking(40, target=0))) > COLOURED


def test_two_modes_are_kept(tmp_path: Path) -> None:
    """Flat images of two colours, no condition at all: both colours are there, hardly any
    between, from each of three seeds."""
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2
    images = np.clip(
        COLOURS[label][:, None, None] + rng.normal(0, 10, (200, 16, 16, 3)), 0, 255
    ).astype(np.uint8)
    nothing = Condition((), torch.zeros(200, 0, 1), torch.zeros(200, 0, dtype=torch.bool))
    rows = ImageRows(images, nothing)
    for seed in range(3):
        context = Context(replace(RUNTIME, seed=seed).apply(), tmp_path / str(seed), 200)
        made = (
            make(SMALL.fit(rows, rows, context), nothing.rows(range(100)))
            .astype(float)
            .mean((1, 2))
        )
        assert BOTH[0] < (made[:, 0] > made[:, 2]).mean() < BOTH[1]
        nearest = np.linalg.norm(made[:, None] - COLOURS, axis=2).min(1)
        # 0.13 measured; a maker of the mean colour has 0.5
        assert np.median(nearest) < 0.35 * np.linalg.norm(COLOURS[0] - COLOURS[1])


def test_an_image_is_its_seeds_and_not_its_batchs(sampler: GanSampler) -> None:
    condition = asking(13, target=1)
    whole = make(sampler, condition).astype(int)
    singly = make(sampler, condition, Controls(batch=1)).astype(int)
    assert np.abs(whole - singly).max() <= 2
    assert [len(block) for block in sampler.sample(condition, range(13), Controls(batch=5))] == [
        5,
        5,
        3,
    ]


def test_noise_is_the_named_stream(sampler: GanSampler) -> None:
    noise = torch.randn(8, generator=generator(3, "noise"))[None]
    with torch.no_grad():
        image = pixels_of(sampler.network(noise, sampler.learned.parts("gan", asking(1, target=1))))
    assert np.array_equal(next(sampler.sample(asking(1, target=1), [3], Controls())), image)


def test_saved_and_loaded_is_the_same(sampler: GanSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "gan")
    again = Gan().load(tmp_path / "gan", RUNTIME)
    assert again.fingerprint() == sampler.fingerprint() and again.notes == sampler.notes
    assert np.array_equal(make(again, asking(9, hint=0)), make(sampler, asking(9, hint=0)))


def test_same_seed_same_weights_also_after_an_interruption(tmp_path: Path) -> None:
    rows = planted(40)
    whole = fit(rows, tmp_path / "whole", 60)

    def stop(what: str, done: int, total: int) -> None:
        if done == 55:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("gobelin.networks.training.training.TrainingSettings.seconds", 0.0)
        SMALL.fit(rows, rows, Context(RUNTIME, tmp_path / "cut", 60, stop))
    assert fit(rows, tmp_path / "cut", 60).fingerprint() == whole.fingerprint()
    assert (
        fit(rows, tmp_path / "other", 60, replace(SMALL, penalty=1.0)).fingerprint()
        != whole.fingerprint()
    )


class Linear(nn.Module):
    """In the critic's place: D(x) = w . x, whose slope is w everywhere."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, generator=generator(0, "critic")) / size**0.5)

    def forward(self, image: Tensor, parts: ConditionTensors, groups: int = 1) -> Tensor:
        return image.flatten(1) @ self.weight


def test_the_measured_slope_of_a_linear_critic_is_its_weight(tmp_path: Path) -> None:
    """E (w . e)^2 = |w|^2 at real and at made images alike, whatever the reach; 2 |w|^2 in all."""
    for reach in (0.01, 1.0):
        task, real, parts = duel(replace(SMALL, reach=reach, overfit=1.0))
        task.critic = Linear(real[0].numel())  # type: ignore[assignment]
        task.optimisers["critic"] = torch.optim.SGD(task.critic.parameters(), 0.0)  # type: ignore[index]
        found = [
            float(task.teach_critic(real, -real, parts, generator(k, "step"))[1].detach())
            for k in range(200)
        ]
        assert np.mean(found) == pytest.approx(
            2 * float(task.critic.weight.detach().square().sum()), rel=0.05
        )


def test_the_critic_sees_how_much_a_batch_differs(tmp_path: Path) -> None:
    """numpy's deviation within each group; so an image is judged by its own group, and a batch of
    one image over and over is judged otherwise than the same image among others."""
    x = torch.randn(8, 5, 3, 2, generator=generator(0, "x"))
    wanted = x.numpy().reshape(2, 4, 5, 3, 2).std(1).mean((2, 3))
    assert torch.allclose(
        differences(x, 2), torch.from_numpy(wanted).repeat_interleave(4, 0), atol=1e-5
    )
    task, real, parts = duel(replace(SMALL, deviation="always"))
    alike = real[:1].expand_as(real)
    with torch.no_grad():
        alone, beside = (
            task.critic(real, parts),
            task.critic(torch.cat([real, alike]), ConditionTensors.together([parts] * 2), 2),
        )
        assert torch.allclose(beside[: len(real)], alone, atol=1e-5)
        assert abs(float(beside[len(real)] - alone[0])) > 1e-4


def test_for_a_small_reach_the_measured_slope_is_autograds() -> None:
    """R1 + R2 by differentiation, at images of a half-trained critic."""
    task, real, parts = duel(replace(SMALL, reach=1e-2, overfit=1.0, critic_rate=1e-9))
    made = real.flip(0) * 0.5
    exact = torch.zeros(())
    for images in (real, made):
        x = images.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(task.critic(x, parts).sum(), x)
        exact = exact + slope.square().sum((1, 2, 3)).mean()
    found = [
        float(task.teach_critic(real, made, parts, generator(k, "step"))[1].detach())
        for k in range(400)
    ]
    assert np.mean(found) == pytest.approx(float(exact), rel=0.1)


@pytest.mark.parametrize("loss", ["relativistic", "plain"])
def test_losses_in_closed_form(loss: str) -> None:
    """f(t) = log(1 + e^-t): relativistic E f(D(real) - D(made)) (R3GAN, equation 2); plain E
    f(D(real)) + E f(-D(made))."""
    task, real, parts = duel(replace(SMALL, loss=loss, overfit=1.0))  # type: ignore[arg-type]
    made = -real
    with torch.no_grad():
        a, b = (task.critic(x, parts).double().numpy() for x in (real, made))
    expected = (
        np.log1p(np.exp(b - a)).mean()
        if loss == "relativistic"
        else (np.log1p(np.exp(-a)) + np.log1p(np.exp(b))).mean()
    )
    assert float(
        task.teach_critic(real, made, parts, generator(0, "step"))[0].detach()
    ) == pytest.approx(expected, rel=1e-4)


class Remembers(nn.Module):
    """In the critic's place: 1 for images that it has seen, `others` for other real ones, -1 for
    the rest."""

    def __init__(self, train: np.ndarray, valid: np.ndarray, others: float) -> None:
        super().__init__()
        self.train_images, self.valid_images, self.others = (
            signal_of(train),
            signal_of(valid),
            others,
        )

    def forward(self, image: Tensor, parts: ConditionTensors, groups: int = 1) -> Tensor:
        def among(known: Tensor) -> Tensor:
            return (torch.cdist(image.flatten(1), known.flatten(1)).min(1).values < 1e-3).float()

        known, held = among(self.train_images), among(self.valid_images)
        return known + held * self.others - (1 - torch.maximum(known, held))


@pytest.mark.parametrize(("others", "rises"), [(-0.9, True), (0.9, False)])
def test_augmentation_follows_a_critic_that_tells_train_from_valid(
    others: float, rises: bool
) -> None:
    rows = planted(80)
    train, valid = (
        ImageRows(rows.images[i], rows.condition.rows(i), rows.classes)
        for i in (range(40), range(40, 80))
    )
    task = _Duel(replace(SMALL, growth=32 * 8 * 10), train, valid, RUNTIME.apply())
    task.critic = Remembers(train.images, valid.images, others)  # type: ignore[assignment]
    task.amount.share.fill_(0.0 if rises else 0.5)
    real, parts = _batches(task, train)(0)
    before = float(task.amount.share)
    with torch.no_grad():
        says = task.critic(real, parts)
    task.measure_overfit(says, torch.zeros_like(real), parts, generator(0, "look"))
    assert float(task.amount.share) - before == pytest.approx(0.1 if rises else -0.1)


def test_the_amount_is_a_share_of_the_images() -> None:
    """None at 0, all at 1, half at a half; it stays in 0 .. 1."""
    amount, images = Amount(), torch.rand(400, 3, 16, 16, generator=generator(0, "images"))
    for share in (0.0, 0.5, 1.0):
        amount.share.fill_(share)
        changed = (
            (amount.changed(images, generator(1, "change")) != images)
            .flatten(1)
            .any(1)
            .float()
            .mean()
        )
        assert float(changed) == pytest.approx(share, abs=0.08)
    one, none = torch.ones(4), -torch.ones(4)
    amount.follow(one, none, none, 0.5, 0.3)
    assert float(amount.share) == 1.0


def test_the_plain_recipe_is_settings_and_trains(tmp_path: Path) -> None:
    """Of Radford et al. 2016 and no more: cross-entropy, no penalty, no average, no
    augmentation."""
    said = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    how = config.build(Settings, said, str(RECIPE)).completed().generator
    assert how.name == "gan" and how.settings["critic_norm"] and how.settings["loss"] == "plain"
    plain = catalog.build(
        "generators", how.name, {**how.settings, "width": 8, "critic_width": 8, "batch": 16}
    )
    sampler = fit(planted(40), tmp_path, 12, plain)
    assert make(sampler, asking(3)).shape == (3, 16, 16, 3)
    assert (
        sampler.history[-1]["slope"] == 0
        and sampler.history[-1]["changed"] == 0
        and sampler.history[-1]["critic"] > 0
    )


@pytest.mark.parametrize("size", [(20, 28, 1), (33, 17, 4)])
def test_any_size_and_channels(tmp_path: Path, size: tuple[int, int, int]) -> None:
    sampler = fit(planted(20, *size), tmp_path, 3)
    assert sampler.size == size and make(sampler, asking(2)).shape == (2, *size)


def test_number_targets(tmp_path: Path) -> None:
    """Brightness is the number: larger must be brighter."""
    number = torch.rand(100, generator=generator(0, "number"))
    images = np.broadcast_to(
        (number.numpy() * 255).astype(np.uint8)[:, None, None, None], (100, 16, 16, 1)
    )
    nothing = torch.zeros(100, 0, 4), torch.zeros(100, 0, dtype=torch.bool)
    sampler = fit(ImageRows(images, Condition((), *nothing, number)), tmp_path, 300)
    asked = torch.linspace(0.1, 0.9, 60)
    made = make(sampler, Condition((), nothing[0][:60], nothing[1][:60], asked)).mean((1, 2, 3))
    assert np.corrcoef(asked.numpy(), made)[0, 1] > FOLLOWS


def test_training_is_watched(tmp_path: Path) -> None:
    """Held-out scores fall, a grid a look lies in the folder, the weights are those of the best
    look."""
    sampler = fit(planted(60), tmp_path, 200)
    seen = {line["step"]: line["held_out"] for line in sampler.history if "held_out" in line}
    assert len(seen) > 2 and seen[200] < seen[min(seen)]
    assert {p.name for p in (tmp_path / "samples").iterdir()} == {f"{step}.png" for step in seen}
    few = fit(planted(15), tmp_path / "few", 200)
    assert (
        not any("held_out" in line for line in few.history)
        and not (tmp_path / "few" / "samples").exists()
    )


def test_mistakes_are_named(sampler: GanSampler, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="learned 2 classes, asked for class 7"):
        make(sampler, asking(1, target=7))
    with pytest.raises(GobelinError, match="16 to 256 pixels, found 8 x 8"):
        fit(planted(20, 8, 8), tmp_path, 1)
    with pytest.raises(GobelinError, match="learned from fields hint"):
        make(
            sampler, Condition(("other",), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        )
