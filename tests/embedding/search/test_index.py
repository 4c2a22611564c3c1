"""The search index against a matrix product, a filter in Python and planted damage; large tables by
their recall."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Schema
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.search import index
from gobelin.embedding.search.index import MOST_EXACT_ROWS, Index, create
from gobelin.embedding.search.index_rows import ID, ROW, Hit, rows_of


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def space(
    vectors: np.ndarray, present: np.ndarray, ids: tuple[str, ...] = (), name: str = "one"
) -> Shared:
    n, f = present.shape
    given = np.where(present[:, :, None], vectors, 0).astype(np.float32)
    return Shared(
        ("image", "text", "table")[:f],
        given,
        present,
        ids or tuple(f"r{k}" for k in range(n)),
        name,
    )


def drawn(n: int, d: int = 6, seed: int = 0) -> Shared:
    rng = np.random.default_rng(seed)
    return space(unit(rng.normal(size=(n, 3, d))), rng.random((n, 3)) >= 0.3)


def made(
    folder: Path, shared: Shared, dataset: Dataset | None = None, schema: Schema | None = None
) -> Index:
    create(folder, rows_of(shared, dataset, schema, ["train"] * len(shared)), shared.fingerprint)
    return Index(folder, shared.fingerprint)


def by_hand(
    shared: Shared, query: np.ndarray, k: int, keep: Callable[[int], bool] = lambda row: True
) -> list[tuple[int, float]]:
    """(row, cosine), best first, equal ones in the order of the rows, computed one by one in
    float64."""
    found = []
    for row in filter(keep, range(len(shared))):
        total = shared.vectors[row].astype(np.float64).sum(0)
        length = np.linalg.norm(total)
        found.append((row, float(total @ query / length) if length else 0.0))
    return sorted(found, key=lambda one: (-round(one[1], 6), one[0]))[:k]


def same(hits: list[Hit], wanted: list[tuple[int, float]]) -> None:
    assert [h.row for h in hits] == [row for row, _ in wanted]
    assert [h.score for h in hits] == pytest.approx([score for _, score in wanted], abs=1e-6)


AGAIN = "Delete it and run gobelin search again"
RECORDS = pa.table(
    {
        "name": [f"r{k}" for k in range(60)],
        "weight": [None if k % 7 == 0 else "n/a" if k == 5 else str(k * 1.5) for k in range(60)],
        "sort of": [("tool", "it's", None)[k % 3] for k in range(60)],
        "size.cm": list(range(60)),
        "day": [datetime.date(2020, 1, 1) + datetime.timedelta(k) for k in range(60)],
        "fine": [k % 2 == 0 for k in range(60)],
        "bytes": [b"x"] * 60,
        "many": [["a", "b"]] * 60,
    }
)
KINDS = {"weight": "number", "size.cm": "number", "day": "date"}
SCHEMA = Schema(
    tuple(Column(name, KINDS.get(name, "category")) for name in RECORDS.column_names), ()
)


@pytest.fixture
def records(tmp_path: Path) -> tuple[Index, Shared]:
    shared = drawn(60)
    return (
        made(tmp_path / "index", shared, Dataset(RECORDS, tmp_path, "records.csv"), SCHEMA),
        shared,
    )


@pytest.mark.parametrize("n", [1, 50, 3000])
def test_a_small_table_answers_as_a_matrix_product(n: int, tmp_path: Path) -> None:
    shared, query = drawn(n), unit(np.random.default_rng(1).normal(size=6))
    table = made(tmp_path / "index", shared)
    for k in (1, 7, 50, 4000):
        same(table.nearest(query, k), by_hand(shared, query, k))
        assert all(shared.ids[h.row] == h.id for h in table.nearest(query, k))
    assert table.nearest(query, 0) == [] and table.nearest(query, -3) == []


def test_equal_scores_keep_the_order_of_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    vectors = unit(rng.normal(size=(40, 1, 8)))[rng.integers(40, size=12_000)]
    table = made(tmp_path / "index", space(vectors, np.ones((12_000, 1), bool)))
    alike = np.flatnonzero((vectors == vectors[7]).all((1, 2)))
    assert len(alike) > 250
    for k in (3, 200):
        assert [h.row for h in table.nearest(vectors[7, 0], k)] == alike[:k].tolist()


def test_any_order_of_the_rows_finds_the_same(tmp_path: Path) -> None:
    shared, query = drawn(300), unit(np.random.default_rng(1).normal(size=6))
    order = np.random.default_rng(3).permutation(300)
    turned = Shared(
        shared.fields,
        shared.vectors[order],
        shared.present[order],
        tuple(shared.ids[k] for k in order),
        "one",
    )
    one, other = (
        made(tmp_path / name, s).nearest(query, 40) for name, s in (("a", shared), ("b", turned))
    )
    nothing = {shared.ids[k] for k in np.flatnonzero(~shared.present.any(1))}
    assert [h.id for h in one if h.id not in nothing] == [
        h.id for h in other if h.id not in nothing
    ]


def test_a_row_with_nothing_scores_nothing(tmp_path: Path) -> None:
    vectors = np.array([[[-1.0, 0]], [[0, 0]], [[1, 0]]])
    hits = made(tmp_path / "index", space(vectors, np.array([[True], [False], [True]]))).nearest(
        np.array([1.0, 0]), 3
    )
    assert [(h.row, h.score) for h in hits] == [(2, 1.0), (1, 0.0), (0, -1.0)]


FILTERS: dict[str, Callable[[dict], bool]] = {
    "weight > 40": lambda r: r["weight"] not in (None, "n/a") and float(r["weight"]) > 40,
    "weight IS NULL": lambda r: r["weight"] in (None, "n/a"),
    "`sort of` = 'it''s' AND size_cm < 30": lambda r: r["sort of"] == "it's" and r["size.cm"] < 30,
    "fine OR size_cm IN (1, 3)": lambda r: r["fine"] or r["size.cm"] in (1, 3),
    "day >= DATE '2020-02-01'": lambda r: r["day"] >= datetime.date(2020, 2, 1),
    "name LIKE '%9'": lambda r: r["name"].endswith("9"),
    "gobelin_split = 'train' AND gobelin_row = 11": lambda r: r["name"] == "r11",
    "size_cm > 1000": lambda r: False,
    "name = ';'": lambda r: False,
}


@pytest.mark.parametrize("where", FILTERS)
def test_a_filter_is_that_of_python(where: str, records: tuple[Index, Shared]) -> None:
    table, shared = records
    rows, query = RECORDS.to_pylist(), unit(np.random.default_rng(4).normal(size=6))
    for k in (3, 100):
        same(
            table.nearest(query, k, where),
            by_hand(shared, query, k, lambda row: FILTERS[where](rows[row])),
        )


@pytest.mark.parametrize(
    "where",
    [
        "wieght > 3",
        "weight >",
        "weight",
        "weight > 'heavy'",
        " ",
        "fine; DROP TABLE rows",
        "gone(1)",
        "name IN (SELECT name FROM rows)",
    ],
)
def test_a_bad_filter_is_one_line_with_the_columns(
    where: str, records: tuple[Index, Shared]
) -> None:
    with pytest.raises(GobelinError) as caught:
        records[0].nearest(np.ones(6) / 6**0.5, 3, where)
    said = str(caught.value)
    assert said.startswith(f"--where {where!r}: ") and "\n" not in said
    assert said.endswith(
        "Known columns: gobelin_id, gobelin_row, gobelin_split, gobelin_origin, name, weight, sort"
        " of, size_cm, day, fine."
    )


def test_rows_come_and_go(records: tuple[Index, Shared], tmp_path: Path) -> None:
    table, shared = records
    more = drawn(5, seed=9)
    given = Dataset(pa.table({"weight": ["7"] * 5, "unknown": ["x"] * 5}), tmp_path, "new.csv")
    added = rows_of(
        Shared(more.fields, more.vectors, more.present, tuple("abcde"), "one"),
        given,
        SCHEMA,
        [index.ADDED] * 5,
    )
    table.change(added, ["r3", "r59"])
    both = Shared(
        shared.fields,
        np.concatenate([shared.vectors, more.vectors]),
        np.concatenate([shared.present, more.present]),
        shared.ids + tuple("abcde"),
        "one",
    )
    query = unit(np.random.default_rng(5).normal(size=6))
    for opened in (table, Index(tmp_path / "index", "one")):
        assert len(opened) == 63
        found = opened.nearest(query, 100)
        wanted = by_hand(both, query, 100, lambda row: row not in (3, 59))
        assert [h.id for h in found] == [both.ids[row] for row, _ in wanted]
        later = opened.nearest(query, 9, "gobelin_split = 'added'")
        assert [h.id for h in later] == [both.ids[row] for row, _ in wanted if row >= 60]
        assert {h.row for h in later} == set(range(60, 65))
        assert len(opened.nearest(query, 9, "weight = 7 AND name IS NULL")) == 5
    assert table.values(["a", "r4"], ["weight", "size.cm", "gone"]) == {
        "a": (7.0, None),
        "r4": (6.0, 4),
    }


@pytest.mark.parametrize(
    ("ids", "deleted", "said"),
    [
        (["a", "r1"], ["r2"], "has a row 'r1' already"),
        (["r3", "b"], ["gone"], "has a row 'r3' already"),
    ],
)
def test_a_change_that_cannot_be_is_none(
    ids: str | list[str], deleted: list[str], said: str, records: tuple[Index, Shared]
) -> None:
    more = drawn(2, seed=9)
    with pytest.raises(GobelinError, match=said):
        records[0].change(
            rows_of(Shared(more.fields, more.vectors, more.present, tuple(ids), "one")), deleted
        )
    assert len(records[0]) == 60 and len(records[0].nearest(np.ones(6) / 6**0.5, 99)) == 60
    records[0].change(
        rows_of(Shared(more.fields, more.vectors, more.present, ("r1", "r2"), "one")), ["r2", "r1"]
    )  # replaced
    assert len(records[0]) == 60


def test_another_space_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "index", drawn(5))
    with pytest.raises(GobelinError, match="another space"):
        Index(tmp_path / "index", "another")


def test_an_empty_table_finds_nothing(tmp_path: Path) -> None:
    table, query = made(tmp_path / "index", drawn(2)), np.ones(6) / 6**0.5
    table.change(None, ["r0", "r1"])
    assert len(table) == 0 and all(
        table.nearest(query, 3, where) == [] for where in ("", "gobelin_row = 1")
    )
    table.change(rows_of(drawn(3, seed=9)), [])
    assert len(table.nearest(query, 9)) == 3


def listed(folder: Path) -> list[Path]:
    kinds = (".lance", ".manifest", ".txn")
    return sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and (p.suffix in kinds or p.name == index.FILE_HASHES)
    )


@pytest.mark.parametrize(
    "harm",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:90] + bytes([b[90] ^ 1]) + b[91:]],
)
def test_a_damaged_file_is_one_line(harm: Callable[[bytes], bytes], tmp_path: Path) -> None:
    made(tmp_path / "index", drawn(50))
    assert len(listed(tmp_path / "index")) >= 4
    for path in listed(tmp_path / "index"):
        whole = path.read_bytes()
        path.write_bytes(harm(whole))
        with pytest.raises(GobelinError, match=f"is damaged .*{AGAIN}"):
            Index(tmp_path / "index", "one")
        path.write_bytes(whole)
    Index(tmp_path / "index", "one")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    made(tmp_path / "index", drawn(50))
    for path in [p for p in listed(tmp_path / "index") if p.suffix != ".txn"]:
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(GobelinError, match=f"is damaged .*{AGAIN}") as caught:
            Index(tmp_path / "index", "one").nearest(np.ones(6) / 6**0.5, 3)
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)


CHANGES = {"add": ("abc", []), "delete": ("", ["r0", "r7"]), "both": (["r7", "b"], ["r0", "r7"])}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("last", ["write_json", "_commit", "_settle", "list_files"])
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_killed_in_the_middle_a_whole_version_stands(
    change: str, last: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a change is there or nothing, and the same call again finishes it."""
    ids, deleted = CHANGES[change]
    more = drawn(max(1, len(ids)), seed=9)
    rows = (
        rows_of(Shared(more.fields, more.vectors, more.present, tuple(ids), "one")) if ids else None
    )
    before = set(made(tmp_path / "index", drawn(20)).table.to_arrow()[ID].to_pylist())
    after = before - set(deleted) | set(ids)
    place = Index if last == "_commit" else index
    whole = getattr(place, last)

    def stopped(*arguments: object) -> None:
        if when == "after":
            whole(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(place, last, stopped)
        Index(tmp_path / "index", "one").change(rows, deleted)
    found = Index(tmp_path / "index", "one").nearest(np.ones(6) / 6**0.5, 99)
    begun = last == "write_json" or (last == "_commit" and when == "before")
    assert {hit.id for hit in found} == (before if begun else after)
    Index(tmp_path / "index", "one").change(rows, deleted)
    again = Index(tmp_path / "index", "one")
    assert {hit.id for hit in again.nearest(np.ones(6) / 6**0.5, 99)} == after
    assert len(again) == len(after) and not (tmp_path / "index" / index.BEGUN).exists()


@pytest.mark.parametrize("again", ["all", "some and others", "one by one"])
def test_rows_that_were_added_before_are_there_already(
    again: str, records: tuple[Index, Shared]
) -> None:
    """The same command again ends in the same state, and a row that differs is refused."""
    table = records[0]
    more = drawn(4, seed=9)

    def added(rows: list[int], ids: str, more: Shared = more) -> pa.Table:
        part = Shared(more.fields, more.vectors[rows], more.present[rows], tuple(ids), "one")
        return rows_of(part)

    table.change(added([0, 1], "ab"), [])
    before = table.table.to_arrow()
    if again == "all":
        table.change(added([0, 1], "ab"), [])
    elif again == "some and others":
        table.change(added([0, 1, 2, 3], "abcd"), [])
    else:
        for row in (1, 0):
            table.change(added([row], "ab"[row]), [])
    after = table.table.to_arrow()
    assert after.slice(0, 62).equals(before)
    assert after[ID].to_pylist()[62:] == (["c", "d"] if again == "some and others" else [])
    with pytest.raises(GobelinError, match="has a row 'a' already"):
        table.change(added([2], "a"), [])


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (["r2", "r7"], "2 rows are not there: r2, r7. Nothing was deleted for them."),
        (["r7", "r9"], "1 row is not there: r7. Nothing was deleted for it."),
        (["never"], "1 row is not there: never. Nothing was deleted for it."),
    ],
)
def test_rows_that_were_deleted_before_are_gone_already(
    again: list[str], told: str, records: tuple[Index, Shared], caplog: pytest.LogCaptureFixture
) -> None:
    """The same command again ends in the same state. A mistyped id is told."""
    table, all_ids = records[0], [f"r{k}" for k in range(60)]
    table.change(None, ["r2", "r7"])
    assert not caplog.records
    table.change(None, again)
    assert [told in record.getMessage() for record in caplog.records] == [True]
    left = Index(table.folder, "one").table.to_arrow()[ID].to_pylist()
    assert left == [i for i in all_ids if i not in {"r2", "r7", *again}]


