"""Columns that may say which rows belong together (the scans of a patient, the photos of a part),
where no column has the role `group`.

Rows of one patient are alike beyond what is asked. In training and in test at once, they make the
score too good. A column is named if rows of training share its value with validation or test rows,
and
1. its name is that of somebody or something that is recorded again and again, or that of an id, or
2. it holds categories, many of them, and rows of one value nearly always have the same answer
   (classes), or answers that hardly differ: intraclass correlation (Shrout and Fleiss 1979).

What this cannot show: rows that belong together and have no column that says so; and whether the
rows of a value are of one thing, which a person has to say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gobelin.core.numbering import numbered
from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target, set_kind
from gobelin.data.values.spelling import spelled
from gobelin.embedding.columns.roles import PLAIN_ID
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import wilson
from gobelin.quality.shortcuts import WORD

# words in the names of columns that say of whom or of what a row is
OWNERS = frozenset(
    "patient subject participant person proband speaker singer donor animal customer client user"
    " household specimen individual pid".split()
)
LEAST_VALUES = 10  # with two training rows or more
SAME, ABOVE_CHANCE = 0.9, 0.2  # values whose rows have one answer
ALIKE = 0.9  # intraclass correlation of a number
CODES = ("category", "unknown")  # kinds of values whose answers are looked at
READ = (*CODES, "number", "text")  # and those that can name something


def belonging(dataset: Dataset, schema: Schema, target: Target, parts: np.ndarray) -> list[Finding]:
    """Findings: columns that may be the group of the rows; none where a column has that role.

    parts: str [N]. Answers of training rows alone are read. The value is the count of validation
    and test rows that share the column's value with a training row.
    """
    if schema.role("group") or schema.role("split"):
        return []
    train = np.flatnonzero(parts == "train").tolist()
    judged = np.flatnonzero(np.isin(parts, ("valid", "test"))).tolist()
    findings = []
    for column in schema.columns:
        if column.role not in ("cell", "id") or column.kind not in READ:
            continue
        owner = _names_owner(column.name)
        if not owner and column.kind not in CODES:
            continue
        cells = dataset.values(column.name)
        values = {k: spelled(cells[k]) for k in (*train, *judged) if cells[k] is not None}
        seen = {values[k] for k in train if k in values}
        shared = [k for k in judged if values.get(k) in seen]
        if not shared:
            continue
        labelled = [k for k in train if target.present[k] and k in values]
        why = "by its name" if owner and len(set(values.values())) >= LEAST_VALUES else ""
        if not why and column.kind in CODES:
            codes = [values[k] for k in labelled]
            why = _by_answer(codes, target, np.array(labelled, int))
        if why:
            findings.append(_finding(column.name, why, len(shared), len(judged)))
    return findings


def _names_owner(name: str) -> bool:
    """Whether a column's name is that of somebody or something that is recorded again and again, or
    that of an id: repeated, it names something else than the row."""
    words = {word.lower() for word in WORD.findall(name)}
    words |= {word[:-2] for word in words if word.endswith("id")}
    return bool(OWNERS & words) or name.lower() in PLAIN_ID


def _by_answer(values: Sequence[str], target: Target, rows: np.ndarray) -> str:
    """Why a column may be the group, by the answers of these rows; '' where they don't say so."""
    place = numbered(values)
    size = np.bincount(place)
    several = int((size > 1).sum())
    if several < LEAST_VALUES or not (target.exclusive or target.kind == "number"):
        return ""
    answer = target.values[rows]
    if target.kind == "number":
        return _by_number(answer.astype(float), place, size)
    counts = np.zeros((len(size), len(target.classes)), int)
    np.add.at(counts, (place, answer), 1)
    same = int(((counts.max(1) == size) & (size > 1)).sum())
    shares = counts.sum(0) / len(rows)
    chance = float(np.mean([(shares**k).sum() for k in size[size > 1]]))
    if same / several < SAME or wilson(same, several).low < chance + ABOVE_CHANCE:
        return ""
    return f"{same} of {several} values with several training rows have one class each"


def _by_number(answer: np.ndarray, place: np.ndarray, size: np.ndarray) -> str:
    """By the intraclass correlation ICC(1) of the answers, float64 [n], of values of several rows.

    place: int [n], the value of each row. size: int [V], rows of each value."""
    rows, groups = size[place] > 1, int((size > 1).sum())
    answer, place = answer[rows], np.unique(place[rows], return_inverse=True)[1]
    many = np.bincount(place)
    means = np.bincount(place, answer) / many
    inside = float(((answer - means[place]) ** 2).sum()) / (len(answer) - groups)
    between = float((many * (means - answer.mean()) ** 2).sum()) / (groups - 1)
    usual = (len(answer) - float((many**2).sum()) / len(answer)) / (groups - 1)
    alike = (between - inside) / ((between + (usual - 1) * inside) or 1.0)
    return f"answers of one value hardly differ (intraclass correlation {alike:.2f})" * (
        alike >= ALIKE
    )


def _finding(column: str, why: str, shared: int, judged: int) -> Finding:
    return Finding(
        name="belong_together",
        scope={"column": column},
        value=float(shared),
        n=judged,
        better="lower",
        note=(
            f"{shared} of {judged} validation and test rows share their {column} with a training"
            f" row ({why}). If it says which rows belong together, as those of a patient do, keep"
            f" these in one part, or scores are too good: {set_kind(column, 'group')}"
        ),
        source="check",
    )
