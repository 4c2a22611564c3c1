"""What a saved run tells of rows whose answer few groups have.

A head's weights for a class are a weighted sum of the features of its rows, less those of all
others. Of a class that one row has, they are nearly the features of that row. So are those of a
number, where one answer lies far from all others. No rounding helps: a head that knew nothing of
such rows could not name the class. So it is told.

What this cannot show: what else the weights have memorised.
"""

from __future__ import annotations

import numpy as np

from gobelin.core.printable import printable
from gobelin.data.coarse import group_means
from gobelin.data.fields import Target
from gobelin.workbench.run.chain import Run

MOST_SHARE = 0.9  # of the squared distances from the mean that some groups of a number may have
MOST_NAMED = 3
REMEDY = (
    "Before you give the folder away, leave such rows out, join classes, or ask whom they show."
)


def of_run(run: Run, least: int | None) -> str:
    """One sentence, '' where there is nothing to tell. Of the rows that the saved predictor learned
    from. least: `data.least_groups`."""
    rows, fitted = run.checked.rows, run.delivered.rows
    group = np.unique(np.array([rows.groups[r] for r in fitted]), return_inverse=True)[1]
    return rare_answers(rows.target.rows(fitted), group, least or 1)


def rare_answers(target: Target, group: np.ndarray, least: int) -> str:
    """The same of these rows. group: int [n]."""
    if least == 1 or not len(group):
        return ""
    if target.kind == "number":
        means = group_means(target.values[:, None], group)[:, 0]
        far = np.sort((means - means.mean()) ** 2)[::-1]
        if far[: least - 1].sum() <= MOST_SHARE * far.sum():
            return ""
        return (
            f"The answers of fewer than {least} groups lie far from all others, so the weights of"
            " a head are nearly the features of these groups."
        )
    have = target.values == 1
    if target.exclusive:
        have = target.values[:, None] == np.arange(len(target.classes))
    counts = np.array([len(np.unique(group[column])) for column in have.T])
    rare = np.flatnonzero((counts > 0) & (counts < least))
    if not len(rare):
        return ""
    names = [printable(repr(target.classes[k])) for k in rare[:MOST_NAMED]]
    more = [f"{len(rare) - MOST_NAMED} more"] * (len(rare) > MOST_NAMED)
    what = "labels" if target.kind == "labels" else "classes"
    return (
        f"{len(rare)} of {len(counts)} {what} have fewer than {least} groups"
        f" ({', '.join([*names, *more])}), so the weights of a head for them are nearly the"
        " features of these groups."
    )