def test_a_copy_holds_ids_and_vectors_alone(records: tuple[Index, Shared], tmp_path: Path) -> None:
    table, _ = records
    table.copy(tmp_path / "copy")
    copy = Index(tmp_path / "copy", "one")
    query = unit(np.random.default_rng(4).normal(size=6))
    assert copy.nearest(query, 60) == table.nearest(query, 60) and copy.known == [ID, ROW]
    assert not [
        p for p in (tmp_path / "copy").rglob("*") if p.is_file() and b"tool" in p.read_bytes()
    ]


def test_a_large_table_finds_nearly_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted clusters, fewer than partitions; with a filter that leaves few rows the answer is
    exact again. A smaller table has no index: search compares all its rows."""
    small = made(tmp_path / "small", space(np.ones((300, 1, 6)), np.ones((300, 1), bool)))
    assert not small.table.list_indices()
    monkeypatch.setattr(index, "MOST_PRODUCT_ROWS", MOST_EXACT_ROWS)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(64, 32))
    n, query = (
        MOST_EXACT_ROWS + 10_000,
        unit(centres[rng.integers(64, size=50)] + rng.normal(size=(50, 32))),
    )
    vectors = unit(centres[rng.integers(64, size=n)] + rng.normal(size=(n, 32)))[:, None]
    shared = space(vectors, np.ones((n, 1), bool))
    table = made(tmp_path / "index", shared)
    assert [one.index_type for one in table.table.list_indices()] == ["IvfRq"]
    nearest = np.argsort(-(query @ vectors[:, 0].T), axis=1)[:, :10]
    found = [{h.row for h in table.nearest(q, 10)} for q in query]
    assert (
        np.mean([len(f & set(t)) / 10 for f, t in zip(found, nearest.tolist(), strict=True)])
        >= 0.95
    )
    same(
        table.nearest(query[0], 9, "gobelin_row < 1000"),
        by_hand(shared, query[0], 9, lambda row: row < 1000),
    )
    table.change(rows_of(space(-query[:1, None], np.ones((1, 1), bool), ("far",))), ["r0"])
    assert table.nearest(-query[0], 1) == [Hit(n, "far", pytest.approx(1.0, abs=1e-6))]
    assert (
        not table.nearest(query[0], 9, "gobelin_id = 'r0'")
        and len(Index(tmp_path / "index", "one")) == n
    )
