"""Fits the shared space on training rows; held-back ones choose between its forms: closed form or
trained maps, each without bridges and with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from gobelin.core.errors import GobelinError
from gobelin.core.machine import Progress, Runtime, numpy_generator, silent
from gobelin.embedding.alignment import contrastive_training
from gobelin.embedding.alignment.align import CLOSED_FORM, CONTRASTIVE, Align, Alignment
from gobelin.embedding.alignment.bridges import Bridge, best_strength, bridged, centred
from gobelin.embedding.alignment.closed_form import JUDGED_ROWS, ClosedForm
from gobelin.embedding.alignment.contrastive_training import LEAST_GAIN, WORST_LOSS
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
    strong = _strengths(turns, bridges, bases[0], train, group, held_back)
    forms, steps = [turns[0]], 0
    if settings.steps:
        trained, steps = contrastive_training.trained(
            turns[0], train, held_back[0], group, runtime, progress
        )
        forms += [trained] if steps else []
    if strong:
        forms = [_with(forms[0], strong), *forms, *(_with(form, strong) for form in forms[1:])]
    best = better(forms, train, held_back[0], group)
    # The form, its penalties, bridges and steps are chosen: now it learns from held-back rows, too.
    every = closed.products(train.present)
    joint = closed.joints(every, settings.shrinkage, settings.power)
    last = replace(turns[0], maps=closed.maps(every[0], joint, ridges))
    if best.trained_by == CONTRASTIVE:
        nothing = np.zeros(len(train), bool)
        last, _ = contrastive_training.trained(
            last, train, nothing, group, runtime, progress, steps
        )
    return replace(best, maps=last.maps)


def _strengths(
    turns: Sequence[Alignment],
    bridges: Sequence[Bridge],
    bases: Mapping[str, Basis],
    train: Embeddings,
    group: np.ndarray,
    held_back: Sequence[np.ndarray],
) -> list[tuple[Bridge, float]]:
    """The bridges by which held-back rows gain, and how strong each is.

    turns: the closed form of each turn. bases: of the features as they are."""
    kept: list[tuple[Bridge, float]] = []
    for bridge in bridges:
        if not train.enough(train.present[:, train.fields.index(bridge.to)]):
            continue  # the mean of its texts would tell of each
        bridge = centred(bridge, bases[bridge.to].mean)
        before = [_with(turn, kept) for turn in turns]
        strength = best_strength(before, bridge, train, group, held_back[: len(turns)])
        kept += [(bridge, strength)] if strength else []
    return kept


def _with(alignment: Alignment, bridges: Sequence[tuple[Bridge, float]]) -> Alignment:
    for bridge, strength in bridges:
        alignment = bridged(alignment, bridge, strength)
    return alignment


def better(
    forms: Sequence[Alignment], train: Embeddings, held_back: np.ndarray, groups: np.ndarray
) -> Alignment:
    """The form that retrieves held-back rows best, among the first one and those trained ones in
    which no pair of fields pays for the others (`contrastive_training.WORST_LOSS`). The scores of
    all go with it, `Alignment.compared`.

    forms: of one space, which did not learn from the rows of held_back, bool [N]; the first is the
    better closed form, as more rows than these have shown (`bridges.best_strength`). groups: int
    [N]."""
    if len(forms) < 2:
        return forms[0]
    rows = np.flatnonzero(held_back)[:JUDGED_ROWS]
    judged = train.rows(rows)
    scores: list[np.ndarray] = []  # float64 [ordered pairs of fields] each
    for form in forms:
        z = torch.from_numpy(form.project(judged).vectors).unbind(1)  # F tensors [n, D]
        present = torch.from_numpy(judged.present)
        scores.append(contrastive_training.retrieval(z, present, groups[rows]))
    means = [float(score.mean()) if len(score) else 0.0 for score in scores]
    fair = [
        k
        for k, score in enumerate(scores)
        if forms[k].trained_by != CLOSED_FORM
        and means[k] > means[0] + LEAST_GAIN
        and (score - scores[0]).min() > -WORST_LOSS
    ]
    best = max(fair, key=lambda k: means[k], default=0)
    compared = [(form.form, float(np.exp(mean))) for form, mean in zip(forms, means, strict=True)]
    return replace(forms[best], compared=tuple(compared))


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
