"""Adds fields to a shared space that stays as it is, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Runtime
from gobelin.embedding.alignment.align import Alignment
from gobelin.embedding.alignment.closed_form import JUDGED_ROWS, reciprocal_ranks
from gobelin.embedding.alignment.correlation import Basis
from gobelin.embedding.alignment.fitting import held_back_turns
from gobelin.embedding.alignment.projection import ProjectionPart, arrays, unit
from gobelin.embedding.features import Embeddings

RIDGES = (0.01, 0.1, 1.0)  # of a new field; held-back rows choose one


def bind(
    alignment: Alignment, train: Embeddings, groups: Sequence[str], runtime: Runtime
) -> Alignment:
    """The same space with the fields that it lacks.

    train: N rows with old and new fields. A new field learns by ridge regression, from its whitened
    components, the pooled vector of the row's old fields. Raises GobelinError where the rows lack
    an old field or bring no new one."""
    new = tuple(f for f in train.fields if f not in alignment.fields)
    old = train.keep(alignment.fields)
    if old.fields != alignment.fields or not new:
        raise GobelinError(
            f"align: the base space has the fields {', '.join(alignment.fields)}, these rows have"
            f" {', '.join(train.fields)}. Give rows with all of those and at least one more."
        )
    settings = alignment.settings
    held_back = held_back_turns(settings, groups, runtime)[0]
    train = replace(train, groups=tuple(groups))
    group = train.group_numbers
    # the old encoders' space: `train.space` names the new ones too
    goal = replace(alignment, space=old.space).project(old).pooled()  # [N, D]
    maps = dict(alignment.maps)
    for field in new:
        basis = Basis.fit(train, field, settings.components, settings.landmarks, runtime.seed)
        usable = train.present[:, train.fields.index(field)] & old.present.any(1)
        scale = basis.scale(settings.shrinkage).astype(np.float32)
        x = basis(train.features[field]) * scale  # [N, K]
        judged, learned = np.flatnonzero(usable & held_back)[:JUDGED_ROWS], usable & ~held_back
        scores = []
        for ridge in RIDGES:
            z = unit(x[judged] @ _ridge_regression(x[learned], goal[learned], ridge))
            cosines = torch.from_numpy(z @ goal[judged].T)
            ranks = reciprocal_ranks(cosines, group[judged])
            scores.append(float(ranks.mean()) if len(judged) else 0.0)
        best = RIDGES[int(np.argmax(scores))]
        last = scale[:, None] * _ridge_regression(x[usable], goal[usable], best)  # [K, D]
        maps[field] = arrays([ProjectionPart(basis, last)])
    in_order = {field: maps[field] for field in train.fields}
    return replace(alignment, maps=in_order, space=train.space)


def _ridge_regression(x: np.ndarray, goal: np.ndarray, ridge: float) -> np.ndarray:
    """float64 [K, D]: least squares of goal [n, D] on x [n, K] with a penalty of `ridge` times the
    mean square of a component (Hoerl & Kennard 1970)."""
    x = x.astype(np.float64)
    square = x.T @ x
    penalty = ridge * max(np.trace(square) / max(len(square), 1), 1e-12)
    return np.linalg.solve(square + penalty * np.eye(len(square)), x.T @ goal)
