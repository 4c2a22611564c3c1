"""Comma-separated values, also with tabs, semicolons or bars, in UTF-8 or UTF-16.

Every cell stays text; an empty one is missing. Excel's first line `sep=;` names the delimiter. A
first column without a name, as pandas and R write the names of rows, is called 'Unnamed: 0'.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa

from gobelin.core.arrow import texts
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, repeated
from gobelin.data.budget import MEGABYTE, limits, refuse, refuse_table
from gobelin.data.lines import text_lines

CELLS_AT_ONCE = 2**20  # that are Python texts, before they become a part of the table
DELIMITERS = ",;\t|"
SNIFFED = 2**16  # letters that the delimiter is chosen by
SEPARATOR_LINE = re.compile("sep=(.)\\s*", re.IGNORECASE)
NAMELESS = "Unnamed: 0"  # as pandas reads it
POINTER = 8  # bytes of an empty cell in a list


@settings_class
class Csv:
    """How a CSV file is read."""

    delimiter: str = setting(
        default="",
        description="Character between two cells. Empty: comma, semicolon, tab or bar.",
    )

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".csv", ".tsv")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        lines, blank, first, said = text_lines(path), 0, "", ""
        for first in lines:
            if named := SEPARATOR_LINE.fullmatch(first):
                said = named[1]
            elif first != "\n":
                break
            blank += 1
        csv.field_size_limit(limits().cell_mb * MEGABYTE)
        start = [first]
        while sum(map(len, start)) < SNIFFED and (line := next(lines, "")):
            start.append(line)
        delimiter = self.delimiter or said or _delimiter(start)
        checked = _checked(chain(start, lines), path, delimiter)
        records = csv.reader(checked, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(records, [])]
            if len(header) > 1 and not header[0]:
                header[0] = NAMELESS
            refuse(str(path), "columns", len(header))
            numbered = ((blank + records.line_num, r) for r in records if r)
            table, mistakes = _table(numbered, header, path)
        except csv.Error as error:  # an open quote would otherwise swallow the rows after it
            raise GobelinError(
                f"{path}, line {blank + records.line_num}: {error}. Look for a quote that is not"
                f" closed; a cell may have reading.cell_mb = {limits().cell_mb} megabytes."
            ) from error
        _check(header, table.num_rows, mistakes, path)
        return table.rename_columns(header), path.parent


def _delimiter(start: Sequence[str]) -> str:
    """The delimiter by which most of these lines have as many cells as the first, and of several
    the one that gives most cells. A line that is too long to be cut into cells twice is left out.
    """
    short = [line for line in start if len(line) <= SNIFFED]
    if short[:1] != start[:1]:
        return max(DELIMITERS, key=start[0].count)

    def score(mark: str) -> tuple[float, int]:
        try:
            widths = [len(r) for r in csv.reader(short, delimiter=mark) if r]
        except csv.Error:
            return 0.0, 0
        if not widths or widths[0] < 2:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(DELIMITERS, key=score)


def _checked(lines: Iterable[str], path: Path, delimiter: str) -> Iterator[str]:
    """The lines. Raises GobelinError for a zero byte, and for a line of more cells than memory."""
    place = 0
    for line in lines:
        if "\0" in line:
            raise GobelinError(
                f"{path}, byte {place + line.index(chr(0))}: holds a zero byte. It is not a text"
                " file."
            )
        refuse(str(path), "cell_mb", len(line) + POINTER * line.count(delimiter))
        place += len(line)
        yield line


def _table(
    numbered: Iterable[tuple[int, list[str]]], header: Sequence[str], path: Path
) -> tuple[pa.Table, list[str]]:
    """The rows below the header, and a line for every row of another length, which is left out.
    numbered: number of the line, cells. The columns have numbers for names.
    """
    schema = pa.schema([(str(k), pa.string()) for k in range(len(header))])
    at_once = max(1, CELLS_AT_ONCE // max(1, len(header)))
    parts: list[pa.RecordBatch] = []
    mistakes: list[str] = []
    rows: list[list[str]] = []
    count = 0

    def part() -> pa.RecordBatch:
        refuse_table(str(path), count, len(header))
        columns = [texts([r[k] or None for r in rows]) for k in range(len(header))]
        return pa.record_batch(columns, schema=schema)

    for line, cells in numbered:
        count += 1
        if len(cells) == len(header):
            rows.append([cell.strip() for cell in cells])
        else:
            mistakes.append(
                f"{path}, line {line}, row {count}: {len(cells)} cells, the header has"
                f" {len(header)}."
            )
        if len(rows) == at_once:
            parts.append(part())
            rows = []
    parts += [part()] if rows else []
    return pa.Table.from_batches(parts, schema), mistakes


def _check(header: Sequence[str], rows: int, mistakes: Sequence[str], path: Path) -> None:
    """Raises GobelinError for a table that can't be used."""
    if not rows and not mistakes:
        if not any(header):
            raise GobelinError(f"{path}: is empty. A header and at least one row were expected.")
        raise GobelinError(f"{path}: holds a header alone. At least one row was expected.")
    if mistakes:
        more = [f"... and {len(mistakes) - 5} more rows."] if len(mistakes) > 5 else []
        raise GobelinError(
            "\n".join([*mistakes[:5], *more, "Quote cells that hold the delimiter."])
        )
    if "" in header:
        raise GobelinError(
            f"{path}: column {header.index('') + 1} has no name. Name it in the header."
        )
    if (twice := repeated(header)) is not None:
        raise GobelinError(f"{path}: column {twice!r} appears twice. Rename one.")
