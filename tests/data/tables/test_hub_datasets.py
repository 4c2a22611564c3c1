"""Data sets of the hub: names, and what the library gives. A stand-in takes the library's place."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError, MissingExtra
from gobelin.data.read import read
from gobelin.data.tables.hub_datasets import hub_name


class Split:
    """A split of the library, as far as it is used."""

    def __init__(self, labels: list[int]) -> None:
        features = '{"info": {"features": {"y": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'
        self.table = pa.table({"y": labels}).replace_schema_metadata({"huggingface": features})
        self.data = SimpleNamespace(table=self.table)

    def with_format(self, kind: str) -> Split:
        assert kind == "arrow"
        return self

    def map(self, change: Any, batched: bool) -> Split:  # noqa: ANN401
        return self

    def flatten_indices(self) -> Split:
        return self


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    asked: list[tuple[str, str | None]] = []

    def load(name: str, part: str | None) -> dict[str, Split]:
        asked.append((name, part))
        if name == "none":
            raise ConnectionError("no such data set\nsecond line")
        return {"train": Split([0, 1, 1]), "test": Split([1])}

    table = SimpleNamespace(embed_table_storage=None)
    stand_in = SimpleNamespace(load_dataset=load, table=table)
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    return asked


def test_names() -> None:
    assert hub_name("hf://ylecun/mnist") == ("ylecun/mnist", "")
    assert hub_name("hf:/ylecun/mnist@small") == ("ylecun/mnist", "small")
    assert hub_name("/home/me/hf:/ylecun/mnist") == ("ylecun/mnist", "")
    assert hub_name("table.csv") is None and hub_name("/data/hf/x") is None


def test_a_name_is_read(library: list[tuple[str, str | None]]) -> None:
    dataset = read("hf://me/pets@small")
    assert dataset.values("y") == ["cat", "dog", "dog", "dog"]
    assert dataset.values("split") == ["train", "train", "train", "test"]
    assert read(Path("hf://me/pets")).values("y") == dataset.values("y")
    assert library == [("me/pets", "small"), ("me/pets", None)]


def test_what_can_not_be_fetched_is_one_line(library: list[tuple[str, str | None]]) -> None:
    with pytest.raises(GobelinError, match=r"can't be fetched \(no such data set\)") as caught:
        read("hf://none")
    assert "\n" not in str(caught.value)


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match="pip install 'datasets>=4'"):
        read("hf://me/pets")
