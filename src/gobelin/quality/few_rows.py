"""A caution where classes have few training rows.

What this cannot show: that more rows are enough. It counts them, and knows nothing of how alike the
classes are.
"""

from __future__ import annotations

import numpy as np

from gobelin.data.fields import Target
from gobelin.prediction.cross_fit import LEAST_LABELLED_ROWS

FEW_ROWS = 10  # training rows of a class below which nothing about it can be relied on
FEW_NOTE = f"few: with fewer than {FEW_ROWS} training rows, don't rely on this class"


def few_rows(target: Target, parts: np.ndarray) -> str:
    """One line where classes have fewer than `FEW_ROWS` training rows; '' else. parts: str [N]."""
    if not target.classes:
        return ""
    train = target.counts(np.flatnonzero((parts == "train") & target.present))
    few = [int(count) for count in train if count < FEW_ROWS]
    if not few:
        return ""
    each = f"{min(few)} to {max(few)}" if min(few) < max(few) else f"{few[0]}"
    what = "labels" if target.kind == "labels" else "classes"
    return (
        f"{target.name}: {len(few)} of {len(train)} {what} have fewer than {FEW_ROWS} training"
        f" rows ({each}). Their scores are rough, and a model may learn such rows by heart: add"
        f" rows, or join {what}."
    )


def too_few(target: Target, parts: np.ndarray) -> str:
    """One line where fewer labelled training rows are left than `fit` needs; '' else. parts: str
    [N]."""
    if not len(target.values):
        return ""
    labelled = int(target.present.sum())
    training = int((target.present & (parts == "train")).sum())
    if training >= LEAST_LABELLED_ROWS:
        return ""
    share = int(50 * (1 - (LEAST_LABELLED_ROWS + 2) / max(labelled, 1))) / 100
    other = f", or divide them otherwise: --set split.valid={share} --set split.test={share}"
    return (
        f"{target.name}: {training} of {labelled} labelled rows are training rows, at least"
        f" {LEAST_LABELLED_ROWS} are needed to fit. Add labels{other if share >= 0.1 else ''}."
    )
