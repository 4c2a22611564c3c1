"""Every sample set that is found obeys the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any, runtime_checkable

import numpy as np
import pytest
from PIL import Image

from gobelin.core import catalog, config
from gobelin.core.errors import MissingExtra
from gobelin.core.files import tree_hash
from gobelin.data.read import read
from gobelin.data.samples import SampleSet
from gobelin.data.samples.shapes import COLOURS, SHAPES, Shapes
from gobelin.data.targets import target_of
from gobelin.embedding.columns.schema import infer
from gobelin.workbench.run.settings import Settings

SMALL: dict[str, dict[str, Any]] = {
    "shapes": {"rows": 60},
    "openmoji": {"size": 8},
    "tuxpaint": {"size": 8},
    "sweethome": {"size": 8},
    "digits": {"size": 8},
    "fashion": {"size": 8, "rows": 80},
    "medicine": {"size": 16, "slices": 8},
    "reports": {"rows": 300},
}
NAMES = catalog.names("samples")


@pytest.fixture(scope="module", params=NAMES)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SampleSet, Path]:
    sample = catalog.build("samples", request.param, SMALL.get(request.param))
    try:
        return sample, sample.write(tmp_path_factory.mktemp("samples") / request.param, 0)
    except MissingExtra as error:
        pytest.skip(str(error))


def test_sample_set(written: tuple[SampleSet, Path]) -> None:
    sample, path = written
    assert (
        isinstance(sample, runtime_checkable(SampleSet))
        and type(sample).__dataclass_params__.frozen
    )  # type: ignore[attr-defined]
    assert sample.credit
    settings = config.build(Settings, sample.settings())
    data = read(path)
    found = infer(data, sample.target, settings.choices)
    assert target_of(data, found).present.sum() > 30
    assert found.fields and not found.unread
    images = [c.name for c in found.columns if c.kind == "image"]
    assert images or not hasattr(sample, "size")
    for value in [v for name in images for v in data.values(name)[:: max(1, len(data) // 50)]]:
        with Image.open(data.root / value) as image:
            assert image.size == (sample.size,) * 2  # type: ignore[attr-defined]
    flags = {catalog.find("encoders", f.encoder).flag for f in found.fields} | set(
        data.column_names
    )
    assert all(set(query) <= flags for query in sample.queries())


def test_what_is_written_stays(written: tuple[SampleSet, Path]) -> None:
    sample, path = written
    before = path.stat().st_mtime_ns
    assert sample.write(path.parent, 1) == path and path.stat().st_mtime_ns == before


def test_shapes_are_what_their_table_says(shapes_file: Path, tmp_path: Path) -> None:
    again = Shapes(rows=120).write(tmp_path / "again", 0)
    assert tree_hash(again.parent) == tree_hash(shapes_file.parent)
    assert tree_hash(Shapes(rows=120).write(tmp_path / "other", 1).parent) != tree_hash(
        again.parent
    )
    data = read(Shapes(rows=200, noise=0, captions=0.5).write(tmp_path / "plain", 0))
    rows = [
        dict(zip(data.column_names, r, strict=True))
        for r in zip(*map(data.values, data.column_names), strict=True)
    ]
    areas = {s: [] for s in SHAPES}
    for row in rows:
        drawn = np.asarray(Image.open(data.root / row["image"])).astype(int)
        inside = (drawn != 255).any(-1)
        side = int(row["side"])
        height, width = (int(np.ptp(np.flatnonzero(inside.any(axis)))) for axis in (1, 0))
        assert abs(max(height, width) - side) <= 1
        areas[row["shape"]].append(inside.sum() / (side + 1) ** 2)
        if row["caption"]:
            _, size, colour, shape = row["caption"].split()
            assert shape == row["shape"] and size == ("small" if side < 24 * 0.6 else "large")
            away = abs(COLOURS[colour] - float(row["hue"]))
            assert min(away, 1 - away) < 0.08
    expected = {"circle": np.pi / 4, "square": 1, "triangle": 0.5, "cross": 5 / 9}
    assert all(abs(np.mean(areas[s]) - share) < 0.08 for s, share in expected.items())
    shares = np.array([len(areas[s]) / 200 for s in SHAPES])
    assert np.abs(shares - Shapes().balance).max() < 4 * 0.5 / 200**0.5
    assert abs(np.mean([r["caption"] is not None for r in rows]) - 0.5) < 4 * 0.5 / 200**0.5
