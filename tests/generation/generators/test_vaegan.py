"""The VAE/GAN on a planted set: class and vector each say a colour, and it must paint that
colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import (
    ASKED,
    BOTH,
    COLOURED,
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
from gobelin.generation.generators.vaegan import Vaegan, VaeganSampler

SMALL = Vaegan(width=8, code=8, batch=32, prior_width=64, prior_depth=2)


def fit(rows: ImageRows, folder: Path, steps: int, settings: Vaegan = SMALL) -> VaeganSampler:
    return settings.fit(rows, rows, Context(RUNTIME.apply(), folder, steps))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> VaeganSampler:
    return fit(planted(200), tmp_path_factory.mktemp("vaegan"), 200)


def test_obeys_the_contract(sampler: VaeganSampler) -> None:
    assert isinstance(SMALL, Generator) and isinstance(sampler, Sampler)
    assert sampler.size == (16, 16, 3)
    assert "only 200 training images" in sampler.notes[0]


@pytest.mark.parametrize("how", ["target", "hint"])
def test_paints_the_colour_that_was_asked_for(sampler: VaeganSampler, how: str) -> None:
    """Each part alone moves the colour."""
    assert obedience(sampler, how) > OBEYS


def test_asked_for_nothing_it_paints_both_and_differently(sampler: VaeganSampler) -> None:
    images = make(sampler, asking(ASKED))
    assert BOTH[0] < redder(images).mean() < BOTH[1]
    assert len(np.unique(images.reshape(ASKED, -1), axis=0)) == ASKED


def test_discs_have_a_colour_and_the_background_has_none(sampler: VaeganSampler) -> None:
    assert colour(make(sampler, asking(40, target=0))) > COLOURED


def test_an_image_is_its_seeds_and_not_its_batchs(sampler: VaeganSampler) -> None:
    condition = asking(13, target=1)
    whole = make(sampler, condition).astype(int)
    singly = make(sampler, condition, Controls(batch=1)).astype(int)
    assert np.abs(whole - singly).max() <= 2
    one = next(sampler.sample(condition.rows([5]), [5], Controls()))
    assert np.abs(one[0].astype(int) - whole[5]).max() <= 2


def test_noise_is_the_named_stream(sampler: VaeganSampler) -> None:
    """A second implementation of sampling, from the weights."""
    prior, maker = sampler.network["prior"], sampler.network["maker"]
    noise = torch.randn(8, generator=generator(3, "noise"))[None]
    parts = sampler.learned.parts("vaegan", asking(1, target=1))
    with torch.no_grad():
        image = maker(prior.draw(noise, parts, 1.0, 4))[0].permute(1, 2, 0)
    made = next(sampler.sample(asking(1, target=1), [3], Controls()))
    assert np.abs(made[0] - (image.numpy() + 1) * 127.5).max() <= 0.51


def test_saved_and_loaded_is_the_same(sampler: VaeganSampler, tmp_path: Path) -> None:
    sampler.save(tmp_path / "vaegan")
    again = Vaegan().load(tmp_path / "vaegan", RUNTIME)
    assert again.fingerprint() == sampler.fingerprint()
    assert again.notes == sampler.notes
    assert np.array_equal(make(again, asking(9, hint=0)), make(sampler, asking(9, hint=0)))


def test_same_seed_same_weights_also_after_an_interruption(tmp_path: Path) -> None:
    rows = planted(40)
    whole = fit(rows, tmp_path / "whole", 60)

    def stop(what: str, done: int, total: int) -> None:
        if done == 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.fit(rows, rows, Context(RUNTIME, tmp_path / "cut", 60, stop))
    assert fit(rows, tmp_path / "cut", 60).fingerprint() == whole.fingerprint()
    assert (
        fit(rows, tmp_path / "other", 60, replace(SMALL, start=0.5)).fingerprint()
        != whole.fingerprint()
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
    sampler = fit(ImageRows(images, Condition((), *nothing, number)), tmp_path, 120)
    asked = torch.linspace(0.1, 0.9, 60)
    made = make(sampler, Condition((), nothing[0][:60], nothing[1][:60], asked)).mean((1, 2, 3))
    assert np.corrcoef(asked.numpy(), made)[0, 1] > FOLLOWS


def test_mistakes_are_named(sampler: VaeganSampler, tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="learned 2 classes, asked for class 7"):
        make(sampler, asking(1, target=7))
    with pytest.raises(GobelinError, match="16 to 256 pixels, found 8 x 8"):
        fit(planted(20, 8, 8), tmp_path, 1)
    with pytest.raises(GobelinError, match="learned from fields hint"):
        make(
            sampler, Condition(("other",), torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        )
