"""The predictor of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_json, read_lines, write_json, write_lines
from gobelin.core.stages import RunFolder
from gobelin.embedding.features import Embeddings
from gobelin.evidence.findings import Finding
from gobelin.prediction import fusion_choice, predictor, scoring
from gobelin.prediction.cross_fit import Training, key_of
from gobelin.prediction.fusion import Fusion
from gobelin.prediction.fusion_choice import BEST_OF_ALL, FUSION_SCORE, POOL
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.checked_rows import CheckedRows
from gobelin.workbench.run.features import RunFeatures
from gobelin.workbench.run.settings import Chosen
from gobelin.workbench.run.space import RunSpace

BEST = "best.json"  # in the stage of the choice: the best of all fusions
CHOSEN = "pool.json"  # in the stage of the choice: the settings of the pool
BOARD = "board.json"  # in the stage of the choice: all heads that were compared
LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@dataclass(frozen=True, eq=False)
class RunPredictor:
    """The predictor of a run, fitted when it is first used."""

    folder: RunFolder
    checked: CheckedRows
    features: RunFeatures
    space: RunSpace
    fusion: Chosen  # its name is 'auto' or 'all' until `choose_fusion` has decided

    @property
    def key(self) -> str:
        s = self.features.data.settings
        return fingerprint(
            self.features.key_of(self.checked),
            key_of(s.predict),
            resolved(self.fusion),
            list(s.leave_out),
            s.check.fitted,
            resolved(s.align) if s.predict.features == "shared" else "",
            *(["folds by time"] if s.split.by == "time" else []),
        )

    @cached_property
    def model(self) -> Model:
        """The fitted predictor."""

        def make(stage: Path) -> None:
            component = catalog.build("fusion", self.fusion.name, self.fusion.settings)
            training = replace(self.training, decays=self._known_decay())
            predictor.fit(self.fusion.name, component, training).save(stage)

        return self.folder.kept("model", self.key, make, Model.load)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields that prediction uses."""
        if self.folder.has("model", self.key) and self.model.fields:
            return self.model.fields  # a fitted run predicts without its training data
        return self.features.used_fields(self.checked)

    def inputs(self, embeddings: Embeddings) -> Embeddings:
        """The inputs of the fusion: the features of the fields that prediction uses."""
        if self.features.data.settings.predict.features == "shared":
            embeddings = predictor.as_features(self.space.alignment.project(embeddings), embeddings)
        return embeddings.keep(self.fields)

    @property
    def training(self) -> Training:
        """The training rows of the predictor, with settings."""
        data, rows = self.features.data, self.checked.rows
        training = Training(
            data.settings.predict,
            self.inputs(self.features.embeddings),
            rows.target,
            rows.labelled("train"),
            rows.groups,
            rows.weights,
            data.runtime,
            data.progress,
            order=rows.order(data.settings.split),
        )
        if not self.features.tuned:
            return training
        from gobelin.prediction.tuning import decision  # it loads torch

        held_back = decision.held_back(data.settings.tune, training)
        return replace(training, unseen=training.rows[held_back])

    def choose_fusion(self) -> Chosen:
        """The fusion for 'auto' or 'all', chosen on training rows that it was not fitted on."""
        if self.fusion.name == BEST_OF_ALL:
            return self._best_of_all()
        return self._pool()

    def _pool(self) -> Chosen:
        """A pool of the heads that suit the training rows."""
        from gobelin.prediction import pool_choice

        def make(stage: Path) -> None:
            choice = pool_choice.choose(self.training)
            pool = catalog.build("fusion", POOL, choice.settings)
            write_json(stage / CHOSEN, resolved(pool))
            write_json(stage / BOARD, {"rows": pool_choice.board(choice)})

        def load(stage: Path) -> dict[str, Any]:
            return read_json(stage / CHOSEN)

        preset = self.features.data.settings.predict.preset
        key = fingerprint(self.key, pool_choice.FORMAT, preset)
        return replace(
            self.fusion, name=POOL, settings=self.folder.kept("fusions", key, make, load)
        )

    def _best_of_all(self) -> Chosen:
        """The fusion with the best score."""
        fusions = self._all_fusions()
        key = self._key_of_all(fusions)

        def make(stage: Path) -> None:
            predict, rows = self.features.data.settings.predict, len(self.training.rows)
            LOG.warning(
                "fit: compares %d fusions (%s), each fitted %d times to %d rows. One is enough"
                " where this takes too long: --fusion concat.",
                len(fusions),
                ", ".join(fusions),
                (predict.folds + 1) * len(predict.decays),
                rows,
            )
            best, decay, findings = fusion_choice.choose_fusion(fusions, self.training)
            write_json(stage / BEST, {"name": best, "decay": decay})
            write_lines(stage / "findings.jsonl", [f.to_dict() for f in findings])

        def load(stage: Path) -> str:
            return read_json(stage / BEST)["name"]

        best = self.folder.kept("fusions", key, make, load)
        return replace(self.fusion, name=best, settings=resolved(fusions[best]))

    def _all_fusions(self) -> dict[str, Fusion]:
        """{name: fusion} that 'all' compares, as they are by default."""
        able = fusion_choice.able(self.checked.rows.target)
        return {name: catalog.build("fusion", name) for name in able}

    def _key_of_all(self, fusions: Mapping[str, Fusion]) -> str:
        """Cache key of the comparison of all fusions."""
        every = replace(self, fusion=Chosen(name=BEST_OF_ALL))
        return fingerprint(every.key, {name: resolved(one) for name, one in fusions.items()})

    def _known_decay(self) -> tuple[float, ...] | None:
        """The weight decay of this fusion, where the comparison of all found it; None where it has
        to be found."""
        if not (self.folder.folder / "fusions" / BEST).is_file():
            return None
        fusions = self._all_fusions()
        if not self.folder.has("fusions", self._key_of_all(fusions)):
            return None
        best, name = (
            self.folder.loaded("fusions", lambda at: read_json(at / BEST)),
            self.fusion.name,
        )
        usual = name in fusions and resolved(fusions[name]) == dict(self.fusion.settings)
        return (best["decay"],) if usual and best["name"] == name and "decay" in best else None

    def heads(self) -> list[dict[str, Any]]:
        """The leaderboard of the heads that this pool was chosen from; none for another fusion, and
        for a pool of heads that the user named."""
        stage = self.folder.folder / "fusions"
        if self.fusion.name != POOL or not (stage / BOARD).is_file():
            return []
        if read_json(stage / CHOSEN) != dict(self.fusion.settings):
            return []
        return list(read_json(stage / BOARD)["rows"])

    def leaderboard(self) -> list[dict[str, Any]]:
        """A row for each head, or fusion, that `fit` compared, the best first: `head`, what it
        `reads`, `score`, `low`, `high`; of heads also `n` rows, `loss`, `share` and `seconds`.
        Raises GobelinError where nothing was compared."""
        if heads := self.heads():
            return heads
        metric, kind = self.features.data.settings.predict.metric, self.checked.rows.target.kind
        rows = [
            {
                "head": f.scope["fusion"],
                "reads": "all fields",
                "metric": scoring.finding_name(metric, kind),
                "score": f.value,
                "low": f.low,
                "high": f.high,
            }
            for f in self.fusion_findings()
            if f.name == FUSION_SCORE
        ]
        if not rows:
            raise GobelinError(
                f"{self.folder.folder}: fit compared nothing here, as the fusion"
                f" {self.fusion.name!r} was named. Fit with --fusion auto or --fusion all."
            )
        sign = 1 if scoring.better(metric, kind) == "lower" else -1
        return sorted(rows, key=lambda row: sign * row["score"])

    def fusion_findings(self) -> list[Finding]:
        """The findings of comparing all fusions; none where they were not compared."""
        path = self.folder.folder / "fusions" / "findings.jsonl"
        return [Finding.from_dict(row) for row in read_lines(path)]

    @property
    def fingerprint(self) -> str:
        """Hash of the predictor and the space, which is made if it is missing."""
        return fingerprint(self.model.fingerprint(), self.space.alignment.fingerprint())

    def key_of(self, verb: str) -> str:
        """Key of the findings of a verb that needs no space, 'fit' or 'evaluate'.

        Earlier versions made the space in `fit`: findings of such a run keep the key they have.
        """
        stored = self.folder.key(f"verbs/{verb}")
        if stored and self.space.made and stored.startswith(self.fingerprint):
            return self.fingerprint
        settings = self.features.data.settings
        if verb == "evaluate" and settings.trade.returns:
            trade = resolved(settings.trade), settings.split.purge
            return fingerprint(self.model.fingerprint(), *trade)
        return self.model.fingerprint()
