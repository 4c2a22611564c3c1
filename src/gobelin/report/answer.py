"""What an evaluation answers, in sentences: for the terminal and for the top of the report.

Every number is one of a finding's. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gobelin.evidence.findings import Finding, finite, number

MOST_CELLS = 12  # of a row that is shown beside others
# What each main score says: a sentence of {target}, {value} and {rows}, and the end of a sentence
SENTENCES = {
    "balanced_accuracy": (
        "The predicted {target} is right in {value} of {rows}, every class counted equally",
        "it gives the right {target} {value} of the time, every class counted equally",
    ),
    "accuracy": (
        "The predicted {target} is right in {value} of {rows}",
        "it gives the right {target} {value} of the time",
    ),
    "macro_auroc": (
        "Of two of {rows}, one with and one without a label of {target}, the one with it is ranked"
        " first in {value} of the cases",
        "it ranks the one with a label of {target} first {value} of the time",
    ),
    "macro_f1": (
        "The F1 score of {target} is {value} in {rows}, averaged over its classes",
        "the F1 score of its {target} is {value}",
    ),
    "log_loss": (
        "The probabilities of {target} have a log loss of {value} in {rows}",
        "its {target} has a log loss of {value}",
    ),
    "mean_absolute_error": (
        "The predicted {target} is off by {value} on average in {rows}",
        "its {target} is off by {value} on average",
    ),
    "mean_level_error": (
        "The predicted {target} is off by {value} levels on average in {rows}",
        "its {target} is off by {value} levels on average",
    ),
    "rmse": (
        "The root mean squared error of the predicted {target} is {value} in {rows}",
        "the root mean squared error of its {target} is {value}",
    ),
    "spearman": (
        "The rank correlation of the predicted and the true {target} is {value} in {rows}",
        "the rank correlation of its {target} with the truth is {value}",
    ),
    "quadratic_kappa": (
        "The predicted {target} agrees with the truth in {rows} with a quadratic kappa of {value}",
        "its {target} agrees with the truth with a quadratic kappa of {value}",
    ),
}
MOST_FIELDS = 6  # that one line names
MOST_PAIRS = 3  # of classes that one line names
# of the way from guessing to no error at all: an interval that reaches further is no 'no'
WORTH = 0.1
ONE_FIELD = "lead_of_one_field"  # name of the finding that compares a field with all together
CAN_T_TELL = "Too few rows to say"


def main_score(findings: Sequence[Finding]) -> Finding | None:
    """The main score of an evaluation over all its rows; None where there is none."""
    return next(
        (f for f in findings if f.source == "evaluate" and not f.scope and f.name in SENTENCES),
        None,
    )


def headline(target: str, score: Finding, rows: str) -> str:
    """The main score as a sentence. rows: which rows, '341 validation rows'."""
    text, guess = _said(target, score, rows)
    about = [score.name.replace("_", " "), *_interval(score), *([guess] if guess else [])]
    open_question = " These rows are too few to tell that from guessing."
    verdict = open_question if _undecided(score) else f" This is {score.verdict}."
    return f"{text} ({'; '.join(about)}).{verdict if score.verdict else ''}"


def _said(target: str, score: Finding, rows: str = "") -> tuple[str, str]:
    """The sentence of a score, without `rows` the end of one, and what guessing scores; '' where
    that is not known."""
    unit = "share" if score.name == "macro_auroc" else score.unit
    sentence = SENTENCES[score.name][0 if rows else 1]
    text = sentence.format(target=target, value=number(score.value, unit), rows=rows)
    guess = "guessing"
    if score.name in ("mean_absolute_error", "mean_level_error"):
        guess = "guessing the training median"
    elif score.name == "rmse":
        guess = "guessing the training mean"
    return text, f"{guess}: {number(score.chance, unit)}" if finite(score.chance) else ""


def delivered(findings: Sequence[Finding]) -> str:
    """The score of the predictor that `predict` uses, in a sentence; '' where there is one
    predictor."""
    score = _delivered_score(findings)
    if score is None:
        return ""
    value = number(score.value, score.unit)
    return (
        "That is the predictor of training rows. The one that predict uses learned from all"
        f" labelled rows: {value}, cross-fitted ({'; '.join(_interval(score))})."
    )


def _delivered_score(findings: Sequence[Finding]) -> Finding | None:
    found = (f for f in findings if f.source == "evaluate" and finite(f.value))
    return next((f for f in found if f.scope.get("predictor") == "delivered"), None)


def short(target: str, score: Finding) -> str:
    """The main score as the end of a sentence: 'it tells the group right ...'."""
    text, guess = _said(target, score)
    return f"{text} ({guess})" if guess else text


def verdict(findings: Sequence[Finding]) -> str:
    """Whether the target can be predicted, in a word: 'Yes', 'Too few rows to say', or what speaks
    against it; '' where guessing has no score.

    'Yes' needs the judged predictor or the cross-fitted score of the delivered one to be beyond
    guessing with its whole interval.
    """
    score = main_score(findings)
    if score is None or not finite(score.chance):
        return ""
    if not score.verdict or _beyond(_delivered_score(findings), score):
        return "Yes"
    return CAN_T_TELL if _undecided(score) else score.verdict.capitalize()


def _beyond(crossed: Finding | None, score: Finding) -> bool:
    """Whether the cross-fitted score is beyond guessing with its whole interval.

    For levels and for several labels a row it is another measure than the main score, with another
    guess: it decides nothing there.
    """
    if crossed is None or not finite(score.chance) or crossed.better != score.better:
        return False
    if score.better == "lower":
        return finite(crossed.high) and crossed.high < score.chance
    return finite(crossed.low) and crossed.low > score.chance


def _undecided(score: Finding) -> bool:
    """Whether the interval includes guessing, and much better scores too."""
    best, far = (score.low, 0.0) if score.better == "lower" else (score.high, 1.0)
    if not (finite(score.chance) and finite(best)) or score.chance == far:
        return False
    return (best - score.chance) / (far - score.chance) > WORTH


def _interval(score: Finding) -> list[str]:
    if not (finite(score.low) and finite(score.high)):
        return []
    ends = f"{number(score.low, score.unit)} to {number(score.high, score.unit)}"
    return [f"{100 * score.level:.4g} % interval {ends}"]


def alone(findings: Sequence[Finding], fields: Sequence[str]) -> list[Finding]:
    """The main score with each of these fields alone, the best first."""
    score = main_score(findings)
    if score is None or len(fields) < 2:
        return []
    found = [
        f
        for f in findings
        if f.name == score.name and f.scope.get("fields") in fields and f.source == "evaluate"
    ]
    return sorted(found, key=lambda f: (f.value or 0.0) * (-1 if score.better == "higher" else 1))


def fields_line(findings: Sequence[Finding], fields: Sequence[str]) -> str:
    """The main score with all fields and with each alone, as a sentence; '' for one field. A field
    that some rows lack was scored on the others."""
    score, single = main_score(findings), alone(findings, fields)
    if score is None or not single:
        return ""
    named = [
        f"{f.scope['fields']} {number(f.value, f.unit)}"
        + (f" (n = {f.n}, the others lack it)" if f.n < score.n else "")
        for f in single[:MOST_FIELDS]
    ]
    more = f" and {len(single) - MOST_FIELDS} more" if len(single) > MOST_FIELDS else ""
    return (
        f"All fields together {number(score.value, score.unit)}; alone: {', '.join(named)}{more}."
    )


def one_field_line(findings: Sequence[Finding]) -> str:
    """That one field alone does better than all together, and the command without the others; ''
    where none does."""
    lead = next((f for f in findings if f.name == ONE_FIELD and f.source == "evaluate"), None)
    if lead is None:
        return ""
    size = number(lead.value, lead.unit, True)
    ends = [number(end, lead.unit, True) for end in (lead.low, lead.high) if finite(end)]
    about = f" ({100 * lead.level:.4g} % interval {' to '.join(ends)})" if ends else ""
    if not lead.verdict:
        return (
            f"{lead.scope['fields']} alone is {size} better than all fields on the same rows,"
            f" which is within chance{about}."
        )
    return (
        f"{lead.scope['fields']} alone is better than all fields together on the same rows, by"
        f" {size}{about}. W{lead.note.removeprefix('w')}"
    )


def confused_line(shown: Mapping[str, Any]) -> str:
    """How many rows are right, and what is mistaken for what most often. shown: the data of the
    exhibit `evaluate/confusion`."""
    right, rows = shown["right"], shown["count"]
    line = f"{right} of {rows} rows are right."
    pairs = [
        f"{p['class']} taken for {p['taken_for']} ({p['count']} of {p['rows']})"
        for p in shown["pairs"][:MOST_PAIRS]
    ]
    return f"{line} Most often: {', '.join(pairs)}." if pairs else line


def few_cells(cells: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """The first `MOST_CELLS` of a row's cells (name, text), and how many others it has; '' where
    all are shown."""
    others = len(cells) - MOST_CELLS
    if others < 2:
        return list(cells), ""
    return list(cells[:MOST_CELLS]), f"{others} other columns"


def mistake_line(row: Mapping[str, Any]) -> str:
    """One row of the exhibit `evaluate/mistakes`."""
    cells, others = few_cells(row["cells"])
    texts = " | ".join(filter(None, [*(f"{name}: {text}" for name, text in cells), others]))
    return f"  {row['id']}: {row['title']} ({row['note']})  {texts}".rstrip()
