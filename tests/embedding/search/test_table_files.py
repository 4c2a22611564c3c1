"""Stored tables that refer to other places: real clones of a planted table, and file names planted
in a manifest. Oracle: no planted row is found, and the refusal is one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from lancedb.embeddings import EmbeddingFunctionRegistry, TextEmbeddingFunction
from lancedb.index import BTree

from gobelin.core.errors import GobelinError
from gobelin.embedding.search.index import SPACE_KEY, TABLE, Index, create
from gobelin.embedding.search.index_rows import ID, VECTOR
from gobelin.embedding.search.table_files import list_files, refuse_outside

QUERY = np.eye(8, dtype=np.float32)[0]
AGAIN = "Delete it and run gobelin search again"


def rows(name: str, *columns: str) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(np.eye(8, dtype=np.float32).reshape(-1)), 8
    )
    more = {column: ["a"] * 8 for column in columns}
    ids = [f"{name}{k}" for k in range(8)]
    return pa.table({ID: ids, "gobelin_row": list(range(8)), VECTOR: vectors, **more})


def relisted(folder: Path) -> None:
    """The hashes match, as a stranger would make them."""
    (folder / "files.json").unlink(missing_ok=True)
    list_files(folder)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """An index that is a shallow clone of a table elsewhere."""
    secret = rows("secret").replace_schema_metadata({SPACE_KEY: b"one"})
    lancedb.connect(tmp_path / "secret").create_table(TABLE, secret)
    lancedb.connect(tmp_path / "index").clone_table(TABLE, str(tmp_path / "secret/rows.lance"))
    relisted(tmp_path / "index")
    return tmp_path / "index"


def replaced(folder: Path, old: bytes, new: bytes, kinds: tuple[str, ...]) -> None:
    """The old bytes as the new ones, of the same length, in every file of these kinds."""
    assert len(old) == len(new)
    for path in folder.rglob("*"):
        if path.suffix in kinds:
            path.write_bytes(path.read_bytes().replace(old, new))


def as_url(folder: Path) -> None:
    base = str(folder.parent / "secret/rows.lance").encode()
    url = b"s3://127.0.0.1/".ljust(len(base), b"a")
    replaced(folder, base, url, (".manifest", ".txn"))


def as_relative(folder: Path) -> None:
    base = str(folder.parent / "secret/rows.lance").encode()
    replaced(folder, base, b"../secret/".rjust(len(base), b"."), (".manifest", ".txn"))


def without_transactions(folder: Path) -> None:
    shutil.rmtree(folder / "rows.lance/_transactions")


def with_a_later_change(folder: Path) -> None:
    """An own row in the newest version, beside those of the other table."""
    lancedb.connect(folder).open_table(TABLE).delete(f"{ID} = 'secret7'")


@pytest.mark.parametrize(
    "also",
    [lambda folder: None, as_url, as_relative, without_transactions, with_a_later_change],
    ids=["path", "url", "relative", "no transactions", "changed"],
)
def test_a_clone_of_another_table_is_refused(also: Callable[[Path], None], clone: Path) -> None:
    also(clone)
    relisted(clone)
    with pytest.raises(GobelinError, match="refers to files outside of it") as caught:
        found = Index(clone, "one").nearest(QUERY, 3)
        assert not found, "rows of another table"
    assert "\n" not in str(caught.value) and AGAIN in str(caught.value)


@pytest.mark.parametrize("start", ["../", "/tmp/", "s3://a/", "C:\\", "file:", "a/b/", "..\\"])
def test_a_data_file_elsewhere_is_refused(start: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    create(folder, rows("r"), "one")
    name = next((folder / "rows.lance/data").iterdir()).name.encode()
    planted = (start.encode() + b"x" * len(name))[: len(name) - 6] + b".lance"
    without_transactions(folder)
    replaced(folder, name, planted, (".manifest",))
    relisted(folder)
    with pytest.raises(GobelinError, match="refers to files outside of it .*no plain name"):
        Index(folder, "one")


@pytest.mark.parametrize(
    "name",
    [
        "other.lance/data/a.lance",
        "__manifest/data/a.lance",
        "rows.lance/_refs/branches/a.json",
        "rows.lance/tree/a/_versions/1.manifest",
        "rows.lance/data/a.py",
        "a.txt",
    ],
)
def test_a_file_that_no_index_has_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    create(folder, rows("r"), "one")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"{}")
    with pytest.raises(GobelinError, match="is no part of an index"):
        Index(folder, "one")


def test_any_changed_byte_of_a_manifest_is_refused_or_read(tmp_path: Path) -> None:
    """The reader of manifests ends on any bytes with a GobelinError or a ValueError."""
    folder = tmp_path / "index"
    create(folder, rows("r"), "one")
    path = next(folder.rglob("*.manifest"))
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        for harmed in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            path.write_bytes(harmed)
            try:
                refuse_outside(folder)
            except (GobelinError, ValueError):
                continue


class Planted(TextEmbeddingFunction):
    """A function that LanceDB makes where a table names it."""

    made: ClassVar[list[str]] = []

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.made.append("made")

    def ndims(self) -> int:
        return 8

    def generate_embeddings(self, texts: object) -> list[list[float]]:
        return [[0.0] * 8 for _ in list(texts)]  # type: ignore[call-overload]


def named(function: str) -> dict[bytes, bytes]:
    one = {"name": function, "model": {"name": "a/b"}, "source_column": "caption"}
    return {b"embedding_functions": json.dumps([{**one, "vector_column": VECTOR}]).encode()}


METADATA = {
    "functions": named("planted"),
    "of a hub": named("huggingface"),
    "of an address": named("ollama"),
    "unknown": {b"other\n": b"x"},
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_that_name_functions_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LanceDB makes the functions when rows are added. It does so here without the check, so that
    the check has something to stop."""
    registry = EmbeddingFunctionRegistry.get_instance()
    monkeypatch.setattr(registry, "_functions", {**registry._functions, "planted": Planted})
    monkeypatch.setattr(Planted, "made", [])
    own = rows("a", "caption").replace_schema_metadata({SPACE_KEY: b"one", **METADATA[kind]})
    folder = tmp_path / "index"
    table = lancedb.connect(folder).create_table(TABLE, own)
    list_files(folder)
    if kind == "functions":
        table.add(own)
        assert Planted.made
        Planted.made.clear()
    with pytest.raises(GobelinError, match="metadata that no index has") as refusal:
        Index(folder, "one")
    assert "\n" not in str(refusal.value)
    assert not Planted.made


