"""The cells of the table that generated rows keep from their parents, for the attacks on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gobelin.data.values.numbers import number
from gobelin.privacy.attribute_attacks import AttackedCells, Columns
from gobelin.workbench.augment.generated_images import GeneratedImages
from gobelin.workbench.run.chain import Run

NAMES = ("category", "date")  # kinds of columns whose cells are equal or not


def cells_of(run: Run, images: GeneratedImages) -> Callable[[], AttackedCells]:
    """Numbers, categories and dates of training rows, validation rows and the rows of these images.
    Ids and groups are left out. Rows without an image are left out, as in the other attacks.
    """

    def cells() -> AttackedCells:
        train, valid = (run.generator.with_image(part) for part in ("train", "valid"))
        return AttackedCells(*(_columns(run, rows) for rows in (train, valid, images.parents.rows)))

    return cells


def _columns(run: Run, rows: np.ndarray) -> Columns:
    """{column: cells of these rows}. rows: int64 [n]."""
    dataset, out = run.checked.rows.dataset, {}
    for column in run.data.schema.columns:
        if column.role in ("id", "group") or column.kind not in ("number", *NAMES):
            continue
        values = dataset.values(column.name)
        chosen = [values[row] for row in rows]
        if column.kind == "number":
            numbers = [number(value) for value in chosen]
            out[column.name] = np.array([np.nan if v is None else v for v in numbers], float)
        else:
            out[column.name] = np.array(["" if v is None else str(v) for v in chosen], dtype=str)
    return out
