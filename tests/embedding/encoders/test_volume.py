"""Encoder of volumes. Oracles: pictures counted by hand, planted differences, the window of the
training rows."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.embedding.columns.schema import default_encoder
from gobelin.embedding.encoders import Sample, TrainingCells
from gobelin.embedding.encoders.volume import SIZES, WIDTH, Volume, pictures
from gobelin.embedding.fitting import fit_encoder

FIELD = Field("scan", "volume", ("scan",), "volume")
KINDS = {"scan": "volume"}


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def blob(rng: np.random.Generator, radius: float, noise: float = 0.0, size: int = 20) -> np.ndarray:
    """A bright ball near the middle of a noisy volume."""
    at = np.indices((size,) * 3) - size / 2 - rng.normal(size=(3, 1, 1, 1))
    inside = np.sqrt((at**2).sum(0)) < radius
    return inside * 800.0 + noise * rng.normal(size=(size,) * 3)


def fitted(cells: list[Any], runtime: Runtime, **settings: Any) -> Any:  # noqa: ANN401
    component = Volume(network="pixels", voxels=16, **settings)
    rows = TrainingCells([{"scan": c} for c in cells], least_groups=2)
    return fit_encoder(component, rows, FIELD, KINDS, runtime)


def vectors(encoder: Any, values: list[Any]) -> np.ndarray:  # noqa: ANN401
    return np.asarray(encoder.embed([encoder.decode({"scan": v}, Path())[0] for v in values]))


def test_pictures() -> None:
    cube = np.zeros((4, 4, 4, 1), np.uint8)
    cube[0, 1, 2], cube[2, 1, 2], cube[2, 3, 3] = 100, 50, 70
    found = pictures(cube)
    assert found.shape == (6, 4, 4, 3) and (found[..., 0] == found[..., 2]).all()
    planes = found[:, ::-1, :, 0]  # the first axis is drawn upwards
    assert np.argwhere(planes[0]).tolist() == [[1, 2], [3, 3]]  # of depth 2
    assert not planes[1].any()  # of height 2
    assert planes[2].tolist() == cube[:, :, 2, 0].tolist()
    assert planes[3, 1, 2] == 100 and planes[3, 3, 3] == 70  # the largest along the depth
    assert planes[4].max() == 100 and (planes[5] > 0).sum() == 3
    colours = np.zeros((4, 4, 4, 3), np.uint8)
    colours[..., 1] = 9
    assert (pictures(colours) == [0, 9, 0]).all()
    assert (pictures(np.concatenate([cube, cube * 0], -1)).max(0) <= 50).all()  # the mean of two


def test_alike_volumes_are_near(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    small = [npy(blob(rng, 3, 20)) for _ in range(8)]
    large = [npy(blob(rng, 7, 20)) for _ in range(8)]
    encoder = fitted(small + large, runtime)
    x = vectors(encoder, small + large)
    assert x.shape == (16, encoder.width) and encoder.width > WIDTH
    x = (x - x.mean(0)) / (x.std(0).mean() + 1e-9)
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + 1e9 * np.eye(16)
    assert (apart.argmin(1) // 8 == np.arange(16) // 8).all()


def test_the_window_is_that_of_the_training_rows(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(1)
    cells = [npy(rng.uniform(-200, 1000, (9, 9, 9))) for _ in range(6)]
    with caplog.at_level(logging.WARNING):
        encoder = fitted(cells, runtime)
    opening = encoder.opening
    assert -201 < opening.low < -190 and 990 < opening.high < 1001
    assert "field scan" in caplog.text and "opening.low" in caplog.text
    # a brighter volume is brighter, whatever its own range
    dim, bright = (npy(np.full((9, 9, 9), v)) for v in (0.0, 800.0))
    (one, _), (other, _) = (encoder.decode({"scan": v}, Path())[0] for v in (dim, bright))
    assert one[0][0].mean() < other[0][0].mean() - 100
    again = fitted([npy(np.zeros((9, 9, 9), np.uint8) + k) for k in range(6)], runtime)
    assert again.opening.low is None  # bytes need none
    few = fitted(cells[:1], runtime)
    assert few.opening.low is None  # of one group nothing is kept


def test_size_and_lists(runtime: Runtime) -> None:
    rng = np.random.default_rng(2)
    cells = [npy(blob(rng, 4)) for _ in range(5)]
    encoder = fitted(cells, runtime)
    (_, numbers), note = encoder.decode({"scan": cells[0]}, Path())
    assert np.allclose(numbers[-SIZES:], [*np.log([20] * 3), 0, 1]) and note == ""
    both = encoder.decode({"scan": cells[:2]}, Path())[0]
    assert len(both[0][0]) == 6  # the planes of two volumes
    mean = np.mean([vectors(encoder, [c]) for c in cells[:2]], axis=0)
    assert np.allclose(encoder.embed([both])[:, :-WIDTH], mean[:, :-WIDTH], atol=1e-5)
    each = [encoder.decode({"scan": c}, Path())[0][1] for c in cells[:2]]
    assert np.allclose(both[1], np.mean(each, axis=0))


def test_files_and_mistakes(tmp_path: Path, runtime: Runtime) -> None:
    np.save(tmp_path / "a.npy", blob(np.random.default_rng(3), 5))
    (tmp_path / "b.npy").write_bytes(b"")
    encoder = fitted([npy(blob(np.random.default_rng(k), 4)) for k in range(4)], runtime)
    assert encoder.decode({"scan": "a.npy"}, tmp_path)[1] == ""
    for bad in ("b.npy", "c.npy", "../a.npy"):
        with pytest.raises(BadCell):
            encoder.decode({"scan": bad}, tmp_path)
    bid = Volume.bid(Sample("scan", ("a.npy",) * 3, 3, tmp_path))
    assert bid is not None and bid.kind == "volume" and default_encoder("volume") == "volume"
    with pytest.raises(GobelinError, match="network: 'table' reads no images"):
        catalog.build("encoders", "volume", {"network": "table"})
    with pytest.raises(GobelinError, match="unknown setting 'sides'"):
        catalog.build("encoders", "mesh", {"network": "pixels", "network_settings": {"sides": 3}})
    cell = Volume().parse(str(tmp_path / "a.npy"), FIELD)
    assert isinstance(cell["scan"], bytes)


def test_a_network_that_learns(runtime: Runtime, tmp_path: Path) -> None:
    """It learns from pictures of the training volumes, and is saved with them."""
    rng = np.random.default_rng(4)
    cells = [npy(blob(rng, 2 + k % 5, 30)) for k in range(12)]
    settings = Volume(network="convolution", network_settings={"filters": 8}, voxels=16)
    rows = TrainingCells([{"scan": c} for c in cells], least_groups=2)
    encoder = fit_encoder(settings, rows, FIELD, KINDS, runtime)
    encoder.save(tmp_path)
    loaded = Volume().load(tmp_path, runtime)
    assert loaded.fingerprint() == encoder.fingerprint()
    assert np.allclose(vectors(loaded, cells), vectors(encoder, cells), atol=1e-5)
    assert np.ptp(vectors(encoder, cells), axis=0).max() > 0
