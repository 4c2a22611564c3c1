"""The verbs `augment` and `audit` on a run: arms from the run's data, rivals and generators; the loop does the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin import catalog, evaluation, generation, inspection, judge, loop, quality
from gobelin.artefacts import Artefacts
from gobelin.audits import Result
from gobelin.comparison import Metric
from gobelin.config import resolved
from gobelin.data.answers import target_of
from gobelin.data.dataset import LINEAGE, Dataset, made_rows
from gobelin.data.fields import Target
from gobelin.data.files import cell_bytes
from gobelin.data.images import Opening, decode_images
from gobelin.embedding import Embeddings
from gobelin.errors import GobelinError
from gobelin.evidence import Finding
from gobelin.exhibits import Shelf
from gobelin.fusion import Predictor
from gobelin.generators import Controls
from gobelin.jobs import Job
from gobelin.judge import Pictures
from gobelin.loop import ArmRows
from gobelin.predict import balanced
from gobelin.provenance import marked_png, save_png
from gobelin.rivals import Arm, Material
from gobelin.schema import weights_of
from gobelin.store import atomic_folder, fingerprint

GENERATED, BOTH = "generated", "classic + generated"
SHOWN_PAIRS = 12


def key_of(made: Artefacts) -> str:
    """Of what a study is made from: predictor, generators, settings. Trains the generators that are lacking."""
    s = made.settings
    samplers = [made.sampler(k)[0].fingerprint() for k in range(s.generator.seeds)]
    groups = (resolved(group) for group in (s.augment, s.judge, s.predict, s.fusion))
    return fingerprint(made.model.fingerprint(), samplers, *groups)


def check_target(made: Artefacts) -> None:
    """Labels that hold side by side can't be judged yet; said before anything is trained."""
    if made.model.kind == "labels":
        raise GobelinError(
            f"augment: the verdict compares one answer a row, and {made.model.target!r} has several labels. Fit with "
            "--target on a column of classes or a number."
        )


