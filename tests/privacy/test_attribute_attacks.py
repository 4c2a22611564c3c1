"""Three attacks on tables with a planted truth: rows that were copied, and rows drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gobelin.privacy.attribute_attacks import AttackedCells, Columns, Success, _nearest, attacked

TOWNS = np.array([f"town {k}" for k in range(40)])


def people(n: int, seed: int) -> Columns:
    """Age, income, and two places; the second follows from the first in 80 % of rows."""
    rng = np.random.default_rng(seed)
    town = rng.integers(0, 40, n)
    follows = np.where(rng.random(n) < 0.8, town, rng.integers(0, 40, n))
    return {
        "age": rng.integers(18, 90, n).astype(float),
        "income": np.round(rng.lognormal(10, 0.5, n)),
        "born in": TOWNS[town],
        "lives in": TOWNS[follows],
    }


def some(columns: Columns, chosen: slice) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}


def found(train: Columns, holdout: Columns, made: Columns) -> dict[str, Success]:
    successes = attacked(AttackedCells(train, holdout, made), np.random.default_rng(0))
    return {s.attack + s.column: s for s in successes}


def test_copied_rows_are_singled_out_linked_and_inferred() -> None:
    train, holdout = people(300, 0), people(300, 1)
    risks = found(train, holdout, train)
    link = risks["linkability"]
    assert link.train.value > 0.9 and link.strong and link.control.value < 0.2
    assert link.risk.low > 0.8
    assert risks["singling out"].train.value > 0.95 and risks["singling out"].risk.low > 0.3
    income = risks["inferenceincome"]
    assert income.train.value > 0.95 and income.risk.low > 0.5


def test_rows_drawn_anew_give_no_more_away_than_of_others() -> None:
    """The interval of the risk holds 0, also where the population itself tells a cell."""
    above = 0
    for seed in range(12):
        risks = found(*(people(200, 3 * seed + k) for k in range(3)))
        above += sum(s.risk.low > 0 for s in risks.values())
        place = risks["inferencelives in"]
        assert place.strong and place.train.value > 0.4 and place.control.value > 0.4
    assert above <= stats.binom.ppf(0.999, 12 * 6, 0.05)


def test_the_risk_is_the_formula_of_the_paper() -> None:
    train, holdout = people(300, 0), people(300, 1)
    for success in found(train, holdout, some(train, slice(0, 150))).values():
        t, c = success.train.value, success.control.value
        assert success.risk.value == pytest.approx(max(0.0, (t - c) / (1 - c)))
        assert success.risk.low <= success.risk.value <= success.risk.high


def test_the_counts_are_those_of_the_papers_own_tool() -> None:
    """anonymeter 1.1.0 on the same tables, halves and columns (regression = True for numbers):
    successes of 300 attacks on training and on held-out rows. Up to two of 300 differ (ties, and
    the range by which numbers are scaled)."""
    train, holdout = people(300, 0), people(300, 1)
    made = some(train, slice(0, 200))
    halves = ["age", "born in"], ["income", "lives in"]
    linked = [
        int(np.equal(*(_nearest(rows, made, half) for half in halves)).sum())
        for rows in (train, holdout)
    ]
    assert linked == pytest.approx([203, 40], abs=2)
    risks = found(train, holdout, made)
    for column, successes in {"age": (211, 27), "income": (199, 17)}.items():
        one = risks[f"inference{column}"]
        ours = 300 * one.train.value, 300 * one.control.value
        assert ours == pytest.approx(successes, abs=2)


def test_the_nearest_row_is_that_of_gower_by_hand() -> None:
    made = {"x": np.array([0.0, 10.0, np.nan]), "c": np.array(["a", "b", "a"])}
    rows = {"x": np.array([1.0, 9.0, np.nan, 4.0]), "c": np.array(["a", "a", "b", ""])}
    # distances: .1 .9+1 1 | .9 .1+1 1 | 1+1 1+0 0+1 | .4+1 .6+1 1+1
    assert list(_nearest(rows, made, ["x", "c"])) == [0, 0, 1, 0]


def test_a_guess_is_no_attack() -> None:
    """Made rows of noise: no attack but singling out does better than guessing."""
    train, holdout, noise = people(300, 0), people(300, 1), people(300, 2)
    rng = np.random.default_rng(3)
    shuffled = {name: rng.permutation(values) for name, values in noise.items()}
    risks = found(train, holdout, shuffled)
    assert not risks["linkability"].strong and not risks["inferenceage"].strong


def test_empty_columns_are_no_error() -> None:
    train, holdout = people(60, 0), people(60, 1)
    for part in (train, holdout):
        part["age"] = np.full(60, np.nan)
        part["born in"] = np.full(60, "")
    risks = found(train, holdout, train)
    assert risks["inferenceage"].train.value == 1 and not risks["inferenceage"].strong


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_or_columns(rows: int) -> None:
    train = people(50, 0)
    assert not attacked(
        AttackedCells(train, some(train, slice(0, rows)), train), np.random.default_rng(0)
    )
    one = {"age": train["age"]}
    assert not attacked(AttackedCells(one, one, one), np.random.default_rng(0))
    assert not attacked(AttackedCells({}, {}, {}), np.random.default_rng(0))


def test_one_parent_with_several_images_counts_once() -> None:
    train, holdout = people(100, 0), people(100, 1)
    thrice = {name: np.tile(values, 3) for name, values in train.items()}
    assert found(train, holdout, thrice)["singling out"].train.value > 0.95
