"""Properties of the table encoder over whatever cells there are: nothing of it depends on scale,
order or luck."""

from __future__ import annotations

import datetime
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.data.files import BadCell
from gobelin.data.values.spelling import spelled
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import FittedTable, Table

CALM = settings(max_examples=60, derandomize=True, database=None)  # the same cells in every run
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
COLUMN = st.lists(FINITE, min_size=1, max_size=65)
LONG = ["1" + "0" * 300, "-1" + "0" * 300, "1e400", 10**300, "1" + "0" * 400]
ODD = [*LONG, math.nan, math.inf, "NaN", "-", "?", "x", b"", [], {}]
HARD = st.one_of(FINITE, st.integers(), st.booleans(), st.none(), st.sampled_from(ODD))
WORDS = st.sampled_from(["a", "b", "c", "d", "A", " a", "é", "1", True, 7])


def fitted(kind: str, values: list[Any], how: Table = Table(), least: int = 1) -> FittedTable:  # noqa: B008 - frozen
    cells = [None if v is None else {"x": v} for v in values]
    encoder = how.fit(
        TrainingCells(cells, least_groups=least),
        Field("table", "table", ("x",), "table"),
        {"x": kind},
        Runtime(),
    )
    assert isinstance(encoder, FittedTable)
    return encoder


def coded(encoder: FittedTable, values: list[Any]) -> np.ndarray:
    return encoder.embed([encoder.decode({} if v is None else {"x": v}, Path())[0] for v in values])


@CALM
@given(COLUMN, st.data())
def test_any_increasing_change_leaves_every_rank_as_it_is(
    values: list[float], data: st.DataObject
) -> None:
    """The changed values are any others in the same order: no scale, no skew, no outlier
    matters."""
    order = sorted({max(min(v, 1e300), -1e300) for v in values})
    other = data.draw(
        st.lists(
            st.floats(-1e300, 1e300), min_size=len(order), max_size=len(order), unique=True
        ).map(sorted)
    )
    change = dict(zip(order, other, strict=True))
    changed = [change[max(min(v, 1e300), -1e300)] for v in values]
    one, two = (coded(fitted("number", v), v)[:, 0] for v in (values, changed))
    assert np.array_equal(one, two)
    assert np.allclose(one, norm.ppf((rankdata(changed) - 0.5) / len(values)), atol=1e-6)


@settings(CALM, max_examples=20)
@given(st.integers(66, 400), st.integers(0, 2**32 - 1))
def test_with_many_rows_a_rank_moves_by_less_than_a_knot(rows: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=rows)
    one, two = (
        norm.cdf(coded(fitted("number", v.tolist()), v.tolist())[:, 0]) for v in (x, np.exp(2 * x))
    )
    assert np.abs(one - two).max() < 1 / 65


@CALM
@given(
    st.lists(HARD, max_size=30),
    st.lists(HARD, min_size=1, max_size=20),
    st.sampled_from(["number", "category", "date"]),
)
@example([-1.7e308, 1.7e308], [1e308, 0.0, -1.7e308], "number")  # their difference overflows
def test_every_cell_gives_finite_features_or_is_refused(
    train: list[Any], cells: list[Any], kind: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = fitted(kind, train)
        for cell in cells:
            try:
                found = coded(encoder, [cell])
            except BadCell as error:
                assert error.column == "x" and "\n" not in str(error) and kind != "category"
                continue
            assert (
                found.shape == (1, encoder.width)
                and np.isfinite(found).all()
                # a plain z-score of 65 quantiles is below the root of 65
                and np.abs(found).max() <= 65**0.5
            )


@CALM
@given(
    st.lists(st.one_of(FINITE, st.none()), max_size=80),
    st.lists(st.one_of(WORDS, st.none()), max_size=80),
    st.randoms(),
)
def test_the_order_of_rows_does_not_matter(
    numbers: list[Any], words: list[Any], random: Any
) -> None:  # noqa: ANN401
    for kind, values in (("number", numbers), ("category", words)):
        shuffled = list(values)
        random.shuffle(shuffled)
        assert fitted(kind, values).fingerprint() == fitted(kind, shuffled).fingerprint()


@CALM
@given(FINITE, st.integers(1, 200), FINITE)
def test_a_constant_column_is_zero_where_it_holds_and_finite_elsewhere(
    value: float, rows: int, other: float
) -> None:
    encoder = fitted("number", [value] * rows)
    same, else_ = coded(encoder, [value, other])
    assert same.tolist() == [0, 0, 0] and np.isfinite(else_).all()


@pytest.mark.parametrize("kind", ["number", "category", "date"])
@pytest.mark.parametrize("values", [[], [None] * 5, ["NA", "?", None]])
def test_a_column_of_nothing_says_that_it_is_missing(kind: str, values: list[Any]) -> None:
    encoder = fitted(kind, values)
    missing = coded(encoder, [None])[0]
    assert missing[-1] == 1 and not missing[:-1].any()
    new = coded(encoder, [{"number": 3.5, "category": "a", "date": "2020-02-02"}[kind]])[0]
    assert np.isfinite(new).all() and new[-1] == 0


@CALM
@given(st.lists(WORDS, max_size=60), st.text())
def test_a_category_that_training_did_not_see_is_all_zeros(train: list[Any], new: str) -> None:
    encoder = fitted("category", train)
    values = [spelled(v) for v in train if v is not None]
    often = {v for v in values if values.count(v) > 1}
    assert set(map(spelled, encoder.columns["x"]["values"])) == often
    if spelled(new) not in often:
        assert not coded(encoder, [new]).any()
    for word in often:
        assert coded(encoder, [word]).sum() == 1


@CALM
@given(st.lists(FINITE, min_size=2, max_size=40), st.lists(HARD, min_size=1, max_size=10))
def test_a_row_is_read_the_same_beside_any_other_rows(
    train: list[float], others: list[Any]
) -> None:
    """Nothing is learned from rows outside `fit`, whatever they hold."""
    encoder = fitted("number", train)
    before, learned = coded(encoder, train), encoder.fingerprint()
    for other in others:
        try:
            coded(encoder, [other])
        except BadCell:
            continue
    assert np.array_equal(coded(encoder, train), before) and encoder.fingerprint() == learned
    assert np.array_equal(coded(encoder, train[::-1]), before[::-1])


DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2200, 1, 1))
WRITINGS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d. %B %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
)


@CALM
@given(st.lists(DAYS, min_size=1, max_size=30))
def test_a_day_is_the_same_day_in_every_writing(days: list[datetime.date]) -> None:
    plain = fitted("date", days)
    expected = coded(plain, days)
    moments = [datetime.datetime(d.year, d.month, d.day) for d in days]
    for written in (moments, *([f"{m:{how}}" for m in moments] for how in WRITINGS)):
        assert np.array_equal(coded(fitted("date", written), written), expected)
    for how, order in (
        ("%d/%m/%Y", "day_first"),
        ("%m/%d/%Y", "month_first"),
        ("%d-%m-%Y", "day_first"),
    ):
        written = [f"{d:{how}}" for d in days]
        assert np.array_equal(coded(fitted("date", written, Table(dates=order)), written), expected)  # type: ignore[arg-type]
        if any(d.day > 12 for d in days):  # one of them says which is which
            found = fitted("date", written)
            assert found.columns["x"]["order"] == order and np.array_equal(
                coded(found, written), expected
            )
