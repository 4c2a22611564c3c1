"""Fits the shared space on training rows; held-back ones choose between its forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, Runtime, numpy_generator, silent
from gobelin.embedding.alignment import contrastive_training
from gobelin.embedding.alignment.align import CLOSED_FORM, CONTRASTIVE, Align, Alignment
from gobelin.embedding.alignment.bridges import Bridge, best_strength, bridged, centred
from gobelin.embedding.alignment.closed_form import ClosedForm
from gobelin.embedding.alignment.correlation import Basis
from gobelin.embedding.features import Embeddings

TURNS = 4  # times that other rows are held back
MOST_ROWS_FOR_TURNS = 20_000  # above, one turn has rows enough


def fit_alignment(
    settings: Align,
    train: Embeddings,
    groups: Sequence[str],
    runtime: Runtime,
    progress: Progress = silent,
    bridges: Sequence[Bridge] = (),
) -> Alignment:
    """The shared space of training rows.

    groups: N names; rows of one group belong together and are held back together. bridges: those
    that may be added, where held-back rows gain by them. Raises GobelinError for fewer than two
    rows or no present field."""
    if len(train) < 2 or not train.present.any():
        raise GobelinError(
            f"align: {len(train)} training rows with something in them. At least 2 are needed."
        )
    held_back = held_back_turns(settings, groups, runtime)
    train = replace(train, groups=tuple(groups))
    group = train.group_numbers
    bases = [
        {f: Basis.fit(train, f, settings.components, count, runtime.seed) for f in train.fields}
        for count in ([0, settings.landmarks] if settings.landmarks else [0])
    ]
    closed = ClosedForm(train, bases, settings.joint, settings.pairs, settings.width)
    products = [closed.products(train.present & ~held[:, None]) for held in held_back]
    joints = [closed.joints(turn, settings.shrinkage, settings.power) for turn in products]
    ridges = closed.choose([turn[0] for turn in products], joints, held_back, group)
    # Bridges are judged in every turn, the contrastive training in the first one alone.
    turns = [
        Alignment(settings, closed.maps(turn[0], joint, ridges), train.space, CLOSED_FORM)
        for turn, joint in zip(products if bridges else products[:1], joints, strict=False)
    ]
    alignment = turns[0]
    if settings.steps:
        alignment = contrastive_training.trained(
            turns[0], train, held_back[0], group, runtime, progress
        )
    if alignment.trained_by == CONTRASTIVE:
        turns = [alignment]
    else:  # no training was stopped by the held-back rows, so the closed form may learn from them
        every = closed.products(train.present)
        joint = closed.joints(every, settings.shrinkage, settings.power)
        alignment = replace(alignment, maps=closed.maps(every[0], joint, ridges))
    for bridge in bridges:
        if not train.enough(train.present[:, train.fields.index(bridge.to)]):
            continue  # the mean of its texts would tell of each
        bridge = centred(bridge, bases[0][bridge.to].mean)
        strength = best_strength(turns, bridge, train, group, held_back[: len(turns)])
        if strength:
            alignment = bridged(alignment, bridge, strength)
            turns = [bridged(turn, bridge, strength) for turn in turns]
    return alignment


def held_back_turns(settings: Align, groups: Sequence[str], runtime: Runtime) -> list[np.ndarray]:
    """bool [N] for each turn: the rows that are held back in it, whole groups; one turn alone where
    rows are many."""
    names = sorted(set(groups))
    order = numpy_generator(runtime.seed, "align", "holdout").permutation(len(names))
    size = int(settings.holdout * len(names))
    enough = not size or len(groups) > MOST_ROWS_FOR_TURNS
    turns = 1 if enough else min(TURNS, len(names) // size)
    held = [{names[k] for k in order[t * size : (t + 1) * size]} for t in range(turns)]
    return [np.array([g in turn for g in groups]) for turn in held]
