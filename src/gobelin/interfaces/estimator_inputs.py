"""What the scikit-learn estimators are given, as rows, labels and weights."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL.Image import Image
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import (  # type: ignore[attr-defined]
    _check_sample_weight,
    validate_data,
)

from gobelin.core.errors import repeated
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.tables.frames import Frame, NamedColumns, from_frame
from gobelin.embedding.columns.schema import remarks

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that
OPTION = re.compile(r"--set '?schema\.(.+?)=(\w+)'?")  # as `set_kind` writes it
TEXT_FOUND = "could not convert string to float: "  # as NumPy says it
LEAST_WEIGHTED_ROWS = 2  # with a weight above 0; fitting on few rows is the user's choice here


def dataset_of(
    estimator: BaseEstimator,
    X: Any,  # noqa: ANN401, N803
    root: str | Path,
    reset: bool,
) -> tuple[Dataset, bool]:
    """X as rows, and whether it is a plain array of numbers.

    root: the folder in which relative paths start. reset: X is fitted; else it must have the
    columns that were. Raises ValueError and TypeError."""
    if frame := _as_frame(X):
        shape = f" {list(X.shape)}" if hasattr(X, "shape") else ""
        raise TypeError(
            f"X: a data frame or numbers [N, columns] were expected, found"
            f" {type(X).__name__}{shape}. {frame}."
        )
    if not Path(root).is_dir():
        raise ValueError(f"root: {str(root)!r} is no folder. Name the one of the files.")
    if isinstance(X, Frame):
        if (twice := repeated(map(str, getattr(X, "column_names", X.columns)))) is not None:
            raise ValueError(f"X: column {twice!r} appears twice. Rename one.")
        for k, what in enumerate(("rows", "columns")):
            if len(X.shape) == 2 and not X.shape[k] and (reset or k):
                raise ValueError(f"X: has no {what}. At least one is needed.")
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return from_frame(X, root, "X").with_ids(), False
    try:
        array = validate_data(
            estimator, X, reset=reset, ensure_all_finite="allow-nan", dtype=np.float64
        )
    except ValueError as error:
        if not str(error).startswith(TEXT_FOUND):
            raise
        raise ValueError(
            f"X: numbers [N, columns] were expected, found the text"
            f" {str(error).removeprefix(TEXT_FOUND)}. pandas.DataFrame(X) makes a frame, which may"
            " hold texts; so does transformer.set_output(transform='pandas')."
        ) from None
    columns = {f"x{k}": pa.array(array[:, k]) for k in range(array.shape[1])}
    return Dataset(pa.table(columns), Path(root), "X").with_ids(), True


def _as_frame(X: Any) -> str:  # noqa: ANN401, N803
    """How X becomes a frame, where its rows are in no frame and in no array of numbers; '' for
    others."""
    if issparse(X) or isinstance(X, Frame):  # scikit-learn refuses what is sparse
        return ""
    first = X[0] if isinstance(X, list | tuple) and X else None
    if isinstance(X, str | Path):
        return "pandas.read_csv(X) makes a frame"
    if hasattr(X, "collect"):  # of polars, not computed yet
        return "X.collect() makes a frame"
    if isinstance(X, NamedColumns):  # a data set of datasets
        return "X.to_pandas() makes a frame"
    if isinstance(X, Iterator):
        return "pandas.DataFrame(list(X)) makes a frame"
    records = getattr(getattr(X, "dtype", None), "names", None)
    if records or isinstance(X, Mapping) or isinstance(first, Mapping):
        return "pandas.DataFrame(X) makes a frame"
    if len(getattr(X, "shape", ())) > 2 or len(getattr(first, "shape", ())) > 1:
        return "pandas.DataFrame({'image': list(X)}) makes a frame of images"
    return "pandas.DataFrame({'image': X}) makes a frame" if isinstance(first, Image) else ""


def tell_remarks(schema: Schema) -> None:
    """Warn of the columns that are not used, or are read in one of several ways, as `check` does.
    An option of the command line becomes the parameter: schema={'code': 'text'}."""
    for line in remarks(schema):
        LOG.warning("X, %s", OPTION.sub(r"schema={'\1': '\2'}", line))


def weights_of(X: Any, sample_weight: Any) -> np.ndarray:  # noqa: ANN401, N803
    """float64 [N]: how much each row counts. Raises ValueError."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if (count := int((weights > 0).sum())) < LEAST_WEIGHTED_ROWS:
        raise ValueError(
            f"fit: n_samples={count} with a weight above 0, at least {LEAST_WEIGHTED_ROWS} are"
            " needed. Add rows."
        )
    return weights


def labels_of(estimator: BaseEstimator, y: Any, rows: int) -> np.ndarray:  # noqa: ANN401
    """y as [N], finite."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__}.fit requires y to be passed, but the target y is None."
        )
    if isinstance(y, str | Path):
        raise ValueError(f"y: one label a row was expected, found {y!r}. Give X.pop({y!r}).")
    out = column_or_1d(y, warn=True)
    if out.dtype.kind == "O" and (gone := sum(map(_missing, out))):
        raise ValueError(
            f"y: {gone} of {len(out)} labels are missing (NaN or None). Leave these rows out."
            " pandas reads the words None and NA as missing: where one is a class, read the file"
            " with pd.read_csv(..., keep_default_na=False)."
        )
    if out.dtype.kind == "O" and len({isinstance(label, str) for label in out}) > 1:
        one = next(label for label in out if not isinstance(label, str))
        raise ValueError(f"y: holds texts and others, such as {one!r}. Make all labels texts.")
    if out.dtype.kind == "f":
        check_array(out, ensure_2d=False, input_name="y")
    if len(out) != rows:
        raise ValueError(f"fit: X has {rows} rows, found {len(out)} labels in y. Give one a row.")
    return out


def known_classes(y: np.ndarray, classes: np.ndarray) -> Target:
    """y [N] as places among the fitted classes [C]. Raises ValueError for another class."""
    places = {c: k for k, c in enumerate(classes.tolist())}
    if unknown := [c for c in y.tolist() if c not in places]:
        raise ValueError(f"score: y holds {unknown[0]!r}, which fit has not seen. Leave it out.")
    values = np.array([places[c] for c in y.tolist()], np.int64)
    names = tuple(map(str, classes))
    return Target("y", "class", values, names, np.ones(len(names), bool))


def _missing(value: Any) -> bool:  # noqa: ANN401
    """Whether a label is None, NaN, or the NA or NaT of pandas, which equal nothing."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
