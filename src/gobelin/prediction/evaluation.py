"""How good the predictor is on rows that it has not seen: overall, by class, for every subset of
fields, and its calibration.

Calibration is judged in the world that the probabilities are for: with `predict.balance`, rows
count so that classes are equally common. The coverage of sets and intervals is that of the rows as
they are.

What this cannot show: how it does on rows unlike these. These are validation rows; the test rows
stay closed for `augment`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals, scores
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval
from gobelin.prediction.cross_fit import balanced
from gobelin.prediction.predictor import Model, Predictions

SOURCE = "evaluate"
LEAST_ROWS = 10  # that have a subset of fields, for it to be scored


def subsets(fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset of up to six fields, single ones first; of more, the singles, the
    pairs and the whole."""
    sizes = range(1, len(fields) + 1) if len(fields) <= 6 else (1, 2, len(fields))
    return [s for n in sizes for s in combinations(fields, n)]


def scored_rows(target: Target, rows: np.ndarray) -> np.ndarray:
    """The labelled rows among these whose class stands in every part."""
    rows = rows[target.present[rows]]
    return rows[target.scored[target.values[rows]]] if target.exclusive else rows


def evaluate(
    model: Model, embeddings: Embeddings, target: Target, groups: Sequence[str], chance: float
) -> tuple[list[Finding], Predictions]:
    """Findings on these rows (all labelled and scored); the first is the score. chance: what
    guessing scores there."""
    predictions, kinds = (
        model.predict(embeddings),
        {"number": _numbers, "labels": _labels, "ordinal": _ordinal},
    )
    found = kinds.get(target.kind, _classes)(predictions, target, groups, chance)
    found[0] = against_chance(found[0])
    found += _by_subset(model, embeddings, target, groups, found[0].name)
    if target.kind != "number":
        found += _calibration(model, predictions, target, groups)
    if target.kind != "labels" and predictions.sets is not None:
        found += _coverage(model, predictions, target, groups)
    return found, predictions


def against_chance(score: Finding) -> Finding:
    """The score with a verdict where its interval includes chance, or lies on the wrong side of it.

    What this cannot show: that there is nothing to learn. More rows may narrow the interval.
    """
    if score.chance is None or score.low is None or score.high is None:
        return score
    beyond = score.high < score.chance if score.better == "lower" else score.low > score.chance
    return (
        score
        if beyond
        else replace(
            score, verdict="not below chance" if score.better == "lower" else "not above chance"
        )
    )


def _classes(
    predictions: Predictions, target: Target, groups: Sequence[str], chance: float
) -> list[Finding]:
    hits = (predictions.labels == target.values).astype(float)
    found = [_accuracy(hits, target, groups, chance)]
    for c in np.unique(target.values):
        own = target.values == c
        share = intervals.proportion(hits[own], [g for g, o in zip(groups, own, strict=True) if o])
        found.append(
            share.finding(
                "recall",
                scope={"class": target.classes[c]},
                better="higher",
                unit="share",
                source=SOURCE,
            )
        )
    return found


def _accuracy(hits: np.ndarray, target: Target, groups: Sequence[str], chance: float) -> Finding:
    return intervals.balanced_accuracy(hits, target.values, groups).finding(
        "balanced_accuracy", better="higher", unit="share", chance=chance, source=SOURCE
    )


def _ordinal(
    predictions: Predictions, target: Target, groups: Sequence[str], chance: float
) -> list[Finding]:
    """The prediction is the median level; balanced accuracy is of that too."""
    said, truth = predictions.labels, target.values
    kappa = scores.interval(scores.quadratic_kappa(said, truth, len(target.classes)), groups)
    hits = (said == truth).astype(float)
    return [
        intervals.mean(np.abs(said - truth), groups).finding(
            "mean_level_error", better="lower", chance=chance, source=SOURCE
        ),
        kappa.finding("quadratic_kappa", better="higher", chance=0.0, source=SOURCE),
        _accuracy(hits, target, groups, 1 / len(np.unique(truth))),
    ]


