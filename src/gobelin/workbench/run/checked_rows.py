"""The rows of a run after every cell was opened once: bad cells are set aside, generated rows are
in no validation or test set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.quality import data as data_quality
from gobelin.quality.data import Scan
from gobelin.workbench.run import data_files
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.encoders import RunEncoders
from gobelin.workbench.run.rows import Rows


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

    @property
    def training_rows(self) -> np.ndarray:
        """int64 [n]: the labelled training rows. A row that was drawn twice appears twice."""
        rows = self.rows.labelled("train")
        return rows if self.resample is None else np.repeat(rows, self.resample.counts[rows])
