"""Opening windows of numbers. Oracles: planted samples in every writing, planted damages, numpy's
own files."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.budget import Reading
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.data.read import read
from gobelin.data.series.windows import open_series, series_key, series_query, series_share
from gobelin.embedding.columns.schema import Choices, infer

RNG = np.random.default_rng(0)
NAN = float("nan")


def npy(x: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, x, allow_pickle=x.dtype == object)
    return out.getvalue()


@pytest.mark.parametrize(
    "written",
    [
        [1, 2.5, None, -4],
        [1.0, 2.5, NAN, -4.0],
        "[1, 2.5, null, -4]",
        "[1.0, 2.5, None, -4.0]",
        "[1, 2.5, NaN, -4]",
        "1 2.5 nan  -4",
        "1;2.5;;-4",
        "1; 2.5; NA; -4",
        "1,2.5,,-4",
        npy(np.array([1, 2.5, NAN, -4])),
        [["1", "2.5", "", "-4"]],
        "[ 1.   2.5  nan\n -4. ]",
        "[np.float64(1.0), np.float64(2.5), None, np.float64(-4.0)]",
        "['1', '2.5', '', '-4']",
        "[[1, 2.5, null, -4]]",
    ],
)
def test_one_window_in_many_writings(written: Any) -> None:  # noqa: ANN401
    x, holes = open_series(written, Path())
    assert x.tolist() == [[1, 2.5, -0.75, -4]] and holes.tolist() == [0.25]


def test_files_of_numbers(tmp_path: Path) -> None:
    truth = RNG.normal(size=(3, 7)).round(6)
    np.save(tmp_path / "a.npy", truth)
    np.save(tmp_path / "single.npy", truth[0].astype(np.float32))
    np.save(tmp_path / "whole.npy", (truth * 100).astype(np.int16))
    lines = [" ; ".join(map(str, column)) for column in truth.T]
    (tmp_path / "b.csv").write_text("x;y;z\n" + "\n".join(lines) + "\n\n")
    (tmp_path / "c.txt").write_text("\ufeff" + "\r\n".join(" ".join(map(str, c)) for c in truth.T))
    (tmp_path / "d.tsv").write_text("\n".join("\t".join(map(str, c)) for c in truth.T))
    (tmp_path / "one.txt").write_text("1\n\n3\nnan\n5\n")
    for name in ("a.npy", "b.csv", "c.txt", "d.tsv"):
        assert np.array_equal(open_series(name, tmp_path)[0], truth), name
    assert np.allclose(open_series("single.npy", tmp_path)[0], truth[:1])
    assert np.array_equal(open_series("whole.npy", tmp_path)[0], (truth * 100).astype(np.int16))
    assert open_series("one.txt", tmp_path)[0].tolist() == [[1, 2, 3, 4, 5]]


def test_holes_lie_on_the_line_between_their_neighbours_and_ends_stay_level() -> None:
    x = RNG.normal(size=200)
    gone = RNG.random(200) < 0.3
    x[gone] = NAN
    found, holes = open_series(x.tolist(), Path())
    expected = np.interp(np.arange(200), np.flatnonzero(~gone), x[~gone])
    assert np.allclose(found[0], expected) and holes[0] == gone.mean()
    assert open_series([None, None, 3, None, 7, None], Path())[0].tolist() == [[3, 3, 3, 5, 7, 7]]
    assert open_series([1.7e308, None, -1.7e308], Path())[0].tolist() == [
        [1.7e308, 0, -1.7e308]
    ]  # their difference overflows


BAD: dict[str, tuple[Any, str]] = {
    "empty": ([], "has no samples"),
    "no channel": ([[], []], "has no samples"),
    "one sample": ([3.0], "has 1 sample; two at least"),
    "one number": ("3.0", "has 1 sample; two at least"),
    "a number": (3.0, "'3.0' is one value; a list of numbers was expected"),
    "one known": ([None, 3.0, None], "has 1 known samples; two at least"),
    "no known": ([[1, 2], [None, None]], "has 0 known samples in a channel"),
    "text": ([1, "high", 3], "holds 'high'; numbers were expected"),
    "words": ("up up down", "holds 'up'; numbers were expected"),
    "decimal commas": ("1,5;2,5;3", "holds '1,5'; numbers were expected"),
    "ragged": ([[1, 2, 3], [1, 2]], "has channels of 2 and of 3 samples"),
    "mixed": ([[1, 2], 3], "mixes numbers and lists"),
    "deep": ([[[1, 2], [3, 4]]], "holds '\\[1, 2\\]'; numbers were expected"),
    "infinite": ([1, float("inf"), 2], "not finite"),
    "spelled infinite": ("[1, Infinity, 2]", "not finite"),
    "too large": ("[1, 1e999, 2]", "not finite"),
    "a very long integer": ([1, 10**400, 2], "not finite"),
    "cut short": ("[1, 2.5, 3", "is it cut short"),
    "cut channels": ("[[1, 2], [3, 4", "is it cut short"),
    "shortened": ("[1. 2. 3. ... 7. 8. 9.]", "it was shortened when it was written"),
    "deep text": ("[[[1, 2], [3, 4]]]", "mixes numbers and lists"),
    "transposed": (
        [[k] * 3 for k in range(40)],
        "has 40 channels of 3 samples each; channels x time was expected",
    ),
    "too many channels": ([[0, 1] * Reading().channels] * (Reading().channels + 1), "257 channels"),
    "lost": ("no.npy", "no such file"),
    "outside": ("../x.csv", "leaves the data folder"),
    "address": ("http://x/y.npy", "is a URL"),
    "cut file": (npy(np.arange(100.0))[:300], "cut short"),
    "cut header": (npy(np.arange(100.0))[:20], "cut short"),
    "bytes": (b"\x89PNG", "is no .npy file"),
    "complex": (npy(np.arange(4) * 1j), "holds complex128; numbers were expected"),
    "strings": (npy(np.array(["a", "b"])), "holds <U1; numbers were expected"),
    "pickle": (npy(np.array([1, {"a": 2}], object)), "is no .npy file"),
    "plain pickle": (pickle.dumps([1.0, 2.0, 3.0]), "is no .npy file"),
    "one axis too many": (npy(np.zeros((2, 2, 9))), "has 3 axes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_opened_says_why_in_one_line(name: str, tmp_path: Path) -> None:
    value, reason = BAD[name]
    with pytest.raises(BadCell, match=reason) as caught:
        open_series(value, tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_tables(tmp_path: Path) -> None:
    for name, text, reason in (
        ("cut.csv", "1,2\n3,4\n5", "1 numbers in one line and 2 in others; is it cut short"),
        ("words.txt", "once upon\na time", "holds 'a'; numbers were expected"),
        ("head.csv", "price\n", "has no samples"),
        ("void.txt", "", "is an empty file"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadCell, match=reason):
            open_series(name, tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"\xe9\n1\n2")
    with pytest.raises(BadCell, match="is not UTF-8"):
        open_series("latin.txt", tmp_path)


@pytest.mark.parametrize("mark", [";", ",", "\t", "1 "])
@pytest.mark.parametrize("above", ["", "1;2\n", "a b\n"])
def test_a_wide_line_is_refused_before_it_is_cut_apart(
    mark: str, above: str, tmp_path: Path
) -> None:
    """Each part becomes objects of a hundred bytes: 2 MB took 790 MB."""
    (tmp_path / "wide.csv").write_text(above + mark * 500_000 + "1\n")
    tracemalloc.start()
    with pytest.raises(BadCell, match="has 500001 channels; reading.channels allows"):
        open_series("wide.csv", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_hole_in_a_window_stays_a_hole_in_every_reader(tmp_path: Path) -> None:
    """Items of a list of texts or images that are empty are none; of numbers each has its place."""
    windows = [[1.0, None, 3.0], [None, 2.0, 4.0], [None, None], [], None]
    nested = [[[1, None], [3, 4]], [[None, None], [5, 6]], [[None], [None]], [], None]
    wanted = {"x": [*windows[:2], None, None, None], "y": [*nested[:2], None, None, None]}
    table = pa.table({"x": windows, "y": nested, "t": [["a", None, ""], ["b"], None, [], None]})
    pq.write_table(table, tmp_path / "a.parquet")
    with (tmp_path / "a.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
    large = table.set_column(0, "x", table["x"].cast(pa.large_list(pa.float32())))
    for data in (
        Dataset(table, Path()),
        Dataset(large, Path()),
        read(tmp_path / "a.parquet"),
        read(tmp_path / "a.jsonl"),
    ):
        assert {c: data.values(c) for c in wanted} == wanted
        assert data.values("t") == [["a"], ["b"], None, None, None]
    fixed = pa.table({"x": pa.array([[1.0, NAN], [NAN, NAN]], pa.list_(pa.float64(), 2))})
    first, second = Dataset(fixed, Path()).values("x")
    assert first[0] == 1 and np.isnan(first[1]) and second is None


WINDOWS = RNG.normal(size=(60, 8)).round(3)
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "lists": ("series", WINDOWS.tolist()),
    "channels": ("series", WINDOWS.reshape(60, 2, 4).repeat(2, axis=2).tolist()),
    "with_holes": ("series", [[*w[:3], None, *w[4:]] for w in WINDOWS.tolist()]),
    "spelled": ("series", [json.dumps(w) for w in WINDOWS.tolist()]),
    "from_numpy": ("series", [str(w) for w in WINDOWS]),
    "from_pandas": ("series", [str(list(w)) for w in WINDOWS]),
    "spaced": ("series", [" ".join(map(str, w)) for w in WINDOWS.tolist()]),
    "semicolons": ("series", ["; ".join(map(str, w)) for w in WINDOWS.tolist()]),
    "files": ("series", [f"{k}.npy" for k in range(60)]),
    "single": ("number", [str(w[0]) for w in WINDOWS]),
    "places": ("unknown", WINDOWS[:, :2].tolist()),
    "boxes": ("unknown", [" ".join(map(str, w[:4])) for w in WINDOWS.tolist()]),
    "thousands": ("number", [f"{k + 1} 000 000" for k in range(60)]),
    "dates": ("date", [f"2020-01-{k % 28 + 1:02d}" for k in range(60)]),
    "pictures": (
        "image",
        [[f"{k}a.png", f"{k}b.png", "c.png", "d.png", "e.png", "f.png"] for k in range(60)],
    ),
    "texts": ("text", [[f"red house {k}", "old tree", "a", "b", "c", "d"] for k in range(60)]),
    "clips": ("audio", [[f"{k}.ogg"] * 6 for k in range(60)]),
    "sentence": (
        "text",
        [f"in {k} years, {k + 1} houses and trees stood there" for k in range(60)],
    ),
    "lost_tables": ("unknown", [f"{k}.txt" for k in range(60)]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_taken_for_what_they_are(name: str) -> None:
    data = Dataset(pa.table({name: COLUMNS[name][1], "anchor": list(range(60))}), Path(), "x.csv")
    assert infer(data, None, Choices()).kind(name) == COLUMNS[name][0]


def test_tables_are_series_when_most_of_them_open(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\n2\n3\n")
    (tmp_path / "b.txt").write_text("Dear all,\n")
    for place in range(5):
        files = ["a.txt"] * 5
        files[place] = "b.txt"  # wherever the damaged one stands
        assert series_share(files, tmp_path) == 1
        assert series_share(["b.txt" if f == "a.txt" else "a.txt" for f in files], tmp_path) == 0
    assert series_share(["a.txt", "b.txt"], tmp_path) == 0
    assert series_share(["b.txt"], tmp_path) == 0
    assert series_share([], tmp_path) == 0


def test_keys_name_contents(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(9.0))
    np.save(tmp_path / "b.npy", np.arange(9.0))
    np.save(tmp_path / "c.npy", np.arange(8.0))
    values = ["a.npy", "c.npy", [1.0, 2.0], [1.0, None], [[1.0, 2.0]], "1 2", npy(np.arange(3))]
    keys = [series_key(v, tmp_path) for v in values]
    assert len(set(keys)) == len(keys) and {len(k) for k in keys} == {16}
    assert (
        series_key("b.npy", tmp_path)
        == series_key((tmp_path / "a.npy").read_bytes(), tmp_path)
        == keys[0]
    )


def test_queries_are_numbers_or_files(tmp_path: Path) -> None:
    field = Field("f", "series", ("price", "volume"), "series")
    np.save(tmp_path / "a.npy", np.arange(8.0).reshape(2, 4))
    (tmp_path / "b.csv").write_text("1\n2\n3\n")
    assert open_series(series_query("1,2,,4", field)["price"], Path())[0].tolist() == [[1, 2, 3, 4]]
    assert series_query(str(tmp_path / "a.npy"), field) == {"price": [[0, 1, 2, 3], [4, 5, 6, 7]]}
    assert series_query(str(tmp_path / "b.csv"), field) == {"price": [1, 2, 3]}
    for text, reason in (
        ("", "1 sample"),
        ("1,x,3", "holds 'x'"),
        ("no.npy", "no such file"),
        ("7", "1 sample"),
    ):
        with pytest.raises(
            GobelinError, match=f"--series .*{reason}.*Give numbers like 1,2,3"
        ) as caught:
            series_query(text, field)
        assert "\n" not in str(caught.value)
