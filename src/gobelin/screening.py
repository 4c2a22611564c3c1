"""Which made images may become training rows: those that show their label, and are near to no image that they must not be near.

The label is read by an image encoder that has no part in the run and that the generator never saw (`matching.Eyes`), with
canonical correlations fitted on real training images at the generator's size. How sure it must be is set by real images: the
margin of the asked class over the best other one that 95 % of real training images of that class reach when they are read by a
reader fitted without their group. So a reader that reads badly throws hardly anything away. A class of which nearly nothing
is kept is one that the generator failed on: it is left out whole, and named.

Near a validation or test image is what is as near, in every space, as planted copies of those images are, unless real training
images are often as near.

What this cannot show: that the label is right: an image can be read as its class and be wrong. No test row's label is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gobelin import judge, planting
from gobelin.judge import Judge
from gobelin.matching import FOLDS, Eyes, Reading, folds
from gobelin.neighbours import nearest
from gobelin.runtime import Runtime

KEPT = 0.95  # share of real images whose margin suffices
LEAST_REAL = 10  # real images of a class, for a margin of its own
FAILED, LEAST_MADE = 0.2, 5  # a class with less of its images kept, of at least so many, is left out
CAUGHT, REAL_NEAR = 0.97, 0.05  # of planted copies; of real training images at most


@dataclass(frozen=True)
class LabelReader:
    """margins: float [C], what an image of each class must reach; -inf for a class without real images to compare with."""

    eyes: Eyes
    reading: Reading
    margins: np.ndarray

    @staticmethod
    def fit(
        eyes: Eyes, images: np.ndarray, label: np.ndarray, classes: int, groups: Sequence[str], runtime: Runtime
    ) -> LabelReader:
        """images: uint8 [n, H, W, 3] of real training rows; label: int64 [n]."""
        seen, truth = eyes.see(images), np.eye(classes, dtype=np.float32)[label]
        fold, own = folds(groups, runtime.seed), np.full(len(label), np.nan)
        for k in range(FOLDS):
            rest = fold != k
            if (~rest).any() and len(np.unique(label[rest])) > 1:
                cosines = Reading.fit(seen[rest], truth[rest], runtime).cosines(seen[~rest], np.eye(classes, dtype=np.float32))
                taught = np.isin(label[~rest], label[rest])  # a class that lies in this fold alone was never seen
                own[np.flatnonzero(~rest)[taught]] = _margin(cosines, label[~rest])[taught]
        known, margins = ~np.isnan(own), np.full(classes, -np.inf)
        for c in np.unique(label[known]):
            mine = known & (label == c)
            margins[c] = np.quantile(own[mine if mine.sum() >= LEAST_REAL else known], 1 - KEPT)
        return LabelReader(eyes, Reading.fit(seen, truth, runtime), margins)

    def agrees(self, images: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """bool [n]."""
        if not len(images):
            return np.zeros(0, bool)
        cosines = self.reading.cosines(self.eyes.see(images), np.eye(len(self.margins), dtype=np.float32))
        return _margin(cosines, asked) >= self.margins[asked]


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
    made: np.ndarray, opened: np.ndarray, train: np.ndarray, encode: Callable[[np.ndarray], np.ndarray], how: Judge, seed: int
) -> np.ndarray:  # fmt: skip
    """bool [M]: the made images that are as near to one of `opened` (validation and test) as a planted copy of it. All images
    uint8 [n, H, W, 3]; encode: images -> features [n, D]."""
    if not len(opened) or not len(made):
        return np.zeros(len(made), bool)
    planted = planting.plant(opened, how.planted, seed)
    out = np.ones(len(made), bool)
    for space in (judge.waves, encode):
        pool = space(opened)
        copies, real = (nearest(space(images), pool)[0] for images in (planted, train))
        limit = min(float(np.quantile(copies, CAUGHT)), float(np.quantile(real, REAL_NEAR)))
        out &= nearest(space(made), pool)[0] <= limit
    return out
