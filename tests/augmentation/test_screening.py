"""What screening keeps: planted labels, planted conditions, planted near copies, a class that is
all wrong."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.augmentation import screening
from gobelin.augmentation.screening import (
    ACCEPTED_SHARE,
    LabelReader,
    MatchReader,
    Screen,
    failed,
    near,
)
from gobelin.core.machine import Runtime
from gobelin.quality.judge import Judge

RNG = np.random.default_rng(0)


def see(images: np.ndarray) -> np.ndarray:
    """The pixels of sixteen squares, float32 [n, 48]."""
    return (
        images.reshape(len(images), 4, 4, 4, 4, 3)
        .mean((2, 4))
        .reshape(len(images), 48)
        .astype(np.float32)
        / 255
    )


def pictures(label: np.ndarray, spread: float = 40) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: one colour a class, noise on it."""
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[label]
    noisy = (
        colours[:, None, None]
        + RNG.normal(0, spread, (len(label), 1, 1, 3))
        + RNG.normal(0, 10, (len(label), 16, 16, 3))
    )
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reader(runtime: Runtime) -> LabelReader:
    label = RNG.permutation(np.repeat([0, 1, 2], [80, 40, 20]))
    return LabelReader.fit(see(pictures(label)), label, 3, [str(k) for k in range(140)], runtime)


def test_right_labels_stay_and_wrong_ones_go(reader: LabelReader) -> None:
    label = RNG.integers(0, 3, 300)
    images = pictures(label)
    assert reader.agrees(see(images), label).mean() > 0.85
    assert reader.agrees(see(images), (label + 1) % 3).mean() < 0.15
    assert reader.agrees(see(images[:0]), label[:0]).shape == (0,)


def test_a_reader_that_reads_nothing_throws_little_away(runtime: Runtime) -> None:
    label = RNG.integers(0, 3, 200)
    noise = RNG.integers(0, 255, (200, 16, 16, 3)).astype(np.uint8)
    blind = LabelReader.fit(see(noise), label, 3, [str(k) for k in range(200)], runtime)
    fresh = RNG.integers(0, 255, (300, 16, 16, 3)).astype(np.uint8)
    assert blind.agrees(see(fresh), RNG.integers(0, 3, 300)).mean() > 0.85


def test_a_class_with_fewer_rows_than_folds_is_not_thrown_away(runtime: Runtime) -> None:
    label = np.repeat([0, 1, 2], [60, 60, 2])
    few = LabelReader.fit(see(pictures(label)), label, 4, [str(k) for k in range(122)], runtime)
    assert np.isfinite(few.margins[:2]).all() and few.margins[3] == -np.inf
    assert few.agrees(see(pictures(np.full(50, 2))), np.full(50, 2)).mean() > 0.5
    assert few.agrees(
        see(pictures(np.full(50, 3 % 3))), np.full(50, 3)
    ).all()  # nothing to compare with: nothing is thrown away


def test_the_class_that_the_generator_failed_on_is_named() -> None:
    label = np.repeat([0, 1, 2, 3], [20, 20, 20, 4])
    kept = np.concatenate([np.ones(20), np.arange(20) < 3, np.arange(20) < 5, np.zeros(4)]).astype(
        bool
    )
    assert failed(label, kept) == [1]  # 15 % kept; 25 % suffice; four images are too few to say


def test_near_copies_of_opened_rows_are_found_and_new_images_are_not() -> None:
    smooth = [
        RNG.integers(0, 255, (n, 4, 4, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
        for n in (60, 80, 100)
    ]
    opened, train, fresh = smooth
    copies = np.clip(opened[:30].astype(int) + RNG.integers(-2, 3, (30, 1, 1, 3)), 0, 255).astype(
        np.uint8
    )

    def encode(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float32) / 255

    found = near(np.concatenate([copies, fresh]), opened, train, encode, Judge(), 0)
    assert found[:30].mean() > 0.9 and not found[30:].any()
    assert not near(fresh, opened[:0], train, encode, Judge(), 0).any()
    assert screening.REAL_NEAR < 0.1


def told(n: int, rng: np.random.Generator, noise: float = 15) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 16, 16, 3] and what a field says of them, float32 [n, 8]: the colours,
    turned, with two numbers that no image shows."""
    said = rng.uniform(0, 255, (n, 6)).astype(np.float32)
    halves = (
        np.stack([said[:, :3], said[:, 3:]], 1)[:, :, None, None]
        .repeat(8, 2)
        .repeat(16, 3)
        .reshape(n, 16, 16, 3)
    )
    images = np.clip(
        halves + rng.normal(0, noise, (n, 1, 1, 3)) + rng.normal(0, 10, (n, 16, 16, 3)), 0, 255
    )
    turn = np.random.default_rng(7).normal(size=(6, 6))
    return images.astype(np.uint8), np.concatenate(
        [said @ turn / 255, rng.normal(size=(n, 2))], 1
    ).astype(np.float32)


def test_shuffled_conditions_go_and_true_ones_stay(runtime: Runtime) -> None:
    rng = np.random.default_rng(3)
    images, values = told(400, rng)
    reader = MatchReader.fit(see(images), values, np.arange(400) % 5, runtime)
    assert isinstance(reader, MatchReader)
    least, caught = reader.threshold(ACCEPTED_SHARE)
    assert (reader.right >= least).mean() == pytest.approx(ACCEPTED_SHARE, abs=0.005)
    new, theirs = told(600, rng)
    fold = np.arange(600) % 5
    stay = (reader.cosines(see(new), theirs, fold) >= least).mean()
    gone = (reader.cosines(see(new), np.roll(theirs, 1, 0), fold) < least).mean()
    assert 0.91 < stay < 0.985 and gone > 0.85
    assert caught == pytest.approx(
        gone, abs=0.08
    )  # the power that it states is the power that it has


def test_a_row_is_read_by_a_reader_that_never_saw_its_group(runtime: Runtime) -> None:
    """Images and values without any relation: whoever knows the rows by heart finds a match, who
    doesn't finds none."""
    rng = np.random.default_rng(4)
    seen, values = rng.normal(size=(2, 90, 40)).astype(np.float32)
    reader = MatchReader.fit(seen, values, np.arange(90) % 5, runtime)
    assert isinstance(reader, MatchReader)
    by_heart = reader.probes[0].paired(seen, values)[np.arange(90) % 5 != 0]
    assert (
        by_heart.mean() > 0.3
        and abs(reader.right.mean()) < 0.15
        and abs(reader.wrong.mean()) < 0.15
    )
    assert reader.threshold(ACCEPTED_SHARE)[1] < 0.15


def test_too_few_rows_or_values_are_said(runtime: Runtime) -> None:
    images, values = told(60, np.random.default_rng(5))
    assert "49 real training images" in str(
        MatchReader.fit(see(images[:49]), values[:49], np.arange(49) % 5, runtime)
    )
    same = np.repeat(values[:3], 20, 0)
    assert "3 different values, 50 with 10 are needed" in str(
        MatchReader.fit(see(images), same, np.arange(60) % 5, runtime)
    )


def test_each_image_is_counted_once_and_only_for_what_was_looked_for() -> None:
    copies, unmatched = np.array([True, False, False, False]), np.array([True, True, False, False])
    screen = Screen(copies, None, None, None, unmatched)
    assert screen.reasons() == {"copy of a training image": 1, "does not match what was asked": 1}
    assert screen.accepted(4).tolist() == [False, False, True, True]
    assert (
        Screen(None, None, None, None, None).reasons() == {}
        and Screen(None, None, None, None, None).accepted(3).all()
    )
