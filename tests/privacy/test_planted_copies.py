"""Planted copies: what each change does, on images where it can be told in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from gobelin.privacy.planted_copies import CHANGES, of_every_kind, plant

SIZE = 16
LEVELS = np.arange(40, 201, 4)


def constant() -> np.ndarray:
    return np.stack([np.full((SIZE, SIZE, 3), v, np.uint8) for v in LEVELS])


def test_noisy_copies_lie_within_their_bounds() -> None:
    """Constant images: a shift changes nothing, so what is left is the brightness (5 %) and the
    noise (4)."""
    found = plant(constant(), 30, seed=0)
    assert found.shape == (30, SIZE, SIZE, 3) and found.dtype == np.uint8
    means, spreads = found.mean((1, 2, 3)), found.std((1, 2, 3))
    assert all(min(abs(m - v) / v for v in LEVELS) < 0.06 for m in means) and np.all(
        np.abs(spreads - 4) < 0.6
    )
    assert np.array_equal(plant(constant(), 30, seed=0), found) and not np.array_equal(
        plant(constant(), 30, seed=1), found
    )
    assert len(plant(constant(), 999, seed=0)) == len(LEVELS)


@pytest.mark.parametrize("kind", ["exact", "flipped", "cropped", "blurred"])
def test_changes_that_move_and_blur_leave_constant_images_alone(kind: str) -> None:
    found = plant(constant(), len(LEVELS), 0, kind)
    assert sorted(found[:, 3, 4, 1]) == LEVELS.tolist() and np.all(found == found[:, :1, :1])


def test_a_crop_is_a_part_at_the_old_size() -> None:
    """A ramp cropped to a share s of its side rises s times as fast, in each direction."""
    y, x = np.mgrid[:SIZE, :SIZE]
    found = plant(np.stack([4.0 * y, 6.0 * x, 5.0 * y], 2)[None].astype(np.uint8), 1, 3, "cropped")[
        0
    ].astype(float)
    down, right = (
        (found[12, :, 0] - found[3, :, 0]).mean() / 36,
        (found[:, 12, 1] - found[:, 3, 1]).mean() / 54,
    )
    assert 0.68 < down < 0.92 and right == pytest.approx(down, abs=0.03)


def test_flips_and_overlays_change_what_they_say() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(plant(images, 1, 0, "flipped")[0], images[0, :, ::-1])
    covered = (plant(images, 1, 0, "overlaid")[0] != images[0]).any(2)
    assert 0.05 < covered.mean() < 0.26


def test_every_kind_has_its_share() -> None:
    found = of_every_kind(constant(), 70, 0)
    assert list(found) == list(CHANGES) and {len(images) for images in found.values()} == {10}
    assert {len(images) for images in of_every_kind(constant(), 1, 0).values()} == {1}
