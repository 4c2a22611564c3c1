"""The data set of a run: its rows as read, its schema, and the key of both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.later import added
from gobelin.core.machine import Progress, Runtime
from gobelin.core.progress import step
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema
from gobelin.data.split.parts import TrainedNames
from gobelin.embedding.columns import schema
from gobelin.workbench.run import parts
from gobelin.workbench.run.kept_rows import source_mark
from gobelin.workbench.run.rows import Rows, read_rows
from gobelin.workbench.run.settings import Settings

IN_ALL_KEYS = ("audio", "image", "series", "table", "text")  # encoders of the first versions


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
        _ = self.mark
        with step("read the rows"):
            return read_rows(self.settings, self.given, self.folder)

    @cached_property
    def mark(self) -> list[int] | None:
        """Size and times of the data file before it was read; None for other data."""
        return None if self.given is not None else source_mark(self.settings.data.path)

    @property
    def gone(self) -> bool:
        """Whether the data are not where they were, or were a program's in an earlier process."""
        return self.given is None and not os.path.exists(self.settings.data.path)

    @cached_property
    def key(self) -> str:
        """Cache key of the encoders. All later keys depend on it."""
        s = self.settings
        begun = bool(s.data.fingerprint)
        drawn = s.data.parts if begun else self.rows.parts_key
        return fingerprint(
            s.data.fingerprint if begun else self.rows.dataset.fingerprint,
            s.data.target,
            s.data.order,
            s.schema,
            s.fields,
            {name: own for name, own in s.encoders.items() if _in_keys(name, own)},
            s.split.drawn,
            s.runtime.seed,
            s.runtime.precision,
            *added(s.reading),  # limits decide which cells are set aside
            *([drawn] if drawn else []),
            *added(s.data, "least_groups"),
            *added(s.data, "missing"),
            *(added(s.split, "purge", "embargo") if s.split.gap else []),  # none is a gap of 0, too
        )

    def take_over(self, settings: Mapping[str, Any]) -> None:
        """Refuse to take over what another run made from validation or test rows of this run, and
        remember what it was trained on.

        settings: groups and values, by name. Every run that one names, or in which a file lies that
        one names, is looked at. Raises GobelinError with the count of rows.
        """
        for name, base in parts.runs_named(settings, self.folder.folder):
            place = name, base.folder
            if place not in self._taken_over:
                taken = parts.overlap(name, base, self.rows.named, self.rows.parts)
                self._taken_over[place] = taken
            if self.folder.exists():
                parts.remember(self.folder, self._taken_over[place])

    @cached_property
    def _taken_over(self) -> dict[tuple[str, Path], tuple[TrainedNames, ...]]:
        """What was looked at so far: a warning is given once."""
        return {}

    @cached_property
    def schema(self) -> Schema:
        """Columns and fields. Once a run has begun they are read from its folder, without the
        data.
        """
        path = self.folder.folder / "schema.json"
        if not (self.settings.data.fingerprint and path.is_file()):
            return self.rows.schema
        return schema.restored(self.folder.stored("schema.json"), path)


def _in_keys(encoder: str, settings: Mapping[str, Any]) -> bool:
    """Whether a key holds the settings of an encoder: those of the first versions always, a later
    one where it is not as by default (the rule of `core.later`)."""
    if encoder in IN_ALL_KEYS:
        return True
    usual = {"name": encoder, **resolved(catalog.build("encoders", encoder))}
    return dict(settings) != usual
