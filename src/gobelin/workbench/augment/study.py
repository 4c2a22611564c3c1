"""The verb `augment` on a run: from baseline methods and generators to a verdict."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gobelin.augmentation import advice
from gobelin.augmentation import exhibits as study_exhibits
from gobelin.augmentation import findings as study_findings
from gobelin.augmentation.arms import Outcome
from gobelin.augmentation.protocol import protocol
from gobelin.augmentation.study import judge, study
from gobelin.core.config import resolved
from gobelin.core.files import fingerprint, write_lines
from gobelin.evidence.comparison import Metric
from gobelin.evidence.findings import Finding
from gobelin.prediction import evaluation
from gobelin.quality.judge import Judge
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.augment import budget, influences, plan
from gobelin.workbench.augment.arms import StudySet, table_of
from gobelin.workbench.augment.findings import image_findings
from gobelin.workbench.augment.generators import (
    few_steps,
    study_key,
    trained_weights,
    with_steps_decided,
)
from gobelin.workbench.augment.resample import resampled
from gobelin.workbench.augment.trainer import RunTrainer
from gobelin.workbench.run.chain import Run

LOG = logging.getLogger(__name__)  # its warnings go to stderr unless a program changes that


@dataclass(frozen=True, eq=False)
class Study:
    """One study of one run. Training uses training and validation rows only; `outcome` opens the
    test rows once.
    """

    run: Run
    key: str  # cache key, see `study_key`

    @cached_property
    def own(self) -> StudySet:
        """The training rows of the run, without resampling."""
        return StudySet(self.run)

    @cached_property
    def sets(self) -> list[StudySet]:
        """The sets of training rows in the study."""
        settings = self.run.settings.augment
        if settings.study == "images":
            return [self.own]
        return [StudySet(resampled(self.run, k)) for k in range(settings.sets)]

    @cached_property
    def scored(self) -> Mapping[str, np.ndarray]:
        """{'valid', 'test': int64 [n], the rows that are scored}."""
        rows = self.run.checked.rows
        return {part: rows.target.scored_rows(rows.labelled(part)) for part in ("valid", "test")}

    @cached_property
    def look(self) -> int:
        """The number of this use of the test rows, written to the ledger before they are opened."""
        for study_set in self.sets:
            _ = study_set.arms  # all images are generated and screened before
        return self.run.folder.look("augment", self.key)

    @cached_property
    def outcome(self) -> Outcome:
        """Every arm tuned, trained and scored on the test rows."""
        _ = self.look
        return Outcome.joined([self._outcome(k, s) for k, s in enumerate(self.sets)])

    def _outcome(self, number: int, study_set: StudySet) -> Outcome:
        """The outcome of one set of training rows.

        It is stored in the folder of that set, so a study that was killed continues after it.
        """

        def make(stage: Path) -> None:
            table, rows = table_of(study_set.run, study_set.arms), self.run.checked.rows
            trainer = RunTrainer(
                study_set.run, table, rows.target, self.scored, len(study_set.parents.train)
            )
            subsets = evaluation.subsets(study_set.run.predictor.fields)
            settings, seed = study_set.run.settings.augment, study_set.run.data.runtime.seed
            study(table.arms, settings, trainer, subsets, seed).save(stage)
            if settings.study == "images":
                lines = influences.influence_rows(
                    study_set, table, rows.target, self.scored["valid"]
                )
                write_lines(stage / "influence.jsonl", lines)

        key = fingerprint(self.key, number, study_set.run.checked.key)
        return study_set.run.folder.kept("outcome", key, make, Outcome.load)

    def findings(self, exhibits: Exhibits) -> list[Finding]:
        """The findings of the study: the verdict, the comparisons behind it, counts, next steps."""
        run, outcome, scored = self.run, self.outcome, self.scored
        settings, rows = run.settings.augment, run.checked.rows
        target, test = rows.target, scored["test"]
        metric: Metric = "balanced_accuracy"
        if target.kind == "number":
            metric, spread = "rmse", float(np.std(target.values[rows.labelled("train")]))
            settings = replace(settings, smallest_effect=settings.smallest_effect * spread)
        truth = target.values[test] if target.exclusive else None
        units = [rows.groups[r] for r in test]
        rivals = [r for r in settings.rivals if r in outcome.hits]
        compared = judge(outcome, rivals, settings, truth, units, metric)
        findings = study_findings.findings(
            compared, outcome, settings, metric, {a.name: a.generator for a in self.sets[0].arms}
        )
        findings.append(_look_finding(self.look, len(units)))
        counts = len(scored["valid"]), len(test)
        findings.append(
            protocol(settings, outcome, rivals, counts, len(set(units)), self.look, metric)
        )
        findings += [*few_steps(run), *image_findings(self.sets)]
        findings += [*plan.scarce(run, self.sets[0].parents, "augment"), *budget.seeds_finding(run)]
        findings += study_findings.cross_checks(outcome, truth, units)
        if truth is not None:
            findings += study_findings.by_class(outcome, truth, units, target.classes)
        x = run.features.embeddings.rows(test).keep(run.predictor.fields)
        findings += study_findings.by_subset(
            outcome,
            truth,
            units,
            lambda names: np.all(x.present[:, np.isin(x.fields, list(names))], axis=1),
        )
        study_exhibits.study(findings, outcome, settings, exhibits)
        if settings.study == "images":
            findings += influences.influence_findings(self.own, exhibits)
        findings += advice.next_steps(compared, outcome, findings, settings)
        return findings


def prepared(run: Run) -> tuple[Run, Study]:
    """The run with its seeds and steps decided, and its study with trained generators.

    Raises GobelinError for a study that can give no verdict, before anything is trained.
    """
    plan.check(run)
    with budget.undone(run):
        run = with_steps_decided(budget.decide(run))
        for finding in few_steps(run):  # before the work
            LOG.warning("augment: %s", finding.sentence())
        return run, Study(run, study_key(run, trained_weights(run)))


def opened(run: Run) -> tuple[Run, Study]:
    """The run with the training steps of its generators decided, and the study of their images."""
    run = with_steps_decided(run)
    judged = resolved(Judge()) | run.folder.stored("settings.json").get("judge", {})
    if judged != resolved(run.settings.judge):  # so that later verbs ask for the same audit
        run = run.record(run.settings)
    return run, Study(run, study_key(run, trained_weights(run)))


def _look_finding(look: int, units: int) -> Finding:
    note = "the first use of the test rows"
    if look > 1:
        note = f"use {look} of the test rows: exploratory"
    return Finding(
        name="look_at_test_rows", value=float(look), n=units, note=note, source="augment"
    )
