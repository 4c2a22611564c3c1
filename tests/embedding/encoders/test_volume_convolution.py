"""The small 3D network. Oracles: planted textures that only filters tell apart, the two-dimensional
network, and a loss that training lowers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells, Tunable
from gobelin.embedding.encoders.volume_convolution import VolumeConvolution
from gobelin.embedding.fitting import fit_encoder
from gobelin.networks.patches import PatchNetwork

FIELD, KINDS = Field("scan", "volume_convolution", ("scan",), "volume"), {"scan": "volume"}


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def stripes(axis: int, rng: np.random.Generator) -> bytes:
    """Waves of one length along one axis, at any phase, in noise: the histograms are the same."""
    place = np.indices((16,) * 3)[axis]
    wave = np.sin(2 * np.pi * place / 4 + rng.uniform(0, 6))
    return npy(100 * wave + 20 * rng.normal(size=(16,) * 3))


def fitted(cells: list[bytes], runtime: Runtime) -> Any:  # noqa: ANN401
    rows = TrainingCells([{"scan": c} for c in cells], least_groups=2)
    settings = VolumeConvolution(voxels=16, filters=12)
    return fit_encoder(settings, rows, FIELD, KINDS, runtime)


def batch(encoder: Any, cells: list[bytes]) -> list[Any]:  # noqa: ANN401
    return [encoder.decode({"scan": c}, Path())[0] for c in cells]


def test_textures_are_told_apart(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    cells = [stripes(axis, rng) for axis in (0, 1, 2) for _ in range(5)]
    encoder = fitted(cells, runtime)
    x = encoder.embed(batch(encoder, cells))[:, : 2 * 12 * 8]
    x = (x - x.mean(0)) / (x.std(0).mean() + 1e-9)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + 1e9 * np.eye(15)
    assert (apart.argmin(1) // 5 == np.arange(15) // 5).all()
    assert encoder.opening.low is not None and encoder.opening.low < 0
    # the window of voxels that are no bytes is printed, with the settings that change it
    said = f"{encoder.opening.low:g} becomes black and {encoder.opening.high:g} white"
    assert said in caplog.text and "field scan" in caplog.text
    assert "encoders.volume.opening.low" in caplog.text


def test_a_flat_volume_is_what_the_image_network_sees() -> None:
    """With filters that are the same at each depth, a volume that does not change with depth gives
    the answers of its planes."""
    plane, cube = PatchNetwork(1, 3, 4, 1), PatchNetwork(1, 3, 4, 1, 3)
    image = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        cube.see.weight.copy_(plane.see.weight[:, :, None].expand(-1, -1, 4, -1, -1) / 4)  # type: ignore[operator, index]
        flat = cube(image[:, :, None].expand(-1, -1, 12, -1, -1))
        assert torch.allclose(flat[:, :6], plane(image)[:, :6], atol=1e-5)
    assert cube.width == 2 * 3 + 64 and plane.width == 2 * 3 + 16


def test_training_lowers_a_loss(runtime: Runtime) -> None:
    rng = np.random.default_rng(1)
    cells = [stripes(axis, rng) for axis in (0, 2) for _ in range(6)]
    encoder = fitted(cells, runtime)
    assert isinstance(encoder, Tunable)
    seen, label = batch(encoder, cells), torch.tensor([0.0] * 6 + [1.0] * 6)
    head = torch.nn.Linear(encoder.width, 1)
    torch.nn.init.zeros_(head.weight)
    weights = [*encoder.module.parameters(), *head.parameters()]
    step = torch.optim.Adam(weights, 1e-3)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(encoder.forward(seen))[:, 0], label
        )
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
