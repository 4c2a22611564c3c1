"""Windows of measurements in cells: prices, sensors, anything sampled in a fixed order, with one
channel or several.

A cell is a list of numbers, a list of such lists (channels x time), the same as text ('[1, 2.5,
null]', '1; 2.5; 3' or '1 2 3'), or a file: `.npy` with [T] or [C, T], or a table of numbers
(`.csv`, `.tsv`, `.txt`) whose rows are time and whose columns are channels. A missing sample inside
a window is a hole: it is filled in on the straight line between its neighbours, at the ends with
the nearest one. What can't be opened raises `BadCell`. Nothing is ever unpickled.

Two numbers, or four, are rather a place, a colour or a box: a column is taken for series from five
samples a window on."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.data.fields import NO_NUMBER, Cell, Field
from gobelin.data.files import BadCell, cell_bytes, cell_path, content_key

TABLES = {".csv", ".tsv", ".txt"}
SUFFIXES = {".npy", *TABLES}
SIGNATURE = b"\x93NUMPY"
MOST = 2**24  # samples of a window, all channels together
MOST_CHANNELS = 256
SHORTEST = 5  # samples from which on a column of lists is taken for series
NUMPY = re.compile(r"np\.\w+\(([^()]*)\)")  # a number as numpy's lists show it
CHANNEL = re.compile(r"\[([^\[\]]*)\]")


def open_series(value: Any, root: Path) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - a cell is any
    """A window without holes, float64 [C, T] with T >= 2, and the share of every channel's samples
    that was filled in, [C]."""
    x = _read(value, root)
    if x.ndim == 1:
        x = x[None]
    if x.ndim != 2:
        raise BadCell(f"has {x.ndim} axes; samples, or channels x samples were expected")
    channels, samples = x.shape
    if not x.size:
        raise BadCell("has no samples")
    if channels > MOST_CHANNELS or (channels > samples and samples > 1):
        raise BadCell(
            f"has {channels} channels of {samples} samples each; channels x time was expected, is"
            " it transposed"
        )
    if samples < 2:
        raise BadCell("has 1 sample; two at least were expected")
    if np.isinf(x).any():
        raise BadCell("holds a sample that is not finite")
    holes = np.isnan(x)
    if (empty := (~holes).sum(1) < 2).any():
        known = int((~holes[empty.argmax()]).sum())
        raise BadCell(
            f"has {known} known samples{' in a channel' * (channels > 1)}; two at least were"
            " expected"
        )
    return np.stack([_filled(row, gone) for row, gone in zip(x, holes, strict=True)]), holes.mean(1)


def _filled(row: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """[T]: holes on the straight line between their neighbours. Halves, so that no difference of
    two numbers overflows."""
    if not gone.any():
        return row
    place = np.arange(len(row))
    return np.where(gone, 2 * np.interp(place, place[~gone], row[~gone] / 2), row)


def _read(value: Any, root: Path) -> np.ndarray:  # noqa: ANN401
    """float64, nan for a hole."""
    if isinstance(value, bytes):
        return _array(value)
    if isinstance(value, str):
        if is_file(value):
            return (
                _array(cell_path(value, root))
                if value.lower().endswith(".npy")
                else _table(value, root)
            )
        value = _spelled(value)
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


def _spelled(text: str) -> list[Any]:
    """A list as JSON, Python or numpy write it, or numbers with one sort of separator: semicolons,
    else commas, else spaces."""
    text = NUMPY.sub(r"\1", text.strip())
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
    mark = next((m for m in (";", "\t", ",") if m in text), None)
    return [part.strip() for part in text.split(mark)] or [""]


def _array(source: bytes | Path) -> np.ndarray:
    """A .npy file, its header judged before its samples are read."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        x = np.load(file, mmap_mode=None if isinstance(source, bytes) else "r", allow_pickle=False)
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "biuf":
            raise BadCell(f"holds {getattr(x, 'dtype', 'several arrays')}; numbers were expected")
        _check_size(x.size)
        return np.array(x, np.float64)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise BadCell(
            f"is no .npy file, or is cut short ({str(error).splitlines()[0][:60]})"
        ) from error


def _table(value: str, root: Path) -> np.ndarray:
    """[C, T] from lines of numbers, one line a moment; a first line of names is passed over."""
    _check_size(cell_path(value, root).stat().st_size // 32)
    try:
        lines = cell_bytes(value, root).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadCell("is not UTF-8") from error
    while lines and not lines[-1].strip():  # an empty line in between is a hole
        lines.pop()
    rows = [_parts(line.strip("\r ")) for line in lines]
    if rows and any(part and part.lower() not in NO_NUMBER and _unread(part) for part in rows[0]):
        rows = rows[1:]
    if not rows:
        raise BadCell("has no samples")
    short = next((k for k, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if short is not None:
        raise BadCell(
            f"has {len(rows[short])} numbers in one line and {len(rows[0])} in others; is it cut"
            " short"
        )
    return np.stack([_numbers(list(column)) for column in zip(*rows, strict=True)])


def _unread(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return True
    return False


def _check_size(samples: int) -> None:
    if samples > MOST:
        raise BadCell(f"has {samples} samples, at most {MOST} can be read")


def is_file(value: Any) -> bool:  # noqa: ANN401
    """Whether the value is a path of a file of numbers, by its suffix."""
    return isinstance(value, str) and Path(value).suffix.lower() in SUFFIXES


def series_share(values: Sequence[Any], root: Path) -> float:
    """The share of the values that look like series: lists of numbers, or files of them. The first
    table of numbers is opened: a .txt may as well hold words."""
    first = next((v for v in values if is_file(v) and not v.lower().endswith(".npy")), None)
    if first is not None and not _opens(first, root):
        return 0.0
    looks = [
        v.startswith(SIGNATURE) if isinstance(v, bytes) else is_file(v) or _looks(v) for v in values
    ]
    return float(np.mean(looks)) if looks else 0.0


def _looks(value: Any) -> bool:  # noqa: ANN401
    """Five numbers or more; a hole counts as one, a list that a mistake or two stand in is still a
    series."""
    try:
        items = _spelled(value) if isinstance(value, str) else value
    except BadCell:
        return False
    if isinstance(items, list) and items and all(isinstance(v, list) for v in items):
        items = max(items, key=len)
    if not isinstance(items, list) or len(items) < SHORTEST:
        return False
    some = items[:: max(1, len(items) // 100)]
    if isinstance(value, list) and any(isinstance(v, str) for v in some):
        return False
    holes = [v is None or (isinstance(v, str) and v.lower() in NO_NUMBER | {""}) for v in some]
    numbers = [isinstance(v, int | float) or (isinstance(v, str) and not _unread(v)) for v in some]
    return any(numbers) and float(np.mean(np.logical_or(holes, numbers))) > 0.8


def _opens(value: str, root: Path) -> bool:
    try:
        open_series(value, root)
    except BadCell:
        return False
    return True


def series_key(value: Any, root: Path) -> bytes:  # noqa: ANN401
    """16 bytes that name the contents of a window."""
    if isinstance(value, bytes) or is_file(value):
        return content_key(value, root)
    return bytes.fromhex(fingerprint(value))[:16]


def series_query(text: str, field: Field) -> Cell:
    """Numbers or a path given as a query, as a cell of the field's first column."""
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
