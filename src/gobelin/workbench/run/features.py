"""The features of all rows, by tuned encoders where the settings tune them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint
from gobelin.embedding.features import Embedder, Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction.cross_fit import Training, key_of
from gobelin.prediction.tuning.settings import Tune
from gobelin.quality.giveaways import giveaways
from gobelin.workbench.run import kept_rows
from gobelin.workbench.run.checked_rows import KEPT_ROWS, CheckedRows
from gobelin.workbench.run.data import RunData
from gobelin.workbench.run.encoders import RunEncoders
from gobelin.workbench.run.kept_rows import MOST_BYTES

if TYPE_CHECKING:
    from gobelin.prediction.tuning.tuner import TuningData

KEPT_FEATURES = "features"  # stage of the features of all rows


@dataclass(frozen=True, eq=False)
class RunFeatures:
    """The encoders before and after tuning, and the features of the rows."""

    data: RunData
    encoders: RunEncoders
    checked: CheckedRows
    tune: Tune  # with the number of steps, once it is decided

    @property
    def tuned(self) -> bool:
        """Whether tuned encoders are used: they were better on rows held back."""
        return self.embedder is not self.encoders.embedder

    def key_of(self, checked: CheckedRows) -> str:
        """Cache key of the features of these rows: the key of the rows, settings of tuning."""
        s, tune = self.data.settings, self.tune
        if not tune.fields:
            return checked.key
        if tune.minutes is None:
            tune = replace(tune, minutes=2.0)  # the default in earlier versions: keys stay
        return fingerprint(
            checked.key, resolved(tune), list(s.leave_out), s.check.fitted, key_of(s.predict)
        )

    def steps(self) -> int:
        """The number of training steps of tuning: by the training rows, fewer where minutes allow
        fewer.
        """
        from gobelin.prediction.tuning import decision  # it loads torch

        tune, data = self.tune, self._tuning_data()
        planned = replace(tune, steps=decision.planned_steps(tune, data))
        key = replace(self, tune=planned).key_of(self.checked)
        return decision.steps_of(tune, data, self._work, key)

    @property
    def _work(self) -> Path:
        """The folder of an unfinished training."""
        return self.data.folder.folder / "work" / "tuned"

    @cached_property
    def plain(self) -> Embeddings:
        """Features of all rows by the encoders before tuning."""
        key = "" if self.tune.fields else self.key_of(self.checked)  # tuned features are kept
        return self._embedded(self.encoders.embedder, key)

    def _embedded(self, embedder: Embedder, key: str) -> Embeddings:
        rows = self.checked.rows
        kept = self._kept(embedder, key)
        return replace(
            embedder.embed(rows.dataset, self.data.progress) if kept is None else kept,
            groups=rows.groups,
            least_groups=self.data.settings.data.least_groups,
        )

    def keep(self) -> None:
        """Write the features of all rows as a stage of the run, where the rows themselves are kept:
        a later process then opens no cell.
        """
        folder, key = self.data.folder, self.key_of(self.checked)
        if folder.has(KEPT_ROWS, self.checked.key):
            if kept_rows.features_bytes(self.embeddings) <= MOST_BYTES:
                with folder.making(KEPT_FEATURES, key) as temporary:
                    if temporary is not None:
                        kept_rows.write_features(temporary, self.embeddings)

    @property
    def are_kept(self) -> bool:
        """Whether `keep` wrote them: a later process can use them without the data."""
        return self.data.folder.has(KEPT_FEATURES, self.key_of(self.checked))

    def _kept(self, embedder: Embedder, key: str) -> Embeddings | None:
        """The features of the rows by these encoders as `keep` wrote them; None without."""
        folder, begun = self.data.folder, self.data.settings.data.fingerprint
        if not (
            begun and folder.has(KEPT_FEATURES, key) and folder.has(KEPT_ROWS, self.checked.key)
        ):
            return None
        ids, none = self.checked.rows.dataset.ids, embedder.embed_nothing()
        return folder.loaded(KEPT_FEATURES, lambda at: kept_rows.read_features(at, ids, none))

    @cached_property
    def embedder(self) -> Embedder:
        """The encoders; tuned ones where they were better on rows held back."""
        tune, folder = self.tune, self.data.folder
        if not tune.fields:
            return self.encoders.embedder
        from gobelin.prediction.tuning import decision

        key, work = self.key_of(self.checked), self._work

        def make(stage: Path) -> None:
            decision.save(stage, *decision.tuned(tune, self._tuning_data(), work, key))

        embedder = folder.kept(
            "tuned",
            key,
            make,
            lambda stage: decision.with_tuned_encoders(self.encoders.embedder, stage),
        )
        shutil.rmtree(work, ignore_errors=True)
        return embedder

    def _tuning_data(self) -> TuningData:
        """The input of tuning: labelled training rows only."""
        from gobelin.prediction.tuning import decision

        rows, chosen = self.checked.rows, self.checked.rows.labelled("train")
        training = Training(
            self.data.settings.predict,
            self.plain.rows(chosen).keep(self.used_fields(self.checked)),
            rows.target.rows(chosen),
            np.arange(len(chosen)),
            [rows.groups[k] for k in chosen],
            rows.weights[chosen],
            self.data.runtime,
            self.data.progress,
        )
        return decision.TuningData(self.encoders.embedder, rows.dataset.rows(chosen), training)

    def tuning_findings(self) -> list[Finding]:
        """The findings of tuning; none where the settings tune no encoder."""
        if not self.tune.fields:
            return []
        from gobelin.prediction.tuning import decision

        return decision.stored_findings(self.data.folder.folder / "tuned")

    @cached_property
    def embeddings(self) -> Embeddings:
        """Features of all rows."""
        if not self.tuned:
            return self.plain
        return self._embedded(self.embedder, self.key_of(self.checked))

    @cached_property
    def giveaways(self) -> tuple[list[Finding], tuple[str, ...]]:
        """Fields whose presence gives the label away, as findings and by name."""
        return self.giveaways_of(self.checked)

    def giveaways_of(self, checked: CheckedRows) -> tuple[list[Finding], tuple[str, ...]]:
        """The same for a resample of the rows."""
        rows = checked.rows
        return giveaways(
            rows.dataset,
            rows.schema,
            rows.target,
            self.plain.present,
            self.plain.fields,
            rows.part("train"),
            self.data.settings.check,
        )

    def scarce_fields(self, checked: CheckedRows) -> tuple[str, ...]:
        """The fields that fewer than `data.least_groups` groups of training rows have. Nothing is
        learned from them: a mean of so few would tell of each."""
        train = self.plain.rows(checked.rows.part("train"))
        return tuple(f for k, f in enumerate(train.fields) if not train.enough(train.present[:, k]))

    def used_fields(self, checked: CheckedRows) -> tuple[str, ...]:
        """The fields that prediction uses.

        Fields in the setting `leave_out` are not used; 'auto' there means those that give the label
        away among these rows. Raises GobelinError where no field is left.
        """
        out = set(self.data.settings.leave_out)
        if "auto" in out:
            resampled = checked is not self.checked
            _, names = self.giveaways_of(checked) if resampled else self.giveaways
            out |= set(names)
        used = tuple(f for f in self.data.schema.field_names if f not in out)
        if not used:
            raise GobelinError(
                "fit: every field is left out of prediction. Keep one with --set"
                " leave_out=FIELD,..."
            )
        return used
