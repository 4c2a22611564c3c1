"""Comma-separated values, also with tabs, semicolons or bars, in UTF-8, UTF-16 or UTF-32.

Every cell stays text; an empty one is missing. Excel's first line `sep=;` names the delimiter. A
first column without a name, as pandas and R write the names of rows, is called 'Unnamed: 0'. What
is left out, as notes before the header, is told in a warning.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import pyarrow as pa

from gobelin.core.arrow import texts
from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError, first_lines, repeated
from gobelin.core.printable import counted
from gobelin.data.budget import limits, refuse, refuse_table
from gobelin.data.tables.dialect import (
    RARE,
    SEPARATOR_LINE,
    SNIFFED,
    Dialect,
    sniffed,
    without_notes,
)
from gobelin.data.tables.lines import text_lines
from gobelin.data.values.numbers import number

CELLS_AT_ONCE = 2**20  # that are Python texts, before they become a part of the table
SUFFIXES = {".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".data"}
NAMELESS = "Unnamed: 0"  # as pandas reads it
POINTER = 8  # bytes of an empty cell in a list
LINES_COMPARED = 100  # with the header, of a table of one column
FORMULA = re.compile(r'="([^"]*)"')  # as spreadsheets are made to keep the zeros of a code
RULE = re.compile(r":?-{2,}:?")  # in a cell of the line below a header
END_OF_FILE = ["\x1a"]  # that programs of DOS write

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@settings_class
class Csv:
    """How a CSV file is read."""

    delimiter: str = setting(
        default="",
        description="Character between two cells. Empty: comma, semicolon, tab or bar.",
    )

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in SUFFIXES

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        start, lines, before, dialect = self._start(path)
        checked = _checked(chain(start, lines), path, dialect.delimiter)
        records = csv.reader(checked, strict=True, **dialect.settings)
        whole = 0  # lines of the records that were read

        def numbered() -> Iterator[tuple[int, list[str]]]:
            nonlocal whole
            ends: list[tuple[int, list[str]]] = []  # such a line is a row where others follow
            for record in records:
                whole = records.line_num
                if record:
                    yield from ends
                    ends = [(before + whole, record)]
                    if record != END_OF_FILE:
                        yield ends.pop()

        try:
            header = [name.strip() for name in next(records, [])]
            if len(header) > 1 and not header[0]:
                header[0] = NAMELESS
            refuse(str(path), "columns", len(header))
            whole = records.line_num
            table, mistakes = _table(numbered(), header, path)
        except csv.Error as error:  # an open quote would otherwise swallow the rows after it
            line = whole + 1 if "unexpected end" in str(error) else records.line_num
            raise GobelinError(
                f"{path}, line {before + line}: {error}. Look for a quote that is not"
                f" closed; a cell may have reading.cell_mb = {limits().cell_mb} megabytes."
            ) from error
        _refuse_blanks(table, header, path)
        table, header = _without_empty_columns(table, header, path)
        _check(header, table.num_rows, mistakes, path)
        return table.rename_columns(header), path.parent

    def _start(self, path: Path) -> tuple[list[str], Iterator[str], int, Dialect]:
        """The first lines from the header on, the lines after them, the count of those before the
        header, and the dialect. Lines before the header that are left out are told.
        """
        lines, before, first, said = text_lines(path), 0, "", ""
        for first in lines:
            if named := SEPARATOR_LINE.fullmatch(first):
                said = "\t" if named[1] == "\\t" else named[1]
            elif first.strip("\r\n"):
                break
            before += 1
        start, letters = [first], len(first)
        while letters < SNIFFED and (line := next(lines, "")):
            start.append(line)
            letters += len(line)
        if said and said not in first:
            LOG.warning("%s: its first line names %r, which parts no cells. Not used.", path, said)
            said = ""
        delimiter = self.delimiter or said
        if notes := without_notes(start, delimiter):
            begin = counted(notes, "line before the header begins", "lines before the header begin")
            LOG.warning("%s: %s with #. Left out.", path, begin)
            start, before = start[notes:], before + notes
        dialect = sniffed(start, delimiter)
        if dialect.delimiter in RARE and not delimiter:
            LOG.warning("%s: cells are parted by %r.", path, dialect.delimiter)
        return start, lines, before, dialect


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
    count, hollow, extra, headers, formulas, rule = 0, [], 0, [], 0, False

    def part() -> pa.RecordBatch:
        refuse_table(str(path), count, len(header))
        columns = [texts([r[k] or None for r in rows]) for k in range(len(header))]
        return pa.record_batch(columns, schema=schema)

    for line, cells in numbered:
        if len(cells) > 1 and [cell.strip() for cell in cells] == header:
            headers.append(line)  # of a file that was joined from several
            continue
        if not (count or rule) and len(cells) > 1 and _is_rule(cells, header):
            rule = True
            continue
        count += 1
        if len(cells) == len(header) + 1 and not cells[-1].strip():
            cells.pop()  # the line ends with a delimiter
            extra += 1
        if len(cells) == len(header):
            cells = [cell.strip() for cell in cells]
            if any(map(FORMULA.fullmatch, cells)):
                formulas += sum(1 for cell in cells if FORMULA.fullmatch(cell))
                cells = [FORMULA.sub(r"\1", cell) for cell in cells]
            rows.append(cells)
            if not any(cells):
                hollow.append(line)
        else:
            mistakes.append(
                f"{path}, line {line}, row {count}: {len(cells)} cells, the header has"
                f" {len(header)}."
            )
        if len(rows) == at_once:
            parts.append(part())
            rows = []
    parts += [part()] if rows else []
    if hollow:
        rows_hold = counted(len(hollow), "row holds", "rows hold")
        LOG.warning("%s: %s nothing (first: line %d).", path, rows_hold, hollow[0])
    if headers:
        LOG.warning(
            "%s: %s the header (first: line %d). Left out.",
            path,
            counted(len(headers), "row repeats", "rows repeat"),
            headers[0],
        )
    if formulas:
        cells_are = counted(formulas, "cell is", "cells are")
        LOG.warning('%s: %s written as ="...". What stands in it is read.', path, cells_are)
    if extra:
        lines_end = counted(extra, "line ends", "lines end")
        LOG.warning("%s: %s with a delimiter, which is left out.", path, lines_end)
    if rule:
        LOG.warning("%s: the line of dashes below the header is left out.", path)
    return pa.Table.from_batches(parts, schema), mistakes


def _is_rule(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a line holds dashes alone, below each name, as below the header of a table in
    Markdown. A row that lacks cells may say so with dashes."""
    pairs = zip_longest(map(str.strip, cells), header, fillvalue="")
    below = [cell for cell, name in pairs if cell or name not in ("", NAMELESS)]
    return bool(below) and all(map(RULE.fullmatch, below))


