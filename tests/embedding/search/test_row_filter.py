"""Filters of search. Oracles: SQLite on the same rows, rows counted by hand, and all rows, which
search must find after a hostile filter as before."""

from __future__ import annotations

import datetime
import decimal
import shlex
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Schema
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.search.index import Index, create
from gobelin.embedding.search.index_rows import rows_of

N = 40
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(k) for k in range(N)]
ROWS = pa.table(
    {
        "name": [("apple", "Ant", "it's", "50% off", None)[k % 5] for k in range(N)],
        "weight": pa.array([None if k % 7 == 0 else k * 1.5 - 9 for k in range(N)]),
        "side": pa.array([k - 20 for k in range(N)], pa.int8()),
        "fine": [None if k % 11 == 0 else k % 2 == 0 for k in range(N)],
        "day": DAYS,
        "weight (kg)": [float(k) for k in range(N)],
        "size.cm": list(range(N)),
        "tick`s": list(range(N)),
        "huge": pa.array([2**63 + k for k in range(N)], pa.uint64()),
        "short": pa.array([k / 10 for k in range(N)], pa.float32()),
        "money": pa.array([decimal.Decimal(k) / 4 for k in range(N)], pa.decimal128(12, 4)),
        "time": pa.array(
            [datetime.datetime(2020, 1, 1) + datetime.timedelta(k) for k in range(N)],
            pa.timestamp("ns"),
        ),
        "hour": [datetime.time(k % 24) for k in range(N)],
        "date": DAYS,
    }
)
QUERY = np.ones(8, np.float32) / 8**0.5


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("filters") / "index"
    vectors = np.random.default_rng(0).normal(size=(N, 1, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    ids = tuple(str(k) for k in range(N))
    shared = Shared(("image",), vectors, np.ones((N, 1), bool), ids, "space")
    schema = Schema(tuple(Column(name, "category") for name in ROWS.column_names), ())
    dataset = Dataset(ROWS, folder.parent, "rows.csv")
    create(folder, rows_of(shared, dataset, schema, ["train"] * N), "space")
    return Index(folder, "space")


@pytest.fixture(scope="module")
def sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    connection.execute("CREATE TABLE rows (id, name TEXT, weight REAL, side REAL, fine, day TEXT)")
    for k, row in enumerate(ROWS.to_pylist()):
        values = (row["name"], row["weight"], row["side"], row["fine"], row["day"].isoformat())
        connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", (k, *values))
    return connection


def found(table: Index, where: str) -> set[int]:
    return {int(hit.id) for hit in table.nearest(QUERY, N, where)}


def filters() -> st.SearchStrategy[str]:
    """Valid filters of the language, which mean the same in SQLite."""
    numbers = st.sampled_from(["0", "3", "7.5", "-2", ".5", "1e2", "(- 4)"])
    values = st.recursive(
        st.sampled_from(["weight", "side", "`weight`", "length(name)", "abs(side)"]) | numbers,
        lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        max_leaves=4,
    )
    sign = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
    texts = st.sampled_from(["'apple'", "'it''s'", "''", "name", "upper(name)", "lower('ANT')"])
    patterns = st.sampled_from(["'%'", "'A%'", "'%s'", "'_t''%'", "'%50\\%%'", "'apple'"])
    one = st.one_of(
        st.builds("{} {} {}".format, values, sign, values),
        st.builds("{} BETWEEN {} AND {}".format, values, numbers, values),
        st.builds("{} NOT IN ({}, {}, 4)".format, values, numbers, numbers),
        st.builds("name {} {}".format, sign, texts),
        st.builds("name in ({}, {})".format, texts, texts),
        st.builds("day {} '2020-01-{}'".format, sign, st.sampled_from(["01", "17", "31"])),
        st.builds("{} IS {}NULL".format, values, st.sampled_from(["", "NOT "])),
        st.sampled_from(["fine", "fine = TRUE", "fine IS NOT TRUE", "fine is false"]),
        st.builds(
            "{} {}LIKE {}".format, texts, st.sampled_from(["", "not "]), patterns.filter("\\".find)
        ),
    )
    return st.recursive(
        one,
        lambda inner: st.one_of(
            st.builds("({} AND {})".format, inner, inner),
            st.builds("{} or {}".format, inner, inner),
            st.builds("NOT ({})".format, inner),
        ),
        max_leaves=6,
    )


@given(where=filters())
@settings(max_examples=80, derandomize=True)
def test_a_filter_is_that_of_sqlite(where: str, table: Index, sqlite: sqlite3.Connection) -> None:
    wanted = {row[0] for row in sqlite.execute(f"SELECT id FROM rows WHERE {where}")}
    assert found(table, where) == wanted, where


KINDS = {
    "`weight (kg)` > 35": {36, 37, 38, 39},
    '"weight (kg)" > 35': {36, 37, 38, 39},
    "weight (kg) > 35 AND name != 'weight (kg) > 35'": {36, 37, 38},
    "NOT weight (kg) <= 35": {36, 37, 38, 39},
    "size.cm = 3": {3},
    "`size.cm` = 3 OR size_cm = 4": {3, 4},
    "`tick``s` = 5": {5},
    "huge > 9223372036854700000 AND side = 1": {21},
    "huge > -1 AND side IN (1, 2.0, 2.5)": {21, 22},
    "short = 0.7 OR short IN (.1, 99)": {1, 7},
    "money = 2.25": {9},
    "side > 99999999999999999999 OR side < -1e300": set(),
    "side * 1e308 * 1e308 > 0 AND side < 3": {21, 22},
    "9223372036854775807 + side * 1e0 > 0 AND side % 0 IS NULL AND side = 4": {24},
    "day = DATE '2020-01-03' OR date = '2020-01-05'": {2, 4},
    "time >= '2020-02-08T12:00:00' OR time = TIMESTAMP '2020-01-02 01:00:00+01:00'": {39, 1},
    "hour IS NOT NULL AND side = 5": {25},
    "(side + 20) % 20 = 1": {1, 21},
    "weight / (side + 15) > 1000": set(),  # one of the quotients is by 0
    "TRUE AND NOT FALSE AND side = - - 3": {23},
    "name = ';' OR name = '--' OR name ILIKE 'aPP%' AND side < -18": set(),
    "0003 = side": {23},
}


@pytest.mark.parametrize("where", KINDS)
def test_kinds_of_columns_and_numbers(where: str, table: Index) -> None:
    assert found(table, where) == KINDS[where] or (
        where.startswith("name") and found(table, where) == {0}
    )


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("name=apple", "name='apple'"),
        ("name = it AND side > 3", "name = 'it' AND side > 3"),
        ("side > 3 AND name != Ant", "side > 3 AND name != 'Ant'"),
        ("name IN (apple, 'Ant')", "name IN ('apple', 'Ant')"),
        ("(name = dark red apple) OR fine", "(name = 'dark red apple') OR fine"),
        ("`tick`s` > 3 AND name = Ant", ""),  # the quotes of a column go wrong first
        ("name = lower", "name = 'lower'"),
    ],
)
def test_a_text_without_quotes_is_answered_with_the_right_command(
    where: str, meant: str, table: Index
) -> None:
    with pytest.raises(GobelinError) as caught:
        table.nearest(QUERY, 3, where)
    said = str(caught.value)
    assert ("a text stands in single quotes" in said) == bool(meant)
    if meant:
        words = shlex.split(said[said.rindex("--where") : said.index("Known columns")].rstrip(". "))
        assert words[1] == meant
        assert found(table, words[1]) == found(table, meant)


