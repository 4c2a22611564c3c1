"""Windows of measurements in cells, with one channel or several: prices, sensors, and so on.

A cell is a list of numbers, a list of such lists (channels x time), the same as text ('[1, 2.5,
null]', '1; 2.5; 3' or '1 2 3'), or a file: `.npy` with [T] or [C, T], or a table of numbers
(`.csv`, `.tsv`, `.txt`) whose rows are time and whose columns are channels. Samples may have dates
(`data.series.stamped`); they are then put in the order of time. A missing sample in a window is a
hole. It is filled by linear interpolation between its neighbours, at the ends with the nearest
sample. A cell that can't be opened raises `BadCell`. Nothing is ever unpickled.

Two or four numbers are more often a place, a colour or a box, so a column counts as series only
from five samples a window on.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.budget import excess, limits
from gobelin.data.fields import NO_NUMBER, Cell, Field
from gobelin.data.files import (
    HEAD,
    BadCell,
    afford,
    cell_bytes,
    cell_path,
    content_key,
    file_head,
)
from gobelin.data.npy import NPY_SIGNATURE, NpyHeader, npy_array, npy_header
from gobelin.data.series.stamped import stamped_series
from gobelin.data.tar_members import member_of
from gobelin.data.values.narrow import float64

HERE = Path()
TABLE_SUFFIXES = {".csv", ".tsv", ".txt"}
SERIES_SUFFIXES = {".npy", *TABLE_SUFFIXES}
TEXT_NUMBER = 64  # bytes that a number takes while it is a text
LEAST_SAMPLES = 5  # of a window, for a column of lists to count as series
OPENED_FILES = 5  # files of a column that are opened to see whether they hold windows
NUMPY_NUMBER = re.compile(r"np\.\w+\(([^()]*)\)")  # a number as numpy prints it in a list
WORD = re.compile(r"\S+")
CHANNEL = re.compile(r"\[([^\[\]]*)\]")


def open_series(value: Any, root: Path) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - a cell is any
    """A window without holes, float64 [C, T] with T >= 2, and the share of each channel's samples
    that were holes, [C]. Raises BadCell.
    """
    x = _read(value, root)
    if x.ndim == 1:
        x = x[None]
    if x.ndim != 2:
        raise BadCell(f"has {x.ndim} axes; samples, or channels x samples were expected")
    channels, samples = x.shape
    if not x.size:
        raise BadCell("has no samples")
    afford("samples", x.size)
    if channels > limits().channels or (channels > samples and samples > 1):
        raise BadCell(
            f"has {channels} channels of {samples} samples each; channels x time was expected, is"
            " it transposed"
        )
    if samples < 2:
        raise BadCell("has 1 sample; two at least were expected")
    if np.isinf(x).any():
        raise BadCell("holds a sample that is not finite")
    holes = np.isnan(x)
    if (short_channels := (~holes).sum(1) < 2).any():
        known = int((~holes[short_channels.argmax()]).sum())
        raise BadCell(
            f"has {known} known samples{' in a channel' * (channels > 1)}; two at least were"
            " expected"
        )
    return np.stack([_filled(row, hole) for row, hole in zip(x, holes, strict=True)]), holes.mean(1)


def _filled(row: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """row [T] with its holes, bool [T], interpolated linearly."""
    if not hole.any():
        return row
    # of halves, so that no difference of two numbers overflows
    place = np.arange(len(row))
    return np.where(hole, 2 * np.interp(place, place[~hole], row[~hole] / 2), row)


def _read(value: Any, root: Path) -> np.ndarray:  # noqa: ANN401
    """float64 [T] or [C, T], nan for a hole."""
    if isinstance(value, bytes):
        return _array(value)
    if (stamped := stamped_series(value, root)) is not None:
        return stamped.series()
    if isinstance(value, str):
        if member_of(value) and value.lower().endswith(".npy"):
            return _array(cell_bytes(value, root))
        if is_file(value):
            return (
                _array(cell_path(value, root))
                if value.lower().endswith(".npy")
                else _table(value, root)
            )
        value = _list_of_text(value)
    if not isinstance(value, list):
        raise BadCell(f"{str(value)[:40]!r} is one value; a list of numbers was expected")
    nested = [isinstance(v, list) for v in value]
    if not any(nested):
        return _numbers(value)
    if not all(nested):
        raise BadCell("mixes numbers and lists; one list, or a list a channel was expected")
    lengths = {len(v) for v in value}
    if len(lengths) > 1:
        raise BadCell(
            f"has channels of {min(lengths)} and of {max(lengths)} samples; the same count was"
            " expected"
        )
    return np.stack([_numbers(v) for v in value])


def _numbers(items: list[Any]) -> np.ndarray:
    try:
        return np.array(items, np.float64).reshape(len(items))  # None becomes nan
    except (TypeError, ValueError, OverflowError):
        return np.array([_number(item) for item in items], np.float64)


def _number(item: Any) -> float:  # noqa: ANN401
    if item is None or (isinstance(item, str) and item.strip().lower() in NO_NUMBER | {""}):
        return float("nan")
    try:
        return float(item)
    except (TypeError, ValueError) as error:
        raise BadCell(f"holds {str(item)[:40]!r}; numbers were expected") from error
    except OverflowError:
        return float("inf")


def _list_of_text(text: str) -> list[Any]:
    """The list in a text as JSON, Python or numpy write it, or numbers separated by semicolons,
    else by tabs, else by commas, else by spaces.
    """
    marks = sum(text.count(mark) for mark in ",; \t[")
    afford("cell_mb", len(text) + TEXT_NUMBER * marks)
    text = NUMPY_NUMBER.sub(r"\1", text.strip())
    if not text.startswith("["):
        return _parts(text)
    inner = text[1:-1]
    if not text.endswith("]") or inner.count("[") != inner.count("]"):
        raise BadCell("starts like a list and doesn't end like one; is it cut short")
    if "..." in inner:
        raise BadCell("holds '...'; it was shortened when it was written")
    channels = CHANNEL.findall(inner)
    if channels and CHANNEL.sub("", inner).strip(" ,\n"):
        raise BadCell("mixes numbers and lists; one list, or a list a channel was expected")
    return [_items(channel) for channel in channels] if channels else _items(inner)


def _items(text: str) -> list[str]:
    return [part.strip("'\"") for part in _parts(text)] if text.strip() else []


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(_mark(text))] or [""]


def _mark(text: str) -> str | None:
    """What parts the numbers of a text; None for blanks."""
    return next((mark for mark in (";", "\t", ",") if mark in text), None)


def _array(source: bytes | Path) -> np.ndarray:
    """The array in a .npy file. Its header and its length are checked before a sample is read."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return float64(npy_array(file, _affordable))
    except OSError as error:
        raise BadCell(f"can't be opened ({error.strerror or error})") from error


