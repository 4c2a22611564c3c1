"""One data set, one run folder, the verbs. Delegates; what a verb finds is written to the run
folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gobelin.core import config, hub
from gobelin.core.errors import GobelinError
from gobelin.core.files import file_name, fingerprint, read_lines, write_lines
from gobelin.core.machine import Progress, silent
from gobelin.core.stages import RunFolder
from gobelin.data.dataset import Dataset
from gobelin.data.frames import Frame
from gobelin.data.read import read
from gobelin.embedding.index import Hit
from gobelin.evidence import conclusion
from gobelin.evidence.findings import Exhibit, Finding
from gobelin.prediction.predictor import Predictions
from gobelin.quality import data as check
from gobelin.report import page as report
from gobelin.report.exhibits import Exhibits
from gobelin.workbench import curate as curation
from gobelin.workbench import describe, mix, save
from gobelin.workbench import evaluate as inspection
from gobelin.workbench.augment import budget
from gobelin.workbench.augment import study as augmentation
from gobelin.workbench.augment.export import free
from gobelin.workbench.check import checked
from gobelin.workbench.fit import fitted
from gobelin.workbench.generate import images
from gobelin.workbench.generate.contact_sheet import showcase as making_showcase
from gobelin.workbench.plan import planned
from gobelin.workbench.plan import summary as inspection_summary
from gobelin.workbench.predict import predicted
from gobelin.workbench.run import replay
from gobelin.workbench.run.commands import fit_command
from gobelin.workbench.run.folder import INDEX, Artefacts
from gobelin.workbench.run.settings import Settings
from gobelin.workbench.search import indexed, searched

VERBS = (
    "check",
    "fit",
    "evaluate",
    "predict",
    "search",
    "describe",
    "generate",
    "augment",
    "audit",
    "curate",
    "report",
)


class Workbench:
    """data: a path, a Dataset or a data frame (`data.root`: where its paths start); target: the
    column to predict; run: the folder; settings: nested mappings as in a recipe.

    >>> bench = Workbench("records.csv", target="group", run="runs/first")
    >>> bench.fit(); bench.evaluate(); bench.augment(); bench.report()
    """

    def __init__(
        self,
        data: str | Path | Dataset | Frame,
        target: str | None = None,
        run: str | Path = "run",
        settings: Mapping[str, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        store, said = RunFolder(Path(run)), dict(settings or {})
        if isinstance(data, Frame):
            data = read(data, said.get("data", {}).get("root") or None)
        given = data if isinstance(data, Dataset) else None
        path = given.source if given is not None else str(Path(str(data)).resolve())
        named = {"path": path, **({"target": target} if target else {})}
        said = config.merge(said, {"data": {**named, "fingerprint": ""}})
        if store.saved:
            raise GobelinError(
                f"{run}: is a saved run, nothing is fitted in it. Choose another --run."
            )
        if store.exists():
            said = replay.replayed(replay.stored(store), said)
        built = config.build(Settings, said)
        self.made = Artefacts(
            store, replace(built.completed(), runtime=built.runtime.resolved()), progress, given
        )

    @classmethod
    def open(
        cls, run: str | Path, progress: Progress = silent, settings: Mapping[str, Any] | None = None
    ) -> Workbench:
        """A finished run, or the folder that one was saved to. Its data is read only by the verbs
        that need it."""
        store = RunFolder(Path(run))
        if store.saved:
            save.check(store.folder)
        if not store.exists():
            raise GobelinError(
                f"{run}: is not a run folder (no settings.json). Make one with gobelin fit DATA"
                f" --run {run}."
            )
        bench = cls.__new__(cls)
        old = replay.stored(store)
        if store.saved:
            old["generator"]["settings"] = save.portable(old["generator"]["settings"])
            old["encoders"] = save.portable(old["encoders"])
        for part in (
            "generator",
            "fusion",
        ):  # another component doesn't inherit the settings of the one before
            asked = (settings or {}).get(part, {})
            if (
                isinstance(asked, Mapping)
                and asked.get("name", old[part]["name"]) != old[part]["name"]
            ):
                old[part] = {
                    k: v for k, v in old[part].items() if k not in ("settings", "steps", "source")
                }
        study = (settings or {}).get("augment", {})
        if isinstance(study, Mapping) and {"per_class", "ratio"} & set(
            study
        ):  # one study's images by class aren't another's
            old.get("augment", {}).pop("per_class", None)
        said = config.merge(old, settings or {})
        where = "settings" if settings else f"{run}/settings.json"
        built = config.build(Settings, said, where).completed()
        if store.saved:
            built = replace(built, runtime=built.runtime.here())
        bench.made = Artefacts(store, built, progress)
        return bench

    @property
    def folder(self) -> Path:
        return self.made.run.folder

    # verbs

    def check(self) -> list[Finding]:
        """What is in the data, and what is wrong with it."""
        self._need_data("check")
        self.made.begin()
        return self._verb(
            "check",
            fingerprint(self.made.data_key, config.resolved(self.made.settings.check)),
            self._check,
        )

    def fit(self, generator: bool = False) -> list[Finding]:
        """Encoders, shared space and predictor; with `generator`, the generator too."""
        made = self.made
        self._need_data("fit")
        if not made.settings.data.target:
            raise GobelinError("fit: has no target, found ''. Name a column with --target.")
        if generator:
            _ = made.image_field  # before any work: without images there is nothing to learn
        self.check()
        _ = made.alignment, made.model
        if generator:
            for seed in range(made.settings.generator.seeds):
                made.sampler(seed)
        told = [told for told in (made.quality(), [one.to_dict() for one in made.tuning()]) if told]
        shown = fingerprint(*told) if told else ""
        return self._verb("fit", self.made.fitted, lambda exhibits: fitted(made, exhibits), shown)

    def evaluate(self) -> list[Finding]:
        """The predictor on validation rows."""
        self._need_data("evaluate")
        self._need_fit()
        return self._verb(
            "evaluate", self.made.fitted, lambda exhibits: inspection.evaluated(self.made, exhibits)
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
        self._need_fit()
        dataset = data if isinstance(data, Dataset) else read(data, root)
        how = config.resolved(self.made.settings.check) | (
            {} if max_bad is None else {"max_bad": max_bad}
        )
        return predicted(self.made, dataset, config.build(check.Check, how, "check"))

    def search(
        self,
        k: int = 5,
        where: str = "",
        *,
        query: mix.Texts | None = None,
        without: mix.Texts | None = None,
        weights: mix.Weights | None = None,
        **flags: str | Sequence[str],
    ) -> list[Hit]:
        """The k rows nearest to a query of any parts: text=, image=, row= or a column's name, one
        text or several.

        where: a filter on columns, as SQL writes it: "weight > 100 AND category = 'tool'". query:
        {flag or column: text}, or each as an argument of its own. without: the same, for what is to
        be avoided. weights: {flag or column: number}, or a number a text; 1 without one. The query
        is the weighted sum of the parts' unit vectors."""
        self._need_index("search")
        asked = mix.mixed(
            self.made, mix.parts({**(query or {}), **flags}, weights or {}, without or {})
        )
        return self.made.index.nearest(asked, k, where)

    def index(
        self, add: str | Path | Dataset | None = None, delete: Sequence[str] = ()
    ) -> list[Finding]:
        """What is searched: how many rows. add: another data set whose rows are to be found too;
        they are never trained on. delete: ids of rows that are to be found no more. Fitted anew in
        another way, a run starts with the data's rows."""
        self._need_index("index")
        return indexed(self.made, read(add) if isinstance(add, str | Path) else add, delete)

    def recall(self) -> list[Finding]:
        """How well search works on validation rows, for every ordered pair of fields."""
        self._need_data("search --recall")
        self._need_fit()
        return self._verb(
            "search", self.made.fitted, lambda exhibits: searched(self.made, exhibits)
        )

    def describe(self, k: int = 5, labels: Sequence[str] = (), **query: str) -> list[Finding]:
        """What a record given by a query is: its classes, the nearest rows, what is typical and odd
        about it; without the data, the classes alone. labels: words to choose from, none of which
        need be a class."""
        self._need_fit()
        return describe.described(self.made, query, k, labels)

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
        self._need_fit()
        if self.made.run.saved and not self.made.has_generator():
            raise GobelinError(
                f"{self.folder}: was saved without a generator. Use a run that has one."
            )
        begin, where = (None if file is None else Path(file) for file in (source, mask))
        start = images.Start(begin, where, strength, guidance, steps)
        return images.generate(
            self.made, seeds, label, {**(query or {}), **flags}, Path(out) if out else None, start
        )

    def showcase(self, queries: Iterable[Mapping[str, str]]) -> list[Finding]:
        """A contact sheet: from every class, from some queries, from an image, from a table row,
        from nothing."""
        self._need_data("showcase")
        self._need_generator()
        queries = list(queries)
        key = fingerprint(self.made.fitted, queries, config.resolved(self.made.settings.generator))
        return self._verb(
            "generate", key, lambda exhibits: making_showcase(self.made, queries, exhibits)
        )

    def augment(self, export: str | Path | None = None) -> list[Finding]:
        """Did made images help? Trains what it lacks. export: a folder for the chosen training set,
        with its lineage."""
        self._need_data("augment")
        self._need_fit()
        if export is not None:
            free(Path(export))  # before the work
        budget.check(self.made)
        study = augmentation.Study(self.made)
        with budget.undone(self.made):
            budget.decide(self.made)
            key = study.key
        found = self._verb("augment", key, study.run)
        if export is not None:
            study.export(Path(export))
        return found

    def audit(self) -> list[Finding]:
        """Are made images copies of training images?"""
        self._need_data("audit")
        self._need_generator()
        study = augmentation.Study(self.made)
        return self._verb("audit", study.key, study.audit)

    def curate(self, export: str | Path | None = None) -> list[Finding]:
        """Which training labels look wrong, and which can be given? export: a folder for the mended
        rows, with weights."""
        self._need_data("curate")
        self._need_fit()
        study = curation.Curation(self.made)
        self.made.record(self.made.settings)
        found = self._verb("curate", study.key, study.run)
        if export is not None:
            study.export(Path(export))
        return found

    def report(self) -> Path:
        """One self-contained page of everything found so far."""
        self._need_data("report")
        self._collect()
        page, _ = report.render(self.folder, self.made.progress)
        return page

    def findings(self, verb: str | None = None) -> list[Finding]:
        """Everything found so far, or by one verb."""
        path = self.folder / "findings.jsonl"
        try:
            rows = [Finding.from_dict(row) for row in read_lines(path)]
        except GobelinError as error:
            raise GobelinError(
                str(error) if str(path) in str(error) else f"{path}: {error}"
            ) from error
        return [f for f in rows if verb is None or f.source == verb]

    def conclusions(self) -> list[str]:
        """Of each arm of the study one line: did it help, are there copies, how good are the
        images."""
        return conclusion.conclusion_lines(self.findings())

    def plan(self, generator: bool = False, augment: bool = False) -> list[Finding]:
        """What a fit would do here, or with `augment` a study of the fitted run, without doing
        it."""
        if augment:
            self._need_data("augment")
            self._need_fit()
            return budget.planned(self.made)
        return planned(self.made, generator)

    def summary(self) -> list[str]:
        """What the run folder holds, in a few lines."""
        return inspection_summary(self.made)

    # for others

    def save_pretrained(self, folder: str | Path, index: bool = False) -> Path:
        """What generating and predicting need, and a model card, in a new or empty folder; none of
        the data (see `saved`).

        index: with the rows' ids and shared vectors, so that it can be searched. Raises a
        GobelinError for a run without a predictor, and for a folder that isn't empty."""
        self._need_fit()
        save.save(self.made, self.findings(), Path(folder), index)
        return Path(folder)

    def push_to_hub(self, repo_id: str, private: bool = True, index: bool = False) -> str:
        """Send what `save_pretrained` writes to OWNER/REPOSITORY on the hub, made if it isn't
        there; its address."""
        if self.made.run.saved:
            return save.push(self.folder, repo_id, private)
        with tempfile.TemporaryDirectory() as place:
            return save.push(
                self.save_pretrained(Path(place) / repo_id.split("/")[-1], index), repo_id, private
            )

    def card(self) -> str:
        """The model card of a saved run, as Markdown."""
        if not self.made.run.saved:
            raise GobelinError(
                f"{self.folder}: has no card, it isn't saved. Run gobelin save {self.folder}"
                " FOLDER."
            )
        return (self.folder / save.CARD).read_text(encoding="utf-8")

    # how a verb is written down

    def _check(self, exhibits: Exhibits) -> list[Finding]:
        made, how = self.made, self.made.settings.check
        rows = made.rows
        found = check.counts(rows.dataset, rows.schema, rows.target, rows.parts, made.scan, how)
        twins_found, twins = check.duplicates(made.plain, rows.parts, how)
        found += twins_found + made.giveaways[0]
        checked(made, found, twins, exhibits)
        return found

    def _verb(
        self, name: str, key: str, work: Callable[[Exhibits], list[Finding]], shown: str = ""
    ) -> list[Finding]:
        """Do the work unless it was done with this key; keep its findings and exhibits in
        verbs/NAME. shown: the rest of the key, of what it shows and later verbs don't rest on."""
        stage, run = f"verbs/{name}", self.made.run
        if name in ("check", "fit") and run.has(stage) and not run.key(stage).startswith(key):
            run.discard(*(f"verbs/{later}" for later in VERBS[VERBS.index(name) + 1 :]))

        if name == "augment" and run.key("verbs/audit") not in ("", key):
            run.discard("verbs/audit")  # of other images

        def make(folder: Path) -> None:
            exhibits = Exhibits(name, folder, stage, self.made.settings.data.cited)
            found = work(exhibits)
            write_lines(folder / "findings.jsonl", [f.to_dict() for f in found])
            write_lines(folder / "exhibits.jsonl", [e.to_dict() for e in exhibits.items])

        run.stage(stage, key + shown, make)
        self._collect()
        return [
            Finding.from_dict(row)
            for row in read_lines(self.made.run.checked(stage) / "findings.jsonl")
        ]

    def _collect(self) -> None:
        """findings.jsonl and exhibits.jsonl of the run: those of its verbs, in the verbs' order."""
        for file in ("findings.jsonl", "exhibits.jsonl"):
            rows: list[dict[str, Any]] = []
            for verb in VERBS:
                if self.made.run.has(f"verbs/{verb}"):
                    rows += read_lines(self.made.run.checked(f"verbs/{verb}") / file)
            rows = [
                Exhibit.from_dict(r).to_dict() if file.startswith("exhibits") else r for r in rows
            ]
            write_lines(self.folder / file, rows)

    def _need_data(self, verb: str) -> None:
        if self.made.run.saved:
            raise GobelinError(
                f"{self.folder}: was saved without its data, which {verb} needs. Use the run it was"
                " saved from."
            )

    def _need_fit(self) -> None:
        if not self.made.run.has("model"):
            raise GobelinError(
                f"{self.folder}: has no predictor yet. Run {fit_command(self.made)}."
            )
        lost = [
            f.name
            for f in self.made.schema.fields
            if not self.made.run.has(f"encoders/{file_name(f.name)}")
        ]
        if lost:
            raise GobelinError(
                f"{self.folder}: has no encoder of {', '.join(lost)} any more. Run"
                f" {fit_command(self.made)}."
            )

    def _need_index(self, verb: str) -> None:
        if not (self.folder / INDEX).is_dir():
            self._need_data(verb)
        self._need_fit()

    def _need_generator(self) -> None:
        self._need_fit()
        _ = self.made.image_field
        if not self.made.has_generator():
            raise GobelinError(
                f"{self.folder}: has no trained generator. Run {fit_command(self.made, True)}."
            )


