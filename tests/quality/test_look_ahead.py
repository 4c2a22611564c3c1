"""The look-ahead guard against planted faults: every cell and window that reaches past its date is
found, and no other."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Column, Field, Schema
from gobelin.data.series.moments import moments
from gobelin.data.series.stamped import cut, stamped_series
from gobelin.data.series.windows import open_series
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.series import Series
from gobelin.quality.look_ahead import LookAhead, look_ahead
from gobelin.quality.series_faults import series_faults
from gobelin.quality.window_source import source_of

DAYS = [str(d) for d in np.busday_offset("2015-01-01", np.arange(400), roll="forward")]
PRICES = 100 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.012, 400)))
WINDOW = 24
ROWS = 40
SHIFTS = {k: 1 + k % 7 for k in range(3, ROWS, 4)}  # {row: days into the future}
SCHEMA = Schema(
    (Column("day", "date", "time"), Column("prices", "series")),
    (Field("prices", "series", ("prices",), "series"),),
)


def guard(cells: list[Any], times: list[Any], source: Dataset | None = None) -> LookAhead:
    table = pa.table({"day": pa.array(times), "prices": pa.array(cells)})
    dataset = Dataset(table, Path())
    training = TrainingCells([{"prices": v} for v in dataset.values("prices") if v is not None])
    encoder = Series().fit(training, SCHEMA.fields[0], {"prices": "series"}, Runtime())
    found = None if source is None else source_of(source)
    return look_ahead(dataset, SCHEMA, {"prices": encoder}, found)


def planted(cell: Callable[[slice], Any], time: Callable[[str], Any] = str) -> LookAhead:
    """Rows whose window ends at their day, and some whose window is shifted into the future."""
    ends = [60 + 5 * k for k in range(ROWS)]
    spans = [slice(e - WINDOW + SHIFTS.get(k, 0), e + SHIFTS.get(k, 0)) for k, e in enumerate(ends)]
    return guard([cell(span) for span in spans], [time(DAYS[e - 1]) for e in ends])


def rows_of(found: LookAhead) -> set[int]:
    return {int(p.row) for p in found.past}


def german(day: str) -> str:
    year, month, date = day.split("-")
    return f"{date}.{month}.{year}"


def american(day: str) -> str:
    return datetime.date.fromisoformat(day).strftime("%m/%d/%Y")


def named_month(day: str) -> str:
    return datetime.date.fromisoformat(day).strftime("%d %b %Y")


def digits(day: str) -> str:
    return day.replace("-", "")


@pytest.mark.parametrize("row_time", [str, german, named_month])
@pytest.mark.parametrize(
    "stamp",
    [
        str,
        german,
        american,
        named_month,
        digits,
        "{} 16:00".format,
        "{}T21:00:00Z".format,
        "{} 16:00:00-05:00".format,
        "{} 16:00 EST".format,
        "{} 16:00 America/New_York".format,
        "{} 4:00 PM".format,
        "{} 23:00:00+09:00".format,
    ],
)
def test_dated_cells_are_found_in_every_spelling(
    stamp: Callable[[str], str], row_time: Callable[[str], str]
) -> None:
    def cell(span: slice) -> str:
        return json.dumps(
            {stamp(d): float(x) for d, x in zip(DAYS[span], PRICES[span], strict=True)}
        )

    found = planted(cell, row_time)
    assert rows_of(found) == set(SHIFTS)
    assert [p.samples for p in found.past] == list(SHIFTS.values())
    assert all(p.changed for p in found.past)
    assert found.findings[0].value == len(SHIFTS) and found.findings[0].n == ROWS


def pairs(span: slice) -> list[list[Any]]:
    return [[d, float(x)] for d, x in zip(DAYS[span], PRICES[span], strict=True)]


SPELLINGS: dict[str, Callable[[slice], Any]] = {
    "JSON pairs": lambda span: json.dumps(pairs(span)),
    "objects": lambda span: [{"date": d, "close": x} for d, x in pairs(span)],
    "JSON objects": lambda span: json.dumps([{"close": x, "on": d} for d, x in pairs(span)]),
    "text": lambda span: "; ".join(f"{d}: {x}" for d, x in pairs(span)),
    "lines": lambda span: "\n".join(f"{d} 16:00 = {x}" for d, x in pairs(span)),
    "unsorted": lambda span: json.dumps(pairs(span)[::-1]),
    "doubled": lambda span: json.dumps(sorted(pairs(span) + pairs(span)[4:6])),
    "gap": lambda span: json.dumps(pairs(span)[:5] + pairs(span)[12:]),
    "split": lambda span: json.dumps(
        [[d, x if k < 9 else x / 2] for k, (d, x) in enumerate(pairs(span))]
    ),
    "two channels": lambda span: json.dumps([[d, x, 2 * x] for d, x in pairs(span)]),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_dated_cells_are_found_in_every_form(name: str) -> None:
    assert rows_of(planted(SPELLINGS[name])) == set(SHIFTS)


@pytest.mark.parametrize(
    ("name", "what"),
    [("unsorted", "unsorted"), ("doubled", "doubled"), ("gap", "gaps"), ("split", "jumps")],
)
def test_each_fault_of_a_series_is_said_once(name: str, what: str) -> None:
    def faults(cell: Callable[[slice], Any]) -> set[str]:
        found = planted(cell)
        dataset = Dataset(pa.table({"day": DAYS[:ROWS]}), Path())
        return {f.scope["what"] for f in series_faults(dataset, found)}

    assert faults(SPELLINGS[name]) == {what}
    assert not faults(SPELLINGS["JSON pairs"])


def test_time_zones_that_do_not_match_are_said() -> None:
    def cell(span: slice) -> str:
        return json.dumps({f"{d} 16:00 -05:00": x for d, x in pairs(span)})

    found = planted(cell, "{} 16:00".format)
    assert rows_of(found) == set(SHIFTS)
    dataset = Dataset(pa.table({"day": DAYS[:ROWS]}), Path())
    assert [f.scope["what"] for f in series_faults(dataset, found)] == ["zones"]


def test_a_table_file_with_dates_is_found(tmp_path: Path) -> None:
    lines = ["date,close", *(f"{d},{x}" for d, x in pairs(slice(0, 30)))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    x, _ = open_series("a.csv", tmp_path)
    assert np.array_equal(x[0], PRICES[:30])
    kept = cut("a.csv", tmp_path, DAYS[19])
    assert np.array_equal(open_series(kept, tmp_path)[0][0], PRICES[:20])


def test_the_cell_that_is_cut_passes() -> None:
    ends = [60 + 5 * k for k in range(ROWS)]
    late = [json.dumps(pairs(slice(e - 20, e + 3))) for e in ends]
    times = [DAYS[e - 1] for e in ends]
    cells = [json.dumps(cut(c, Path(), t)) for c, t in zip(late, times, strict=True)]
    assert len(guard(late, times).past) == ROWS
    assert not guard(cells, times).past


@pytest.mark.parametrize(
    ("stamp", "row", "late"),
    [
        ("2020-01-02", "2020-01-02", False),
        ("2020-01-02", "2020-01-02 09:30", True),  # a day's figure is known at its end
        ("2020-01-02 16:00", "2020-01-02", False),
        ("2020-01-03 00:30", "2020-01-02", True),
        ("2020-01", "2020-01-15", True),  # a month's figure is known at its end
        ("2020-01", "2020-01-31", False),
        ("2020Q1", "2020-03-31", False),
        ("2020Q1", "2020-03-30", True),
        ("2020-01-02T21:00:00Z", "2020-01-02T16:00:00-05:00", False),
        ("2020-01-02T21:01:00Z", "2020-01-02T16:00:00-05:00", True),
        ("2020-01-02T23:00:00-05:00", "2020-01-02", False),  # the day of its own clock
    ],
)
def test_a_moment_is_known_when_it_is_over(stamp: str, row: str, late: bool) -> None:
    (own,), (last,) = moments([stamp]), moments([row])
    assert own is not None and last is not None
    assert own.after(last) == late


def test_midnight_is_a_day_only_where_all_times_are_midnight() -> None:
    days = [datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 3)]
    first, second = moments(days)
    assert first is not None and first.end > first.start + 0.9
    hours = moments([*days, datetime.datetime(2020, 1, 2, 5)])
    assert hours[0] is not None and hours[2] is not None
    assert hours[0].end == hours[0].start and hours[2].after(hours[0])


def test_two_values_of_one_date_are_set_aside() -> None:
    from gobelin.data.files import BadCell

    found = stamped_series([["2020-01-02", 1.0], ["2020-01-02", 2.0]], Path())
    assert found is not None
    with pytest.raises(BadCell, match="has two different values for 2020-01-02"):
        found.series()


def relative(x: np.ndarray) -> np.ndarray:
    return np.log(x / x[0])


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "prices": lambda x: x,
    "rounded prices": lambda x: np.round(x, 2),
    "logarithms": lambda x: np.round(relative(x), 6),
    "over the first": lambda x: np.round(x / x[0] - 1, 5),
    "standardised": lambda x: (x - x.mean()) / x.std(),
    "returns": lambda x: np.diff(x) / x[:-1],
    "logarithmic returns": lambda x: np.round(np.diff(np.log(x)), 6),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["one", "wide", "long", "rounded", "unsorted"])
def test_windows_without_dates_are_found_by_their_source(form: str, layout: str) -> None:
    """Every row is placed, shifted by -3 to 7 days; the shift comes back exactly."""
    other = 50 + np.cumsum(np.random.default_rng(1).normal(0, 0.4, 400))
    tables = {
        "one": {"date": DAYS, "close": PRICES.tolist()},
        "wide": {"other": other.tolist(), "date": DAYS, "close": PRICES.tolist()},
        "long": {
            "date": DAYS * 2,
            "name": ["B"] * 400 + ["A"] * 400,
            "close": [*other.tolist(), *PRICES.tolist()],
        },
        "rounded": {"date": DAYS, "close": np.round(PRICES, 4).tolist()},
        "unsorted": {"date": DAYS[::-1], "close": PRICES[::-1].tolist()},
    }
    ends = [60 + 5 * k for k in range(ROWS)]
    shifts = [(k * 3) % 11 - 3 for k in range(ROWS)]
    cells = [
        FORMS[form](PRICES[e - WINDOW + s : e + s]).tolist()
        for e, s in zip(ends, shifts, strict=True)
    ]
    found = guard(cells, [DAYS[e - 1] for e in ends], Dataset(pa.table(tables[layout]), Path()))
    assert {int(p.row): p.samples for p in found.past} == {
        k: s for k, s in enumerate(shifts) if s > 0
    }
    assert [f.name for f in found.findings] == ["look_ahead"]
    assert found.findings[0].n == ROWS


def test_windows_without_a_source_are_said_to_be_unchecked() -> None:
    found = planted(lambda span: PRICES[span].tolist())
    assert [f.name for f in found.findings] == ["look_ahead_unchecked"]
    assert "check.source=FILE" in found.findings[0].note


def test_a_window_that_looks_like_a_later_one_is_not_called_clean() -> None:
    """A straight line has the same shape everywhere, up to a constant."""
    line = np.round(np.arange(400) * 0.5 + 1e-3 * np.sin(np.arange(400)), 1)
    source = Dataset(pa.table({"date": DAYS, "close": line.tolist()}), Path())
    found = guard([line[e - 24 : e].tolist() for e in (60, 90)], [DAYS[59], DAYS[89]], source)
    assert [f.name for f in found.findings] == ["look_ahead_unchecked"]


def test_a_later_date_is_said() -> None:
    table = pa.table({"day": DAYS[:9], "settled": [*DAYS[:7], DAYS[9], DAYS[10]]})
    schema = Schema(
        (Column("day", "date", "time"), Column("settled", "date")),
        (Field("table", "table", ("settled",), "date"),),
    )
    (finding,) = look_ahead(Dataset(table, Path()), schema, {}).findings
    assert finding.name == "later_dates" and finding.rows == ("7", "8")
