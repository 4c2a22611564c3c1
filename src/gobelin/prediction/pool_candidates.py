"""The heads that `pool_choice` compares: a function of the fields and the target, never of time.

On all fields: a linear head, a linear network that learned with fields hidden, curved heads (random
features of a kernel, wide and narrow), a forest, boosted trees, small and large. Linear heads
without each field and on each field alone. Of ordered classes, heads of proportional odds too, and
on some fields in place of linear ones. Of numbers above 0, a regression of their logarithm.
"""

from __future__ import annotations

from typing import Literal

from gobelin.data.fields import Target
from gobelin.embedding.features import Embeddings
from gobelin.prediction.heads import logarithm
from gobelin.prediction.heads.members import Member

MOST_FIELDS = 12  # of which each has heads of its own
MOST_CLASSES_BOOSTED = 12  # one tree a round and class
MOST_CLASSES_DEEP = 4  # for larger trees, which take several times as long
MOST_ROUNDS, MOST_TREES = 60, 360  # of boosting: rounds, and trees of all classes together
ROUNDS_OF_NUMBERS = 150  # of larger trees


def candidates(embeddings: Embeddings, target: Target, preset: str = "good") -> list[Member]:
    """The heads to compare. A field that no row has is no reason for a head.

    target: of the rows to compare on, which all have one. preset: 'quick' compares those on all
    fields, without boosting; 'best' larger trees too."""
    fields = [f for k, f in enumerate(embeddings.fields) if embeddings.present[:, k].any()]
    spoken = bool(embeddings.words)
    out = [Member(), Member("dropout")]
    if spoken:
        out.append(Member(words=True))
    # of ordered classes one direction tells more, on few fields, than one for each
    line: Literal["linear", "ordered"] = "ordered" if target.kind == "ordinal" else "linear"
    if line == "ordered":
        out += [Member(line)] + [Member(line, words=True)] * spoken
    out.append(Member("kernel"))
    if target.kind == "number" and logarithm.suits(target.values):
        out.append(Member("logarithm", words=spoken))
    if preset == "quick":
        return [*out, Member("forest", trees=100, words=spoken)]
    out.append(Member("near"))
    if 1 < len(fields) <= MOST_FIELDS:
        if len(fields) > 2:
            out += [Member(line, tuple(f for f in fields if f != one)) for one in fields]
        out += [Member(line, (one,)) for one in fields]
        out += [Member(line, (one,), words=True) for one in embeddings.words]
    out.append(Member("forest", trees=100, words=spoken))
    few = target.kind == "number" or len(target.classes) <= MOST_CLASSES_BOOSTED
    if few:
        rounds = min(MOST_ROUNDS, MOST_TREES // max(len(target.classes), 1))
        out.append(Member("boosted", trees=rounds, words=spoken))
        if target.kind == "number":
            out.append(Member("deep", trees=ROUNDS_OF_NUMBERS, words=spoken))
        elif len(target.classes) <= MOST_CLASSES_DEEP or preset == "best":
            out.append(Member("deep", trees=rounds, words=spoken))
    if preset == "best":
        out.append(Member("forest", trees=500, words=spoken))
        out += [Member("boosted", trees=200, words=spoken)] if few else []
    return out
