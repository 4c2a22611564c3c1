"""A folder of class folders: each image, sound, mesh or volume below one is a row of that class.

Folders that name the parts of a split, above or below the class folders, become a column `split`.
A folder that holds such files directly, and no class folders, gives rows without a class: new ones,
to be predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError
from gobelin.data.class_folders import class_files, classes_and_parts, direct_files, tables_in
from gobelin.data.dataset import declared
from gobelin.data.split.part_names import part_in


@settings_class
class Folder:
    """No settings. Columns of the table: `image`, `sound`, `mesh` or `volume` (path), `class` (name
    of the folder) where there are class folders, and `split` where folders name parts.
    """

    general: ClassVar[bool] = True

    def claims(self, path: Path) -> bool:
        return path.is_dir()

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        kind, files = class_files(path)
        if not files:
            tables = tables_in(path)
            kind, files = ("", []) if tables else direct_files(path)
            if files:
                return pa.table({kind: [f.name for f in files]}), path
            other = _in_place_of_folder(tables)
            raise GobelinError(
                f"{path}: holds no class folder with images, sounds, meshes or volumes. One folder"
                f" a class was expected, or give {other}."
            )
        classes, parts = classes_and_parts(path, files)
        columns = {kind: [f.relative_to(path).as_posix() for f in files], "class": classes}
        table = pa.table({**columns, **({"split": parts} if parts else {})})
        place = table.column_names.index("class")  # folders 0 to 9 are classes too, and no numbers
        return table.cast(table.schema.set(place, declared("class", pa.string(), "category"))), path


def _in_place_of_folder(tables: Sequence[str]) -> str:
    """The table to give in place of a folder: the first, or that of the training rows."""
    if not tables:
        return "a CSV, Parquet or JSON-lines file"
    training = next((t for t in tables if part_in(Path(t).stem) == "train"), tables[0])
    others = [t for t in tables if t != training and part_in(Path(t).stem)]
    later = f" ({', '.join(others)}: for evaluate or predict)" if others else ""
    return f"the table {training} in it{later}"
