"""What reading takes of the machine: peaks of memory against the budget, in processes of their
own; counts of operations against those for half the data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import hungry
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peaks import peaks

from gobelin.core.errors import GobelinError, repeated
from gobelin.core.workers import in_order
from gobelin.data.budget import Reading, decoding
from gobelin.data.dataset import Dataset, derived_rows
from gobelin.data.fields import Column, Schema
from gobelin.data.files import BadCell
from gobelin.data.read import read
from gobelin.data.tables import lines
from gobelin.data.texts import text_bid, text_values
from gobelin.embedding.columns import schema
from gobelin.embedding.columns.schema import Choices
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.text_components import components_of

BESIDE = 60  # megabytes of strips, of libraries that are loaded late, and of making the file
TraceFunction = Callable[[FrameType, str, Any], Any]
BATCHES = 4 * hungry.SMALL.table_mb  # a text that is repeated: two batches, read and decoded


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, str]]:
    return peaks("hungry", list(hungry.CASES), tmp_path_factory.mktemp("hungry"))


@pytest.mark.parametrize("name", hungry.IMAGES)
def test_an_image_takes_what_was_reserved(name: str, taken: dict[str, tuple[float, str]]) -> None:
    peak, said = taken[f"image {name}"]
    assert peak < float(said.split()[0]) + BESIDE


@pytest.mark.parametrize("name", hungry.REFUSED)
def test_what_is_over_the_budget_is_refused_before_it_is_decoded(
    name: str, taken: dict[str, tuple[float, str]]
) -> None:
    peak, said = taken[name]
    assert hungry.REFUSED[name][1] in said and "\n" not in said
    assert peak < BESIDE + BATCHES * ("repeated" in name)


@pytest.mark.parametrize("name", hungry.OPENED)
def test_what_is_small_takes_little(name: str, taken: dict[str, tuple[float, str]]) -> None:
    peak, said = taken[name]
    assert said.startswith(hungry.OPENED[name][1])
    assert peak < 100


def operations(work: Callable[[], object]) -> int:
    """Steps of Python that `work` takes; a search through a list counts as often as the list is
    long.
    """
    count = 0

    def stepped(frame: FrameType, event: str, _: object) -> TraceFunction:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return stepped

    def searched(frame: FrameType, event: str, called: object) -> None:
        nonlocal count
        owner = getattr(called, "__self__", None) if event == "c_call" else None
        if isinstance(owner, list) and called.__name__ in ("count", "index", "remove"):
            count += len(owner)

    sys.setprofile(searched)
    sys.settrace(stepped)
    try:
        work()
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return count


def read_twice_named(folder: Path, n: int) -> Callable[[], object]:
    """Rows of which the last two have one id."""
    ids = [*map(str, range(n - 1)), str(n - 2)]
    (folder / f"{n}.csv").write_text("id,x\n" + "".join(f"{i},1\n" for i in ids))

    def work() -> None:
        with pytest.raises(GobelinError, match=f"the id '{n - 2}' appears twice"):
            read(folder / f"{n}.csv").with_ids("id")

    return work


def read_keys(folder: Path, n: int) -> Callable[[], object]:
    """Rows with a key of their own."""
    path = folder / f"{n}.jsonl"
    path.write_text("".join(json.dumps({f"k{k}": k}) + "\n" for k in range(n)))
    return lambda: read(path)


def read_inner_keys(folder: Path, n: int) -> Callable[[], object]:
    """Rows with an object that has a key of its own; every third in a list, every third deeper."""
    path = folder / f"inner{n}.jsonl"
    cells = [{f"k{k}": k} if k % 3 else [{"x": {f"k{k}": k}}, 1][:1] for k in range(100 * n)]
    path.write_text(
        "".join(json.dumps({"a": 1, f"c{k % 3}": c}) + "\n" for k, c in enumerate(cells))
    )

    def work() -> None:
        with pytest.raises(GobelinError, match="different keys in its objects; reading.keys"):
            read(path)

    return work


def infer_columns(folder: Path, n: int) -> Callable[[], object]:
    table = pa.table({f"c{k}": [str(k + j) for j in range(3)] for k in range(n // 10)})
    return lambda: schema.infer(Dataset(table, folder), None, Choices())


def kinds_of_columns(folder: Path, n: int) -> Callable[[], object]:
    known = Schema(tuple(Column(f"c{k}", "number") for k in range(n)), ())
    return lambda: [known.kind(c.name) for c in known.columns]


def derive_rows(folder: Path, n: int) -> Callable[[], object]:
    """Rows made from rows with a cell that was set aside, each."""
    rows = Dataset(pa.table({"a": ["x"] * n, "b": ["y"] * n}), folder).with_ids()
    rows = rows.set_aside([(i, "a") for i in rows.ids])
    ids = [f"new {i}" for i in rows.ids]
    return lambda: derived_rows(rows, {"b": ["z"] * n}, ids, "view", [{}] * n)


def bad_columns(folder: Path, n: int) -> Callable[[], object]:
    """Columns that each have a cell that was set aside."""
    rows = Dataset(pa.table({f"c{k}": ["x", "y"] for k in range(n)}), folder).with_ids()
    rows = rows.set_aside([("0", f"c{k}") for k in range(n)])
    return lambda: [rows.values(f"c{k}") for k in range(n)]


def read_folder(folder: Path, n: int) -> Callable[[], object]:
    place = folder / f"images{n}" / "a"
    place.mkdir(parents=True)
    for k in range(n):
        (place / f"{k}.png").touch()
    return lambda: read(place.parent)


READINGS = [
    read_twice_named,
    read_keys,
    read_inner_keys,
    infer_columns,
    kinds_of_columns,
    derive_rows,
    bad_columns,
    read_folder,
]


@pytest.mark.parametrize("reading", READINGS)
def test_twice_the_data_takes_twice_the_operations(
    reading: Callable[[Path, int], Callable[[], object]], tmp_path: Path
) -> None:
    reading(tmp_path, 10)()  # what is loaded once
    once, twice = (operations(reading(tmp_path, n)) for n in (120, 240))
    assert once > 100 and twice < 2.2 * once


def test_no_two_ids_are_compared_twice() -> None:
    compared = 0

    class Name(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Name(k) for k in range(2000)]
    assert repeated(names) is None and compared < 2000
    assert repeated([*names, Name(1999)]) == "1999" and repeated([]) is None


def test_the_budget_holds_for_all_cells_together() -> None:
    """Threads that decode wait for each other; a cell alone is decoded whatever it takes."""
    inside, most = [0], [0]

    def work(size: int) -> None:
        with decoding(size):
            inside[0] += size
            most[0] = max(most[0], inside[0])
            Event().wait(0.001)
            inside[0] -= size

    Reading(block_mb=10).use()
    try:
        list(in_order(work, [4_000_000] * 40, workers=8))
        assert most[0] == 8_000_000
        work(30_000_000)
        assert most[0] == 30_000_000 and inside == [0]
    finally:
        Reading().use()


def test_few_large_results_wait() -> None:
    started: list[int] = []

    def work(k: int) -> bytes:
        started.append(k)
        return bytes(1000)

    results = in_order(work, range(200), workers=2, ahead=64, size=len, most=5000)
    waiting = []
    for done, _ in enumerate(results, 1):
        waiting.append(max(started) + 1 - done)
    assert done == 200 and max(waiting) <= 6
    assert [len(r) for r in in_order(bytes, range(50), 3, 64, len, 10**9)] == list(range(50))


def test_every_limit_is_named_where_it_is_exceeded(tmp_path: Path) -> None:
    """A setting a line; one more than the limit is refused, the limit itself is read."""
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n')
    pq.write_table(pa.table({"a": [1, 3], "b": [2, 4]}), tmp_path / "a.parquet")
    try:
        for name in ("a.csv", "a.jsonl", "a.parquet"):
            for limit, exact in {"rows": 2, "columns": 2, "cells": 4}.items():
                Reading(**{limit: exact}).use()
                assert len(read(tmp_path / name)) == 2
                Reading(**{limit: exact - 1}).use()
                with pytest.raises(GobelinError) as caught:
                    read(tmp_path / name)
                line = str(caught.value)
                assert f"has {exact} {limit}; reading.{limit} allows {exact - 1}." in line
                assert line.endswith(f"--set reading.{limit}=N.")
    finally:
        Reading().use()


def test_deep_json_is_a_mistake_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(GobelinError, match="line 2: is not JSON .it is nested more than 100 level"):
        read(tmp_path / "a.jsonl")


def test_an_odd_byte_is_found_wherever_pieces_of_the_file_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PIECE", 16)
    for place in range(60, 80):
        data = b"a,b\n" + ("ä€,1\n" * 40).encode()[:place] + b"\xe4,1\n"
        with pytest.raises(UnicodeDecodeError) as expected:
            data.decode()
        (tmp_path / "a.csv").write_bytes(data)
        with pytest.raises(GobelinError, match=f"byte {expected.value.start}: is not UTF-8"):
            read(tmp_path / "a.csv")


def test_long_texts_are_set_aside_and_short_words_decide_the_kind(tmp_path: Path) -> None:
    """A text over the limit counts as missing, with the reason; encoders are fitted without it."""
    long, short = {"t": "word " * 3_000_000}, {"t": "some short words"}
    found = components_of(TrainingCells([short, None, long], least_groups=1), 64, 4)
    assert np.array_equal(found[0], components_of(TrainingCells([short], least_groups=1), 64, 4)[0])
    with pytest.raises(BadCell, match="has 14999999 letters; reading.letters allows 10000000"):
        text_values(long)
    values = ["a few words " * 10**4] * 2
    assert operations(lambda: text_bid(values)) < 2 * operations(
        lambda: text_bid([v[:10_000] for v in values])
    )
