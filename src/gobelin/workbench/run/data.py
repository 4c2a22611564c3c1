"""The data set of a run: its rows as read, its schema, and the key of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, Runtime
from gobelin.core.stages import RunFolder
from gobelin.data.budget import Reading
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.embedding import schema
from gobelin.workbench.run.rows import Rows, read_rows
from gobelin.workbench.run.settings import Settings


@dataclass(frozen=True, eq=False)
class RunData:
    """The first value in the chain of a run."""

    folder: RunFolder
    # as at the start of the run; later decisions (fusion, steps) go to the values that need them
    settings: Settings
    progress: Progress
    given: Dataset | None = None  # the data set, where a program passed one and no path

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads, set for this process."""
        self.settings.reading.use()
        return self.settings.runtime.apply()

    @cached_property
    def rows(self) -> Rows:
        """The rows as read; `CheckedRows` opens the cells. GobelinError for unusable data."""
        if self.folder.saved:
            raise GobelinError(
                f"{self.folder.folder}: was saved without its data, which are needed here. Use the"
                " run that it was saved from."
            )
        self.settings.reading.use()
        return read_rows(self.settings, self.given)

    @cached_property
    def key(self) -> str:
        """Cache key of the encoders. All later keys depend on it."""
        s = self.settings
        # limits decide which cells are set aside; with the usual ones, keys of earlier runs stay
        limits = () if s.reading == Reading() else (resolved(s.reading),)
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
            *limits,
        )

    @cached_property
    def schema(self) -> Schema:
        """Columns and fields. Once a run has begun they are read from its folder, without the
        data.
        """
        path = self.folder.folder / "schema.json"
        if not (self.settings.data.fingerprint and path.is_file()):
            return self.rows.schema
        return schema.restored(self.folder.stored("schema.json"), str(path))
