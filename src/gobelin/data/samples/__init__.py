"""The contract of a sample set: data that come with a package or are drawn here, written as an
ordinary dataset.

A sample set is a frozen dataclass. Its fields are its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol


class SampleSet(Protocol):
    """target: the column that the demo predicts. credit: the line that its images must be shown
    with.
    """

    target: ClassVar[str]
    credit: ClassVar[str]

    def write(self, folder: Path, seed: int) -> Path:
        """Write the table and its images below `folder`, whole or not at all; return the table's
        path. seed: of what is drawn at random.
        """
        ...

    def settings(self) -> Mapping[str, Any]:
        """Settings of the demo's run."""
        ...

    def queries(self) -> tuple[Mapping[str, str], ...]:
        """Searches of the demo, each {flag or column: value} as on the command line."""
        ...
