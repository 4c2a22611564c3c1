"""Looks for generated images that are copies of training images.

Mirrored, cropped, blurred, recoloured and partly covered copies are found too. Each image is
compared in several ways. In pixels: how much of it the best training image leaves unexplained,
after that is moved and recoloured to fit (`registration`). In feature spaces: the distance to its
nearest training image. Each value is divided by the same value for held-out images (after the
three-sample test of Meehan, Chaudhuri & Dasgupta 2020): near 0 for a copy, around 1 for a new
image. The smallest over all ways counts, in units of the spread among real held-out images. Those
are judged in the same way against the held-out images of all other groups, and their ranks set the
limit. So a real image of a new group is called a copy at most at the stated rate (conformal: Vovk,
Gammerman & Shafer 2005), with any number of ways.

What this cannot show: that nothing was memorised. A redrawn copy, a crop of less than two thirds or
one person's face in another image can be far in every way. If real images often resemble each other
(a clock at one and at two), copies hide among them. The shares of planted copies that were caught
measure this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import special

from gobelin.core.config import setting, settings_class
from gobelin.core.neighbours import nearest
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, wilson
from gobelin.privacy.audits import AuditInput, Result
from gobelin.privacy.registration import BestFit, fits

TINY = 1e-12  # keeps logarithms and quotients finite
LEVEL = 0.95  # of the interval of the rate of false alarms
CAUGHT_HALF = 0.5  # a kind of planted copy is missed if fewer are caught


@settings_class
class Copying:
    """Settings of the audit."""

    false_alarms: float = setting(
        default=0.02,
        ge=0,
        le=0.5,
        description="Share of new real images that may be called copies.",
    )

    def run(self, images: AuditInput) -> Result:
        """Raises GobelinError if training and held-out images are not exchangeable."""
        images.check("copying")
        parts = {"": images.holdout, **images.planted, "generated": images.generated}
        sizes = [len(part) for part in parts.values()]
        score, row, way = self._scores(images, list(parts.values()))
        of = dict(zip(parts, np.split(score, np.cumsum(sizes)[:-1]), strict=True))
        m = len(images.holdout)
        # With this rank, a new real image falls below the limit at most at the stated rate.
        rank = max(1, int(self.false_alarms * (m + 1)))
        limit = np.sort(of[""])[rank - 1]
        new = slice(len(score) - len(images.generated), None)
        rows = tuple(
            {
                "made": i,
                "nearest": images.train_ids[int(r)],
                "ratio": float(np.exp(s - limit)),
                "seen": str(w),
                "flagged": bool(s < limit),
            }
            for i, r, s, w in zip(images.generated_ids, row[new], score[new], way[new], strict=True)
        )
        planted = {kind: of[kind] < limit for kind in images.planted}
        return Result(_findings(planted, of["generated"] < limit, rank, m), rows)

    def _scores(
        self, images: AuditInput, parts: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For all images of all parts, held-out ones first: the smallest score over all ways,
        float [n], its training row, int [n], and its way, [n]."""
        m, scores, rows = len(images.holdout), [], []
        ways = _pairs(images, parts)
        for to_train, to_holdout in ways.values():
            log = np.log(
                np.maximum(to_train.distance, TINY) / np.maximum(to_holdout.distance, TINY)
            )
            middle, low = np.quantile(log[:m], [0.5, max(self.false_alarms, 1 / (m + 1))])
            scores.append((log - middle) / max(middle - low, TINY))
            rows.append(to_train.row)
        best = np.argmin(scores, axis=0)
        every = np.arange(len(best))
        return (
            np.array(scores)[best, every],
            np.array(rows)[best, every],
            np.array(list(ways))[best],
        )


def _pairs(images: AuditInput, parts: list[np.ndarray]) -> dict[str, tuple[BestFit, BestFit]]:
    """For each way of comparing: the fits of all images to the training images and to the held-out
    images."""
    everything = np.concatenate(parts)
    groups = (
        np.unique(images.groups, return_inverse=True)[1]
        if images.groups
        else np.arange(len(images.holdout))
    )
    train, holdout = fits(everything, images.train), fits(everything, images.holdout, groups)
    out = {way: (train[way], holdout[way]) for way in train}
    for name, space in images.spaces.items():
        features, held = [space(part) for part in parts if len(part)], space(images.holdout)
        others = np.concatenate([*features[1:], held[:0]])
        # A held-out image may not be explained by its own group.
        among, rest = nearest(held, held, groups), nearest(others, held)
        to_holdout = (np.concatenate(pair) for pair in zip(among, rest, strict=True))
        out[name] = (
            BestFit(*nearest(np.concatenate(features), space(images.train))),
            BestFit(*to_holdout),
        )
    return out


def _findings(
    planted: Mapping[str, np.ndarray], generated: np.ndarray, rank: int, m: int
) -> tuple[Finding, ...]:
    """planted, generated: bool [n], which of them are called copies. rank: how many of the m
    held-out images and a new one may be called so."""
    low, high = (
        float(special.betaincinv(rank, m + 1 - rank, side))
        for side in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    null = Interval(rank / (m + 1), low, high, LEVEL, "conformal, Vovk et al. 2005", m)
    caught = {kind: wilson(int(hits.sum()), len(hits)) for kind, hits in planted.items()}
    every = np.concatenate(list(planted.values()))
    whole = wilson(int(every.sum()), len(every))
    note = (
        "positive control: changed training images; the rest of this audit means little if few of"
        " them are caught"
    )

    def control(share: Interval, scope: Mapping[str, str], note: str) -> Finding:
        return share.finding(
            "planted_copies_caught",
            scope=scope,
            unit="share",
            better="higher",
            chance=null.value,
            source="audit",
            note=note,
        )

    findings = [
        control(whole, {}, note),
        *(control(share, {"change": kind}, "") for kind, share in caught.items()),
    ]
    of_real = (
        "of real images that were never trained on, by the rank of the limit among held-out images"
    )
    findings.append(
        null.finding("false_alarms", unit="share", better="lower", source="audit", note=of_real)
    )
    if len(generated):
        missed = [kind for kind, share in caught.items() if share.value < CAUGHT_HALF]
        copies = wilson(int(generated.sum()), len(generated))
        findings.append(_verdict(copies, null, whole, missed))
    return tuple(findings)


def _verdict(copies: Interval, null: Interval, planted: Interval, missed: list[str]) -> Finding:
    """The finding on the generated images. copies: their share; null: the rate of false alarms;
    planted: the share of planted copies that were caught; missed: kinds that were not."""
    sure = planted.low >= CAUGHT_HALF or copies.low > null.high
    if not sure:
        word = "can't say: the planted copies were not caught"
    elif copies.low > null.high:
        word = "copies training images"
    elif copies.high <= null.high:
        word = "no more copies than among real images"
    else:
        word = "no evidence of copying"
    note = "share of generated images that are nearer to a training image than real images are"
    if missed:
        note += f"; copies that are {' or '.join(missed)} would mostly go unnoticed"
    finding = copies.finding(
        "copies", unit="share", better="lower", chance=null.value, source="audit", note=note
    )
    return replace(finding, verdict=word, sure=sure)
