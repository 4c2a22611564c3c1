"""Data frames in memory: their columns, with cells of any Python type, become those of a `Dataset`.

A frame is any object with named columns that can be iterated (pandas, polars, an Arrow table); none
of these libraries is imported. Images may be PIL images or uint8 arrays, sounds {'array': [T],
'sampling_rate': Hz}. Both become files in memory, so encoders get the same as from disk. NaN, NaT
and NA are missing. A set is a sorted list. A duration is read as its seconds. The order of an
ordered category is kept.
"""

from __future__ import annotations

import datetime
import io
import logging
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from PIL import Image

from gobelin.core import parse
from gobelin.core.errors import GobelinError, first_line, repeated
from gobelin.data.dataset import FILE_TYPE, Dataset, ordered
from gobelin.data.image.images import png_bytes
from gobelin.data.provenance.marks import marks_of
from gobelin.data.tables.file_columns import as_files
from gobelin.data.values.times import readable

ADDRESS = re.compile(" at 0x[0-9a-fA-F]+>$")  # in memory: the object has no value to be read
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@runtime_checkable
class Frame(Protocol):
    """What a data frame must have: names of columns, a shape, and a column by its name."""

    @property
    def columns(self) -> Any: ...  # noqa: ANN401 - pandas has an index here, polars a list

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, name: Any) -> Any: ...  # noqa: ANN401


@runtime_checkable
class NamedColumns(Protocol):
    """A table that lists its columns as `column_names`, as pyarrow and datasets do."""

    @property
    def column_names(self) -> Any: ...  # noqa: ANN401

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, name: Any) -> Any: ...  # noqa: ANN401


TableLike = Frame | NamedColumns


def from_frame(frame: TableLike, root: str | Path = ".", source: str = "data frame") -> Dataset:
    """The rows of a data frame, in order. root: paths in its cells start there, and none may leave
    it. source: name of the frame in messages. Raises GobelinError.
    """
    names = list(frame.column_names if hasattr(frame, "column_names") else frame.columns)
    if (twice := repeated(map(str, names))) is not None:
        raise GobelinError(f"{source}: column {twice!r} appears twice. Rename one.")
    arrays, fields = [], []
    for name in names:
        values, kind = _named_classes(frame, name, source), getattr(frame[name], "dtype", None)
        array = _column([_read(v, source, str(name)) for v in values], source, str(name))
        arrays.append(array)
        levels = getattr(kind, "categories", ()) if getattr(kind, "ordered", False) else ()
        fields.append(
            ordered(str(name), array.type, list(levels))
            if len(levels)
            else pa.field(str(name), array.type)
        )
    _tell_of_index(frame, source)
    table = pa.table(arrays, schema=pa.schema(fields))
    return Dataset(as_files(table, Path(root), Path(root)), Path(root), source)


def _named_classes(frame: TableLike, name: Any, source: str) -> list[Any]:  # noqa: ANN401
    """The values of a column. The numbers of classes have their names, where the frame declares
    them as the library datasets of Hugging Face does; a negative number is an unknown class.
    """
    values = _values(frame[name], f"{source}, column {name!r}")
    features = getattr(frame, "features", None)
    declared = features.get(name) if isinstance(features, Mapping) else None
    classes = getattr(getattr(declared, "feature", declared), "names", None)
    return [_class_name(v, classes) for v in values] if classes else values


def _class_name(value: Any, classes: Sequence[str]) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_class_name(v, classes) for v in value]
    if value is None or value < 0:
        return None
    return classes[value] if value < len(classes) else value


def _tell_of_index(frame: TableLike, source: str) -> None:
    """Warn of an index with names, as it is not read."""
    names = getattr(getattr(frame, "index", None), "names", None) or ()
    if any(name is not None for name in names):
        LOG.warning(
            "%s: the index %s is not read. frame.reset_index() makes a column of it.",
            source,
            ", ".join(map(str, names)),
        )


def _values(column: Any, where: str) -> list[Any]:  # noqa: ANN401
    if isinstance(column, pa.ChunkedArray):
        return readable(column, where).to_pylist()
    return list(column)


