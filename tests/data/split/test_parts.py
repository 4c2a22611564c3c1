"""Names of rows: the same in any order of rows and in any kind of file; recorded parts by them."""

from __future__ import annotations

import datetime
import json
import re
import tracemalloc
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.files import write_json
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Schema
from gobelin.data.read import read
from gobelin.data.split.parts import (
    NamedRows,
    Naming,
    RecordedParts,
    TrainedNames,
    _hash,
    group_name,
    groups_that_look_alike,
    parts_of_groups,
    trained_rows,
)

ROWS = [{"word": f"w{k % 7}", "size": k % 5 + 0.5, "count": k, "on": k % 2 == 0} for k in range(40)]


def dataset(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset(pa.Table.from_pylist(rows), Path(), "rows")


def named(rows: Dataset, **roles: str) -> NamedRows:
    columns = tuple(Column(n, "text", roles.get(n, "cell")) for n in rows.column_names)
    return NamedRows.of(rows, Schema(columns, ()))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_row_is_named_by_what_is_in_it(kind: str, tmp_path: Path) -> None:
    """Not by its number, nor by the type that a kind of file gives its cells."""
    expected = named(dataset(ROWS)).names
    assert len(set(expected)) == 40
    order = np.random.default_rng(0).permutation(40)
    rows, path = [ROWS[k] for k in order], tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [",".join(str(v).lower() for v in row.values()) for row in rows]
        path.write_text("\n".join(["word,size,count,on", *lines]))
    assert named(read(path)).names == tuple(expected[k] for k in order)


def test_other_cells_are_another_name() -> None:
    changed = [*ROWS[:39], {**ROWS[39], "word": "other"}]
    before, after = named(dataset(ROWS)).names, named(dataset(changed)).names
    assert before[:39] == after[:39] and before[39] != after[39]


def test_equal_rows_have_a_name_each_in_any_order() -> None:
    """A thousand equal rows are a thousand groups, not one."""
    rows = [{"word": "a", "y": "1"}] * 600 + [{"word": "b", "y": "2"}] * 400
    order = np.random.default_rng(0).permutation(1000)
    names = named(dataset(rows)).names
    again = named(dataset([rows[k] for k in order])).names
    assert len(set(names)) == 1000 and set(again) == set(names)
    words = {name: row["word"] for name, row in zip(names, rows, strict=True)}
    assert all(words[n] == rows[k]["word"] for n, k in zip(again, order, strict=True))


def test_ids_and_groups_name_rows_before_their_content_does() -> None:
    rows = [{**row, "who": f"p{k % 4}" if k else None, "id": k} for k, row in enumerate(ROWS)]
    assert named(dataset(rows), id="id").names == tuple(map(str, range(40)))
    both = named(dataset(rows), id="id", who="group")
    assert both.names[:2] == ("row 0", "p1") and both.naming.content == ()
    grouped = named(dataset(rows), who="group")
    assert grouped.names[1:] == both.names[1:] and grouped.names[0] != "row 0"
    came = dataset(rows).with_ids("id")
    assert named(came).names == came.ids


def test_a_record_comes_back_and_damage_is_seen(tmp_path: Path) -> None:
    rows = named(dataset(ROWS))
    parts = dict(zip(rows.names, (["train", "test"] * 20), strict=True))
    other = TrainedNames(Naming(id="id"), frozenset({"7", "9"}))
    record = RecordedParts(rows.naming, {"test": 0.25, "seed": 0}, parts).with_earlier([other])
    record.save(tmp_path / "parts.json")
    again = RecordedParts.load(tmp_path / "parts.json")
    assert again == record and again.key == record.key and again.source == str(tmp_path)
    assert again.of_rows(rows) == ["train", "test"] * 20
    text = (tmp_path / "parts.json").read_text()
    for damaged in (text.replace('"test"', '"train"', 3), text[:-30], "[]", ""):
        (tmp_path / "parts.json").write_text(damaged)
        with pytest.raises(GobelinError, match="which rows were trained on"):
            RecordedParts.load(tmp_path / "parts.json")


NAMED = {"group": "", "id": "id", "content": []}
FOREIGN: dict[str, dict[str, Any]] = {
    "another part": {"parts": {"a": "tset"}},
    "a control character": {"parts": {"a": "\x1b[31mtrain"}},
    "a number for a part": {"parts": {"a": 1}},
    "no part": {"parts": {"a": None}},
    "a list for a part": {"parts": {"a": ["train"]}},
    "parts in a list": {"parts": ["a"]},
    "a number for a column": {"naming": {**NAMED, "id": 3}},
    "lists among the columns": {"naming": {**NAMED, "content": [["a"]]}},
    "a text for the columns": {"naming": {**NAMED, "content": "ab"}},
    "a number among the names": {"earlier": [{"naming": NAMED, "names": [1, "b"]}]},
    "a text for the names": {"earlier": [{"naming": NAMED, "names": "ab"}]},
    "a text for all": {"earlier": "abc"},
    "a number for the settings": {"drawn": 1},
    "a list for the settings": {"drawn": [1, 2]},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_record_with_the_right_hash_and_foreign_values_is_one_line(
    kind: str, tmp_path: Path
) -> None:
    """Who can change the file can write its hash too."""
    content = {"naming": NAMED, "drawn": {}, "parts": {"a": "train"}, "earlier": []}
    for change, fits in (({}, True), (FOREIGN[kind], False)):
        stored = {**content, **change}
        write_json(tmp_path / "parts.json", {"format": 1, "hash": _hash(stored), **stored})
        if fits:
            assert RecordedParts.load(tmp_path / "parts.json").part_of == {"a": "train"}
        else:
            with pytest.raises(GobelinError, match="which rows were trained on") as refusal:
                RecordedParts.load(tmp_path / "parts.json")
            assert "\n" not in str(refusal.value)
            told = str(refusal.value)
            assert not re.search(r"object|indices|unhashable|iterable|NoneType|argument", told)


def test_what_was_trained_on_elsewhere_is_found_by_its_own_names() -> None:
    """The other run named rows by an id; this one names them by their content."""
    rows = dataset([{**row, "id": k} for k, row in enumerate(ROWS)])
    mine, other = named(rows), TrainedNames(Naming(id="id"), frozenset({"3", "5", "99"}))
    assert np.flatnonzero(trained_rows([other], mine)).tolist() == [3, 5]
    record = RecordedParts(mine.naming, {}, {mine.names[3]: "test"}, (other,))
    assert [record.of_rows(mine)[k] for k in (3, 4, 5)] == ["test", None, "train"]
    assert not trained_rows([other], named(dataset(ROWS))).any()
    with pytest.raises(GobelinError, match="lacks the column 'id'"):
        RecordedParts(other.naming, {}, {}).of_rows(named(dataset(ROWS)))


@pytest.mark.parametrize(
    "written", [" p7", "p7 ", "\tp7\n", "\u00a0p7", "é1", "e\u03011", " e\u03011 "]
)
def test_blanks_and_codings_of_an_accent_make_no_other_group(written: str) -> None:
    usual = "p7" if "p7" in written else "\u00e91"
    assert group_name(written) == usual


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "1",
            [1, 1.0, np.int8(1), np.float32(1), Decimal("1.00"), Decimal("1E+0"), "1.0", "1.000"],
        ),
        ("-3", [-3, -3.0, np.int64(-3), Decimal("-3.0"), "-3.0", " -3 "]),
        ("0", [0, 0.0, -0.0, Decimal("-0.00"), Decimal(0), np.uint8(0)]),
        ("1.5", [1.5, np.float64(1.5), Decimal("1.50"), "1.5"]),
        ("1e-07", [1e-7, Decimal("0.0000001")]),
        (str(2**60), [2**60, float(2**60), Decimal(2**60), np.int64(2**60), f"{2**60}.0"]),
        ("true", [True, np.bool_(True), "True", "true"]),
        (
            "2020-01-02",
            [
                datetime.date(2020, 1, 2),
                datetime.datetime(2020, 1, 2),
                np.datetime64("2020-01-02"),
                "2020-01-02 00:00:00",
            ],
        ),
        ("p7", ["p7", b"p7", np.str_("p7")]),
    ],
)
def test_the_type_of_a_value_makes_no_other_group(name: str, written: list[object]) -> None:
    assert {group_name(value) for value in written} == {name}


