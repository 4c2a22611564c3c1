"""The rows of a run after every cell was opened once: bad cells are set aside, generated rows are
in no validation or test set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.evidence.findings import Finding
from gobelin.quality import data as data_quality
from gobelin.quality.belonging import belonging
from gobelin.quality.data import Scan
from gobelin.workbench.run import data_files, kept_rows, parts
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.encoders import RunEncoders
from gobelin.workbench.run.kept_rows import MOST_BYTES
from gobelin.workbench.run.rows import Rows

KEPT_ROWS = "checked"  # stage of the rows as they were checked


@dataclass(frozen=True, eq=False)
class Resample:
    """A bootstrap of the training rows."""

    number: int
    rows: Rows
    counts: np.ndarray  # int64 [N], how often each row was drawn; 0 outside training


@dataclass(frozen=True, eq=False)
class CheckedRows:
    """The checked rows of a run."""

    data: RunData
    encoders: RunEncoders
    resample: Resample | None = None  # replaces the run's rows, in a study of the method

    @property
    def key(self) -> str:
        """Cache key of these rows. A resample has a key of its own."""
        if self.resample is None:
            return self.data.key
        return fingerprint(self.data.key, "resample", self.resample.number)

    @cached_property
    def scan(self) -> Scan:
        """The result of opening every cell."""
        data = self.data
        return data_quality.scan(
            self.encoders.embedder, data.rows.dataset, data.settings.check, data.progress
        )

    @cached_property
    def rows(self) -> Rows:
        """The rows that all later values use. Raises GobelinError where the data have changed."""
        if self.resample is not None:
            return self.resample.rows
        if (kept := self._kept()) is not None:
            return kept
        rows, folder = self.data.rows, self.data.folder
        expected = self.data.settings.data.fingerprint
        if expected and expected != rows.dataset.fingerprint:
            raise GobelinError(
                f"{folder.folder}: was made from other data than {rows.dataset.source} holds. If"
                " rows were added, run gobelin fit again; else choose another --run."
            )
        if expected:
            data_files.check(folder.folder, rows.dataset, rows.schema, self.data.runtime.threads)
        # a generated row is never scored: it has no label, and stands in no validation or test set
        generated = np.isin(rows.dataset.ids, self.scan.marked)
        return replace(
            rows,
            dataset=self.scan.dataset,
            target=rows.target.without(generated),
            parts=np.where(generated, "train", rows.parts),
        )

    @cached_property
    def together(self) -> list[Finding]:
        """Columns that may be the group of the rows, where none is."""
        rows = self.rows
        return belonging(rows.dataset, rows.schema, rows.target, rows.parts)

    def keep(self) -> None:
        """Write the rows as a stage of the run, from which a later process takes them."""
        if self.resample is None and self.rows.dataset.table.nbytes <= MOST_BYTES:
            with self.data.folder.making(KEPT_ROWS, self.key) as temporary:
                if temporary is not None:
                    kept_rows.write_rows(temporary, self.rows, self.data.mark)

    def _kept(self) -> Rows | None:
        """The rows as `keep` wrote them, where the data file has not changed since, and where the
        data are not there; else None."""
        data, folder = self.data, self.data.folder
        begun = data.settings.data.fingerprint and not folder.saved
        usable = data.mark is not None or data.gone
        if not (begun and usable and folder.has(KEPT_ROWS, self.key)):
            return None
        record = parts.recorded(folder)
        if record is None:
            return None
        rows = folder.loaded(
            KEPT_ROWS,
            lambda at: kept_rows.read_rows(
                at, data.mark, data.schema, record, data.settings.data.root
            ),
        )
        if rows is not None:
            if data.mark is not None:
                data_files.check(folder.folder, rows.dataset, rows.schema, data.runtime.threads)
            openings = self.encoders.embedder.openings(rows.dataset.column_names)
            rows = replace(rows, dataset=replace(rows.dataset, openings=openings))
        return rows

    @property
    def training_rows(self) -> np.ndarray:
        """int64 [n]: the labelled training rows. A row that was drawn twice appears twice."""
        rows = self.rows.labelled("train")
        return rows if self.resample is None else np.repeat(rows, self.resample.counts[rows])
