"""What can't be used in a data set is refused in one error, with a line for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.data.dataset import Dataset
from gobelin.workbench.run.rows import read_rows
from gobelin.workbench.run.settings import Settings

LABELLED_ROWS = 60


def settings(**groups: Any) -> Settings:
    target = {"data": {"target": "kind"}}
    return config.build(Settings, config.merge(target, groups))


def dataset(labelled: int = LABELLED_ROWS, generated: int = 0) -> Dataset:
    """Rows with a number, a word and one of two classes."""
    rows = [
        {
            "size": float(k),
            "word": f"word {k}",
            "kind": f"class {k % 2}" if k < labelled else None,
            "gobelin_origin": "generated" if k < generated else "real",
        }
        for k in range(LABELLED_ROWS)
    ]
    return Dataset(pa.Table.from_pylist(rows), Path())


def refusals(rows: Dataset, **groups: Any) -> list[str]:
    with pytest.raises(GobelinError) as error:
        read_rows(settings(**groups), rows)
    return str(error.value).splitlines()


def test_a_usable_data_set_is_read() -> None:
    assert len(read_rows(settings(), dataset()).dataset) == LABELLED_ROWS


def test_one_mistake_is_one_line() -> None:
    (line,) = refusals(dataset(generated=3))
    assert "3 of 60 rows are not real" in line


def test_two_mistakes_are_reported_together() -> None:
    generated, field = refusals(dataset(generated=3), leave_out=("siez",))
    assert "3 of 60 rows are not real" in generated
    assert field.startswith("leave_out: no field 'siez'.")


def test_three_mistakes_are_reported_together() -> None:
    """Settings of training and of the split beside a lack of labels."""
    few, weights, split = refusals(
        dataset(labelled=4), predict={"weights": {"class 7": 2.0}}, split={"by": "time"}
    )
    assert "4 labelled rows" in few
    assert weights.startswith("predict.weights.class 7: no such class")
    assert split.startswith("split.by = time: no column has the role time")


def test_every_unknown_field_has_a_line() -> None:
    lines = refusals(dataset(), leave_out=("siez", "wrod"))
    assert [line.split(".")[0] for line in lines] == [
        "leave_out: no field 'siez'",
        "leave_out: no field 'wrod'",
    ]


def test_a_lack_of_labels_hides_the_lack_of_classes_that_follows_from_it() -> None:
    (line,) = refusals(dataset(labelled=1))
    assert "1 labelled row," in line


def test_generated_rows_are_reported_beside_a_target_that_is_not_there() -> None:
    generated, target = refusals(dataset(generated=1), data={"target": "kidn"})
    assert "1 of 60 rows are not real" in generated
    assert "no column 'kidn' to be the target" in target
