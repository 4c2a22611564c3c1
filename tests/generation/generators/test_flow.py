"""The flow on planted sets. Oracles: a Gaussian's closed form in the network's place, planted
colours, and itself elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

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
from processor import RUNTIME, golden_numbers
from torch import Tensor, nn

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
from gobelin.generation.generators.flow import Flow, FlowSampler, _Learning
from gobelin.networks.condition import ConditionTensors, hide
from gobelin.networks.training.training import TrainingSettings, run

SMALL = Flow(
    width=32,
    depth=2,
    heads=2,
    batch=32,
    patch=4,
    rate=3e-3,
    warmup=10,
    half_life=30,
    jitter=0.2,
    begin=0.4,
)
GOLDEN = Path(__file__).parents[2] / "golden" / "flow_losses.json"


def fit(rows: ImageRows, folder: Path, steps: int, settings: Flow = SMALL) -> FlowSampler:
    return settings.fit(rows, rows, Context(RUNTIME.apply(), folder, steps))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> FlowSampler:
    return fit(planted(200), tmp_path_factory.mktemp("flow"), 400)


class ClassGaussian(nn.Module):
    """In the network's place: the closed-form velocity of N(-0.4 or 0.4, 0.1^2) of class 0 or 1,
    N(0, 0.1^2) of none, at no reach."""

    def embedding(self, parts: ConditionTensors) -> Tensor:
        return torch.tensor([-0.4, 0.4, 0.0])[parts.target]

    def forward(self, signal: Tensor, time: Tensor, embedded: Tensor, reach: Tensor) -> Tensor:
        assert not reach.any()
        t, mean = time[:, None, None, None], embedded[:, None, None, None]
        return mean + (t * 0.01 - (1 - t)) / ((1 - t) ** 2 + t**2 * 0.01) * (signal - t * mean)


def closed_form(sampler: FlowSampler) -> FlowSampler:
    return replace(sampler, network=ClassGaussian())


def test_obeys_the_contract(sampler: FlowSampler) -> None:
    assert isinstance(SMALL, Generator) and isinstance(sampler, Sampler)
    assert sampler.size == (16, 16, 3)
    assert "only 200 training images" in sampler.notes[0]


@pytest.mark.parametrize(("guidance", "shift"), [(0.0, 0.0), (1.0, 1.0), (1.5, 1.5)])
def test_a_closed_form_velocity_makes_its_gaussian(
    sampler: FlowSampler, guidance: float, shift: float
) -> None:
    """With one variance for all classes a guided Gaussian flow is again one: its mean moves by g,
    its deviation stays."""
    for target, mean in ((0, -0.4), (1, 0.4)):
        made = (
            make(closed_form(sampler), asking(40, target), Controls(guidance, steps=200)).astype(
                float
            )
            / 127.5
            - 1
        )
        assert made.mean() == pytest.approx(shift * mean, abs=0.01)
        assert made.std() == pytest.approx(0.1, abs=0.01)


def test_guidance_one_is_the_asked_and_zero_the_free_velocity(sampler: FlowSampler) -> None:
    """To the bit, for the trained network."""
    parts = sampler.learned.parts("flow", asking(3, target=1, hint=1))
    signal, time, reach = (
        torch.randn(3, 3, 16, 16, generator=generator(0, "u")),
        torch.full((3,), 0.4),
        torch.full((3,), 0.2),
    )
    with torch.no_grad():
        asked = sampler.network(signal, time, sampler.network.embedding(parts), reach=reach)
        free = sampler.network(
            signal, time, sampler.network.embedding(parts.nothing()), reach=reach
        )
        assert torch.equal(sampler.field(parts, 1.0, 0.2)(signal, 0.4), asked)
        assert torch.equal(sampler.field(parts, 0.0, 0.2)(signal, 0.4), free)
        assert torch.allclose(
            sampler.field(parts, 3.0, 0.2)(signal, 0.4), 3 * asked - 2 * free, atol=1e-4
        )
    assert not torch.allclose(asked, free, atol=1e-2)


@pytest.mark.parametrize("how", ["target", "hint"])
def test_paints_the_colour_that_was_asked_for(sampler: FlowSampler, how: str) -> None:
    """Each part alone moves the colour."""
    assert obedience(sampler, how) > OBEYS


def test_discs_have_a_colour_and_the_background_has_none(sampler: FlowSampler) -> None:
    """The mean image of the training set, the trivial maker, has no colour in the middle."""
    assert colour(make(sampler, asking(40, target=0))) > COLOURED


def test_two_modes_are_kept(tmp_path: Path) -> None:
    """Flat images of two colours, no condition at all: both colours are there, hardly any
    between."""
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2
    images = np.clip(
        COLOURS[label][:, None, None] + rng.normal(0, 10, (200, 16, 16, 3)), 0, 255
    ).astype(np.uint8)
    nothing = Condition((), torch.zeros(200, 0, 1), torch.zeros(200, 0, dtype=torch.bool))
    made = (
        make(fit(ImageRows(images, nothing), tmp_path, 250), nothing.rows(range(100)))
        .astype(float)
        .mean((1, 2))
    )
    assert BOTH[0] < (made[:, 0] > made[:, 2]).mean() < BOTH[1]
    nearest = np.linalg.norm(made[:, None] - COLOURS, axis=2).min(1)
    assert np.median(nearest) < 0.25 * np.linalg.norm(COLOURS[0] - COLOURS[1])


def test_every_subset_is_shown_in_training() -> None:
    """Of two fields and a target all eight subsets, the empty and the whole too, in the share that
    a batch hides."""
    n = 4000
    parts = ConditionTensors(
        torch.ones(n, 2, 4), torch.ones(n, 2, dtype=torch.bool), torch.zeros(n, dtype=torch.long)
    )
    kept = hide(parts, generator(0, "hide"), SMALL.whole)
    subset = torch.cat([kept.present, kept.target[:, None] >= 0], dim=1).long()
    count = {s: int((subset == torch.tensor(s)).all(1).sum()) for s in product((0, 1), repeat=3)}
    assert min(count.values()) > 0.02 * n and count[1, 1, 1] > SMALL.whole * n


def test_long_strides_are_learned_from_every_subset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A quarter of the rows, as many of them among those that keep everything as in the whole
    batch, towards the end alone."""
    rows, told = planted(64), list[float]()
    far = _Learning(replace(SMALL, batch=64, shortcuts=0.25), rows, RUNTIME.apply()).far(64)
    assert len(set(far.tolist())) == 16 and int(far.max()) < 64
    assert (far < round(SMALL.whole * 64)).float().mean() == pytest.approx(SMALL.whole, abs=0.05)
    twice = _Learning.twice

    def counted(task: _Learning, *arguments: Any) -> Tensor:
        told.append(len(arguments[0]))
        return twice(task, *arguments)

    monkeypatch.setattr(_Learning, "twice", counted)
    fit(rows, tmp_path, 10, replace(SMALL, batch=64, begin=0.7))
    assert told == [16, 16, 16]