def test_other_names_stay_apart() -> None:
    names = [
        "007",
        "7",
        "7.5",
        "1.10",
        "1.1",
        "1.0.0",
        "v1.0",
        "-",
        ".0",
        "1e5",
        "2020-01-02 08:00:00",
    ]
    assert [group_name(name) for name in names] == names
    assert len({group_name(Decimal(f"0.{'1' * 30}{k}")) for k in range(10)}) == 10


def test_parts_of_an_earlier_version_name_the_same_groups(tmp_path: Path) -> None:
    record = RecordedParts(Naming("g"), {}, {"1.0": "test", "row 2.0": "train"})
    record.save(tmp_path / "parts.json")
    assert RecordedParts.load(tmp_path / "parts.json").part_of == {"1": "test", "row 2": "train"}


def test_groups_that_look_alike_are_found() -> None:
    names = ["P7", "p7", "p 7", "p8", "p70", "STRASSE", "Straße"]
    assert groups_that_look_alike(names) == [("P7", "p 7", "p7"), ("STRASSE", "Straße")]
    assert groups_that_look_alike(["a", "b"]) == []


def test_a_group_stays_together() -> None:
    groups = ["a", "a", "b", "c"]
    assert parts_of_groups(["test", None, None, "train"], groups, "run", "stop") == {
        "a": "test",
        "c": "train",
    }
    with pytest.raises(GobelinError, match="run: has rows of 1 group in several parts.* or stop"):
        parts_of_groups(["test", "train", None, None], groups, "run", "stop")


def test_names_are_few_bytes_and_differ() -> None:
    rows = named(dataset([{"n": k, "x": k / 7} for k in range(3000)]))
    assert Counter(map(len, rows.names)) == {24: 3000} and len(set(rows.names)) == 3000


@pytest.mark.parametrize(
    "cell",
    [
        [k / 7 for k in range(4000)],
        [1000 * k for k in range(4000)],
        [f"{k}.5" for k in range(4000)],
    ],
    ids=["numbers", "whole numbers", "numbers as texts"],
)
def test_the_cells_of_one_row_at_a_time_are_written_as_texts(cell: list[Any]) -> None:
    """Against the sum over all rows: rows of long lists would take several times their size."""
    table = pa.table({"signal": [cell] * 60, "x": list(range(60))})
    dataset = Dataset(table, "test", Path())
    naming = Naming(content=("signal", "x"))
    tracemalloc.start()
    kept = dataset.values("signal")
    own = tracemalloc.get_traced_memory()[0]
    del kept
    tracemalloc.reset_peak()
    names = naming.names(dataset)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(names)) == 60
    assert most < own + 3_000_000  # all of them as texts: 15 MB and more
