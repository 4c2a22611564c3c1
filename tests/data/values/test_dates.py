"""Dates against datetime's own reading, and the order of day and month against planted columns."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Field, Target
from gobelin.data.files import BadCell
from gobelin.data.split.splits import Split, assign
from gobelin.data.values.dates import DATE_ORDERS, days, is_date, span, undecided
from gobelin.embedding.columns.schema import Choices, infer
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import Table

CHRISTMAS = float((datetime.date(2026, 12, 24) - datetime.date(1970, 1, 1)).days)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-24",
        "2026/12/24",
        " 2026-12-24 ",
        "2026-12-24T00:00:00",
        "24.12.2026",
        "24/12/2026",
        "24-12-2026",
        "12/24/2026",
        "24 Dec 2026",
        "24 December 2026",
        "24. Dec. 2026",
        "24-Dec-2026",
        "Dec 24, 2026",
        "December 24 2026",
        "dec 24 2026",
        "24.12.2026 00:00",
        "12/24/2026 00:00:00",
    ],
)
def test_christmas(text: str) -> None:
    assert {days(text, order) for order in DATE_ORDERS} <= {CHRISTMAS, None} and is_date(text)


def test_times_of_day_and_short_forms() -> None:
    assert (
        days("24.12.2026 18:30")
        == days("2026-12-24 18:30")
        == days("24 Dec 2026, 18:30:00")
        == CHRISTMAS + 18.5 / 24
    )
    assert (
        days("2026-1-5")
        == days("2026/1/5")
        == days("2026-01-05")
        == days("5.1.2026")
        == days("5 Jan 2026")
    )
    assert days("3/3/2026") == days("2026-03-03")  # no order to ask for


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30",
        "30.02.2026",
        "24.13.2026",
        "12.24.2026",
        "24 Foo 2026",
        "24/12-2026",
        "1.2.3.2026",
        "2026",
        "20261224",
        "soon",
        "",
        "24.12.2026 25:00",
        "1 234 2026",
    ],
)
def test_no_dates(text: str) -> None:
    assert not is_date(text) and undecided([text]) == ("", "")


def test_the_column_decides_what_stands_first() -> None:
    assert undecided(["3/4/2026", "24/4/2026"]) == ("day_first", "3/4/2026")
    assert undecided(["3/4/2026", "4/24/2026", None, "x"]) == ("month_first", "3/4/2026")
    assert undecided(["3/4/2026", "5-6-2026"]) == ("", "3/4/2026") and undecided(
        ["3/3/2026", "24.12.2026", 7]
    ) == ("", "")
    assert undecided(["4/24/2026"] * 3 + ["24/4/2026"])[0] == "month_first"


def table(values: list[str], how: Table = Table()) -> np.ndarray:  # noqa: B008 - frozen
    encoder = how.fit(
        TrainingCells([{"day": v} for v in values], least_groups=1),
        Field("table", "table", ("day",), "table"),
        {"day": "date"},
        Runtime(),
    )
    return encoder.embed([encoder.decode({"day": v}, Path())[0] for v in values])


def test_a_column_that_reads_both_ways_is_asked_about_in_one_line() -> None:
    with pytest.raises(
        GobelinError,
        match=r"^table, column 'day': '3/4/2026' can be read .*encoders.table.dates=day_first",
    ) as caught:
        table(["3/4/2026", "5/6/2026"])
    assert "\n" not in str(caught.value)
    one, other = (table(["3/4/2026", "5/6/2026"], Table(dates=order)) for order in DATE_ORDERS)  # type: ignore[arg-type]
    assert np.array_equal(one, table(["2026-04-03", "2026-06-05"])) and np.array_equal(
        other, table(["2026-03-04", "2026-05-06"])
    )
    with pytest.raises(BadCell, match="'24/12/2026' is not a date"):
        table(["3/4/2026", "4/24/2026", "4/25/2026", "24/12/2026"])


def test_a_split_by_time_knows_dates() -> None:
    """As texts, 01.12.2026 would stand before 02.01.2020."""
    moments = [datetime.date(2020, 1, 1) + datetime.timedelta(37 * k) for k in range(40)]
    target, groups = (
        Target("y", "class", np.arange(40) % 2, ("a", "b")),
        [str(k) for k in range(40)],
    )
    wanted = assign(Split(by="time"), target, groups, 0, None, [f"{m:%Y-%m-%d}" for m in moments])
    assert wanted.tolist() == ["train"] * 22 + ["valid"] * 8 + ["test"] * 10
    for how in ("%d.%m.%Y", "%m/%d/%Y", "%d %b %Y"):
        assert np.array_equal(
            assign(Split(by="time"), target, groups, 0, None, [f"{m:{how}}" for m in moments]),
            wanted,
        )
    assert np.array_equal(assign(Split(by="time"), target, groups, 0, None, moments), wanted)
    with pytest.raises(
        GobelinError, match="'3/1/2020' can be read with the day first.*Write dates as 2026-12-24"
    ):
        assign(
            Split(by="time"), target, groups, 0, None, [f"3/{k % 12 + 1}/2020" for k in range(40)]
        )


def test_dates_are_recognised_and_are_no_target() -> None:
    written = [f"{d}.0{m}.2026" for m in range(1, 6) for d in range(10, 22)]
    data = Dataset(pa.table({"day": written, "x": list(range(60))}), Path(), "x.csv")
    assert infer(data, "x", Choices()).kind("day") == "date"
    with pytest.raises(
        GobelinError,
        match=r"^x.csv, column 'day': holds dates, and a date can't be predicted\..*=category",
    ) as caught:
        infer(data, "day", Choices())
    assert "\n" not in str(caught.value)
    assert infer(data, "day", Choices(schema={"day": "category"})).kind("day") == "category"


def test_a_stretch_of_time_ends_within_the_calendar() -> None:
    """The day after its last one has to be a date too."""
    assert span("9999-12") is None and span("9999Q4") is None
    assert span("9999-11") == (days("9999-11-01"), days("9999-11-30"))
