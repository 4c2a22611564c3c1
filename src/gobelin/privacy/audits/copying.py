"""Are made images copies of training images, also where they are mirrored, cropped, blurred,
recoloured or partly covered?

Each image is looked at in several ways: in pixels, how much of it its best training image leaves
unexplained once that is moved and recoloured to fit (`registration`); in feature spaces, how far
its nearest training image is. Each is divided by the same figure for held-out images (after the
three-sample test of Meehan, Chaudhuri & Dasgupta 2020): near 0 for a copy, around 1 for a new
image. The smallest counts over all ways, in units of the spread among real held-out images; those,
judged in the same way against the held-out images of all other groups, set the limit by their rank,
so a real image of a new group is called a copy at the stated rate at most (conformal: Vovk,
Gammerman & Shafer 2005), however many ways there are.

What this cannot show: that nothing was memorised. A redrawn copy, a crop of less than two thirds or
one person's face in another picture can be far in every way. Where real images often resemble each
other (a clock at one and at two), copies hide among them; the shares of planted copies that were
caught say how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from gobelin.core.config import within
from gobelin.core.neighbours import nearest
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, wilson
from gobelin.privacy.audits import Material, Result
from gobelin.privacy.registration import Fit, fits

LEAST = 1e-12
LEVEL = 0.95


@dataclass(frozen=True)
class Copying:
    """false_alarms: the share of new real images that may be called copies."""

    false_alarms: float = 0.02

    def __post_init__(self) -> None:
        within(self, {"false_alarms": (0, 0.5)})

    def run(self, material: Material) -> Result:
        material.check("copying")
        parts = {"": material.holdout, **material.planted, "made": material.made}
        sizes = [len(part) for part in parts.values()]
        score, row, way = self._scores(material, list(parts.values()))
        of = dict(zip(parts, np.split(score, np.cumsum(sizes)[:-1]), strict=True))
        m = len(material.holdout)
        rank = max(1, int(self.false_alarms * (m + 1)))
        limit = np.sort(of[""])[rank - 1]
        made = slice(len(score) - len(material.made), None)
        rows = tuple(
            {
                "made": i,
                "nearest": material.train_ids[int(r)],
                "ratio": float(np.exp(s - limit)),
                "seen": str(w),
                "flagged": bool(s < limit),
            }
            for i, r, s, w in zip(material.made_ids, row[made], score[made], way[made], strict=True)
        )
        planted = {kind: of[kind] < limit for kind in material.planted}
        return Result(_findings(planted, of["made"] < limit, rank, m), rows)

    def _scores(
        self, material: Material, parts: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all images, the held-out ones first, the smallest score over all ways, [n], the
        training row, [n], and the way."""
        m, scores, rows = len(material.holdout), [], []
        ways = _pairs(material, parts)
        for to_train, to_holdout in ways.values():
            log = np.log(
                np.maximum(to_train.distance, LEAST) / np.maximum(to_holdout.distance, LEAST)
            )
            middle, low = np.quantile(log[:m], [0.5, max(self.false_alarms, 1 / (m + 1))])
            scores.append((log - middle) / max(middle - low, LEAST))
            rows.append(to_train.row)
        best = np.argmin(scores, axis=0)
        every = np.arange(len(best))
        return (
            np.array(scores)[best, every],
            np.array(rows)[best, every],
            np.array(list(ways))[best],
        )


def _pairs(material: Material, parts: list[np.ndarray]) -> dict[str, tuple[Fit, Fit]]:
    """For each way of looking, the fits of all images to the training and to the held-out
    images."""
    everything = np.concatenate(parts)
    groups = (
        np.unique(material.groups, return_inverse=True)[1]
        if material.groups
        else np.arange(len(material.holdout))
    )
    train, holdout = fits(everything, material.train), fits(everything, material.holdout, groups)
    out = {way: (train[way], holdout[way]) for way in train}
    for name, space in material.spaces.items():
        seen, held = [space(part) for part in parts if len(part)], space(material.holdout)
        others = np.concatenate([*seen[1:], held[:0]])
        own, rest = nearest(held, held, groups), nearest(others, held)
        to_holdout = (np.concatenate(pair) for pair in zip(own, rest, strict=True))
        out[name] = Fit(*nearest(np.concatenate(seen), space(material.train))), Fit(*to_holdout)
    return out


def _findings(
    planted: Mapping[str, np.ndarray], made: np.ndarray, rank: int, m: int
) -> tuple[Finding, ...]:
    """planted, made: which of them were called copies. rank: how many of the m held-out images and
    a new one may be."""
    low, high = (
        float(special.betaincinv(rank, m + 1 - rank, side))
        for side in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    null = Interval(rank / (m + 1), low, high, LEVEL, "conformal, Vovk et al. 2005", m)
    caught = {kind: wilson(int(hits.sum()), len(hits)) for kind, hits in planted.items()}
    every = np.concatenate(list(planted.values()))
    whole = wilson(int(every.sum()), len(every))
    note = (
        "positive control: training images, changed; the rest of this audit means little where few"
        " are caught"
    )

    def control(one: Interval, scope: Mapping[str, str], note: str) -> Finding:
        return one.finding(
            "planted_copies_caught",
            scope=scope,
            unit="share",
            better="higher",
            chance=null.value,
            source="audit",
            note=note,
        )

    found = [
        control(whole, {}, note),
        *(control(one, {"change": kind}, "") for kind, one in caught.items()),
    ]
    said = "of real images that were never trained on, by the rank of the limit among held-out ones"
    found.append(
        null.finding("false_alarms", unit="share", better="lower", source="audit", note=said)
    )
    if len(made):
        hidden = [kind for kind, one in caught.items() if one.value < 0.5]
        found.append(_made(wilson(int(made.sum()), len(made)), null, whole, hidden))
    return tuple(found)


def _made(made: Interval, null: Interval, planted: Interval, hidden: list[str]) -> Finding:
    sure = planted.low >= 0.5 or made.low > null.high
    if not sure:
        word = "can't say: the planted copies were not caught"
    elif made.low > null.high:
        word = "copies training images"
    elif made.high <= null.high:
        word = "no more copies than among real images"
    else:
        word = "no evidence of copying"
    note = "share of made images that are nearer to a training image than real images are"
    if hidden:
        note += f"; copies that are {' or '.join(hidden)} would mostly go unseen here"
    found = made.finding(
        "copies", unit="share", better="lower", chance=null.value, source="audit", note=note
    )
    return replace(found, verdict=word, sure=sure)
