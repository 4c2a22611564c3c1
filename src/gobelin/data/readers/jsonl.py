"""JSON lines: one object a line.

A key that a line lacks is missing in that row; a list is several values in one cell.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from gobelin.core import parse
from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError


@settings_class
class Jsonl:
    """No settings."""

    def claims(self, path: Path) -> bool:
        return path.suffix.lower() in (".jsonl", ".ndjson")

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        rows, mistakes = [], []
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise GobelinError(
                f"{path}, byte {error.start}: is not UTF-8. Save it as UTF-8."
            ) from error
        for k, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = parse.json_value(line)
            except ValueError as error:
                mistakes.append(f"{path}, line {k}: is not JSON ({error}).")
                continue
            if isinstance(row, dict):
                rows.append(row)
            else:
                mistakes.append(
                    f"{path}, line {k}: an object {{...}} was expected, found {type(row).__name__}."
                )
        if mistakes:
            raise GobelinError(
                "\n".join(
                    mistakes[:5]
                    + ([f"... and {len(mistakes) - 5} more lines."] if len(mistakes) > 5 else [])
                )
            )
        if not rows:
            raise GobelinError(f"{path}: holds no row. At least one was expected.")
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {}
        for name in names:
            values = [row.get(name) for row in rows]
            if any(isinstance(v, list) for v in values):
                values = [v if v is None or isinstance(v, list) else [v] for v in values]
            try:
                columns[name] = pa.array(values)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                columns[name] = pa.array([None if v is None else str(v) for v in values])
        return pa.table(columns), path.parent
