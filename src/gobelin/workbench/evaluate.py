"""The verb `evaluate`: scores of the predictor on validation rows."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.evidence.findings import Finding
from gobelin.prediction import evaluation
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.run.predictor import RunPredictor


def evaluated(predictor: RunPredictor, exhibits: Exhibits) -> list[Finding]:
    """Scores with all fields, by class, and with some fields alone; calibration."""
    whole = predictor.checked.rows
    rows = evaluation.scored_rows(whole.target, whole.labelled("valid"))
    target = whole.target.rows(rows)
    chance = evaluation.chance_of(whole.target, whole.labelled("train"), rows)
    x = predictor.inputs(predictor.features.embeddings.rows(rows))
    findings, predictions = evaluation.evaluate(
        predictor.model, x, target, [whole.groups[r] for r in rows], chance
    )
    by_class = [f for f in findings if f.name in ("recall", "auroc")]
    exhibits.bars(
        "by_class", f"{_title(by_class)} of each class on validation rows.", by_class, "class"
    )
    by_subset = [f for f in findings if "fields" in f.scope and f.name == findings[0].name]
    exhibits.bars(
        "by_fields",
        f"{_title(findings)} where the model is given these fields alone.",
        by_subset,
        "fields",
        chance,
    )
    if target.kind != "number":
        confidence, right, _ = evaluation.reliability(predictions, target)
        exhibits.curve(
            "reliability",
            "Are the probabilities honest?",
            confidence,
            {"share right": right, "calibrated": confidence},
            "mean confidence",
            "share right",
        )
    return findings


def _title(findings: Sequence[Finding]) -> str:
    """The name of the first finding as the beginning of a sentence."""
    return findings[0].name.replace("_", " ").capitalize() if findings else ""
