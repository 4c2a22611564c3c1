"""The file that `predict` writes: the columns of the data as they were written, then those of the
predictions. The suffix says the format.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from gobelin.core.arrow import array
from gobelin.core.errors import GobelinError
from gobelin.core.printable import safe_json
from gobelin.core.spreadsheet import write_csv
from gobelin.prediction.predictor import Predictions

DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET, JSON_LINES = (".parquet", ".pq"), (".jsonl", ".ndjson")
DIGITS = 9  # of a predicted number
SUFFIXES = (*DELIMITERS, *PARQUET, *JSON_LINES)

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


def format_of(path: Path) -> str:
    """The suffix that says the format: that of the path; .csv for a path without one, and for a
    pipe or a device. Raises GobelinError for any other suffix."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    if not suffix or (path.exists() and not path.is_file() and not path.is_dir()):
        return ".csv"
    raise GobelinError(
        f"--out {path}: no format for {suffix}. Choose a name that ends in {', '.join(SUFFIXES)}."
    )


def refuse_data(path: Path, data: Path) -> None:
    """GobelinError where the file to write is that of the data, however it is spelled: the data
    would be gone."""
    if path.is_file() and data.exists() and path.samefile(data):
        raise GobelinError(f"--out {path}: is DATA itself. Give the predictions another file.")


def joined(written: pa.Table, predictions: Predictions) -> pa.Table:
    """The columns of `written` [N rows], then those of the predictions for the same rows.

    The ids are among them already, where the data have any. A column of the predictions whose name
    the data have already gets a number at its end, and a warning says so."""
    _, *columns = _columns(predictions).items()  # the first are the ids
    for name, values in columns:
        new, number = name, 2
        while new in written.column_names:
            new, number = f"{name}_{number}", number + 1
        if new != name:
            LOG.warning(
                "predict: the data have a column %r already; the predicted one is %r.", name, new
            )
        written = written.append_column(new, array(values))
    return written


def alone(predictions: Predictions) -> pa.Table:
    """The ids and the columns of the predictions."""
    return pa.table({name: array(values) for name, values in _columns(predictions).items()})


def _columns(predictions: Predictions) -> dict[str, list[Any]]:
    rows = predictions.rows()
    return {name: [_rounded(row[name]) for row in rows] for name in rows[0]}


def _rounded(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """A number with as many digits as a prediction can have; other values as they are."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def write(table: pa.Table, path: Path, suffix: str, raw: bool = False) -> int:
    """Write the table. suffix: as of `format_of`. raw: texts that a spreadsheet would compute stay
    as they are. Returns how many cells of a CSV got an apostrophe."""
    if suffix in PARQUET:
        import pyarrow.parquet as pq

        pq.write_table(table, path)
        return 0
    if files := [f.name for f in table.schema if _holds_bytes(f.type)]:
        LOG.warning(
            "predict: column%s %s left out: a text file can't hold bytes. --out FILE.parquet keeps"
            " them.",
            "s" * (len(files) > 1),
            ", ".join(map(repr, files)),
        )
        table = table.drop_columns(files)
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        if suffix in JSON_LINES:
            for batch in table.to_batches():
                for row in batch.to_pylist():
                    file.write(safe_json(_json(row)) + "\n")
            return 0
        cells = {name: _texts(table[name]) for name in table.column_names}
        rows = ({name: cells[name][k] for name in cells} for k in range(table.num_rows))
        return write_csv(file, table.column_names, rows, raw, DELIMITERS[suffix])


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether cells of this type are, or hold, bytes."""
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if any(test(kind) for test in kinds):
        return True
    return any(_holds_bytes(kind.field(k).type) for k in range(kind.num_fields))


def _texts(column: pa.ChunkedArray) -> Sequence[object]:
    """The cells as a CSV holds them: lists and structs as JSON, and nothing for what is no
    number."""
    cells = (_without_nan(v) for v in column.to_pylist())
    return [_json(v) if isinstance(v, list | dict) else v for v in cells]


def _json(value: object) -> str:
    return json.dumps(_without_nan(value), ensure_ascii=False, default=str)


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - a cell is any
    """The value with None in the place of each NaN, which JSON does not know, and words for the
    infinite."""
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
