"""Every reader that is found obeys the contract."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core import catalog
from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.data.readers import TableReader

ROWS = [{"image": "a/1.png", "class": "a"}, {"image": "b/2.png", "class": "b"}]


def text(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines))
    return path


def folder(path: Path) -> Path:
    for row in ROWS:
        (path / row["image"]).parent.mkdir(parents=True)
        (path / row["image"]).touch()
    return path


def parquet(path: Path) -> Path:
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


WRITERS: dict[
    str, Callable[[Path], Path]
] = {  # a new reader adds how these two rows look in its format
    "csv": lambda p: text(p / "x.csv", ["image,class", *[",".join(r.values()) for r in ROWS]]),
    "jsonl": lambda p: text(p / "x.jsonl", [json.dumps(r) for r in ROWS]),
    "parquet": lambda p: parquet(p / "x.parquet"),
    "folder": lambda p: folder(p / "x"),
}
NAMES = catalog.names("readers")


def test_every_reader_is_tested() -> None:
    assert set(NAMES) == set(WRITERS), "add a writer for the new reader"


@pytest.mark.parametrize("name", NAMES)
def test_reader(name: str, tmp_path: Path) -> None:
    reader, path = catalog.build("readers", name), WRITERS[name](tmp_path)
    assert isinstance(reader, runtime_checkable(TableReader))
    assert dataclasses.is_dataclass(reader) and type(reader).__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert [n for n in NAMES if catalog.build("readers", n).claims(path)] == [name]
    table, root = reader.read(path)
    assert table.to_pylist() == ROWS == reader.read(path)[0].to_pylist() and root.is_dir()
    assert read(path).values("image") == [r["image"] for r in ROWS] and read(path).root == root


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_source_is_one_line(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path)
    if path.is_dir():
        for row in ROWS:
            (path / row["image"]).unlink()
    else:
        path.write_bytes(b"")
    with pytest.raises(GobelinError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