def test_metadata_of_a_column_are_refused(tmp_path: Path) -> None:
    own = rows("a", "caption")
    field = own.schema.field("caption").with_metadata({b"planted": b"x"})
    schema = own.schema.set(own.schema.get_field_index("caption"), field)
    lancedb.connect(tmp_path / "index").create_table(
        TABLE, own.cast(schema.with_metadata({SPACE_KEY: b"one"}))
    )
    relisted(tmp_path / "index")
    with pytest.raises(GobelinError):
        Index(tmp_path / "index", "one")


def test_own_tables_open_after_every_change(tmp_path: Path) -> None:
    """Names of columns and ids that look like paths are no paths."""
    folder = tmp_path / "index"
    columns = ("a/b", "/tmp/x", "s3://x", "blob", "C:\\x")
    create(folder, rows("../r", *columns), "one")
    assert len(Index(folder, "one")) == 8
    more = rows("s3://m", *columns)
    table = Index(folder, "one")
    table.change(more, [])
    table.change(None, ["../r0", "s3://m1"])
    table.change(more.slice(0, 1).set_column(0, ID, pa.array(["/n"])), ["../r1"])
    table.table.create_index(ID, config=BTree())
    table.table.optimize()
    table.table.delete(f"{ID} = '/n'")
    table.table.delete(f"{ID} = '../r2'")  # leaves a list of deleted rows
    list_files(folder)
    again = Index(folder, "one")
    assert len(again) == 12 and again.nearest(QUERY, 1)[0].id == "s3://m0"
    assert {p.name for p in (folder / "rows.lance").iterdir()} >= {"_deletions", "_indices"}
