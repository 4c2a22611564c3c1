"""What any encoder, fusion or generator saves holds no training row.

Oracle: planted rows, and `rows_in`, which reads the files without the code that wrote them. What
this cannot show: that nothing follows from the weights of a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rows_in import numbers_found, rows_found, vectors_of
from solids import box, scattered

from contracts.test_encoders import npy, settings_of, wav
from contracts.test_generators import SMALL
from gobelin.core import catalog
from gobelin.core.errors import MissingExtra
from gobelin.core.machine import Runtime, silent
from gobelin.data.fields import Cell, Field, Target
from gobelin.data.image.images import png_bytes
from gobelin.data.mesh.meshes import ply_bytes
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.features import Embeddings
from gobelin.generation.generators import Condition, Context, ImageRows
from gobelin.prediction.heads.job import Job

ROWS, K = 40, 5
WORDS = "red blue green old new tall wide warm cold house tree stone river cloud road".split()


def values_of(kind: str, rng: np.random.Generator) -> list[Any]:
    """Different values of a kind, one a row; the last one is unlike the others."""
    made = {
        "image": lambda k: png_bytes(
            rng.choice([0, 255], (16, 16, 3)).astype(np.uint8)
            if k == ROWS - 1
            else rng.integers(100, 140, (16, 16, 3), dtype=np.uint8)
        ),
        "text": lambda k: "zyx quartz" if k == ROWS - 1 else " ".join(rng.choice(WORDS, 5)),
        "number": lambda k: float(rng.lognormal(3, 1)),
        "category": lambda k: f"level {k // 4}",  # four of each
        "audio": lambda k: wav(rng.normal(size=3000) * np.hanning(3000)),
        "series": lambda k: rng.normal(size=24).cumsum().tolist(),
        "volume": lambda k: npy(rng.normal(size=(8, 9, 10)) * (100 if k == ROWS - 1 else 1)),
        "mesh": lambda k: ply_bytes(scattered(k) if k == ROWS - 1 else box(rng.lognormal(size=3))),
        "place": lambda k: f"{rng.uniform(-60, 60):.3f}, {rng.uniform(-170, 170):.3f}",
        "date": lambda k: f"{1950 + k}-0{1 + k % 9}-{10 + k % 17}",
    }[kind]
    return [made(k) for k in range(ROWS)]


@pytest.mark.parametrize("name", catalog.names("encoders"))
def test_an_encoder(name: str, runtime: Runtime, tmp_path: Path) -> None:
    component = settings_of(name, tmp_path)
    columns = {kind: values_of(kind, np.random.default_rng(1)) for kind in component.kinds}
    cells: list[Cell] = [{kind: v[k] for kind, v in columns.items()} for k in range(ROWS)]
    field = Field("field", name, tuple(columns), component.kinds[0])
    (tmp_path / "saved").mkdir()
    try:
        fitted = component.fit(TrainingCells(cells), field, {k: k for k in columns}, runtime)
    except MissingExtra as error:
        pytest.skip(str(error))
    fitted.save(tmp_path / "saved")
    features = fitted.embed([fitted.decode(cell, Path())[0] for cell in cells])
    assert rows_found(tmp_path / "saved", features) == []
    if "series" in columns:
        assert rows_found(tmp_path / "saved", np.array(columns["series"])) == []
    assert numbers_found(tmp_path / "saved", np.array(columns.get("number", []))) == []
    text = "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "saved").rglob("*.json"))
    assert "level" not in text and "quartz" not in text


@pytest.mark.parametrize("name", catalog.names("fusion"))
def test_a_fusion(name: str, runtime: Runtime, tmp_path: Path) -> None:
    """With an outlier that would be a component alone, and more features than rows."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 60)).astype(np.float32)
    x[-1] *= 40
    rows = Embeddings(("f",), {"f": x}, np.ones((ROWS, 1), bool), tuple(map(str, range(ROWS))))
    target = Target("y", "class", np.arange(ROWS) % 2, ("a", "b"), np.ones(2, bool))
    known = catalog.find("fusion", name).__dataclass_fields__
    fusion = catalog.build(
        "fusion", name, {k: v for k, v in {"steps": 20, "trees": 5}.items() if k in known}
    )
    jobs = [Job(np.arange(ROWS), np.ones(ROWS, np.float32), 0)]
    (fitted,) = fusion.fit(rows, target, jobs, np.arange(ROWS), runtime, silent)
    fitted.save(tmp_path)
    if list(tmp_path.glob("*.skops")):
        return  # `save` refuses it
    assert rows_found(tmp_path, x, same=0.95) == []


def images(n: int = ROWS) -> ImageRows:
    import torch

    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(n, 1, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    condition = Condition(
        ("a",),
        torch.from_numpy(vectors),
        torch.ones(n, 1, dtype=torch.bool),
        torch.arange(n) % 2,
        fingerprint="space",
    )
    pixels = rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return ImageRows(pixels, condition, ("x", "y"))


@pytest.mark.parametrize("name", [n for n in catalog.names("generators") if n != "pretrained"])
def test_a_generator(name: str, runtime: Runtime, tmp_path: Path) -> None:
    """Low-rank weights of a pretrained one are those of its own test; they are small matrices that
    training alone fills."""
    found = catalog.find("generators", name)
    if getattr(found, "keeps_images", False):
        return  # `save` refuses it
    settings = {k: v for k, v in SMALL.items() if k in found.__dataclass_fields__}
    rows = images()
    sampler = catalog.build("generators", name, settings).fit(
        rows, rows.first(8), Context(runtime, tmp_path / "work", steps=4)
    )
    (tmp_path / "saved").mkdir()
    sampler.save(tmp_path / "saved")
    assert rows_found(tmp_path / "saved", rows.images.reshape(ROWS, -1)) == []
    assert rows_found(tmp_path / "saved", rows.condition.vectors.numpy()[:, 0], same=1 - 1e-6) == []


def test_the_look_finds_what_is_there(tmp_path: Path) -> None:
    """A row along any axis, scaled and shifted, in a longer vector, and in JSON."""
    from gobelin.core.files import save_arrays, write_json

    rows = np.random.default_rng(4).normal(size=(6, 20)).astype(np.float32)
    others = np.random.default_rng(5).normal(size=(3, 20)).astype(np.float32)
    for k, array in enumerate(
        (others, rows[:1] * 7 - 3, rows[:2].T.copy(), rows.ravel(), np.stack([rows, rows]))
    ):
        folder = tmp_path / str(k)
        folder.mkdir()
        save_arrays(folder / "a.safetensors", {"a": np.ascontiguousarray(array)})
        assert bool(rows_found(folder, rows)) == (k > 0), k
    (tmp_path / "json").mkdir()
    write_json(tmp_path / "json" / "a.json", {"x": [{"y": rows[3].tolist()}, "z"]})
    assert rows_found(tmp_path / "json", rows) and vectors_of(others, 20).shape == (6, 20)
    assert len(numbers_found(tmp_path / "json", rows.astype(float)[2:4].ravel())) == 20
