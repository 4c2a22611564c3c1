"""Columns that give the label away: by being there, or by their values.

What this cannot show: whether such a column was known before the label. A person has to say that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.core.shell import shell_word
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.data.values.numbers import numbers_of
from gobelin.data.values.spelling import spelled
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import wilson
from gobelin.quality.data import Check

LEAST_ROWS = 10  # labelled training rows, for a column to give the label away
FOLDS = 3
GIVEN_AWAY = 0.95  # cross-fitted balanced accuracy of a column alone
SAME_ORDER = 0.999  # rank correlation with a target that is a number


def giveaways(
    dataset: Dataset,
    schema: Schema,
    target: Target,
    present: np.ndarray,
    fields: Sequence[str],
    rows: np.ndarray,
    settings: Check,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Fields whose presence alone names a class, and table columns whose value alone does.

    present: bool [N, F]. fields: the F names. rows: numbers of the training rows, the only ones
    that are read. Returns the findings, and the fields whose presence does.
    """
    rows = rows[target.present[rows]]
    if target.kind == "number" and len(rows) >= LEAST_ROWS:
        columns = [c for f in schema.fields for c in f.columns if schema.kind(c) == "number"]
        found = [_same_order(dataset, c, target.values[rows], rows) for c in columns]
        return [f for f in found if f is not None], ()
    if not target.exclusive or len(rows) < LEAST_ROWS:
        return [], ()
    findings, left_out = [], []
    label = target.values[rows]
    for k, name in enumerate(fields):
        for in_state, state in ((present[rows, k], "present"), (~present[rows, k], "absent")):
            if in_state.sum() < 5 or in_state.all():
                continue
            best = int(np.bincount(label[in_state]).argmax())
            hits, base = int((label[in_state] == best).sum()), float((label == best).mean())
            share = wilson(hits, int(in_state.sum()))
            recall = hits / max(int((label == best).sum()), 1)
            if (
                share.low > settings.sure - 0.05
                and share.value > settings.sure
                and share.value > base + 0.2
                and recall > 0.3
            ):
                note = (
                    f"{name} {state} means class {target.classes[best]!r}. Was it known before the"
                    f" label? If not, leave it out of prediction: {leave_out_option(name)}"
                )
                findings.append(
                    share.finding(
                        "gives_label_away",
                        scope={"field": name},
                        unit="share",
                        chance=base,
                        note=note,
                        source="check",
                    )
                )
                left_out.append(name)
    smallest = int(np.bincount(label)[np.unique(label)].min())
    if np.bincount(label).max() < len(label) and smallest >= 2:
        from sklearn.model_selection import StratifiedKFold

        folds = list(StratifiedKFold(min(FOLDS, smallest)).split(label, label))
        columns = [c for f in schema.fields for c in f.columns if f.name not in left_out]
        columns = [c for c in columns if schema.kind(c) in ("number", "category")]
        found = [_column_giveaway(dataset, c, schema.kind(c), label, rows, folds) for c in columns]
        findings += [f for f in found if f is not None]
    return findings, tuple(dict.fromkeys(left_out))


def leave_out_option(name: str) -> str:
    """The option that leaves a field or a column out, as a shell takes it."""
    return f"--set {shell_word(f'leave_out={name}')}"


def _column_giveaway(
    dataset: Dataset,
    column: str,
    kind: str,
    label: np.ndarray,
    rows: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Finding | None:
    """A finding for a number or category column from which a small tree reads the class with a
    cross-fitted balanced accuracy of `GIVEN_AWAY` or more; None for any other column.

    folds: places of training and held-out rows among these rows.
    """
    from sklearn import config_context
    from sklearn.tree import DecisionTreeClassifier

    values = dataset.values(column)
    row_values = [values[r] for r in rows]
    if kind == "number":
        # ranks, as a tree uses the order only: it stores numbers in 32 bits, too few for 1e300
        place = np.unique([v or 0.0 for v in numbers_of(row_values)], return_inverse=True)[1]
        x = np.array([[p, v is None] for p, v in zip(place, row_values, strict=True)], float)
    else:
        index = {v: i for i, v in enumerate(sorted(set(map(spelled, row_values))))}
        x = np.array([[index[spelled(v)], v is None] for v in row_values], float)
    x = x.astype(np.float32)  # as a tree reads it
    of_class, score = np.bincount(label), 1.0
    answers = label.copy()  # of a fold that was not yet looked at, all right
    with config_context(skip_parameter_validation=True):  # it takes longer than the tree
        for train, held in folds:
            tree = DecisionTreeClassifier(min_samples_leaf=2, random_state=0)
            tree.fit(x[train], label[train], check_input=False)
            answers[held] = tree.predict(x[held], check_input=False)
            right = np.bincount(label, answers == label)
            score = float(np.mean(right[of_class > 0] / of_class[of_class > 0]))
            if score < GIVEN_AWAY:
                return None  # other folds can only lower it
    chance = 1 / len(np.unique(label))
    return Finding(
        name="gives_label_away",
        scope={"column": column},
        value=score,
        chance=chance,
        n=len(rows),
        unit="share",
        source="check",
        note=(
            f"the values of {column} alone name the class. Was it known before the label? If not,"
            f" leave it out: {leave_out_option(column)}"
        ),
    )


def _same_order(
    dataset: Dataset, column: str, target: np.ndarray, rows: np.ndarray
) -> Finding | None:
    """A finding for a number that has nearly the same order as the target, or the opposite one;
    None for any other column. target: float [n], of these rows.
    """
    values = numbers_of(dataset.values(column))
    x = np.array([np.nan if values[r] is None else values[r] for r in rows], float)
    known = np.isfinite(x)
    if known.sum() < max(LEAST_ROWS, 0.5 * len(rows)) or len(np.unique(x[known])) < LEAST_ROWS:
        return None
    from scipy.stats import spearmanr

    order = float(spearmanr(x[known], target[known]).statistic)
    if not abs(order) > SAME_ORDER:  # nan of a target of one value
        return None
    return Finding(
        name="gives_label_away",
        scope={"column": column},
        value=abs(order),
        chance=0.0,
        n=int(known.sum()),
        source="check",
        note=(
            f"{column} has the order of the target (rank correlation). Was it known before the"
            f" label? If not, leave it out: {leave_out_option(column)}"
        ),
    )
