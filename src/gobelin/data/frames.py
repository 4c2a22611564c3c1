"""Data frames in memory: their columns become those of a `Dataset`, whatever Python holds in their
cells.

A frame is anything with named columns that can be walked (pandas, polars, an Arrow table); none of
them is imported. Images may be PIL images or uint8 arrays, sounds {'array': [T], 'sampling_rate':
Hz}; both become files in memory, so encoders see what they would read from disk. NaN, NaT and NA
are missing."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from PIL import Image
from scipy.io import wavfile

from gobelin.core.errors import GobelinError
from gobelin.data.dataset import FILE, Dataset
from gobelin.data.images import png_bytes
from gobelin.data.provenance import marks_of


@runtime_checkable
class Frame(Protocol):
    """What is asked of a data frame: names of columns, a shape, and a column by its name."""

    @property
    def columns(self) -> Any: ...  # noqa: ANN401 - pandas has an index here, polars a list

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, name: Any) -> Any: ...  # noqa: ANN401


def from_frame(frame: Frame, root: str | Path = ".", source: str = "data frame") -> Dataset:
    """The rows of a data frame, in order. root: paths in its cells start there, and none may leave
    it."""
    names = list(frame.column_names if hasattr(frame, "column_names") else frame.columns)
    if len({str(n) for n in names}) != len(names):
        twice = next(n for n in names if [str(m) for m in names].count(str(n)) > 1)
        raise GobelinError(f"{source}: column {str(twice)!r} stands there twice. Rename one.")
    columns = {
        str(n): _column([_cell(v, source, str(n)) for v in _walked(frame[n])]) for n in names
    }
    return Dataset(pa.table(columns), Path(root), source)


def _walked(column: Any) -> list[Any]:  # noqa: ANN401
    return column.to_pylist() if isinstance(column, pa.ChunkedArray) else list(column)


def _column(values: list[Any]) -> pa.Array:
    """Arrow's own type where it has one for all of them; words and bytes in one column are files;
    else all become words."""
    kinds = {type(v) for v in values if v is not None}
    if kinds == {str, bytes}:
        files = [
            {"path": v} if isinstance(v, str) else {"bytes": v} for v in values if v is not None
        ]
        filled = iter(files)
        return pa.array([None if v is None else next(filled) for v in values], FILE)
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values])


def _cell(value: Any, source: str, name: str) -> Any:  # noqa: ANN401
    """What Python holds as what a file would: None, a number, word, date, bytes or a list of
    them."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if isinstance(value, str | bytes | bool | int | float | datetime.date):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Image.Image):
        return _picture(value)
    if isinstance(value, np.ndarray):
        return _array(value, source, name)
    if isinstance(value, Mapping):
        return _file(value, source, name)
    if isinstance(value, list | tuple):
        return [c for v in value if (c := _cell(v, source, name)) is not None]
    return str(value)


def _picture(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, pnginfo=marks_of(image))  # a made image stays marked
    return out.getvalue()


def _array(value: np.ndarray, source: str, name: str) -> Any:  # noqa: ANN401
    """A picture where it is uint8 [H, W] or [H, W, 1, 3 or 4], else a list of numbers."""
    if value.ndim == 2 and value.dtype == np.uint8:
        value = value[..., None]
    if value.ndim == 3 and value.dtype == np.uint8 and value.shape[2] in (1, 3, 4):
        return png_bytes(value)
    if value.ndim == 1:
        return [c for v in value.tolist() if (c := _cell(v, source, name)) is not None]
    raise GobelinError(
        f"{source}, column {name!r}: an array of {value.dtype} {list(value.shape)} is no picture."
        " Give uint8 [H, W] or [H, W, 3], or a list of numbers."
    )


def _file(value: Mapping[str, Any], source: str, name: str) -> Any:  # noqa: ANN401
    """A sound {'array', 'sampling_rate'} or a file {'bytes', 'path'}, as Hugging Face's data sets
    hold them."""
    if value.get("array") is not None and value.get("sampling_rate"):
        out = io.BytesIO()
        wave = np.asarray(value["array"], np.float32)
        wavfile.write(
            out,
            int(value["sampling_rate"]),
            wave.T if wave.ndim == 2 and len(wave) < wave.shape[1] else wave,
        )
        return out.getvalue()
    if set(value) <= {"bytes", "path"} and any(v is not None for v in value.values()):
        return value["path"] if value.get("bytes") is None else bytes(value["bytes"])
    raise GobelinError(
        f"{source}, column {name!r}: a mapping of {', '.join(map(str, value)) or 'nothing'} is no"
        " cell. Give 'bytes' or 'path', or 'array' with 'sampling_rate'."
    )
