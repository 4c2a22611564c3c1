"""Views against plain lists; joins, set-aside cells and lineage against what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core import files
from gobelin.core.errors import GobelinError
from gobelin.data import dataset
from gobelin.data.dataset import LINEAGE_COLUMN, ORIGIN_COLUMN, Dataset, derived_rows
from gobelin.data.fields import Field

TABLE = {
    "image": ["a.png", "b.png", "", "d.png"],
    "text": ["x", None, " ", "y"],
    "n": [1.0, float("nan"), None, 4.0],
    "many": [["p", None, ""], [], [None], None],
}


@pytest.fixture
def data() -> Dataset:
    return Dataset(pa.table(TABLE), Path("/data"), "x.csv")


def test_empty_cells_are_missing(data: Dataset) -> None:
    assert {c: data.values(c) for c in TABLE} == {
        "image": ["a.png", "b.png", None, "d.png"],
        "text": ["x", None, None, "y"],
        "n": [1.0, None, None, 4.0],
        "many": [["p"], None, None, None],
    }
    cells = data.cells(Field("f", "table", ("text", "n", "not there"), "table"))
    assert cells == [{"text": "x", "n": 1.0}, None, None, {"text": "y", "n": 4.0}]


def test_a_view_is_the_rows_asked_for(data: Dataset) -> None:
    order = [3, 0, 0, 1]
    view = data.rows(order)
    for c in TABLE:
        assert view.values(c) == [data.values(c)[k] for k in order]
    assert view.ids == ("3", "0", "0", "1") and view.rows([1, 3]).ids == ("0", "1")
    assert data.ids == ("0", "1", "2", "3") and data.column_names == view.column_names == list(
        TABLE
    )
    assert len(data.rows([])) == 0 and data.rows([]).values("text") == []


def test_ids_from_a_column_must_differ(data: Dataset) -> None:
    table = data.table.append_column("id", pa.array(["r", "s", "t", "u"]))
    named = Dataset(table, data.root).with_ids("id")
    assert (
        named.ids == ("r", "s", "t", "u")
        and named.rows([2]).ids == ("t",)
        and named.with_ids() is named
    )
    with pytest.raises(GobelinError, match="column 'text': the id 'x' appears twice"):
        Dataset(pa.table({"text": ["x", "x"]}), Path()).with_ids("text")


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(GobelinError, match="column 'a' appears twice"):
        Dataset(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), Path())


def test_set_aside_cells_are_missing_and_follow_their_row(data: Dataset) -> None:
    less = data.set_aside([("3", "image"), ("0", "text")]).set_aside([("0", "image")])
    assert less.values("image") == [None, "b.png", None, None] and less.values("text") == [
        None,
        None,
        None,
        "y",
    ]
    assert (
        less.rows([3, 1]).values("image") == [None, "b.png"] and data.values("image")[3] == "d.png"
    )


def test_join_fills_what_a_side_lacks(data: Dataset) -> None:
    other = Dataset(pa.table({"id": ["new"], "n": [7], "more": ["m"]}), Path("/data")).with_ids(
        "id"
    )
    both = data.set_aside([("1", "image")]).join(other)
    assert both.values("n") == [1.0, None, None, 4.0, 7.0] and both.values("more") == [None] * 4 + [
        "m"
    ]
    assert both.values("image") == ["a.png", None, None, "d.png", None] and set(both.origins) == {
        "real"
    }


def test_joined_paths_and_bytes_stay_what_they_are(data: Dataset) -> None:
    made = derived_rows(
        data.rows([0, 3]), {"image": [b"\x89PNG", b"\xff\xd8"]}, ["m0", "m1"], "view", [{}, {}]
    )
    more = derived_rows(data.rows([1]), {"image": [b"GIF8"]}, ["m2"], "generated", [{}])
    expected = ["a.png", "b.png", None, "d.png", b"\x89PNG", b"\xff\xd8", b"GIF8"]
    for both in (data.join(made).join(more), data.join(made.join(more))):
        assert both.values("image") == expected and both.values("text") == data.values("text") + [
            "x",
            "y",
            None,
        ]
        assert both.rows([4, 0]).values("image") == [b"\x89PNG", "a.png"]
        assert both.set_aside([("m1", "image")]).values("image")[5] is None
    assert made.join(data).values("image") == expected[4:6] + expected[:4]


def test_made_rows_carry_their_lineage(data: Dataset) -> None:
    parents = data.set_aside([("3", "text"), ("3", "image")]).rows([3, 0])
    made = derived_rows(
        parents,
        {"image": [b"1", b"2"]},
        ["m0", "m1"],
        "generated",
        [{"seed": 5, "parents": ["3"]}, {"seed": 6}],
    )
    assert (
        made.values("image") == [b"1", b"2"]
        and made.values("text") == [None, "x"]
        and made.values("n") == [4.0, 1.0]
    )
    assert made.ids == ("m0", "m1") and list(made.origins) == ["generated"] * 2
    assert json.loads(made.table[LINEAGE_COLUMN].to_pylist()[0]) == {"seed": 5, "parents": ["3"]}
    both = data.join(made)
    assert list(both.origins) == ["real"] * 4 + ["generated"] * 2 and both.column_names == list(
        TABLE
    )
    assert both.rows([5, 1]).table[ORIGIN_COLUMN].to_pylist() == ["generated", "real"]


@pytest.mark.parametrize("origin", ["real", "", "Generated"])
def test_a_made_row_is_never_real(data: Dataset, origin: str) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        derived_rows(data.rows([0]), {}, ["m"], origin, [{}])


STRANGE = [
    "",
    "a",
    "\u00e9\u2028\x9b\x1b",
    '"',
    "\\",
    "\ud7ff",
    "\U0001f469\u200d\U0001f52c",
    "x" * 500,
]
KINDS = {
    "texts": pa.array([None, *STRANGE] * 5),
    "numbers": pa.array([1.0, None, float("nan"), 1e300, -0.0] * 9),
    "whole": pa.array([1, None, 2**62] * 15),
    "bytes": pa.array([b"\x00\xff", None, b""] * 15),
    "lists": pa.array([["p", None], [], None] * 15),
    "files": pa.array([{"bytes": None, "path": "a"}, None, {"bytes": b"1", "path": None}] * 15),
    "dates": pa.array([86400, None, 0] * 15, pa.timestamp("s")),
}


@pytest.mark.parametrize("part", [1, 100, 2**24])
@pytest.mark.parametrize("kept", [0, 2**26])
def test_a_fingerprint_in_parts_is_that_of_the_whole(
    part: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the hash of all values in one text, as it was before, so that runs keep their
    keys."""
    monkeypatch.setattr(dataset, "PART", part)
    monkeypatch.setattr(files, "KEPT", kept)
    for names in ([*KINDS], ["texts"], []):
        table = pa.table({f"{n} \u00e9\n": KINDS[n] for n in names})
        whole = {n: [dataset._plain(v) for v in table[n].to_pylist()] for n in table.column_names}
        assert Dataset(table, Path("/d"), "x").fingerprint == files.fingerprint(whole)
    empty = pa.table({"a": pa.array([], pa.string())})
    assert Dataset(empty, Path("/d"), "x").fingerprint == files.fingerprint({"a": []})