def _labels(
    predictions: Predictions, target: Target, groups: Sequence[str], chance: float
) -> list[Finding]:
    kept = np.flatnonzero(target.scored)
    p, truth = predictions.probabilities[:, kept], target.values[:, kept]
    said = np.zeros_like(truth, bool) if predictions.sets is None else predictions.sets[:, kept]
    columns = range(len(kept))
    areas = [scores.auroc(p[:, c], truth[:, c]) for c in columns]
    precisions = [scores.average_precision(p[:, c], truth[:, c]) for c in columns]
    note = f"over {len(kept)} labels"
    if left := [c for c, there in zip(target.classes, target.scored, strict=True) if not there]:
        note += f"; left out, in no or all rows of a part: {', '.join(left)[:200]}"

    def of(
        name: str, score: scores.Weighted, chance: float | None, scope: dict[str, str] | None = None
    ) -> Finding:
        found = scores.interval(score, groups)
        return found.finding(
            name,
            scope=scope,
            better="higher",
            chance=chance,
            note="" if scope else note,
            source=SOURCE,
        )

    found = [
        of("macro_auroc", scores.macro(areas), chance),
        of("mean_average_precision", scores.macro(precisions), float(truth.mean(0).mean())),
        of("macro_f1", scores.macro([scores.f1(said[:, c], truth[:, c]) for c in columns]), None),
    ]
    return found + [
        of("auroc", areas[c], chance, {"class": target.classes[kept[c]]}) for c in columns
    ]


def _numbers(
    predictions: Predictions, target: Target, groups: Sequence[str], chance: float
) -> list[Finding]:
    inside = (predictions.low <= target.values) & (target.values <= predictions.high)
    return [
        intervals.mean(np.abs(predictions.values - target.values), groups).finding(
            "mean_absolute_error", better="lower", chance=chance, source=SOURCE
        ),
        intervals.proportion(inside.astype(float), groups).finding(
            "interval_coverage",
            unit="share",
            source=SOURCE,
            note="share of true values inside low to high",
        ),
        intervals.mean(predictions.high - predictions.low, groups).finding(
            "interval_width", better="lower", source=SOURCE, note="mean of high less low"
        ),
    ]


def _by_subset(
    model: Model, embeddings: Embeddings, target: Target, groups: Sequence[str], main: str
) -> list[Finding]:
    """The main score, and the coverage of sets or intervals, for every subset of fields."""
    found = []
    for fields in subsets(embeddings.fields):
        columns = [embeddings.fields.index(f) for f in fields]
        rows = np.flatnonzero(embeddings.present[:, columns].all(1))
        if len(rows) < LEAST_ROWS:
            continue
        own, units = target.rows(rows), [groups[int(r)] for r in rows]
        read = model.predict(embeddings.rows(rows).only(fields))
        scope, note = (
            {"fields": " + ".join(fields)},
            f"the {len(rows)} rows that have them, shown these fields alone",
        )
        score, unit, chance = _main(read, own, units)
        better = "lower" if target.kind in ("number", "ordinal") else "higher"
        found.append(
            score.finding(
                main, scope=scope, better=better, unit=unit, source=SOURCE, chance=chance, note=note
            )
        )
        if (inside := _inside(read, own)) is not None:
            name = "interval_coverage" if target.kind == "number" else "set_coverage"
            share = intervals.proportion(inside.astype(float), units)
            found.append(share.finding(name, scope=scope, unit="share", source=SOURCE, note=note))
    return found


def _main(
    read: Predictions, own: Target, units: Sequence[str]
) -> tuple[Interval, str, float | None]:
    """The main score of a target of this kind, its unit, and what guessing scores."""
    if own.kind == "number":
        return intervals.mean(np.abs(read.values - own.values), units), "", None
    if own.kind == "ordinal":
        return intervals.mean(np.abs(read.labels - own.values), units), "", None
    if own.kind == "labels":
        kept = np.flatnonzero(own.scored)
        areas = [scores.auroc(read.probabilities[:, c], own.values[:, c]) for c in kept]
        return scores.interval(scores.macro(areas), units, draws=200), "", 0.5
    hits = (read.labels == own.values).astype(float)
    return (
        intervals.balanced_accuracy(hits, own.values, units),
        "share",
        1 / len(np.unique(own.values)),
    )


def _inside(read: Predictions, own: Target) -> np.ndarray | None:
    """bool [N]: whether the truth lies in the row's interval or set; None where it has none."""
    if own.kind == "number":
        return (read.low <= own.values) & (own.values <= read.high)
    if own.kind == "labels" or read.sets is None:
        return None
    return read.sets[np.arange(len(own)), own.values]


