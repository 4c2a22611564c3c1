"""Copies of volumes. Oracles: planted maps, planted copies, and new volumes that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from gobelin.privacy.audits import AuditInput
from gobelin.privacy.audits.copying import Copying
from gobelin.privacy.audits.membership import Membership
from gobelin.privacy.candidates import grey, reduced, warped, whole
from gobelin.privacy.planted_copies import CHANGES, of_every_kind
from gobelin.privacy.registration import align, fits
from gobelin.quality.judge import waves

SIDE = 20


def smooth(n: int, seed: int) -> np.ndarray:
    """uint8 [n, 20, 20, 20, 1]: random shapes, each another."""
    rough = np.random.default_rng(seed).normal(size=(n, SIDE, SIDE, SIDE, 1))
    soft = ndimage.gaussian_filter(rough, (0, 2, 2, 2, 0))
    return (soft / soft.std() * 40 + 128).clip(0, 255).astype(np.uint8)


def moved(volumes: np.ndarray, *by: int) -> np.ndarray:
    """Moved by whole voxels; what comes in repeats the edge."""
    return ndimage.shift(volumes, (0, *by, 0), order=0, mode="nearest")


def test_a_planted_map_of_a_volume_is_found_again() -> None:
    y = grey(reduced(smooth(4, 0)))
    change = torch.tensor(
        [[0.05, 0.03, 0.0, 0.08], [-0.04, -0.05, 0.02, -0.06], [0.0, 0.03, 0.04, 0.05]]
    )
    true = (whole(3) + change).expand(4, 3, 4)
    found, left = align(warped(y, true) * 0.8 + 0.1, y, whole(3).expand(4, 3, 4), 20)
    assert torch.allclose(found, true, atol=0.02) and left.max() < 1e-5


@pytest.mark.parametrize("axis", [1, 2, 3], ids=["upside down", "front to back", "left to right"])
def test_a_mirrored_and_shifted_volume_is_explained(axis: int) -> None:
    pool, new = smooth(30, 1), smooth(8, 2)
    copied = moved(np.flip(pool[:8], axis), 2, 0, -1)
    of_copies, of_new = fits(copied, pool), fits(new, pool)
    for way in of_new:
        mine, others = of_copies[way], of_new[way]
        assert (mine.row == np.arange(8)).all()
        assert mine.distance.max() < 0.6 * others.distance.min()


def test_every_change_keeps_the_shape_and_changes_as_named() -> None:
    volumes = smooth(10, 3)
    kinds = of_every_kind(volumes, 70, 0)
    assert {k: v.shape for k, v in kinds.items()} == dict.fromkeys(CHANGES, volumes.shape)
    mirrored = {v.tobytes() for v in volumes[:, :, :, ::-1]}
    assert all(v.tobytes() in mirrored for v in kinds["flipped"])
    assert kinds["blurred"].std() < volumes.std()


def test_a_generator_that_copies_volumes_is_told_and_a_fair_one_is_not() -> None:
    train, holdout, new = smooth(60, 4), smooth(60, 5), smooth(40, 6)
    copies = moved(np.flip(train[:40], 3), 1, 1, 0)
    for generated, word in (
        (copies, "copies training images"),
        (new, "no evidence of copying"),
    ):
        images = AuditInput(
            train=train,
            holdout=holdout,
            generated=generated,
            planted=of_every_kind(train, 70, 0),
            spaces={"waves": waves},
            train_ids=tuple(map(str, range(60))),
            generated_ids=tuple(map(str, range(40))),
            exchangeable="random split",
        )
        result = Copying().run(images)
        findings = {f.name: f for f in result.findings if not f.scope}
        verdict = findings["copies"]
        assert findings["planted_copies_caught"].value > 0.6
        assert (verdict.verdict == word) or (word.startswith("no") and verdict.value < 0.1)
    assert Membership(exchanges=200).run(images).findings
