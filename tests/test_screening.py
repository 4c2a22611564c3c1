"""What screening keeps: planted labels, planted near copies, a class that is all wrong."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin import screening
from gobelin.judge import Judge
from gobelin.matching import Eyes
from gobelin.runtime import Runtime
from gobelin.screening import LabelReader, failed, near

RNG = np.random.default_rng(0)


class Plain:
    """Eyes that see the pixels of four quarters."""

    name = "plain"

    def see(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), 4, 4, 4, 4, 3).mean((2, 4)).reshape(len(images), -1).astype(np.float32) / 255


def pictures(label: np.ndarray, spread: float = 40) -> np.ndarray:
    """uint8 [n, 16, 16, 3]: one colour a class, noise on it."""
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[label]
    noisy = colours[:, None, None] + RNG.normal(0, spread, (len(label), 1, 1, 3)) + RNG.normal(0, 10, (len(label), 16, 16, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reader(runtime: Runtime) -> LabelReader:
    label = RNG.permutation(np.repeat([0, 1, 2], [80, 40, 20]))
    eyes: Eyes = Plain()  # type: ignore[assignment]
    return LabelReader.fit(eyes, pictures(label), label, 3, [str(k) for k in range(140)], runtime)


def test_right_labels_stay_and_wrong_ones_go(reader: LabelReader) -> None:
    label = RNG.integers(0, 3, 300)
    images = pictures(label)
    assert reader.agrees(images, label).mean() > 0.85
    assert reader.agrees(images, (label + 1) % 3).mean() < 0.15
    assert reader.agrees(images[:0], label[:0]).shape == (0,)


def test_a_reader_that_reads_nothing_throws_little_away(runtime: Runtime) -> None:
    label = RNG.integers(0, 3, 200)
    noise = RNG.integers(0, 255, (200, 16, 16, 3)).astype(np.uint8)
    eyes: Eyes = Plain()  # type: ignore[assignment]
    blind = LabelReader.fit(eyes, noise, label, 3, [str(k) for k in range(200)], runtime)
    fresh = RNG.integers(0, 255, (300, 16, 16, 3)).astype(np.uint8)
    assert blind.agrees(fresh, RNG.integers(0, 3, 300)).mean() > 0.85


def test_a_class_with_fewer_rows_than_folds_is_not_thrown_away(runtime: Runtime) -> None:
    label = np.repeat([0, 1, 2], [60, 60, 2])
    eyes: Eyes = Plain()  # type: ignore[assignment]
    few = LabelReader.fit(eyes, pictures(label), label, 4, [str(k) for k in range(122)], runtime)
    assert np.isfinite(few.margins[:2]).all() and few.margins[3] == -np.inf
    assert few.agrees(pictures(np.full(50, 2)), np.full(50, 2)).mean() > 0.5
    assert few.agrees(pictures(np.full(50, 3 % 3)), np.full(50, 3)).all()  # nothing to compare with: nothing is thrown away


def test_the_class_that_the_generator_failed_on_is_named() -> None:
    label = np.repeat([0, 1, 2, 3], [20, 20, 20, 4])
    kept = np.concatenate([np.ones(20), np.arange(20) < 3, np.arange(20) < 5, np.zeros(4)]).astype(bool)
    assert failed(label, kept) == [1]  # 15 % kept; 25 % suffice; four images are too few to say


def test_near_copies_of_opened_rows_are_found_and_new_images_are_not() -> None:
    smooth = [RNG.integers(0, 255, (n, 4, 4, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8) for n in (60, 80, 100)]
    opened, train, fresh = smooth
    copies = np.clip(opened[:30].astype(int) + RNG.integers(-2, 3, (30, 1, 1, 3)), 0, 255).astype(np.uint8)

    def encode(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float32) / 255

    found = near(np.concatenate([copies, fresh]), opened, train, encode, Judge(), 0)
    assert found[:30].mean() > 0.9 and not found[30:].any()
    assert not near(fresh, opened[:0], train, encode, Judge(), 0).any()
    assert screening.REAL_NEAR < 0.1
