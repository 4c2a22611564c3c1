"""Which made rows helped and which hurt: by how much training on a made row would lower the loss on
validation rows.

To first order that is g_v^T H^-1 g_z, the validation rows' gradient times the made row's own,
through the curvature (Koh & Liang 2017, equation 2; without H it is TracIn, Pruthi et al. 2020,
equation 1). The head is linear and sees all fields side by side. Gradients are taken before
training, where every class is as likely: at its end the validation gradient mostly says "be less
sure", which favours wrong labels (docs/log.md has the figures). H is the second moment of the real
rows plus DAMPING times its mean eigenvalue. A row's gradient is x (p - y)^T, or x (answer - y) for
a number: all products come from one [D, C] matrix.

What this cannot show: what leaving the row out and training again would do; it is a first step of a
linear head, and rows act together. A row with little influence may matter beside others. It is
exploratory and never part of the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings

DAMPING = 1.0


@dataclass(frozen=True)
class Seen:
    """Rows as the head sees them. x [n, D]; truth [n, C], of classes 1 or 0, of a number itself in
    deviations; share [n]: what each row counts."""

    x: np.ndarray
    truth: np.ndarray
    share: np.ndarray


def influence(train: Seen, valid: Seen, made: Seen, numeric: bool) -> np.ndarray:
    """float64 [M]: positive = training on this made row lowers the loss on the validation rows."""
    start = 0.0 if numeric else 1 / train.truth.shape[1]
    moment = train.x.T @ train.x / len(train.x)
    curvature = moment + DAMPING * np.trace(moment) / len(moment) * np.eye(len(moment))
    share = valid.share.astype(np.float64)[:, None] / valid.share.sum(dtype=np.float64)
    pull = np.linalg.solve(curvature, valid.x.T @ ((start - valid.truth) * share))  # [D, C]
    return ((start - made.truth) * (made.x @ pull)).sum(1)


def seen(
    rows: Embeddings,
    target: Target,
    share: np.ndarray,
    like: Embeddings,
    centre: float = 0.0,
    scale: float = 1.0,
) -> Seen:
    """The rows of `rows`, whose answers are `target`. Fields stand side by side, centred and scaled
    by the rows `like` so that each weighs the same, what is absent at 0, then which are there, then
    1. centre, scale: of a number's answers."""
    parts = []
    for k, field in enumerate(rows.fields):
        known = like.features[field][like.present[:, k]]
        middle = known.mean(0) if len(known) else np.zeros(like.features[field].shape[1])
        spread = float(np.sqrt(known.var(0).sum())) if len(known) else 1.0
        parts.append((rows.features[field] - middle) / max(spread, 1e-9) * rows.present[:, k, None])
    x = np.concatenate([*parts, rows.present, np.ones((len(rows), 1))], 1).astype(np.float64)
    if target.kind == "number":
        return Seen(x, (target.values[:, None] - centre) / scale, share)
    return Seen(x, np.eye(len(target.classes))[target.values], share)
