"""Any table in any format. Oracles: the values that were written, pandas, and the file system.

Every table that is read also goes through what a run asks of it first: ids, origins, values, hash
and schema.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import REFUSED, damaged, outcome, tries
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gobelin.data.dataset import Dataset
from gobelin.data.read import read
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters=",;|\t\"'"),
    min_size=1,
    max_size=8,
).map(str.strip)
NAME_LISTS = st.lists(NAMES.filter(bool), min_size=1, max_size=5, unique=True)
CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12),
    st.sampled_from(
        ["", "nan", "1e400", "-5", "2024-02-30", "a.png", "[1,2,3,4,5]", "=1+1", "a|b"]
    ),
    st.floats().map(str),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def opened(path: Path) -> Dataset | Any:
    """The data set in a file, or REFUSED. What a run asks of it first may refuse it too."""

    def ask() -> Dataset:
        dataset = read(path)
        assert len(dataset.ids) == len(dataset.origins) == len(dataset)
        assert dataset.fingerprint
        for name in dataset.column_names:
            assert len(dataset.values(name)) == len(dataset)
        return dataset

    dataset = outcome(ask)
    if dataset is not REFUSED:
        outcome(lambda: schema.infer(dataset, dataset.column_names[0], Choices()))
    return dataset


def opened_bytes(folder: Path, ending: str, data: bytes) -> Dataset | Any:
    path = folder / f"x.{ending}"
    path.write_bytes(data)
    return opened(path)


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    names = draw(NAME_LISTS)
    rows = draw(st.lists(st.tuples(*[CELLS] * len(names)), min_size=1, max_size=8))
    text = io.StringIO(newline="")
    # a single empty cell needs its quotes: an empty line is no row
    csv.writer(
        text,
        delimiter=draw(st.sampled_from(",;\t")) if len(names) > 1 else ",",
        quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    ).writerows([names, *rows])
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.getvalue().encode()


NUMBER = re.compile(r"-?\d+(\.\d+)?([Ee]\d)?")


def starts_with_a_word(column: pandas.Series[str]) -> bool:
    """Whether a column has a word in its first row, and three numbers or more and nothing else
    below it."""
    first, *others = (value.strip() for value in column)
    below = [value for value in others if value]
    numbers = len(below) > 2 and all(map(NUMBER.fullmatch, below))
    return numbers and any(letter.isalpha() for letter in first) and first != "nan"


@tries(60)
@given(data=csv_files())
@example(data=b"0,00\n',\n")
@example(data=b"a;b\n';2\n'n;3\n")
@example(data=b'"0","1"\n"","--"\n')
@example(data=b"a,b\n1,'\n")
@example(data=b'"0","1"\n"","""\\"\n')
@example(data=b'"0","1"\n"","\\"\n')
@example(data=b'a,b,c\nx,"y""z",s\'\n\',"2",3\n')
@example(data=b'a,b\ns\',"x""y"\n')
@example(data=b'"path","n"\n"C:\\","1"\n"D:\\","2"\n')
@example(data=b"a,b,c\n:,:,x\n0,0,y\n0,0,y\n0,0,y\n")
@example(data=b"a,b,c\nA,A,x\n0,0,y\n0,0,y\n0E0,0E0,y\n")
@example(data=b"a,b,c\nkg,cm,x\n0,0,y\n0,0,y\n0,0,y\n")
@example(data=b'#\t0\n\t"\t"\n')
@example(data=b'#,name\n1,"Smith, J"\n')
@example(data=b'"0","1","2"\n"A","","A"\n"0","","0"\n"0","","0"\n"0e0","","0"\n')
def test_csv_is_read_as_pandas_reads_it(data: bytes, folder: Path) -> None:
    # alone in the last line it is the end of a file of DOS
    assume(data.rstrip(b"\r\n").split(b"\n")[-1].strip(b'"') != b"\x1a")
    header = next(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    delimiter = next((d for d in ";\t" if d in header[0]), ",")
    _, below, *_ = csv.reader(io.StringIO(data.decode("utf-8-sig")), delimiter=delimiter)
    assume(any(len(cell) < 2 or cell.strip(":-") for cell in below))  # no dashes below each name
    dataset = opened_bytes(folder, "csv", data)
    assert dataset is not REFUSED
    found = pandas.read_csv(
        io.BytesIO(data), sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    assert dataset.column_names == list(found.columns)
    words = sum(map(starts_with_a_word, (found[name] for name in found)))
    found = found[1:] if words > 1 else found  # a second row of headings is left out, with a line
    for name in dataset.column_names:
        expected = [value.replace("\r\n", "\n").strip() or None for value in found[name]]
        assert dataset.table[name].to_pylist() == expected


@tries(60)
@given(data=st.one_of(damaged(csv_files()), st.binary(max_size=200)))
@example(data=b'a,b\n"x,1\n')
@example(data=b"a,a\n1,2\n")
@example(data=b"\xff\xfea\0,\0b\0")
@example(data=b'""\n""\n')  # no column is left
@example(data=b"a\n0E400\n0.0E400\n1.5e+999 %\n0.\n")  # powers beyond a float
def test_any_bytes_as_csv(data: bytes, folder: Path) -> None:
    opened_bytes(folder, "csv", data)


SCALARS: list[st.SearchStrategy[Any]] = [
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=8),
]
COLUMNS = st.sampled_from([*SCALARS, *[st.lists(s, max_size=4) for s in SCALARS]])
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def typed_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of one to four columns, each of one type; a cell may be missing."""
    names = draw(st.lists(KEYS, min_size=1, max_size=4, unique=True))
    kinds = {name: st.none() | draw(COLUMNS) for name in names}
    return draw(st.lists(st.fixed_dictionaries({}, optional=kinds), min_size=1, max_size=8))


def lines(rows: list[Any]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


@tries(60)
@given(rows=typed_rows())
@example(rows=[{"0": None, "1": 2.0}, *({"1": v} for v in (0.0, 1.0, 2.0**54 - 16, 2.0**54))])
@example(rows=[{"0": None, "1": 2.0}, *({"1": v} for v in (0.0, 1.0, 4.0, 7.0))])
def test_json_lines_keep_every_value(rows: list[dict[str, Any]], folder: Path) -> None:
    assume(any(rows))
    dataset = opened_bytes(folder, "jsonl", lines(rows))
    assert dataset is not REFUSED
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert dataset.table.column_names == names
    kept = rows[: dataset.table.num_rows]
    for total in rows[len(kept) :]:  # a row of sums is told and left out
        for name, number in total.items():
            above = [row.get(name) or 0.0 for row in kept]
            assert number is None or number == pytest.approx(sum(above), rel=1e-3)
    for name in names:
        assert dataset.table[name].to_pylist() == [row.get(name) for row in kept]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@tries(60)
@given(
    data=st.one_of(
        st.lists(ANY_JSON, max_size=6).map(lines),
        st.lists(st.dictionaries(st.text(max_size=4), ANY_JSON, max_size=4), max_size=6).map(lines),
        damaged(typed_rows().map(lines)),
    )
)
@example(data=b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}")
@example(data=b'{"a": ' + b'{"a":' * 2_000 + b"1" + b"}" * 2_001)
@example(data=b'{"a": ' + b"9" * 5_000 + b"}")
@example(data=b'{"a": 1e999, "b": NaN}\n{"a": [1e999], "b": -Infinity}')
@example(data=rb'{"a": "\ud800"}')
@example(data=rb'{"\ud800": 1}')
@example(data=b"{}\n{}")
@example(data=b'{"": 1, "a": 2, "a": 3}')
@example(data=b'{"a": 18446744073709551616}\n{"a": "x"}')
@example(data=b'{"a": {"b": 1}}\n{"a": [1, "x", {"c": []}]}')
def test_any_json_lines(data: bytes, folder: Path) -> None:
    opened_bytes(folder, "jsonl", data)


ARROW: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(st.characters(codec="utf-8"), max_size=8),
    pa.large_string(): st.text(st.characters(codec="utf-8"), max_size=8),
    pa.binary(): st.binary(max_size=8),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.integers(0, 2**40),
    pa.duration("s"): st.integers(0, 2**30),
    pa.decimal128(12, 3): st.decimals(-(10**8), 10**8, places=3),
    pa.null(): st.none(),
    pa.list_(pa.float64()): st.lists(st.floats(allow_nan=False), max_size=6),
    pa.list_(pa.list_(pa.int32())): st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3),
    pa.struct([("x", pa.int32()), ("y", pa.string())]): st.fixed_dictionaries(
        {"x": st.integers(0, 9), "y": st.text(st.characters(codec="utf-8"), max_size=3)}
    ),
    pa.map_(pa.string(), pa.int32()): st.just([("a", 1)]),
}


@st.composite
def arrow_tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 6))
    names = draw(st.lists(KEYS, min_size=1, max_size=5, unique=True))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(list(ARROW)))
        cells = st.lists(st.none() | ARROW[kind], min_size=rows, max_size=rows)
        columns[name] = pa.array(draw(cells), kind)
        if kind == pa.string() and draw(st.booleans()):
            columns[name] = columns[name].dictionary_encode()
    return pa.table(columns)


def parquet(table: pa.Table, compression: str = "snappy") -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression=compression)
    return out.getvalue()


@tries(40)
@given(table=arrow_tables(), compression=st.sampled_from(["snappy", "zstd", "none"]))
def test_parquet_is_read_as_pandas_reads_it(
    table: pa.Table, compression: str, folder: Path
) -> None:
    data = parquet(table, compression)
    dataset = opened_bytes(folder, "parquet", data)
    assert dataset is not REFUSED
    found = pandas.read_parquet(io.BytesIO(data), dtype_backend="pyarrow")
    for name in table.column_names:
        # of a dictionary its values, as in pandas
        expected = pa.array(found[name].array, from_pandas=False).cast(table[name].type)
        values = expected.to_pylist()
        if pa.types.is_duration(expected.type):  # read as seconds
            values = [None if v is None else v / datetime.timedelta(seconds=1) for v in values]
            values = pytest.approx(values)
        found_here = dataset.table[name].to_pylist()
        if pa.types.is_binary(expected.type):  # bytes that are plain texts are read as texts
            found_here = [v.encode() if isinstance(v, str) else v for v in found_here]
        assert found_here == values


@tries(40)
@given(data=st.one_of(damaged(arrow_tables().map(parquet)), st.binary(max_size=100)))
@example(data=parquet(pa.table({"a": ["abcdef"]}), "none").replace(b"abcdef", b"abc\x80ef"))
@example(data=parquet(pa.table({"a": ["x", "abcdef"] * 9}), "none").replace(b"cdef", b"cd\xc2f"))
@example(data=parquet(pa.table({"a": [["abcdef"]]}), "none").replace(b"abcdef", b"\xff\xfedef"))
@example(data=parquet(pa.table({"abcdef": ["x"]}), "none").replace(b"abcdef", b"\xc2bcdef"))
def test_any_bytes_as_parquet(data: bytes, folder: Path) -> None:
    opened_bytes(folder, "parquet", data)


PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=6
).filter(lambda part: part not in (".", ".."))
ENDINGS = st.sampled_from([".png", ".JPG", ".webp", ".txt", "", ".png.bak"])


@tries(30)
@given(
    places=st.lists(st.tuples(st.lists(PARTS, max_size=3), PARTS, ENDINGS), min_size=1, max_size=8)
)
def test_a_folder_is_read_as_a_walk_finds_it(
    places: list[tuple[list[str], str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, images = tmp_path_factory.mktemp("folder"), (".png", ".jpg", ".webp")
    for folders, name, ending in places:
        try:
            root.joinpath(*folders).mkdir(parents=True, exist_ok=True)
            root.joinpath(*folders, name + ending).touch()
        except OSError:  # a file and a folder of one name
            continue
    expected = sorted(
        Path(place, name).relative_to(root).as_posix()
        for place, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in images and Path(place) != root
        # hidden files and folders are left out, with a line that says so
        if not any(p.startswith(".") for p in Path(place, name).relative_to(root).parts)
    )
    dataset, places_of = opened(root), [value.split("/")[:-1] for value in expected]
    nested = len({tuple(p[1:2]) for p in places_of if len(p) > 1}) > 1
    direct = sorted(
        p.name
        for p in root.iterdir()
        if p.is_file() and p.suffix.lower() in images and not p.name.startswith(".")
    )
    if not expected and direct:  # no class folders: rows without a class
        assert dataset.table.to_pydict() == {"image": direct}
        return
    if not expected or (len({p[0] for p in places_of}) == 1 and nested):
        assert dataset is REFUSED  # no image, or the classes lie one folder further down
        return
    assert sorted(dataset.values("image")) == expected
    assert dataset.table["class"].to_pylist() == [
        value.split("/")[0] for value in dataset.table["image"].to_pylist()
    ]


def test_floats_of_a_table_are_the_same_bits(folder: Path) -> None:
    """The smallest, the largest, and what lies beside 1: JSON and Parquet keep every bit."""
    values = [5e-324, 1.7976931348623157e308, math.nextafter(1, 2), -0.0]
    for ending, data in (
        ("jsonl", lines([{"x": v} for v in values])),
        ("parquet", parquet(pa.table({"x": values}))),
    ):
        found = opened_bytes(folder, ending, data).table["x"].to_pylist()
        assert [v.hex() for v in found] == [v.hex() for v in values]
