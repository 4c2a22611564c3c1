"""Would a missing image be better filled in than masked? Measured where the truth is known: on rows
whose image is hidden.

The other fields of an unseen row ask for its image, in three ways: the run's generator makes some,
whose predictions are averaged; the training row that is nearest in the shared space lends the
features of its own; a ridge regression (Hoerl & Kennard 1970), its penalty chosen by leave-one-out
error, predicts the features. Each filled row is compared with the same row masked, in pairs. The
real image stands beside them: more than it tells, no filling can.

What this cannot show: whether rows that lack an image for a reason are like those whose image was
hidden by chance. A made image knows nothing of the row but what the other fields say, so where they
are read well already there is little to gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import RidgeCV

from gobelin.core.machine import numpy_generator
from gobelin.core.neighbours import nearest
from gobelin.data.fields import Target
from gobelin.embedding.alignment.align import Shared
from gobelin.embedding.alignment.correlation import principal
from gobelin.embedding.features import Embeddings
from gobelin.evidence import comparison
from gobelin.evidence.findings import Finding
from gobelin.evidence.variance import Metric
from gobelin.generation.conditions import captions, condition, narrowed
from gobelin.generation.generators import Controls
from gobelin.prediction.evaluation import scored_rows
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.generator import RunGenerator
from gobelin.workbench.run.predictor import RunPredictor

FILLED = "filled_image"  # name of the findings
MASKED = "masked image"  # what a filled row is compared with
LEAST_FILLED_ROWS = 10  # rows that can be judged
MOST_FILLED_ROWS = 128  # rows that are filled: each image is made and encoded
IMAGES_A_ROW = 2  # images made for a row
FILLING_FIRST_SEED = 40_000
COMPONENTS = 64  # of each other field, that the ridge regression sees
PENALTIES = tuple(10.0**k for k in range(-2, 5))


def filled(predictor: RunPredictor, generator: RunGenerator) -> list[Finding]:
    """What filling gains over masking on validation rows, by the run's trained generator; nothing
    where no row can say."""
    rows, x = predictor.checked.rows, predictor.features.embeddings
    field, used = generator.field, predictor.fields
    others = tuple(f for f in used if f != field)
    if rows.target.kind == "labels" or field not in used or not others:
        return []
    image, rest = (x.only(fields).present.any(1) for fields in ((field,), others))
    usable = np.asarray(image) & np.asarray(rest)
    hidden_rows = scored_rows(rows.target, rows.labelled("valid"))
    hidden_rows, train = hidden_rows[usable[hidden_rows]], rows.part("train")
    train = train[usable[train]]
    if len(hidden_rows) < LEAST_FILLED_ROWS or len(train) < LEAST_FILLED_ROWS:
        return []
    shuffled = numpy_generator(generator.features.data.runtime.seed, FILLED).permutation(
        hidden_rows
    )
    chosen = np.sort(shuffled[:MOST_FILLED_ROWS])
    shared = generator.space.shared
    fills = {
        "made": _generated(generator, chosen, others),
        "nearest": nearest_features(x, shared, field, others, train, chosen)[None],
        "ridge": ridge_features(x, field, others, train, chosen)[None],
        "the real image": x.features[field][chosen][None],
    }
    hidden = x.rows(chosen).only([f for f in x.fields if f != field])
    return gains(
        predictor.model,
        [predictor.inputs(hidden)],
        {n: [predictor.inputs(f) for f in _shown(hidden, field, v)] for n, v in fills.items()},
        rows.target.rows(chosen),
        [rows.groups[r] for r in chosen],
    )


def _shown(hidden: Embeddings, field: str, features: np.ndarray) -> list[Embeddings]:
    """features [K, n, D_f]: the rows K times, the field filled in."""
    there = hidden.present | (np.array(hidden.fields) == field)
    return [
        replace(hidden, features={**hidden.features, field: one}, present=there) for one in features
    ]


def _generated(generator: RunGenerator, chosen: np.ndarray, others: Sequence[str]) -> np.ndarray:
    """Features [K, n, D_f] of the images that the generator makes from the other fields, never from
    the target."""
    rows, trained = generator.checked.rows, generator.sampler()
    accepts = trained.sampler.accepts
    wanted = narrowed(condition(generator.space.shared, None, chosen, others), accepts)
    if "text" in accepts:
        wanted = replace(wanted, text=captions(rows.dataset, rows.schema, chosen))
    controls = Controls(guidance=generator.settings.guidance)
    progress, features = generator.features.data.progress, []
    for k in range(IMAGES_A_ROW):
        seeds = [FILLING_FIRST_SEED + k * MOST_FILLED_ROWS + place for place in range(len(chosen))]
        blocks = trained.sample(wanted, seeds, controls, progress)
        features.append(generator.encode(np.concatenate(list(blocks))))
    return np.stack(features)


def nearest_features(
    x: Embeddings,
    shared: Shared,
    field: str,
    others: Sequence[str],
    train: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """float32 [n, D_f]: the field of the training row whose other fields are nearest in the shared
    space."""
    asked = replace(
        shared, vectors=shared.vectors * np.isin(shared.fields, list(others))[:, None]
    ).pooled()
    _, place = nearest(asked[rows], asked[train])
    return x.features[field][train[place]]


def ridge_features(
    x: Embeddings, field: str, others: Sequence[str], train: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """float32 [n, D_f]: the field as a linear function of the components of the others and of which
    are there."""
    parts: list[np.ndarray] = []
    for other in others:
        there = x.present[:, [x.fields.index(other)]]
        mean, directions, variances = principal(x.rows(train), other, COMPONENTS)
        parts += [
            np.where(there, (x.features[other] - mean) @ directions, 0)
            / np.sqrt(max(variances.mean(), 1e-12)),
            there,
        ]
    seen = np.concatenate(parts, 1)
    fitted = RidgeCV(PENALTIES).fit(seen[train], x.features[field][train])
    return fitted.predict(seen[rows]).reshape(len(rows), -1).astype(np.float32)


def gains(
    model: Model,
    masked: list[Embeddings],
    fills: Mapping[str, list[Embeddings]],
    target: Target,
    groups: Sequence[str],
) -> list[Finding]:
    """A finding for every way: what it gains over the masked rows, several fillings of a row
    averaged."""
    base, names = _right(model, masked, target), list(fills)
    metric: Metric = "rmse" if target.kind == "number" else "balanced_accuracy"
    classes = None if target.kind == "number" else target.values
    found = []
    arms = [
        comparison.compare(base, _right(model, fills[n], target), classes, list(groups), metric)
        for n in names
    ]
    for name, one in zip(names, comparison.simultaneous(arms), strict=True):
        verdict = "helped" if one.low > 0 else "harmed" if one.high < 0 else "no evidence"
        note = (
            f"{metric} of rows whose image was hidden, against the same rows masked; the intervals"
            " hold all together"
        )
        made = one.finding(name, MASKED, verdict=verdict, source="generate")
        found.append(replace(made, name=FILLED, scope={"by": name}, note=note))
    return found


def _right(model: Model, rows: list[Embeddings], target: Target) -> np.ndarray:
    """float64 [n]: 1 where the class is read right, or by how much a number is wrong."""
    said = [model.predict(one) for one in rows]
    if target.kind == "number":
        return np.mean([one.values for one in said], axis=0) - target.values
    mean = replace(said[0], probabilities=np.mean([one.probabilities for one in said], axis=0))
    return (mean.labels == target.values).astype(float)
