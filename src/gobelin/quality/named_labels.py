"""Texts that name the labels of their row: the label may have been read from the text.

Of several labels a row. A text names a label where it has all words of the label's name. Where many
rows with the label have texts that name it, and hardly any other row, the text holds the answer.

What this cannot show: a text that gives a label away in other words, or a text that was written
without knowing the label. A person has to say that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from gobelin.data.dataset import Dataset
from gobelin.data.fields import Schema, Target
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import wilson
from gobelin.quality.giveaways import leave_out_option

LEAST_ROWS = 10  # with the label and a text, and without the label
LEAST_NAMED = (
    0.25  # share of the rows with the label whose texts name it: lower end of its interval
)
MOST_OTHERS = 0.05  # share of the other rows whose texts name it
NAMED = 3  # labels in the note
WORD = re.compile(r"\w+")


def named_labels(
    dataset: Dataset, schema: Schema, target: Target, rows: np.ndarray, left_out: Sequence[str]
) -> list[Finding]:
    """One finding for each text column that names labels: of the label that it names most often,
    the share of its rows that name it. chance: the share of the other rows.

    rows: numbers of the training rows, the only ones that are read. left_out: fields and columns
    that prediction does not use.
    """
    if target.kind != "labels":
        return []
    rows = rows[target.present[rows]]
    names = [words(name) for name in target.classes]
    findings = []
    for field in (field for field in schema.fields if field.kind == "text"):
        for column in field.columns:
            cells = dataset.values(column)
            has = np.array([r for r in rows if cells[r] is not None], dtype=np.int64)
            texts = [words(cells[r]) for r in has]
            named = np.array([[name <= text for name in names] for text in texts], dtype=bool)
            used = not {column, field.name} & set(left_out)
            if found := _found(column, target, has, named, used):
                findings.append(found)
    return findings


def words(text: object) -> frozenset[str]:
    """The words of a text or of a list of texts, in small letters; a plural in -s counts as its
    singular."""
    whole = " ".join(map(str, text)) if isinstance(text, list) else str(text)
    return frozenset(w.removesuffix("s") or w for w in WORD.findall(whole.casefold()))


def _found(
    column: str, target: Target, rows: np.ndarray, named: np.ndarray, used: bool
) -> Finding | None:
    """The finding of a column; None where no label is named. rows: int [n]. named: bool [n, C].
    used: whether prediction uses the column."""
    shares = []
    for c, name in enumerate(target.classes):
        held = target.values[rows, c] == 1
        if min(int(held.sum()), int((~held).sum())) < LEAST_ROWS or not words(name):
            continue
        share = wilson(float(named[held, c].sum()), int(held.sum()))
        others = float(named[~held, c].mean())
        if share.low >= LEAST_NAMED and others <= MOST_OTHERS:
            shares.append((share, others, name))
    if not shares:
        return None
    shares.sort(key=lambda one: -one[0].value)
    listed = ", ".join(
        f"{name!r} ({100 * share.value:.0f} %, in other rows {100 * others:.1f} %)"
        for share, others, name in shares[:NAMED]
    )
    first = shares[0]
    more = f" and {len(shares) - NAMED} more" if len(shares) > NAMED else ""
    return first[0].finding(
        "names_labels",
        scope={"column": column},
        unit="share",
        chance=first[1],
        source="check",
        note=(
            f"the texts of {column} name {len(shares)} of {len(target.classes)} labels of their"
            f" rows: {listed}{more}. "
            + (
                f"Were they written before the label? If not, leave them out:"
                f" {leave_out_option(column)}"
                if used
                else "They are left out of prediction"
            )
        ),
    )
