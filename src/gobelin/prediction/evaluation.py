"""How good the predictor is on rows that it was not fitted on: overall, by class, for every subset
of fields, and its calibration.

Calibration, and the coverage of sets and intervals, are those of the rows as they are.

What this cannot show: how it does on rows unlike these. `evaluate` gives validation rows; the test
rows are used by `augment` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, compress

import numpy as np

from gobelin.core.progress import counted
from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals, scores
from gobelin.evidence.findings import Finding
from gobelin.prediction import abstention, scoring
from gobelin.prediction.cross_fit import balanced
from gobelin.prediction.predictor import Model, Predictions

LEAST_SUBSET_ROWS = 10  # a subset of fields that fewer rows have is not scored


def subsets(fields: Sequence[str]) -> list[tuple[str, ...]]:
    """The non-empty subsets of the fields, single fields first: all subsets of up to six fields; of
    more fields, the single ones, the pairs and the whole."""
    sizes = range(1, len(fields) + 1) if len(fields) <= 6 else (1, 2, len(fields))
    return [s for n in sizes for s in combinations(fields, n)]


def evaluate(
    model: Model,
    embeddings: Embeddings,
    target: Target,
    groups: Sequence[str],
    chance: float | None,
) -> tuple[list[Finding], Predictions]:
    """Findings on N rows, and their predictions; the first finding is the main score, that of
    `predict.metric`.

    embeddings, target: of these rows, all labelled and scored (see `Target.scored_rows`). groups: N
    names, the units of the intervals. chance: the main score of guessing on these rows (see
    `scoring.chance`), None where it is not known."""
    predictions = model.predict(embeddings)
    main = _score(predictions.metric, predictions, target, groups, draws=500)
    left_out = _left_out(target) if target.kind == "labels" else ""
    main = against_chance(replace(main, chance=chance, note=left_out))
    if target.kind == "labels":
        findings = _labels(predictions, target, groups, main.name)
    else:
        kinds = {"number": _numbers, "ordinal": _ordinal, "class": _classes}
        findings = kinds[target.kind](predictions, target, groups)
    findings += _by_subset(model, embeddings, target, groups)
    if target.kind != "number":
        findings += _calibration(model, predictions, target, groups)
        findings.append(abstention.summary(predictions.answers, target, groups))
    if predictions.refer is not None and target.kind != "number":
        refer, most = predictions.refer, model.settings.max_error or 0.0
        findings += abstention.referral(predictions.answers, target, refer, most, groups)
    if target.kind == "labels" and predictions.cover is not None:
        findings += _label_coverage(model, predictions.cover, target, groups)
    if target.kind != "labels" and predictions.sets is not None:
        findings += _coverage(model, predictions, target, groups)
    return [main, *(f for f in findings if f.scope or f.name != main.name)], predictions


def against_chance(score: Finding) -> Finding:
    """The score with a verdict, where its interval includes chance or lies on the wrong side of it.

    What this cannot show: that there is nothing to learn. More rows may narrow the interval.
    """
    if score.chance is None or score.low is None or score.high is None:
        return score
    if score.better == "lower":
        beyond, verdict = score.high < score.chance, "not below chance"
    else:
        beyond, verdict = score.low > score.chance, "not above chance"
    return score if beyond else replace(score, verdict=verdict)


def _classes(predictions: Predictions, target: Target, groups: Sequence[str]) -> list[Finding]:
    hits = (predictions.class_indices == target.values).astype(float)
    findings = [_score("balanced_accuracy", predictions, target, groups)]
    for c in np.unique(target.values):
        of_class = target.values == c
        share = intervals.proportion(hits[of_class], list(compress(groups, of_class)))
        findings.append(
            share.finding(
                "recall",
                scope={"class": target.classes[c]},
                better="higher",
                unit="share",
                source="evaluate",
            )
        )
    return findings


def _ordinal(predictions: Predictions, target: Target, groups: Sequence[str]) -> list[Finding]:
    """Scores of the chosen level (see `Predictions.labels`)."""
    names: tuple[scoring.Name, ...] = ("mae", "quadratic_kappa", "balanced_accuracy")
    return [_score(name, predictions, target, groups, draws=500) for name in names]


def _left_out(target: Target) -> str:
    """How many labels the mean is over, and which are in no or all rows of a part."""
    note = f"over {np.count_nonzero(target.scored)} labels"
    if left_out := list(compress(target.classes, ~target.scored)):
        note += f"; left out, in no or all rows of a part: {', '.join(left_out)[:200]}"
    return note


def _labels(
    predictions: Predictions, target: Target, groups: Sequence[str], main: str
) -> list[Finding]:
    """Scores but for the one with the name `main`, and the ranking by each label."""
    scored = np.flatnonzero(target.scored)  # labels that some rows of every part have, and some not
    p, truth = predictions.probabilities[:, scored], target.values[:, scored]
    predicted = np.zeros_like(truth, bool)
    if predictions.sets is not None:
        predicted = predictions.sets[:, scored]
    columns = range(len(scored))
    areas = [scores.auroc(p[:, c], truth[:, c]) for c in columns]
    precisions = [scores.average_precision(p[:, c], truth[:, c]) for c in columns]
    f1s = [scores.f1(predicted[:, c], truth[:, c]) for c in columns]
    guessed_precision = float(truth.mean(0).mean())  # the mean share of rows that have a label
    over_all = (
        ("macro_auroc", areas, 0.5),
        ("mean_average_precision", precisions, guessed_precision),
        ("macro_f1", f1s, None),
    )
    findings = [
        scores.interval(scores.macro(parts), groups).finding(
            name, better="higher", chance=chance, note=_left_out(target), source="evaluate"
        )
        for name, parts, chance in over_all
        if name != main
    ]
    return findings + [
        scores.interval(areas[c], groups).finding(
            "auroc",
            scope={"class": target.classes[scored[c]]},
            better="higher",
            chance=0.5,
            source="evaluate",
        )
        for c in columns
    ]


def _numbers(predictions: Predictions, target: Target, groups: Sequence[str]) -> list[Finding]:
    inside = (predictions.low <= target.values) & (target.values <= predictions.high)
    names: tuple[scoring.Name, ...] = ("mae", "rmse", "spearman")
    return [
        *(_score(name, predictions, target, groups, draws=500) for name in names),
        intervals.proportion(inside.astype(float), groups).finding(
            "interval_coverage",
            unit="share",
            source="evaluate",
            note="share of true values inside low to high",
        ),
        intervals.mean(predictions.high - predictions.low, groups).finding(
            "interval_width", better="lower", source="evaluate", note="mean of high less low"
        ),
    ]


def _by_subset(
    model: Model, embeddings: Embeddings, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """The main score, and the coverage of sets or intervals, for every subset of fields."""
    findings = []
    for fields in counted("score sets of fields", subsets(embeddings.fields)):
        columns = [embeddings.fields.index(f) for f in fields]
        rows = np.flatnonzero(embeddings.present[:, columns].all(1))
        if len(rows) < LEAST_SUBSET_ROWS:
            continue
        truth, units = target.rows(rows), [groups[int(r)] for r in rows]
        chosen = embeddings if len(rows) == len(embeddings) else embeddings.rows(rows)
        predictions = model.predict(chosen.only(fields))
        scope = {"fields": " + ".join(fields)}
        note = f"the {len(rows)} rows that have them, shown these fields alone"
        score = _score(predictions.metric, predictions, truth, units)
        findings.append(replace(score, scope=scope, note=note))
        if (inside := _inside(predictions, truth)) is not None:
            name = "interval_coverage" if target.kind == "number" else "set_coverage"
            share = intervals.proportion(inside.astype(float), units)
            findings.append(
                share.finding(name, scope=scope, unit="share", source="evaluate", note=note)
            )
    return findings


def _score(
    metric: scoring.Name,
    predictions: Predictions,
    truth: Target,
    units: Sequence[str],
    draws: int = 200,
) -> Finding:
    """The score by this metric. The guess is that of rows without training rows."""
    found = scoring.interval(metric, predictions.answers, truth, units, draws)
    return found.finding(
        scoring.finding_name(metric, truth.kind),
        better=scoring.better(metric, truth.kind),
        unit=scoring.unit(metric, truth.kind),
        chance=scoring.chance(metric, truth, np.zeros(0)),
        source="evaluate",
    )


def _inside(predictions: Predictions, truth: Target) -> np.ndarray | None:
    """bool [N]: whether the truth lies in the row's interval or prediction set; None where there is
    neither."""
    if truth.kind == "number":
        return (predictions.low <= truth.values) & (truth.values <= predictions.high)
    if truth.kind == "labels" or predictions.sets is None:
        return None
    return predictions.sets[np.arange(len(truth)), truth.values]


def _coverage(
    model: Model, predictions: Predictions, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """How often the truth lies in the prediction set, and how large the sets are."""
    inside, settings, sets = _inside(predictions, target), model.settings, predictions.sets
    assert inside is not None and sets is not None
    promised = f"{100 * settings.level:g} % was promised"
    promised += " in every class" if settings.by_class else ""
    share = intervals.proportion(inside.astype(float), groups)
    findings = [share.finding("set_coverage", unit="share", note=promised, source="evaluate")]
    size, empty = sets.sum(1), int((~sets.any(1)).sum())
    note = f"of {len(target.classes)} classes" + (
        f"; {empty} sets are empty: no class is likely enough" if empty else ""
    )
    findings.append(
        intervals.mean(size, groups).finding(
            "set_size", better="lower", note=note, source="evaluate"
        )
    )
    for c in np.unique(target.values) if settings.by_class else ():
        of_class = target.values == c
        share = intervals.proportion(
            inside[of_class].astype(float), list(compress(groups, of_class))
        )
        findings.append(
            share.finding(
                "set_coverage", scope={"class": target.classes[c]}, unit="share", source="evaluate"
            )
        )
    return findings


def _label_coverage(
    model: Model, cover: np.ndarray, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """How many of a row's labels are among those that can't be ruled out, and how many these are.
    cover: bool [N, C]."""
    held = target.values == 1
    inside = np.where(held.any(1), (held & cover).sum(1) / np.maximum(held.sum(1), 1), 1.0)
    note = f"mean share of a row's labels; {100 * model.settings.level:g} % was promised"
    size = f"of {len(target.classes)} labels, of which a row has {held.sum(1).mean():.2f}"
    return [
        intervals.proportion(inside, groups).finding(
            "set_coverage", unit="share", note=note, source="evaluate"
        ),
        intervals.mean(cover.sum(1), groups).finding(
            "set_size", better="lower", note=size, source="evaluate"
        ),
    ]


def _calibration(
    model: Model, predictions: Predictions, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """How well the probabilities agree with the truth. With several labels a row, each label is a
    case of its own, and its unit is that of the row."""
    p, settings = predictions.probabilities, model.settings
    # a model of before probabilities were those of the rows' own mix is judged where they hold
    even = settings.balanced and target.exclusive and not model.calibration.mix
    by_class = settings.weights if even else None
    share = balanced(target, np.arange(len(target)), np.ones(len(target)), even, by_class)
    share = share.astype(np.float64)
    if target.kind == "labels":
        scored = np.flatnonzero(target.scored)
        confidence = p[:, scored].ravel()
        right = (target.values[:, scored] == 1).ravel().astype(float)
        units, share = [g for g in groups for _ in scored], np.repeat(share, len(scored))
        brier = (right - confidence) ** 2
        loss = _log_loss(np.where(right == 1, confidence, 1 - confidence))
    else:
        truth = p[np.arange(len(target)), target.values]
        confidence, units = p.max(1), list(groups)
        right = (p.argmax(1) == target.values).astype(float)
        # sum over classes of (p - truth)^2 (Brier 1950)
        brier, loss = (p**2).sum(1) - 2 * truth + 1, _log_loss(truth)
    gap = scores.weighted_mean(right - confidence, share, units)
    error, floor = scores.calibration_error(confidence, right, share, units)
    guessed_brier, guessed_loss = _guessing(target, share)
    return [
        gap.finding(
            "accuracy_minus_confidence",
            unit="points",
            source="evaluate",
            note="0 is calibrated, below 0 is too sure",
        ),
        error.finding(
            "calibration_error",
            better="lower",
            unit="points",
            floor=floor,
            source="evaluate",
            note=(
                f"{scores.CALIBRATION_BINS} bins of equal count; the floor is what calibrated ones"
                " would show on so few rows"
            ),
        ),
        scores.weighted_mean(brier, share, units, least=0.0).finding(
            "brier_score", better="lower", chance=guessed_brier, source="evaluate"
        ),
        scores.weighted_mean(loss, share, units, least=0.0).finding(
            "log_loss", better="lower", chance=guessed_loss, source="evaluate"
        ),
    ]


def _log_loss(p: np.ndarray) -> np.ndarray:
    """As p: -log p, at most 27.6."""
    return -np.log(np.clip(p, 1e-12, None))


def _guessing(target: Target, share: np.ndarray) -> tuple[float, float]:
    """Brier score and log loss of giving each row the classes' shares of these rows."""
    if target.kind == "labels":
        q = target.values[:, target.scored].mean(0)
        return float((q * (1 - q)).mean()), float(
            (q * _log_loss(q) + (1 - q) * _log_loss(1 - q)).mean()
        )
    q = np.bincount(target.values, share, len(target.classes)) / share.sum()
    return float(1 - (q**2).sum()), float((q * _log_loss(q)).sum())