def from_pretrained(
    name: str | Path,
    revision: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Workbench:
    """A saved run to predict and generate with: a folder, or OWNER/REPOSITORY on the hub, which is
    downloaded unless there is a folder of that name. revision: a branch, tag or commit there.
    settings: over the saved ones.

    Raises a GobelinError of one line for a folder that isn't there, isn't a saved run, was changed,
    or holds code or pickles, and MissingExtra for a repository without huggingface_hub."""
    folder = Path(name).expanduser()
    if not folder.is_dir() and hub.is_id(str(name)):
        folder = hub.snapshot(str(name), save.PATTERNS, revision)
    elif not folder.is_dir():
        raise GobelinError(
            f"{name}: no such folder, and no OWNER/REPOSITORY. Give the folder of a saved run."
        )
    if not RunFolder(folder).saved:
        save.check(folder)  # says what is missing; a saved run is looked over when it is opened
    return Workbench.open(folder, progress, settings)


def push_to_hub(source: Workbench | str | Path, repo_id: str, private: bool = True) -> str:
    """Send a saved run's folder, or a run, to OWNER/REPOSITORY on the hub, made if it isn't there;
    its address."""
    bench = source if isinstance(source, Workbench) else Workbench.open(source)
    return bench.push_to_hub(repo_id, private)
