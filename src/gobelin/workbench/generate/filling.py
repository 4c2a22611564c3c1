"""Is a missing image better filled in or masked? Measured on validation rows whose image is hidden.

The other fields of the row fill the image in three ways. The run's generator makes some images,
whose predictions are averaged. The training row that is nearest in the shared space lends the
features of its image. A ridge regression (Hoerl & Kennard 1970), with a penalty chosen by
leave-one-out error, predicts the features. Each filled row is compared with the same row masked.
The real image is the ceiling: no filling can tell more.

What this cannot show: whether rows without an image for some reason are like rows whose image is
hidden at random. A generated image depends on the other fields only, so there is little to gain
where the predictor already reads these well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

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
from gobelin.prediction.predictor import Model
from gobelin.workbench.run.generator import RunGenerator
from gobelin.workbench.run.predictor import RunPredictor

FILLED = "filled_image"  # name of the findings
MASKED = "masked image"  # what a filled row is compared with
LEAST_FILLED_ROWS = 10  # rows that can be judged
MOST_FILLED_ROWS = 128  # rows that are filled, at most; each needs generated and encoded images
IMAGES_A_ROW = 2  # generated images for each row
FILLING_FIRST_SEED = 40_000  # of the generated images
COMPONENTS = 64  # of each other field, inputs of the ridge regression
PENALTIES = tuple(10.0**k for k in range(-2, 5))  # of the ridge regression, to choose from


def filled(predictor: RunPredictor, generator: RunGenerator) -> list[Finding]:
    """The gain of filling over masking on validation rows. No finding where too few rows have an
    image and another field.
    """
    rows, x = predictor.checked.rows, predictor.features.embeddings
    field, used = generator.field, predictor.fields
    others = tuple(f for f in used if f != field)
    if rows.target.kind == "labels" or field not in used or not others:
        return []
    image, rest = (x.only(fields).present.any(1) for fields in ((field,), others))
    usable = np.asarray(image) & np.asarray(rest)
    hidden_rows = rows.target.scored_rows(rows.labelled("valid"))
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
    """The rows with the field filled in, K times. features: float [K, n, D_f]."""
    present = hidden.present | (np.array(hidden.fields) == field)
    return [
        replace(hidden, features={**hidden.features, field: filling}, present=present)
        for filling in features
    ]


def _generated(generator: RunGenerator, chosen: np.ndarray, others: Sequence[str]) -> np.ndarray:
    """float [K, n, D_f]: features of images generated from the other fields, never from the
    target.
    """
    rows, trained = generator.checked.rows, generator.sampler()
    accepts = trained.sampler.accepts
    requested = narrowed(condition(generator.space.shared, None, chosen, others), accepts)
    if "text" in accepts:
        requested = replace(requested, text=captions(rows.dataset, rows.schema, chosen))
    controls = Controls(guidance=generator.settings.guidance)
    progress, features = generator.features.data.progress, []
    for k in range(IMAGES_A_ROW):
        seeds = [
            FILLING_FIRST_SEED + k * MOST_FILLED_ROWS + position for position in range(len(chosen))
        ]
        blocks = trained.sample(requested, seeds, controls, progress)
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
    """float32 [n, D_f]: the features of the training row whose other fields are nearest in the
    shared space.
    """
    queries = replace(
        shared, vectors=shared.vectors * np.isin(shared.fields, list(others))[:, None]
    ).pooled()
    _, position = nearest(queries[rows], queries[train])
    return x.features[field][train[position]]


def ridge_features(
    x: Embeddings, field: str, others: Sequence[str], train: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """float32 [n, D_f]: the field as a linear function of the other fields' principal components
    and presence.
    """
    parts: list[np.ndarray] = []
    for other in others:
        present = x.present[:, [x.fields.index(other)]]
        mean, directions, variances = principal(x.rows(train), other, COMPONENTS)
        parts += [
            np.where(present, (x.features[other] - mean) @ directions, 0)
            / np.sqrt(max(variances.mean(), 1e-12)),
            present,
        ]
    from sklearn.linear_model import RidgeCV

    inputs = np.concatenate(parts, 1)
    fitted = RidgeCV(PENALTIES).fit(inputs[train], x.features[field][train])
    return fitted.predict(inputs[rows]).reshape(len(rows), -1).astype(np.float32)


def gains(
    model: Model,
    masked: list[Embeddings],
    fills: Mapping[str, list[Embeddings]],
    target: Target,
    groups: Sequence[str],
) -> list[Finding]:
    """A finding for every way of filling: its gain over the masked rows.

    fills: {way: one or several fillings of the rows}; predictions of several are averaged.
    """
    base, names = _right(model, masked, target), list(fills)
    metric: Metric = "rmse" if target.kind == "number" else "balanced_accuracy"
    classes = None if target.kind == "number" else target.values
    findings = []
    arms = [
        comparison.compare(base, _right(model, fills[n], target), classes, list(groups), metric)
        for n in names
    ]
    for name, gain in zip(names, comparison.simultaneous(arms), strict=True):
        verdict = "helped" if gain.low > 0 else "harmed" if gain.high < 0 else "no evidence"
        note = (
            f"{metric} of rows whose image was hidden, against the same rows masked; the intervals"
            " hold all together"
        )
        finding = gain.finding(name, MASKED, verdict=verdict, source="generate")
        findings.append(replace(finding, name=FILLED, scope={"by": name}, note=note))
    return findings


def _right(model: Model, rows: list[Embeddings], target: Target) -> np.ndarray:
    """float64 [n]: 1 or 0 for a right or wrong class, or the error of a number."""
    predictions = [model.predict(filled_rows) for filled_rows in rows]
    if target.kind == "number":
        return np.mean([p.values for p in predictions], axis=0) - target.values
    weighed = [p.probabilities if p.weighed is None else p.weighed for p in predictions]
    mean = replace(
        predictions[0],
        probabilities=np.mean([p.probabilities for p in predictions], axis=0),
        weighed=np.mean(weighed, axis=0),
    )
    return (mean.class_indices == target.values).astype(float)
