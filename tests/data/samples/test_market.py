"""The market set against pandas' reading of the same files; nothing of a later day, no day on both
sides of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
arch = pytest.importorskip("arch")

from gobelin.core import config  # noqa: E402
from gobelin.core.errors import GobelinError  # noqa: E402
from gobelin.core.machine import Runtime  # noqa: E402
from gobelin.data.read import read  # noqa: E402
from gobelin.data.samples import market  # noqa: E402
from gobelin.data.samples.market import Market  # noqa: E402
from gobelin.embedding.encoders import TrainingCells  # noqa: E402
from gobelin.embedding.encoders.series import Series  # noqa: E402
from gobelin.workbench.run.rows import Rows, read_rows  # noqa: E402
from gobelin.workbench.run.settings import Settings  # noqa: E402

HOME = Path(arch.__file__).parent / "data"


def source(name: str) -> pd.DataFrame:
    return pd.read_csv(
        HOME / name / f"{name}.csv.gz", index_col=0, parse_dates=True, na_values=["."]
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path = Market().write(tmp_path_factory.mktemp("market") / "data", 0)
    said = config.merge(Market().settings(), {"data": {"path": str(path), "target": Market.target}})
    return read_rows(config.build(Settings, said))


def test_windows_and_answers_are_those_of_the_files(rows: Rows) -> None:
    index, other, oil = source("sp500"), source("nasdaq"), source("wti")["DCOILWTICO"]
    days = index.index
    assert len(rows.dataset) == 468 and set(rows.target.classes) == {"up", "down"}
    columns = {c: rows.dataset.values(c) for c in rows.dataset.column_names}
    for k in (0, 100, 467):
        last = days.get_loc(columns["day"][k])
        window = days[last - 63 : last + 1]
        for channel, values in zip(
            columns["prices"][k], (index["Close"], other["Close"], oil.reindex(days)), strict=True
        ):
            seen = np.log(values[window].where(values[window] > 0))
            expected = (seen - seen.dropna().iloc[0]).to_numpy()
            assert np.allclose(np.array(channel, float), expected, atol=1e-6, equal_nan=True)
        returns = np.log(index["Close"]).diff()[window]
        assert columns["volatility"][k] == pytest.approx(
            returns[-21:].std(ddof=0) * 252**0.5, abs=1e-5
        )
        assert columns["past_month"][k] == pytest.approx(returns[-21:].sum(), abs=1e-6)
        assert columns["next_week"][k] == (
            "up" if index["Close"].iloc[last + 5] > index["Close"].iloc[last] else "down"
        )
    assert any(v is None for window in columns["prices"] for v in window[2])  # oil has real holes


def test_no_day_stands_on_both_sides_of_the_split(rows: Rows) -> None:
    """Window and answer of a row are 69 days in a row; parts, and folds of blocks, share none of
    them."""
    days = source("sp500").index
    ends = [days.get_loc(d) for d in rows.dataset.values("day")]
    used = [set(range(e - 63, e + 6)) for e in ends]
    for names in (rows.parts, np.array(rows.groups)):
        own = {
            name: set().union(*(used[k] for k in np.flatnonzero(names == name)))
            for name in np.unique(names)
        }
        assert sum(len(v) for v in own.values()) == len(set().union(*own.values()))
    order = {p: [ends[k] for k in rows.part(p)] for p in ("train", "valid", "test")}
    assert max(order["train"]) + 64 <= min(order["valid"]) and max(order["valid"]) + 64 <= min(
        order["test"]
    )
    assert {p: len(v) for p, v in order.items()} == {"train": 252, "valid": 96, "test": 120}


def test_nothing_but_the_answer_knows_a_later_day(monkeypatch: pytest.MonkeyPatch) -> None:
    days, figures = market._figures()
    row = Market()._row(days, figures, 1000)
    rng = np.random.default_rng(0)
    later = {
        name: np.where(np.arange(len(days)) > 1063, rng.uniform(1, 9, len(days)), v)
        for name, v in figures.items()
    }
    changed = Market()._row(days, later, 1000)
    assert {k: v for k, v in row.items() if k != "next_week"} == {
        k: v for k, v in changed.items() if k != "next_week"
    }
    rising = {name: np.arange(1.0, len(days) + 1) for name in figures}
    assert Market()._row(days, rising, 5)["next_week"] == "up"
    assert Market()._row(days, {n: v[::-1] for n, v in rising.items()}, 5)["next_week"] == "down"


def test_settings_that_would_leak_are_refused() -> None:
    for wrong in ({"block": 68}, {"window": 10}, {"step": 0}):
        with pytest.raises(GobelinError, match="Market.(window|step): |samples.market: ") as caught:
            Market(**wrong)
        assert "\n" not in str(caught.value)


def test_it_is_written_the_same_each_time(tmp_path: Path) -> None:
    one, two = (
        read(Market(step=63).write(tmp_path / str(seed), seed)).fingerprint for seed in (0, 1)
    )
    assert one == two


def test_its_queries_are_read(rows: Rows) -> None:
    field, cells = rows.schema.field("prices"), rows.dataset.cells(rows.schema.field("prices"))
    encoder = Series().fit(TrainingCells(cells), field, {}, Runtime())
    (text,) = [query["prices"] for query in Market().queries() if "prices" in query]
    found = encoder.embed(
        [
            encoder.decode(Series().parse(text, field), Path())[0],
            encoder.decode(cells[0] or {}, Path())[0],
        ]
    )
    assert (
        encoder.channels == {"prices": 3} and np.isfinite(found).all() and found[0, 5] < -1
    )  # the trend of the first channel


def test_the_recipe_is_what_the_set_uses() -> None:
    recipe = config.read(Path(__file__).parents[3] / "recipes" / "market.toml")
    built, own = (config.build(Settings, said) for said in (recipe, Market().settings()))
    assert (
        built.schema == own.schema
        and built.split == own.split
        and built.choices.encoders["series"]["lags"]
    )
