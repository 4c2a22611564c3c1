"""Which made images may become training rows: those that show their label and what else was asked
for, and are near to no image that they must not be near.

The label is read by an image encoder that has no part in the run and that the generator never saw
(`IndependentEncoder`), with canonical correlations fitted on real training images at the
generator's size. How sure it must be is set by real images: the margin of the asked class over the
best other one that 95 % of real training images of that class reach when they are read by a reader
fitted without their group. So a reader that reads badly throws hardly anything away. A class of
which nearly nothing is kept is one that the generator failed on: it is left out whole, and named.

The other fields that the generator was asked with (a caption, facts) are read in the same way. An
image's match is its cosine with the field of its own row, by a reader fitted without that row's
group; it must reach what 95 % of real training images reach with theirs, over all fields together.
How often a wrong value would be caught is measured on real images beside another row's; where that
is hardly more often than a right one is thrown away, the field can't be judged, and all are kept.

Near a validation or test image is what is as near, in every space, as planted copies of those
images are, unless real training images are often as near.

What this cannot show: that the label or the caption is right: an image can be read as its class and
be wrong; a match is only as fine as the run's encoder of the field. No test row's label is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin.core.machine import Runtime, numpy_generator
from gobelin.core.neighbours import nearest
from gobelin.evidence.conclusion import COPY_OF_TRAINING, NEAR_HELD_OUT
from gobelin.privacy import planted_copies
from gobelin.quality import judge
from gobelin.quality.judge import Judge
from gobelin.quality.probes import PROBE_FOLDS, LinearProbe, folds

KEPT = 0.95  # share of real images whose margin suffices
LEAST_REAL = 10  # real images of a class, for a margin of its own
LEAST_MATCHED, LEAST_VALUES = (
    50,
    10,
)  # real images with a field, and different values of it, to judge a match by
# a field is judged where wrong values are caught at least so many times as often as right ones
TELLS = 2.0
FAILED, LEAST_MADE = (
    0.2,
    5,
)  # a class with less of its images kept, of at least so many, is left out
CAUGHT, REAL_NEAR = 0.97, 0.05  # of planted copies; of real training images at most


@dataclass(frozen=True)
class Screen:
    """bool [M] each: what is wrong with the made images; None: nobody looked."""

    copies: np.ndarray | None
    near: np.ndarray | None
    unread: np.ndarray | None
    failed: np.ndarray | None
    unmatched: np.ndarray | None

    def _looks(self) -> list[tuple[str, np.ndarray]]:
        named = (
            (COPY_OF_TRAINING, self.copies),
            (NEAR_HELD_OUT, self.near),
            ("class that the generator failed on", self.failed),
            ("label not read", self.unread),
            ("does not match what was asked", self.unmatched),
        )
        return [(why, bad) for why, bad in named if bad is not None]

    def kept(self, many: int) -> np.ndarray:
        """bool [M]"""
        return ~np.any([np.zeros(many, bool), *(bad for _, bad in self._looks())], axis=0)

    def reasons(self) -> dict[str, int]:
        """How many for each reason that was looked for, each image under its first one."""
        out: dict[str, int] = {}
        before: np.ndarray | None = None
        for why, bad in self._looks():
            out[why] = int((bad if before is None else bad & ~before).sum())
            before = bad if before is None else before | bad
        return out


@dataclass(frozen=True)
class LabelReader:
    """margins: float [C], what an image of each class must reach; -inf for a class without real
    images to compare with."""

    reading: LinearProbe
    margins: np.ndarray

    @staticmethod
    def fit(
        seen: np.ndarray, label: np.ndarray, classes: int, groups: Sequence[str], runtime: Runtime
    ) -> LabelReader:
        """seen: float [n, D], of training images by an `IndependentEncoder`; label: int64 [n]."""
        truth = np.eye(classes, dtype=np.float32)[label]
        fold, own = folds(groups, runtime.seed), np.full(len(label), np.nan)
        for k in range(PROBE_FOLDS):
            rest = fold != k
            if (~rest).any() and len(np.unique(label[rest])) > 1:
                cosines = LinearProbe.fit(seen[rest], truth[rest], runtime).cosines(
                    seen[~rest], np.eye(classes, dtype=np.float32)
                )
                taught = np.isin(
                    label[~rest], label[rest]
                )  # a class that lies in this fold alone was never seen
                own[np.flatnonzero(~rest)[taught]] = _margin(cosines, label[~rest])[taught]
        known, margins = ~np.isnan(own), np.full(classes, -np.inf)
        for c in np.unique(label[known]):
            mine = known & (label == c)
            margins[c] = np.quantile(own[mine if mine.sum() >= LEAST_REAL else known], 1 - KEPT)
        return LabelReader(LinearProbe.fit(seen, truth, runtime), margins)

    def agrees(self, seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """bool [M] of made images [M, D]."""
        if not len(seen):
            return np.zeros(0, bool)
        return (
            _margin(self.reading.cosines(seen, np.eye(len(self.margins), dtype=np.float32)), asked)
            >= self.margins[asked]
        )


@dataclass(frozen=True)
class MatchReader:
    """What images show of one field. readings: {fold: fitted without it}. right, wrong: float [n],
    cosines of real images with their own value of the field, and with another row's."""

    readings: Mapping[int, LinearProbe]
    right: np.ndarray
    wrong: np.ndarray

    @staticmethod
    def fit(
        seen: np.ndarray, values: np.ndarray, fold: np.ndarray, runtime: Runtime
    ) -> MatchReader | str:
        """Of real training rows that have the field: independent features [n, D], the field's
        [n, E], the fold of each row's group, int64 [n]. A line that says why, where too few rows or
        values are there."""
        different = len(np.unique(values, axis=0))
        if len(seen) < LEAST_MATCHED or different < LEAST_VALUES or len(np.unique(fold)) < 2:
            needed = f"{LEAST_MATCHED} with {LEAST_VALUES} are needed"
            return f"{len(seen)} real training images with {different} different values, {needed}"
        readings = {
            int(k): LinearProbe.fit(seen[fold != k], values[fold != k], runtime)
            for k in np.unique(fold)
        }
        other = numpy_generator(runtime.seed, "another row's value").permutation(len(seen))
        another = (values[other] != values).any(1)
        reader = MatchReader(readings, np.zeros(0), np.zeros(0))
        right, wrong = (reader.cosines(seen, v, fold) for v in (values, values[other]))
        return MatchReader(readings, right, wrong[another])

    def cosines(self, seen: np.ndarray, values: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """float [n]: of each image with the value beside it, by the reader that never saw its
        fold."""
        out = np.zeros(len(seen))
        for k in np.unique(fold):
            own = fold == k
            out[own] = self.readings.get(int(k), next(iter(self.readings.values()))).paired(
                seen[own], values[own]
            )
        return out

    def cut(self, kept: float) -> tuple[float, float]:
        """The cosine that this share of real images reaches, and the share of wrong values that
        stay below it."""
        least = float(np.quantile(self.right, 1 - kept))
        return least, float((self.wrong < least).mean()) if len(self.wrong) else 0.0


def _margin(cosines: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """float64 [n]: of the asked class over the best other one; cosines [n, C]."""
    rows = np.arange(len(asked))
    others = cosines.astype(np.float64).copy()
    others[rows, asked] = -np.inf
    return cosines[rows, asked] - others.max(1)


def failed(label: np.ndarray, kept: np.ndarray) -> list[int]:
    """Classes of which nearly all images were thrown away. label: int64 [M]; kept: bool [M]."""
    found = []
    for c in np.unique(label):
        own = kept[label == c]
        if len(own) >= LEAST_MADE and own.mean() < FAILED:
            found.append(int(c))
    return found


def near(
    made: np.ndarray,
    opened: np.ndarray,
    train: np.ndarray,
    encode: Callable[[np.ndarray], np.ndarray],
    how: Judge,
    seed: int,
) -> np.ndarray:
    """bool [M]: the made images that are as near to one of `opened` (validation and test) as a
    planted copy of it. All images uint8 [n, H, W, 3]; encode: images -> features [n, D]."""
    if not len(opened) or not len(made):
        return np.zeros(len(made), bool)
    planted = planted_copies.plant(opened, how.planted, seed)
    out = np.ones(len(made), bool)
    for space in (judge.waves, encode):
        pool = space(opened)
        copies, real = (nearest(space(images), pool)[0] for images in (planted, train))
        limit = min(float(np.quantile(copies, CAUGHT)), float(np.quantile(real, REAL_NEAR)))
        out &= nearest(space(made), pool)[0] <= limit
    return out
