"""Which made rows helped and which hurt: how far steps of training on a made row would lower the loss on validation rows.

To first order a step on row z changes the loss on the others by the product of the two gradients at the same weights; summed
over points of training that is TracIn (Pruthi et al. 2020, equation 1 and section 3.2). The head is linear and sees all fields
side by side; it is trained on the real rows by plain gradient descent, and the first STEPS points count. Late points say
little: there the validation gradient is mostly "be less sure", which favours wrong labels (docs/log.md). Under cross-entropy
a row's gradient is x (p - y)^T, under squared error x (answer - y), so all products at a point come from one [D, C] matrix.

What this cannot show: what leaving the row out and training again would do; it is a sum of first steps, of a linear head, and
rows act together. A row with little influence may matter beside others. It is exploratory and never part of the verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from gobelin.data.fields import Target
from gobelin.embedding import Embeddings

STEPS = 10


@dataclass(frozen=True)
class Seen:
    """Rows as the head sees them. x [n, D]; truth [n, C], of classes 1 or 0, of a number itself in deviations; share [n]: what
    each row counts."""

    x: np.ndarray
    truth: np.ndarray
    share: np.ndarray

    def gradient(self, answers: np.ndarray) -> np.ndarray:
        """[D, C]: of the loss, averaged over the rows."""
        return self.x.T @ ((answers - self.truth) * (self.share / self.share.sum())[:, None])


def influence(train: Seen, valid: Seen, made: Seen, numeric: bool) -> np.ndarray:
    """float64 [M]: positive = training on this made row lowers the loss on the validation rows."""
    answer: Callable[[np.ndarray], np.ndarray] = (lambda z: z) if numeric else (lambda z: softmax(z, axis=1))
    rate = (1 if numeric else 2) / max(float((train.x**2).sum(1).mean()), 1e-12)  # never above 2 over the largest curvature
    head, out = np.zeros((train.x.shape[1], train.truth.shape[1])), np.zeros(len(made.x))
    for _ in range(STEPS):
        own = answer(made.x @ head) - made.truth
        out += rate * (own * (made.x @ valid.gradient(answer(valid.x @ head)))).sum(1)
        head -= rate * train.gradient(answer(train.x @ head))
    return out


def seen(
    rows: Embeddings, target: Target, share: np.ndarray, like: Embeddings, centre: float = 0.0, scale: float = 1.0
) -> Seen:
    """The rows of `rows`, whose answers are `target`. Fields stand side by side, centred and scaled by the rows `like` so that
    each weighs the same, what is absent at 0, then which are there, then 1. centre, scale: of a number's answers."""
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
