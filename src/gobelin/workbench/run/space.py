"""The shared space of a run, its rows in it, and the index that search reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.stages import RunFolder
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Align, Alignment, Shared
from gobelin.embedding.index import INDEX_FORMAT, Index, create, rows_of, warn_of_lost_changes
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.features import RunFeatures

INDEX = "index"  # folder of the stored rows; a saved run may lack it


@dataclass(frozen=True, eq=False)
class RunSpace:
    """The shared space of a run, fitted when it is first used."""

    folder: RunFolder  # of the run, or of a resample of its training rows
    checked: CheckedRows
    features: RunFeatures

    @property
    def settings(self) -> Align:
        return self.features.data.settings.align

    @property
    def key(self) -> str:
        return fingerprint(self.features.key_of(self.checked), resolved(self.settings))

    @cached_property
    def alignment(self) -> Alignment:
        """The projection of every field, fitted on training rows."""
        data = self.features.data

        def make(stage: Path) -> None:
            rows = self.checked.rows
            train = rows.part("train")
            kept_space.fit_or_bind(
                self.settings,
                self.features.embedder,
                self.features.embeddings.rows(train),
                [rows.groups[k] for k in train],
                data.runtime,
                data.progress,
            ).save(stage)

        return self.folder.kept("alignment", self.key, make, Alignment.load)

    @cached_property
    def shared(self) -> Shared:
        """All rows in the shared space."""
        return self.alignment.project(self.features.embeddings)

    def empty(self) -> Shared:
        """No rows in this space: its fields, width and fingerprint."""
        fields, width = self.alignment.fields, self.alignment.settings.width
        vectors = np.zeros((0, len(fields), width), np.float32)
        present = np.zeros((0, len(fields)), bool)
        return Shared(fields, vectors, present, (), self.alignment.fingerprint())

    @cached_property
    def index(self) -> Index:
        """The stored rows that search reads: the rows of the data, and rows added later."""
        space, place = self.alignment.fingerprint(), self.folder.folder / INDEX
        if self.folder.saved and not place.is_dir():
            raise GobelinError(
                f"{self.folder.folder}: was saved without an index, which is needed here. Save it"
                " with --index."
            )
        if not self.folder.saved:
            key = fingerprint(self.key, space, INDEX_FORMAT)
            with self.folder.making(INDEX, key) as temporary:
                if temporary is not None:
                    rows = self.checked.rows
                    table = rows_of(self.shared, rows.dataset, rows.schema, rows.parts.tolist())
                    create(temporary, table, space)
                    warn_of_lost_changes(place, len(rows.dataset))
        return Index(place, space)
