"""The autoregressive generator on planted sets: histograms that it must beat, colours that it must
paint, bits near 0."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import discs
import numpy as np
import pytest
import torch
from discs import ASKED, BOTH, FOLLOWS, OBEYS, asking, make, obedience, redder
from processor import RUNTIME, golden_numbers

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
from gobelin.generation.generators.autoregressive import (
    Autoregressive,
    AutoregressiveSampler,
    _batches,
    _Reading,
)
from gobelin.networks.sequence import quantise
from gobelin.networks.training.training import TrainingSettings, run

SMALL = Autoregressive(
    levels=8,
    width=48,
    depth=2,
    heads=2,
    hidden=48,
    batch=32,
    rate=8e-3,
    jitter=0.2,
    half_life=50,
    warmup=10,
)
TINY = replace(SMALL, width=16, depth=1, hidden=16, batch=8, rate=4e-3)
GOLDEN = Path(__file__).parents[2] / "golden" / "autoregressive_losses.json"


def planted(n: int, height: int = 16, width: int = 8, channels: int = 3) -> ImageRows:
    """Larger discs, at more places."""
    return discs.planted(n, height, width, channels, away=0.2, radius=0.35)


def fit(
    rows: ImageRows, folder: Path, steps: int, settings: Autoregressive = SMALL
) -> AutoregressiveSampler:
    return settings.fit(rows, rows, Context(RUNTIME.apply(), folder, steps))


def histogram_bits(train: np.ndarray, test: np.ndarray, levels: int) -> float:
    """Bits a dimension of a model that knows each number's own histogram, one pseudo-count a
    level."""
    seen, asked = (
        quantise(train, levels).flatten(1).numpy(),
        quantise(test, levels).flatten(1).numpy(),
    )
    counts = np.stack([(seen == level).sum(0) + 1 for level in range(levels)])
    return float(-np.log2((counts / counts.sum(0))[asked, np.arange(asked.shape[1])]).mean())


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> AutoregressiveSampler:
    rows = planted(300)
    train, valid = (
        ImageRows(rows.images[i], rows.condition.rows(i), rows.classes)
        for i in (range(200), range(200, 300))
    )
    return SMALL.fit(
        train, valid, Context(RUNTIME.apply(), tmp_path_factory.mktemp("autoregressive"), 240)
    )


def test_obeys_the_contract(sampler: AutoregressiveSampler) -> None:
    assert isinstance(SMALL, Generator) and isinstance(sampler, Sampler)
    assert sampler.size == (16, 8, 3)
    assert "only 200 training images, each seen 38 times" in sampler.notes[0]


def test_unseen_images_cost_less_than_by_independent_histograms(
    sampler: AutoregressiveSampler,
) -> None:
    """The baseline is a closed form of the training images; a third of it must be enough."""
    rows = planted(300)
    baseline = histogram_bits(rows.images[:200], rows.images[200:], SMALL.levels)
    unseen = ImageRows(rows.images[200:], asking(100))
    bits = -sampler.log_likelihood(unseen)
    assert bits.dtype == np.float64 and bits.shape == (100,) and bits.mean() < baseline / 3
    assert (
        -sampler.log_likelihood(
            ImageRows(rows.images[200:], rows.condition.rows(range(200, 300)))
        ).mean()
        < bits.mean()
    )
    assert sampler.history[-1]["bits_valid"] < baseline / 3


@pytest.mark.parametrize("how", ["target", "hint"])
def test_paints_the_colour_that_was_asked_for(sampler: AutoregressiveSampler, how: str) -> None:
    """Each part alone moves the colour."""
    assert obedience(sampler, how) > OBEYS


@pytest.mark.parametrize("how", ["target", "hint"])
def test_the_likelihood_knows_the_class(sampler: AutoregressiveSampler, how: str) -> None:
    """Bayes: of both conditions, the true one makes the image more probable."""
    rows = planted(300)
    red, blue = (
        sampler.log_likelihood(ImageRows(rows.images[200:], asking(100, **{how: k})))
        for k in (0, 1)
    )
    right = ((red > blue) == redder(rows.images[200:])).mean()
    assert right > 0.8  # of 100 images: 0.99 and more measured; a build that can't tell has 0.5


def test_asked_for_nothing_it_paints_both_and_differently(sampler: AutoregressiveSampler) -> None:
    images = make(sampler, asking(ASKED))
    assert BOTH[0] < redder(images).mean() < BOTH[1]
    assert len(np.unique(images.reshape(ASKED, -1), axis=0)) > ASKED // 2


def test_an_image_is_its_seeds_and_not_its_batchs(sampler: AutoregressiveSampler) -> None:
    condition = asking(64, target=1)
    whole = make(sampler, condition)
    assert np.array_equal(make(sampler, condition.rows(range(6)), Controls(batch=1)), whole[:6])
    assert np.array_equal(make(sampler, condition.rows(range(9)), Controls(batch=3)), whole[:9])
    one = next(sampler.sample(condition.rows([5]), [5], Controls()))
    assert np.array_equal(one[0], whole[5])


def test_guidance_pulls_and_one_is_plain(sampler: AutoregressiveSampler) -> None:
    plain, same = (
        make(sampler, asking(20, target=0), Controls(guidance=g)) for g in (1.0, 1.0 + 1e-12)
    )
    assert np.array_equal(plain, same)
    strong = make(sampler, asking(20, target=0), Controls(guidance=3.0))
    assert redder(strong).mean() > 0.6 and not np.array_equal(strong, plain)
    away = make(sampler, asking(20, target=0), Controls(guidance=0.0))
    assert np.array_equal(away, make(sampler, asking(20)))  # nothing of the condition is left


def test_a_constant_set_costs_almost_nothing(tmp_path: Path) -> None:
    images = np.broadcast_to(np.array([200, 17, 90], np.uint8), (40, 16, 8, 3))
    sampler = fit(ImageRows(images, asking(40)), tmp_path, 60, TINY)
    assert -sampler.log_likelihood(ImageRows(images[:4], asking(4))).max() < 0.02
    assert (
        np.abs(make(sampler, asking(4)).astype(int) - images[:4]).max(axis=(1, 2, 3)).min()
        <= 255 / 14 + 1
    )


def test_few_images_seen_often_are_said_to_be_memorised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, valid = (
        ImageRows(rng.integers(0, 256, (4, 16, 8, 1), np.uint8), asking(4)) for _ in range(2)
    )
    sampler = replace(SMALL, dropout=0.0).fit(train, valid, Context(RUNTIME, tmp_path, 60))
    assert "it memorises" in sampler.notes[1]


def test_saved_and_loaded_is_the_same(sampler: AutoregressiveSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "saved")
    again = Autoregressive().load(tmp_path / "saved", RUNTIME)
    assert again.fingerprint() == sampler.fingerprint() and again.notes == sampler.notes
    assert np.array_equal(make(again, asking(9, hint=0)), make(sampler, asking(9, hint=0)))
    rows = ImageRows(planted(5).images, asking(5))
    assert np.array_equal(again.log_likelihood(rows), sampler.log_likelihood(rows))


def test_same_seed_same_weights_also_after_an_interruption(tmp_path: Path) -> None:
    rows = planted(40)
    whole = fit(rows, tmp_path / "whole", 60, TINY)

    def stop(what: str, done: int, total: int) -> None:
        if done == 55:
            raise KeyboardInterrupt

    (tmp_path / "cut").mkdir()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("gobelin.networks.training.training.TrainingSettings.seconds", 0.0)
        TINY.fit(rows, rows, Context(RUNTIME, tmp_path / "cut", 60, stop))
    assert fit(rows, tmp_path / "cut", 60, TINY).fingerprint() == whole.fingerprint()
    assert (
        fit(rows, tmp_path / "other", 60, replace(TINY, dropout=0.2)).fingerprint()
        != whole.fingerprint()
    )


@golden_numbers
def test_first_losses_are_those_on_file(tmp_path: Path) -> None:
    rows = planted(40)
    task = _Reading(TINY, rows, RUNTIME.apply())
    losses = [
        line["bits"]
        for line in run(
            task, _batches(task, rows), TrainingSettings(5, 0, ("network",), snapshot=1)
        ).history
    ]
    assert losses == pytest.approx(json.loads(GOLDEN.read_text())["bits"], abs=1e-4)


@pytest.mark.parametrize("size", [(20, 28, 1), (33, 17, 4)])
def test_any_size_and_channels(tmp_path: Path, size: tuple[int, int, int]) -> None:
    sampler = fit(planted(20, *size), tmp_path, 3, TINY)
    assert sampler.size == size and make(sampler, asking(2)).shape == (2, *size)
    assert np.isfinite(sampler.log_likelihood(planted(3, *size))).all()


def test_number_targets(tmp_path: Path) -> None:
    """Brightness is the number: larger must be brighter."""
    number = torch.rand(100, generator=generator(0, "number"))
    images = np.broadcast_to(
        (number.numpy() * 255).astype(np.uint8)[:, None, None, None], (100, 16, 8, 1)
    )
    nothing = torch.zeros(100, 0, 4), torch.zeros(100, 0, dtype=torch.bool)
    sampler = fit(ImageRows(images, Condition((), *nothing, number)), tmp_path, 80)
    asked = torch.linspace(0.1, 0.9, 60)
    made = make(sampler, Condition((), nothing[0][:60], nothing[1][:60], asked)).mean((1, 2, 3))
    assert np.corrcoef(asked.numpy(), made)[0, 1] > FOLLOWS


def test_mistakes_are_named(sampler: AutoregressiveSampler, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="learned 2 classes, asked for class 7"):
        make(sampler, asking(1, target=7))
    with pytest.raises(GobelinError, match="16 to 256 pixels, found 8 x 8"):
        fit(planted(20, 8, 8), tmp_path, 1)
    with pytest.raises(GobelinError, match="learned from fields hint"):
        make(
            sampler, Condition(("other",), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        )
    with pytest.raises(GobelinError, match="learned images of"):
        sampler.log_likelihood(planted(2, 16, 16))
    with pytest.raises(GobelinError, match="a width that the heads divide"):
        Autoregressive(width=50, heads=4)
    sampler.save(tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    (tmp_path / "old" / "config.json").write_text(json.dumps(config | {"format": 0}))
    with pytest.raises(GobelinError, match="format 0, this version reads 2"):
        Autoregressive().load(tmp_path / "old", RUNTIME)


def test_bfloat16_learns_the_same(tmp_path: Path) -> None:
    """Products in bfloat16 while it learns, float64 afterwards: the same bits within a
    twentieth."""
    rows, runtime = planted(40), replace(RUNTIME, precision="bfloat16")
    half = TINY.fit(rows, rows, Context(runtime, tmp_path / "half", 40))
    bits = [-s.log_likelihood(rows).mean() for s in (half, fit(rows, tmp_path / "full", 40, TINY))]
    assert bits[0] == pytest.approx(bits[1], rel=0.05)
