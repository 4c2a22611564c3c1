"""The data set of a run: its rows as they were read, its schema, and the key of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, Runtime
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.embedding import schema
from gobelin.workbench.run.rows import Rows, read_rows
from gobelin.workbench.run.settings import Settings


@dataclass(frozen=True, eq=False)
class RunData:
    """The first link of a run's chain.

    folder: where stages are kept. settings: those that the data are read with; what is decided
    later (fusion, steps of the generator) is handed to the links that need it.
    given: the dataset, where a program passed one in place of a path.
    """

    folder: RunFolder
    settings: Settings
    progress: Progress
    given: Dataset | None = None

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads, set for this process."""
        return self.settings.runtime.apply()

    @cached_property
    def rows(self) -> Rows:
        """The rows as read. No cell was opened yet; `CheckedRows` does that."""
        if self.folder.saved:
            raise GobelinError(
                f"{self.folder.folder}: was saved without its data, needed here. Use the run it was"
                " saved from."
            )
        return read_rows(self.settings, self.given)

    @cached_property
    def key(self) -> str:
        """Key of the encoders, and the beginning of every later key."""
        s = self.settings
        return fingerprint(
            s.data.fingerprint or self.rows.dataset.fingerprint,
            s.data.target,
            s.data.order,
            s.schema,
            s.fields,
            s.encoders,
            resolved(s.split),
            s.runtime.seed,
            s.runtime.precision,
        )

    @cached_property
    def schema(self) -> Schema:
        """Columns and fields. A run that was begun has them on disk, so its data need not be
        there."""
        path = self.folder.folder / "schema.json"
        if not (self.settings.data.fingerprint and path.is_file()):
            return self.rows.schema
        return schema.restored(self.folder.stored("schema.json"), str(path))
