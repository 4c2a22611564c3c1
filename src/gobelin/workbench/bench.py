"""The public class `Workbench`: one data set, one run folder, a method for each verb. Every verb
writes its findings to the run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gobelin.core.arguments import typed_methods
from gobelin.core.files import fingerprint
from gobelin.core.machine import Progress, silent
from gobelin.data.dataset import Dataset
from gobelin.data.provenance.c2pa import Signer
from gobelin.data.read import read
from gobelin.data.tables.frames import TableLike
from gobelin.evidence.conclusion import conclusion_lines
from gobelin.evidence.findings import Finding
from gobelin.prediction.predictor import Predictions
from gobelin.workbench.evaluate.evaluation import Evaluation
from gobelin.workbench.explain.findings import Explanation
from gobelin.workbench.export_folder import refuse_used_folder
from gobelin.workbench.opening import begun, make_base_space, opened
from gobelin.workbench.predict import predict
from gobelin.workbench.query import (
    ARGUMENTS,
    Given,
    Texts,
    Weights,
    refuse_none,
    texts_of,
    weighted_parts,
)
from gobelin.workbench.run import needs, verbs
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.verbs import VERBS as VERBS
from gobelin.workbench.search import hits
from gobelin.workbench.search.parts import search_parts


@typed_methods(**ARGUMENTS)
@needs.usable_values
class Workbench:
    """A run of one data set.

    data: a path, a Dataset or a data frame; relative paths in a frame start from `data.root`.
    target: the column to predict. run: the run folder. settings: nested mappings as in a recipe, or
    dotted names: `{"align.steps": 0}`. progress: is called with a task, the work done and all work.
    Raises GobelinError for settings that don't fit.

    >>> bench = Workbench("records.csv", target="group", run="runs/first")
    >>> bench.fit(); bench.evaluate(); bench.augment(); bench.report()
    """

    run: Run  # the chain of the run, with the settings decided so far

    def __init__(
        self,
        data: str | Path | Dataset | TableLike,
        target: str | None = None,
        run: str | Path = "run",
        settings: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        self.run = begun(data, target, run, settings, progress)

    @classmethod
    def open(
        cls,
        run: str | Path,
        progress: Progress = silent,
        settings: Mapping[str, Any] | None = None,
    ) -> Workbench:
        """Open a finished run, or the folder of a saved run. settings: replace stored ones. Only
        verbs that need the data read them. Raises GobelinError for a folder that is no run.
        """
        bench = cls.__new__(cls)
        bench.run = opened(run, progress, settings)
        return bench

    def __repr__(self) -> str:
        return f"Workbench.open({str(self.folder)!r})"

    @property
    def folder(self) -> Path:
        return self.run.folder.folder

    @property
    def _keep(self) -> Callable[..., list[Finding]]:
        run = self.run
        return partial(verbs.keep, run.folder, run.settings.data.cited, say=run.generator.say)

    def check(self) -> list[Finding]:
        """Counts, the schema and the faults of the data."""
        from gobelin.workbench.check.check import checked, warn

        needs.data(self.run, "check")
        make_base_space(self.run)
        self.run = self.run.begin()
        warn(self.run)
        key = fingerprint(self.run.data.key, self.run.settings.check.key)
        return self._keep("check", key, partial(checked, self.run))

    def fit(self, generator: bool = False) -> list[Finding]:
        """Fit encoders and predictor; with `generator`, the shared space and the generator too."""
        from gobelin.workbench.fit import fit

        needs.data(self.run, "fit")
        fit.refuse(self.run, generator)
        self.check()
        self.run = fit.fit(self.run, generator)
        find, key = partial(fit.fitted, self.run), self.run.predictor.key_of("fit")
        return self._keep("fit", key, find, fit.key_of_curves(self.run))

    def evaluate(
        self,
        data: str | Path | Dataset | TableLike | None = None,
        root: str | Path | None = None,
        max_bad: float | None = None,
    ) -> Evaluation:
        """Scores of the predictor on validation rows, or on other labelled rows.

        data: labelled rows that were not in the run, not stored. root, max_bad: as of `predict`.
        """
        from gobelin.workbench.evaluate import evaluate

        if data is None:
            needs.data(self.run, "evaluate")
        self.run = needs.predictor(self.run)
        delivered = self.run.delivered
        if data is not None:
            others = predict.other_rows(self.run, data, root, max_bad)
            return evaluate.evaluated_on(delivered, *others)
        find, key = partial(evaluate.evaluated, delivered), delivered.judged.key_of("evaluate")
        findings = self._keep("evaluate", key, find, delivered.key)
        return evaluate.of_validation(delivered.judged, findings)

    def predict(
        self,
        data: str | Path | Dataset | TableLike,
        root: str | Path | None = None,
        max_bad: float | None = None,
    ) -> Predictions:
        """Predictions for every row of another data set with the same columns.

        A column that it lacks counts as missing. root: folder that relative paths start from.
        max_bad: share of a column's cells that may be set aside; None = as in the settings.
        """
        self.run = needs.predictor(self.run)
        others = predict.other_rows(self.run, data, root, max_bad)
        return predict.predicted(self.run.delivered, *others)

    def search(
        self,
        k: int = 5,
        where: str = "",
        *,
        sheet: str | Path | None = None,
        query: Texts | None = None,
        without: Texts | None = None,
        weights: Weights | None = None,
        **flags: Given | Sequence[Given],
    ) -> hits.Hits:
        """The k rows nearest to a query, with their cells: a list of `Hit`, and `to_frame()`.

        A query has parts: text=, image= or the name of a column, with one text or several, and
        row={"weight": 120}, or "weight=120". A text looks in every field of text. where: a filter
        in SQL: "weight > 100 AND kind = 'tool'". sheet: a new contact sheet of the rows, .html or
        .png. query: {flag or column: text}, the same as arguments of their own. without: the same,
        for parts to avoid. weights: {flag or column: number}, or a number for each text; 1 by
        default. The score of a row is the weighted sum of its parts' scores: how seldom an
        unrelated row is so near, as a normal score.
        """
        refuse_none(k)
        hits.refuse_sheet(sheet)  # before the work
        self.run = needs.index(self.run, "search")
        parts = weighted_parts({**(query or {}), **flags}, weights or {}, without or {})
        asked = search_parts(self.run.space, parts)  # before an index is made
        rows = hits.found(self.run.space, asked, k, where)
        if sheet is not None:
            from gobelin.workbench.search import hit_sheet

            hit_sheet.draw(Path(sheet), self.run.space, rows, parts)
        return rows

    def index(
        self, add: str | Path | Dataset | TableLike | None = None, delete: Sequence[str] = ()
    ) -> list[Finding]:
        """Change the rows that search finds; the finding is their number.

        add: another data set, whose rows are found too; nothing is trained on them. delete: ids of
        rows that are not found any more. A run fitted with other settings forgets these changes.
        """
        from gobelin.workbench.search import search

        self.run = needs.index(self.run, "index")
        added = add if add is None or isinstance(add, Dataset) else read(add)
        return search.indexed(self.run.space, added, delete)

    def recall(self) -> list[Finding]:
        """Recall of search on validation rows, for every ordered pair of fields."""
        from gobelin.workbench.search import search

        needs.data(self.run, "search --recall")
        self.run = needs.predictor(self.run)
        find = partial(search.recalled, self.run.space)
        return self._keep("search", self.run.predictor.fingerprint, find)

    def describe(self, k: int = 5, labels: Sequence[str] = (), **query: Given) -> list[Finding]:
        """The classes of a record, the nearest rows, typical and odd fields.

        A run saved without data gives the classes only. labels: words to choose from."""
        from gobelin.workbench import describe

        refuse_none(k)
        self.run = needs.predictor(self.run)
        return describe.described(self.run, texts_of(query), k, labels)

    def explain(
        self,
        data: str | Path | Dataset | TableLike | None = None,
        label: str | None = None,
        fields: Sequence[str] = (),
        out: str | Path | None = None,
        summary: bool = False,
        generated: bool = False,
        **query: Given,
    ) -> Explanation:
        """Which fields moved an answer, and which pixels, words, columns or intervals of them.

        data: another data set, whose rows are explained. label: a class, not the one that a row
        gets. fields: to look into, () = all. out: folder for pictures and JSON. summary: of
        validation rows, or those of `data`. generated: of images generated from the query, which is
        row=ID or as of `describe`.
        """
        from gobelin.workbench.explain import explanation

        self.run = needs.predictor(self.run)
        what = texts_of(query), label, tuple(fields), out, summary, generated
        return explanation.explained(self.run, explanation.Asked(*what), data)

    def generate(
        self,
        seeds: Sequence[int] = tuple(range(16)),
        label: str | float | None = None,
        out: str | Path | None = None,
        *,
        source: str | Path | None = None,
        mask: str | Path | None = None,
        strength: float | None = None,
        guidance: float | None = None,
        steps: int = 0,
        query: Mapping[str, Given] | None = None,
        signer: Signer | None = None,
        **flags: Given,
    ) -> list[Path]:
        """Generate an image for each seed: from a query, a label, a source image, or nothing.

        Images are written with their provenance. Nothing is trained. out: folder. source: an image
        file to start from. mask: an image file of its size, white where pixels are generated.
        strength: 0 keeps the source, 1 starts from noise alone. guidance: pull to the condition.
        steps: evaluations of the network, 0 = as the generator's default. query: {flag or column:
        text}, the same as arguments of their own (text="a red bird"). signer: signs the images.
        """
        from gobelin.workbench.generate import images, request

        self.run = needs.predictor(self.run)
        begin, where, to = (None if file is None else Path(file) for file in (source, mask, out))
        start = request.Start(begin, where, strength, guidance, steps)
        parts, named = texts_of({**(query or {}), **flags}), None if label is None else str(label)
        return images.generate(self.run, seeds, named, parts, to, start, signer)

    def showcase(self, queries: Iterable[Mapping[str, str]]) -> list[Finding]:
        """A contact sheet: images from every class, from queries, from images, from nothing."""
        from gobelin.workbench.generate import contact_sheet

        needs.data(self.run, "showcase")
        self.run = needs.generator(self.run)
        find = partial(contact_sheet.showcase, self.run, asked := list(queries))
        return self._keep("generate", contact_sheet.key_of(self.run, asked), find)

    def augment(
        self, export: str | Path | None = None, signer: Signer | None = None
    ) -> list[Finding]:
        """Did generated images help? export: a new folder for the chosen training set, whose
        generated images `signer` signs."""
        from gobelin.workbench.augment import study
        from gobelin.workbench.augment.export import exported, refuse

        needs.data(self.run, "augment")
        self.run = needs.predictor(self.run)
        refuse(None if export is None else Path(export), signer)  # before the work
        self.run, run_study = study.prepared(self.run)
        if not self.run.folder.has("verbs/augment", run_study.key):
            _ = run_study.outcome  # a stage of its own
        findings = self._keep("augment", run_study.key, run_study.findings)
        if export is not None:
            exported(run_study, Path(export), signer)
        return findings

    def audit(self) -> list[Finding]:
        """Are generated images copies of training images, and do they tell who was trained on?"""
        from gobelin.workbench.audit import audited
        from gobelin.workbench.augment import study

        needs.data(self.run, "audit")
        self.run = needs.generator(self.run)
        self.run, run_study = study.opened(self.run)
        if not self.run.folder.has("verbs/audit", run_study.key):
            _ = run_study.own.screening.audits  # each is a stage of its own
        return self._keep("audit", run_study.key, partial(audited, run_study))

    def curate(self, export: str | Path | None = None) -> list[Finding]:
        """Find training labels that look wrong. export: a new folder for the corrected rows."""
        from gobelin.workbench.curate import decisions as curate_decisions
        from gobelin.workbench.curate import export as curate_export
        from gobelin.workbench.curate.findings import curated

        needs.data(self.run, "curate")
        self.run = needs.predictor(self.run)
        curate_decisions.refuse_target(self.run.predictor)
        refuse_used_folder(export, curate_export.CURATED_SET)  # before the work
        self.run = self.run.record(self.run.settings)
        key = curate_decisions.key_of(self.run)
        findings = self._keep("curate", key, partial(curated, self.run))
        if export is not None:
            curate_export.export(self.run, Path(export))
        return findings

    def report(self) -> Path:
        """Write one self-contained page of all findings so far; its path."""
        from gobelin.report import page

        needs.data(self.run, "report")
        verbs.collect(self.run.folder)
        return page.render(self.folder, self.run.data.progress, self.run.generator.say)[0]

    def findings(self, verb: str | None = None) -> list[Finding]:
        """All findings so far, or those of one verb."""
        return verbs.collected(self.run.folder, verb)

    def leaderboard(self) -> list[dict[str, Any]]:
        """All heads or fusions that `fit` compared, the best first: see `RunPredictor`."""
        return needs.predictor(self.run).predictor.leaderboard()

    def conclusions(self) -> list[str]:
        """A line for each arm of the study: its verdict, copies, membership, quality."""
        return conclusion_lines(self.findings(), self.run.generator.say)

    def plan(self, generator: bool = False, augment: bool = False) -> list[Finding]:
        """The work of `fit`, or with `augment` of a study of the fitted run; nothing is done."""
        from gobelin.workbench.fit import plan

        if augment:
            from gobelin.workbench.augment import plan as study_plan

            needs.data(self.run, "augment")
            self.run = needs.predictor(self.run)
            return study_plan.planned(self.run)
        return plan.planned(self.run, generator)

    def summary(self) -> list[str]:
        """The contents of the run folder, in a few lines."""
        from gobelin.workbench.fit import plan

        return plan.summary(self.run)

    def save_pretrained(self, folder: str | Path, index: bool = False) -> Path:
        """Write the files that generating and predicting need, and a model card, without the data.

        folder: new or empty. index: adds ids and shared vectors of the rows, so that it can be
        searched. Raises GobelinError for a run without a predictor and a folder that isn't empty.
        """
        from gobelin.workbench.save import save

        self.run = needs.predictor(self.run)
        save.save(self.run, self.findings(), Path(folder), index)
        return Path(folder)

    def push_to_hub(self, repo_id: str, private: bool = True, index: bool = False) -> str:
        """Send the files of `save_pretrained` to OWNER/REPOSITORY on the hub; its address. A
        repository that does not exist is created."""
        from gobelin.workbench.save import save

        return save.pushed(self.save_pretrained, self.run.folder, repo_id, private, index)

    def card(self) -> str:
        """The model card of a saved run, as Markdown."""
        from gobelin.workbench.save import save

        return save.card_of(self.run.folder)