def test_asked_for_nothing_it_paints_both_and_differently(sampler: FlowSampler) -> None:
    images = make(sampler, asking(ASKED))
    assert BOTH[0] < redder(images).mean() < BOTH[1]
    assert len(np.unique(images.reshape(ASKED, -1), axis=0)) == ASKED


def test_an_image_is_its_seeds_and_not_its_batchs(sampler: FlowSampler) -> None:
    condition = asking(13, target=1)
    whole = make(sampler, condition).astype(int)
    singly = make(sampler, condition, Controls(batch=1)).astype(int)
    assert np.abs(whole - singly).max() <= 2
    assert [len(block) for block in sampler.sample(condition, range(13), Controls(batch=5))] == [
        5,
        5,
        3,
    ]


def test_one_stride_reaches_either_mode(tmp_path: Path) -> None:
    """Asked for nothing. The same weights by one step of Euler along the velocity give a mixture of
    red and blue."""
    few, sampler = Controls(steps=1), fit(planted(200), tmp_path, 600)

    def away(sampler: FlowSampler) -> float:
        middle = make(sampler, asking(60), few).astype(float)[:, 7:9, 7:9].mean((1, 2))
        return float(np.median(np.linalg.norm(middle[:, None] - COLOURS, axis=2).min(1)))

    # measured over six trainings: 0.53 to 0.71, deviation 0.06; a build that learns none has 1
    assert away(sampler) < 0.95 * away(replace(sampler, settings=replace(SMALL, shortcuts=0.0)))
    share = redder(make(sampler, asking(4 * ASKED), few)).mean()
    assert BOTH[0] < share < BOTH[1]  # 0.22 to 0.51 measured


