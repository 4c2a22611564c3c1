"""Rows of totals under a table, as spreadsheets and reports write them.

A row is one only where its words and its numbers both say so: it calls itself a sum or a mean, and
most of its numbers are sums or means of the rows above it; or half of its cells or more are empty,
and all its numbers are sums. Columns of fewer than `LEAST_VALUES` different values prove nothing.
Notes may stand below the totals, such as a source or a date: rows of one text alone, or of nothing.

What this can't show: a row of totals of something else, as of parts of the rows or of hidden ones.
It stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.data.values.numbers import number, numbers_of

MOST_ROWS = 3  # of totals, under one table
MOST_NOTES = 5  # rows of notes, under the totals
LEAST_VALUES = 4  # different ones that a sum must be of, to be no accident
NEAR = 1e-3  # relative difference that rounding makes
EXACT = 1e-9  # of a sum: what values beside the largest one must add to it, to be seen
WORDS = frozenset(
    "total totals sum sums summe gesamt gesamtsumme insgesamt totale somme suma soma totaal som tot"
    " totaux razem итого 合計 合计 总计 합계 average avg mean durchschnitt mittel mittelwert"
    " schnitt moyenne media promedio média gemiddelde gemiddeld среднее 平均 평균".split()
)
WORD = re.compile(r"[^\W\d_]+")
LONGEST = 40  # letters of a cell in which a row calls itself a total


def rows_of_totals(table: pa.Table) -> tuple[int, int, list[str]]:
    """How many rows at the end of a table hold totals of the rows above them, how many rows of
    notes stand below these, and the columns that show it. 0, 0 and nothing for other tables."""
    last = [
        list(row.values())
        for row in table.slice(max(table.num_rows - MOST_ROWS - MOST_NOTES, 0)).to_pylist()
    ]
    notes = 0
    while notes < min(len(last), MOST_NOTES) and _is_note(last[-notes - 1]):
        notes += 1
    table, last = table.slice(0, table.num_rows - notes), last[: len(last) - notes][-MOST_ROWS:]
    rows = 0
    while rows < len(last) and (_is_named(last[-rows - 1]) or _is_sparse(last[-rows - 1])):
        rows += 1
    columns = _numbers(table, last[-rows:]) if rows else {}
    for count in range(rows, 0, -1):
        shown = [_shown(columns, last[-k], k, count) for k in range(count, 0, -1)]
        if all(shown):
            return count, notes, shown[0]
    return 0, 0, []


def _is_note(cells: Sequence[Any]) -> bool:
    """Whether a row of several cells holds one text that is no number, or nothing."""
    there = [c for c in cells if c is not None and str(c).strip()]
    return len(cells) > 2 and (not there or (len(there) == 1 and number(there[0]) is None))


def _is_named(cells: Sequence[Any]) -> bool:
    """Whether a row calls itself a total."""
    texts = (c for c in cells if isinstance(c, str) and len(c) <= LONGEST)
    return any(w.casefold() in WORDS for c in texts for w in WORD.findall(c))


def _is_sparse(cells: Sequence[Any]) -> bool:
    """Whether a row has something, but half of its cells or more are empty."""
    there = sum(c is not None and bool(str(c).strip()) for c in cells)
    return 0 < there <= len(cells) / 2


def _numbers(table: pa.Table, rows: Sequence[Sequence[Any]]) -> dict[str, np.ndarray]:
    """{column: its numbers, float64 [N], nan for what is none}, of the columns in which one of
    these rows has something like a number."""
    found = {}
    for k, name in enumerate(table.column_names):
        cells = [str(row[k]) for row in rows if isinstance(row[k], str | int | float)]
        if any(len(c) <= LONGEST and any(map(str.isdigit, c)) for c in cells):
            column = table[name].to_pylist()
            if any(x is not None for x in numbers_of(column[-len(rows) :])):
                read = numbers_of(column)
                found[name] = np.array([np.nan if x is None else x for x in read], np.float64)
    return found


def _shown(
    columns: dict[str, np.ndarray], cells: Sequence[Any], place: int, rows: int
) -> list[str]:
    """The columns that show a row to be a total of the rows above all `rows` last ones; nothing for
    another row. place: of the row, from the end."""
    shown, others = [], 0
    for name, numbers in columns.items():
        total, above = float(numbers[-place]), numbers[:-rows]
        above = above[np.isfinite(above)]
        if not np.isfinite(total) or len(np.unique(above)) < LEAST_VALUES:
            continue
        ways = [above.sum(), above.mean()] if _is_named(cells) else [above.sum()]
        # If one value is most of the sum, the total must also show what the others add.
        largest = above[np.abs(above).argmax()]
        seen = min(abs(total), abs(above.sum() - largest))
        exact = seen > EXACT * abs(total)  # else the digits of the sum can't show the others
        if exact and any(abs(way - total) <= NEAR * seen for way in ways):
            shown.append(name)
        else:
            others += 1
    enough = len(shown) > others if _is_named(cells) else not others
    return shown if enough else []
