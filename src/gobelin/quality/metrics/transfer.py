"""Transfer: a linear classifier is trained on generated images alone and tested on real ones.

Train on synthetic, test on real (Esteban, Hyland & Ratsch 2017, section 5; Ravuri & Vinyals 2019):
ridge regression on one-hot classes in closed form, classes weighted equally. It takes one pass over
the generated features and one over the real ones, and memory for a D x D matrix. The floor is the
same classifier trained on held-out real images.

What this cannot show: what generated images add to real ones (the verdict of `augment` does), or
what another model would learn from them. A linear classifier in one feature space sees what is
linear there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import linalg

from gobelin.core.config import setting, settings_class
from gobelin.core.errors import GobelinError
from gobelin.evidence.findings import Finding
from gobelin.evidence.intervals import Interval, balanced_accuracy
from gobelin.quality.metrics import (
    ROWS_AT_ONCE,
    FeatureComparison,
    FeatureSet,
    TooFew,
    chunks,
    same_width,
)

LEAST_A_CLASS = 5  # images a class on the average, and at least two classes' worth
SCORE = "train_on_made_test_on_real"  # the finding's name


@settings_class
class Transfer:
    """Settings of the classifier."""

    ridge: float = setting(
        default=0.01,
        ge=1e-9,
        le=1e6,
        description="Ridge penalty, relative to the mean square of a feature.",
    )

    def measure(self, comparison: FeatureComparison) -> tuple[Finding, ...]:
        """train_on_made_test_on_real: balanced accuracy over the classes of the real rows, chance 1
        / classes.
        """
        comparison.check("transfer")
        real, generated, floor = comparison.real, comparison.generated, comparison.floor
        if real.labels is None or generated.labels is None:
            return (
                Finding(
                    name=SCORE,
                    scope=dict(comparison.scope),
                    unit="share",
                    better="higher",
                    note=f"feature net {real.net}, resize {real.resize}",
                    source="metrics",
                    verdict="real or generated rows have no labels, nothing to learn from",
                ),
            )
        classes = np.unique(np.asarray(real.labels))
        note = f"linear classifier, {len(classes)} classes"
        try:
            score = scores(real, generated, self.ridge)
        except TooFew as reason:
            return (comparison.no_number(SCORE, reason, "higher", "share"),)
        best = None
        if floor is not None and floor.labels is not None:
            try:
                best = scores(real, floor, self.ridge).value
            except TooFew as reason:
                note += f", no floor: {reason.n} held-out images are too few"
        note = f"{note}, tested on {score.n} real images"
        n = len(np.asarray(generated.labels))
        finding = comparison.finding(SCORE, score, best, "higher", note, "share", n)
        return (replace(finding, chance=1 / len(classes)),)


def scores(real: FeatureSet, generated: FeatureSet, ridge: float = 0.01) -> Interval:
    """Balanced accuracy on real rows of the classifier trained on generated rows.

    It never answers a class that has no generated row. Raises TooFew; GobelinError where real rows
    have one class only.

    What this cannot show: how the value moves with other generated images; the interval takes the
    classifier as given.
    """
    truth, training = np.asarray(real.labels), np.asarray(generated.labels)
    classes = np.unique(truth)
    n, needed = min(len(truth), len(training)), LEAST_A_CLASS * max(2, len(classes))
    if n < needed:
        raise TooFew("transfer", n, needed)
    if len(classes) < 2:
        raise GobelinError(
            f"metric transfer: real rows are all of the class {classes[0]!r}. Give rows of two"
            " classes."
        )
    weights, bias = ridge_classifier(generated, classes, ridge)
    answers = []
    for block in chunks(real, ROWS_AT_ONCE):
        same_width(block.shape[1], len(weights))
        answers.append((block @ weights + bias).argmax(1))
    return balanced_accuracy(classes[np.concatenate(answers)] == truth, truth)


def ridge_classifier(
    generated: FeatureSet, classes: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, C] and bias [C] that minimise |w' (x - m) - y|^2 + penalty |w|^2.

    y is one-hot less its mean, m the mean of class means, and every class has equal weight. The
    bias of a class without rows is minus infinity. Raises GobelinError where labels and rows
    differ in number.
    """
    labels = np.asarray(generated.labels)
    counts = np.array([(labels == c).sum() for c in classes])  # [C]
    sums, square, start = np.zeros((0, len(classes))), np.zeros((0, 0)), 0
    shift = np.zeros(0)
    for block in chunks(generated, ROWS_AT_ONCE):
        block_labels = labels[start : start + len(block)]
        start += len(block)
        if not len(shift):
            # sums are taken around the first block's mean: far from 0 products would lose digits
            shift = block.mean(0, dtype=np.float64)
            sums, square = np.zeros((len(shift), len(classes))), np.zeros((len(shift), len(shift)))
        hot = (block_labels[:, None] == classes) / np.maximum(counts, 1)  # [n, C], weighted
        x = (block - shift) * np.sqrt(hot.sum(1, keepdims=True))
        square += x.T @ x  # [D, D]
        sums += (block - shift).T @ hot  # [D, C]: class means less shift
    if start != len(labels):
        raise GobelinError(
            f"metrics: {len(labels)} labels for {start} rows of features. Give one a row."
        )
    present = max(1, int((counts > 0).sum()))  # classes that have rows
    mean = sums.sum(1) / present
    centred = square - present * np.outer(mean, mean)
    cross = sums - np.outer(mean, counts > 0)
    penalty = ridge * np.trace(centred) / len(mean) + 1e-12 * present
    weights = linalg.solve(
        centred + penalty * np.eye(len(mean)), cross, assume_a="pos", check_finite=False
    )
    bias = (counts > 0) / present - (mean + shift) @ weights
    bias[counts == 0] = -np.inf
    return weights, bias