@pytest.mark.parametrize("evaluations", [1, 2, 3])
def test_few_evaluations_paint_what_was_asked(sampler: FlowSampler, evaluations: int) -> None:
    assert obedience(sampler, "target", Controls(steps=evaluations)) > OBEYS


def test_strides_written_out(sampler: FlowSampler) -> None:
    """A second implementation of sampling: two evaluations are two strides of a half."""
    parts = sampler.learned.parts("flow", asking(1, target=1))
    u, half = torch.randn(3, 16, 16, generator=generator(3, "noise"))[None], torch.tensor([0.5])
    with torch.no_grad():
        for time in (0.0, 0.5):
            u = (
                u
                + sampler.network(
                    u, torch.tensor([time]), sampler.network.embedding(parts), reach=half
                )
                / 2
            )
    made = next(sampler.sample(asking(1, target=1), [3], Controls(steps=2)))
    assert (
        np.abs(made[0] - ((u[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)).max() <= 0.51
    )


def test_noise_is_the_named_stream(sampler: FlowSampler) -> None:
    """A second implementation of sampling: Heun's method written out, from the weights."""
    parts = sampler.learned.parts("flow", asking(1, target=1))
    u = torch.randn(3, 16, 16, generator=generator(3, "noise"))[None]
    with torch.no_grad():
        embedded, none = sampler.network.embedding(parts), torch.zeros(1)
        for k in range(4):
            first = sampler.network(u, torch.tensor([k / 4]), embedded, reach=none)
            u = (
                u
                + (
                    first
                    + sampler.network(
                        u + first / 4, torch.tensor([(k + 1) / 4]), embedded, reach=none
                    )
                )
                / 8
            )
    made = next(
        replace(sampler, settings=replace(SMALL, solver="heun")).sample(
            asking(1, target=1), [3], Controls(steps=8)
        )
    )
    assert (
        np.abs(made[0] - ((u[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)).max() <= 0.51
    )


def test_saved_and_loaded_is_the_same(sampler: FlowSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "flow")
    again = Flow().load(tmp_path / "flow", RUNTIME)
    assert again.fingerprint() == sampler.fingerprint() and again.notes == sampler.notes
    assert np.array_equal(make(again, asking(9, hint=0)), make(sampler, asking(9, hint=0)))


def test_a_damaged_folder_is_refused(sampler: FlowSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "flow")
    weights = tmp_path / "flow" / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(GobelinError, match="aren't those that were saved"):
        Flow().load(tmp_path / "flow", RUNTIME)
    weights.write_bytes(good[: len(good) // 2])
    with pytest.raises(GobelinError, match="missing or damaged"):
        Flow().load(tmp_path / "flow", RUNTIME)
    config = json.loads((tmp_path / "flow" / "config.json").read_text())
    (tmp_path / "flow" / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(GobelinError, match="format 99"):
        Flow().load(tmp_path / "flow", RUNTIME)


def test_same_seed_same_weights_also_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Cut after step 55 and started again it goes on from the checkpoint of step 50, to the same
    bits."""
    rows, done = planted(40), list[int]()
    whole = fit(rows, tmp_path / "whole", 60)
    monkeypatch.setattr(
        "gobelin.generation.fitting.TrainingSettings",
        partial(TrainingSettings, seconds=0.0),
    )

    def stop(what: str, step: int, total: int) -> None:
        if step == 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.fit(rows, rows, Context(RUNTIME, tmp_path / "cut", 60, stop))
    again = SMALL.fit(
        rows,
        rows,
        Context(RUNTIME, tmp_path / "cut", 60, lambda what, step, total: done.append(step)),
    )
    assert done == list(range(51, 61))
    assert again.fingerprint() == whole.fingerprint()
    assert (
        fit(rows, tmp_path / "other", 60, replace(SMALL, rate=1e-3)).fingerprint()
        != whole.fingerprint()
    )


@pytest.mark.parametrize("size", [(20, 28, 1), (33, 17, 4), (16, 16, 3)])
def test_any_size_and_channels(tmp_path: Path, size: tuple[int, int, int]) -> None:
    sampler = fit(planted(20, *size), tmp_path, 3, replace(SMALL, patch=0))
    assert sampler.size == size and make(sampler, asking(2)).shape == (2, *size)


def test_padding_repeats_the_edge_and_is_cut_off(sampler: FlowSampler, tmp_path: Path) -> None:
    rows = planted(20, 18, 21)
    flow = fit(rows, tmp_path, 3)
    signal = flow.canvas.signal(rows.images)
    assert signal.shape == (20, 3, 20, 24)
    assert torch.equal(signal[:, :, :18, 21:], signal[:, :, :18, 20:21].expand(-1, -1, -1, 3))
    made = make(replace(flow, network=Ramp()), asking(1), Controls(steps=1))
    assert (
        np.abs(made[0, :, :, 0].astype(int) - np.arange(21) * 5).max() <= 1
    )  # the ramp's left part, uncut and unmoved


class Ramp(nn.Module):
    """The velocity that turns any noise in one step into a ramp from left to right, 5 levels a
    pixel."""

    def embedding(self, parts: ConditionTensors) -> Tensor:
        return torch.zeros(len(parts), 1)

    def forward(self, signal: Tensor, time: Tensor, embedded: Tensor, reach: Tensor) -> Tensor:
        return torch.arange(signal.shape[3]) * 5 / 127.5 - 1 - signal


def test_loss_of_a_row(sampler: FlowSampler) -> None:
    """A row's loss doesn't know its neighbours, is the same again, and is higher for images of
    another kind."""
    rows = planted(70)
    losses = sampler.row_loss(rows, draws=2)
    assert losses.shape == (70,) and losses.dtype == torch.float32 and bool((losses > 0).all())
    few = ImageRows(rows.images[:5], rows.condition.rows(range(5)), rows.classes)
    assert torch.allclose(sampler.row_loss(few, draws=2), losses[:5], rtol=1e-3)
    strange = ImageRows(255 - rows.images, rows.condition, rows.classes)
    assert float(sampler.row_loss(strange).mean()) > 2 * float(sampler.row_loss(rows).mean())


def test_number_targets(tmp_path: Path) -> None:
    """Brightness is the number: larger must be brighter."""
    number = torch.rand(100, generator=generator(0, "number"))
    images = np.broadcast_to(
        (number.numpy() * 255).astype(np.uint8)[:, None, None, None], (100, 16, 16, 1)
    )
    nothing = torch.zeros(100, 0, 4), torch.zeros(100, 0, dtype=torch.bool)
    sampler = fit(ImageRows(images, Condition((), *nothing, number)), tmp_path, 150)
    asked = torch.linspace(0.1, 0.9, 60)
    made = make(sampler, Condition((), nothing[0][:60], nothing[1][:60], asked)).mean((1, 2, 3))
    assert np.corrcoef(asked.numpy(), made)[0, 1] > FOLLOWS


@golden_numbers
def test_first_losses_are_the_golden_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A change of the recipe shows here first. To renew the file after a wanted change: delete it
    and run this test."""
    losses: list[float] = []

    def watched(*arguments: object, **named: object) -> object:
        step = arguments[0].step
        arguments[0].step = lambda batch, rng: (
            losses.append(float((out := step(batch, rng))["loss"])) or out
        )
        return run(*arguments, **named)

    monkeypatch.setattr("gobelin.generation.fitting.run", watched)
    fit(planted(40), tmp_path, 5, replace(SMALL, warmup=0, begin=0.5))
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(losses) + "\n")
        pytest.fail(f"{GOLDEN.name} was written anew: read it, then run the tests again")
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), abs=1e-4)


def test_mistakes_are_named(sampler: FlowSampler, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="learned 2 classes, asked for class 7"):
        make(sampler, asking(1, target=7))
    with pytest.raises(GobelinError, match="16 to 256 pixels, found 8 x 8"):
        fit(planted(20, 8, 8), tmp_path, 1)
    with pytest.raises(GobelinError, match="learned from fields hint"):
        make(
            sampler, Condition(("other",), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        )
    with pytest.raises(GobelinError, match="multiple of heads"):
        Flow(width=10, heads=3)
