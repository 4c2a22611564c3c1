"""Categories that lose much to `data.least_groups` are told. Oracle: the same column fitted with
one group, whose additional values are those that the setting brings back."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gobelin.core.machine import Runtime
from gobelin.data.fields import Field
from gobelin.embedding.encoders import TrainingCells
from gobelin.embedding.encoders.table import Table
from gobelin.workbench.evaluate.rare_values import LOST_CELLS, LOST_VALUES, MOST_LINES, warnings

Cells = list[dict[str, str] | None]


def fitted(cells: Cells, groups: list[str], least: int):  # noqa: ANN201
    names = tuple(dict.fromkeys(name for cell in cells for name in cell or {}))
    field = Field("facts", "table", names, "category")
    kinds = dict.fromkeys(names, "category")
    return Table().fit(TrainingCells(cells, groups, least), field, kinds, Runtime())


def told(cells: Cells, groups: list[str], least: int = 5) -> list[str]:
    return warnings({"facts": fitted(cells, groups, least)}, {"facts": cells}, least)


@pytest.mark.parametrize("values", [3, 12, 30, 60])
def test_the_counts_are_those_of_a_fit_with_one_group(values: int) -> None:
    rng = np.random.default_rng(values)
    cells: Cells = [{"race": f"r{rng.integers(0, values)}"} for _ in range(120)]
    cells[7] = cells[8] = None
    groups = [f"g{k // 3}" for k in range(120)]
    of_five = fitted(cells, groups, 5).unseen(cells).get("race", [])
    of_one = fitted(cells, groups, 1).unseen(cells).get("race", [])
    back = set(of_five) - set(of_one)
    count = len(of_five) - len(of_one)
    everything = {cell["race"] for cell in cells if cell}
    much = len(back) > LOST_VALUES * len(everything) or count > LOST_CELLS * 118
    lines = told(cells, groups)
    assert len(lines) == much
    for line in lines:
        found = re.search(r"(\d+) of its (\d+) values, in (\d+) of (\d+) training cells", line)
        assert found is not None
        assert [int(n) for n in found.groups()] == [len(back), len(everything), count, 118]
        assert "'race'" in line and "--set data.least_groups=1." in line
        assert "a saved run may then hold values of few groups" in line.lower()


def test_what_the_setting_does_not_bring_back_is_not_told() -> None:
    """Names that are different in every row, and a setting that keeps all already."""
    names: Cells = [{"name": f"n{k}", "kind": "ab"[k % 2]} for k in range(40)]
    groups = [str(k) for k in range(40)]
    assert told(names, groups) == []
    rare: Cells = [{"name": f"n{k // 2}"} for k in range(40)]
    assert len(told(rare, groups)) == 1 and told(rare, groups, least=1) == []


def test_many_columns_are_few_lines() -> None:
    cells: Cells = [{f"c{j}": f"v{k // 2}" for j in range(20)} for k in range(40)]
    lines = told(cells, [str(k) for k in range(40)])
    assert len(lines) == MOST_LINES
    assert all(f"c{j}" in "\n".join(lines) for j in range(20))


def test_a_rare_value_that_tells_a_rare_class_is_told() -> None:
    """Planted: of 300 rows three are of a class of their own and say so in one word. The two rows
    of another rare value, and a value of both classes, tell nothing."""
    values = ["sword", "ring", "axe"] * 99 + ["totem"] * 3
    answers = ["common", "fine"] * 148 + ["fine"] + ["unique"] * 3
    values[10] = values[20] = "bow"  # of 'common', which has many rows
    values[31] = values[40] = "rod"  # of two classes
    groups = [str(k) for k in range(300)]

    def found(least: int, answers: list[str]) -> list[str]:
        cells: Cells = [{"kind": value} for value in values]
        return warnings({"facts": fitted(cells, groups, least)}, {"facts": cells}, least, answers)

    (line,) = found(5, answers)
    assert "3 of its 6 values, in 7 of 300 training cells" in line
    assert "and they tell 3 of the 3 rows of 'unique'" in line
    assert found(1, answers) == found(5, []) == []
    assert found(5, [a.replace("unique", "fine") for a in answers]) == []
    assert found(5, [a.replace("unique", "") for a in answers]) == []