HOSTILE = {
    "x/0 = 1": "no column 'x'",
    "side > CAST(name AS INT)": "CAST is no function of filters",
    "repeat(name, 9999999999) = ''": "repeat is no function",
    "array_repeat(1, 9999999999) IS NULL": "array_repeat is no function",
    "regexp_like(name, '(a*)*b')": "regexp_like is no function",
    "name ~ '(a*)*b'": "'~' can't be read",
    "name SIMILAR TO 'a'": "a condition was expected, 'name' is a text",
    "side IN (SELECT side FROM rows)": "no column 'SELECT'",
    "EXISTS (SELECT 1)": "EXISTS is no function",
    "side = ANY(1)": "ANY is no function",
    "generate_series(1, 1e12) > 0": "generate_series is no function",
    "range(1, 1000000000) IS NULL": "range is no function",
    "side + 1": "a condition was expected, 'side' is a number",
    "'a' || name = 'b'": "'|' can't be read",
    "name::int > 3": "':' can't be read",
    "U&'\\0041' = name": "'&' can't be read",
    "E'\\x41' = name": "no column 'E'",
    "x'41' = name": "no column 'x'",
    "name = 'open": "at character 8, a quote is not closed",
    "name = $1 OR ?": "'$' can't be read",
    "fine; DROP TABLE rows": "';' can't be read",
    "side > 3 -- why": "no column 'why'",
    "side /* a */ > 3": "a column, a number or a text was expected",
    "day > '2020-02-31'": "'2020-02-31' is no date",
    "day > DATE 'yesterday'": "'yesterday' is no date",
    "time > '0001-01-01'": "a year from 1678 to 2261",
    "time > '9999-12-31T23:59:59-14:00'": "is no date",
    "day > 3": "so they can't be compared",
    "hour > '12:00'": "so they can't be compared",
    "side = NULL": "Write IS NULL",
    "side IN ()": "a column, a number or a text was expected",
    "side = 'heavy'": "'side' is a number, \"'heavy'\" is a text",
    "1 < side < 3": "AND, OR or the end was expected",
    "side > 1e999": "is too large a number",
    "side > 0x1F": "'0' can't be read",
    "weight (g) > 3": "Write the column in backticks: `weight (kg)`",
    "weigth > 3": "Did you mean 'weight'?",
    'name = "apple"': "A text stands in single quotes: 'apple'",
    "gobelin_vector IS NULL": "no column 'gobelin_vector'",
    "order = 3 AND": "no column 'order'",
    "side > 3 AND": "at character 13, a column, a number or a text was expected, found the end",
    "in > 3": "a column, a number or a text was expected",
    " ": "was expected, found the end",
    "name = '\ud800'": "is not Unicode",
    "name = 'a\0b'": "holds a zero byte",
    "(" * 5_000 + "side" + ")" * 5_000 + " > 3": "is nested more than 20 deep",
    "NOT " * 5_000 + "fine": "is nested more than 20 deep",
    "- " * 5_000 + "side > 3": "is nested more than 20 deep",
    "abs(" * 5_000 + "side" + ")" * 5_000 + "> 3": "is nested more than 20 deep",
    "side" + " + side" * 5_000 + " > 3": "more than 20 sums in each other",
    "side" + " / 1" * 5_000 + " > 3": "more than 20 sums in each other",
    " OR ".join(["side = 1"] * 2_000): "has more than 1000 conditions",
    "name = '" + "a" * 60_000 + "'": "is longer than 50,000 characters",
    "name LIKE '" + "%a" * 501 + "'": "LIKE takes 1000 characters at most",
    "9" * 40_000 + "x": "can't be read",
    "side > " + "0" * 40_000 + "1 2": "AND, OR or the end was expected",
}


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_filter_is_one_line(number: int, table: Index) -> None:
    """It names the filter, and it never says that the index is damaged."""
    where, wanted = list(HOSTILE.items())[number]
    with pytest.raises(GobelinError) as caught:
        table.nearest(QUERY, 3, where)
    said = str(caught.value)
    assert said.startswith(f"--where {where[:100]!r}"[:-2]) and wanted in said
    assert "\n" not in said and len(said) < 1_000
    assert "damaged" not in said and "elete" not in said
    assert len(table.nearest(QUERY, N)) == N


