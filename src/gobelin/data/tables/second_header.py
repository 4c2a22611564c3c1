"""A second row of headings below the first, as of units: its cells are words where all other rows
have numbers.

A mark such as ? or : is no heading: it says that a value is missing.

What this can't show: a second row of headings over columns of which one alone, or none, holds
numbers. It stays.
"""

from __future__ import annotations

import pyarrow as pa

from gobelin.data.values.numbers import means_none, numbers_of

LEAST_COLUMNS, LEAST_ROWS = 2, 4  # that show it
MOST_ROWS = 200  # that are looked at
NUMBERS = 0.9  # share of the other cells that are numbers
SIGNS = frozenset("%‰°µ$€£¥₹")  # that name a unit without a letter


def second_header(table: pa.Table) -> list[str]:
    """The columns of numbers in which the first row has a word; none where it is a row like the
    others, or has a number itself."""
    shown = []
    for name in table.column_names if table.num_rows >= LEAST_ROWS else ():
        first, *others = table[name].slice(0, MOST_ROWS).to_pylist()
        if not isinstance(first, str | int | float) or not str(first).strip():
            continue
        there = [x for x in numbers_of(others) if x is not None]
        if len(there) < max(LEAST_ROWS - 1, NUMBERS * sum(o is not None for o in others)):
            continue
        if not isinstance(first, str) or means_none(first) or numbers_of([first])[0] is not None:
            return []
        if first not in others and any(c.isalpha() or c in SIGNS for c in first):
            shown.append(name)
    return shown if len(shown) >= LEAST_COLUMNS else []