def _affordable(header: NpyHeader) -> None:
    """Raises BadCell for an array of more samples than may be read."""
    afford("samples", header.count)
    afford("cell_mb", 3 * 8 * header.count)


def _table(value: str, root: Path) -> np.ndarray:
    """[C, T] from lines of numbers, one line a time step; a first line of names is skipped."""
    data = cell_bytes(value, root)
    marks = sum(data.count(mark) for mark in (b",", b";", b" ", b"\t", b"\n"))
    afford("cell_mb", len(data) + TEXT_NUMBER * marks)
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadCell("is not UTF-8") from error
    while lines and not lines[-1].strip():  # an empty line in between is a hole
        lines.pop()
    # before they are cut apart: each channel becomes an array
    if reason := excess("channels", max(map(_width, lines), default=0)):
        raise BadCell(f"{reason}; channels x time was expected, is it transposed")
    rows = [_parts(line.strip("\r ")) for line in lines]
    if rows and any(
        part and part.lower() not in NO_NUMBER and _is_no_number(part) for part in rows[0]
    ):
        rows = rows[1:]
    if not rows:
        raise BadCell("has no samples")
    odd_line = next((k for k, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if odd_line is not None:
        raise BadCell(
            f"has {len(rows[odd_line])} numbers in one line and {len(rows[0])} in others; is it cut"
            " short"
        )
    return np.stack([_numbers(list(column)) for column in zip(*rows, strict=True)])


def _width(line: str) -> int:
    """How many numbers a line holds, without cutting it apart."""
    mark = _mark(line)
    return sum(1 for _ in WORD.finditer(line)) if mark is None else line.count(mark) + 1


def _is_no_number(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return True
    return False


def is_file(value: Any) -> bool:  # noqa: ANN401
    """Whether the value is the path of a file of numbers, by its suffix."""
    return isinstance(value, str) and value[-4:].lower() in SERIES_SUFFIXES


def series_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like series: lists of numbers, or files of them. A few
    files are opened, as a .txt can also hold words, and a .npy a volume; one of them may be
    damaged.
    """
    tables = [v for v in values if is_file(v) and not v.lower().endswith(".npy")]
    tried = tables[:: -(-len(tables) // OPENED_FILES)] if tables else []
    if 2 * sum(_opens(path, root) for path in tried) <= len(tried) > 0:
        return 0.0
    arrays = [v for v in values if is_file(v) and v.lower().endswith(".npy")]
    arrays = arrays or [v for v in values if isinstance(v, bytes) and v.startswith(NPY_SIGNATURE)]
    tried = arrays[:: -(-len(arrays) // OPENED_FILES)] if arrays else []
    if 2 * sum(_is_grid(value, root) for value in tried) > len(tried):
        return 0.0
    series_like = [
        v.startswith(NPY_SIGNATURE) if isinstance(v, bytes) else is_file(v) or _looks_like_series(v)
        for v in values
    ]
    return float(np.mean(series_like)) if series_like else 0.0


def _looks_like_series(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a list of five numbers or more, each with or without a date. Holes count
    as numbers; up to a fifth of the items may be something else.
    """
    try:
        if (stamped := stamped_series(value, HERE)) is not None:
            return len(stamped.stamps) >= LEAST_SAMPLES
        items = _list_of_text(value) if isinstance(value, str) else value
    except BadCell:
        return False
    if isinstance(items, list) and items and all(isinstance(v, list) for v in items):
        items = max(items, key=len)
    if not isinstance(items, list) or len(items) < LEAST_SAMPLES:
        return False
    sample = items[:: max(1, len(items) // 100)]
    if isinstance(value, list) and any(isinstance(v, str) for v in sample):
        return False
    holes = [v is None or (isinstance(v, str) and v.lower() in NO_NUMBER | {""}) for v in sample]
    numbers = [
        isinstance(v, int | float) or (isinstance(v, str) and not _is_no_number(v)) for v in sample
    ]
    return any(numbers) and float(np.mean(np.logical_or(holes, numbers))) > 0.8


def _opens(value: str, root: Path) -> bool:
    try:
        open_series(value, root)
    except BadCell:
        return False
    return True


def _is_grid(value: str | bytes, root: Path) -> bool:
    """Whether a .npy file holds an array of three axes or more, which is no window."""
    head = value[:HEAD] if isinstance(value, bytes) else file_head(value, root)
    try:
        return len(npy_header(io.BytesIO(head)).shape) > 2
    except BadCell:
        return False


def series_key(value: Any, root: Path) -> bytes:  # noqa: ANN401
    """A hash of the contents of a window, 16 bytes. Raises BadCell."""
    if isinstance(value, bytes) or is_file(value):
        return content_key(value, root)
    if (stamped := stamped_series(value, root)) is not None:
        value = stamped.cell()  # dates are no JSON
    return bytes.fromhex(fingerprint(value))[:16]


def series_query(text: str, field: Field) -> Cell:
    """Numbers or a path given as a query, as a cell of the field's first column. Raises
    GobelinError.
    """
    path = Path(text)
    value: Any = text
    try:
        if is_file(text):
            x, _ = open_series(path.name, path.parent)
            value = x.tolist() if len(x) > 1 else x[0].tolist()
        else:
            open_series(text, Path())
    except BadCell as error:
        raise GobelinError(
            f"--series {text[:60]}: {error}. Give numbers like 1,2,3 or the path of a .npy or .csv"
            " file."
        ) from error
    return {field.columns[0]: value}
