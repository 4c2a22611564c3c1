"""Whether one field alone does better than all fields together, on the same rows.

What this cannot show: how a predictor that is fitted on that field alone would do. The fitted one
is shown the field alone. The field was chosen on these rows, so its lead is a little too large; the
intervals of all fields hold together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.shell import shell_line
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence import comparison, intervals
from gobelin.evidence.findings import Finding
from gobelin.prediction import scoring
from gobelin.prediction.evaluation import LEAST_SUBSET_ROWS
from gobelin.prediction.predictor import Model, Predictions

LEVEL = 0.95
# metrics in which each row has a result, by the kind of target
BY_ROW = {"class": ("balanced_accuracy", "accuracy"), "ordinal": ("mae",), "number": ("mae",)}


def one_field(
    model: Model,
    embeddings: Embeddings,
    together: Predictions,
    target: Target,
    groups: Sequence[str],
    left_out: Sequence[str] = (),
) -> list[Finding]:
    """The lead of the best single field over all fields, where it has one; else nothing.

    embeddings, together, target: of N rows, all labelled and scored. groups: N names, the units of
    the intervals. left_out: fields and columns that prediction leaves out already. The verdict is
    '' where the interval includes no lead. Other metrics than those of `BY_ROW` are of
    all rows together: they give nothing.
    """
    fields, metric = embeddings.fields, scoring.of_kind(together.metric, target.kind)
    if len(fields) < 2 or metric not in BY_ROW.get(target.kind, ()):
        return []
    whole, found = _results(together, target), []
    for k, name in enumerate(fields):
        rows = np.flatnonzero(embeddings.present[:, k])
        if len(rows) < LEAST_SUBSET_ROWS:
            continue
        truth = target.rows(rows)
        alone = _results(model.predict(embeddings.rows(rows).only((name,))), truth)
        units = [groups[int(r)] for r in rows]
        level = 1 - (1 - LEVEL) / len(fields)
        found += _lead(name, metric, whole[rows], alone, truth, units, level)
    best = max(found, key=lambda f: f.value or 0.0, default=None)
    if best is None or not (best.value or 0.0) > 0:
        return []
    others = [name for name in fields if name != best.scope["fields"]]
    return [_told(best, [*dict.fromkeys([*left_out, *others])], model.target)]


def _results(predictions: Predictions, target: Target) -> np.ndarray:
    """float64 [n]: 1 where the class is right, else 0; the size of the error of a number or
    level."""
    if target.kind == "number":
        return np.abs(predictions.values - target.values)
    if target.kind == "ordinal":
        return np.abs(predictions.class_indices - target.values).astype(float)
    return (predictions.class_indices == target.values).astype(float)


def _lead(
    field: str,
    metric: str,
    whole: np.ndarray,
    alone: np.ndarray,
    target: Target,
    units: Sequence[str],
    level: float,
) -> list[Finding]:
    """How much better the field alone is; nothing where no class has two units. whole, alone: [n],
    as `_results`. level: of the interval of this field."""
    lead: comparison.Comparison | intervals.Interval
    if target.kind == "class":
        try:
            lead = comparison.compare(
                whole,
                alone,
                target.values,
                units,
                level=level,
                metric="accuracy" if metric == "accuracy" else "balanced_accuracy",
            )
        except GobelinError:
            return []
        n, unit, method = lead.units, "points", comparison.PAIRED_METHOD
    else:
        lead = intervals.mean(whole - alone, units, level)
        n, unit, method = lead.n, "", lead.method
    return [
        Finding(
            name="lead_of_one_field",
            scope={"fields": field},
            comparator="all fields together",
            value=lead.value,
            low=lead.low,
            high=lead.high,
            level=LEVEL,
            method=f"{method}; the intervals of all fields hold together",
            unit=unit,
            better="higher",
            n=n,
            source="evaluate",
        )
    ]


def _told(best: Finding, others: Sequence[str], target: str) -> Finding:
    """The finding with its verdict, and the command that leaves the other fields out."""
    if best.low is None or not best.low > 0:
        return replace(best, note="within chance")
    words = ["--target", target, "--run", "OTHER", "--set", "leave_out=" + ",".join(others)]
    command = f"gobelin fit DATA {shell_line(words)}"
    return replace(best, verdict="better alone", note=f"without the others: {command}")
