"""What a target column means. Oracle: planted cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Target
from gobelin.data.split.splits import Split, assign, scored_classes
from gobelin.data.targets import target_of
from gobelin.embedding.columns import schema


def target(
    values: list[Any],
    kind: str | None = None,
    order: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
) -> Target:
    table = pa.table({"y": values, "x": [float(k) for k in range(len(values))]})
    data = Dataset(table, Path(), "d.parquet")
    choices = schema.Choices({"y": kind} if kind else {}, order=order)
    return target_of(data, schema.infer(data, "y", choices), classes)


def test_labels_are_lists_or_texts_with_separators() -> None:
    lists = target([["b", "a"], ["c"], [], None, ["a", "a"]], "labels")
    texts = target(["b|a", " c ; ", "|", None, "a"], "labels")
    for one in (lists, texts):
        assert (one.kind, one.classes) == ("labels", ("a", "b", "c"))
        assert one.values.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [-1, -1, -1], [1, 0, 0]]
        assert one.present.tolist() == [True, True, True, False, True]
        assert one.counts([0, 1, 2, 4]).tolist() == [2, 1, 1]
        assert one.strata.tolist() == [
            1,
            2,
            3,
            -1,
            0,
        ]  # the rarest label of a row; 3: it has none; -1: nothing is known
    assert target([["b", "new"]] * 2, "labels", classes=("a", "b")).values.tolist() == [[0, 1]] * 2
    assert target([[1.0, 2.0], [2.0]], "labels").classes == ("1", "2")


def test_levels_are_numbers_in_their_order_or_words_in_the_one_that_was_said() -> None:
    one = target([10, 2, None, 2, 9], "ordinal")
    assert (one.kind, one.classes, one.values.tolist()) == (
        "ordinal",
        ("2", "9", "10"),
        [2, 0, -1, 0, 1],
    )
    words = target(["mid", "low", None, "high"], order=("low", "mid", "high"))
    assert (words.kind, words.classes, words.values.tolist()) == (
        "ordinal",
        ("low", "mid", "high"),
        [1, 0, -1, 2],
    )
    numbers = target([3.0, 1.0, 2.0], order=("3", "2", "1"))
    assert numbers.values.tolist() == [0, 2, 1] and target(
        [1, 7], "ordinal", classes=("1", "2")
    ).values.tolist() == [0, -1]


def test_what_a_row_has_in_words() -> None:
    labels = target(["b|a", " c ; ", "|", None, "a"], "labels")
    assert [labels.text(k) for k in range(5)] == ["a | b", "c", "none of the labels", "", "a"]
    levels = target([10, 2, None], "ordinal")
    assert [levels.text(k) for k in range(3)] == ["10", "2", ""]
    numbers = target([0.25, 1234567.5, None, -3.0], "number")
    assert [numbers.text(k) for k in range(4)] == ["0.25", "1234570", "", "-3"]
    classes = target(["red", None, "blue"])
    assert [classes.text(k) for k in range(3)] == ["red", "", "blue"]


def test_a_column_of_whole_floats_is_one_of_classes() -> None:
    """A table that lost a cell writes 1 and 2 as 1.0 and 2.0: the classes stay '1' and '2'."""
    one = target([1.0, 2.0, None] * 15)
    assert (one.kind, one.classes) == ("class", ("1", "2")) and one.values[:3].tolist() == [
        0,
        1,
        -1,
    ]
    assert target([1.0, 2.5, 3.0] * 10, "category").classes == ("1", "2.5", "3")


@pytest.mark.parametrize(
    ("values", "kind", "order", "words"),
    [
        (["a", "b", "c"], "ordinal", (), ["row 0", "'a' is not a number", "data.order"]),
        (
            ["low", "top"],
            None,
            ("low", "mid"),
            ["row 1", "'top' is no level of data.order", "low, mid"],
        ),
        ([["a"], ["a", "b"]], None, (), ["2 rows hold a list", "row 0", "--set schema.y=labels"]),
        (["a", "b"], "category", ("a", "b"), ["data.order", "category, which has no order"]),
        (["a", "b"], None, ("a", "a"), ["data.order", "a, a"]),
        (["a", "b"], "image", (), ["schema.y", "is the target", "ordinal, labels"]),
        ([float(k) for k in range(60)], "ordinal", (), ["60 different levels", "at most 50"]),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(
    values: list[Any], kind: str | None, order: tuple[str, ...], words: list
) -> None:
    with pytest.raises(GobelinError) as refusal:
        target(values, kind, order)
    said = str(refusal.value)
    assert all(word in said for word in words), said


def test_labels_are_spread_over_the_parts_and_what_no_part_has_is_not_scored() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((400, 3)) < [0.5, 0.2, 0.05]).astype(np.int64)
    values = np.concatenate(
        [values, np.ones((400, 1), np.int64)], 1
    )  # a label that every row has tells nothing
    one = Target("y", "labels", values, ("a", "b", "c", "always"))
    parts = assign(Split(), one, [str(k) for k in range(400)], 0)
    shares = [
        one.counts(np.flatnonzero(parts == p))[2] / one.counts(range(400))[2]
        for p in ("train", "valid", "test")
    ]
    assert shares == pytest.approx([0.55, 0.2, 0.25], abs=0.06)
    assert scored_classes(one, parts).tolist() == [True, True, True, False]


def test_rows_without_a_target_and_chosen_rows() -> None:
    one = target(["b|a", "c", "|"], "labels")
    hidden = one.without(np.array([False, True, False]))
    assert hidden.present.tolist() == [True, False, True] and hidden.rows(
        [1, 0]
    ).values.tolist() == [[-1] * 3, [1, 1, 0]]
    number = Target("y", "number", np.array([1.0, 2.0])).without(np.array([True, False]))
    assert number.present.tolist() == [False, True] and number.strata.tolist() == [-1, 0]


def test_rows_that_count_have_a_label_and_a_class_of_every_part() -> None:
    held = np.array([True, True, False])
    classes = Target("y", "class", np.array([0, 1, 2, -1, 1]), ("a", "b", "c"), held)
    assert classes.scored_rows(np.array([4, 3, 2, 0])).tolist() == [4, 0]
    unsplit = Target("y", "class", np.array([0, 1, 2, -1, 1]), ("a", "b", "c"))
    assert unsplit.scored_rows(np.arange(5)).tolist() == [0, 1, 2, 4]
    number = Target("y", "number", np.array([1.0, np.nan, 2.0]))
    assert number.scored_rows(np.arange(3)).tolist() == [0, 2]
    labels = Target(
        "y", "labels", np.array([[1, 0], [-1, -1]]), ("a", "b"), np.array([True, False])
    )
    assert labels.scored_rows(np.arange(2)).tolist() == [0]