class Study:
    """One study of one run. Everything that is learned sees training and validation rows; `run` opens the test rows once."""

    def __init__(self, made: Artefacts) -> None:
        self.made, self.how = made, made.settings.augment
        self.field = made.image_field
        self.column = made.schema.field(self.field).columns[0]
        if any(isinstance(v, list) for v in made.rows.dataset.values(self.column)):
            raise GobelinError(
                f"augment, column {self.column!r}: holds several images a cell; made rows can't stand beside them yet. Give "
                "one image a cell, or leave augment out."
            )

    @cached_property
    def key(self) -> str:
        """Of the study's inputs. It trains the generators that are lacking, and says so through the progress."""
        return key_of(self.made)

    @cached_property
    def train(self) -> np.ndarray:
        return self.made.rows.labelled("train")

    @cached_property
    def parents(self) -> np.ndarray:
        """int64 [M]: places in the real training rows; one made image each."""
        target = self.made.rows.target
        has = self.made.embeddings.present[:, self.made.embeddings.fields.index(self.field)]
        usable = np.array([r for r in self.train if has[r] and (not target.exclusive or target.scored[target.values[r]])])
        chosen = loop.plan(target, usable, self.how.ratio, self.made.runtime.seed)
        place = {int(r): k for k, r in enumerate(self.train)}
        return np.array([place[int(r)] for r in chosen], np.int64)

    @cached_property
    def real(self) -> Dataset:
        return self.made.rows.dataset.rows(self.train)

    def made_images(self, seed: int) -> np.ndarray:
        """uint8 [M, H, W, 3]: one image a parent, from its class and its other fields; the parent's image is not shown."""
        sampler, name, space = self.made.sampler(seed)
        fields = [f for f in self.made.shared.fields if f != self.field]
        rows = self.train[self.parents]
        wanted = generation.condition(self.made.shared, self.made.rows.target, rows, fields)
        if "text" in sampler.accepts:
            wanted = replace(wanted, text=generation.captions(self.made.rows.dataset, self.made.schema, rows))
        wanted = generation.narrowed(wanted, sampler.accepts)
        seeds = self.made_seeds(seed)
        return np.concatenate(
            list(
                generation.sample(
                    sampler,
                    name,
                    space,
                    wanted,
                    seeds,
                    Controls(guidance=self.made.settings.generator.guidance),
                    self.made.progress,
                )
            )
        )

    @cached_property
    def images(self) -> list[np.ndarray]:
        return [self.made_images(k) for k in range(self.made.settings.generator.seeds)]

    @cached_property
    def audits(self) -> list[Mapping[str, Result]]:
        """For each generator seed, every audit's result. Held-out rows are validation rows: test rows stay closed."""
        return [self._audit(k, images) for k, images in enumerate(self.images)]

    def _audit(self, seed: int, images: np.ndarray) -> Mapping[str, Result]:
        made, settings = self.made, self.made.settings
        random = settings.split.by == "random" and made.schema.role("split") is None
        train, valid = (self._pictures(rows) for rows in self._references)
        return judge.copies(
            settings.judge,
            train,
            valid,
            Pictures(images, tuple(self.made_ids(seed))),
            made.encode_images,
            "random split by group" if random else "",
            made.runtime.seed,
        )

    @cached_property
    def _references(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation rows that have an image; test rows stay closed."""
        has = self.made.embeddings.present[:, self.made.embeddings.fields.index(self.field)]
        train, valid = (self.made.rows.part(part) for part in ("train", "valid"))
        return train[has[train]], valid[has[valid]]

    def quality(self, seed: int) -> list[Finding]:
        """What the metrics say of the images of this generator seed, those later quarantined among them; of rows that have an
        answer, as made ones have."""
        made, target = self.made, self.made.rows.target

        def seen(rows: np.ndarray, images: np.ndarray) -> quality.Seen:
            return quality.Seen(images, np.array(target.classes)[target.values[rows]] if target.exclusive else None)

        answered = (rows[target.present[rows]] for rows in self._references)
        train, valid = (seen(rows, self._pictures(rows).images) for rows in answered)
        new = seen(self.train[self.parents], self.images[seed])
        encoder = made.schema.field(self.field).encoder
        return quality.quality(made.settings.judge, train, valid, new, encoder, made.runtime)

    def _pictures(self, rows: np.ndarray) -> Pictures:
        d, size = self.made.rows.dataset, self.made.settings.generator.size
        values = d.values(self.column)
        images = [decode_images({self.column: values[r]}, d.root, Opening(), size)[0][0] for r in rows]
        return Pictures(np.stack(images), tuple(self.made.ids(rows)))

    def made_ids(self, seed: int) -> list[str]:
        return [f"made-{seed}-{k}" for k in range(len(self.parents))]

    def made_seeds(self, seed: int) -> list[int]:
        return [1_000_000 * (seed + 1) + k for k in range(len(self.parents))]

    def made_dataset(self, seed: int, kept: np.ndarray) -> Dataset:
        """The made rows: image made, everything else the parent's, its group and missing cells too."""
        sampler, name, _ = self.made.sampler(seed)
        ids = [i for i, k in zip(self.made_ids(seed), kept, strict=True) if k]
        parents, images = self.real.rows(self.parents[kept]), self.images[seed][kept]
        lineage = [
            {
                "generator": name,
                "weights": sampler.fingerprint()[:16],
                "seed": self.made_seeds(seed)[int(k)],
                "parents": [p],
                "condition": "class and other fields",
            }
            for k, p in zip(np.flatnonzero(kept), parents.ids, strict=True)
        ]
        files = [marked_png(i, one) for i, one in zip(images, lineage, strict=True)]
        return made_rows(parents, {self.column: files}, ids, "generated", lineage)

    def kept(self, seed: int) -> np.ndarray:
        """bool [M]: the made images that are not quarantined as copies."""
        if not self.how.quarantine:
            return np.ones(len(self.parents), bool)
        return ~np.any([[r["flagged"] for r in result.rows] for result in self.audits[seed].values()], axis=0)

    @cached_property
    def arms(self) -> list[Arm]:
        """real, every rival, and for each generator seed: generated, and classic + generated."""
        made, real = self.made, self.real.with_ids()
        material = Material(
            real, self.column, self.parents, made.settings.generator.size, made.runtime.seed, made.runtime.threads
        )
        arms = [Arm(loop.BASELINE, real, np.ones(len(real), np.float32))]
        arms += [catalog.build("rivals", name).arm(material) for name in self.how.rivals]
        classic = next((a for a in arms if a.name == loop.CLASSIC), None)
        for seed in range(made.settings.generator.seeds):
            rows = self.made_dataset(seed, self.kept(seed))
            joined = real.join(rows)
            arms.append(Arm(GENERATED, joined, np.ones(len(joined), np.float32), seed))
            if classic is not None:
                both = classic.dataset.join(rows)
                arms.append(Arm(BOTH, both, np.ones(len(both), np.float32), seed))
        return arms

    def run(self, shelf: Shelf) -> list[Finding]:
        """Tune and train every arm, open the test rows, compare."""
        made, target = self.made, self.made.rows.target
        metric: Metric = "rmse" if target.kind == "number" else "balanced_accuracy"
        arms, features, label = self._features()
        opened = {part: evaluation.scored_rows(target, made.rows.labelled(part)) for part in ("valid", "test")}
        inputs = {p: made.inputs(made.embeddings.rows(r)).keep(made.predict_fields) for p, r in opened.items()}
        fusion = catalog.build("fusion", made.settings.fusion.name, made.settings.fusion.settings)
        basis = np.arange(len(self.train))

        def fit(jobs: Sequence[Job]) -> list[Predictor]:
            return fusion.fit(features, label, jobs, basis, made.runtime, made.progress)

        def weigh(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
            return balanced(label, rows, weights, made.settings.predict.balance, made.settings.predict.weights)

        def score(predictor: Predictor, part: str, fields: Sequence[str] | None) -> np.ndarray:
            x = inputs[part] if fields is None else inputs[part].only(fields)
            out, truth = predictor.scores(x), target.values[opened[part]]
            return out[:, 0] - truth if target.kind == "number" else (out.argmax(1) == truth).astype(float)

        def summary(hits: np.ndarray) -> float:
            if target.kind == "number":
                return -float(np.sqrt((hits**2).mean()))
            truth = target.values[opened["valid"]]
            return float(np.mean([hits[truth == c].mean() for c in np.unique(truth)]))

        look = made.run.look("augment", self.key)
        shown = evaluation.subsets(made.predict_fields) if target.exclusive else []
        outcome = loop.study(arms, self.how, fit, weigh, score, summary, shown, made.runtime.seed)
        truth = target.values[opened["test"]] if target.exclusive else None
        units = [made.rows.groups[r] for r in opened["test"]]
        generator_arms = [n for n in dict.fromkeys(a.name for a in arms) if n in (GENERATED, BOTH)]
        compared = loop.judge(outcome, generator_arms, self.how.rivals, self.how, truth, units, metric)
        found = loop.findings(compared, outcome, self.how, metric)
        note = "the first look at the test rows" if look == 1 else f"look {look} at the test rows: exploratory"
        found.append(Finding("look_at_test_rows", value=float(look), n=len(units), note=note, source="augment"))
        found.append(self._plan_finding())
        if truth is not None:
            found += loop.by_class(outcome, generator_arms, truth, units, target.classes)
            there, fields = inputs["test"].present, inputs["test"].fields
            found += loop.by_subset(
                outcome, generator_arms, truth, units, lambda names: np.all(there[:, np.isin(fields, list(names))], axis=1)
            )
        self._show(found, shelf)
        return found

    def _features(self) -> tuple[list[ArmRows], Embeddings, Target]:
        """The rows of all arms in one table, each once: the arms as row numbers, their features, their targets."""
        made = self.made
        index: dict[str, int] = {}
        blocks, values, arms = [], [], []
        for arm in self.arms:
            fresh = [k for k, i in enumerate(arm.dataset.ids) if i not in index]
            if fresh:
                rows = arm.dataset.rows(fresh)
                blocks.append(made.inputs(made.reader.embed(rows, made.progress)).keep(made.predict_fields))
                values.append(target_of(rows, made.schema, made.rows.target.classes).values)
                index.update({i: len(index) + n for n, i in enumerate(rows.ids)})
            where = np.array([index[i] for i in arm.dataset.ids])
            added = arm.dataset.with_origin().origins != "real"
            weights = arm.weights * weights_of(arm.dataset, made.schema)  # a made row counts as its parent does
            arms.append(ArmRows(arm.name, where, added, weights, arm.generator_seed))
        features = blocks[0]
        for block in blocks[1:]:
            features = features.join(block)
        return arms, features, replace(made.rows.target, values=np.concatenate(values))

    def _plan_finding(self) -> Finding:
        target = self.made.rows.target
        quarantined = sum(int((~self.kept(k)).sum()) for k in range(self.made.settings.generator.seeds))
        note = f"{quarantined} of {len(self.parents) * len(self.images)} quarantined as copies"
        if target.exclusive:
            label = target.values[self.train[self.parents]]
            counts = np.bincount(label, minlength=len(target.classes))
            note += "; " + ", ".join(f"{c} {n}" for c, n in zip(target.classes, counts, strict=True) if n)
        n = len(self.parents)
        return Finding("made_rows", value=float(n), n=n, note=note, source="augment")

    def _show(self, found: Sequence[Finding], shelf: Shelf) -> None:
        drawn = [f for f in found if f.comparator and f.name != "verdict" and not {"class", "fields"} & set(f.scope)]
        words = {f.scope["arm"]: f.verdict for f in found if f.name == "verdict"}
        marked = [replace(f, verdict=words.get(f.scope["arm"], "") if f.comparator in (loop.BASELINE, loop.CLASSIC) else "")
                  for f in drawn]  # fmt: skip
        axis = "difference on the test rows, positive = better"
        shelf.forest("forest", "Every arm against the others, with 95 % intervals.", marked, self.how.smallest_effect, axis)
        for arm in words:
            classes = [f for f in found if f.scope.get("arm") == arm and "class" in f.scope]
            if classes:
                title = f"{arm} against {classes[0].comparator}, by class: simultaneous intervals, exploratory."
                shelf.bars(f"by class {arm}".replace(" + ", " and ").replace(" ", "_"), title, classes, "class", 0.0)

    def audit(self, shelf: Shelf) -> list[Finding]:
        """What audits and metrics find, one set a generator seed, and the nearest pairs."""
        found: list[Finding] = []
        rows: list[tuple[int, Mapping[str, object]]] = []
        for seed, results in enumerate(self.audits):
            for result in results.values():
                found += [replace(f, scope={**f.scope, "generator seed": str(seed)}) for f in result.findings]
                rows += [(seed, r) for r in result.rows]
            found += [replace(f, source="audit", scope={**f.scope, "generator seed": str(seed)}) for f in self.quality(seed)]
        rows.sort(key=lambda one: float(str(one[1]["ratio"])))
        pairs = [p for seed, r in rows[:SHOWN_PAIRS] if (p := self._pair(seed, r)) is not None]
        if pairs:
            shelf.pairs(
                "nearest", "The made images that are nearest to a training image (1 = as near as a planted copy).", "made",
                "training", pairs,
            )  # fmt: skip
        return found

    def _pair(self, seed: int, row: Mapping[str, object]) -> dict[str, str] | None:
        made = self.made
        number = int(str(row["made"]).rsplit("-", 1)[1])
        parent = made.rows.dataset.ids.index(str(row["nearest"]))
        right = inspection.thumbnail(made, parent)
        if right is None:
            return None
        left = f"images/audit/{row['made']}.png"
        lineage = {
            "generator": made.settings.generator.name,
            "generator seed": seed,
            "nearest training row": row["nearest"],
        }
        save_png(made.run.folder / left, self.images[seed][number], lineage)
        mark = " - quarantined" if row["flagged"] else ""
        return {"left": left, "right": right, "caption": f"{row['nearest']}: {float(str(row['ratio'])):.2f}{mark}"}

    def export(self, folder: Path) -> Path:
        """The training set of the generated arm (first generator seed) with its lineage, as Parquet with PNG bytes inside."""
        if folder.exists() and not folder.is_dir():
            raise GobelinError(f"--export {folder}: is a file. Choose a new folder.")
        if folder.exists() and any(folder.iterdir()):
            raise GobelinError(f"--export {folder}: is not empty. Choose another folder.")
        arm = next(a for a in self.arms if a.name == GENERATED)
        table = arm.dataset.table
        where = table.column_names.index(self.column)
        values = [_bytes(v, arm.dataset.root) for v in arm.dataset.values(self.column)]
        table = table.set_column(where, self.column, pa.array(values, pa.binary()))
        with atomic_folder(folder) as temporary:
            pq.write_table(table, temporary / "train.parquet")
            origins = [json.loads(x) if x else {} for x in table[LINEAGE].to_pylist()]
            generated = sum("generator" in o for o in origins)
            (temporary / "README.md").write_text(
                f"# Training set with made rows\n\n{len(table)} rows, {generated} of them generated; `gobelin_origin` and "
                "`gobelin_lineage` say which and how. Generated rows must never enter validation or test.\n",
                encoding="utf-8",
            )
        return folder / "train.parquet"


def _bytes(value: object, root: Path) -> bytes | None:
    return cell_bytes(value, root) if isinstance(value, str | bytes) else None
