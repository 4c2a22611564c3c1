"""The contract of a reader: a path in, an Arrow table out. One file a format; the catalog asks each
whether it claims a path.

Everything that a table file holds as text stays text: what a column means is the schema's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa


class TableReader(Protocol):
    """A frozen dataclass; its fields are the format's settings."""

    def claims(self, path: Path) -> bool:
        """Whether this reader reads `path`, judged by its name or its folder's contents."""
        ...

    def read(self, path: Path) -> tuple[pa.Table, Path]:
        """The table, and the folder that its relative paths start from. Raises GobelinError for
        what can't be read."""
        ...
