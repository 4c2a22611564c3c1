"""A folder of class folders: every image below one is a row, the folder's name is its class."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from gobelin.core.config import settings_class
from gobelin.core.errors import GobelinError
from gobelin.data.images import image_files


@settings_class
class Folder:
    """No settings. Columns of the table: `image` (path), `class` (name of the folder)."""

    def claims(self, path: Path) -> bool:
        return path.is_dir()

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        files = image_files(path)
        if not files:
            raise GobelinError(
                f"{path}: holds no class folder with images. One folder a class was expected, or"
                " give a CSV, Parquet or JSON-lines file."
            )
        relative = [f.relative_to(path) for f in files]
        return (
            pa.table(
                {"image": [r.as_posix() for r in relative], "class": [r.parts[0] for r in relative]}
            ),
            path,
        )
