"""The verbs that look: check, evaluate, search, predict, index. Findings from the stages, exhibits
beside them."""

from __future__ import annotations

from collections.abc import Sequence

from gobelin.evidence.findings import Finding
from gobelin.prediction import evaluation
from gobelin.report.exhibits import Exhibits
from gobelin.workbench.run.folder import Artefacts

SHOWN_TWINS = 12


def evaluated(made: Artefacts, exhibits: Exhibits) -> list[Finding]:
    """The predictor on validation rows."""
    rows = evaluation.scored_rows(made.rows.target, made.rows.labelled("valid"))
    target = made.rows.target.rows(rows)
    chance = evaluation.chance_of(made.rows.target, made.rows.labelled("train"), rows)
    x = made.inputs(made.embeddings.rows(rows)).keep(made.predict_fields)
    found, predictions = evaluation.evaluate(
        made.model, x, target, [made.rows.groups[r] for r in rows], chance
    )
    by_class = [f for f in found if f.name in ("recall", "auroc")]
    exhibits.bars(
        "by_class", f"{_words(by_class)} of each class on validation rows.", by_class, "class"
    )
    by_subset = [f for f in found if "fields" in f.scope and f.name == found[0].name]
    exhibits.bars(
        "by_fields",
        f"{_words(found)} when only these fields are shown.",
        by_subset,
        "fields",
        chance,
    )
    if target.kind == "number":
        return found
    sure, right, _ = evaluation.reliability(predictions, target)
    series = {"share right": right, "calibrated": sure}
    exhibits.curve(
        "reliability",
        "Are the probabilities honest?",
        sure,
        series,
        "mean confidence",
        "share right",
    )
    return found


def _words(found: Sequence[Finding]) -> str:
    """The name of the first as the beginning of a sentence."""
    return found[0].name.replace("_", " ").capitalize() if found else ""
