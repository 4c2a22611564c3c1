"""The verbs `augment` and `audit` on a run: arms from the run's data, rivals and generators; the
loop does the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gobelin.augmentation import advice, influence, study
from gobelin.augmentation import exhibits as study_exhibits
from gobelin.augmentation.arms import BASELINE, ArmRows, Outcome
from gobelin.augmentation.findings import by_class, by_subset, cross_checks, findings
from gobelin.augmentation.protocol import protocol
from gobelin.augmentation.rivals import Arm
from gobelin.augmentation.settings import Augment
from gobelin.core import catalog
from gobelin.core.config import resolved
from gobelin.core.files import atomic_folder, fingerprint, read_lines, write_lines
from gobelin.data.dataset import LINEAGE, Dataset
from gobelin.data.fields import Target
from gobelin.data.provenance import save_png
from gobelin.data.targets import target_of
from gobelin.embedding.features import Embeddings
from gobelin.embedding.schema import weights_of
from gobelin.evidence.comparison import Metric
from gobelin.evidence.conclusion import COPY_OF_TRAINING
from gobelin.evidence.findings import Finding
from gobelin.prediction import evaluation
from gobelin.prediction.cross_fit import balanced
from gobelin.prediction.fusion import Predictor
from gobelin.prediction.heads.job import Job
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.augment import budget, tuned_arms
from gobelin.workbench.augment.arms import Arms
from gobelin.workbench.augment.export import _bytes, free
from gobelin.workbench.augment.resample import resampled
from gobelin.workbench.augment.trainings import (
    BOTH,
    GENERATED,
    arm_names,
    batches_of,
    generators,
)
from gobelin.workbench.run.folder import Artefacts
from gobelin.workbench.thumbnails import thumbnail

SHOWN_PAIRS, MOST_PAIRS, SHOWN_ROWS = 12, 60, 8


def key_of(made: Artefacts) -> str:
    """Of what a study is made from: predictor, generators, settings. Trains the generators that are
    lacking."""
    samplers = [b.made.sampler(b.seed)[0].fingerprint() for b in batches_of(made)]
    s = made.settings
    tune = [s.tune] if s.augment.tune else []
    groups = (
        resolved(group)
        for group in (
            replace(s.augment, minutes=None, steps={}),
            s.judge,
            s.predict,
            s.fusion,
            *tune,
        )
    )
    return fingerprint(made.model.fingerprint(), samplers, *groups)


class Study:
    """One study of one run. Everything that is learned sees training and validation rows; `run`
    opens the test rows once."""

    def __init__(self, made: Artefacts) -> None:
        self.made, self.arms = made, Arms(made)

    @property
    def how(self) -> Augment:
        return self.made.settings.augment

    @cached_property
    def key(self) -> str:
        """Of the study's inputs. It trains the generators that are lacking, and says so through the
        progress."""
        return key_of(self.made)

    @cached_property
    def opened(self) -> dict[str, np.ndarray]:
        """The rows that are scored, by part."""
        rows = self.made.rows
        return {
            part: evaluation.scored_rows(rows.target, rows.labelled(part))
            for part in ("valid", "test")
        }

    def run(self, exhibits: Exhibits) -> list[Finding]:
        """Tune and train every arm, open the test rows, compare."""
        made, target, how = self.made, self.made.rows.target, self.how
        metric: Metric = "balanced_accuracy"
        if target.kind == "number":
            metric, spread = "rmse", float(np.std(target.values[made.rows.labelled("train")]))
            how = replace(how, smallest_effect=how.smallest_effect * spread)
        sets = (
            [self.arms] if how.study == "images" else [resampled(made, k) for k in range(how.sets)]
        )
        for one in sets:
            _ = one.arms  # all is made and screened before the test rows are opened
        look = made.run.look("augment", self.key)
        each = [self._outcome(one, k) for k, one in enumerate(sets)]
        outcome = Outcome.joined(each)
        test = self.opened["test"]
        truth = target.values[test] if target.exclusive else None
        units = [made.rows.groups[r] for r in test]
        generated = [n for n in outcome.hits if n.startswith((GENERATED, BOTH))]
        rivals = [r for r in how.rivals if r in outcome.hits]
        compared = study.judge(outcome, generated, rivals, how, truth, units, metric)
        found = findings(compared, outcome, how, metric, self._generator_of_arm())
        note = (
            "the first look at the test rows"
            if look == 1
            else f"look {look} at the test rows: exploratory"
        )
        found.append(
            Finding(
                name="look_at_test_rows",
                value=float(look),
                n=len(units),
                note=note,
                source="augment",
            )
        )
        counts = len(self.opened["valid"]), len(test)
        found.append(
            protocol(how, outcome, generated, rivals, counts, len(set(units)), look, metric)
        )
        found += [
            *self._plan_findings(sets),
            *budget.scarce(sets[0], "augment"),
            *budget.said(made),
        ]
        found += cross_checks(outcome, generated, truth, units)
        if truth is not None:
            found += by_class(outcome, generated, truth, units, target.classes)
        rows = made.embeddings.rows(test).keep(made.predict_fields)
        there, fields = rows.present, rows.fields
        found += by_subset(
            outcome,
            generated,
            truth,
            units,
            lambda names: np.all(there[:, np.isin(fields, list(names))], axis=1),
        )
        study_exhibits.study(found, outcome, how, exhibits)
        if how.study == "images":
            found += self._influences(exhibits)
        found += advice.next_steps(compared, outcome, found, how)
        return found

    def _outcome(self, arms: Arms, number: int) -> Outcome:
        """Of one set of training rows; kept in its run folder, so that a study that was killed goes
        on after it."""

        def make(folder: Path) -> None:
            rows, features, label, whole = self._features(arms)
            self._study(arms, rows, features, label, whole).save(folder)
            if self.how.study == "images":
                write_lines(
                    folder / "influence.jsonl", self._influence(arms, rows, features, label)
                )

        arms.made.run.stage("outcome", fingerprint(self.key, number, self.made.data_key), make)
        return Outcome.load(arms.made.run.checked("outcome"))

    def _study(
        self, arms: Arms, rows: list[ArmRows], features: Embeddings, label: Target, whole: Dataset
    ) -> Outcome:
        made, target, opened = arms.made, self.made.rows.target, self.opened
        inputs = {
            p: made.inputs(made.embeddings.rows(r)).keep(made.predict_fields)
            for p, r in opened.items()
        }
        fusion = catalog.build("fusion", made.settings.fusion.name, made.settings.fusion.settings)
        basis = np.arange(len(arms.train))

        def fit(jobs: Sequence[Job]) -> list[Predictor]:
            return fusion.fit(features, label, jobs, basis, made.runtime, made.progress)

        seen: dict[int, Embeddings] = {}  # test rows by a predictor's own encoders

        def retuned(jobs: Sequence[Job]) -> list[Predictor]:
            found = tuned_arms.fit(
                made, fusion, tuned_arms.Rows(whole, label), jobs, opened["test"]
            )
            seen.update({id(predictor): x for predictor, x in found})
            return [predictor for predictor, _ in found]

        def weigh(some: np.ndarray, weights: np.ndarray) -> np.ndarray:
            return balanced(
                label, some, weights, made.settings.predict.balance, made.settings.predict.weights
            )

        def score(predictor: Predictor, part: str, fields: Sequence[str] | None) -> np.ndarray:
            x = seen.get(id(predictor), inputs[part])
            x = x if fields is None else x.only(fields)
            out, truth = predictor.scores(x), target.values[opened[part]]
            return (
                out[:, 0] - truth
                if target.kind == "number"
                else (out.argmax(1) == truth).astype(float)
            )

        def summary(hits: np.ndarray) -> float:
            if target.kind == "number":
                return -float(np.sqrt((hits**2).mean()))
            truth = target.values[opened["valid"]]
            return float(np.mean([hits[truth == c].mean() for c in np.unique(truth)]))

        shown = evaluation.subsets(made.predict_fields)
        last = retuned if self.how.tune else None
        return study.study(
            rows, self.how, fit, weigh, score, summary, shown, made.runtime.seed, last
        )

    def _features(self, arms: Arms) -> tuple[list[ArmRows], Embeddings, Target, Dataset]:
        """The rows of all arms in one table, each once: the arms as row numbers, their features,
        their targets, themselves."""
        made = arms.made
        index: dict[str, int] = {}
        blocks, values, parts, out = [], [], [], []
        for arm in arms.arms:
            fresh = [k for k, i in enumerate(arm.dataset.ids) if i not in index]
            if fresh:
                rows = arm.dataset.rows(fresh)
                parts.append(rows)
                blocks.append(
                    made.inputs(made.reader.embed(rows, made.progress)).keep(made.predict_fields)
                )
                values.append(target_of(rows, made.schema, made.rows.target.classes).values)
                start = sum(map(len, values)) - len(rows)
                index.update({i: start + n for n, i in enumerate(rows.ids)})
            where = np.array([index[i] for i in arm.dataset.ids])
            weights = arm.weights * weights_of(
                arm.dataset, made.schema
            )  # a made row counts as its parent does
            out.append(_numbered(arm, where, weights))
        features, whole = reduce(Embeddings.join, blocks), reduce(Dataset.join, parts)
        return out, features, replace(made.rows.target, values=np.concatenate(values)), whole

    def _influence(
        self, arms: Arms, rows: list[ArmRows], features: Embeddings, label: Target
    ) -> list[dict[str, object]]:
        """Of every made row that was kept, by id."""
        made, target, valid = arms.made, self.made.rows.target, self.opened["valid"]
        base = next(a for a in rows if a.name == BASELINE)
        real = features.rows(base.rows)
        numeric = target.kind == "number"
        known = label.values[base.rows]
        centre, scale = (float(known.mean()), float(known.std()) or 1.0) if numeric else (0.0, 1.0)

        def weigh(of: Target, some: np.ndarray) -> np.ndarray:
            ones = np.ones(len(some), np.float32)
            return balanced(
                of, some, ones, made.settings.predict.balance, made.settings.predict.weights
            )

        x = made.inputs(made.embeddings.rows(valid)).keep(made.predict_fields)
        held = influence.seen(x, target.rows(valid), weigh(target, valid), real, centre, scale)
        taught = influence.seen(
            real, label.rows(base.rows), weigh(label, base.rows), real, centre, scale
        )
        out: list[dict[str, object]] = []
        alone = [a for a in rows if a.name.startswith(GENERATED)]
        for batch, arm in enumerate(alone):
            own = arm.rows[arm.added]
            if len(own):
                ones = np.ones(len(own), np.float32)
                mine = influence.seen(
                    features.rows(own), label.rows(own), ones, real, centre, scale
                )
                each = influence.influence(taught, held, mine, numeric)
                places = np.flatnonzero(arms.kept(batch))
                out += [
                    {"arm": arm.name, "batch": batch, "place": int(p), "influence": float(v)}
                    for p, v in zip(places, each, strict=True)
                ]
        return out

    def _generator_of_arm(self) -> dict[str, str]:
        """{arm: the generator of its images}."""
        return {arm: name for name in generators(self.made) for arm in arm_names(self.made, name)}

    def _influences(self, exhibits: Exhibits) -> list[Finding]:
        """Which made rows helped and which hurt, by arm and class, and the extremes to look at."""
        rows = read_lines(self.made.run.checked("outcome") / "influence.jsonl")
        found, target = [], self.made.rows.target
        note = (
            "exploratory: share of made rows on which a step of training lowers the loss on"
            " validation rows"
        )
        for arm in dict.fromkeys(r["arm"] for r in rows):
            own = [r for r in rows if r["arm"] == arm]
            values = np.array([r["influence"] for r in own])
            scopes = [({"arm": arm}, np.ones(len(own), bool))]
            if target.exclusive:
                label = self.arms.label[self.arms.parents[[r["place"] for r in own]]]
                scopes += [
                    ({"arm": arm, "class": target.classes[c]}, label == c) for c in np.unique(label)
                ]
            found += [
                Finding(
                    name="made_rows_that_help",
                    scope=scope,
                    value=float((values[mine] > 0).mean()),
                    unit="share",
                    better="higher",
                    n=int(mine.sum()),
                    note=note,
                    source="augment",
                )
                for scope, mine in scopes
            ]
            order = np.argsort(-values, kind="stable")
            groups = [
                self._shown(word, [own[int(k)] for k in some])
                for word, some in (
                    ("helped most", order[:SHOWN_ROWS]),
                    ("hurt most", order[::-1][:SHOWN_ROWS]),
                )
            ]
            name = f"influence {arm}".replace(" ", "_")
            caption = (
                "Made images that helped most and hurt most: learning from one lowers or raises the"
                " error on unseen rows."
            )
            exhibits.sheet(name, caption, groups, f"Which images mattered: {arm}")
        return found

    def _shown(self, word: str, rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
        names = []
        for one in rows:
            batch, place = int(str(one["batch"])), int(str(one["place"]))
            name = f"images/augment/{self.arms.made_ids(batch)[place]}.png"
            lineage = {"generator": self.arms.batches[batch].name, "influence": one["influence"]}
            save_png(self.made.run.folder / name, self.arms.images[batch][place], lineage)
            names.append(name)
        return {"label": word, "images": names}

    def _plan_findings(self, sets: Sequence[Arms]) -> list[Finding]:
        """How many images were made, of which classes, and what screening left out."""
        target, first = self.made.rows.target, sets[0]
        n = len(first.parents)
        note = f"{n * len(first.batches) * len(sets)} images in all"
        if target.exclusive:
            counts = np.bincount(first.label[first.parents], minlength=len(target.classes))
            note += "; " + ", ".join(
                f"{c} {k}" for c, k in zip(target.classes, counts, strict=True) if k
            )
        found = [Finding(name="made_rows", value=float(n), n=n, note=note, source="augment")]
        for b, batch in enumerate(first.batches):
            scope, total = {"generator": batch.label()}, n * len(sets)
            reasons = [one.screens[b].reasons() for one in sets]
            whose = tuple(dict.fromkeys(i for one in sets for i in one.copied(b)))
            unsure = next(
                (f.verdict for one in sets if self.how.quarantine for f in one.unsure(b)), ""
            )
            found += [
                Finding(
                    name="screened_out",
                    scope={**scope, "why": why},
                    value=float(sum(r[why] for r in reasons)),
                    n=total,
                    source="augment",
                    verdict=unsure if why == COPY_OF_TRAINING else "",
                    sure=not (unsure and why == COPY_OF_TRAINING),
                    rows=whose if why == COPY_OF_TRAINING else (),
                    generator=batch.name,
                )
                for why in reasons[0]
            ]
            many = sum(int(one.kept(b).sum()) for one in sets)
            note = (
                ""
                if many
                else (
                    "no image passed screening: nothing was added, and the verdict says nothing of"
                    " the generator"
                )
            )
            found.append(
                Finding(
                    name="made_rows_kept",
                    scope=scope,
                    value=float(many),
                    n=total,
                    note=note,
                    source="augment",
                )
            )
            lost: set[int] = set()
            for one in sets:
                out = one.screens[b].failed
                lost |= set() if out is None else set(one.label[one.parents][out].tolist())
            found += _summed([one.matched[b].found for one in sets])
            found += [
                Finding(
                    name="class_left_out",
                    scope={**scope, "class": target.classes[c]},
                    source="augment",
                    note=(
                        "the generator failed on it: its label is read from hardly any of its"
                        " images"
                    ),
                )
                for c in sorted(lost)
            ]
            if first.reader is None and self.how.agree and target.exclusive:
                why = (
                    "labels of made images were not read: no image encoder is installed that the"
                    " run doesn't use itself"
                )
                found.append(
                    Finding(name="label_not_screened", scope=scope, note=why, source="augment")
                )
        return found

    def audit(self, exhibits: Exhibits) -> list[Finding]:
        """What audits and metrics find, one set a training of a generator, and the nearest
        pairs."""
        found: list[Finding] = []
        measured: list[Finding] = []
        rows: list[tuple[int, Mapping[str, object]]] = []
        for k, results in enumerate(self.arms.audits):
            batch = self.arms.batches[k]
            of = {"generator": batch.name} if len(self.how.generators) > 1 else {}
            of |= {"generator seed": str(batch.seed)}
            own, scored = (
                [f for result in results.values() for f in result.findings],
                self.arms.quality(k),
            )
            found += [
                replace(f, source="audit", scope={**f.scope, **of}, generator=batch.name)
                for f in (*own, *scored)
            ]
            measured += found[-len(scored) :] if scored else []
            rows += [(k, r) for result in results.values() for r in result.rows]
        study_exhibits.quality(measured, exhibits)
        rows.sort(key=lambda one: float(str(one[1]["ratio"])))
        copies = [(self.arms.batches[k].label(), r) for k, r in rows if r["flagged"]]
        shown = rows[: max(SHOWN_PAIRS, min(len(copies), MOST_PAIRS))]
        pairs = [p for k, r in shown if (p := self._pair(k, r)) is not None]
        if pairs:
            exhibits.pairs(
                "nearest",
                "The number says how near: below 1.00 an image is nearer to a training image than"
                " unseen real ones are, is called a copy and left out of training. Beside it, the"
                " way of looking.",
                "made",
                "nearest training image",
                pairs,
                "Made images that are nearest to a real one",
            )
        if copies:
            columns = ("made image", "training row", "how near", "way of looking", "generator")
            told = [
                (r["made"], r["nearest"], f"{float(str(r['ratio'])):.2f}", r["seen"], name)
                for name, r in copies
            ]
            exhibits.table(
                "copies",
                "Every made image that is called a copy, the nearest first.",
                columns,
                told,
                "Copies, one by one",
            )
        return found

    def _pair(self, batch: int, row: Mapping[str, object]) -> dict[str, str] | None:
        number = int(str(row["made"]).rsplit("-", 1)[1])
        parent = self.made.rows.dataset.ids.index(str(row["nearest"]))
        right = thumbnail(self.made, parent)
        if right is None:
            return None
        left, which = f"images/audit/{row['made']}.png", self.arms.batches[batch]
        lineage = {
            "generator": which.name,
            "generator seed": which.seed,
            "nearest training row": row["nearest"],
        }
        save_png(self.made.run.folder / left, self.arms.images[batch][number], lineage)
        mark = " - quarantined" if row["flagged"] else ""
        return {
            "left": left,
            "right": right,
            "caption": f"{row['nearest']}: {float(str(row['ratio'])):.2f}, {row['seen']}{mark}",
        }

    def export(self, folder: Path) -> Path:
        """The training set of the first generated arm (first training seed) as tuning chose it,
        with its lineage, as Parquet with PNG bytes inside."""
        free(folder)
        arm = next(a for a in self.arms.arms if a.name.startswith(GENERATED))
        dataset, said = self._as_chosen(arm)
        table, column = dataset.table, self.arms.column
        where = table.column_names.index(column)
        values = [_bytes(v, dataset.root) for v in dataset.values(column)]
        table = table.set_column(where, column, pa.array(values, pa.binary()))
        with atomic_folder(folder) as temporary:
            pq.write_table(table, temporary / "train.parquet")
            origins = [json.loads(x) if x else {} for x in table[LINEAGE].to_pylist()]
            generated = sum("generator" in o for o in origins)
            (temporary / "README.md").write_text(
                f"# Training set with made rows\n\n{len(table)} rows, {generated} of them"
                f" generated; `gobelin_origin` and `gobelin_lineage` say which and how. {said}"
                " Generated rows must never enter validation or test.\n",
                encoding="utf-8",
            )
        return folder / "train.parquet"

    def _as_chosen(self, arm: Arm) -> tuple[Dataset, str]:
        """The rows of an arm at the ratio that validation rows chose, and what they chose; in a
        study of the method, whose resamples choose each for themselves, all rows."""
        if self.how.study == "method":
            return (
                arm.dataset,
                "All that were kept are here; each resample of the study chose a ratio of its own.",
            )
        (choice,) = Outcome.load(self.made.run.checked("outcome")).chosen[arm.name]
        kept = _numbered(arm, np.arange(len(arm.dataset)), arm.weights).at(
            choice.ratio, max(self.how.sweep)
        )
        return (
            arm.dataset.rows(kept),
            (
                f"Validation rows chose {choice.ratio:g} made rows for each real one, as far as"
                f" they passed screening; the study's model let each count {choice.mix:g} of a real"
                " one, before classes were balanced."
            ),
        )


def _numbered(arm: Arm, where: np.ndarray, weights: np.ndarray) -> ArmRows:
    """An arm as row numbers, [N], of some table; what it adds told from its real rows."""
    added = arm.dataset.with_origin().origins != "real"
    order = None if arm.order is None else np.concatenate([np.full((~added).sum(), -1), arm.order])
    return ArmRows(arm.name, where, added, weights, arm.generator_seed, order)


def _summed(each: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The findings of the first set of training rows, each with the counts of the same one in all
    sets."""
    out = []
    for one in each[0]:
        same = [f for found in each for f in found if (f.name, f.scope) == (one.name, one.scope)]
        total = None if one.value is None else float(sum(f.value or 0.0 for f in same))
        out.append(replace(one, value=total, n=sum(f.n for f in same)))
    return out
