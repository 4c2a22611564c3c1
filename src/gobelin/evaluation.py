"""How good the predictor is on rows that it has not seen: overall, by class, for every subset of fields, and its calibration.

What this cannot show: how it does on rows unlike these. These are validation rows; the test rows stay closed for `augment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from gobelin import evidence
from gobelin.data.fields import Target
from gobelin.embedding import Embeddings
from gobelin.evidence import Finding
from gobelin.predict import Model, Predictions

SOURCE = "evaluate"


def subsets(fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset of up to six fields, single ones first; of more, the singles, the pairs and the whole."""
    sizes = range(1, len(fields) + 1) if len(fields) <= 6 else (1, 2, len(fields))
    return [s for n in sizes for s in combinations(fields, n)]


def scored_rows(target: Target, rows: np.ndarray) -> np.ndarray:
    """The labelled rows among these whose class stands in every part."""
    rows = rows[target.present[rows]]
    return rows if target.kind == "number" else rows[target.scored[target.values[rows]]]


def evaluate(
    model: Model, embeddings: Embeddings, target: Target, groups: Sequence[str], chance: float
) -> tuple[list[Finding], Predictions]:
    """Findings on these rows (all labelled and scored). chance: what guessing scores."""
    predictions = model.predict(embeddings)
    if target.kind == "number":
        return _numbers(predictions, target, groups, chance), predictions
    hits = (predictions.labels == target.values).astype(float)
    found = [
        evidence.balanced_accuracy(hits, target.values, groups).finding(
            "balanced_accuracy", better="higher", unit="share", chance=chance, source=SOURCE
        )
    ]
    for c in np.unique(target.values):
        own = target.values == c
        share = evidence.proportion(hits[own], [g for g, o in zip(groups, own, strict=True) if o])
        found.append(share.finding("recall", scope={"class": target.classes[c]}, better="higher", unit="share", source=SOURCE))
    found += _by_subset(model, embeddings, target, groups, chance)
    sure = predictions.probabilities.max(1)
    gap = evidence.mean(hits - sure, groups)
    found.append(
        gap.finding("accuracy_minus_confidence", unit="points", source=SOURCE, note="0 is calibrated, below 0 is too sure")
    )
    return found, predictions


def _by_subset(model: Model, embeddings: Embeddings, target: Target, groups: Sequence[str], chance: float) -> list[Finding]:
    found = []
    for fields in subsets(embeddings.fields):
        columns = [embeddings.fields.index(f) for f in fields]
        rows = np.flatnonzero(embeddings.present[:, columns].all(1))
        if len(rows) < 10:
            continue
        read = model.predict(embeddings.rows(rows).only(fields)).labels
        own = target.values[rows]
        hits = (read == own).astype(float)
        found.append(
            evidence.balanced_accuracy(hits, own, [groups[int(r)] for r in rows]).finding(
                "balanced_accuracy", scope={"fields": " + ".join(fields)}, better="higher", unit="share", source=SOURCE,
                chance=1 / len(np.unique(own)), note=f"the {len(rows)} rows that have them, shown these fields alone",
            )
        )  # fmt: skip
    return found


def _numbers(predictions: Predictions, target: Target, groups: Sequence[str], chance: float) -> list[Finding]:
    errors = np.abs(predictions.values - target.values)
    inside = (predictions.low <= target.values) & (target.values <= predictions.high)
    return [
        evidence.mean(errors, groups).finding("mean_absolute_error", better="lower", chance=chance, source=SOURCE),
        evidence.proportion(inside.astype(float), groups).finding(
            "interval_coverage", unit="share", source=SOURCE, note="share of true values inside low to high"
        ),
    ]


def chance_of(target: Target, train: np.ndarray, rows: np.ndarray) -> float:
    """What guessing scores: one over the classes among `rows`, or the error of always saying the training median."""
    if target.kind == "number":
        return float(np.abs(target.values[rows] - np.median(target.values[train])).mean())
    return 1 / max(len(np.unique(target.values[rows])), 1)


def reliability(predictions: Predictions, target: Target, bins: int = 8) -> tuple[list[float], list[float], list[int]]:
    """Mean confidence, share right and count of rows, in bins of equal count (DeGroot & Fienberg 1983)."""
    sure = predictions.probabilities.max(1)
    right = predictions.labels == target.values
    parts = [p for p in np.array_split(np.argsort(sure, kind="stable"), bins) if len(p)]
    return [float(sure[p].mean()) for p in parts], [float(right[p].mean()) for p in parts], [len(p) for p in parts]
