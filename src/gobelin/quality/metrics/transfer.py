"""Do made images teach what real ones teach? A linear reader trained on made images alone, tested
on real ones.

Train on synthetic, test on real (Esteban, Hyland & Ratsch 2017, section 5; Ravuri & Vinyals 2019):
ridge regression on one-hot classes in closed form, classes weighted equally, in one pass over the
made features and one over the real ones, in memory for a D x D matrix. The floor is the same reader
trained on held-out real images.

What this cannot show: what made images add to real ones (the verdict of `augment` does), or what
another model would learn from them. A linear reader in one feature space sees what is linear there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from gobelin.core.config import within
from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, balanced_accuracy
from gobelin.quality.metrics import Comparison, FeatureSet, TooFew, chunks, same_width

BLOCK, LEAST = 4096, 5
NAME = "train_on_made_test_on_real"


@dataclass(frozen=True)
class Transfer:
    """ridge: the penalty, as a share of the mean square of a centred feature."""

    ridge: float = 0.01

    def __post_init__(self) -> None:
        within(self, {"ridge": (1e-9, 1e6)})

    def measure(self, comparison: Comparison) -> tuple[Finding, ...]:
        """train_on_made_test_on_real: balanced accuracy over the classes of the real rows, chance 1
        / classes."""
        comparison.check("transfer")
        real, floor = comparison.real, comparison.floor
        if real.labels is None or comparison.made.labels is None:
            note = f"feature net {real.net}, resize {real.resize}"
            return (
                Finding(
                    name=NAME,
                    scope=dict(comparison.scope),
                    unit="share",
                    better="higher",
                    note=note,
                    source="metrics",
                    verdict="real or made rows have no labels, nothing to teach",
                ),
            )
        classes = np.unique(np.asarray(real.labels))
        note = f"linear reader, {len(classes)} classes"
        try:
            found = scores(real, comparison.made, self.ridge)
        except TooFew as why:
            return (comparison.silence(NAME, why, "higher", "share"),)
        best = None
        if floor is not None and floor.labels is not None:
            try:
                best = scores(real, floor, self.ridge).value
            except TooFew as why:
                note += f", no floor: {why.n} held-out images are too few"
        made = len(np.asarray(comparison.made.labels))
        said = comparison.number(
            NAME, found, best, "higher", f"{note}, tested on {found.n} real images", "share", made
        )
        return (replace(said, chance=1 / len(classes)),)


def scores(real: FeatureSet, made: FeatureSet, ridge: float = 0.01) -> Interval:
    """Balanced accuracy on real rows of the reader that made rows taught. A class that was never
    made is never read right.

    What this cannot show: how the value moves with other made images; the interval takes the reader
    as given."""
    truth, taught = np.asarray(real.labels), np.asarray(made.labels)
    classes = np.unique(truth)
    n, needed = min(len(truth), len(taught)), LEAST * max(2, len(classes))
    if n < needed:
        raise TooFew("transfer", n, needed)
    if len(classes) < 2:
        raise GobelinError(
            f"metric transfer: real rows are all of the class {classes[0]!r}. Give rows of two"
            " classes."
        )
    weights, bias = reader(made, classes, ridge)
    read = []
    for block in chunks(real, BLOCK):
        same_width(block.shape[1], len(weights))
        read.append((block @ weights + bias).argmax(1))
    return balanced_accuracy(classes[np.concatenate(read)] == truth, truth)


def reader(made: FeatureSet, classes: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, C] and bias [C] of least |w' (x - m) - y|^2 + penalty |w|^2, every class of equal
    weight, y one-hot less its mean; m the mean of class means."""
    labels = np.asarray(made.labels)
    counts = np.array([(labels == c).sum() for c in classes])
    sums, square, start = np.zeros((0, len(classes))), np.zeros((0, 0)), 0
    shift = np.zeros(0)
    for block in chunks(made, BLOCK):
        own = labels[start : start + len(block)]
        start += len(block)
        if not len(shift):
            shift = block.mean(0, dtype=np.float64)
            sums, square = np.zeros((len(shift), len(classes))), np.zeros((len(shift), len(shift)))
        hot = (own[:, None] == classes) / np.maximum(counts, 1)
        x = (block - shift) * np.sqrt(hot.sum(1, keepdims=True))
        square += x.T @ x
        sums += (block - shift).T @ hot
    if start != len(labels):
        raise GobelinError(
            f"metrics: {len(labels)} labels for {start} rows of features. Give one a row."
        )
    made_classes = max(1, int((counts > 0).sum()))
    mean = sums.sum(1) / made_classes
    centred = square - made_classes * np.outer(mean, mean)
    cross = sums - np.outer(mean, counts > 0)
    penalty = ridge * np.trace(centred) / len(mean) + 1e-12 * made_classes
    weights = linalg.solve(
        centred + penalty * np.eye(len(mean)), cross, assume_a="pos", check_finite=False
    )
    bias = (counts > 0) / made_classes - (mean + shift) @ weights
    bias[counts == 0] = -np.inf
    return weights, bias
