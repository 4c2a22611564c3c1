"""Dates and times that Python can't hold, in Parquet. Oracle: what was written, and a line in the
place of a traceback."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.read import read
from gobelin.data.tables.frames import from_frame

US = pa.timestamp("us")
STRANGE = {
    "date32": ([2**31 - 1, 0], pa.date32(), "1970-01-01"),
    "date64": ([2**60, 0], pa.date64(), "1970-01-01"),
    "seconds": ([2**50, 0], pa.timestamp("s"), "1970-01-01 00:00:00.000"),
    "before": ([-(2**60), 0], pa.timestamp("ms"), "1970-01-01 00:00:00.000"),
    "micro": ([2**60, 0], US, "1970-01-01 00:00:00.000000"),
    "zone": ([2**60, 0], pa.timestamp("us", tz="UTC"), "1970-01-01 00:00:00.000000"),
    "time": ([2**60, 0], pa.time64("us"), "00:00:00.000000"),
    "list": ([[2**31 - 1], [0]], pa.list_(pa.date32()), ["1970-01-01"]),
    "fixed": ([[2**31 - 1], [0]], pa.list_(pa.date32(), 1), ["1970-01-01"]),
    "large": ([[2**60], [0]], pa.large_list(US), ["1970-01-01 00:00:00.000000"]),
    "object": ([{"a": 2**31 - 1}, {"a": 0}], pa.struct([("a", pa.date32())]), {"a": "1970-01-01"}),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_date_out_of_reach_is_a_text_and_the_others_stay(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values, kind, wanted = STRANGE[name]
    pq.write_table(pa.table({"d": pa.array(values, kind), "x": [1, 2]}), tmp_path / "a.parquet")
    with caplog.at_level(logging.WARNING):
        rows = read(tmp_path / "a.parquet")
    assert rows.values("d")[1] == wanted and rows.values("d")[0] is not None
    assert "outside of the years 1 to 9999" in caplog.text and rows.fingerprint


@pytest.mark.parametrize("zone", ["Mars/Phobos", "+99:99"])
@pytest.mark.parametrize("listed", [False, True])
def test_times_of_an_unknown_zone_are_those_of_utc(
    zone: str, listed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import datetime

    kind: Any = pa.timestamp("us", tz=zone)
    values: list[Any] = [[2**50]] if listed else [2**50]
    array = pa.array(values, pa.list_(kind) if listed else kind)
    pq.write_table(pa.table({"d": array}), tmp_path / "a.parquet")
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path / "a.parquet").values("d")[0]
    when = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=2**50)
    assert (found[0] if listed else found) == when
    assert f"the time zone '{zone}' is not known" in caplog.text


def test_usual_times_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = pa.table({"d": pa.array([0, None], US), "n": pa.array([None, None], pa.date32())})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert rows.table["d"].type == US and rows.values("n") == [None, None] and not caplog.text


def test_a_frame_of_arrow_is_read_alike() -> None:
    table = pa.table({"d": pa.array([2**31 - 1, 0], pa.date32())})
    assert from_frame(table).values("d")[1] == "1970-01-01"


def test_one_name_twice_is_one_line(tmp_path: Path) -> None:
    array = pa.array([1, 2])
    pq.write_table(pa.table([array, array], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(GobelinError, match="column 'a' appears twice"):
        read(tmp_path / "a.parquet")
    twice = pa.StructArray.from_arrays([array, array], names=["k", "k"])
    pq.write_table(pa.table({"s": twice}), tmp_path / "b.parquet")
    with pytest.raises(GobelinError, match="column 's': its objects have 'k' twice"):
        read(tmp_path / "b.parquet")