def reliability(
    predictions: Predictions, target: Target, bins: int = 8
) -> tuple[list[float], list[float], list[int]]:
    """Mean confidence, share of right rows and count of rows, in bins of equal count (DeGroot &
    Fienberg 1983). With several labels a row, each label is a case of its own."""
    confidence, right, parts = _bins(predictions, target, bins)
    return (
        [float(confidence[rows].mean()) for rows in parts],
        [float(right[rows].mean()) for rows in parts],
        [len(rows) for rows in parts],
    )


def reliability_band(
    predictions: Predictions, target: Target, groups: Sequence[str], bins: int = 8
) -> tuple[list[float], list[float]]:
    """The ends of the 95 % interval of the share of right rows, in the bins of `reliability`.
    groups: N names of the units (see `intervals.proportion`)."""
    _, right, parts = _bins(predictions, target, bins)
    units = np.repeat(np.asarray(groups), len(right) // max(len(groups), 1))
    shares = [intervals.proportion(right[rows], units[rows]) for rows in parts]
    return [share.low for share in shares], [share.high for share in shares]


def _bins(
    predictions: Predictions, target: Target, bins: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Confidence and whether it is right, of each case, and the cases of each bin. The cases of a
    row stand together."""
    p = predictions.probabilities
    if target.kind == "labels":
        confidence = p[:, target.scored].ravel()
        right = (target.values[:, target.scored] == 1).ravel()
    else:
        confidence, right = p.max(1), p.argmax(1) == target.values
    order = np.argsort(confidence, kind="stable")
    return confidence, right, [rows for rows in np.array_split(order, bins) if len(rows)]
