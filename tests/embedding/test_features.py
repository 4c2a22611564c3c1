"""The cache, counted by a real encoder; features against the encoder's own, whatever order and
block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Cell, Column, Field, Schema
from gobelin.data.files import BadCell
from gobelin.embedding.alignment.correlation import principal
from gobelin.embedding.columns.unreadable import unreadable
from gobelin.embedding.encoders import FittedEncoder
from gobelin.embedding.features import MOST_CELLS_AT_ONCE, Embedder, Embeddings

SCHEMA = Schema((Column("n", "number"),), (Field("f", "powers", ("n",), "number"),))


class Powers:
    """x -> (x, x^2, x^3): it counts the cells that it encodes, and can be killed at one."""

    width = 3
    module = None

    def __init__(self, killed_at: float | None = None, name: str = "powers") -> None:
        self.encoded, self.killed_at, self.name = list[float](), killed_at, name

    def key(self, cell: Cell, root: Path) -> bytes:
        return bytes.fromhex(fingerprint(cell["n"]))[:16]

    def decode(self, cell: Cell, root: Path) -> tuple[Any, str]:
        if cell["n"] < 0:
            raise BadCell("is negative", "n")
        return cell["n"], "rounded" if cell["n"] % 1 else ""

    def embed(self, batch: Sequence[Any]) -> np.ndarray:
        if self.killed_at in batch:
            raise KeyboardInterrupt
        self.encoded += batch
        return np.array([[x, x**2, x**3] for x in batch], np.float32)

    def fingerprint(self) -> str:
        return fingerprint(self.name)

    def save(self, folder: Path) -> None: ...


def numbers(values: Sequence[float | None]) -> Dataset:
    return Dataset(pa.table({"n": pa.array(values, pa.float64())}), Path())


def powers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([[0, 0, 0] if x is None else [x, x**2, x**3] for x in values], np.float32)


def test_double_is_an_encoder() -> None:
    assert isinstance(Powers(), FittedEncoder)


@pytest.mark.parametrize("workers", [1, 3])
def test_every_content_is_encoded_once(tmp_path: Path, workers: int) -> None:
    values = [float(k % 300) if k % 7 else None for k in range(900)]
    encoder = Powers()
    reader = Embedder(SCHEMA, {"f": encoder}, tmp_path, workers)
    first = reader.embed(numbers(values))
    assert np.array_equal(first.features["f"], powers(values))
    assert first.present[:, 0].tolist() == [v is not None for v in values]
    assert sorted(encoder.encoded) == sorted({v for v in values if v is not None})
    encoder.encoded.clear()
    again = reader.embed(numbers([*reversed(values), 5.0, 5.0]))
    assert encoder.encoded == [] and np.array_equal(
        again.features["f"][:900], first.features["f"][::-1]
    )
    fresh = Powers()
    assert (
        Embedder(SCHEMA, {"f": fresh}, tmp_path)
        .embed(numbers([1000.0, 3.0]))
        .features["f"]
        .tolist()
        == powers([1000.0, 3.0]).tolist()
    )
    assert fresh.encoded == [1000.0]


def test_another_encoder_has_another_cache(tmp_path: Path) -> None:
    Embedder(SCHEMA, {"f": Powers()}, tmp_path).embed(numbers([1.0]))
    other = Powers(name="other")
    Embedder(SCHEMA, {"f": other}, tmp_path).embed(numbers([1.0]))
    assert other.encoded == [1.0]


def test_killed_half_way_continues(tmp_path: Path) -> None:
    values = [float(k) for k in range(3 * MOST_CELLS_AT_ONCE)]
    killed = Powers(killed_at=2.0 * MOST_CELLS_AT_ONCE + 5)
    with pytest.raises(KeyboardInterrupt):
        Embedder(SCHEMA, {"f": killed}, tmp_path).embed(numbers(values))
    assert killed.encoded == values[: 2 * MOST_CELLS_AT_ONCE]
    assert not list(tmp_path.rglob(".writing-*"))
    rest = Powers()
    found = Embedder(SCHEMA, {"f": rest}, tmp_path).embed(numbers(values))
    assert rest.encoded == values[2 * MOST_CELLS_AT_ONCE :] and np.array_equal(
        found.features["f"], powers(values)
    )


def test_without_a_cache_nothing_is_written(tmp_path: Path) -> None:
    encoder, told = Powers(), []
    reader = Embedder(SCHEMA, {"f": encoder})
    reader.embed(numbers([1.0, 1.0, 2.0]), lambda *what: told.append(what))
    reader.embed(numbers([1.0]))
    assert encoder.encoded == [1.0, 2.0, 1.0] and told[-1] == ("embed f", 3, 3)


def test_no_row_has_the_field() -> None:
    found = Embedder(SCHEMA, {"f": Powers()}).embed(numbers([None, None]))
    assert (
        not found.present.any()
        and found.features["f"].shape == (2, 3)
        and not found.features["f"].any()
    )


def test_unreadable_cells_are_listed_with_what_was_converted() -> None:
    bad, converted = unreadable(
        Embedder(SCHEMA, {"f": Powers()}), numbers([1.0, -2.0, None, 2.5, -1.0])
    )
    assert bad == [("1", "n", "is negative"), ("4", "n", "is negative")] and converted == {
        "f: rounded": ["3"]
    }
    with pytest.raises(GobelinError, match="f: is negative. Give another one"):
        Embedder(SCHEMA, {"f": Powers()}).embed_cells({"f": {"n": -1.0}})


def test_one_row_of_cells_equals_the_row(shapes: Dataset, shapes_reader: Embedder) -> None:
    rows = shapes.rows(range(8))
    whole = shapes_reader.embed(rows)
    fields = [shapes_reader.schema.field(f) for f in whole.fields]
    for k in range(8):
        cells = {f.name: c for f in fields if (c := rows.cells(f)[k]) is not None}
        if "image" in cells:
            cells["image"] = {"image": (shapes.root / cells["image"]["image"]).read_bytes()}
        one = shapes_reader.embed_cells(cells)
        assert np.array_equal(one.present[0], whole.present[k])
        for f in whole.fields:
            assert np.allclose(one.features[f][0], whole.features[f][k], atol=1e-6)


def test_one_column_of_a_field(shapes: Dataset, shapes_reader: Embedder) -> None:
    whole = shapes_reader.embed(shapes.rows(range(5)))
    only = shapes_reader.embed_column("image", "image", shapes.values("image")[:5], shapes.root)
    assert np.allclose(only.features["image"], whole.features["image"])
    assert only.only(["image"]).present.sum() == only.present.sum() == 5


def test_rows_of_embeddings(shapes: Dataset, shapes_reader: Embedder) -> None:
    x = shapes_reader.embed(shapes.rows(range(10)))
    back = x.rows([4, 5]).join(x.rows([1]))
    assert back.ids == ("00004", "00005", "00001") and len(back) == 3
    assert all(np.array_equal(back.features[f], x.features[f][[4, 5, 1]]) for f in x.fields)
    assert np.array_equal(np.concatenate([b.present for b in x.blocks(3)]), x.present)
    kept = x.keep(["table", "image"])
    assert kept.fields == tuple(f for f in x.fields if f != "caption") and set(kept.features) == {
        "table",
        "image",
    }
    assert np.array_equal(kept.present, x.present[:, [x.fields.index(f) for f in kept.fields]])
    assert x.only(["image"]).present.sum(0).tolist() == [
        10 if f == "image" else 0 for f in x.fields
    ]
    assert x.fingerprint == x.rows(range(10)).fingerprint != x.rows(range(9)).fingerprint


def test_two_spaces_are_not_joined(shapes: Dataset, shapes_reader: Embedder) -> None:
    x = shapes_reader.embed(shapes.rows([0]))
    other = Embeddings(x.fields, x.features, x.present, x.ids, "another space")
    with pytest.raises(GobelinError, match="two different spaces"):
        x.join(other)


def test_principal_components_are_those_of_the_singular_values() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 6)) * [5, 4, 3, 2, 1, 0.5] + 7
    there = np.arange(50) < 40
    rows = Embeddings(
        ("f",),
        {"f": np.where(there[:, None], features, 0)},
        there[:, None],
        tuple(map(str, range(50))),
    )
    mean, directions, variances = principal(rows, "f", 3)
    known = features[:40]
    step = 2.0 ** np.round(np.log2(2 * 5 / 40 * known.std(0)))  # for a mean of 40 groups
    assert np.allclose(np.round(mean / step) * step, mean)
    assert (np.abs(mean - known.mean(0)) <= step / 2 + 1e-6).all()
    mean = principal(replace(rows, least_groups=1), "f", 3)[0]
    _, singular, right = np.linalg.svd(known - known.mean(0), full_matrices=False)
    assert np.allclose(mean, known.mean(0)) and np.allclose(variances, singular[:3] ** 2 / 40)
    assert np.allclose(np.abs((directions * right[:3].T).sum(0)), 1)
    two = replace(rows.rows([0, 1]), least_groups=1)
    assert principal(two, "f", 3)[1].shape == (6, 1) and principal(two, "f", 3)[2].all()
    assert not principal(rows.rows([45]), "f", 3)[2].any()


def test_two_means_give_no_row_away_and_a_group_counts_once() -> None:
    """Planted: the same rows without the last one; a group with sixty rows among five."""
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(size=(60, 4)), [[2.5, -1.5, 0.5, 3.0]]]) + 7

    def mean_of(x: np.ndarray, groups: list[str], least: int = 5) -> np.ndarray:
        there = np.ones((len(x), 1), bool)
        ids = tuple(map(str, range(len(x))))
        rows = Embeddings(("f",), {"f": x}, there, ids, groups=tuple(groups), least_groups=least)
        return principal(rows, "f", 2)[0]

    names = [str(k) for k in range(61)]
    exact = 61 * mean_of(features, names, 1) - 60 * mean_of(features[:60], names[:60], 1)
    assert np.allclose(exact, features[60], atol=1e-3)  # the attack works on exact means
    rebuilt = 61 * mean_of(features, names) - 60 * mean_of(features[:60], names[:60])
    assert np.abs(rebuilt - features[60]).max() > 1  # more than a standard deviation off
    heavy = np.concatenate([rng.normal(size=(60, 4)) * 0.01 + 5, rng.normal(size=(8, 4))])
    mean = mean_of(heavy, ["P0"] * 60 + [f"P{k}" for k in range(1, 9)])
    assert np.linalg.norm(mean - heavy[:60].mean(0)) > np.linalg.norm(mean - heavy[60:].mean(0))
