"""Parts against the promises: groups whole, shares within rounding, time in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.fields import Target
from gobelin.data.split.splits import SPLIT_PARTS, Split, assign, scored_classes

RNG = np.random.default_rng(0)


def classes(values: np.ndarray) -> Target:
    return Target(
        "y", "class", values.astype(np.int64), tuple(map(str, range(int(values.max()) + 1)))
    )


def alone(n: int) -> list[str]:
    return [f"row {k}" for k in range(n)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", [Split(), Split(0.1, 0.1), Split(0.33, 0.4)])
def test_shares_of_every_class_within_rounding(how: Split, seed: int) -> None:
    y = np.repeat([0, 1, 2, -1], [103, 40, 7, 30])
    parts = assign(how, classes(y), alone(len(y)), seed)
    for c, n in ((0, 103), (1, 40), (2, 7)):
        assert abs((parts[y == c] == "test").sum() - how.test * n) <= 0.5 + 1e-9
        assert abs((parts[y == c] == "valid").sum() - how.valid * n) <= 1
    assert set(parts[y == -1]) == {"train"}


@pytest.mark.parametrize("seed", range(5))
def test_a_group_never_stands_in_two_parts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(-1, 3, 400)
    groups = [f"g{g}" for g in rng.integers(0, 60, 400)]
    parts = assign(Split(), classes(y), groups, seed)
    assert all(
        len({p for p, g in zip(parts, groups, strict=True) if g == one}) == 1 for one in groups
    )
    counted = parts[y >= 0]
    assert (
        abs((counted == "test").mean() - 0.25) < 0.06
        and abs((counted == "valid").mean() - 0.2) < 0.06
    )


def test_a_group_of_everything_trains_or_tests_as_one() -> None:
    parts = assign(Split(), classes(np.zeros(10)), ["g"] * 10, 0)
    assert len(set(parts)) == 1


def test_a_number_is_stratified_by_thirds() -> None:
    y = RNG.normal(size=300)
    y[::10] = np.nan
    parts = assign(Split(), Target("y", "number", y), alone(300), 0)
    known = ~np.isnan(y)
    edges = np.quantile(y[known], [1 / 3, 2 / 3])
    for third in range(3):
        rows = known & (np.searchsorted(edges, np.nan_to_num(y)) == third)
        assert abs((parts[rows] == "test").sum() - 0.25 * rows.sum()) <= 0.5
    assert set(parts[~known]) == {"train"}


def part_of(target: Target, groups: list[str], order: np.ndarray, **more: Any) -> dict[str, str]:
    """{group: part} of the rows in another order."""
    names = [groups[k] for k in order]
    times = more.pop("times", None)
    moved = None if times is None else [times[k] for k in order]
    parts = assign(more.pop("how", Split()), target.rows(order), names, 0, times=moved, **more)
    return dict(zip(names, parts.tolist(), strict=True))


def several(n: int) -> Target:
    values = RNG.integers(0, 2, (n, 3))
    return Target("y", "labels", values, ("a", "b", "c"))


SORTABLE: dict[str, tuple[Target, list[str]]] = {
    "classes": (classes(RNG.integers(0, 3, 120)), alone(120)),
    "a number": (Target("y", "number", RNG.normal(size=120)), alone(120)),
    "several labels": (several(120), alone(120)),
    "groups of mixed classes": (
        classes(RNG.integers(0, 4, 120)),
        [f"g{g}" for g in RNG.integers(0, 40, 120)],
    ),
    # two rows a group, of two classes: a tie that row order used to break
    "groups that are ties": (
        classes(np.array([k % 2 * 8 + 1 for k in range(120)])),
        [f"g{k // 2}" for k in range(120)],
    ),
}


@pytest.mark.parametrize("kind", SORTABLE)
@pytest.mark.parametrize("seed", range(3))
def test_sorting_moves_nobody(kind: str, seed: int) -> None:
    target, groups = SORTABLE[kind]
    before = part_of(target, groups, np.arange(120))
    for order in (np.random.default_rng(seed).permutation(120), np.arange(120)[::-1]):
        assert part_of(target, groups, order) == before
    assert set(before.values()) == set(SPLIT_PARTS)


def test_the_place_of_a_group_depends_on_its_name_alone() -> None:
    """Rows are added without a record: nobody but those at a cut moves."""
    names = [f"patient {k}" for k in range(400)]
    few = part_of(classes(np.zeros(300)), names[:300], np.arange(300))
    many = part_of(classes(np.zeros(400)), names, np.arange(400))
    assert sum(many[name] != part for name, part in few.items()) < 0.15 * 300


@pytest.mark.parametrize("seed", range(3))
def test_recorded_groups_stay_and_new_ones_fill_the_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1, 2], [160, 60, 20]))
    names, first = alone(240), rng.permutation(240)[:90]
    record = part_of(classes(y), names, first)
    parts = assign(Split(), classes(y), names, 0, recorded=record)
    assert all(parts[k] == record[names[k]] for k in first)
    for c in range(3):
        for part, share in (("test", 0.25), ("valid", 0.2)):
            assert abs((parts[y == c] == part).sum() - share * (y == c).sum()) <= 1
    order = rng.permutation(240)
    assert part_of(classes(y), names, order, recorded=record) == dict(
        zip(names, parts.tolist(), strict=True)
    )


def test_a_group_with_new_rows_keeps_its_part_whole() -> None:
    groups = [f"g{k // 3}" for k in range(90)]
    y = classes(np.arange(90) % 2)
    record = part_of(y, groups, np.arange(0, 90, 3))
    parts = assign(Split(), y, groups, 0, recorded=record)
    assert [record[g] for g in groups] == parts.tolist()


def test_by_time_new_rows_take_the_part_of_their_time() -> None:
    how, times = Split(by="time"), list(range(100))
    record = part_of(classes(np.zeros(60)), alone(60), np.arange(60), how=how, times=times)
    parts = assign(how, classes(np.zeros(100)), alone(100), 0, times=times, recorded=record)
    assert all(parts[k] == record[f"row {k}"] for k in range(60)) and set(parts[60:]) == {"test"}
    earlier = [-1, *times]
    grown = assign(
        how, classes(np.zeros(61)), ["new", *alone(60)], 0, times=earlier[:61], recorded=record
    )
    assert grown[0] == "train"
    mixed = {f"row {k}": SPLIT_PARTS[k % 3] for k in range(60)}
    with pytest.raises(GobelinError, match="not in the order of time"):
        assign(how, classes(np.zeros(100)), alone(100), 0, times=times, recorded=mixed)


def test_the_users_column_moves_no_recorded_group() -> None:
    given = ["train", "test", "valid", "test"]
    record = {"row 0": "train", "row 1": "train", "row 2": "test"}
    with pytest.raises(GobelinError, match="moves 2 groups .*'row 1' from train to test"):
        assign(Split(), classes(np.zeros(4)), alone(4), 0, given, recorded=record)
    kept = assign(Split(), classes(np.zeros(4)), alone(4), 0, given, recorded={"row 1": "test"})
    assert kept.tolist() == given


def test_same_seed_same_parts() -> None:
    y = classes(RNG.integers(0, 3, 200))
    one, again, other = (assign(Split(), y, alone(200), s) for s in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def days(n: int) -> list[str]:
    return [str(np.datetime64("1999-12-20") + k) for k in range(n)]


@pytest.mark.parametrize(
    "times",
    [list(range(100)), [str(k) for k in range(100)], [k / 7 for k in range(100)], days(100)],
    ids=["numbers", "numbers as text", "fractions", "dates"],
)
def test_by_time_every_test_row_is_later(times: list[object]) -> None:
    order = RNG.permutation(100)
    parts = assign(
        Split(by="time"), classes(np.zeros(100)), alone(100), 0, times=[times[k] for k in order]
    )
    when = {p: order[parts == p] for p in SPLIT_PARTS}
    assert when["train"].max() < when["valid"].min() and when["valid"].max() < when["test"].min()
    assert [len(when[p]) for p in SPLIT_PARTS] == [55, 20, 25]


def test_by_time_rows_of_one_moment_stay_together(caplog: pytest.LogCaptureFixture) -> None:
    """Five stocks on 40 days: no day is in two parts, and the shares are kept to a day. Two days
    alone have to be divided, and a line says so."""
    how, moment = Split(by="time"), RNG.permutation(np.repeat(np.arange(40), 5))
    parts = assign(how, classes(np.zeros(200)), alone(200), 0, times=moment.tolist())
    found = [set(moment[parts == p]) for p in SPLIT_PARTS]
    assert sum(map(len, found)) == 40 and max(found[0]) < min(found[1]) < min(found[2])
    assert [len(f) for f in found] == [22, 8, 10] and not caplog.text
    years = np.repeat([2024, 2025], 50).tolist()
    parts = assign(how, classes(np.zeros(100)), alone(100), 0, times=years)
    assert [(parts == p).sum() for p in SPLIT_PARTS] == [55, 20, 25]
    assert "2 different times" in caplog.text


def test_by_time_a_group_goes_with_its_latest_row() -> None:
    groups, times = ["a", "b", "a", *alone(17)], [0, 1, 100, *range(2, 19)]
    parts = assign(Split(by="time"), classes(np.zeros(20)), groups, 0, times=times)
    assert parts[0] == parts[2] == "test" and parts[1] == "train"


def test_by_time_a_row_without_one() -> None:
    times: list[object] = [1, None, 3]
    with pytest.raises(GobelinError, match="split.by = time: row 1 has a target and no time"):
        assign(Split(by="time"), classes(np.zeros(3)), alone(3), 0, times=times)
    assert (
        assign(Split(by="time"), classes(np.array([0, -1, 0])), alone(3), 0, times=times)[1]
        == "train"
    )
    with pytest.raises(GobelinError, match="no column has the role time"):
        assign(Split(by="time"), classes(np.zeros(3)), alone(3), 0)


def test_a_given_column_is_taken_as_it_is() -> None:
    given = ["Train", "test", "VAL", None, "training", "validation", "testing"]
    parts = assign(Split(), classes(np.zeros(7)), alone(7), 0, given)
    assert parts.tolist() == ["train", "test", "valid", "train", "train", "valid", "test"]
    with pytest.raises(GobelinError, match="'tset' is no part of a split. Did you mean 'test'?"):
        assign(Split(), classes(np.zeros(1)), alone(1), 0, ["tset"])
    with pytest.raises(GobelinError, match="group 'g' is in train and in test"):
        assign(Split(), classes(np.zeros(2)), ["g", "g"], 0, ["train", "test"])


def test_small_classes_are_not_scored() -> None:
    y = classes(np.array([0, 0, 0, 1, 1, 2, -1, -1]))
    parts = np.array(["train", "valid", "test", "train", "test", "train", "valid", "test"])
    assert scored_classes(y, parts).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "wrong", [{"valid": 0}, {"test": 1}, {"valid": 0.5, "test": 0.5}, {"by": "class"}]
)
def test_impossible_shares_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(GobelinError, match="was expected|must leave more than 0.01 to train"):
        Split(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [1, 12, 90, 191, 900])
@pytest.mark.parametrize("how", [Split(), Split(0.1, 0.3)])
def test_many_rare_labels_leave_no_part_out(how: Split, labels: int) -> None:
    """Each part has its share of the rows, but for half a row of each stratum that is filled."""
    rng = np.random.default_rng(labels)
    values = np.zeros((150, labels), np.int64)
    for row in values:
        row[rng.choice(labels, min(6, labels), replace=False)] = 1
    target = Target("y", "labels", values, tuple(map(str, range(labels))))
    groups = alone(len(values))
    parts = assign(how, target, groups, 0)
    filled = min(labels, len(values) * min(how.valid, how.test)) + 1
    for part, share in (("test", how.test), ("valid", how.valid)):
        assert abs((parts == part).sum() - share * len(values)) <= filled / 2 + 1
        assert (parts == part).sum() >= 0.5 * share * len(values)
    turned = assign(how, target.rows(np.arange(150)[::-1]), groups[::-1], 0)
    assert turned[::-1].tolist() == parts.tolist()
    if labels > 12:  # given: the parts that a user's column lacks are drawn in the same way
        drawn = assign(how, target, groups, 0, given=["train"] * 140 + ["valid"] * 10)
        assert abs((drawn == "test").sum() - how.test / (1 - how.valid) * 140) <= filled / 2 + 1
