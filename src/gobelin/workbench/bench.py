"""One data set, one run folder, the verbs. Delegates; what a verb finds is written to the run
folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gobelin.core import config
from gobelin.core.errors import GobelinError
from gobelin.core.files import fingerprint, read_lines
from gobelin.core.machine import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.frames import Frame
from gobelin.data.read import read
from gobelin.embedding.index import Hit
from gobelin.evidence import conclusion
from gobelin.evidence.findings import Finding
from gobelin.prediction.predictor import Predictions
from gobelin.quality.data import Check
from gobelin.report import page
from gobelin.workbench import describe, fit, plan, predict, save, search
from gobelin.workbench.audit import audited
from gobelin.workbench.augment import plan as study_plan
from gobelin.workbench.augment import study
from gobelin.workbench.augment.export import exported, refuse_used_folder
from gobelin.workbench.check import checked
from gobelin.workbench.curate import decisions as curate_decisions
from gobelin.workbench.curate import export as curate_export
from gobelin.workbench.curate.findings import curated
from gobelin.workbench.evaluate import evaluated
from gobelin.workbench.generate import contact_sheet, images
from gobelin.workbench.query import Texts, Weights, mixed_vector, weighted_parts
from gobelin.workbench.run import needs, replay, verbs
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.settings import Settings, upgraded
from gobelin.workbench.run.verbs import VERBS as VERBS


class Workbench:
    """data: a path, a Dataset or a data frame (`data.root`: where its paths start); target: the
    column to predict; run: the folder; settings:
    nested mappings as in a recipe, or dotted names: `{"align.steps": 0}`.

    >>> bench = Workbench("records.csv", target="group", run="runs/first")
    >>> bench.fit(); bench.evaluate(); bench.augment(); bench.report()
    """

    run: Run  # the chain of what was made so far

    def __init__(
        self,
        data: str | Path | Dataset | Frame,
        target: str | None = None,
        run: str | Path = "run",
        settings: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        folder, values = RunFolder(Path(run)), upgraded(config.nested(settings or {}))
        if isinstance(data, Frame):
            data = read(data, values.get("data", {}).get("root") or None)
        given = data if isinstance(data, Dataset) else None
        path = given.source if given is not None else str(Path(str(data)).resolve())
        named = {"path": path, **({"target": target} if target else {})}
        values = config.merge(values, {"data": {**named, "fingerprint": ""}})
        if folder.saved:
            raise GobelinError(
                f"{run}: is a saved run, nothing is fitted in it. Choose another --run."
            )
        if folder.exists():
            values = replay.replayed(replay.stored(folder), values)
        built = config.build(Settings, values)
        complete = replace(built.completed(), runtime=built.runtime.resolved())
        self.run = Run.of(folder, complete, progress, given)

    @classmethod
    def open(
        cls,
        run: str | Path,
        progress: Progress = silent,
        settings: Mapping[str, Any] | None = None,
    ) -> Workbench:
        """A finished run, or the folder that one was saved to. Its data is read only by the verbs
        that need it."""
        folder = RunFolder(Path(run))
        if folder.saved:
            save.check(folder.folder)
        if not folder.exists():
            raise GobelinError(
                f"{run}: is not a run folder (no settings.json). Make one with gobelin fit DATA"
                f" --run {run}."
            )
        settings = upgraded(config.nested(settings or {}))
        stored = replay.stored(folder)
        if folder.saved:
            stored["generator"]["settings"] = save.portable(stored["generator"]["settings"])
            stored["encoders"] = save.portable(stored["encoders"])
        values = config.merge(replay.without_replaced(stored, settings), settings)
        where = "settings" if settings else f"{run}/settings.json"
        built = config.build(Settings, values, where).completed()
        if folder.saved:
            built = replace(built, runtime=built.runtime.here())
        bench = cls.__new__(cls)
        bench.run = Run.of(folder, built, progress)
        return bench

    @property
    def folder(self) -> Path:
        return self.run.folder.folder

    @property
    def _keep(self) -> Callable[..., list[Finding]]:
        """`verbs.keep` in this run's folder, with the credit line of its data."""
        return partial(verbs.keep, self.run.folder, self.run.settings.data.cited)

    # verbs

    def check(self) -> list[Finding]:
        """What is in the data, and what is wrong with it."""
        needs.data(self.run, "check")
        self.run = self.run.begin()
        key = fingerprint(self.run.data.key, config.resolved(self.run.settings.check))
        return self._keep("check", key, partial(checked, self.run))

    def fit(self, generator: bool = False) -> list[Finding]:
        """Encoders, shared space and predictor; with `generator`, the generator too."""
        needs.data(self.run, "fit")
        if not self.run.settings.data.target:
            raise GobelinError("fit: has no target, found ''. Name a column with --target.")
        if generator:
            _ = (
                self.run.generator.field
            )  # before any work: without images there is nothing to learn
        self.check()
        _ = self.run.space.alignment
        self.run = self.run.with_fusion_chosen()
        _ = self.run.predictor.model
        if generator:
            self.run = self.run.with_steps_decided()
            for seed in range(self.run.settings.generator.seeds):
                self.run.generator.sampler(seed)
        run = self.run
        shown = [
            one
            for one in (
                run.generator.curves(),
                [f.to_dict() for f in run.features.tuning_findings()],
            )
            if one
        ]
        find = partial(fit.fitted, run.predictor, run.generator)
        key = run.predictor.fingerprint
        return self._keep("fit", key, find, fingerprint(*shown) if shown else "")

    def evaluate(self) -> list[Finding]:
        """The predictor on validation rows."""
        needs.data(self.run, "evaluate")
        self.run = needs.predictor(self.run)
        predictor = self.run.predictor
        return self._keep(
            "evaluate",
            predictor.fingerprint,
            partial(evaluated, predictor),
        )

    def predict(
        self,
        data: str | Path | Dataset | Frame,
        root: str | Path | None = None,
        max_bad: float | None = None,
    ) -> Predictions:
        """Predictions for every row of another data set with the same columns (those that it lacks
        are missing).

        root: where its paths start. max_bad: the share of a column's cells that may be set aside,
        if not the run's."""
        self.run = needs.predictor(self.run)
        dataset = data if isinstance(data, Dataset) else read(data, root)
        values = config.resolved(self.run.settings.check)
        values |= {} if max_bad is None else {"max_bad": max_bad}
        settings = config.build(Check, values, "check")
        return predict.predicted(self.run.predictor, dataset, settings)

    def search(
        self,
        k: int = 5,
        where: str = "",
        *,
        query: Texts | None = None,
        without: Texts | None = None,
        weights: Weights | None = None,
        **flags: str | Sequence[str],
    ) -> list[Hit]:
        """The k rows nearest to a query of any parts: text=, image=, row= or a column's name, one
        text or several.

        where: a filter on columns, as SQL writes it: "weight > 100 AND category = 'tool'". query:
        {flag or column: text}, or each as an argument of its own. without: the same, for what is to
        be avoided. weights: {flag or column: number}, or a number a text; 1 without one. The query
        is the weighted sum of the parts' unit vectors."""
        self.run = needs.index(self.run, "search")
        parts = weighted_parts({**(query or {}), **flags}, weights or {}, without or {})
        return self.run.space.index.nearest(mixed_vector(self.run.space, parts), k, where)

    def index(
        self, add: str | Path | Dataset | None = None, delete: Sequence[str] = ()
    ) -> list[Finding]:
        """What is searched: how many rows.

        add: another data set whose rows are to be found too; they are never trained on. delete: ids
        of rows that are to be found no more. Fitted anew in another way, a run starts with the
        data's rows."""
        self.run = needs.index(self.run, "index")
        added = read(add) if isinstance(add, str | Path) else add
        return search.indexed(self.run.space, added, delete)

    def recall(self) -> list[Finding]:
        """How well search works on validation rows, for every ordered pair of fields."""
        needs.data(self.run, "search --recall")
        self.run = needs.predictor(self.run)
        find = partial(search.recalled, self.run.space)
        return self._keep("search", self.run.predictor.fingerprint, find)

    def describe(self, k: int = 5, labels: Sequence[str] = (), **query: str) -> list[Finding]:
        """What a record given by a query is: its classes, the nearest rows, what is typical and odd
        about it; without the data, the classes alone. labels: words to choose from, none of which
        need be a class."""
        self.run = needs.predictor(self.run)
        return describe.described(self.run, query, k, labels)

    def generate(
        self,
        seeds: Sequence[int] = tuple(range(16)),
        label: str | None = None,
        out: str | Path | None = None,
        *,
        source: str | Path | None = None,
        mask: str | Path | None = None,
        strength: float | None = None,
        guidance: float | None = None,
        steps: int = 0,
        query: Mapping[str, str] | None = None,
        **flags: str,
    ) -> list[Path]:
        """Images from a query, a label, a source image, any mix of them or nothing; one a seed.
        Written with their provenance. Never trains.

        source: an image file to start from. mask: an image file of its size, white where pixels are
        to be made anew. strength: 0 keeps the source, 1 starts from noise alone. guidance: pull
        towards the condition. steps: evaluations of the network, 0 = the generator's own. query:
        {flag or column: text}, or each as an argument of its own (text="a red bird")."""
        self.run = needs.predictor(self.run)
        if self.run.folder.saved and not self.run.generator.trained:
            raise GobelinError(
                f"{self.folder}: was saved without a generator. Use a run that has one."
            )
        begin, where = (None if file is None else Path(file) for file in (source, mask))
        start = images.Start(begin, where, strength, guidance, steps)
        parts = {**(query or {}), **flags}
        return images.generate(self.run, seeds, label, parts, Path(out) if out else None, start)

    def showcase(self, queries: Iterable[Mapping[str, str]]) -> list[Finding]:
        """A contact sheet: from every class, from some queries, from an image, from a table row,
        from nothing."""
        needs.data(self.run, "showcase")
        self.run = needs.generator(self.run)
        queries, run = list(queries), self.run
        generator = config.resolved(run.settings.generator)
        key = fingerprint(run.predictor.fingerprint, queries, generator)
        return self._keep(
            "generate",
            key,
            partial(contact_sheet.showcase, run, queries),
        )

    def augment(self, export: str | Path | None = None) -> list[Finding]:
        """Did generated images help? Trains what it lacks. export: a folder for the chosen training
        set, with its lineage."""
        needs.data(self.run, "augment")
        self.run = needs.predictor(self.run)
        if export is not None:
            refuse_used_folder(Path(export))  # before the work
        self.run, one = study.prepared(self.run)
        if not self.run.folder.has("verbs/augment", one.key):
            _ = one.outcome  # a stage of its own
        findings = self._keep("augment", one.key, one.findings)
        if export is not None:
            exported(one, Path(export))
        return findings

    def audit(self) -> list[Finding]:
        """Are generated images copies of training images?"""
        needs.data(self.run, "audit")
        self.run = needs.generator(self.run)
        self.run, one = study.opened(self.run)
        if not self.run.folder.has("verbs/audit", one.key):
            _ = one.own.screening.audits  # each is a stage of its own
        return self._keep("audit", one.key, partial(audited, one))

    def curate(self, export: str | Path | None = None) -> list[Finding]:
        """Which training labels look wrong, and which can be given? export: a folder for the mended
        rows, with weights."""
        needs.data(self.run, "curate")
        self.run = needs.predictor(self.run)
        curate_decisions.refuse_target(self.run.predictor)
        self.run = self.run.record(self.run.settings)
        key = curate_decisions.key_of(self.run)
        findings = self._keep("curate", key, partial(curated, self.run))
        if export is not None:
            curate_export.export(self.run, Path(export))
        return findings

    def report(self) -> Path:
        """One self-contained page of everything found so far."""
        needs.data(self.run, "report")
        verbs.collect(self.run.folder)
        html, _ = page.render(self.folder, self.run.data.progress)
        return html

    def findings(self, verb: str | None = None) -> list[Finding]:
        """Everything found so far, or by one verb."""
        path = self.folder / "findings.jsonl"
        try:
            rows = [Finding.from_dict(row) for row in read_lines(path)]
        except GobelinError as error:
            message = str(error) if str(path) in str(error) else f"{path}: {error}"
            raise GobelinError(message) from error
        return [f for f in rows if verb is None or f.source == verb]

    def conclusions(self) -> list[str]:
        """Of each arm of the study one line: did it help, are there copies, how good are the
        images."""
        return conclusion.conclusion_lines(self.findings())

    def plan(self, generator: bool = False, augment: bool = False) -> list[Finding]:
        """What a fit would do here, or with `augment` a study of the fitted run, without doing
        it."""
        if augment:
            needs.data(self.run, "augment")
            self.run = needs.predictor(self.run)
            return study_plan.planned(self.run)
        return plan.planned(self.run, generator)

    def summary(self) -> list[str]:
        """What the run folder holds, in a few lines."""
        return plan.summary(self.run)

    # for others

    def save_pretrained(self, folder: str | Path, index: bool = False) -> Path:
        """What generating and predicting need, and a model card, in a new or empty folder; none of
        the data (see `save`).

        index: with the rows' ids and shared vectors, so that it can be searched. Raises a
        GobelinError for a run without a predictor, and for a folder that isn't empty."""
        self.run = needs.predictor(self.run)
        save.save(self.run, self.findings(), Path(folder), index)
        return Path(folder)

    def push_to_hub(self, repo_id: str, private: bool = True, index: bool = False) -> str:
        """Send what `save_pretrained` writes to OWNER/REPOSITORY on the hub, made if it isn't
        there; its address."""
        if self.run.folder.saved:
            return save.push(self.folder, repo_id, private)
        with tempfile.TemporaryDirectory() as place:
            folder = self.save_pretrained(Path(place) / repo_id.split("/")[-1], index)
            return save.push(folder, repo_id, private)

    def card(self) -> str:
        """The model card of a saved run, as Markdown."""
        if not self.run.folder.saved:
            raise GobelinError(
                f"{self.folder}: has no card, it isn't saved. Run gobelin save {self.folder}"
                " FOLDER."
            )
        return (self.folder / save.CARD).read_text(encoding="utf-8")