def test_filters_as_large_as_they_may_be(table: Index) -> None:
    """At each limit the engine still answers."""
    many = " OR ".join(f"side = {k % 7}" for k in range(1_000))
    assert found(table, many) == set(range(20, 27))
    assert found(table, " AND ".join(["(side > 1 OR fine)"] * 450)) == found(
        table, "side > 1 OR fine"
    )
    assert found(table, f"side IN ({', '.join(map(str, range(8_000)))})") == set(range(20, 40))
    assert found(table, "(" * 20 + "side" + " + 1" * 20 + " > 38" + ")" * 20) == {39}
    assert found(table, "NOT " * 20 + "side > 17") == {38, 39}
    assert found(table, "name LIKE '" + "%a" * 500 + "'") == set()
    assert found(table, "name ILIKE '" + "_%" * 500 + "'") == set()
    assert found(table, "name ILIKE '" + "\u1e9e%_" * 300 + "'") == set()


@given(pattern=st.text("%_\\\\'a.*[(\u00df\u1e9e\n", max_size=12))
@settings(max_examples=30, derandomize=True)
def test_no_pattern_of_like_is_too_much(pattern: str, table: Index) -> None:
    quoted = pattern.replace("'", "''")
    assert found(table, f"name LIKE '{quoted}'") <= set(range(N))
    assert found(table, f"name NOT ILIKE '{quoted}'") <= set(range(N))


def test_an_engine_that_fails_does_not_condemn_the_index(
    table: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A condition that the engine can't compute, planted in the place of the written one."""
    monkeypatch.setattr(
        "gobelin.embedding.search.index.sql_of", lambda where, known: "1 / (side - side) = 1"
    )
    with pytest.raises(GobelinError) as caught:
        table.nearest(QUERY, 3, "side = 1")
    said = str(caught.value)
    assert said.startswith("--where 'side = 1': can't be computed (") and "elete" not in said


def test_a_column_with_a_backtick_is_stored_without(tmp_path: Path, table: Index) -> None:
    assert "tick_s" in table.known and "size_cm" in table.known


@pytest.mark.parametrize("name", ["tab\there", "esc\x1b[31m", "del\x7f", "bytes\udcff"])
def test_a_folder_that_the_engine_can_not_name_is_one_line(name: str, tmp_path: Path) -> None:
    """It isn't said to be damaged."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "files.json").write_text("{}")
    rows = pa.table({"gobelin_id": ["a"]})
    for work in (
        lambda: create(tmp_path / name, rows, "space"),
        lambda: Index(tmp_path / name, ""),
    ):
        with pytest.raises(GobelinError, match="Rename the folder") as caught:
            work()
        assert "amaged" not in str(caught.value)