def test_fingerprint_is_of_cells_and_not_of_the_order_of_columns(data: Dataset) -> None:
    assert (
        data.fingerprint
        == Dataset(data.table.select(list(TABLE)[::-1]), Path("/else"), "y.csv").fingerprint
    )
    assert data.with_ids().with_origin().fingerprint == data.fingerprint
    seen = {data.fingerprint, data.rows([1, 0, 2, 3]).fingerprint, data.rows([0, 1, 2]).fingerprint}
    for column, cell in {"image": "A.png", "text": "", "n": 1.5, "many": ["p"]}.items():
        for row in (0, 3):
            cells = list(TABLE[column])  # type: ignore[call-overload]
            cells[row] = cell
            seen.add(Dataset(pa.table({**TABLE, column: cells}), Path()).fingerprint)
    seen.add(
        Dataset(data.table.rename_columns(["images", "text", "n", "many"]), Path()).fingerprint
    )
    assert len(seen) == 3 + 8 + 1


def test_fingerprint_of_bytes() -> None:
    one, other = (Dataset(pa.table({"i": [b"a", c]}), Path()).fingerprint for c in (b"b", b"c"))
    assert one != other
    assert (
        np.unique([Dataset(pa.table({"i": [b"a"]}), Path()).fingerprint for _ in range(2)]).size
        == 1
    )
