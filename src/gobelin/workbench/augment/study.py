"""The verb `augment` on a run: from the run's data, rivals and generators to a verdict."""

from __future__ import annotations

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
from gobelin.core.files import fingerprint, write_lines
from gobelin.evidence.comparison import Metric
from gobelin.evidence.findings import Finding
from gobelin.prediction import evaluation
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.augment import budget, influences, plan
from gobelin.workbench.augment.arms import StudySet, table_of
from gobelin.workbench.augment.findings import image_findings
from gobelin.workbench.augment.generators import study_key, trained_weights, with_steps_decided
from gobelin.workbench.augment.resample import resampled
from gobelin.workbench.augment.trainer import RunTrainer
from gobelin.workbench.run.chain import Run


@dataclass(frozen=True, eq=False)
class Study:
    """One study of one run. Everything that is learned sees training and validation rows;
    `outcome` opens the test rows once."""

    run: Run
    key: str

    @cached_property
    def own(self) -> StudySet:
        """The run's own training rows."""
        return StudySet(self.run)

    @cached_property
    def sets(self) -> list[StudySet]:
        """The sets of training rows that are studied."""
        settings = self.run.settings.augment
        if settings.study == "images":
            return [self.own]
        return [StudySet(resampled(self.run, k)) for k in range(settings.sets)]

    @cached_property
    def scored(self) -> Mapping[str, np.ndarray]:
        """{part: int64 [n], the rows that are scored}."""
        rows = self.run.checked.rows
        return {
            part: evaluation.scored_rows(rows.target, rows.labelled(part))
            for part in ("valid", "test")
        }

    @cached_property
    def look(self) -> int:
        """The number of this use of the test rows, written to the ledger before they are opened.
        All images are made and screened before."""
        for one in self.sets:
            _ = one.arms
        return self.run.folder.look("augment", self.key)

    @cached_property
    def outcome(self) -> Outcome:
        """Every arm tuned, trained and scored on the test rows."""
        _ = self.look
        return Outcome.joined([self._outcome(k, one) for k, one in enumerate(self.sets)])

    def _outcome(self, number: int, one: StudySet) -> Outcome:
        """The outcome of one set of training rows, kept in its run folder, so that a study that was
        killed goes on after it."""

        def make(stage: Path) -> None:
            table, rows = table_of(one.run, one.arms), self.run.checked.rows
            trainer = RunTrainer(one.run, table, rows.target, self.scored, len(one.parents.train))
            subsets = evaluation.subsets(one.run.predictor.fields)
            settings, seed = one.run.settings.augment, one.run.data.runtime.seed
            study(table.arms, settings, trainer, subsets, seed).save(stage)
            if settings.study == "images":
                lines = influences.influence_rows(one, table, rows.target, self.scored["valid"])
                write_lines(stage / "influence.jsonl", lines)

        key = fingerprint(self.key, number, one.run.checked.key)
        return one.run.folder.kept("outcome", key, make, Outcome.load)

    def findings(self, exhibits: Exhibits) -> list[Finding]:
        """The verdict, what it rests on, and what to look at."""
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
        found = study_findings.findings(
            compared, outcome, settings, metric, {a.name: a.generator for a in self.sets[0].arms}
        )
        found.append(_look_finding(self.look, len(units)))
        counts = len(scored["valid"]), len(test)
        found.append(
            protocol(settings, outcome, rivals, counts, len(set(units)), self.look, metric)
        )
        found += image_findings(self.sets)
        found += [*plan.scarce(run, self.sets[0].parents, "augment"), *budget.seeds_finding(run)]
        found += study_findings.cross_checks(outcome, truth, units)
        if truth is not None:
            found += study_findings.by_class(outcome, truth, units, target.classes)
        x = run.features.embeddings.rows(test).keep(run.predictor.fields)
        found += study_findings.by_subset(
            outcome,
            truth,
            units,
            lambda names: np.all(x.present[:, np.isin(x.fields, list(names))], axis=1),
        )
        study_exhibits.study(found, outcome, settings, exhibits)
        if settings.study == "images":
            found += influences.influence_findings(self.own, exhibits)
        found += advice.next_steps(compared, outcome, found, settings)
        return found


def prepared(run: Run) -> tuple[Run, Study]:
    """The run with its seeds and steps decided, and its study, whose generators are trained. What
    can't be judged is refused before anything is trained."""
    plan.check(run)
    with budget.undone(run):
        run = with_steps_decided(budget.decide(run))
        return run, Study(run, study_key(run, trained_weights(run)))


def opened(run: Run) -> tuple[Run, Study]:
    """The run with its generators' steps decided, and the study of their images."""
    run = with_steps_decided(run)
    return run, Study(run, study_key(run, trained_weights(run)))


def _look_finding(look: int, units: int) -> Finding:
    note = "the first look at the test rows"
    if look > 1:
        note = f"look {look} at the test rows: exploratory"
    return Finding(
        name="look_at_test_rows", value=float(look), n=units, note=note, source="augment"
    )
