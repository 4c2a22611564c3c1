"""Captions for rows without one, borrowed from the nearest row of another group.

What this cannot show: that a borrowed caption is true. It says how near it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gobelin.embedding.alignment.align import Shared


@dataclass(frozen=True)
class BorrowedCaption:
    """A caption for a row that has none.

    row, donor: row numbers in the dataset. cosine: of the row's other fields with the donor's
    caption. closeness: the share of captioned rows that are no nearer to the nearest caption of
    another group. It says how near a caption is, not whether it is true.
    """

    row: int
    donor: int
    cosine: float
    closeness: float


def borrowed_captions(
    shared: Shared, field: str, rows: np.ndarray, groups: Sequence[str]
) -> list[BorrowedCaption]:
    """For each of these rows without the field, but with another one, the donor: the row of another
    group whose value of the field is nearest to the row's fields together.

    field: name of the caption field. rows: int64 [n]. groups: [N], of all rows. Empty where fewer
    than two rows have the field.
    """
    column = shared.fields.index(field)
    without_field = shared.vectors.copy()
    without_field[:, column] = 0
    queries = replace(shared, vectors=without_field).pooled()
    candidates = rows[np.delete(shared.present[rows], column, 1).any(1)]
    has_field = shared.has(field)[candidates]
    captioned, uncaptioned = candidates[has_field], candidates[~has_field]
    pool = rows[shared.has(field)[rows]]
    if not len(captioned) or not len(uncaptioned) or len(pool) < 2:
        return []
    group = np.unique(np.asarray(groups), return_inverse=True)[1]

    def closest(which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The largest cosine to a caption of another group, and its row."""
        cosine, donor = np.zeros(len(which)), np.zeros(len(which), np.int64)
        for start in range(0, len(which), 1024):
            block = slice(start, start + 1024)
            some = which[block]
            other_group = group[some][:, None] != group[pool]
            cosines = np.where(other_group, queries[some] @ shared.of(field)[pool].T, -np.inf)
            cosine[block], donor[block] = cosines.max(1), pool[cosines.argmax(1)]
        return cosine, donor

    captioned_cosines = np.sort(closest(captioned)[0])
    cosine, donor = closest(uncaptioned)
    closeness = np.searchsorted(captioned_cosines, cosine, side="right") / len(captioned_cosines)
    pairs = zip(uncaptioned, donor, cosine, closeness, strict=True)
    return [
        BorrowedCaption(int(r), int(d), float(c), float(share))
        for r, d, c, share in pairs
        if c > -np.inf
    ]
