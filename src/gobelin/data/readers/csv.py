"""Comma-separated values, also with tabs or semicolons, in UTF-8.

Every cell stays text; an empty one is missing.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError


@settings_class
class Csv:
    """How a CSV file is read."""

    delimiter: str = setting(
        default="",
        description="Character between two cells. Empty: comma, semicolon or tab, by line 1.",
    )

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".csv", ".tsv")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise GobelinError(
                f"{path}, byte {error.start}: is not UTF-8. Save it as UTF-8 (iconv -f latin1 -t"
                " utf-8)."
            ) from error
        if not text.strip():
            raise GobelinError(f"{path}: is empty. A header and at least one row were expected.")
        if "\0" in text:
            raise GobelinError(
                f"{path}, byte {text.index(chr(0))}: holds a zero byte. It is not a text file."
            )
        first = text.lstrip("\n").split("\n", 1)[0]
        delimiter = self.delimiter or max(",;\t", key=first.count)
        csv.field_size_limit(2**27)
        lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        try:
            numbered = [(lines.line_num, r) for r in lines if r]
        except csv.Error as error:  # an open quote would otherwise swallow the rows after it
            raise GobelinError(
                f"{path}, line {lines.line_num}: {error}. Look for a quote that is not closed."
            ) from error
        rows = [r for _, r in numbered]
        header, body = [name.strip() for name in rows[0]], rows[1:]
        if not body:
            raise GobelinError(f"{path}: holds a header alone. At least one row was expected.")
        mistakes = [
            f"{path}, line {line}, row {k}: {len(r)} cells, the header has {len(header)}."
            for k, (line, r) in enumerate(numbered[1:], 1)
            if len(r) != len(header)
        ]
        if mistakes:
            more = [f"... and {len(mistakes) - 5} more rows."] if len(mistakes) > 5 else []
            raise GobelinError(
                "\n".join([*mistakes[:5], *more, "Quote cells that hold the delimiter."])
            )
        if "" in header:
            raise GobelinError(
                f"{path}: column {header.index('') + 1} has no name. Name it in the header."
            )
        if len(set(header)) != len(header):
            repeated = next(n for n in header if header.count(n) > 1)
            raise GobelinError(f"{path}: column {repeated!r} appears twice. Rename one.")
        columns = {
            n: pa.array([r[k].strip() or None for r in body], pa.string())
            for k, n in enumerate(header)
        }
        return pa.table(columns), path.parent
