"""Bridges: a field whose encoder names classes is tied to a field of text by the names' vectors.

The encoder's softmax over K class names mixes the names' text features. The vector of that mixture
is added to the field's own vector, with a strength that held-back rows choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from gobelin.embedding.alignment.align import Alignment, FittedBridge
from gobelin.embedding.alignment.closed_form import JUDGED_ROWS, reciprocal_ranks
from gobelin.embedding.features import Embeddings
from gobelin.evidence import intervals

BRIDGE_STRENGTHS = (0.0, 0.125, 0.25, 0.5)  # held-back rows choose one; 0 is no bridge


@dataclass(frozen=True)
class Bridge:
    """A field whose encoder names K classes, and the field of text that reads the names.

    weight: float32 [D_f, K], bias: float32 [K], of the class logits. words: float32 [K, D_t], the
    names' features by the encoder of the field of text `to`."""

    field: str
    to: str
    weight: np.ndarray
    bias: np.ndarray
    words: np.ndarray


def centred(bridge: Bridge, mean: np.ndarray) -> Bridge:
    """The bridge with the names' mean moved to that of the training texts, [D_t], so that only the
    differences between names count. mean: as it is saved anyhow (`correlation.principal`): every
    group counts once, and it is rounded."""
    return replace(bridge, words=bridge.words - bridge.words.mean(0) + mean)


def bridged(alignment: Alignment, bridge: Bridge, strength: float) -> Alignment:
    """`alignment` with one more bridge of this strength."""
    sharpness = alignment.settings.sharpness
    fitted = FittedBridge(
        bridge.field,
        bridge.to,
        strength,
        np.ascontiguousarray(bridge.weight * sharpness, np.float32),
        np.ascontiguousarray(bridge.bias * sharpness, np.float32),
        np.ascontiguousarray(bridge.words, np.float32),
    )
    return replace(alignment, bridges=(*alignment.bridges, fitted))


def best_strength(
    alignments: Sequence[Alignment],
    bridge: Bridge,
    train: Embeddings,
    groups: np.ndarray,
    held_back: Sequence[np.ndarray],
) -> float:
    """The strength of a bridge that retrieves held-back rows best, in both directions; 0 where the
    confidence interval of its gain over no bridge holds 0.

    alignments: one a turn, each fitted without the rows of held_back (bool [N]) of that turn.
    groups: int [N]; groups are the units of the interval."""
    a, b = (train.fields.index(f) for f in (bridge.field, bridge.to))
    scores: list[list[np.ndarray]] = [[] for _ in BRIDGE_STRENGTHS]
    units: list[np.ndarray] = []
    for alignment, held in zip(alignments, held_back, strict=True):
        rows = np.flatnonzero(held & train.present[:, a] & train.present[:, b])[:JUDGED_ROWS]
        units.append(groups[rows])
        for k, strength in enumerate(BRIDGE_STRENGTHS):
            shared = bridged(alignment, bridge, strength).project(train.rows(rows))
            z = torch.from_numpy(shared.vectors)  # [n, F, D]
            cosines = z[:, a] @ z[:, b].T  # [n, n]
            forth = reciprocal_ranks(cosines, groups[rows])
            back = reciprocal_ranks(cosines.T, groups[rows])
            scores[k].append((forth + back).numpy())
    table = np.array([np.concatenate(turns) for turns in scores])  # [strengths, n of all turns]
    if table.shape[1] < 2:
        return 0.0
    best = int(table.mean(1).argmax())
    # The best of several strengths is compared with none: Bonferroni over those above 0.
    level = 1 - 0.05 / (len(BRIDGE_STRENGTHS) - 1)
    gain = intervals.mean(table[best] - table[0], np.concatenate(units), level)
    return BRIDGE_STRENGTHS[best] if gain.low > 0 else 0.0
