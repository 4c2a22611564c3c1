"""The finance set against pandas' reading of the same file; nothing of a later day in any cell."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
found = importlib.util.find_spec("skfolio")
if found is None:
    pytest.skip("skfolio is not installed", allow_module_level=True)

from gobelin.core import config  # noqa: E402
from gobelin.core.errors import GobelinError  # noqa: E402
from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.samples.finance import FILE, Finance, chart  # noqa: E402
from gobelin.embedding.encoders import TrainingCells  # noqa: E402
from gobelin.embedding.encoders.series import Series  # noqa: E402
from gobelin.quality.look_ahead import look_ahead  # noqa: E402
from gobelin.workbench.run.rows import Rows, read_rows  # noqa: E402
from gobelin.workbench.run.settings import Settings  # noqa: E402

SMALL = Finance(stocks=("KO", "AMD"), since=2018, size=32)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path = SMALL.write(tmp_path_factory.mktemp("finance") / "data", 0)
    said = config.merge(SMALL.settings(), {"data": {"path": str(path), "target": Finance.target}})
    return read_rows(config.build(Settings, said))


def test_windows_and_answers_are_those_of_the_file(rows: Rows) -> None:
    assert found is not None and found.submodule_search_locations is not None
    table = pd.read_csv(
        Path(found.submodule_search_locations[0]) / FILE, index_col=0, parse_dates=True
    )
    columns = {c: rows.dataset.values(c) for c in rows.dataset.column_names}
    for k in (0, 101, len(rows.dataset) - 1):
        close = table[columns["stock"][k]]
        last = table.index.get_loc(columns["day"][k])
        window = close.iloc[last - 63 : last + 1]
        expected = {str(day.date()): value for day, value in window.items()}
        assert json.loads(columns["prices"][k]) == pytest.approx(expected)
        ahead = close.iloc[last + 5] / close.iloc[last] - 1
        assert columns["next_return"][k] == pytest.approx(ahead, abs=1e-6)
        assert columns["next_week"][k] == ("up" if ahead > 0 else "down")
        steps = np.log(close).diff().iloc[last - 20 : last + 1]
        assert columns["volatility"][k] == pytest.approx(steps.std(ddof=0) * 252**0.5, abs=1e-5)
        assert (rows.dataset.root / columns["chart"][k]).is_file()


def test_the_guard_finds_nothing_and_every_row_is_checked(rows: Rows) -> None:
    field = next(f for f in rows.schema.fields if f.kind == "series")
    cells = TrainingCells(rows.dataset.cells(field))
    encoder = Series().fit(cells, field, {"prices": "series"}, Runtime())
    guarded = look_ahead(rows.dataset, rows.schema, {field.name: encoder})
    assert not guarded.past
    assert [(f.name, f.value, f.n) for f in guarded.findings] == [
        ("look_ahead", 0.0, len(rows.dataset))
    ]


def test_no_answer_of_a_training_row_reaches_into_later_rows(rows: Rows) -> None:
    days = np.array(rows.dataset.values("day"), dtype="datetime64[D]").astype(int)
    for part, later in (("train", ("valid", "test")), ("valid", ("test",))):
        own = days[(rows.parts == part) & rows.target.present]
        assert own.max() + 12 <= days[np.isin(rows.parts, later)].min()


def test_a_rising_price_is_drawn_from_below_to_above() -> None:
    image = np.asarray(chart(np.exp(np.linspace(0, 1, 64)), 64))
    blue = (image == (20, 60, 160)).all(2)
    assert blue[-1, 0] and blue[0, -1] and not blue[0, 0] and not blue[-1, -1]


def test_an_unknown_stock_is_named(tmp_path: Path) -> None:
    with pytest.raises(GobelinError, match="stocks = 'GOOG' is none of AAPL, AMD"):
        Finance(stocks=("GOOG",)).write(tmp_path / "data", 0)