def _refuse_blanks(table: pa.Table, header: Sequence[str], path: Path) -> None:
    """Raises GobelinError for a table whose cells stand below each other, parted by blanks: each
    line would be one cell. The numbers of the rows may stand before them. Words in which no place
    has a number in each line are taken for a text."""
    if len(header) != 1 or len(words := header[0].split()) < 2:
        return
    lines = [line.split() for line in table[0][:LINES_COMPARED].to_pylist() if line]
    if {len(line) for line in lines} in ({len(words)}, {len(words) + 1}) and any(
        all(number(word) is not None for word in place) for place in zip(*lines, strict=True)
    ):
        raise GobelinError(
            f"{path}: has one column, {header[0][:60]!r}. Are cells parted by blanks? Write commas"
            " between them, as pandas.read_fwf(PATH).to_csv(NEW, index=False) does."
        )


def _without_empty_columns(
    table: pa.Table, header: list[str], path: Path
) -> tuple[pa.Table, list[str]]:
    """Without the columns that have neither a name nor a value, as spreadsheets write them."""
    empty = [
        k for k, name in enumerate(header) if not name and table[k].null_count == table.num_rows
    ]
    if not empty or not table.num_rows:
        return table, header
    without = counted(len(empty), "column", "columns")
    are = "is" if len(empty) == 1 else "are"
    LOG.warning("%s: %s without a name and a value %s left out.", path, without, are)
    keep = [k for k in range(len(header)) if k not in empty]
    return table.select(keep), [header[k] for k in keep]


def _check(header: Sequence[str], rows: int, mistakes: Sequence[str], path: Path) -> None:
    """Raises GobelinError for a table that can't be used."""
    if not rows and not mistakes:
        if not any(header):
            raise GobelinError(f"{path}: is empty. A header and at least one row were expected.")
        raise GobelinError(f"{path}: holds a header alone. At least one row was expected.")
    if len(header) == 1 and header[0].count(",") and not mistakes:
        raise GobelinError(
            f"{path}: has one column, {header[0][:60]!r}. Are whole lines in quotes? Write the"
            " quotes around cells instead."
        )
    if mistakes and not rows:
        raise GobelinError(
            f"{mistakes[0].removesuffix('.')}, and no row of {len(mistakes)} has as many. Is the"
            " first line a title, or a number written with the delimiter? The first line must name"
            " each column."
        )
    if mistakes:
        remedy = "Quote cells that hold the delimiter."
        if len(mistakes) > rows:
            remedy = (
                "Most rows have another length than the first line. It must name each column: leave"
                " out a title or notes above."
            )
        raise GobelinError(*first_lines(mistakes, "rows"), remedy)
    if "" in header:
        named = sum(map(bool, header))
        remedy = "Name it in the header."
        if named <= len(header) / 2:
            remedy = (
                f"The first line names {named} of {len(header)} columns: leave out titles and"
                " headings above the line that names each column."
            )
        raise GobelinError(f"{path}: column {header.index('') + 1} has no name. {remedy}")
    if (twice := repeated(header)) is not None:
        raise GobelinError(f"{path}: column {twice!r} appears twice. Rename one.")