def _column(values: list[Any], source: str, name: str) -> pa.Array:
    """The values in one Arrow type. Texts and bytes in one column are files; values without a
    common type become texts.
    """
    kinds = {type(v) for v in values if v is not None}
    if {datetime.date, datetime.datetime} <= kinds:  # Arrow would cut the times off
        values = [_midnight(v) if type(v) is datetime.date else v for v in values]
    if kinds == {str, bytes}:
        files = [
            {"path": v} if isinstance(v, str) else {"bytes": v} for v in values if v is not None
        ]
        filled = iter(files)
        return pa.array([None if v is None else next(filled) for v in values], FILE_TYPE)
    try:
        return pa.array(values)
    except UnicodeEncodeError:
        LOG.warning(
            "%s, column %r: half a character, as of a cut emoji, is read as"
            " \N{REPLACEMENT CHARACTER}.",
            source,
            name,
        )
        return pa.array([_whole_characters(v) for v in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values])


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time())


def _whole_characters(value: Any) -> Any:  # noqa: ANN401
    """The value; in a text U+FFFD for each half of a pair that stands alone."""
    if isinstance(value, list):
        return [_whole_characters(v) for v in value]
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read(value: Any, source: str, name: str) -> Any:  # noqa: ANN401
    """The same as `_cell`. Raises GobelinError for what is no cell: an image that can't be read or
    written, a list within itself, a number that no table file holds."""
    try:
        return _cell(value, source, name)
    except (OSError, ValueError, OverflowError) as error:
        reason = first_line(error, 200)
    except RecursionError:
        reason = "its lists are too many levels deep"
    raise GobelinError(
        f"{source}, column {name!r}: a cell can't be read ({reason}). Repair it, or leave it empty."
    )


def _cell(value: Any, source: str, name: str) -> Any:  # noqa: ANN401
    """A Python value as a table file would hold it: None, a number, text, date, bytes, or a list of
    them.
    """
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _cell(value.item(), source, name)
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]")
    if isinstance(value, np.timedelta64):
        value = value / np.timedelta64(1, "s")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, int) and value.bit_length() > parse.MOST_BITS:
        raise ValueError(f"a whole number of more than {parse.MOST_BITS} bits")
    if isinstance(value, str | bytes | bool | int | float | datetime.date):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, io.BytesIO):
        return value.getvalue()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Image.Image):
        return _png(value)
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return _array(np.asarray(value), source, name)
    if isinstance(value, Mapping):
        return _file(value, source, name)
    if isinstance(value, list | tuple):
        return [_cell(v, source, name) for v in value]  # a hole keeps its place among numbers
    if isinstance(value, Set):  # its order is another one in each process
        present = [c for v in value if (c := _cell(v, source, name)) is not None]
        return sorted(present, key=lambda c: (type(c).__name__, c))
    text = str(value)
    if isinstance(value, complex) or callable(value) or ADDRESS.search(text):
        raise GobelinError(
            f"{source}, column {name!r}: {type(value).__name__} is no cell. Give numbers, texts,"
            " dates, lists of numbers, or the bytes of a file; or leave the column out."
        )
    return text


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # a generated image stays marked
    image.save(out, "PNG", compress_level=1, pnginfo=marks_of(image))
    return out.getvalue()


def _array(value: np.ndarray, source: str, name: str) -> Any:  # noqa: ANN401
    """An image for uint8 [H, W] or [H, W, C] with C = 1, 3 or 4; a list for numbers [T]."""
    if value.ndim == 2 and value.dtype == np.uint8:
        value = value[..., None]
    if value.ndim == 3 and value.dtype == np.uint8 and value.shape[2] in (1, 3, 4):
        return png_bytes(value)
    if value.ndim == 1:
        return _cell(value.tolist(), source, name)
    raise GobelinError(
        f"{source}, column {name!r}: an array of {value.dtype} {list(value.shape)} is no image."
        " Give uint8 [H, W] or [H, W, 3], the bytes of an image file, or a list of numbers."
    )


def _file(value: Mapping[str, Any], source: str, name: str) -> Any:  # noqa: ANN401
    """A sound {'array', 'sampling_rate'} or a file {'bytes', 'path'}, as in datasets of Hugging
    Face.
    """
    if value.get("array") is not None and value.get("sampling_rate"):
        from scipy.io import wavfile

        out = io.BytesIO()
        samples = np.asarray(value["array"], np.float32)
        wavfile.write(
            out,
            int(value["sampling_rate"]),
            samples.T if samples.ndim == 2 and len(samples) < samples.shape[1] else samples,
        )
        return out.getvalue()
    if set(value) <= {"bytes", "path"} and any(v is not None for v in value.values()):
        return value["path"] if value.get("bytes") is None else bytes(value["bytes"])
    raise GobelinError(
        f"{source}, column {name!r}: a mapping of {', '.join(map(str, value)) or 'nothing'} is no"
        " cell. Give 'bytes' or 'path', or 'array' with 'sampling_rate'."
    )
