"""Screening: which generated images may become training rows. They must show their label and their
other conditions, and must not be near a training, validation or test image.

Label. An image encoder that the run does not use (`IndependentEncoder`) reads it, with a linear
probe fitted on real training images at the generator's size. Real images set the threshold: the
margin of the right class over the best other class that 95 % of real training images of that class
reach, each read by a probe fitted without its group. So a bad probe rejects hardly any image. Where
nearly all images of a class are rejected, the generator failed on that class: the whole class is
left out, and a finding names it.

Other conditions (a caption, facts). They are read in the same way. The match of an image is its
cosine with the field of its parent row, by a probe fitted without that row's group. It must reach
the match that real training images reach with their own rows, all but 5 % of them. With several
fields these 5 % are divided among the fields. Real images paired with another row's value show how
often a wrong value would be caught. Where right values are rejected nearly as often, the field
can't be judged, and all images pass.

Nearness. An image is near a validation or test image if in every space it lies as near as planted
copies do. Where real training images often lie that near, the limit is stricter.

What this cannot show: that the label or the caption is right. An image can be read as its class and
be wrong, and a match is only as fine as the run's encoder of the field. No label of a test row is
used.
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

ACCEPTED_SHARE = 0.95  # share of real images that pass a threshold
LEAST_REAL = 10  # real images of a class that has a threshold of its own
LEAST_MATCHED = 50  # real images needed to judge the match of a field
LEAST_VALUES = 10  # different values needed to judge it
# wrong values must be rejected this many times as often as right ones, or a field isn't judged
LEAST_CONTRAST = 2.0
FAILED_SHARE = 0.2  # a class with a smaller share of accepted images is left out ...
LEAST_GENERATED = 5  # ... if it has at least so many images
PLANTED_NEAR = 0.97  # share of planted copies that count as near
REAL_NEAR = 0.05  # largest share of real training images that may count as near


@dataclass(frozen=True)
class Screen:
    """The faults of M generated images, bool [M] each; None where the fault was not looked for."""

    copies: np.ndarray | None  # copies of training images
    near: np.ndarray | None  # near a validation or test image
    unread: np.ndarray | None  # the label is not read from the image
    failed: np.ndarray | None  # of a class that the generator failed on
    unmatched: np.ndarray | None  # another condition is not read from the image

    def _faults(self) -> list[tuple[str, np.ndarray]]:
        named = (
            (COPY_OF_TRAINING, self.copies),
            (NEAR_HELD_OUT, self.near),
            ("class that the generator failed on", self.failed),
            ("label not read", self.unread),
            ("does not match what was asked", self.unmatched),
        )
        return [(reason, bad) for reason, bad in named if bad is not None]

    def accepted(self, count: int) -> np.ndarray:
        """bool [M]: the images without a fault. count: M."""
        return ~np.any([np.zeros(count, bool), *(bad for _, bad in self._faults())], axis=0)

    def reasons(self) -> dict[str, int]:
        """{fault: number of images}; an image with several faults counts under the first one."""
        out: dict[str, int] = {}
        rejected: np.ndarray | None = None
        for reason, bad in self._faults():
            out[reason] = int((bad if rejected is None else bad & ~rejected).sum())
            rejected = bad if rejected is None else rejected | bad
        return out


@dataclass(frozen=True)
class LabelReader:
    """Reads labels from the features of an independent encoder."""

    probe: LinearProbe
    margins: np.ndarray  # float [C], the threshold of each class; -inf without real images of it

    @staticmethod
    def fit(
        features: np.ndarray,
        label: np.ndarray,
        classes: int,
        groups: Sequence[str],
        runtime: Runtime,
    ) -> LabelReader:
        """features: float [n, D], of real training images by an `IndependentEncoder`. label: int64
        [n]. classes: C. groups: n names.
        """
        truth = np.eye(classes, dtype=np.float32)[label]
        fold, reached = folds(groups, runtime.seed), np.full(len(label), np.nan)
        for k in range(PROBE_FOLDS):
            rest = fold != k
            if (~rest).any() and len(np.unique(label[rest])) > 1:
                cosines = LinearProbe.fit(features[rest], truth[rest], runtime).cosines(
                    features[~rest], np.eye(classes, dtype=np.float32)
                )
                # the probe does not know a class that lies in this fold alone
                learned = np.isin(label[~rest], label[rest])
                reached[np.flatnonzero(~rest)[learned]] = _margin(cosines, label[~rest])[learned]
        known, margins = ~np.isnan(reached), np.full(classes, -np.inf)
        for c in np.unique(label[known]):
            of_class = known & (label == c)
            compared = of_class if of_class.sum() >= LEAST_REAL else known
            margins[c] = np.quantile(reached[compared], 1 - ACCEPTED_SHARE)
        return LabelReader(LinearProbe.fit(features, truth, runtime), margins)

    def agrees(self, features: np.ndarray, requested: np.ndarray) -> np.ndarray:
        """bool [M]: whether each image is read as its class.

        features: float [M, D], of generated images. requested: int64 [M], their classes.
        """
        if not len(features):
            return np.zeros(0, bool)
        cosines = self.probe.cosines(features, np.eye(len(self.margins), dtype=np.float32))
        return _margin(cosines, requested) >= self.margins[requested]


@dataclass(frozen=True)
class MatchReader:
    """Reads one field from the features of an independent encoder."""

    probes: Mapping[int, LinearProbe]  # {fold: a probe fitted without it}
    right: np.ndarray  # float [n], cosines of real images with the field of their own row
    wrong: np.ndarray  # float [m], cosines of real images with the field of another row

    @staticmethod
    def fit(
        features: np.ndarray, values: np.ndarray, fold: np.ndarray, runtime: Runtime
    ) -> MatchReader | str:
        """A reader, or the reason why there is none: too few rows or values.

        features: float [n, D], of real training images by an independent encoder. values: float [n,
        E], features of the field. fold: int64 [n], of the group of each row.
        """
        different = len(np.unique(values, axis=0))
        if len(features) < LEAST_MATCHED or different < LEAST_VALUES or len(np.unique(fold)) < 2:
            needed = f"{LEAST_MATCHED} with {LEAST_VALUES} are needed"
            return (
                f"{len(features)} real training images with {different} different values, {needed}"
            )
        probes = {
            int(k): LinearProbe.fit(features[fold != k], values[fold != k], runtime)
            for k in np.unique(fold)
        }
        other = numpy_generator(runtime.seed, "another row's value").permutation(len(features))
        different_value = (values[other] != values).any(1)
        reader = MatchReader(probes, np.zeros(0), np.zeros(0))
        right, wrong = (reader.cosines(features, v, fold) for v in (values, values[other]))
        return MatchReader(probes, right, wrong[different_value])

    def cosines(self, features: np.ndarray, values: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """float [n]: cosine of each image with its value, by the probe fitted without its fold."""
        out = np.zeros(len(features))
        for k in np.unique(fold):
            in_fold = fold == k
            probe = self.probes.get(int(k), next(iter(self.probes.values())))
            out[in_fold] = probe.paired(features[in_fold], values[in_fold])
        return out

    def threshold(self, accepted: float) -> tuple[float, float]:
        """The cosine that this share of real images reaches, and the share of wrong values below
        it.
        """
        least = float(np.quantile(self.right, 1 - accepted))
        return least, float((self.wrong < least).mean()) if len(self.wrong) else 0.0


def _margin(cosines: np.ndarray, requested: np.ndarray) -> np.ndarray:
    """float64 [n]: cosine of the requested class minus the best other one. cosines: [n, C]."""
    rows = np.arange(len(requested))
    others = cosines.astype(np.float64).copy()
    others[rows, requested] = -np.inf
    return cosines[rows, requested] - others.max(1)


def failed(label: np.ndarray, accepted: np.ndarray) -> list[int]:
    """The classes whose images were nearly all rejected. label: int64 [M]; accepted: bool [M]."""
    classes = []
    for c in np.unique(label):
        of_class = accepted[label == c]
        if len(of_class) >= LEAST_GENERATED and of_class.mean() < FAILED_SHARE:
            classes.append(int(c))
    return classes


def near(
    generated: np.ndarray,
    held_out: np.ndarray,
    train: np.ndarray,
    encode: Callable[[np.ndarray], np.ndarray],
    settings: Judge,
    seed: int,
) -> np.ndarray:
    """bool [M]: the generated images that are as near to held-out images as planted copies are.

    generated: M images. held_out: validation and test images. train: real training images. All are
    uint8 [n, H, W, 3]. encode: images -> features [n, D].
    """
    if not len(held_out) or not len(generated):
        return np.zeros(len(generated), bool)
    planted = planted_copies.plant(held_out, settings.planted, seed)
    out = np.ones(len(generated), bool)
    for space in (judge.waves, encode):
        pool = space(held_out)
        copies, real = (nearest(space(images), pool)[0] for images in (planted, train))
        limit = min(float(np.quantile(copies, PLANTED_NEAR)), float(np.quantile(real, REAL_NEAR)))
        out &= nearest(space(generated), pool)[0] <= limit
    return out