def _coverage(
    model: Model, predictions: Predictions, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """How often the truth lies in the prediction set, and how large that is."""
    inside, how, sets = _inside(predictions, target), model.settings, predictions.sets
    assert inside is not None and sets is not None
    promised = f"{100 * how.level:g} % was promised" + (" in every class" if how.by_class else "")
    share = intervals.proportion(inside.astype(float), groups)
    found = [share.finding("set_coverage", unit="share", note=promised, source=SOURCE)]
    size, empty = sets.sum(1), int((~sets.any(1)).sum())
    note = f"of {len(target.classes)} classes" + (
        f"; {empty} sets are empty: no class is likely enough" if empty else ""
    )
    found.append(
        intervals.mean(size, groups).finding("set_size", better="lower", note=note, source=SOURCE)
    )
    for c in np.unique(target.values) if how.by_class else ():
        own = target.values == c
        share = intervals.proportion(
            inside[own].astype(float), [g for g, o in zip(groups, own, strict=True) if o]
        )
        found.append(
            share.finding(
                "set_coverage", scope={"class": target.classes[c]}, unit="share", source=SOURCE
            )
        )
    return found


def _calibration(
    model: Model, predictions: Predictions, target: Target, groups: Sequence[str]
) -> list[Finding]:
    """Are the probabilities honest? Each label of a row is a case of its own, its unit the
    row's."""
    p, how = predictions.probabilities, model.settings
    share = balanced(
        target, np.arange(len(target)), np.ones(len(target)), how.balance, how.weights
    ).astype(np.float64)
    if target.kind == "labels":
        kept = np.flatnonzero(target.scored)
        sure, right = p[:, kept].ravel(), (target.values[:, kept] == 1).ravel().astype(float)
        units, share = [g for g in groups for _ in kept], np.repeat(share, len(kept))
        brier, loss = (right - sure) ** 2, _log_loss(np.where(right == 1, sure, 1 - sure))
    else:
        truth = p[np.arange(len(target)), target.values]
        top = p.argmax(1)
        sure, right, units = p.max(1), (top == target.values).astype(float), list(groups)
        brier, loss = (p**2).sum(1) - 2 * truth + 1, _log_loss(truth)
    even = how.balance and target.exclusive
    world = "rows count so that classes are equally common" if even and not how.weights else ""
    gap = scores.weighted_mean(right - sure, share, units)
    error, floor = scores.calibration_error(sure, right, share, units)
    guess = _guess(target, share)
    return [
        gap.finding(
            "accuracy_minus_confidence",
            unit="points",
            source=SOURCE,
            note="; ".join(["0 is calibrated, below 0 is too sure", *([world] if world else [])]),
        ),
        error.finding(
            "calibration_error",
            better="lower",
            unit="points",
            floor=floor,
            source=SOURCE,
            note=(
                f"{scores.CALIBRATION_BINS} bins of equal count; the floor is what calibrated ones"
                " would show on so few rows"
            ),
        ),
        scores.weighted_mean(brier, share, units).finding(
            "brier_score", better="lower", chance=float(guess[0]), source=SOURCE, note=world
        ),
        scores.weighted_mean(loss, share, units).finding(
            "log_loss", better="lower", chance=float(guess[1]), source=SOURCE, note=world
        ),
    ]


def _log_loss(p: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(p, 1e-12, None))


def _guess(target: Target, share: np.ndarray) -> tuple[float, float]:
    """Brier score and log loss of saying the shares of the classes among these rows."""
    if target.kind == "labels":
        q = target.values[:, target.scored].mean(0)
        return float((q * (1 - q)).mean()), float(
            (q * _log_loss(q) + (1 - q) * _log_loss(1 - q)).mean()
        )
    q = np.bincount(target.values, share, len(target.classes)) / share.sum()
    return float(1 - (q**2).sum()), float((q * _log_loss(q)).sum())


def chance_of(target: Target, train: np.ndarray, rows: np.ndarray) -> float:
    """What guessing scores: one over the classes among `rows`; 1/2 for the ranking of labels; the
    error of always saying the training median of a number or level."""
    if target.kind in ("number", "ordinal"):
        return float(np.abs(target.values[rows] - np.median(target.values[train])).mean())
    return 0.5 if target.kind == "labels" else 1 / max(len(np.unique(target.values[rows])), 1)


def reliability(
    predictions: Predictions, target: Target, bins: int = 8
) -> tuple[list[float], list[float], list[int]]:
    """Mean confidence, share right and count of rows, in bins of equal count (DeGroot & Fienberg
    1983); of labels each is a case."""
    if target.kind == "labels":
        sure, right = (
            predictions.probabilities[:, target.scored].ravel(),
            (target.values[:, target.scored] == 1).ravel(),
        )
    else:
        sure, right = (
            predictions.probabilities.max(1),
            predictions.probabilities.argmax(1) == target.values,
        )
    parts = [p for p in np.array_split(np.argsort(sure, kind="stable"), bins) if len(p)]
    return (
        [float(sure[p].mean()) for p in parts],
        [float(right[p].mean()) for p in parts],
        [len(p) for p in parts],
    )
