"""The delivered predictor of a run: the chosen settings, fitted on every labelled row that the user
does not hold out.

A run has two predictors. The *judged* one (`RunPredictor`) is fitted on training rows alone. All
that is measured, chosen or generated rests on it: scores on validation rows, studies, audits,
generators, search. The *delivered* one answers `predict`, `describe` and `explain` for records, and
`save` writes it. It has more rows to learn from, and no row is left to judge it: its score is
cross-fitted. `tests/workbench/run/test_delivered.py` lists the functions that may use it.

What is chosen stays chosen: the fusion, its weight decay, the fields that are left out, the
encoders and the shared space. Encoders are those of the training rows, because every vector in the
run (space, index, generators) is theirs. The fusion's own scales and components are learned anew.

What this cannot show: the score on test rows. They are fitted on and calibrated with, and the
cross-fitted score leaves them out, so that a study's test rows stay unread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.core import catalog
from gobelin.core.files import fingerprint, read_lines, write_lines
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction import fusion_choice, predictor, scoring
from gobelin.prediction.cross_fit import CrossFit, Training, cross_fit
from gobelin.prediction.fusion_choice import FUSION_SCORE
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.predictor import RunPredictor

STAGE = "delivered"
FITTED_ROWS = "fitted_rows"  # name of the finding on each predictor
FORMAT = 1  # of the stage


@dataclass(frozen=True, eq=False)
class RunDelivered:
    """The predictor that answers for records."""

    judged: RunPredictor
    refit: bool  # the setting

    @property
    def features(self) -> RunFeatures:
        return self.judged.features

    @property
    def refitted(self) -> bool:
        """Whether this is another predictor than the judged one.

        It is not where the setting `refit` is off, and where the rows have a split column: the user
        holds out the rows that it names. In a saved run the only predictor is the delivered one.
        """
        data = self.features.data
        held_out = data.schema.role("split") is not None
        return self.refit and not held_out and not self.judged.folder.saved

    @property
    def rows(self) -> np.ndarray:
        """int [n]: the labelled rows that it learned from."""
        rows = self.judged.checked.rows
        return np.flatnonzero(rows.target.present) if self.refitted else rows.labelled("train")

    @property
    def key(self) -> str:
        """Cache key; '' where the judged predictor is used."""
        return fingerprint(self.judged.key, STAGE, FORMAT) if self.refitted else ""

    @cached_property
    def model(self) -> Model:
        """The fitted predictor."""
        if not self.refitted:
            return self.judged.model
        return self.judged.folder.kept(STAGE, self.key, self._make, Model.load)

    def inputs(self, embeddings: Embeddings) -> Embeddings:
        """The inputs of the fusion: the features of the fields that prediction uses."""
        return self.judged.inputs(embeddings)

    def findings(self) -> list[Finding]:
        """How many rows each predictor was fitted on, and the cross-fitted score of the delivered
        one; none where there is one predictor.
        """
        if not self.refitted:
            return []
        _ = self.model
        stage = self.judged.folder.checked(STAGE)
        return [Finding.from_dict(row) for row in read_lines(stage / "findings.jsonl")]

    def _make(self, stage: Path) -> None:
        fusion, training = self.judged.fusion, self._training()
        component = catalog.build("fusion", fusion.name, fusion.settings)
        crossed = cross_fit(component, training)
        model = predictor.calibrated(fusion.name, crossed, training)
        # the decays that there were to choose from, as in the judged one
        replace(model, settings=self.judged.model.settings).save(stage)
        found = [*self._counts(training), self._score(crossed, training)]
        write_lines(stage / "findings.jsonl", [one.to_dict() for one in found])

    def _training(self) -> Training:
        """All labelled rows, with the weight decay that training rows chose."""
        judged, every = self.judged.training, self.rows
        # what trained the encoders chooses and calibrates nothing here either
        trained = np.zeros(0, np.int64)
        if judged.unseen is not None:
            trained = np.setdiff1d(judged.rows, judged.unseen)
        return replace(
            judged,
            settings=replace(judged.settings, decays=(self.judged.model.decay,)),
            rows=every,
            unseen=np.setdiff1d(every, trained) if len(trained) else None,
        )

    def _counts(self, training: Training) -> list[Finding]:
        notes = {
            "judged": (
                len(self.judged.training.rows),
                "training rows; scores, studies and audits rest on it",
            ),
            "delivered": (
                len(training.rows),
                "all labelled rows; predict, describe and save use it",
            ),
        }
        return [
            Finding(
                name=FITTED_ROWS,
                scope={"predictor": name},
                value=float(rows),
                note=note,
                source="fit",
            )
            for name, (rows, note) in notes.items()
        ]

    def _score(self, crossed: CrossFit, training: Training) -> Finding:
        """The cross-fitted score of the rows that are no test rows."""
        rows, metric = self.judged.checked.rows, training.settings.metric
        read = np.isin(crossed.rows, np.flatnonzero(rows.parts != "test"))
        read &= np.isin(crossed.rows, rows.target.scored_rows(crossed.rows))
        places, kind = crossed.rows[read], rows.target.kind
        interval = scoring.interval(
            metric,
            fusion_choice.crossed_answers(crossed, training, read),
            rows.target.rows(places),
            [rows.groups[r] for r in places],
        )
        by_time = ", which learned from earlier rows alone" if self._by_time else ""
        return interval.finding(
            FUSION_SCORE,
            scope={"predictor": "delivered"},
            better=scoring.better(metric, kind),
            unit=scoring.unit(metric, kind),
            note=f"{fusion_choice.measure(metric, rows.target)} of training and validation rows,"
            f" each by a predictor fitted without its fold{by_time}",
            source="evaluate",
        )

    @property
    def _by_time(self) -> bool:
        return self.features.data.settings.split.by == "time"
