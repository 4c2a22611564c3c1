"""The contract of a reader: a path in, an Arrow table out. There is one file a format; the first
reader that claims a path reads it.

Text in a table file stays text: the schema decides what a column means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa


class TableReader(Protocol):
    """A frozen dataclass; its fields are the format's settings. One with `general = True` is asked
    after all others.
    """

    def claims(self, path: Path) -> bool:
        """Whether this reader reads `path`, judged by its name or its folder's contents."""
        ...

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        """The table, and the folder that its relative paths start from. Raises GobelinError for a
        file that can't be read.
        """
        ...
