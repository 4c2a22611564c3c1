"""Condition match: does a generated image show its condition? Measured for every field and for the
class, by an independent reader.

The condition is one field of an unseen row. A reader that the run does not use ranks candidates for
the generated image: the value of the field in that row and in other unseen rows. The first place
for the right value is a hit. The reader is an independent image encoder, at the generator's size,
with regularised canonical correlations (closed form) between its features and those of the field,
fitted on training rows.

The set of candidates is not drawn: the score of a row is the share of hits over all sets of M
candidates that hold the right one. Of rows in one group, or with the same value, one row is used.
So every row is a condition once and a candidate as often as any other, and an image that ignores
its condition hits in 1 of M.

Two ceilings: the real image of the same row (how well the reader reads at all), and the real
training image that search finds for the same condition (how well one does without a generator). A
reader remembers its training rows. So there are five readers, each fitted without a fifth of the
training groups, and all images of a row are read by the one that was fitted without the retrieved
image.

What this cannot show: what the reader does not see. Where real images are read no better than
chance, the finding does not concern the generator. The values of fields are features of the run's
encoders: what they leave out of a text does not count. A copy of a training image can be read
better than a new image, and a fitting copy is a match (`audit` looks for copies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.evidence import intervals
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.generation.conditions import captions, condition, narrowed
from gobelin.generation.generators import Condition, Controls
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
    """Condition match by every field and by the class. A finding names what can't be measured.

    generators: one for each training seed.
    """
    target = run.predictor.model.target if run.predictor.model.exclusive else ""
    scopes = [{"field": f} for f in run.data.schema.field_names] + (
        [{"target": target}] if target else []
    )
    kind = run.data.schema.field(run.generator.field).kind
    encoder = IndependentEncoder.choose(run.data.schema, run.data.runtime, kind)
    if encoder is None:
        return [
            _nothing(s, f"no {kind} encoder is installed that the run does not use") for s in scopes
        ]
    has_image = np.array(
        [
            v is not None
            for v in run.checked.rows.dataset.values(
                run.data.schema.field(run.generator.field).columns[0]
            )
        ]
    )
    train, valid = ((rows := run.checked.rows.part(p))[has_image[rows]] for p in ("train", "valid"))
    train = train[:: max(1, -(-len(train) // MOST_READER_ROWS))]
    if min(len(train), len(valid)) < LEAST_READ_ROWS:
        why = (
            f"{len(train)} training and {len(valid)} unseen rows have an image,"
            f" {LEAST_READ_ROWS} of each are needed"
        )
        return [_nothing(s, why) for s in scopes]
    measurement = _Measurement(
        run, generators, encoder, train, encoder.features(_images(run, train)), valid
    )
    findings = [finding for f in run.data.schema.field_names for finding in measurement.field(f)]
    return findings + (measurement.target(target) if target else [])


@dataclass(frozen=True)
class _Measurement:
    """The inputs that the conditions share."""

    run: Run
    generators: Sequence[Trained]
    encoder: IndependentEncoder
    train: np.ndarray  # int64 [N], training rows with an image
    features: np.ndarray  # float [N, D], of their images by the independent encoder
    valid: np.ndarray  # int64 [n], validation rows with an image

    def field(self, field: str) -> list[Finding]:
        """Condition match by one field, its ceilings and the difference to retrieval."""
        run, scope, groups = self.run, {"field": field}, self.run.checked.rows.groups
        values, has = run.features.embeddings.features[field], run.space.shared.has(field)
        with_field, usable = has[self.train], self.valid[has[self.valid]]
        rows = distinct_rows(usable, groups, values, run.data.runtime.seed)
        if min(with_field.sum(), len(rows)) < LEAST_READ_ROWS:
            why = (
                f"{with_field.sum()} training and {len(rows)} different unseen rows have it,"
                f" {LEAST_READ_ROWS} of each are needed"
            )
            return [_nothing(scope, why)]
        requested = condition_by(run, field, rows, self.generators[0].sampler.accepts)
        if not requested.used():
            return [_nothing(scope, _unable(self.generators[0]))]
        count, units = min(CANDIDATES, len(rows)), [groups[r] for r in rows]
        nearest_row = retrieved(run, field, rows, self.train)
        fold = folds([groups[r] for r in self.train], run.data.runtime.seed)
        readers = {
            k: LinearProbe.fit(
                self.features[with_field & (fold != k)],
                values[self.train[with_field & (fold != k)]],
                run.data.runtime,
            )
            for k in np.unique(fold[nearest_row])
        }

        def score(features: np.ndarray) -> np.ndarray:
            """float [n]: the share of hits of each row. features: [n, D], of one image a row."""
            cosines = np.zeros((len(rows), len(rows)))
            for k, probe in readers.items():
                in_fold = fold[nearest_row] == k
                cosines[in_fold] = probe.cosines(features[in_fold], values[rows])
            return hits(cosines, count)

        right = np.mean(
            [score(self.encoder.features(images)) for images in self.generated(requested)], 0
        )
        of_real, of_retrieved = (
            score(self.encoder.features(_images(run, rows))),
            score(self.features[nearest_row]),
        )
        real, chance = intervals.proportion(of_real, units), 1 / count
        read = self._read(f"{PROBE_FOLDS - 1} of {PROBE_FOLDS} parts of {with_field.sum()}")
        note = f"which of {count} rows was the condition, {read} {len(rows)} rows"
        note += _blind(real, chance)
        findings = [_share(intervals.proportion(right, units), scope, chance, real.value, note)]
        findings += [
            _share(interval, {**scope, "of": source}, chance)
            for source, interval in (
                (RETRIEVED, intervals.proportion(of_retrieved, units)),
                ("real image of that row", real),
            )
        ]
        difference = intervals.mean(right - of_retrieved, units)
        findings.append(
            difference.finding(
                MATCH,
                scope=scope,
                comparator=RETRIEVED,
                unit="points",
                better="higher",
                source="generate",
            )
        )
        return findings

    def target(self, name: str) -> list[Finding]:
        """Condition match by the class, with equally many images of each class.

        An image that ignores its class hits in 1 of C.
        """
        run, scope, target = self.run, {"target": name}, self.run.checked.rows.target
        if "target" not in self.generators[0].sampler.accepts:
            return [_nothing(scope, _unable(self.generators[0]))]
        valid = target.scored_rows(self.valid)
        labelled = target.present[self.train]
        classes = np.intersect1d(target.values[valid], target.values[self.train[labelled]])
        valid = valid[np.isin(target.values[valid], classes)]
        if len(classes) < 2 or min(labelled.sum(), len(valid)) < LEAST_READ_ROWS:
            why = (
                f"{labelled.sum()} labelled training and {len(valid)} unseen rows of {len(classes)}"
                " classes have an image"
            )
            return [_nothing(scope, why)]
        one_hot = np.eye(len(target.classes), dtype=np.float32)
        probe = LinearProbe.fit(
            self.features[labelled], one_hot[target.values[self.train[labelled]]], run.data.runtime
        )

        def read(images: np.ndarray) -> np.ndarray:
            return classes[probe.cosines(self.encoder.features(images), one_hot[classes]).argmax(1)]

        requested_classes = np.repeat(classes, max(1, MOST_QUERIES // len(classes)))
        example = np.array([valid[target.values[valid] == c][0] for c in classes]).repeat(
            len(requested_classes) // len(classes)
        )
        requested = condition(run.space.shared, target, example, ())
        right = np.mean(
            [read(images) == requested_classes for images in self.generated(requested)], 0
        )
        truth = target.values[valid]
        of_real = (read(_images(run, valid)) == truth).astype(float)
        real, chance = (
            intervals.balanced_accuracy(
                of_real, truth, [run.checked.rows.groups[r] for r in valid]
            ),
            1 / len(classes),
        )
        note = (
            f"which of {len(classes)} classes was the condition, {self._read(str(labelled.sum()))}"
            f" {len(valid)} unseen rows"
        )
        return [
            _share(
                intervals.proportion(right), scope, chance, real.value, note + _blind(real, chance)
            ),
            _share(real, {**scope, "of": "real images"}, chance),
        ]

    def generated(self, requested: Condition) -> Iterator[np.ndarray]:
        """uint8 [n, H, W, C] for each training seed: one image a condition."""
        controls = Controls(guidance=self.run.settings.generator.guidance)
        for trained in self.generators:
            seeds = [MATCH_FIRST_SEED + k for k in range(len(requested))]
            blocks = trained.sample(requested, seeds, controls, self.run.data.progress)
            yield np.concatenate(list(blocks))

    def _read(self, rows: str) -> str:
        return (
            f"read from the image alone by {self.encoder.name}, fitted on {rows} training rows;"
            " floor: real images of the"
        )


def condition_by(run: Run, field: str, rows: np.ndarray, parts: frozenset[str]) -> Condition:
    """The condition of these rows by one field alone, in the parts that the generator accepts.

    These are the vector of the field, and its text or source image where the field holds one.
    """
    one, source = run.data.schema.field(field), run.settings.generator.source
    requested = condition(run.space.shared, None, rows, (field,))
    if "text" in parts:
        requested = replace(
            requested,
            text=captions(run.checked.rows.dataset, replace(run.data.schema, fields=(one,)), rows),
        )
    if "source" in parts and one.columns == (source,):
        pairs = run.generator.images(rows, parts=frozenset({"source"}))
        requested = replace(requested, source=pairs.condition.source)
    return narrowed(requested, parts)


def retrieved(run: Run, field: str, rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    """int64 [n]: for each row the position in `train` of the row that search finds first.

    The query is the field alone; the order is that of `Index.nearest`.
    """
    return (run.space.shared.of(field)[rows] @ run.space.shared.pooled()[train].T).argmax(1)


def _images(run: Run, rows: np.ndarray) -> np.ndarray:
    return run.generator.images(rows).images


def _share(
    interval: Interval,
    scope: Mapping[str, str],
    chance: float,
    floor: float | None = None,
    note: str = "",
) -> Finding:
    return interval.finding(
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
        ". Real images are read no better than chance: this does not concern the generator"
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
        f"{generator.name} does not accept this condition, it accepts"
        f" {', '.join(sorted(generator.sampler.accepts)) or 'nothing'}"
    )
