"""Rows asked for by their id or by a stretch of time. Oracle: planted rows and a calendar."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from gobelin import Workbench
from gobelin.core.errors import GobelinError
from gobelin.data.values.dates import span

EPOCH = datetime.date(1970, 1, 1)
MADE = [datetime.date(1975 + k % 10, 1 + (5 * k) % 12, 1 + (7 * k) % 28) for k in range(90)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """90 rows of two classes, by their size; row 5 and row 65 have the same size and colour."""
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    lines = ["made,size,colour,kind"]
    for k, day in enumerate(MADE):
        size = 5.25 if k in (5, 65) else round(float(rng.normal(3 + 4 * (k % 2))), 3)
        colour = "green" if k in (5, 65) else ["red", "blue"][k % 3 % 2]
        lines.append(f"{day},{size},{colour},{'ab'[k % 2]}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    settings = {
        "fusion": {"name": "concat"},
        "predict": {"folds": 2, "decays": [0.01]},
        "align": {"steps": 0},
    }
    work = Workbench(folder / "rows.csv", "kind", folder / "run", settings)
    work.fit()
    return work


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("1979", "1979-01-01", "1979-12-31"),
        ("1979-02", "1979-02-01", "1979-02-28"),
        ("1980-02", "1980-02-01", "1980-02-29"),
        ("12/1979", "1979-12-01", "1979-12-31"),
        ("1979Q4", "1979-10-01", "1979-12-31"),
        ("1979-W01", "1979-01-01", "1979-01-07"),
    ],
)
def test_a_stretch_of_time_finds_the_rows_in_it(
    asked: str, first: str, last: str, bench: Workbench
) -> None:
    """All rows of it are equal and come first; then those nearest to either end of it."""
    start, end = map(datetime.date.fromisoformat, (first, last))
    assert span(asked) == ((start - EPOCH).days, (end - EPOCH).days)
    hits = bench.search(k=90, row=f"made={asked}")
    inside = {str(k) for k, day in enumerate(MADE) if start <= day <= end}
    assert {h.id for h in hits if h.equal} == inside == {h.id for h in hits[: len(inside)]}
    away = [max(start - MADE[int(h.id)], MADE[int(h.id)] - end) for h in hits[len(inside) :]]
    assert away == sorted(away)


def test_one_day_is_no_stretch() -> None:
    assert span("1979-02-03") is None and span("1979-W05-3") is None and span("some day") is None


def test_a_year_is_read_wherever_a_row_is_asked_for(bench: Workbench) -> None:
    year, day = (bench.describe(row=f"made={m},size=3") for m in ("1979", "1979-01-01"))
    assert [f.value for f in year if f.name == "probability"] == [
        f.value for f in day if f.name == "probability"
    ]


def test_a_row_of_the_run_is_described_by_its_id(bench: Workbench) -> None:
    found = bench.describe(k=3, row="5")
    similar = [f for f in found if f.name == "similarity"]
    assert len(similar) == 3 and similar[0].scope == {"row": "65"}
    assert "5" not in [f.scope["row"] for f in similar]
    assert sum("the data say so" in f.note for f in found if f.scope.get("class") == "b") == 1
    cells = f"made={MADE[5]},size=5.25,colour=green"
    by_parts = bench.describe(k=3, row=cells)
    for one, other in zip(found[:2], by_parts[:2], strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-5)
    # the row itself, which lies nearest to itself, is not among those that it is compared with
    whole = next(f for f in found if f.name == "typicality")
    learned = bench.run.checked.rows.part("train")
    assert whole.n == len(learned) - (5 in learned)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"row": "5000"}, "describe --row 5000: no row has this id"),
        ({"row": "5", "query": "size=3"}, "expected alone, found 'query' beside it"),
        ({"row": "size"}, "written as COLUMN=VALUE"),
    ],
)
def test_an_id_that_is_none_is_told(query: dict[str, str], message: str, bench: Workbench) -> None:
    with pytest.raises(GobelinError, match=message):
        bench.describe(**query)
