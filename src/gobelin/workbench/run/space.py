"""The shared space of a run, its rows in it, and the index that search reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.core.machine import derived_seed
from gobelin.core.stages import RunFolder
from gobelin.embedding.alignment import kept_space
from gobelin.embedding.alignment.align import Align, Alignment, Shared
from gobelin.embedding.search import stored_rows
from gobelin.embedding.search.index import INDEX_FORMAT
from gobelin.embedding.search.index_rows import columns_of
from gobelin.embedding.search.stored_rows import STORED_ROWS_FORMAT, Description, StoredRows
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.row_index import INDEX, RowIndex

STORED_ROWS = "rows"  # stage of the data's rows as search finds them


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

    @property
    def made(self) -> bool:
        """Whether the space is in the run folder."""
        return self.folder.has("alignment", self.key)

    @cached_property
    def alignment(self) -> Alignment:
        """The projection of every field, fitted on training rows."""
        data = self.features.data

        def make(stage: Path) -> None:
            rows = self.checked.rows
            train = rows.part("train")
            data.take_over({"align": resolved(self.settings)})
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

    @property
    def _rows_key(self) -> str:
        return fingerprint(self.key, self.alignment.fingerprint(), STORED_ROWS_FORMAT)

    def stored_rows(self) -> StoredRows:
        """The rows of the data as search finds them, a stage of the run."""

        def make(stage: Path) -> None:
            rows, seed = self.checked.rows, self.features.data.runtime.seed
            columns = columns_of(rows.dataset.ids, rows.dataset, rows.schema, rows.parts.tolist())
            scale = stored_rows.write(
                stage,
                self.alignment,
                self.features.embeddings,
                rows.part("train"),
                derived_seed(seed, "search"),
            )
            about = Description(self.alignment.fields, scale, str(rows.dataset.root.absolute()))
            stored_rows.describe(stage, about, columns)

        return self.folder.kept(STORED_ROWS, self._rows_key, make, StoredRows)

    @cached_property
    def index(self) -> RowIndex:
        """The stored rows that search reads: the rows of the data, and rows added later."""
        saved = self.folder.saved
        if saved and not (self.folder.folder / INDEX).is_dir():
            raise GobelinError(
                f"{self.folder.folder}: was saved without an index, which is needed here. Save it"
                " with --index."
            )
        space = self.alignment.fingerprint()
        key = fingerprint(self.key, space, INDEX_FORMAT)
        return RowIndex(self.folder, key, space, None if saved else self.stored_rows)
