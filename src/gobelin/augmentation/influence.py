"""Which generated rows helped and which hurt: how much would training on a generated row lower the
loss on validation rows?

To first order that is g_v^T H^-1 g_z: the gradient of the validation rows times the gradient of the
generated row, through the curvature H (Koh & Liang 2017, equation 2; without H it is TracIn, Pruthi
et al. 2020, equation 1). The head is linear, and its input is all fields side by side. Gradients
are taken before training, where all classes are equally likely. After training the validation
gradient mostly asks for less confidence, which favours wrong labels (docs/log.md has the figures).
H is the second moment of the real rows plus DAMPING times its mean eigenvalue. The gradient of a
row is x (p - y)^T, or x (answer - y) for a number, so all products come from one [D, C] matrix.

What this cannot show: the effect of leaving the row out and training again. It is a first step of a
linear head, and rows act together: a row with little influence may matter beside others. Influence
is exploratory and never part of the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings

DAMPING = 1.0  # in mean eigenvalues of the second moment


@dataclass(frozen=True)
class HeadInputs:
    """n rows as the linear head reads them."""

    x: np.ndarray  # float64 [n, D], all fields side by side
    truth: np.ndarray  # [n, C]: 1 or 0 for classes; [n, 1]: a number, in standard deviations
    share: np.ndarray  # float [n], the weight of each row


def influence(
    train: HeadInputs, valid: HeadInputs, generated: HeadInputs, numeric: bool
) -> np.ndarray:
    """float64 [M]: positive where training on this generated row lowers the validation loss.

    train: the real training rows. numeric: whether the target is a number.
    """
    # the head's answer before training: 0 for a number, else every class equally likely
    start = 0.0 if numeric else 1 / train.truth.shape[1]
    moment = train.x.T @ train.x / len(train.x)
    curvature = moment + DAMPING * np.trace(moment) / len(moment) * np.eye(len(moment))
    share = valid.share.astype(np.float64)[:, None] / valid.share.sum(dtype=np.float64)
    pull = np.linalg.solve(curvature, valid.x.T @ ((start - valid.truth) * share))  # [D, C]
    return ((start - generated.truth) * (generated.x @ pull)).sum(1)


def head_inputs(
    rows: Embeddings,
    target: Target,
    share: np.ndarray,
    like: Embeddings,
    centre: float = 0.0,
    scale: float = 1.0,
) -> HeadInputs:
    """Rows of features as the head reads them.

    target: the answers of `rows`. share: float [n], the weight of each row. like: the rows that
    every field is centred and scaled by, so that all fields weigh the same. centre, scale: mean and
    spread of the answers where the target is a number. A row of x has the fields side by side (0
    where a field is absent), then a 1 or 0 for each field's presence, then 1.
    """
    parts = []
    for k, field in enumerate(rows.fields):
        known = like.features[field][like.present[:, k]]
        middle = known.mean(0) if len(known) else np.zeros(like.features[field].shape[1])
        spread = float(np.sqrt(known.var(0).sum())) if len(known) else 1.0
        parts.append((rows.features[field] - middle) / max(spread, 1e-9) * rows.present[:, k, None])
    x = np.concatenate([*parts, rows.present, np.ones((len(rows), 1))], 1).astype(np.float64)
    if target.kind == "number":
        return HeadInputs(x, (target.values[:, None] - centre) / scale, share)
    return HeadInputs(x, np.eye(len(target.classes))[target.values], share)
