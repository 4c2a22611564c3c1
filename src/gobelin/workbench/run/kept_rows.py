"""The checked rows of a run and their features on disk, so that a verb about them reads no data set
again and opens no cell.

They are taken for those of the data while the data file has the size and both times that it had
when it was read, and where the data are not there: they were a program's, or the run folder was
moved without them. Else the data are read, as they are for a folder of files, and for a table of
more than `MOST_BYTES`, which is not kept. All is memory-mapped: a verb about some rows reads these.

What this cannot show: a change that restores the size and both times of the data file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gobelin.core.arrow import texts
from gobelin.core.files import (
    load_arrays,
    mapped_arrays,
    read_json,
    save_arrays,
    size_and_times,
    write_json,
)
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.split.parts import NamedRows, Naming, RecordedParts
from gobelin.data.tables.arrow_files import read_table, write_table
from gobelin.embedding.features import Embeddings
from gobelin.workbench.run.rows import Rows

MOST_BYTES = 2**30  # of a table, or of all features, that are kept
CELLS, NAMES, ARRAYS, OTHERS = "cells.arrow", "names.arrow", "rows.safetensors", "rows.json"
FEATURES = "features.safetensors"
PRESENT = "present"  # of the arrays of features, which are named by their fields' places


def source_mark(path: str) -> list[int] | None:
    """Size and both times of a data file; None for a folder and for what isn't there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not os.path.isfile(path):
        return None
    return size_and_times(status)


def write_rows(folder: Path, rows: Rows, mark: list[int] | None) -> None:
    """Write the rows. mark: of the data file when they were read; None for data of another kind."""
    data, target = rows.dataset, rows.target
    write_table(folder / CELLS, data.with_ids().table)
    columns = {
        "group": texts(rows.groups),
        "name": texts(rows.named.names),
        "part": texts(rows.parts.tolist()),
    }
    write_table(folder / NAMES, pa.table(columns))
    arrays = {"target": target.values, "scored": target.scored, "weights": rows.weights}
    save_arrays(folder / ARRAYS, arrays)
    others = {
        "mark": mark,
        "root": str(data.root),
        "source": data.source,
        "bad": sorted(data.bad),
        "target": {"name": target.name, "kind": target.kind, "classes": target.classes},
        "naming": asdict(rows.named.naming),
        "parts_key": rows.parts_key,
    }
    write_json(folder / OTHERS, others)


def read_rows(
    folder: Path, mark: list[int] | None, schema: Schema, record: RecordedParts, root: str
) -> Rows | None:
    """The rows that `write_rows` wrote; None where the data file is not as it was then.

    mark: of the data file now; None where the data are not there. record: of the parts of the run.
    root: where relative paths start, "" = as when they were written."""
    others: Mapping[str, Any] = read_json(folder / OTHERS)
    if mark is not None and others["mark"] != mark:
        return None
    bad = frozenset((row, column) for row, column in others["bad"])
    dataset = Dataset(
        read_table(folder / CELLS), Path(root or others["root"]), others["source"], bad
    )
    names, arrays = read_table(folder / NAMES), load_arrays(folder / ARRAYS)
    about, naming = others["target"], others["naming"]
    target = Target(
        about["name"], about["kind"], arrays["target"], tuple(about["classes"]), arrays["scored"]
    )
    named = NamedRows(
        dataset,
        Naming(**{**naming, "content": tuple(naming["content"])}),
        tuple(names["name"].to_pylist()),
    )
    return Rows(
        dataset,
        schema,
        target,
        np.array(names["part"].to_pylist(), dtype=str),
        tuple(names["group"].to_pylist()),
        arrays["weights"],
        named,
        record,
        others["parts_key"],
    )


def write_features(folder: Path, embeddings: Embeddings) -> None:
    """Write the features of N rows, and which are there."""
    arrays = {str(k): embeddings.features[f] for k, f in enumerate(embeddings.fields)}
    for k, f in enumerate(embeddings.fields):
        if f in embeddings.words:
            arrays[f"words of {k}"] = embeddings.words[f]
    save_arrays(folder / FEATURES, {**arrays, PRESENT: embeddings.present.astype(np.uint8)})
    write_json(folder / OTHERS, {"fields": embeddings.fields, "space": embeddings.space})


def read_features(folder: Path, ids: tuple[str, ...], like: Embeddings) -> Embeddings | None:
    """The features that `write_features` wrote, of the rows with these ids; None where they are of
    other encoders. like: empty embeddings of the encoders' fields and space."""
    others, arrays = read_json(folder / OTHERS), mapped_arrays(folder / FEATURES)
    same = others["space"] == like.space and tuple(others["fields"]) == like.fields
    if not same or len(arrays[PRESENT]) != len(ids):
        return None
    features = {f: arrays[str(k)] for k, f in enumerate(like.fields)}
    present = np.asarray(arrays[PRESENT]).astype(bool)
    words = {
        f: arrays[f"words of {k}"] for k, f in enumerate(like.fields) if f"words of {k}" in arrays
    }
    return replace(like, features=features, present=present, ids=ids, words=words)


def features_bytes(embeddings: Embeddings) -> int:
    """The size of all features."""
    return sum(x.nbytes for x in embeddings.features.values())
