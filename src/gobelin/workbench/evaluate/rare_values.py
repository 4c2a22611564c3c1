"""Columns of categories of which much is lost, because few groups of training rows share a value.

What this cannot show: how much the lost values would help. `evaluate` shows it, after a fit with
the setting that the warning names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from gobelin.data.fields import Cell
from gobelin.data.values.spelling import spelled
from gobelin.embedding.encoders import FittedEncoder, LeavesOut, NamesUnseen

MOST_LINES = 6  # columns with a line of their own
LOST_VALUES = 0.5  # share of the values of a column, from which on it is told
LOST_CELLS = 0.1  # share of its cells
LOST_CLASS = 0.5  # share of the rows of a class that such values, of no other class, would tell


def warnings(
    encoders: Mapping[str, FittedEncoder],
    cells: Mapping[str, Sequence[Cell | None]],
    least_groups: int,
    answers: Sequence[str] = (),
) -> list[str]:
    """One line for each column of which more than half of the values, or more than a tenth of the
    cells, would be kept if one group were enough, or of which such values tell a class.

    encoders: {field: its encoder}. cells: {field: of the training rows}, of the fields to look at.
    answers: the classes of these rows, '' of a row without one; () where there are no classes.
    A value of one training row alone is never kept, so it does not count.
    """
    if least_groups < 2:
        return []
    lines: list[str] = []
    names: list[str] = []
    for field in cells:
        encoder = encoders[field]
        if not (isinstance(encoder, LeavesOut) and isinstance(encoder, NamesUnseen)):
            continue
        unseen = encoder.unseen(cells[field])
        for column in encoder.rare():
            of_rows = [_value(cell, column) for cell in cells[field]]
            held = Counter(value for value in of_rows if value is not None)
            lost = {v: n for v, n in Counter(map(spelled, unseen.get(column, ()))).items() if n > 1}
            count, total = sum(lost.values()), sum(held.values())
            told = _told_class(of_rows, lost, answers)
            if told or len(lost) > LOST_VALUES * len(held) or count > LOST_CELLS * total:
                names.append(column)
                lines.append(
                    f"column {column!r}: {len(lost)} of its {len(held)} values, in {count} of"
                    f" {total} training cells, count as unknown: fewer than {least_groups} groups"
                    f" of rows have each{told}. To learn from them: --set data.least_groups=1. A"
                    " saved run may then hold values of few groups."
                )
    if len(lines) <= MOST_LINES:
        return lines
    more = ", ".join(names[MOST_LINES - 1 :])
    return [*lines[: MOST_LINES - 1], f"the same is true of the columns {more}."]


def _value(cell: Cell | None, column: str) -> str | None:
    value = None if cell is None else cell.get(column)
    return None if value is None else spelled(value)


def _told_class(values: Sequence[str | None], lost: Collection[str], answers: Sequence[str]) -> str:
    """The first class of which most rows have a lost value that no row of another class has, in
    words; '' where there is none."""
    pairs = [
        (value, answer)
        for value, answer in zip(values, answers, strict=False)  # no answers: no pairs
        if answer and value is not None and value in lost
    ]
    classes: dict[str, set[str]] = {}  # of each lost value
    for value, answer in pairs:
        classes.setdefault(value, set()).add(answer)
    rows = Counter(filter(None, answers))
    told = Counter(answer for value, answer in pairs if classes[value] == {answer})
    for answer in sorted(rows):
        if told[answer] > LOST_CLASS * rows[answer]:
            return f", and they tell {told[answer]} of the {rows[answer]} rows of {answer!r}"
    return ""
