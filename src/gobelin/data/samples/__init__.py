"""The contract of a sample set: data that comes with a package or is made here, written as an
ordinary data set.

A sample set is a frozen dataclass with `write(folder, seed) -> path of a table file`, the settings
of its demo (`settings() -> mapping`), its target column and the credit that its pictures need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol


class SampleSet(Protocol):
    """target: the column that the demo predicts. credit: for every picture shown. queries: searches
    that the demo makes."""

    target: ClassVar[str]
    credit: ClassVar[str]

    def write(self, folder: Path, seed: int) -> Path:
        """Write the table and its images below `folder`, whole or not at all; return the table's
        path."""
        ...

    def settings(self) -> Mapping[str, Any]: ...

    def queries(self) -> tuple[Mapping[str, str], ...]:
        """Each {flag or column: value}, as on the command line."""
        ...
