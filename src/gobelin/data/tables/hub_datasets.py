"""Data sets of the Hugging Face hub, by the library datasets: `hf://NAME`, or `hf://NAME@PART`.

This is the one place that downloads data, and only for a name that begins so. The library keeps
what it has downloaded, so that later commands need no network. It runs no code of the data set.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pyarrow as pa

from gobelin.core.errors import GobelinError, MissingExtra, first_line
from gobelin.data.tables.class_names import written_out

# a command makes paths whole, so the working folder may stand before the name
HUB = re.compile(r"(?:.*/)?hf:/{1,2}(?P<name>[^@]+?)(?:@(?P<part>[^@/]+))?")


def hub_name(path: str) -> tuple[str, str] | None:
    """The name of a data set of the hub, and of its part ('' for none); None for another path."""
    found = HUB.fullmatch(path)
    return (found["name"], found["part"] or "") if found else None


def datasets() -> ModuleType:
    """The library. Raises MissingExtra."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(
            "datasets, which reads hf://NAME,", command="pip install 'datasets>=4'"
        ) from error
    return datasets


def hub_table(name: str, part: str = "") -> pa.Table:
    """The rows of all splits, with a column `split` where there are several, memory-mapped. Raises
    GobelinError for a data set that can't be fetched.
    """
    library = datasets()
    try:
        loaded = library.load_dataset(name, part or None)
        splits = loaded if isinstance(loaded, dict) else {"": loaded}
        tables = [_rows(library, split) for split in splits.values()]
        if len(tables) > 1:
            tables = [
                table.append_column("split", pa.array([key] * len(table), pa.string()))
                for key, table in zip(splits, tables, strict=True)
                if "split" not in table.column_names
            ] or tables
        return pa.concat_tables(tables, promote_options="permissive")
    except GobelinError:
        raise
    except Exception as error:  # the library raises many kinds of errors
        raise GobelinError(
            f"hf://{name}: can't be fetched ({first_line(error)}). Check the name and the network,"
            " or load it yourself and give the folder that save_to_disk writes."
        ) from error


def _rows(library: ModuleType, split: Any) -> pa.Table:  # noqa: ANN401 - of datasets
    """The rows of a split, the files of images and sounds inside."""
    whole = split.with_format("arrow").map(library.table.embed_table_storage, batched=True)
    return written_out(whole.flatten_indices().data.table, "hf://")
