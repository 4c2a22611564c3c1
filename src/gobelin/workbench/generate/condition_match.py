"""Does a made image show what was asked for? Condition match of every field and of the class, by an
independent reader.

A generator is asked by one field of an unseen row alone. A reader that has no part in the run looks
at the made image and ranks candidates: that row's value of the field among those of other unseen
rows. A hit is the asked one in first place. The reader is another image encoder than the run's, at
the generator's size, and regularised canonical correlations of its features with the field's
(`align`, closed form), fitted on training rows.

Which candidates stand beside the asked one isn't left to a draw: a row's score is the share of hits
over all sets of M candidates that hold it. Rows of one group, or with the same value, are never
drawn together: one row of each stays. So each row is asked once and is a candidate as often as any
other, and an image that ignores what was asked hits in 1 of M.

Two ceilings stand beside it: the real image of that very row (how well the reader reads at all),
and the real training image that search in the run's space finds for the same query (how well one
does without making anything). A reader knows the rows that it was fitted on by heart; so there are
five, each fitted without a fifth of the training groups, and the three images of a row are all read
by the one that never saw the retrieved image.

What this cannot show: what the reader doesn't see. Where real images are read no better than chance
it says nothing of the generator. The fields' values are read through the run's own encoders, so
what those leave out of a text counts nowhere. A copy of a training image can be read better than a
new image, and one that fits is a match (`audit` looks for copies)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.evidence import intervals
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.generation.conditions import captions, condition, narrowed
from gobelin.generation.generators import Condition, Controls
from gobelin.prediction.evaluation import scored_rows
from gobelin.quality.probes import (
    MOST_QUERIES,
    PROBE_FOLDS,
    IndependentEncoder,
    LinearProbe,
    distinct_rows,
    folds,
    hits,
)
from gobelin.workbench.run.chain import Run
from gobelin.workbench.run.generator import Trained

MATCH = "condition_match"  # name of the findings
RETRIEVED = "retrieved training image"  # what a generated image is compared with
CANDIDATES = 32  # M
LEAST_READ_ROWS = 10  # rows to fit a reader on, and rows to ask for
MOST_READER_ROWS = 8192  # training rows that the readers are fitted on
MATCH_FIRST_SEED = 20_000  # of the generated images


def match(run: Run, generators: Sequence[Trained]) -> list[Finding]:
    """Condition match by every field and by the class; what can't be measured is said. generators:
    one a training seed."""
    target = run.predictor.model.target if run.predictor.model.exclusive else ""
    scopes = [{"field": f} for f in run.data.schema.field_names] + (
        [{"target": target}] if target else []
    )
    eyes = IndependentEncoder.choose(run.data.schema, run.data.runtime)
    if eyes is None:
        return [
            _nothing(s, "no image encoder is installed that the run doesn't use itself")
            for s in scopes
        ]
    there = np.array(
        [
            v is not None
            for v in run.checked.rows.dataset.values(
                run.data.schema.field(run.generator.field).columns[0]
            )
        ]
    )
    train, valid = ((rows := run.checked.rows.part(p))[there[rows]] for p in ("train", "valid"))
    train = train[:: max(1, -(-len(train) // MOST_READER_ROWS))]
    if min(len(train), len(valid)) < LEAST_READ_ROWS:
        why = (
            f"{len(train)} training and {len(valid)} unseen rows have an image,"
            f" {LEAST_READ_ROWS} of each are needed"
        )
        return [_nothing(s, why) for s in scopes]
    scene = _Scene(run, generators, eyes, train, eyes.features(_images(run, train)), valid)
    found = [one for f in run.data.schema.field_names for one in scene.field(f)]
    return found + (scene.target(target) if target else [])


@dataclass(frozen=True)
class _Scene:
    """Rows with an image: train [N], what the reader sees of them [N, D], valid [n]."""

    run: Run
    generators: Sequence[Trained]
    eyes: IndependentEncoder
    train: np.ndarray
    seen: np.ndarray
    valid: np.ndarray

    def field(self, field: str) -> list[Finding]:
        run, scope, groups = self.run, {"field": field}, self.run.checked.rows.groups
        values, has = run.features.embeddings.features[field], run.space.shared.has(field)
        learnt, able = has[self.train], self.valid[has[self.valid]]
        rows = distinct_rows(able, groups, values, run.data.runtime.seed)
        if min(learnt.sum(), len(rows)) < LEAST_READ_ROWS:
            why = (
                f"{learnt.sum()} training and {len(rows)} different unseen rows have it,"
                f" {LEAST_READ_ROWS} of each are needed"
            )
            return [_nothing(scope, why)]
        wanted = asked_by(run, field, rows, self.generators[0].sampler.accepts)
        if not wanted.used():
            return [_nothing(scope, _unable(self.generators[0]))]
        many, units = min(CANDIDATES, len(rows)), [groups[r] for r in rows]
        place = retrieved(run, field, rows, self.train)
        fold = folds([groups[r] for r in self.train], run.data.runtime.seed)
        readers = {
            k: LinearProbe.fit(
                self.seen[learnt & (fold != k)],
                values[self.train[learnt & (fold != k)]],
                run.data.runtime,
            )
            for k in np.unique(fold[place])
        }

        def score(seen: np.ndarray) -> np.ndarray:
            cosines = np.zeros((len(rows), len(rows)))
            for k, reading in readers.items():
                own = fold[place] == k
                cosines[own] = reading.cosines(seen[own], values[rows])
            return hits(cosines, many)

        right = np.mean([score(self.eyes.features(images)) for images in self.generated(wanted)], 0)
        own, near = score(self.eyes.features(_images(run, rows))), score(self.seen[place])
        real, chance = intervals.proportion(own, units), 1 / many
        read = self._read(f"{PROBE_FOLDS - 1} of {PROBE_FOLDS} parts of {learnt.sum()}")
        note = f"which of {many} rows was asked for, {read} {len(rows)} rows{_blind(real, chance)}"
        found = [_share(intervals.proportion(right, units), scope, chance, real.value, note)]
        found += [
            _share(one, {**scope, "of": of}, chance)
            for of, one in (
                (RETRIEVED, intervals.proportion(near, units)),
                ("real image of that row", real),
            )
        ]
        difference = intervals.mean(right - near, units)
        found.append(
            difference.finding(
                MATCH,
                scope=scope,
                comparator=RETRIEVED,
                unit="points",
                better="higher",
                source="generate",
            )
        )
        return found

    def target(self, name: str) -> list[Finding]:
        """Equally many images a class, so that an image that ignores its class hits in 1 of C."""
        run, scope, target = self.run, {"target": name}, self.run.checked.rows.target
        if "target" not in self.generators[0].sampler.accepts:
            return [_nothing(scope, _unable(self.generators[0]))]
        valid = scored_rows(target, self.valid)
        labelled = target.present[self.train]
        classes = np.intersect1d(target.values[valid], target.values[self.train[labelled]])
        valid = valid[np.isin(target.values[valid], classes)]
        if len(classes) < 2 or min(labelled.sum(), len(valid)) < LEAST_READ_ROWS:
            why = (
                f"{labelled.sum()} labelled training and {len(valid)} unseen rows of {len(classes)}"
                " classes have an image"
            )
            return [_nothing(scope, why)]
        known = np.eye(len(target.classes), dtype=np.float32)
        reading = LinearProbe.fit(
            self.seen[labelled], known[target.values[self.train[labelled]]], run.data.runtime
        )

        def read(images: np.ndarray) -> np.ndarray:
            return classes[reading.cosines(self.eyes.features(images), known[classes]).argmax(1)]

        asked = np.repeat(classes, max(1, MOST_QUERIES // len(classes)))
        example = np.array([valid[target.values[valid] == c][0] for c in classes]).repeat(
            len(asked) // len(classes)
        )
        wanted = condition(run.space.shared, target, example, ())
        right = np.mean([read(images) == asked for images in self.generated(wanted)], 0)
        truth = target.values[valid]
        own = (read(_images(run, valid)) == truth).astype(float)
        real, chance = (
            intervals.balanced_accuracy(own, truth, [run.checked.rows.groups[r] for r in valid]),
            1 / len(classes),
        )
        note = (
            f"which of {len(classes)} classes was asked for, {self._read(str(labelled.sum()))}"
            f" {len(valid)} unseen rows"
        )
        return [
            _share(
                intervals.proportion(right), scope, chance, real.value, note + _blind(real, chance)
            ),
            _share(real, {**scope, "of": "real images"}, chance),
        ]

    def generated(self, wanted: Condition) -> Iterator[np.ndarray]:
        """uint8 [n, H, W, C] of each generator seed: one image a condition."""
        controls = Controls(guidance=self.run.settings.generator.guidance)
        for trained in self.generators:
            seeds = [MATCH_FIRST_SEED + k for k in range(len(wanted))]
            blocks = trained.sample(wanted, seeds, controls, self.run.data.progress)
            yield np.concatenate(list(blocks))

    def _read(self, rows: str) -> str:
        return (
            f"read from the image alone by {self.eyes.name}, fitted on {rows} training rows; floor:"
            " real images of the"
        )


def asked_by(run: Run, field: str, rows: np.ndarray, parts: frozenset[str]) -> Condition:
    """The condition of these rows by one field alone, in the parts that the generator accepts: its
    vector; its text, its source image, where the field holds that."""
    one, source = run.data.schema.field(field), run.settings.generator.source
    wanted = condition(run.space.shared, None, rows, (field,))
    if "text" in parts:
        wanted = replace(
            wanted,
            text=captions(run.checked.rows.dataset, replace(run.data.schema, fields=(one,)), rows),
        )
    if "source" in parts and one.columns == (source,):
        pairs = run.generator.images(rows, parts=frozenset({"source"}))
        wanted = replace(wanted, source=pairs.condition.source)
    return narrowed(wanted, parts)


def retrieved(run: Run, field: str, rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """int64 [n]: the place in `train` of the row that search finds first for each row's field alone
    (as `Index.nearest`)."""
    return (run.space.shared.of(field)[rows] @ run.space.shared.pooled()[train].T).argmax(1)


def _images(run: Run, rows: np.ndarray) -> np.ndarray:
    return run.generator.images(rows).images


def _share(
    found: Interval,
    scope: Mapping[str, str],
    chance: float,
    floor: float | None = None,
    note: str = "",
) -> Finding:
    return found.finding(
        MATCH,
        scope=scope,
        better="higher",
        unit="share",
        chance=chance,
        floor=floor,
        note=note,
        source="generate",
    )


def _blind(real: Interval, chance: float) -> str:
    return (
        ". Real images are read no better than chance: this says nothing of the generator"
        if real.low <= chance
        else ""
    )


def _nothing(scope: Mapping[str, str], why: str) -> Finding:
    return Finding(
        name=MATCH,
        scope=scope,
        better="higher",
        unit="share",
        note=f"not measured: {why}",
        source="generate",
    )


def _unable(generator: Trained) -> str:
    return (
        f"{generator.name} can't be asked by it, it accepts"
        f" {', '.join(sorted(generator.sampler.accepts)) or 'nothing'}"
    )
