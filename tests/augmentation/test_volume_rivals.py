"""Baseline methods on volumes. Oracles: planted volumes, an identity, a mirror, a moved box."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gobelin.augmentation.rivals import RivalInput
from gobelin.augmentation.rivals.procedural_noise import ProceduralNoise
from gobelin.augmentation.volume_views import VolumeChange
from gobelin.core import catalog
from gobelin.data.dataset import Dataset
from gobelin.data.media import medium
from gobelin.data.volume.volumes import VolumeOpening

SIDE = 8
NAMES = [n for n in catalog.names("rivals") if n not in ("retrieved", "weights")]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> RivalInput:
    folder, rng = tmp_path_factory.mktemp("rivals"), np.random.default_rng(0)
    for k in range(5):
        np.save(folder / f"{k}.npy", rng.integers(0, 256, (12, 12, 12)).astype(np.uint8))
    table = pa.table({"scan": [f"{k}.npy" for k in range(5)], "kind": list("ababa")})
    dataset = Dataset(table, folder, "test").with_ids()
    classes = np.array([0, 1, 0, 1, 0])
    return RivalInput(dataset, "scan", np.array([0, 3, 1]), SIDE, 0, 1, classes, None, "volume")


@pytest.mark.parametrize("name", NAMES)
def test_every_rival_adds_volumes(name: str, material: RivalInput) -> None:
    arm = catalog.build("rivals", name).arm(material)
    added = arm.dataset.rows(range(5, len(arm.dataset)))
    assert len(added) and not (added.origins == "real").any()
    for value in added.values("scan"):
        array = medium("volume").opened(value, added.root, VolumeOpening(), SIDE)
        assert array.shape == (SIDE, SIDE, SIDE, 1) and array.std() > 0


def test_the_generators_size(material: RivalInput) -> None:
    arm = catalog.build("rivals", "generator_size").arm(material)
    volume = medium("volume")
    for cell, parent in zip(arm.dataset.values("scan")[5:], material.plan, strict=True):
        whole = material.train.values("scan")[parent]
        small = volume.opened(whole, material.train.root, VolumeOpening(), SIDE)
        assert np.array_equal(volume.array(cell), small)


def test_no_change_is_the_identity_and_a_mirror_is_a_mirror() -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 256, (6, 7, 8, 2)).astype(np.uint8)
    assert np.array_equal(VolumeChange(0.0, 0.0, 0.0, 0.0).view(volume, rng), volume)
    assert np.array_equal(VolumeChange(1.0, 0.0, 0.0, 0.0).view(volume, rng), volume[:, :, ::-1])


def test_a_view_keeps_a_ball_a_ball() -> None:
    """Turned, moved and scaled: the bright voxels follow in number and place."""
    grid = np.mgrid[:32, :32, :32] - 15.5
    ball = (255 * ((grid**2).sum(0) < 64))[..., None].astype(np.uint8)
    change, rng = VolumeChange(0.5, 20.0, 0.1, 0.0), np.random.default_rng(1)
    for _ in range(5):
        view = change.view(ball, rng)
        share = (view > 127).sum() / (ball > 127).sum()
        assert 0.85**3 < share < 1.2**3
        place = np.argwhere(view[..., 0] > 127).mean(0) - 15.5
        assert np.abs(place).max() <= 0.05 * 32 / 0.9 + 0.5


def test_clouds() -> None:
    cloud = ProceduralNoise().volume_cloud(16, np.random.default_rng(0))
    assert cloud.shape == (16, 16, 16, 1) and (cloud.min(), cloud.max()) == (0, 255)
