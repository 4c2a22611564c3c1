"""Numbers, categories and dates against closed forms."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import FittedTable, Table


def fitted(kind: str, values: Sequence[Any], **settings: int) -> FittedTable:
    cells = [None if v is None else {"x": v} for v in values]
    encoder = Table(**settings).fit(
        TrainingCells(cells, least_groups=1),
        Field("table", "table", ("x",), "table"),
        {"x": kind},
        Runtime(),
    )
    assert isinstance(encoder, FittedTable)
    return encoder


def coded(encoder: FittedTable, values: Sequence[Any]) -> np.ndarray:
    return encoder.embed([encoder.decode({} if v is None else {"x": v}, Path())[0] for v in values])


def test_normal_score_of_the_rank() -> None:
    x = np.random.default_rng(0).lognormal(size=65)
    expected = norm.ppf((rankdata(x) - 0.5) / 65)
    assert np.allclose(coded(fitted("number", x.tolist()), x.tolist())[:, 0], expected, atol=1e-6)


def test_ties_share_their_middle_rank() -> None:
    x = np.repeat([1.0, 2.0, 5.0], [20, 30, 15])
    encoder = fitted("number", x.tolist())
    assert np.allclose(
        coded(encoder, x.tolist())[:, 0], norm.ppf((rankdata(x) - 0.5) / 65), atol=1e-6
    )


def test_between_two_knots_the_rank_is_between() -> None:
    encoder = fitted("number", [10.0 * k for k in range(65)])
    assert coded(encoder, [123.0])[0, 0] == pytest.approx(norm.ppf((12.3 + 0.5) / 65), abs=1e-6)
    many = coded(encoder, np.linspace(-50, 800, 200).tolist())[:, 0]
    assert (np.diff(many) >= 0).all()


@pytest.mark.parametrize(
    "change", [np.exp, lambda x: x**3, lambda x: 1e6 * x - 7], ids=["exp", "cube", "scale"]
)
def test_rank_ignores_any_increasing_change(change: Any) -> None:  # noqa: ANN401
    x = np.random.default_rng(1).normal(size=65)
    one, other = (coded(fitted("number", v.tolist()), v.tolist()) for v in (x, change(x)))
    assert np.allclose(one[:, 0], other[:, 0], atol=1e-5)


@pytest.mark.parametrize("rows", [65, 500])
def test_robust_z_score(rows: int) -> None:
    """Of more rows than knots the quartiles are read between means of a few values each."""
    x = np.random.default_rng(2).normal(3, 2, rows)
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    expected = np.clip((x - middle) / ((high - low) / 1.349), -4, 4)
    found = coded(fitted("number", x.tolist()), x.tolist())[:, 1]
    assert np.abs(found - expected).max() < (1e-5 if rows == 65 else 0.1)


def test_outliers_are_bounded_and_move_nothing() -> None:
    x = np.random.default_rng(3).normal(size=400).tolist()
    encoder = fitted("number", [*x, 1e12])
    far = coded(encoder, [1e300, -1e300])
    assert np.allclose(far[:, 0], norm.ppf([64.5 / 65, 0.5 / 65]), atol=1e-6) and far[
        :, 1
    ].tolist() == [4, -4]
    body = sorted(x)[
        20:-20
    ]  # the outermost knot moves, no other does by more than its share of the rows
    assert (
        np.abs(coded(encoder, body)[:, :2] - coded(fitted("number", x), body)[:, :2]).max() < 0.05
    )


def test_a_missing_number_is_said_and_is_not_zero() -> None:
    encoder = fitted("number", ["1", "2", None, "NA", " 4\u00a0"])
    assert coded(encoder, [None, "NA", "-", "?"]).tolist() == [[0, 0, 1]] * 4
    assert (
        coded(encoder, ["2"]).tolist() == [[0, 0, 0]] and encoder.columns["x"]["quantiles"][-1] == 4
    )
    with pytest.raises(BadCell, match="'12 kg' is not a number") as caught:
        coded(encoder, ["12 kg"])
    assert caught.value.column == "x"


def test_a_constant_number_has_a_scale() -> None:
    found = coded(fitted("number", [5.0] * 10), [5.0, 6.0])
    assert np.isfinite(found).all() and found[0].tolist() == [0, 0, 0] and found[1, 1] == 1


def test_categories_are_one_hot_and_the_unseen_are_zero() -> None:
    encoder = fitted("category", ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + ["once", None, True, True])
    assert encoder.columns["x"]["values"] == ["c", "a", "b", "True"]
    found = coded(encoder, ["c", "a", "b", True, "once", "never", None])
    assert np.array_equal(found, np.vstack([np.eye(5)[:4], np.zeros((2, 5)), np.eye(5)[4]]))
    assert fitted("category", list("aabbcc"), categories=2).columns["x"]["values"] == ["a", "b"]


def test_dates_are_days_and_places_on_two_circles() -> None:
    start = np.datetime64("1999-06-01")
    days = [str(start + k) for k in range(65)]
    number = (np.array(days, "datetime64[D]") - np.datetime64("1970-01-01")).astype(float)
    found = coded(fitted("date", days), days)
    year, week = 2 * np.pi * number / 365.2425, 2 * np.pi * number / 7
    assert np.allclose(
        found[:, 2:6],
        np.stack([np.sin(year), np.cos(year), np.sin(week), np.cos(week)], 1),
        atol=1e-5,
    )
    assert np.allclose(found[:, 0], norm.ppf((np.arange(65) + 0.5) / 65), atol=1e-6)
    assert np.allclose(found[7:, 4:6], found[:-7, 4:6], atol=1e-5) and not found[:, 6].any()


def test_one_moment_in_many_writings() -> None:
    encoder = fitted("date", ["2020-01-01", "2020-12-31"])
    same = [
        "2020-03-01",
        "2020/03/01",
        "2020-03-01T00:00:00",
        "2020-03-01T02:00:00+02:00",
        datetime.date(2020, 3, 1),
        datetime.datetime(2020, 3, 1),
        datetime.datetime(2020, 3, 1, tzinfo=datetime.UTC),
    ]
    assert np.allclose(coded(encoder, same), coded(encoder, same[:1]), atol=1e-6)
    with pytest.raises(BadCell, match="is not a date"):
        coded(encoder, ["2020-02-30"])


def test_nothing_is_learned_from_rows_outside_the_fit() -> None:
    field = Field("table", "table", ("n", "c"), "table")
    kinds = {"n": "number", "c": "category"}
    train = [{"n": float(k), "c": "ab"[k % 2]} for k in range(50)]
    encoder = Table().fit(TrainingCells(train), field, kinds, Runtime())
    before = encoder.fingerprint()
    encoder.embed([encoder.decode({"n": 1e9, "c": "new"}, Path())[0]] * 100)
    assert encoder.fingerprint() == before
    other = Table().fit(
        TrainingCells([*train, {"n": 1e9}, *[{"c": "new"}] * 5]), field, kinds, Runtime()
    )
    assert other.fingerprint() != before and other.width == encoder.width + 1


def test_columns_stand_side_by_side() -> None:
    field, kinds = Field("t", "table", ("c", "n"), "table"), {"n": "number", "c": "category"}
    cells = [{"n": 1, "c": "a"}, {"n": 3, "c": "a"}, None, {"c": "b"}]
    encoder = Table().fit(TrainingCells(cells, least_groups=1), field, kinds, Runtime())
    assert encoder.width == 2 + 3
    assert encoder.decode({"n": 2}, Path())[0].tolist() == [0, 1, 0, 0, 0]
    assert encoder.decode({"c": "a"}, Path())[0].tolist() == [1, 0, 0, 0, 1]


def test_queries() -> None:
    field = Field("table", "table", ("side", "hue"), "table")
    assert Table().parse("side= 3 , hue=0.5", field) == {"side": "3", "hue": "0.5"}
    with pytest.raises(GobelinError, match="no column 'sid'. Did you mean 'side'?"):
        Table().parse("sid=3", field)
    with pytest.raises(GobelinError, match="'column=value,...' was expected, found 'side'"):
        Table().parse("side", field)


def test_rare_levels_count_as_unknown_by_groups_not_rows() -> None:
    """A level of four groups, in twenty rows of them, is no level; one of five groups is."""
    cells = [{"c": "few"}] * 20 + [{"c": "enough"}] * 5
    groups = [f"p{k % 4}" for k in range(20)] + [f"q{k}" for k in range(5)]
    field = Field("table", "table", ("c",), "table")
    encoder = Table().fit(TrainingCells(cells, groups), field, {"c": "category"}, Runtime())
    assert encoder.columns["c"]["values"] == ["enough"]
    assert encoder.rare() == {"c": (1, 2, "values")}
    assert encoder.decode({"c": "few"}, Path())[0].tolist() == [0, 0]


def test_a_column_of_few_groups_tells_nothing() -> None:
    cells, groups = [{"n": float(k)} for k in range(40)], [f"p{k % 4}" for k in range(40)]
    field = Field("table", "table", ("n",), "table")
    encoder = Table().fit(TrainingCells(cells, groups), field, {"n": "number"}, Runtime())
    assert encoder.columns["n"] == {"kind": "number", "quantiles": [], "middle": 0.0, "scale": 1.0}
    assert encoder.decode({"n": 2.5}, Path())[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("groups", [1, 4, 5, 40])
@pytest.mark.parametrize("unit", ["zorkmid", "Ŧ", "kg"])
def test_a_unit_of_few_groups_is_not_kept(unit: str, groups: int, tmp_path: Path) -> None:
    """Oracle: the file that is saved. A usual unit tells nothing of anybody, and is kept."""
    cells = [{"n": f"{k} {unit}"} for k in range(40)]
    names = [f"p{k % groups}" for k in range(40)]
    field = Field("table", "table", ("n",), "table")
    encoder = Table().fit(TrainingCells(cells, names), field, {"n": "number"}, Runtime())
    (tmp_path / "table").mkdir()
    encoder.save(tmp_path / "table")
    saved = json.loads((tmp_path / "table" / "config.json").read_text())["columns"]["n"]
    assert saved.get("unit", "") == (unit.lower() if groups >= 5 or unit == "kg" else "")
    assert bool(saved["quantiles"]) == (groups >= 5)
    assert encoder.decode({"n": f"7 {unit}"}, tmp_path)[0].shape == (3,)


@pytest.mark.parametrize(("own", "others"), [("1.50", "1.5"), ("e\u0301", "\u00e9"), ("TRUE", "1")])
def test_a_group_of_many_rows_does_not_choose_a_spelling(own: str, others: str) -> None:
    cells = [{"c": own}] * 30 + [{"c": others}] * 6
    names = ["one"] * 30 + [f"p{k}" for k in range(6)]
    field = Field("table", "table", ("c",), "table")
    encoder = Table().fit(TrainingCells(cells, names), field, {"c": "category"}, Runtime())
    assert encoder.columns["c"]["values"] == [others]
    assert encoder.decode({"c": own}, Path())[0].tolist()[0] == 1


def test_a_long_tail_has_its_plain_z_score_and_other_columns_have_none() -> None:
    """Oracle: mean and standard deviation of the values, of which each is a part of its own."""
    rng = np.random.default_rng(0)
    incomes, heights = rng.lognormal(sigma=1.5, size=65), rng.normal(size=65)
    encoder = fitted("number", incomes.tolist())
    assert encoder.width == 4 and fitted("number", heights.tolist()).width == 3
    found = coded(encoder, [*incomes, 1e9, None])
    assert np.allclose(found[:65, 2], (incomes - incomes.mean()) / incomes.std(), atol=1e-5)
    assert found[65, 2] == found[:65, 2].max()  # no value is further out than those of training
    assert found[66].tolist() == [0, 0, 0, 1]


def test_an_encoder_of_before_reads_as_it_did() -> None:
    """Stored columns without the mark of a long tail."""
    values = np.random.default_rng(0).lognormal(sigma=1.5, size=65).tolist()
    encoder = fitted("number", values)
    stored = {k: v for k, v in encoder.columns["x"].items() if k != "tail"}
    before = FittedTable(encoder.settings, {"x": stored})
    assert np.array_equal(coded(before, values), np.delete(coded(encoder, values), 2, axis=1))


def test_cells_in_another_unit_are_found() -> None:
    metres = np.linspace(1.5, 2.0, 60).tolist()
    encoder = fitted("number", metres)

    def far(values: list[Any]) -> list[str]:
        found = encoder.far([None if v is None else {"x": v} for v in values])
        return list(found["x"].values) if found else []

    assert far([100 * v for v in metres[:3]]) == [str(100 * v) for v in metres[:3]]
    assert far([*metres, 190.0]) == []  # one in sixty is an outlier, and not the unit
    assert far([*metres[:8], None, 190.0, "x"]) == ["190.0"]
    assert far([1.3, 2.2]) == [] and far([1.2]) == ["1.2"]  # half of the range beyond it
    assert fitted("number", [7] * 60).far([{"x": 700}]) == {}


@pytest.mark.parametrize(
    ("learned", "new", "mark"),
    [
        ("1.{:03d}", ["1,388", "0,598"], ","),
        ("0.{:03d}", ["1,388", "0,598"], ","),
        ("1.{:03d},5", ["1.388", "0.598"], "."),
        ("1.{:03d}", ["1,388", "2,097"], ""),  # thousands, as far as one can see
        ("1.{:03d}", ["1388", "0.598"], ""),
        ("0,{:03d}", ["1388", "0,598"], ""),
    ],
)
def test_another_decimal_mark_is_named(learned: str, new: list[str], mark: str) -> None:
    encoder = fitted("number", [learned.format(k * 16 % 1000) for k in range(60)])
    (far,) = encoder.far([{"x": value} for value in new]).values()
    assert (f"Their decimal mark is {mark!r}" in far.advice) == bool(mark)
    assert ("Their decimal mark" in far.advice) == bool(mark)
