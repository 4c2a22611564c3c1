"""Names in cells for files whose own names may tell who a patient is.

The folders of a hospital are often named by patients, and their files by unique ids. A cell then
holds an opaque name, and the files behind it are known to the process that has read the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ALIAS = "dicom:"  # begins such a name


class _Process:
    """The files behind the names that readers have given in this process."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[Path, ...]] = {}


_process = _Process()


def name_files(files: Mapping[str, tuple[Path, ...]]) -> None:
    """Make these names stand for these files, absolute paths in their order."""
    _process.files.update(files)


def is_alias(value: Any) -> bool:  # noqa: ANN401 - a cell is any
    """Whether a cell holds such a name."""
    return isinstance(value, str) and value.startswith(ALIAS)


def files_of(value: str) -> tuple[Path, ...]:
    """The files behind a name; none where it is not known."""
    return _process.files.get(value, ())
